"""The attacks of `testbed.attack_table`: what runs, and what must be seen of it."""

import sys
from typing import NamedTuple

from testbed.forge import SESSIONS, TALK_PORT

ATTACKER, NOBODY = "attacker", "nobody"
SCAN = ("nmap", "-n", "-Pn", "-T4", "--max-retries", "0", "-p", "1-300")
FORGE = (sys.executable, "-m", "testbed.forge")
TALK = (sys.executable, "-m", "testbed.talk")
KNOCKS = ("hping3", "-q", "-S", "-p", "++1", "-i", "u5000")
FLOOD = (
    "timeout 20 hping3 -q --udp --rand-source -p ++1 -i u150 {phone}"  # about 6,000 a second where nothing else runs
)
SLOW = "slowhttptest -H -c 178 -r 25 -i 5 -x 24 -l 15 -p 5 -u http://{pi-server}/"


class Attack(NamedTuple):
    """One attack. `{phone}` and such are the hosts' addresses."""

    name: str
    row: str  # of the review of security that it was found in, "" for one of its own
    command: tuple[str, ...]  # that the attacker runs
    named: str = ATTACKER  # whom every alert must name by MAC address; NOBODY: there must be none
    beside: str = ""  # what goes on beside it: "asks", "sessions" or "http", each with a check of its own
    options: tuple[str, ...] = ()  # of tlids-edge
    missed: str = ""  # for one that is: how edge/README.md says so


ATTACKS = (
    Attack("SYN scan", "", (*SCAN, "-sS", "{pi-server}")),
    Attack("FIN scan", "", (*SCAN, "-sF", "{pi-server}")),
    Attack("UDP scan", "", ("nmap", "-n", "-Pn", "-sU", "-T4", "--max-retries", "0", "--host-timeout", "15s",
                            "-p", "1-200", "{pi-server}")),
    Attack("source port 53", "", (*SCAN, "-sS", "-g", "53", "{pi-server}")),
    Attack("bad checksums", "", (*SCAN, "-sS", "--badsum", "{pi-server}")),
    Attack("TTL of 1", "", (*SCAN, "-sS", "--ttl", "1", "{pi-server}")),
    Attack("decoys", "", (*SCAN, "-sS", "-D", "{laptop},{television},ME", "{pi-server}")),
    Attack("fragments of 8 bytes", "H1", (*SCAN, "-sS", "-f", "{pi-server}")),
    Attack("fragments of 16 bytes", "H1", (*SCAN, "-sS", "--mtu", "16", "{pi-server}")),
    Attack("hosts in turn", "H3", (*SCAN, "-sS", "--min-hostgroup", "4",
                                   "{router}", "{phone}", "{laptop}", "{television}")),
    Attack("an answer forged to each knock", "H3", (*FORGE, "answers", "{attacker}", "{pi-server}")),
    Attack("512 forged sources between knocks", "H3", (*FORGE, "between", "{attacker}", "{pi-server}")),
    Attack("1,000 addresses of one IPv6 network", "H3", (*FORGE, "addresses6", "{attacker}", "{pi-server}")),
    Attack("a scan inside GRE, with --decap", "H3", (*FORGE, "gre", "{attacker}", "{pi-server}"),
           options=("--decap",)),
    Attack("a scan inside GRE, without --decap", "H3", (*FORGE, "gre", "{attacker}", "{pi-server}"), NOBODY,
           missed="what is inside a tunnel, unless `--decap` is given"),
    Attack("Slow HTTP beside a flood of forged flows", "H4", ("sh", "-c", f"{FLOOD} & {SLOW}; wait"),
           beside="http", options=("--eve-max-mb", "0")),
    Attack("ARP man in the middle", "H5", ("timeout", "-s", "INT", "8", "arpspoof", "-i", "eth0",
                                           "-t", "{phone}", "{router}")),
    Attack("ARP, a group as sender", "H5", (*FORGE, "arp-group", "{router}", "{phone}")),
    Attack("ARP, invented senders", "H5", (*FORGE, "arp-crowd", "{router}", "{phone}")),
    Attack("ARP, asked oneself", "H5", (*FORGE, "arp-asking", "{router}", "{phone}")),
    Attack("IPv6 neighbour", "H5", (*FORGE, "neighbour", "fe80::1", "ff02::1")),
    Attack("forged source", "H6", (*KNOCKS, "-a", "{laptop}", "-c", "300", "{pi-server}")),
    Attack("80 forged SYNs of a host that is at work", "H6", (*KNOCKS, "-a", "{laptop}", "-c", "80", "{pi-server}"),
           beside="asks"),
    Attack("ARP, a third one inside", "H6", (*FORGE, "arp-other", "{router}", "{phone}")),
    Attack("RSTs of a false checksum or VLAN", "M5", (*FORGE, "resets", "{pi-server}", "{phone}"), NOBODY,
           beside="sessions"),
    Attack("RSTs of a false sequence number", "M5", (*FORGE, "late-resets", "{pi-server}", "{phone}"), NOBODY,
           beside="sessions", missed="a RST with a false sequence number"),
)  # fmt: skip
BESIDE = {"asks": ("laptop", (*TALK, "ask", "{pi-server}")), "sessions": ("phone", (*TALK, "hold", "{pi-server}"))}
LEAST_SLOW = 170 / 178  # of the Slow HTTP connections that are verdicts, named an attack


def judge(attack: Attack, seen: list[dict], flows: list[dict], hosts: dict[str, dict]) -> str:
    """ "right", or what is wrong with what was seen of an attack.

    `seen` are the rules' alerts, each with alert, address, mac (a host's name where it is one's) and source (proven or
    claimed); `flows` the events of flows; `hosts` has address and mac of each host by its name.
    """
    macs = {one["mac"] for one in seen} - {""}  # "": the alert accuses nobody
    if attack.named == NOBODY and seen:
        return f"expected no alert, found {len(seen)}"
    if attack.named != NOBODY and macs != {attack.named}:
        return f"expected {attack.named} alone to be named, found {', '.join(sorted(macs)) or 'nobody'}"
    own = {"", hosts[ATTACKER]["address"]}
    if others := {one["address"] for one in seen if one["source"] == "proven"} - own:
        return f"expected forged addresses to be claimed, found {', '.join(sorted(others))} proven"
    return _BESIDE[attack.beside](flows, hosts)


def _nothing(flows: list[dict], hosts: dict[str, dict]) -> str:
    """Nothing went on beside the attack."""
    return "right"


def _asks(flows: list[dict], hosts: dict[str, dict]) -> str:
    """The victim's own flows are not raised by a rule."""
    mine = [one for one in flows if one.get("ether", {}).get("src_mac") == hosts["laptop"]["mac"]]
    asked = {one["src_port"] for one in mine if one.get("dest_port") == TALK_PORT}
    raised = [one for one in mine if one["event_type"] == "alert" and one["alert"]["metadata"].get("tlids_rules")]
    if len(asked) < 20:
        return f"expected 20 exchanges of the laptop, found {len(asked)}"
    return f"expected none of the laptop's flows raised by a rule, found {len(raised)}" if raised else "right"


def _sessions(flows: list[dict], hosts: dict[str, dict]) -> str:
    """The phone's sessions stay the phone's, and no SYN flood."""
    server, phone = hosts["pi-server"]["address"], hosts["phone"]["address"]
    macs = {hosts["pi-server"]["mac"], hosts["phone"]["mac"]}  # flows of RSTs alone have the attacker's
    mine = [one for one in flows if {one["src_ip"], one["dest_ip"]} == {server, phone} and one["proto"] == "TCP"
            and set(one["ether"].values()) == macs]  # fmt: skip
    ports = {one["src_port"] for one in mine if one["src_ip"] == phone}
    turned = [one for one in mine if one["src_ip"] != phone]
    floods = [one for one in mine if _class(one) == "SYN flood"]
    if not ports >= set(SESSIONS):
        return f"expected the phone's {len(SESSIONS)} sessions, found {len(ports & set(SESSIONS))}"
    return (
        f"expected them as they are, found {len(turned)} turned and {len(floods)} SYN floods"
        if (turned or floods)
        else "right"
    )


def _http(flows: list[dict], hosts: dict[str, dict]) -> str:
    """The connections of Slow HTTP are named an attack though the table overflows."""
    server, mac = hosts["pi-server"]["address"], hosts[ATTACKER]["mac"]
    mine = [one for one in flows if one.get("ether", {}).get("src_mac") == mac and one["dest_ip"] == server
            and one.get("dest_port") == 80 and one["event_type"] == "flow"]  # fmt: skip
    named = sum(one["flow"]["alerted"] for one in mine)
    if len(mine) < 100 or named < LEAST_SLOW * len(mine):
        return f"expected 170 of 178 connections named, found {named} of {len(mine)}"
    return "right"


def _class(event: dict) -> str:
    """The model's class of a flow's event."""
    found = {one["key"]: one["value"] for one in event.get("metadata", {}).get("flowvars", ())}
    return found.get("tlids_class", "")


_BESIDE = {"": _nothing, "asks": _asks, "sessions": _sessions, "http": _http}
