"""Forged IPv6 neighbours: who claims which address, who says that it is the router, who sends others elsewhere.

Read by hand from ICMPv6 (RFC 4861). The alerts, and what they do to the source's flows, are those of `suspects`; what
is wrong with a claim, of `claims`. As a host must, it ignores what comes in fragments (RFC 6980) or has passed a
router (hop limit below 255).
"""

from collections import OrderedDict
from typing import NamedTuple

from tlids_edge.capture.packets import ICMPV6, Packet, address_text, mac_text
from tlids_edge.detect.claims import Claim, Claims, Protocol
from tlids_edge.detect.sources import ProvenSources
from tlids_edge.detect.suspects import Pace, RuleAlert, remember, within

ROUTER_SOLICITATION, ROUTER_ADVERTISEMENT, SOLICITATION, ADVERTISEMENT, REDIRECT = range(133, 138)
MAX_ADDRESSES = 64  # of one MAC within 300 s; a host has one for each day of a week, and a few more
MAX_ROUTERS = 16
ROUTER_FRESH_S = 1800  # routers advertise themselves every ten minutes by default
SID_NEIGHBOUR = 9_200_021  # and the six that follow, as for ARP
SID_SECOND_ROUTER, SID_REDIRECT = 9_200_028, 9_200_029
_OPTIONAL_HEADERS = (0, 43, 60)
_SOURCE_MAC, _TARGET_MAC, _RDNSS = 1, 2, 25  # options


class _Message(NamedTuple):
    """One message of neighbour discovery."""

    kind: int
    target: bytes  # of a solicitation, an advertisement or a redirect
    lifetime: int  # of a router advertisement, in seconds
    options: dict[int, bytes]  # the first of each kind, without its two bytes of head


class NeighbourWatch:
    """Watches who claims which IPv6 address, and who says that it is a router.

    Alerts are those of the ARP watch, and two more: a second router while the first is fresh, unless it only offers
    routes of its own (lifetime 0, as border routers of Thread do); a redirect from who is no router.
    """

    def __init__(self, sources: ProvenSources | None = None) -> None:
        """Know no bindings and no router. Who is suspected, `claims` knows."""
        protocol = Protocol("neighbour discovery", "IPv6-ICMP", "Neighbour spoofing", SID_NEIGHBOUR, MAX_ADDRESSES)
        self.claims = Claims(protocol, sources)
        self._routers: OrderedDict[tuple[bytes, bytes], int] = OrderedDict()  # address and MAC -> last advertisement
        self._pace = Pace()

    def see(self, packet: Packet) -> list[RuleAlert]:
        """Take note of one packet of ICMPv6; the alerts it gives rise to."""
        message = _read(packet)
        if message is None:
            return []
        if message.kind == ADVERTISEMENT:
            return self._advertised(packet, message)
        if message.kind == SOLICITATION:
            self.claims.asked(message.target, packet.src, packet.src_mac, packet.time_us)
        alerts = []
        if _SOURCE_MAC in message.options and any(packet.src):
            alerts = self.claims.told(_claim(packet, packet.src, message.options[_SOURCE_MAC]))
        if message.kind == ROUTER_ADVERTISEMENT:
            alerts += self._router(packet, message)
        elif message.kind == REDIRECT:
            alerts += self._redirect(packet, message)
        return alerts

    def _advertised(self, packet: Packet, message: _Message) -> list[RuleAlert]:
        """Somebody says that it has the target; without an option the frame says where."""
        claim = _claim(packet, message.target, message.options.get(_TARGET_MAC, packet.src_mac))
        if not claim.mac:
            return []
        alerts = self.claims.told(claim)
        if self.claims.is_answer(claim, packet.dst, packet.dst_mac):
            self.claims.bindings.answered(claim.address, claim.mac)
        else:
            alerts += self.claims.unasked(claim)
        return alerts

    def _router(self, packet: Packet, message: _Message) -> list[RuleAlert]:
        """Somebody says that it is a router. Who was there first is one."""
        now, who = packet.time_us, (packet.src, packet.src_mac)
        others = [
            one for one, seen in self._routers.items() if one[1] != packet.src_mac and within(now, seen, ROUTER_FRESH_S)
        ]
        if others and who not in self._routers:
            same = any(address == packet.src for address, _ in others)  # in the router's name: to end it, perhaps
            if not (message.lifetime or _RDNSS in message.options or same):
                return []
            details = {"router": address_text(others[0][0]), "router_mac": mac_text(others[0][1])}
            return self._accuse(packet, SID_SECOND_ROUTER, "a second router advertises itself", details)
        if message.lifetime:
            remember(self._routers, who, now, MAX_ROUTERS)
        return []

    def _redirect(self, packet: Packet, message: _Message) -> list[RuleAlert]:
        """Somebody says that another way is shorter: only a router may."""
        if (packet.src, packet.src_mac) in self._routers:
            return []
        details = {"target": address_text(message.target)}
        return self._accuse(packet, SID_REDIRECT, "a redirect from a host that is not a router", details)

    def _accuse(self, packet: Packet, sid: int, what: str, details: dict[str, str]) -> list[RuleAlert]:
        """Suspect the MAC address of a frame."""
        now, mac = packet.time_us, packet.src_mac
        self.claims.suspects.add((b"", mac), now)
        if not self._pace.allows((sid, mac), now):
            return []
        proven = self.claims.sources.is_proven(packet.src, mac, now)
        return [RuleAlert(
            now, sid, f"TL-IDS neighbour discovery: {what}", "Neighbour spoofing", 1, address_text(packet.src), "",
            mac_text(mac), details, proven, "IPv6-ICMP",
        )]  # fmt: skip


def _claim(packet: Packet, address: bytes, mac: bytes) -> Claim:
    """A claim that came in a packet."""
    mac = mac[:6]
    return Claim(packet.time_us, address, mac, packet.src_mac if len(packet.src_mac) == len(mac) else mac)


def _read(packet: Packet) -> _Message | None:
    """The message of neighbour discovery in a packet of ICMPv6, None where there is no whole one that counts."""
    frame, at = packet.frame, packet.ip_offset
    if packet.protocol != ICMPV6 or frame[at] >> 4 != 6 or frame[at + 7] != 255:
        return None
    end = at + packet.length
    header, at = frame[at + 6], at + 40
    while header in _OPTIONAL_HEADERS and len(frame) >= at + 8:
        header, at = frame[at], at + 8 + frame[at + 1] * 8
    kind = frame[at] if header == ICMPV6 and len(frame) > at else 0
    size = {ROUTER_SOLICITATION: 8, ROUTER_ADVERTISEMENT: 16, SOLICITATION: 24, ADVERTISEMENT: 24, REDIRECT: 40}
    if kind not in size or min(end, len(frame)) < at + size[kind] or frame[at + 1]:
        return None
    target = frame[at + 8 : at + 24] if kind >= SOLICITATION else b""
    lifetime = frame[at + 6] << 8 | frame[at + 7] if kind == ROUTER_ADVERTISEMENT else 0
    return _Message(kind, target, lifetime, _options(frame[at + size[kind] : end]))


def _options(data: bytes) -> dict[int, bytes]:
    """The first option of each kind; what is cut or has no length ends the list."""
    options: dict[int, bytes] = {}
    at = 0
    while at + 8 <= len(data) and data[at + 1] and at + data[at + 1] * 8 <= len(data):
        options.setdefault(data[at], data[at + 2 : at + data[at + 1] * 8])
        at += data[at + 1] * 8
    return options
