"""Frames and captures made by hand: Ethernet, IPv4, TCP, UDP, ARP."""

import socket
import struct
from collections.abc import Iterable

SYN, RST, PSH, ACK, FIN = 0x02, 0x04, 0x08, 0x10, 0x01
PCAP_HEADER = struct.pack("<IHHiIII", 0xA1B2C3D4, 2, 4, 0, 0, 262144, 1)
T0 = 1_700_000_000.0
BROADCAST = "ff:ff:ff:ff:ff:ff"


def record(seconds: float, frame: bytes) -> bytes:
    """A pcap record."""
    whole, micros = divmod(round(seconds * 1e6), 1_000_000)
    return struct.pack("<IIII", whole, micros, len(frame), len(frame)) + frame


def pcap(packets: Iterable[tuple[float, bytes]]) -> bytes:
    """A whole capture."""
    return PCAP_HEADER + b"".join(record(seconds, frame) for seconds, frame in packets)


def mac(text: str) -> bytes:
    return bytes.fromhex(text.replace(":", ""))


def ethernet(payload: bytes, ethertype: int, src: str, dst: str) -> bytes:
    return mac(dst) + mac(src) + struct.pack("!H", ethertype) + payload


def ipv4(
    src: str,
    dst: str,
    protocol: int,
    payload: bytes,
    src_mac="02:00:00:00:00:01",
    dst_mac="02:00:00:00:00:02",
):
    header = struct.pack(
        "!BBHHHBBH4s4s",
        0x45,
        0,
        20 + len(payload),
        0,
        0,
        64,
        protocol,
        0,
        socket.inet_aton(src),
        socket.inet_aton(dst),
    )
    return ethernet(header + payload, 0x0800, src_mac, dst_mac)


def tcp(src: str, sport: int, dst: str, dport: int, flags: int, payload: bytes = b"", **macs: str) -> bytes:
    segment = struct.pack("!HHIIBBHHH", sport, dport, 0, 0, 0x50, flags, 8192, 0, 0) + payload
    return ipv4(src, dst, 6, segment, **macs)


def udp(src: str, sport: int, dst: str, dport: int, payload: bytes = b"x", **macs: str) -> bytes:
    return ipv4(src, dst, 17, struct.pack("!HHHH", sport, dport, 8 + len(payload), 0) + payload, **macs)


def arp(operation: int, sender_mac: str, sender: str, target: str, target_mac: str = BROADCAST) -> bytes:
    body = struct.pack(
        "!HHBBH6s4s6s4s", 1, 0x0800, 6, 4, operation,
        mac(sender_mac), socket.inet_aton(sender), mac(target_mac), socket.inet_aton(target),
    )  # fmt: skip
    return ethernet(body, 0x0806, sender_mac, target_mac)


def conversation(src: str, sport: int, dst: str, dport: int, start: float = T0) -> list[tuple[float, bytes]]:
    """A TCP connection that is opened, answered and ended by both sides."""
    there, back = (src, sport, dst, dport), (dst, dport, src, sport)
    steps = (
        (there, SYN), (back, SYN | ACK), (there, ACK), (there, PSH | ACK), (back, PSH | ACK),
        (there, FIN | ACK), (back, FIN | ACK), (there, ACK),
    )  # fmt: skip
    return [(start + 0.01 * step, tcp(*ends, flags)) for step, (ends, flags) in enumerate(steps)]
