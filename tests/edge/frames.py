"""Ethernet frames and captures with texts for addresses and seconds for times, on top of `build_pcap`."""

from collections.abc import Iterable
from functools import partial
from pathlib import Path

import build_pcap as build
from build_pcap import ACK, FIN, PSH, RST, SYN

__all__ = ["ACK", "FIN", "PSH", "RST", "SYN"]  # what is used of build_pcap beside frames

PCAP_HEADER = build.pcap()
T0 = build.START / build.SECOND
BROADCAST = "ff:ff:ff:ff:ff:ff"
BACK = {"src_mac": "02:00:00:00:00:02", "dst_mac": "02:00:00:00:00:01"}  # an answer to a frame of these defaults


def record(seconds: float, frame: bytes) -> bytes:
    """A pcap record."""
    return build.pcap((round(seconds * build.SECOND), frame))[len(PCAP_HEADER) :]


def pcap(packets: Iterable[tuple[float, bytes]]) -> bytes:
    """A whole capture."""
    return PCAP_HEADER + b"".join(record(seconds, frame) for seconds, frame in packets)


def put(path: Path, *hosts: list[tuple[float, bytes]]) -> str:
    """Write a capture of what hosts send, packets with their times; its path."""
    packets = [packet for each in hosts for packet in each]
    path.write_bytes(pcap(sorted(packets, key=lambda packet: packet[0])))
    return str(path)


def mac(text: str) -> bytes:
    return bytes.fromhex(text.replace(":", ""))


def ethernet(
    payload: bytes, ethertype: int = 0x0800, src_mac: str = "02:00:00:00:00:01", dst_mac: str = "02:00:00:00:00:02"
) -> bytes:
    return build.ethernet(payload, ethertype, mac(src_mac), mac(dst_mac))


def ipv4(src: str, dst: str, protocol: int, payload: bytes, **macs: str) -> bytes:
    return ethernet(build.ipv4(payload, protocol, src, dst), **macs)


def tcp(src: str, sport: int, dst: str, dport: int, flags: int, payload: bytes = b"", **macs: str) -> bytes:
    return ipv4(src, dst, 6, build.tcp(sport, dport, flags, payload), **macs)


def udp(src: str, sport: int, dst: str, dport: int, payload: bytes = b"x", **macs: str) -> bytes:
    return ipv4(src, dst, 17, build.udp(sport, dport, payload), **macs)


def arp(operation: int, sender_mac: str, sender: str, target: str, target_mac: str = BROADCAST) -> bytes:
    return ethernet(build.arp(operation, mac(sender_mac), sender, target), 0x0806, sender_mac, target_mac)


def conversation(
    src: str, sport: int, dst: str, dport: int, start: float = T0, own: str = BACK["dst_mac"]
) -> list[tuple[float, bytes]]:
    """A TCP connection that is opened, answered and ended by both sides; `own` is the MAC of who opens it."""
    there = partial(tcp, src, sport, dst, dport, src_mac=own)
    back = partial(tcp, dst, dport, src, sport, **BACK | {"dst_mac": own})
    steps = (
        (there, SYN), (back, SYN | ACK), (there, ACK), (there, PSH | ACK), (back, PSH | ACK),
        (there, FIN | ACK), (back, FIN | ACK), (there, ACK),
    )  # fmt: skip
    return [(start + 0.01 * step, send(flags=flags)) for step, (send, flags) in enumerate(steps)]
