"""The transport header of an IP packet: ports, TCP's flags and window, the payload's length, the checksum of a RST.

A TCP header that the snap length or a first fragment ends early is read as far as it goes, once it has its ports: what
is missing counts as 0. A whole packet whose TCP header is shorter than 20 bytes contradicts itself.
"""

import struct

from tlids_edge.capture.link_layers import Malformed

ICMP, TCP, UDP, ICMPV6 = 1, 6, 17, 58
RST = 0x04
LEAST_FIRST = 8  # bytes of TCP that a first fragment holds: fragments come in eights
TCP_HEADER = 20
_DCCP, _SCTP, _UDPLITE = 33, 132, 136
PORTS_FIRST = (_DCCP, _SCTP, _UDPLITE)  # four bytes of ports open the header, as in UDP

Transport = tuple[int, int, int, int, int]  # ports, TCP flags, TCP window, payload length
unpack_tcp = struct.Struct("!HH8xBBH").unpack_from
_unpack_ports = struct.Struct("!HH").unpack_from


def read_transport(frame: bytes, at: int, protocol: int, size: int, more: int) -> Transport:
    """Read the transport header at `at`, in an IP payload of `size` bytes; `more` when later fragments follow.

    Raises:
        Malformed: the header is cut, or contradicts itself.
    """
    if protocol == TCP:  # RFC 9293
        if len(frame) < at + 16 or size < TCP_HEADER:
            return _cut_tcp(frame, at, size, more)
        src_port, dst_port, data_offset, flags, window = unpack_tcp(frame, at)
        header = data_offset >> 4 << 2
        if not TCP_HEADER <= header <= size:
            if more and header >= TCP_HEADER:
                return src_port, dst_port, flags, window, 0
            raise Malformed("TCP data offset")
        return src_port, dst_port, flags, window, size - header
    if protocol == UDP:  # RFC 768
        if len(frame) < at + 4 or size < 8:
            raise Malformed("UDP header cut")
        src_port, dst_port = _unpack_ports(frame, at)
        return src_port, dst_port, 0, 0, size - 8
    if protocol in PORTS_FIRST and size >= 4 and len(frame) >= at + 4:
        return frame[at] << 8 | frame[at + 1], frame[at + 2] << 8 | frame[at + 3], 0, 0, size
    return 0, 0, 0, 0, size


def _cut_tcp(frame: bytes, at: int, size: int, more: int) -> Transport:
    """A TCP header that the snap length or the first fragment ends after the ports."""
    captured = min(len(frame) - at, size)
    if captured < 4 or size < (LEAST_FIRST if more else TCP_HEADER):
        raise Malformed("TCP header cut")
    src_port, dst_port = _unpack_ports(frame, at)
    header = frame[at + 12] >> 4 << 2 if captured > 12 else TCP_HEADER
    flags = frame[at + 13] if captured > 13 else 0
    window = frame[at + 14] << 8 | frame[at + 15] if captured > 15 else 0
    if header < TCP_HEADER or header > size and not more:
        raise Malformed("TCP data offset")
    return src_port, dst_port, flags, window, max(0, size - header)


def check_reset(frame: bytes, at: int, size: int, src: bytes, dst: bytes) -> None:
    """Refuse a RST that no host would take: its checksum is wrong, and all `size` bytes of its TCP were captured.

    A checksum that the network card has yet to complete is the sum of the pseudo header (RFC 9293, 3.1) alone; a
    capture on the sending machine shows it, so it counts as right. Sums in ones' complement are remainders by 65,535.

    Raises:
        Malformed: the checksum is wrong.
    """
    if len(frame) < at + size:
        return
    pseudo = int.from_bytes(src + dst) + TCP + size
    segment = int.from_bytes(frame[at : at + size]) << 8 * (size & 1)
    found = frame[at + 16] << 8 | frame[at + 17]
    if (pseudo + segment) % 0xFFFF and (found - pseudo) % 0xFFFF:
        raise Malformed("RST checksum")
