"""Attacks on the rules, live: `python -m testbed.attack_table MODEL [NAME ...]`, from the folder edge/, as root.

Each attack runs in the testbed's namespaces with `tlids-edge` on the bridge; the table says what it was seen as, whom
the alerts name, and whether that is right. There is no benign life but what an attack says: that is
`python -m testbed record --watch`.
"""

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path

from tlids_edge.errors import InputError

from testbed import network as lab
from testbed.record import start_watcher, stop_watcher
from testbed.rule_attacks import ATTACKS, BESIDE, NOBODY, TALK, Attack, judge
from testbed.services import servers

SETTLE_S = 2.5  # a flow counts as unanswered after a second; the rest is for a busy machine
LIMIT_S = 60
PROGRAMS = {
    "nmap": "nmap", "arpspoof": "dsniff", "hping3": "hping3", "slowhttptest": "slowhttptest", "timeout": "coreutils",
}  # fmt: skip


def run(model: Path, attacks: list[Attack]) -> Iterator[dict]:
    """Run attacks one after the other; of each its name, row, whom to expect, what the rules saw, and the verdict.

    Raises:
        InputError: not in the testbed's namespaces, or a program is missing.
    """
    lab.need_programs(PROGRAMS)
    network = lab.build(lab.Plan(1))
    try:
        hosts = {name: asdict(host) for name, host in network.hosts.items()}
        servers.start(network, "pi-server", "talk", [*TALK, "serve"])
        for attack in attacks:
            events = _events(network, model, attack)
            seen = _seen(events, network.hosts)
            flows = [event for event in events if "flow" in event]
            yield {
                "attack": attack.name, "row": attack.row, "expected": attack.named, "seen": seen,
                "missed": attack.missed, "verdict": judge(attack, seen, flows, hosts),
            }  # fmt: skip
    finally:
        network.close()


def _events(network: lab.Network, model: Path, attack: Attack) -> list[dict]:
    """What `tlids-edge` on the bridge writes while the attacker runs a command."""
    addresses = {name: host.address for name, host in network.hosts.items()}
    eve = lab.FOLDER / "watch.eve.json"
    eve.unlink(missing_ok=True)
    phone, router = network.hosts["phone"], network.hosts["router"]
    web = _web(network) if attack.beside == "http" else None
    watcher = start_watcher(network, model, *attack.options)
    network.run("phone", ["ip", "neigh", "flush", "all"], timeout=10)
    network.run("phone", ["ping", "-c", "2", "-i", "0.2", "-W", "2", router.address], timeout=10)  # it knows the router
    network.run("router", ["ping", "-c", "1", "-W", "2", phone.address], timeout=10)
    beside = None
    if attack.beside in BESIDE:
        host, command = BESIDE[attack.beside]
        beside = servers.start(network, host, "beside", [word.format(**addresses) for word in command])
        time.sleep(1)  # it has begun
    try:
        network.run("attacker", [word.format(**addresses) for word in attack.command], timeout=LIMIT_S)
    except subprocess.TimeoutExpired:
        pass  # what was sent by then counts
    if beside is not None:
        beside.wait(LIMIT_S)
    time.sleep(SETTLE_S)
    stop_watcher(watcher)
    if web is not None:
        network.stop(web)
    return [json.loads(line) for line in eve.read_text().splitlines()]


def _web(network: lab.Network) -> subprocess.Popen:
    """The dashboard that Slow HTTP is aimed at, once it answers.

    Raises:
        InputError: it does not within half a minute.
    """
    web = servers.start(network, "pi-server", "web", [sys.executable, "-m", "http.server", "80"])
    probe = "import socket; socket.create_connection(('127.0.0.1', 80), 2)"
    for _ in range(30):
        if network.run("pi-server", [sys.executable, "-c", probe], timeout=20).returncode == 0:
            return web
        time.sleep(1)
    raise InputError("expected a web server on pi-server within half a minute, found none: try again")


def _seen(events: list[dict], hosts: dict[str, lab.Host]) -> list[dict]:
    """The rules' alerts among events, each once."""
    owners = {host.mac: host.name for host in hosts.values()}
    found = {}
    for event in events:
        if event["event_type"] == "alert" and 9_200_000 <= event["alert"]["signature_id"] < 9_300_000:
            mac = event.get("ether", {}).get("src_mac", "")
            source = event["alert"]["metadata"]["tlids_source"][0]
            text = event["alert"]["signature"].removeprefix("TL-IDS ")
            key = text, event.get("src_ip", ""), owners.get(mac, mac), source
            found[key] = dict(zip(("alert", "address", "mac", "source"), key, strict=True))
    return list(found.values())


def lines(found: dict) -> Iterator[str]:
    """One attack as rows of a Markdown table, a row for each alert."""
    for one in found["seen"] or [{"alert": "nothing", "mac": NOBODY, "source": "", "address": ""}]:
        yield f"| {found['attack']} | {one['alert']} | {one['mac']} | {one['source']} | {found['verdict']} |"


def main(arguments: list[str]) -> int:
    """Print the table, as Markdown or with --json as lines; 1 when an attack is wrong, 2 for unusable input.

    What edge/README.md says is missed may be wrong.
    """
    as_json = "--json" in arguments
    words = [word for word in arguments if word != "--json"]
    known = {attack.name: attack for attack in ATTACKS}
    names = words[1:] or list(known)
    wrong = 0
    try:
        if not words or set(names) - set(known):
            raise InputError(
                f"expected a model's folder and names among {', '.join(known)}, found {words}: correct them"
            )
        if lab.OUTSIDE not in os.environ:
            argv, environment = lab.isolated([sys.executable, "-m", "testbed.attack_table", *arguments])
            os.execvpe(argv[0], argv, environment)
        if not as_json:
            print("| attack | seen as | sent by | source | verdict |\n|---|---|---|---|---|")
        for found in run(Path(words[0]).resolve(), [known[name] for name in names]):
            print(json.dumps(found) if as_json else "\n".join(lines(found)), flush=True)
            wrong += found["verdict"] != "right" and not known[found["attack"]].missed
    except InputError as error:
        print(f"attack_table: {error}", file=sys.stderr)
        return 2
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
