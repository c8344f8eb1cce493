"""The attacks of `testbed.attack_table`: what runs, and what must be seen of it."""

import sys
from collections import Counter
from typing import NamedTuple

from testbed.forge import SESSIONS, TALK_PORT

ATTACKER, NOBODY = "attacker", "nobody"
SCAN = ("nmap", "-n", "-Pn", "-T4", "--max-retries", "0", "-p", "1-300")
FORGE = (sys.executable, "-m", "testbed.forge")
TALK = (sys.executable, "-m", "testbed.talk")
KNOCKS = ("hping3", "-q", "-S", "-p", "++1", "-i", "u5000")
SLOW = ("slowhttptest", "-H", "-c", "178", "-r", "25", "-i", "5", "-x", "24", "-l", "15", "-p", "5",
        "-u", "http://{pi-server}/")  # fmt: skip


class Attack(NamedTuple):
    """One attack. `{phone}` and such are the hosts' addresses."""

    name: str
    row: str  # of the review of security that it was found in, "" for one of its own
    command: tuple[str, ...]  # that the attacker runs
    named: str = ATTACKER  # whom every alert must name by MAC address; NOBODY: there must be none
    beside: str = ""  # what goes on beside it, of BESIDE, with a check of its own
    options: tuple[str, ...] = ()  # of tlids-edge
    missed: str = ""  # for one that is: how edge/DETAILS.md says so


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
    Attack("four hosts, scanned alternately", "H3", (*SCAN, "-sS", "--min-hostgroup", "4",
                                   "{router}", "{phone}", "{laptop}", "{television}")),
    Attack("a forged answer to each probe", "H3", (*FORGE, "answers", "{attacker}", "{pi-server}")),
    Attack("512 forged sources between probes", "H3", (*FORGE, "between", "{attacker}", "{pi-server}")),
    Attack("1,000 addresses of one IPv6 network", "H3", (*FORGE, "addresses6", "{attacker}", "{pi-server}")),
    Attack("a scan inside GRE, with --decap", "H3", (*FORGE, "gre", "{attacker}", "{pi-server}"),
           options=("--decap",)),
    Attack("a scan inside GRE, without --decap", "H3", (*FORGE, "gre", "{attacker}", "{pi-server}"), NOBODY,
           missed="what is inside a tunnel, unless `--decap` is given"),
    Attack("Slow HTTP beside a flood of forged flows", "H4", SLOW, beside="flood", options=("--flow-alerts", "some")),
    Attack("ARP man in the middle", "H5", ("timeout", "-s", "INT", "8", "arpspoof", "-i", "eth0",
                                           "-t", "{phone}", "{router}")),
    Attack("ARP, a group address as sender", "H5", (*FORGE, "arp-group", "{router}", "{phone}")),
    Attack("ARP, invented senders", "H5", (*FORGE, "arp-crowd", "{router}", "{phone}")),
    Attack("ARP, replies to its own requests", "H5", (*FORGE, "arp-asking", "{router}", "{phone}")),
    Attack("IPv6 neighbour advertisements", "H5", (*FORGE, "neighbour", "fe80::1", "ff02::1")),
    Attack("forged source", "H6", (*KNOCKS, "-a", "{laptop}", "-c", "300", "{pi-server}")),
    Attack("80 forged SYNs in the name of an active host", "H6", (*KNOCKS, "-a", "{laptop}", "-c", "80", "{pi-server}"),
           beside="asks"),
    Attack("ARP, another device's MAC address inside", "H6", (*FORGE, "arp-other", "{router}", "{phone}")),
    Attack("RSTs with a false checksum or VLAN", "M5", (*FORGE, "resets", "{pi-server}", "{phone}"), NOBODY,
           beside="resets"),
    Attack("RSTs with a false sequence number", "M5", (*FORGE, "late-resets", "{pi-server}", "{phone}"), NOBODY,
           beside="late-resets", missed="a RST with a false sequence number"),
)  # fmt: skip
# what -> who runs which command; it writes `begun`, goes on until SIGTERM, and then ends in good order
BESIDE = {
    "asks": ("laptop", (*TALK, "ask", "{pi-server}")),
    "resets": ("phone", (*TALK, "hold", "{pi-server}", "resets")),
    "late-resets": ("phone", (*TALK, "hold", "{pi-server}", "late-resets")),
    "flood": (ATTACKER, (*FORGE, "flood", "{attacker}", "{phone}")),
}  # fmt: skip
LEAST_SLOW = 170  # of the 178 Slow HTTP connections, alarms of an incident
INCIDENT_CLOSES = 9_300_003
LEAST_RATE = 5_700  # of the 6,000 forged flows a second


def judge(attack: Attack, seen: list[dict], events: list[dict], hosts: dict[str, dict], rate: int = 0) -> str:
    """ "right", or what is wrong with what was seen of an attack.

    `seen` are the rules' alerts, each with alert, address, mac (a host's name where it is one's) and source (proven or
    claimed); `events` are all lines; `hosts` has address and mac of each host by its name; `rate` are the forged frames
    that went out in a second.
    """
    if wrong := judge_named(attack.named, seen, hosts):
        return wrong
    if attack.beside == "flood" and rate < LEAST_RATE:
        return f"expected 6,000 forged flows a second, found {rate:,}"
    if attack.beside == "flood":
        return _http(events, hosts)
    return _BESIDE[attack.beside]([event for event in events if "flow" in event], hosts)


def judge_named(named: str, seen: list[dict], hosts: dict[str, dict]) -> str:
    """What is wrong with whom the rules' alerts name, "" when nothing is; the arguments are those of `judge`."""
    macs = {one["mac"] for one in seen} - {""}  # "": the alert accuses nobody
    if named == NOBODY and seen:
        return f"expected no alert, found {len(seen)}"
    if named != NOBODY and macs != {named}:
        return f"expected {named} alone to be named, found {', '.join(sorted(macs)) or 'nobody'}"
    own = {"", hosts[ATTACKER]["address"]}
    others = {one["address"] for one in seen if one["source"] == "proven"} - own
    return f"expected forged addresses to be claimed, found {', '.join(sorted(others))} proven" if others else ""


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


def _resets(flows: list[dict], hosts: dict[str, dict]) -> str:
    """The phone's sessions stay the phone's, whole, and no SYN flood."""
    mine, turned = _sessions(flows, hosts, "resets")
    floods = [one for one in mine if _class(one) == "SYN flood"]
    ports = Counter(one["src_port"] for one in mine if one["event_type"] == "flow")
    if len(ports) < len(SESSIONS["resets"]):
        return f"expected {len(SESSIONS['resets'])} sessions of the phone, found {len(ports)}, {len(turned)} turned"
    if turned or floods:
        return f"expected them as they are, found {len(turned)} turned and {len(floods)} SYN floods"
    cut = sum(count > 1 for count in ports.values())
    return f"expected each session to be one flow, found {cut} cut" if cut else "right"


def _late_resets(flows: list[dict], hosts: dict[str, dict]) -> str:
    """The phone's sessions are cut, as edge/DETAILS.md says, and stay the phone's."""
    mine, turned = _sessions(flows, hosts, "late-resets")
    ports = Counter(one["src_port"] for one in mine if one["event_type"] == "flow")
    cut = sum(count > 1 for count in ports.values())
    if cut < len(SESSIONS["late-resets"]):
        return f"expected the phone's {len(SESSIONS['late-resets'])} sessions to be cut, found {cut}"
    return f"expected them to be the phone's, found {len(turned)} turned" if turned else "right"


def _sessions(flows: list[dict], hosts: dict[str, dict], kind: str) -> tuple[list[dict], list[dict]]:
    """The events of the phone's sessions, and of those that seem to be the server's."""
    server, phone = hosts["pi-server"]["address"], hosts["phone"]["address"]
    macs = {hosts["pi-server"]["mac"], hosts["phone"]["mac"]}  # flows of RSTs alone have the attacker's
    both = [one for one in flows if {one["src_ip"], one["dest_ip"]} == {server, phone} and one["proto"] == "TCP"
            and set(one["ether"].values()) == macs]  # fmt: skip
    mine = [one for one in both if one["src_ip"] == phone and one["src_port"] in SESSIONS[kind]]
    return mine, [one for one in both if one["src_ip"] != phone]


def _http(events: list[dict], hosts: dict[str, dict]) -> str:
    """The connections of Slow HTTP are alarms of an incident though the table overflows; not each of them is listed."""
    server, address = hosts["pi-server"]["address"], hosts[ATTACKER]["address"]
    over = [one for one in events if one["event_type"] == "alert" and one["alert"]["signature_id"] == INCIDENT_CLOSES]
    mine = [one for one in over if one.get("src_ip") == address
            or (one.get("dest_ip"), one.get("dest_port")) == (server, 80)]  # fmt: skip
    named = sum(int(one["alert"]["metadata"]["tlids_flows"][0]) for one in mine)
    return "right" if named >= LEAST_SLOW else f"expected {LEAST_SLOW} of 178 connections named, found {named}"


def _class(event: dict) -> str:
    """The model's class of a flow's event."""
    found = {one["key"]: one["value"] for one in event.get("metadata", {}).get("flowvars", ())}
    return found.get("tlids_class", "")


_BESIDE = {"": _nothing, "asks": _asks, "resets": _resets, "late-resets": _late_resets}
