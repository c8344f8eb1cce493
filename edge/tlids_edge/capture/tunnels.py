"""A packet that carries another packet -> the packet inside, one level at a time.

Read are GRE (RFC 2784, 2890; in UDP 8086; PPTP's 2637), ERSPAN I to III (draft-foschiano-erspan), IP in IP (RFC 2003,
2473, 4213), EtherIP (RFC 3378), MPLS in IP (RFC 4023, 7510), VXLAN (RFC 7348) and VXLAN-GPE, Geneve (RFC 8926), TZSP,
L2TP version 2 (RFC 2661) and GTP-U (3GPP TS 29.281). A header that contradicts itself is no tunnel: the packet then
counts as what it is on the network.
"""

from collections.abc import Callable
from typing import NamedTuple

from tlids_edge.capture.link_layers import (
    ARP,
    IPV4,
    IPV6,
    LinkHeader,
    Malformed,
    ethernet,
    frame_at,
    inside,
    ppp_payload,
    wireless,
)

DEPTH = 2  # levels that are opened
UDP = 17
_IPV4, _IPV6, _GRE, _ETHERIP, _MPLS = 4, 41, 47, 97, 137  # IP protocol numbers
_TEB, _PPP, _ERSPAN, _ERSPAN_3, _MPLS_TYPE, _WCCP = 0x6558, 0x880B, 0x88BE, 0x22EB, 0x8847, 0x883E  # in GRE

NO_LINK = 0, b"", b""  # the packet inside has no link layer of its own: neither VLAN nor MAC addresses


class Inside(NamedTuple):
    """What a tunnel carries: its name, and the header of the packet inside."""

    tunnel: str
    header: LinkHeader  # the MAC addresses are b"" where the tunnel carries bare IP


def open_tunnel(frame: bytes, at: int, protocol: int, dst_port: int) -> Inside | None:
    """What the IP payload at `at` carries inside a tunnel; None when it is none, or its header is cut or wrong."""
    decode = _BY_PORT.get(dst_port) if protocol == UDP else _BY_PROTOCOL.get(protocol)
    if decode is None:
        return None
    try:
        return decode(frame, at + 8 if protocol == UDP else at)
    except (Malformed, IndexError):
        return None


def _bare(tunnel: str, frame: bytes, ethertype: int, offset: int) -> Inside | None:
    """A network packet without a link header; what is none may be anything, and is not opened."""
    ethertype, offset, _ = inside(frame, ethertype, offset)
    return Inside(tunnel, (ethertype, offset, *NO_LINK)) if ethertype in (IPV4, IPV6, ARP) else None


def _ip_in_ip(frame: bytes, at: int, tunnel: str = "IP-in-IP") -> Inside | None:
    """A whole IP packet; its first four bits tell which, whatever number it was given."""
    ethertype = {4: IPV4, 6: IPV6}.get(frame[at] >> 4)
    return None if ethertype is None else Inside(tunnel, (ethertype, at, *NO_LINK))


def _etherip(frame: bytes, at: int) -> Inside | None:
    """Two bytes, of which the first four bits are version 3, then Ethernet."""
    return Inside("EtherIP", frame_at(frame, at + 2, ethernet)) if frame[at] >> 4 == 3 else None


def _mpls_in_ip(frame: bytes, at: int) -> Inside | None:
    """Labels, then an IP packet."""
    return _bare("MPLS-in-IP", frame, _MPLS_TYPE, at)


def _gre(frame: bytes, at: int) -> Inside | None:
    """Flags, version, protocol type, and the fields of four bytes that the flags announce."""
    flags, version, kind = frame[at], frame[at + 1] & 7, frame[at + 2] << 8 | frame[at + 3]
    sequenced = bool(flags & 0x10)
    body = at + 4 + 4 * (bool(flags & 0x80) + bool(flags & 0x20) + sequenced)
    if kind == _PPP:  # PPTP's version 1 may acknowledge
        return _bare("GRE", frame, *ppp_payload(frame, body + 4 * (version == 1 and bool(frame[at + 1] & 0x80)))[:2])
    if version or flags & 0x40:  # source routes, which nobody sends
        return None
    if kind == _ERSPAN:  # type I is Ethernet at once; type II, which counts, has a header
        if not sequenced:
            return Inside("ERSPAN", frame_at(frame, body, ethernet))
        return Inside("ERSPAN", frame_at(frame, body + 8, ethernet)) if frame[body] >> 4 == 1 else None
    if kind == _ERSPAN_3:
        return _erspan_3(frame, body)
    if kind == _WCCP:  # its version 2 puts four bytes before the packet
        return _ip_in_ip(frame, body, "GRE") or _ip_in_ip(frame, body + 4, "GRE")
    if kind == _TEB:
        return Inside("GRE", frame_at(frame, body, ethernet))
    return _bare("GRE", frame, kind, body)


def _erspan_3(frame: bytes, at: int) -> Inside | None:
    """A header of 12 bytes, 8 more where its last bit says so; then Ethernet, or IP as its frame type says."""
    if frame[at] >> 4 != 2:
        return None
    body = at + 12 + 8 * (frame[at + 11] & 1)
    frame_type = frame[at + 10] >> 2 & 31
    if frame_type == 2:
        return _ip_in_ip(frame, body, "ERSPAN")
    return Inside("ERSPAN", frame_at(frame, body, ethernet))


def _vxlan(frame: bytes, at: int) -> Inside | None:
    """Eight bytes, of which the first says that there is a network number (and a group), the last is 0; Ethernet."""
    is_vxlan = frame[at] & 0x7F == 8 and frame[at + 7] == 0
    return Inside("VXLAN", frame_at(frame, at + 8, ethernet)) if is_vxlan else None


def _vxlan_gpe(frame: bytes, at: int) -> Inside | None:
    """VXLAN with a byte for what follows: 1 is IPv4, 2 IPv6, 3 Ethernet."""
    if not frame[at] & 8:
        return None
    following = frame[at + 3]
    if following in (1, 2):
        return Inside("VXLAN", ((IPV4, IPV6)[following - 1], at + 8, *NO_LINK))
    return Inside("VXLAN", frame_at(frame, at + 8, ethernet)) if following == 3 else None


def _geneve(frame: bytes, at: int) -> Inside | None:
    """Version 0, the options' length in fours, flags, an ethertype, a network number; options; what it carries."""
    if frame[at] >> 6:
        return None
    body, kind = at + 8 + 4 * (frame[at] & 63), frame[at + 2] << 8 | frame[at + 3]
    if kind == _TEB:
        return Inside("Geneve", frame_at(frame, body, ethernet))
    return _bare("Geneve", frame, kind, body)


def _tzsp(frame: bytes, at: int) -> Inside | None:
    """Version 1, type, what it carries; tags until the tag 1; then Ethernet or 802.11."""
    if frame[at] != 1 or frame[at + 1] > 1:
        return None
    decode = {1: ethernet, 18: wireless}.get(frame[at + 2] << 8 | frame[at + 3])
    at += 4
    while frame[at] != 1:
        at += 1 if frame[at] == 0 else 2 + frame[at + 1]
    at += 1
    return Inside("TZSP", frame_at(frame, at, decode)) if decode else None


def _gtp(frame: bytes, at: int) -> Inside | None:
    """Version 1, a user's packet (255); four more bytes where a flag is set, then extensions in fours; then IP."""
    flags, body = frame[at], at + 8
    if flags >> 4 != 3 or frame[at + 1] != 255:
        return None
    if flags & 7:
        following, body = frame[at + 11], at + 12
        while flags & 4 and following:
            size = 4 * frame[body]
            if not size:
                return None
            following, body = frame[body + size - 1], body + size
    return _ip_in_ip(frame, body, "GTP-U")


def _l2tp(frame: bytes, at: int) -> Inside | None:
    """Version 2, a data message; lengths, numbers and an offset where flags are set; then PPP."""
    flags = frame[at]
    if flags & 0x80 or frame[at + 1] & 15 != 2:
        return None
    body = at + 6 + 2 * bool(flags & 0x40) + 4 * bool(flags & 8)
    if flags & 2:
        body += 2 + (frame[body] << 8 | frame[body + 1])
    return _bare("L2TP", frame, *ppp_payload(frame, body)[:2])


_BY_PROTOCOL: dict[int, Callable[[bytes, int], Inside | None]] = {
    _IPV4: _ip_in_ip,
    _IPV6: _ip_in_ip,
    _GRE: _gre,
    _ETHERIP: _etherip,
    _MPLS: _mpls_in_ip,
}
_BY_PORT: dict[int, Callable[[bytes, int], Inside | None]] = {
    1701: _l2tp,
    2152: _gtp,
    4754: _gre,
    4789: _vxlan,
    4790: _vxlan_gpe,
    6081: _geneve,
    6635: _mpls_in_ip,
    8472: _vxlan,  # Linux's default, from before there was a number
    37008: _tzsp,
}
PROTOCOLS, PORTS = frozenset((*_BY_PROTOCOL, UDP)), frozenset(_BY_PORT)
