"""Frames and captures built by hand with struct: every number in a test can be worked out on paper."""

import struct
from ipaddress import ip_address

ALICE, BOB = "10.0.0.1", "10.0.0.2"
ALICE6, BOB6 = "2001:db8::1", "2001:db8::2"
ALICE_MAC, BOB_MAC = bytes.fromhex("020000000001"), bytes.fromhex("020000000002")
FIN, SYN, RST, PSH, ACK = 1, 2, 4, 8, 16
SECOND = 1_000_000
START = 1_700_000_000 * SECOND  # microseconds


def tcp(src_port=40000, dst_port=80, flags=ACK, payload=b"", window=1000, options=b"", data_offset=None) -> bytes:
    offset = (5 + len(options) // 4) if data_offset is None else data_offset
    header = struct.pack("!HHIIBBHHH", src_port, dst_port, 1, 1, offset << 4, flags, window, 0, 0)
    return header + options + payload


def udp(src_port=40000, dst_port=53, payload=b"") -> bytes:
    return struct.pack("!HHHH", src_port, dst_port, 8 + len(payload), 0) + payload


def icmp(kind=8, payload=b"") -> bytes:
    return struct.pack("!BBHHH", kind, 0, 0, 1, 1) + payload


def ipv4(
    payload, protocol=6, src=ALICE, dst=BOB, options=b"", fragment=0, length=None, version=4, identification=1
) -> bytes:
    header = 20 + len(options)
    total = header + len(payload) if length is None else length
    start = struct.pack("!BBHHHBBH", version << 4 | header // 4, 0, total, identification, fragment, 64, protocol, 0)
    ends = ip_address(src).packed + ip_address(dst).packed
    return start + ends + options + (payload if fragment else summed(payload, protocol, ends))


def ipv6(payload, protocol=6, src=ALICE6, dst=BOB6, length=None) -> bytes:
    size = len(payload) if length is None else length
    ends = ip_address(src).packed + ip_address(dst).packed
    return struct.pack("!IHBB", 6 << 28, size, protocol, 64) + ends + summed(payload, protocol, ends)


def summed(segment, protocol, ends) -> bytes:
    """A TCP segment whose checksum was left 0, with the right one (RFC 9293, 3.1); anything else as it is."""
    if protocol != 6 or len(segment) < 20 or segment[16:18] != bytes(2):
        return segment
    words = ends + struct.pack("!HH", 6, len(segment)) + segment + bytes(len(segment) % 2)
    total = sum(struct.unpack(f"!{len(words) // 2}H", words))
    while total > 0xFFFF:
        total = (total >> 16) + (total & 0xFFFF)
    return segment[:16] + struct.pack("!H", 0xFFFF - total) + segment[18:]


def ethernet(payload, ethertype=0x0800, src=ALICE_MAC, dst=BOB_MAC) -> bytes:
    return dst + src + struct.pack("!H", ethertype) + payload


def arp(operation=1, sender_mac=ALICE_MAC, sender=ALICE, target=BOB) -> bytes:
    body = struct.pack("!HHBBH", 1, 0x0800, 6, 4, operation)
    return body + sender_mac + ip_address(sender).packed + bytes(6) + ip_address(target).packed


def pcap(*frames, link_type=1, order="<", nanoseconds=False, snap_length=262144) -> bytes:
    """Frames are bytes, or (time in microseconds, bytes); cut at the snap length."""
    magic = 0xA1B23C4D if nanoseconds else 0xA1B2C3D4
    capture = bytearray(struct.pack(order + "IHHiIII", magic, 2, 4, 0, 0, snap_length, link_type))
    for index, frame in enumerate(frames):
        time_us, data = frame if isinstance(frame, tuple) else (START + index * SECOND, frame)
        kept = data[:snap_length]
        fraction = time_us % SECOND * (1000 if nanoseconds else 1)
        capture += struct.pack(order + "IIII", time_us // SECOND, fraction, len(kept), len(data)) + kept
    return bytes(capture)


def section(order="<") -> bytes:
    return _block(0x0A0D0D0A, struct.pack(order + "IHHq", 0x1A2B3C4D, 1, 0, -1), order)


def interface(link_type=1, options=b"", snap_length=0, order="<") -> bytes:
    return _block(1, struct.pack(order + "HHI", link_type, 0, snap_length) + options, order)


def option(code, value, order="<") -> bytes:
    return struct.pack(order + "HH", code, len(value)) + value + bytes(-len(value) % 4)


def enhanced_packet(frame, ticks=START, number=0, order="<", wire_length=None) -> bytes:
    size = len(frame) if wire_length is None else wire_length
    head = struct.pack(order + "IIIII", number, ticks >> 32, ticks & 0xFFFFFFFF, len(frame), size)
    return _block(6, head + frame + bytes(-len(frame) % 4), order)


def simple_packet(frame, order="<") -> bytes:
    return _block(3, struct.pack(order + "I", len(frame)) + frame + bytes(-len(frame) % 4), order)


def old_packet(frame, ticks=START, number=0, order="<") -> bytes:
    head = struct.pack(order + "HHIIII", number, 0, ticks >> 32, ticks & 0xFFFFFFFF, len(frame), len(frame))
    return _block(2, head + frame + bytes(-len(frame) % 4), order)


def _block(kind, body, order) -> bytes:
    length = struct.pack(order + "I", len(body) + 12)
    return struct.pack(order + "I", kind) + length + body + length
