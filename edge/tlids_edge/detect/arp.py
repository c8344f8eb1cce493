"""Forged ARP bindings: who claims which IPv4 address.

The alerts, and what they do to the source's flows, are those of `suspects`; what is wrong with a claim, of `claims`.
"""

from tlids_edge.capture.packets import Packet
from tlids_edge.detect.claims import (
    CONFLICT,
    CROWDED,
    DIFFERENT,
    FLAPPING,
    GROUP,
    MANY,
    UNASKED,
    Claim,
    Claims,
    Protocol,
)
from tlids_edge.detect.sources import ProvenSources
from tlids_edge.detect.suspects import RuleAlert

ARP_REQUEST, ARP_REPLY = 1, 2
MAX_ADDRESSES = 16  # of one MAC within 300 s
_SID = 9_200_001
SID_ARP_CONFLICT, SID_ARP_UNASKED, SID_ARP_FLAPPING = _SID + CONFLICT, _SID + UNASKED, _SID + FLAPPING
SID_ARP_MANY, SID_ARP_DIFFERENT = _SID + MANY, _SID + DIFFERENT
SID_ARP_GROUP, SID_ARP_CROWDED = _SID + GROUP, _SID + CROWDED


class ArpWatch:
    """Watches who claims which IPv4 address.

    Alerts: an address claimed by a new MAC address while the old claim is fresh; replies that nobody else asked
    for, again and again; an address that changes hands to and fro; a MAC address that claims many addresses; a sender
    inside that is not the frame's, or that is a group address; more claimants than a home has.
    """

    def __init__(self, sources: ProvenSources | None = None) -> None:
        """Know no bindings. Who is suspected, `claims` knows."""
        self.claims = Claims(Protocol("ARP", "ARP", "ARP spoofing", _SID, MAX_ADDRESSES), sources)

    def see(self, packet: Packet) -> list[RuleAlert]:
        """Take note of one ARP packet; the alerts it gives rise to."""
        operation, mac, address, target = packet.arp
        frame_mac = packet.src_mac if len(packet.src_mac) == len(mac) else mac
        if operation == ARP_REQUEST and target != address:
            self.claims.asked(target, address, frame_mac, packet.time_us)
        if not any(address):  # a probe
            return []
        claim = Claim(packet.time_us, address, mac, frame_mac)
        alerts = self.claims.told(claim)
        if operation == ARP_REPLY:
            if target != address and self.claims.is_answer(claim, target, packet.dst_mac):
                self.claims.bindings.answered(address, mac)
            else:
                alerts += self.claims.unasked(claim)
        return alerts
