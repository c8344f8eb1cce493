"""What tshark says about a capture, as dictionaries keyed by direction: an oracle that shares no code with us."""

import re
import subprocess
from collections import Counter
from ipaddress import ip_address
from pathlib import Path

# Reassembly off: a fragment after the first then belongs to the addresses alone, as in the meter.
OPTIONS = (
    "-o",
    "ip.defragment:FALSE",
    "-o",
    "ipv6.defragment:FALSE",
    "-o",
    "tcp.desegment_tcp_streams:FALSE",
)
FIELDS = (
    "ip.src",
    "ip.dst",
    "ip.len",
    "ip.proto",
    "ipv6.src",
    "ipv6.dst",
    "ipv6.plen",
    "ipv6.nxt",
    "frame.len",
)
SECTION = re.compile(r"^(TCP|UDP|IPv4|IPv6) Conversations")
ROW = re.compile(r"^(\S+)\s+<->\s+(\S+)\s+(\d+) \S+ \S+\s+(\d+) \S+ \S+")

Direction = tuple[str, str, int, str, int]  # TCP, UDP or IP; source, its port, destination, its port


def conversations(capture: Path) -> tuple[Counter, Counter]:
    """Run tshark once: frames per direction (`-z conv`), and IP bytes per pair of addresses (fields)."""
    statistics = [part for kind in ("tcp", "udp", "ip", "ipv6") for part in ("-z", f"conv,{kind}")]
    fields = [part for name in FIELDS for part in ("-e", name)]
    command = [
        "tshark",
        "-n",
        "-r",
        str(capture),
        *OPTIONS,
        "-T",
        "fields",
        "-E",
        "occurrence=f",
        *fields,
        *statistics,
    ]
    output = subprocess.run(command, capture_output=True, text=True).stdout
    table_start = output.find("=" * 60)
    return _frames(output[table_start:]), _ip_bytes(output[:table_start])


def _frames(text: str) -> Counter:
    frames, kind = Counter(), ""
    for line in text.splitlines():
        if match := SECTION.match(line):
            kind = "IP" if match[1].startswith("IP") else match[1]
        elif match := ROW.match(line):
            one, other = _endpoint(match[1], kind), _endpoint(match[2], kind)
            frames[(kind, *other, *one)] += int(match[3])
            frames[(kind, *one, *other)] += int(match[4])
    return +frames


def _endpoint(text: str, kind: str) -> tuple[str, int]:
    address, port = text.rsplit(":", 1) if kind != "IP" else (text, "0")
    return str(ip_address(address)), int(port)


def _ip_bytes(text: str) -> Counter:
    total = Counter()
    for line in text.splitlines():
        src, dst, length, _, src6, dst6, length6, _, frame = (line.split("\t") + [""] * 9)[:9]
        if src:
            total[str(ip_address(src)), str(ip_address(dst))] += int(length)
        elif src6:
            total[str(ip_address(src6)), str(ip_address(dst6))] += int(length6) + 40
    return total
