"""Captures of handshakes whose times, or whose files, are in disorder."""

import random
import shutil
import subprocess
from pathlib import Path

import pytest
from build_pcap import ACK, ALICE, BOB, FIN, PSH, START, SYN, ethernet, ipv4, pcap, tcp, udp

MS = 1000  # microseconds
CLIENT_PORT = 40_000


def session(start: int, port: int = CLIENT_PORT, gap: int = 10 * MS) -> list[tuple[int, bytes]]:
    """Handshake, request, answer and end of one connection of Alice with Bob: eight packets."""
    there = [SYN, None, ACK, PSH | ACK, None, FIN | ACK, None, ACK]
    back = {1: SYN | ACK, 4: PSH | ACK, 6: FIN | ACK}
    frames = []
    for place, flags in enumerate(there):
        if flags is None:
            frame = ethernet(ipv4(tcp(80, port, back[place], b"answer" * (place == 4)), src=BOB, dst=ALICE))
        else:
            frame = ethernet(ipv4(tcp(port, 80, flags, b"request" * (place == 3))))
        frames.append((start + place * gap, frame))
    return frames


def question(start: int, port: int = CLIENT_PORT) -> list[tuple[int, bytes]]:
    """A datagram and its answer, 3 ms later."""
    answer = ethernet(ipv4(udp(53, port, b"answer"), 17, src=BOB, dst=ALICE))
    return [(start, ethernet(ipv4(udp(port, 53, b"question"), 17))), (start + 3 * MS, answer)]


def day(sessions: int = 40, apart: int = 130 * MS) -> list[tuple[int, bytes]]:
    """Connections and questions that overlap, in the order of time."""
    packets = []
    for index in range(sessions):
        packets += session(START + index * apart, CLIENT_PORT + index, 40 * MS)
        packets += question(START + index * apart + 7 * MS, 50_000 + index)
    return sorted(packets, key=lambda packet: packet[0])


def shaken(packets: list[tuple[int, bytes]], by: int, seed: int = 1) -> list[tuple[int, bytes]]:
    """The packets stored up to `by` microseconds out of place, with their times as they are."""
    chance = random.Random(seed)
    return [packet for _, packet in sorted((packet[0] + chance.randrange(by), packet) for packet in packets)]


def swapped(packets: list, one: int = 0, other: int = 1) -> list:
    """Two packets stored the wrong way round."""
    packets = list(packets)
    packets[one], packets[other] = packets[other], packets[one]
    return packets


def with_time(packets: list, place: int, time_us: int) -> list:
    """One packet with another time."""
    packets = list(packets)
    packets[place] = (time_us, packets[place][1])
    return packets


def written(path: Path, packets: list, **settings) -> Path:
    """A pcap file of them."""
    path.write_bytes(pcap(*packets, **settings))
    return path


def tool(name: str, *arguments: object) -> None:
    """Run a tool of Wireshark's, an oracle that shares no code with us; skip where it is missing."""
    if shutil.which(name) is None:
        pytest.skip(f"needs {name}, which comes with tshark")
    subprocess.run([name, *map(str, arguments)], check=True, capture_output=True)
