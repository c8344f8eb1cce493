"""Forged ARP bindings: who claims which IPv4 address.

The alerts, and what they do to the source's flows, are those of `suspects`.
"""

from collections import OrderedDict
from dataclasses import dataclass, field

from tlids_edge.capture.packets import Packet, address_text, mac_text
from tlids_edge.detect.suspects import Pace, RuleAlert, Suspects, remember, within

ARP_REQUEST, ARP_REPLY = 1, 2
ARP_FRESH_S = 300  # a binding seen this recently is still in use: Linux asks again after 60 s at most when it is
ARP_ANSWER_S = 5  # a reply this long after the request still answers it
ARP_WINDOW_S = 60
UNASKED_REPLIES = 6  # in a window, from one MAC address; booting hosts announce themselves up to five times
FLAPS = 4  # changes of the claimant in a window
MAX_BINDINGS, MAX_CLAIMANTS = 1024, 8
SID_ARP_CONFLICT, SID_ARP_UNASKED, SID_ARP_FLAPPING = 9_200_001, 9_200_002, 9_200_003


@dataclass(slots=True)
class Binding:
    """Who has claimed one address: MAC address -> first and last claim; and when the claimant changed."""

    claims: dict[bytes, tuple[int, int]] = field(default_factory=dict)
    holder: bytes = b""
    changes: list[int] = field(default_factory=list)


class ArpWatch:
    """Watches who claims which IPv4 address.

    Three alerts: an address claimed by a new MAC address while the old claim is fresh; replies that nobody
    asked for, again and again; an address that changes hands to and fro. The younger claimant is the
    suspect. A probe for a free address, an announcement at boot, a renewed lease, a host that takes another
    address and an address that a new host takes over after `ARP_FRESH_S` of silence are ordinary life.
    """

    def __init__(self) -> None:
        """Know no bindings."""
        self.suspects = Suspects()
        self._bindings: OrderedDict[bytes, Binding] = OrderedDict()
        self._asked: OrderedDict[bytes, int] = OrderedDict()
        self._unasked: OrderedDict[bytes, list[int]] = OrderedDict()
        self._pace = Pace()

    def see(self, packet: Packet) -> list[RuleAlert]:
        """Take note of one ARP packet; the alerts it gives rise to."""
        operation, mac, address, target = packet.arp
        now = packet.time_us
        if operation == ARP_REQUEST and target != address:
            remember(self._asked, target, now, MAX_BINDINGS)
        if not any(address) or not any(mac) or mac[0] & 1:  # a probe, or no sender at all
            return []
        alerts = self._claim(address, mac, now)
        if operation == ARP_REPLY and (target == address or not within(now, self._asked.get(address), ARP_ANSWER_S)):
            alerts += self._unasked_reply(address, mac, now)
        return alerts

    def _claim(self, address: bytes, mac: bytes, now: int) -> list[RuleAlert]:
        """Note that `mac` says it has `address`."""
        binding = self._bindings.get(address) or Binding()
        remember(self._bindings, address, binding, MAX_BINDINGS)
        claims = binding.claims
        if mac not in claims and len(claims) >= MAX_CLAIMANTS:
            del claims[max(claims, key=lambda who: claims[who][0])]  # the youngest: the oldest must not be crowded out
        others = [who for who, seen in claims.items() if who != mac and within(now, seen[1], ARP_FRESH_S)]
        # a claim that is no longer fresh keeps its age: an owner who was silent for long comes home as the older
        claims[mac] = (claims[mac][0] if mac in claims else now, now)
        if others and binding.holder != mac:
            binding.changes = [when for when in binding.changes if within(now, when, ARP_WINDOW_S)][-FLAPS:] + [now]
        binding.holder = mac
        if not others:
            return []
        return self._conflict(address, binding, [*others, mac], now)

    def _conflict(self, address: bytes, binding: Binding, claimants: list[bytes], now: int) -> list[RuleAlert]:
        """Two MAC addresses claim one address: suspect the younger."""
        by_age = sorted(claimants, key=lambda mac: binding.claims[mac][0])
        old, new = by_age[0], by_age[-1]
        self.suspects.add(new, now)
        details = {"address": address_text(address), "old_mac": mac_text(old), "new_mac": mac_text(new)}
        alerts = []
        if self._pace.allows(("conflict", address, new), now):
            text = "TL-IDS ARP: address claimed by a second MAC address"
            alerts.append(_arp_alert(now, SID_ARP_CONFLICT, text, 1, address, new, details))
        if len(binding.changes) >= FLAPS and self._pace.allows(("flapping", address), now):
            text = "TL-IDS ARP: address changes hands to and fro"
            alerts.append(_arp_alert(now, SID_ARP_FLAPPING, text, 1, address, new, details))
        return alerts

    def _unasked_reply(self, address: bytes, mac: bytes, now: int) -> list[RuleAlert]:
        """Count a reply that answers no request that was seen."""
        times = [when for when in self._unasked.get(mac, ()) if within(now, when, ARP_WINDOW_S)]
        times = times[-UNASKED_REPLIES:] + [now]
        remember(self._unasked, mac, times, MAX_BINDINGS)
        if len(times) < UNASKED_REPLIES:
            return []
        self.suspects.add(mac, now)
        if not self._pace.allows(("unasked", mac), now):
            return []
        text = "TL-IDS ARP: replies that nobody asked for"
        details = {"address": address_text(address), "replies": str(len(times))}
        return [_arp_alert(now, SID_ARP_UNASKED, text, 2, address, mac, details)]


def _arp_alert(
    now: int, sid: int, signature: str, severity: int, address: bytes, mac: bytes, details: dict[str, str]
) -> RuleAlert:
    """An alert of the ARP watch; its source address is the one that is claimed."""
    return RuleAlert(now, sid, signature, "ARP spoofing", severity, address_text(address), "", mac_text(mac), details)
