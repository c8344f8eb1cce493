"""Attacks on the rules, live: `python -m testbed.attack_table MODEL [NAME ...]`, from the folder edge/, as root.

Each attack runs in the testbed's namespaces with `tlids-edge` on the bridge; the table says what it was seen as, and
whom the alerts name. It has no benign life in it: that is `python -m testbed record --watch`.
"""

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from tlids_edge.errors import InputError

from testbed import network as lab
from testbed.record import start_watcher, stop_watcher

SETTLE_S = 2.5  # a flow counts as unanswered after a second; the rest is for a busy machine
LIMIT_S = 40
PROGRAMS = {"nmap": "nmap", "arpspoof": "dsniff", "hping3": "hping3", "timeout": "coreutils"}
SCAN = ("nmap", "-n", "-Pn", "-T4", "--max-retries", "0", "-p", "1-300")
FORGE = (sys.executable, "-m", "testbed.forge")
# name -> what the attacker runs; {phone} and such are the hosts' addresses
ATTACKS = {
    "SYN scan": (*SCAN, "-sS", "{pi-server}"),
    "fragments of 8 bytes": (*SCAN, "-sS", "-f", "{pi-server}"),
    "fragments of 16 bytes": (*SCAN, "-sS", "--mtu", "16", "{pi-server}"),
    "FIN scan": (*SCAN, "-sF", "{pi-server}"),
    "source port 53": (*SCAN, "-sS", "-g", "53", "{pi-server}"),
    "bad checksums": (*SCAN, "-sS", "--badsum", "{pi-server}"),
    "TTL of 1": (*SCAN, "-sS", "--ttl", "1", "{pi-server}"),
    "decoys": (*SCAN, "-sS", "-D", "{laptop},{television},ME", "{pi-server}"),
    "forged source": ("hping3", "-q", "-S", "-a", "{laptop}", "-p", "++1", "-i", "u5000", "-c", "300", "{pi-server}"),
    "hosts in turn": (*SCAN, "-sS", "--min-hostgroup", "4", "{router}", "{phone}", "{laptop}", "{television}"),
    "UDP scan": ("nmap", "-n", "-Pn", "-sU", "-T4", "--max-retries", "0", "--host-timeout", "15s",
                 "-p", "1-200", "{pi-server}"),
    "ARP man in the middle": ("timeout", "-s", "INT", "8", "arpspoof", "-i", "eth0", "-t", "{phone}", "{router}"),
    "ARP, a group as sender": (*FORGE, "arp-group", "{router}", "{phone}"),
    "ARP, a third one inside": (*FORGE, "arp-other", "{router}", "{phone}"),
    "ARP, invented senders": (*FORGE, "arp-crowd", "{router}", "{phone}"),
    "ARP, asked oneself": (*FORGE, "arp-asking", "{router}", "{phone}"),
    "IPv6 neighbour": (*FORGE, "neighbour", "fe80::1", "ff02::1"),
}  # fmt: skip


class Seen(NamedTuple):
    """One alert of a rule against one source."""

    attack: str
    alert: str
    address: str
    mac: str  # as the host's name, where it is one
    source: str  # proven or claimed


def run(model: Path, names: list[str]) -> Iterator[Seen]:
    """Run attacks one after the other; what the rules saw of each. An attack that nothing saw gives an empty row.

    Raises:
        InputError: not in the testbed's namespaces, or a program is missing.
    """
    lab.need_programs(PROGRAMS)
    network = lab.build(lab.Plan(1))
    try:
        addresses = {name: host.address for name, host in network.hosts.items()}
        for name in names:
            argv = [word.format(**addresses) if "{" in word else word for word in ATTACKS[name]]
            events = _events(network, model, argv)
            yield from _seen(name, events, network.hosts) or [Seen(name, "nothing", "", "", "")]
    finally:
        network.close()


def _events(network: lab.Network, model: Path, argv: list[str]) -> list[dict]:
    """What `tlids-edge` on the bridge writes while the attacker runs a command."""
    eve = lab.FOLDER / "watch.eve.json"
    eve.unlink(missing_ok=True)
    phone, router = network.hosts["phone"], network.hosts["router"]
    network.run("phone", ["ip", "neigh", "flush", "all"], timeout=10)
    watcher = start_watcher(network, model)
    network.run("phone", ["ping", "-c", "2", "-i", "0.2", "-W", "2", router.address], timeout=10)  # it knows the router
    network.run("router", ["ping", "-c", "1", "-W", "2", phone.address], timeout=10)
    try:
        network.run("attacker", argv, timeout=LIMIT_S)
    except subprocess.TimeoutExpired:
        pass  # what was sent by then counts
    time.sleep(SETTLE_S)
    stop_watcher(watcher)
    return [json.loads(line) for line in eve.read_text().splitlines()]


def _seen(name: str, events: list[dict], hosts: dict[str, lab.Host]) -> list[Seen]:
    """The rules' alerts among events, each once."""
    owners = {host.mac: host.name for host in hosts.values()}
    rows = []
    for event in events:
        if event["event_type"] == "alert" and 9_200_000 <= event["alert"]["signature_id"] < 9_300_000:
            mac = event.get("ether", {}).get("src_mac", "")
            source = event["alert"]["metadata"]["tlids_source"][0]
            text = event["alert"]["signature"].removeprefix("TL-IDS ")
            rows.append(Seen(name, text, event.get("src_ip", ""), owners.get(mac, mac), source))
    return list(dict.fromkeys(rows))


def main(arguments: list[str]) -> int:
    """Print the table, as Markdown or with --json as lines; 2 for unusable input."""
    as_json = "--json" in arguments
    words = [word for word in arguments if word != "--json"]
    names = words[1:] or list(ATTACKS)
    try:
        if not words or set(names) - set(ATTACKS):
            raise InputError(
                f"expected a model's folder and names among {', '.join(ATTACKS)}, found {words}: correct them"
            )
        if lab.OUTSIDE not in os.environ:
            argv, environment = lab.isolated([sys.executable, "-m", "testbed.attack_table", *arguments])
            os.execvpe(argv[0], argv, environment)
        if not as_json:
            print("| attack | seen as | address | sent by | source |\n|---|---|---|---|---|")
        for seen in run(Path(words[0]).resolve(), names):
            print(json.dumps(seen._asdict()) if as_json else f"| {' | '.join(seen)} |", flush=True)
    except InputError as error:
        print(f"attack_table: {error}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
