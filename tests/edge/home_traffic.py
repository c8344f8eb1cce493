"""What happens in a small home: ordinary ARP, an ARP spoof, a port scan, as frames and as packets."""

import io

from frames import ACK, RST, SYN, T0, arp, pcap, tcp
from tlids_edge.capture.packets import Packet, PacketStats, read_packets

GATEWAY, GATEWAY_MAC = "192.168.1.1", "aa:00:00:00:00:01"
PHONE, PHONE_MAC = "192.168.1.20", "aa:00:00:00:00:20"
ATTACKER_MAC = "66:66:66:66:66:66"
REQUEST, REPLY = 1, 2


def packets(frames) -> list[Packet]:
    """Frames as the packets that the rules are fed."""
    return list(read_packets(io.BytesIO(pcap(frames)), PacketStats()))


def ask(seconds: float, mac: str, who: str, target: str):
    return (T0 + seconds, arp(REQUEST, mac, who, target))


def answer(seconds: float, mac: str, address: str, to: str, to_mac: str):
    return (T0 + seconds, arp(REPLY, mac, address, to, to_mac))


def spoof(seconds: float):
    """What Ettercap sends: the attacker tells the phone that it is the gateway."""
    return answer(seconds, ATTACKER_MAC, GATEWAY, PHONE, PHONE_MAC)


ORDINARY = [ask(0, PHONE_MAC, PHONE, GATEWAY), answer(0.001, GATEWAY_MAC, GATEWAY, PHONE, PHONE_MAC)]


def scan(count: int, gap: float = 0.01, refused: bool = True):
    frames = []
    for n in range(count):
        frames.append((T0 + n * gap, tcp(PHONE, 40000, GATEWAY, 1 + n, SYN)))
        if refused:
            frames.append((T0 + n * gap + 0.001, tcp(GATEWAY, 1 + n, PHONE, 40000, RST | ACK)))
    return frames
