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
from random import Random

ALL = b"\xff" * 6
GAP_S = 0.002
ELSEWHERE = bytes.fromhex("020000000001")  # a MAC address that no host has, so that none answers
SYN, RST, ACK = 2, 4, 16
SESSIONS = range(41_000, 41_010)  # the ports of `testbed.talk`
TALK_PORT = 7000


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
    body = body[:2] + checksum(source + to + struct.pack("!II", len(body), 58) + body) + body[4:]
    head = struct.pack("!IHBB", 6 << 28, len(body), 58, 255)
    for _ in range(10):
        yield b"\x33\x33\x00\x00\x00\x01" + mac + b"\x86\xdd" + head + source + to + body


def checksum(data: bytes) -> bytes:
    """The internet checksum (RFC 1071)."""
    data += bytes(len(data) % 2)
    total = sum(struct.unpack(f"!{len(data) // 2}H", data))
    total = (total & 0xFFFF) + (total >> 16)
    return struct.pack("!H", ~((total & 0xFFFF) + (total >> 16)) & 0xFFFF)


def tcp(source: str, port: int, target: str, target_port: int, flags: int, ttl: int = 64) -> bytes:
    """An IP packet with a TCP segment and nothing in it."""
    src, dst = ip_address(source).packed, ip_address(target).packed
    segment = struct.pack("!HHIIBBHHH", port, target_port, 7, 7 if flags & ACK else 0, 0x50, flags, 1024, 0, 0)
    segment = segment[:16] + checksum(src + dst + struct.pack("!II", 20, 6) + segment) + segment[18:]
    if len(src) == 16:
        return struct.pack("!IHBB", 6 << 28, 20, 6, ttl) + src + dst + segment
    head = struct.pack("!BBHHHBBH", 0x45, 0, 40, 1, 0, ttl, 6, 0) + src + dst
    return head[:10] + checksum(head) + head[12:] + segment


def frame(packet: bytes, mac: bytes, to: bytes = ELSEWHERE) -> bytes:
    """An Ethernet frame."""
    return to + mac + (b"\x08\x00" if packet[0] >> 4 == 4 else b"\x86\xdd") + packet


def answers(mac: bytes, source: str, target: str) -> Iterator[bytes]:
    """120 knocks, each answered by a SYN-ACK in the target's name."""
    for port in range(1, 121):
        yield frame(tcp(source, 40_000, target, port, SYN), mac)
        yield frame(tcp(target, port, source, 40_000, SYN | ACK), mac, mac)


def between(mac: bytes, source: str, target: str) -> Iterator[bytes]:
    """80 knocks, 512 from forged addresses before each."""
    chance = Random(1)
    for port in range(1, 81):
        for _ in range(512):
            forged = str(ip_address(0x0A00_0000 + chance.getrandbits(24)))
            yield frame(tcp(forged, 40_000, target, 80, SYN), mac)
        yield frame(tcp(source, 40_000, target, port, SYN), mac)


def addresses6(mac: bytes, source: str, target: str) -> Iterator[bytes]:
    """1,000 ports, each from another address of one IPv6 network."""
    for port in range(1, 1001):
        yield frame(tcp(f"2001:db8:0:aa::{port:x}", 40_000, "2001:db8:0:bb::1", port, SYN), mac)


def gre(mac: bytes, source: str, target: str) -> Iterator[bytes]:
    """200 knocks inside a tunnel."""
    head = struct.pack("!BBHHHBBH", 0x45, 0, 64, 1, 0, 64, 47, 0) + bytes([10, 1, 1, 1, 10, 1, 1, 2])
    head = head[:10] + checksum(head) + head[12:] + struct.pack("!HH", 0, 0x0800)
    for port in range(1, 201):
        yield frame(head + tcp(source, 40_000, target, port, SYN), mac)


def resets(mac: bytes, server: str, client: str) -> Iterator[bytes]:
    """RSTs into the sessions of `testbed.talk` that no host accepts, by their checksum or their VLAN."""
    for _ in range(20):
        for port in SESSIONS:
            packet = tcp(server, TALK_PORT, client, port, RST | ACK, ttl=1)
            yield frame(packet[:36] + b"\xbe\xef" + packet[38:], mac)
            whole = frame(packet, mac)
            yield whole[:12] + b"\x81\x00\x00\x07" + whole[12:]


def late_resets(mac: bytes, server: str, client: str) -> Iterator[bytes]:
    """RSTs into the sessions of `testbed.talk` that no host accepts, by their sequence number."""
    for _ in range(20):
        for port in SESSIONS:
            yield frame(tcp(server, TALK_PORT, client, port, RST | ACK, ttl=1), mac)


KINDS = {
    "arp-group": arp_group, "arp-other": arp_other, "arp-crowd": arp_crowd, "arp-asking": arp_asking,
    "neighbour": neighbour, "answers": answers, "between": between, "addresses6": addresses6, "gre": gre,
    "resets": resets, "late-resets": late_resets,
}  # fmt: skip


def main(kind: str, victim: str, target: str) -> int:
    """Send the frames of one kind from eth0, as if `victim` spoke to `target`."""
    if "TLIDS_TESTBED_OUTSIDE" not in os.environ:
        print("forge: expected the testbed's namespaces, found none: nothing was sent", file=sys.stderr)
        return 2
    mac = bytes.fromhex(Path("/sys/class/net/eth0/address").read_text().strip().replace(":", ""))
    with socket.socket(socket.AF_PACKET, socket.SOCK_RAW) as wire:
        wire.bind(("eth0", 0))
        for made in KINDS[kind](mac, victim, target):
            wire.send(made)
            time.sleep(GAP_S if kind != "between" else GAP_S / 20)
    return 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:4]))
