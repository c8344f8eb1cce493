"""From a captured frame to the network packet inside it.

Each decoder takes the frame and returns (ethertype, offset of the network header, destination MAC, source MAC);
addresses a link layer does not have are b"". Link types are numbered as on https://www.tcpdump.org/linktypes.html.
"""

import struct
from collections.abc import Callable

IPV4, IPV6, ARP = 0x0800, 0x86DD, 0x0806
OTHER = 0xFFFF  # a whole frame that carries something else
_VLAN = (0x8100, 0x88A8, 0x9100, 0x9200)  # 802.1Q, 802.1ad, and two that were used before it
_MPLS, _PPPOE_SESSION = (0x8847, 0x8848), 0x8864
_PPP_PROTOCOL = {0x0021: IPV4, 0x0057: IPV6, 0x0281: _MPLS[0]}
_LLC_SNAP = b"\xaa\xaa\x03"

LinkHeader = tuple[int, int, bytes, bytes]


class Malformed(Exception):  # noqa: N818 - it never leaves the package: a packet that raises it is counted
    """A packet contradicts itself or ends inside a header; the text is the reason under which it is counted."""


def _ethernet(frame: bytes) -> LinkHeader:
    """IEEE 802.3: 6 + 6 bytes of addresses, then an ethertype, or a length before an LLC header."""
    if len(frame) < 14:
        raise Malformed("Ethernet header cut")
    dst, src, ethertype = _unpack_ethernet(frame)
    if ethertype == IPV4:
        return ethertype, 14, dst, src
    if ethertype < 0x0600:
        return *_llc(frame, 14), dst, src
    return *_inside(frame, ethertype, 14), dst, src


_unpack_ethernet = struct.Struct("!6s6sH").unpack_from


def _inside(frame: bytes, ethertype: int, offset: int) -> tuple[int, int]:
    """Step over VLAN tags, MPLS labels and PPPoE to the first network header."""
    while ethertype in _VLAN:
        ethertype, offset = _short(frame, offset + 2), offset + 4
    if ethertype == _PPPOE_SESSION:  # RFC 2516: 6 bytes, then the PPP protocol
        ethertype, offset = _PPP_PROTOCOL.get(_short(frame, offset + 6), OTHER), offset + 8
    if ethertype in _MPLS:
        return _mpls(frame, offset)
    if ethertype < 0x0600:
        return _llc(frame, offset)
    return ethertype, offset


def _short(frame: bytes, offset: int) -> int:
    """Two bytes as a number."""
    if len(frame) < offset + 2:
        raise Malformed("link header cut")
    return frame[offset] << 8 | frame[offset + 1]


def _llc(frame: bytes, offset: int) -> tuple[int, int]:
    """IEEE 802.2 with the SNAP extension (RFC 1042); other service access points carry no IP."""
    if frame[offset : offset + 3] != _LLC_SNAP:
        return OTHER, offset
    return _short(frame, offset + 6), offset + 8


def _mpls(frame: bytes, offset: int) -> tuple[int, int]:
    """RFC 3032: 4 bytes a label, the last one marked; what follows is told by its first four bits."""
    while True:
        if len(frame) < offset + 5:
            raise Malformed("link header cut")
        offset += 4
        if frame[offset - 2] & 1:
            return {4: IPV4, 6: IPV6}.get(frame[offset] >> 4, OTHER), offset


def _raw(frame: bytes) -> LinkHeader:
    """No link header: the first four bits are the IP version."""
    if not frame:
        raise Malformed("IP header cut")
    return {4: IPV4, 6: IPV6}.get(frame[0] >> 4, OTHER), 0, b"", b""


def _loopback(frame: bytes) -> LinkHeader:
    """BSD loopback: a 4-byte address family in the recording machine's byte order; AF_INET6 differs by system."""
    if len(frame) < 4:
        raise Malformed("loopback header cut")
    family = max(frame[0], frame[3]) if frame[1] == frame[2] == 0 else -1
    return {2: IPV4, 10: IPV6, 24: IPV6, 28: IPV6, 30: IPV6}.get(family, OTHER), 4, b"", b""


def _cooked(frame: bytes) -> LinkHeader:
    """Linux cooked v1: packet type, ARPHRD, address length, source address (8 bytes), ethertype."""
    if len(frame) < 16:
        raise Malformed("cooked header cut")
    src = frame[6:12] if frame[4:6] == b"\x00\x06" else b""
    return *_inside(frame, _short(frame, 14), 16), b"", src


def _cooked_2(frame: bytes) -> LinkHeader:
    """Linux cooked v2: ethertype, reserved, interface, ARPHRD, packet type, address length, source address."""
    if len(frame) < 20:
        raise Malformed("cooked header cut")
    src = frame[12:18] if frame[11] == 6 else b""
    return *_inside(frame, _short(frame, 0), 20), b"", src


def _ppp(frame: bytes) -> LinkHeader:
    """RFC 1662, with or without address and control bytes; Cisco HDLC is told by its address 0x0f or 0x8f."""
    if frame[:1] in (b"\x0f", b"\x8f"):
        return _hdlc(frame)
    offset = 2 if frame[:2] == b"\xff\x03" else 0
    return *_inside(frame, _PPP_PROTOCOL.get(_short(frame, offset), OTHER), offset + 2), b"", b""


def _hdlc(frame: bytes) -> LinkHeader:
    """Cisco HDLC: address, control, ethertype."""
    return *_inside(frame, _short(frame, 2), 4), b"", b""


def _radiotap(frame: bytes) -> LinkHeader:
    """A radiotap header (little-endian length at byte 2), then 802.11."""
    if len(frame) < 4:
        raise Malformed("radiotap header cut")
    start = frame[2] | frame[3] << 8
    if start < 8 or start >= len(frame):
        raise Malformed("radiotap header cut")
    return _wireless(frame, start)


def _wireless(frame: bytes, start: int = 0) -> LinkHeader:
    """IEEE 802.11: data frames that are not encrypted; everything else counts as carrying no IP."""
    if len(frame) < start + 24:
        return OTHER, start, b"", b""  # control frames are shorter than a data header
    control, flags = frame[start], frame[start + 1]
    if control & 0x0C != 0x08 or control & 0x40 or flags & 0x40:  # not data, no body, encrypted
        return OTHER, start, b"", b""
    first, second, third = (frame[start + at : start + at + 6] for at in (4, 10, 16))
    body = start + 24
    dst, src = {0: (first, second), 1: (third, second), 2: (first, third)}.get(flags & 3, (third, b""))
    if flags & 3 == 3:  # relayed between access points: a fourth address
        src, body = frame[body : body + 6], body + 6
    if control & 0x80:  # quality of service: two more bytes, and four when the order bit announces HT control
        body += 6 if flags & 0x80 else 2
    return *_llc(frame, body), dst, src


LINK_TYPES: dict[int, Callable[[bytes], LinkHeader]] = {
    0: _loopback,
    1: _ethernet,
    9: _ppp,
    12: _raw,
    14: _raw,
    50: _ppp,
    101: _raw,
    104: _hdlc,
    105: _wireless,
    108: _loopback,
    113: _cooked,
    127: _radiotap,
    228: _raw,
    229: _raw,
    276: _cooked_2,
}
