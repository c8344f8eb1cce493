"""From a captured frame to the network packet inside it.

Each decoder takes the frame and returns (ethertype, offset of the network header, VLAN, destination MAC, source MAC);
addresses a link layer does not have are b"". The VLAN is 0 without a tag, the id of a single tag, and outer * 4096 +
inner of two; tags further in are stepped over. Link types are numbered as on https://www.tcpdump.org/linktypes.html.
"""

import struct
from collections.abc import Callable, Iterator

IPV4, IPV6, ARP = 0x0800, 0x86DD, 0x0806
OTHER = 0xFFFF  # a whole frame that carries something else
AGGREGATE = 0x10000  # an A-MSDU: `subframes` gives what it holds
_VLAN = (0x8100, 0x88A8, 0x9100, 0x9200)  # 802.1Q, 802.1ad, and two that were used before it
_MPLS, _PPPOE_SESSION = (0x8847, 0x8848), 0x8864
_PPP_PROTOCOL, _MULTILINK = {0x0021: IPV4, 0x0057: IPV6, 0x0281: _MPLS[0]}, 0x003D
_LLC_SNAP, _LLC_IP = b"\xaa\xaa\x03", b"\x06\x06\x03"
_RADIOTAP_DEVICE = 803  # Linux's ARPHRD number of a Wi-Fi interface in monitor mode

Network = tuple[int, int, int]  # ethertype, offset, VLAN
LinkHeader = tuple[int, int, int, bytes, bytes]


class Malformed(Exception):  # noqa: N818 - it never leaves the package: a packet that raises it is counted
    """A packet contradicts itself or ends inside a header; the text is the reason under which it is counted."""


def ethernet(frame: bytes) -> LinkHeader:
    """IEEE 802.3: 6 + 6 bytes of addresses, then an ethertype, or a length before an LLC header."""
    try:
        dst, src, ethertype = _unpack_ethernet(frame)
    except struct.error:
        raise Malformed("Ethernet header cut") from None
    if ethertype == IPV4:
        return ethertype, 14, 0, dst, src
    if ethertype < 0x0600:
        return *_llc(frame, 14), dst, src
    return *inside(frame, ethertype, 14), dst, src


_unpack_ethernet = struct.Struct("!6s6sH").unpack_from


def inside(frame: bytes, ethertype: int, offset: int) -> Network:
    """Step over VLAN tags, MPLS labels and PPPoE to the first network header."""
    vlan = 0
    if ethertype in _VLAN:
        ethertype, offset, vlan = _tagged(frame, offset)
    if ethertype == _PPPOE_SESSION:  # RFC 2516: 6 bytes, then the PPP protocol
        ethertype, offset = _ppp_protocol(frame, offset + 6)
    if ethertype in _MPLS:
        return *_labelled(frame, offset), vlan
    if ethertype < 0x0600:
        ethertype, offset, inner = _llc(frame, offset)
        return ethertype, offset, vlan or inner
    return ethertype, offset, vlan


def _tagged(frame: bytes, offset: int) -> Network:
    """Step over VLAN tags (IEEE 802.1Q): two bytes of which twelve bits are an id, then the ethertype of what follows.

    Only the ids of the first two count.
    """
    vlan, tags, ethertype = 0, 0, _VLAN[0]
    while ethertype in _VLAN:
        ethertype, tags = _short(frame, offset + 2), tags + 1
        if tags <= 2:
            vlan = vlan << 12 | (frame[offset] & 15) << 8 | frame[offset + 1]
        offset += 4
    return ethertype, offset, vlan


def _short(frame: bytes, offset: int) -> int:
    """Two bytes as a number."""
    if len(frame) < offset + 2:
        raise Malformed("link header cut")
    return frame[offset] << 8 | frame[offset + 1]


def _llc(frame: bytes, offset: int) -> Network:
    """IEEE 802.2: its SNAP extension (RFC 1042), or IP's own service access point; others carry no IP."""
    header = frame[offset : offset + 3]
    if header == _LLC_IP:
        return IPV4, offset + 3, 0
    if header != _LLC_SNAP:
        return OTHER, offset, 0
    ethertype, offset = _short(frame, offset + 6), offset + 8
    return _tagged(frame, offset) if ethertype in _VLAN else (ethertype, offset, 0)


def _labelled(frame: bytes, offset: int) -> tuple[int, int]:
    """RFC 3032: 4 bytes a label, the last one marked; what follows is told by its first four bits."""
    while True:
        if len(frame) < offset + 5:
            raise Malformed("link header cut")
        offset += 4
        if frame[offset - 2] & 1:
            return {4: IPV4, 6: IPV6}.get(frame[offset] >> 4, OTHER), offset


def raw(frame: bytes) -> LinkHeader:
    """No link header: the first four bits are the IP version."""
    if not frame:
        raise Malformed("IP header cut")
    return {4: IPV4, 6: IPV6}.get(frame[0] >> 4, OTHER), 0, 0, b"", b""


def _loopback(frame: bytes) -> LinkHeader:
    """BSD loopback: a 4-byte address family in the recording machine's byte order; AF_INET6 differs by system."""
    if len(frame) < 4:
        raise Malformed("loopback header cut")
    family = max(frame[0], frame[3]) if frame[1] == frame[2] == 0 else -1
    return _FAMILY.get(family, OTHER), 4, 0, b"", b""


_FAMILY = {2: IPV4, 10: IPV6, 24: IPV6, 28: IPV6, 30: IPV6}  # BSD systems differ


def _cooked(frame: bytes) -> LinkHeader:
    """Linux cooked v1: packet type, ARPHRD, address length, source address (8 bytes), ethertype."""
    if len(frame) < 16:
        raise Malformed("cooked header cut")
    if frame[2] << 8 | frame[3] == _RADIOTAP_DEVICE:
        return frame_at(frame, 16, _radiotap)
    src = frame[6:12] if frame[4:6] == b"\x00\x06" else b""
    return *inside(frame, _short(frame, 14), 16), b"", src


def _cooked_2(frame: bytes) -> LinkHeader:
    """Linux cooked v2: ethertype, reserved, interface, ARPHRD, packet type, address length, source address."""
    if len(frame) < 20:
        raise Malformed("cooked header cut")
    if frame[8] << 8 | frame[9] == _RADIOTAP_DEVICE:
        return frame_at(frame, 20, _radiotap)
    src = frame[12:18] if frame[11] == 6 else b""
    return *inside(frame, _short(frame, 0), 20), b"", src


def _ppp(frame: bytes, start: int = 0) -> LinkHeader:
    """RFC 1662, with or without address and control bytes; Cisco HDLC is told by its address 0x0f or 0x8f."""
    if frame[start : start + 1] in (b"\x0f", b"\x8f"):
        return _hdlc(frame, start)
    return *ppp_payload(frame, start), b"", b""


def ppp_payload(frame: bytes, offset: int) -> Network:
    """The network header of a PPP frame at `offset`."""
    if frame[offset : offset + 2] == b"\xff\x03":
        offset += 2
    return inside(frame, *_ppp_protocol(frame, offset))


def _ppp_protocol(frame: bytes, offset: int) -> tuple[int, int]:
    """The PPP protocol as an ethertype, and its end; a packet, or its beginning, may come by multilink (RFC 1990)."""
    protocol, offset = _ppp_number(frame, offset)
    if protocol == _MULTILINK and frame[offset : offset + 1] >= b"\x80":
        protocol, offset = _ppp_number(frame, offset + 4)
    return _PPP_PROTOCOL.get(protocol, OTHER), offset


def _ppp_number(frame: bytes, offset: int) -> tuple[int, int]:
    """The PPP protocol's number and its end: two bytes, or one, which is odd, when compressed (RFC 1661)."""
    if frame[offset : offset + 1] and frame[offset] & 1:
        return frame[offset], offset + 1
    return _short(frame, offset), offset + 2


def _ppp_with_direction(frame: bytes) -> LinkHeader:
    """A byte that tells sent from received, then PPP."""
    return _ppp(frame, 1)


def _hdlc(frame: bytes, start: int = 0) -> LinkHeader:
    """Cisco HDLC: address, control, ethertype."""
    return *inside(frame, _short(frame, start + 2), start + 4), b"", b""


def _pppoe(frame: bytes) -> LinkHeader:
    """A PPPoE session without its Ethernet header."""
    return *inside(frame, _PPPOE_SESSION, 0), b"", b""


def _rfc1483(frame: bytes) -> LinkHeader:
    """ATM: an LLC header."""
    return *_llc(frame, 0), b"", b""


def _bare_mpls(frame: bytes) -> LinkHeader:
    """MPLS without a link header."""
    return *_labelled(frame, 0), 0, b"", b""


def _pf_log(frame: bytes) -> LinkHeader:
    """OpenBSD's pflog: its length, padded to four bytes, and the address family."""
    if len(frame) < 2:
        raise Malformed("pflog header cut")
    return _FAMILY.get(frame[1], OTHER), (frame[0] + 3) // 4 * 4, 0, b"", b""


def _enc(frame: bytes) -> LinkHeader:
    """OpenBSD's IPsec interface: an address family, an index and flags, of 4 bytes each; then IP."""
    return *_loopback(frame)[:1], 12, 0, b"", b""


def _nflog(frame: bytes) -> LinkHeader:
    """Netfilter's log: family, version, resource, then fields with a length and a type in the machine's byte order."""
    if len(frame) < 4:
        raise Malformed("NFLOG header cut")
    ethertype = {2: IPV4, 10: IPV6}.get(frame[0], OTHER)
    for order in ("<HH", ">HH"):
        src, at = b"", 4
        while len(frame) >= at + 4:
            size, kind = struct.unpack_from(order, frame, at)
            if size < 4 or at + size > len(frame) and kind != _NFLOG_PAYLOAD:
                break
            if kind == _NFLOG_PAYLOAD:
                return ethertype, at + 4, 0, b"", src
            if kind == _NFLOG_ADDRESS and size >= 14 and frame[at + 4 : at + 6] == b"\x00\x06":
                src = frame[at + 8 : at + 14]
            at += size + 3 & ~3
    return OTHER, 4, 0, b"", b""


_NFLOG_ADDRESS, _NFLOG_PAYLOAD = 8, 9


def _ppi(frame: bytes) -> LinkHeader:
    """Per-packet information: version, flags, length, link type, all little-endian; then a frame of that link type."""
    if len(frame) < 8:
        raise Malformed("PPI header cut")
    size, link_type = struct.unpack_from("<2xHI", frame)
    return _nested(frame, size, 8, link_type)


def _pktap(frame: bytes) -> LinkHeader:
    """Apple's PKTAP: length, record type, link type, all little-endian; then a frame of that link type."""
    if len(frame) < 12:
        raise Malformed("PKTAP header cut")
    size, _, link_type = struct.unpack_from("<III", frame)
    return _nested(frame, size, 12, link_type)


def _nested(frame: bytes, start: int, least: int, link_type: int) -> LinkHeader:
    """A frame of another link type that begins at `start`; it holds no such header again."""
    if not least <= start <= len(frame):
        raise Malformed("link header cut")
    if link_type in (_PPI, _PKTAP) or link_type not in LINK_TYPES:
        return OTHER, start, 0, b"", b""
    return frame_at(frame, start, LINK_TYPES[link_type])


def frame_at(frame: bytes, start: int, decode: Callable[[bytes], LinkHeader]) -> LinkHeader:
    """What a link layer's decoder says of a frame inside another that begins at `start`."""
    ethertype, offset, vlan, dst, src = decode(frame[start:])
    return ethertype, start + offset, vlan, dst, src


_PPI, _PKTAP = 192, 258


def _prism(frame: bytes) -> LinkHeader:
    """A Prism header of 144 bytes, or an AVS header in its place, then 802.11."""
    if frame[:3] == b"\x80\x21\x10":
        return _avs(frame)
    if len(frame) < 144:
        raise Malformed("Prism header cut")
    return wireless(frame, 144)


def _avs(frame: bytes) -> LinkHeader:
    """An AVS header: version, length, both big-endian; then 802.11."""
    if len(frame) < 8:
        raise Malformed("AVS header cut")
    start = struct.unpack_from(">I", frame, 4)[0]
    if not 8 <= start <= len(frame):
        raise Malformed("AVS header cut")
    return wireless(frame, start)


def _radiotap(frame: bytes) -> LinkHeader:
    """A radiotap header (little-endian length at byte 2), then 802.11, whose header may be padded to four bytes."""
    if len(frame) < 8:
        raise Malformed("radiotap header cut")
    start = frame[2] | frame[3] << 8
    if start < 8 or start >= len(frame):
        raise Malformed("radiotap header cut")
    return wireless(frame, start, bool(_radiotap_flags(frame, start) & _DATA_PAD))


_DATA_PAD = 0x20


def _radiotap_flags(frame: bytes, end: int) -> int:
    """The field `flags`, the second there can be: after the bitmaps and an aligned time of 8 bytes; 0 without it."""
    present, at = frame[4], 4
    while frame[at + 3] & 0x80:  # another bitmap follows
        at += 4
        if at + 4 > end:
            return 0
    at += 4
    if not present & 2:
        return 0
    if present & 1:
        at = (at + 7 & ~7) + 8
    return frame[at] if at < end else 0


def wireless(frame: bytes, start: int = 0, padded: bool = False) -> LinkHeader:
    """IEEE 802.11: data frames that are not encrypted; everything else counts as carrying no IP."""
    if len(frame) < start + 24:
        return OTHER, start, 0, b"", b""  # control frames are shorter than a data header
    control, flags = frame[start], frame[start + 1]
    if control & 0x0C != 0x08 or control & 0x40 or flags & 0x40:  # not data, no body, encrypted
        return OTHER, start, 0, b"", b""
    first, second, third = (frame[start + at : start + at + 6] for at in (4, 10, 16))
    body = start + 24
    dst, src = {0: (first, second), 1: (third, second), 2: (first, third)}.get(flags & 3, (third, b""))
    if flags & 3 == 3:  # relayed between access points: a fourth address
        src, body = frame[body : body + 6], body + 6
    aggregate = False
    if control & 0x80:  # quality of service: two more bytes, and four when the order bit announces HT control
        aggregate = bool(frame[body : body + 1]) and bool(frame[body] & 0x80)
        body += 6 if flags & 0x80 else 2
    if padded:
        body += (start - body) % 4
    if aggregate:
        return AGGREGATE, body, 0, dst, src
    return *_llc(frame, body), dst, src


def subframes(frame: bytes, offset: int) -> Iterator[tuple[bytes, int]]:
    """The frames in an A-MSDU (IEEE 802.11-2020, 9.3.2.2), as captured, and their lengths on the air.

    Each begins with its addresses and its length, and is padded to four bytes. What is left at the end is a frame check
    sequence.
    """
    while len(frame) >= offset + 14:
        size = 14 + (frame[offset + 12] << 8 | frame[offset + 13])
        if size == 14:
            return
        yield frame[offset : offset + size], size
        offset += (size + 3) // 4 * 4


def subframe(frame: bytes) -> LinkHeader:
    """A frame out of an A-MSDU: addresses, length, LLC header."""
    dst, src, _ = _unpack_ethernet(frame)
    return *_llc(frame, 14), dst, src


LINK_TYPES: dict[int, Callable[[bytes], LinkHeader]] = {
    0: _loopback,
    1: ethernet,
    9: _ppp,
    12: raw,
    14: raw,
    50: _ppp,
    51: _pppoe,
    100: _rfc1483,
    101: raw,
    104: _hdlc,
    105: wireless,
    108: _loopback,
    109: _enc,
    113: _cooked,
    117: _pf_log,
    119: _prism,
    127: _radiotap,
    163: _avs,
    _PPI: _ppi,
    204: _ppp_with_direction,
    219: _bare_mpls,
    228: raw,
    229: raw,
    239: _nflog,
    _PKTAP: _pktap,
    276: _cooked_2,
}
