"""Forged bindings of addresses to MAC addresses, whatever protocol they are claimed in (`arp`, `neighbours`).

Who is accused is the MAC address of the frame: what a claim says inside can be anybody's.
"""

from collections import OrderedDict
from typing import NamedTuple

from tlids_edge.capture.packets import address_text, mac_text
from tlids_edge.detect.bindings import WINDOW_S, Bindings
from tlids_edge.detect.sources import ProvenSources
from tlids_edge.detect.suspects import Pace, RuleAlert, Suspects, remember, within
from tlids_edge.flows.flow import Flow

ANSWER_S = 5  # a reply this long after the request still answers it
UNASKED_REPLIES = 6  # in a window, from one MAC address; booting hosts announce themselves up to five times
FLAPS = 4  # changes of the claimant in a window
CROWD = 64  # newcomers that a full table sent away in a window
MAX_REPLIERS, MAX_ASKERS, MAX_ASKED = 1024, 256, 64  # and addresses that one asker has asked for
CONFLICT, UNASKED, FLAPPING, MANY, DIFFERENT, GROUP, CROWDED = range(7)
TEXTS = (
    "address claimed by a second MAC address",
    "replies that nobody asked for",
    "address changes hands to and fro",
    "one MAC address claims many addresses",
    "the MAC address inside is not the frame's",
    "a group address claims to be a sender's",
    "a flood of claimants",
)
SEVERITIES = (1, 2, 1, 2, 2, 1, 2)


class Protocol(NamedTuple):
    """In which words, and with which numbers, a protocol's alerts are told."""

    name: str  # as signatures call it
    eve: str  # as EVE names the protocol
    category: str
    sid: int  # of the first alert of TEXTS
    cap: int  # addresses that one MAC may have


class Claim(NamedTuple):
    """Somebody says that `address` is at `mac`."""

    time_us: int
    address: bytes
    mac: bytes  # as it stands inside
    frame_mac: bytes  # of the frame; the same as `mac` where the link layer has none


class Claims:
    """Who claims which address, and what is wrong with it.

    The younger of two claimants is the suspect. A probe for a free address, an announcement at boot, a renewed lease,
    a host that takes another address and an address that a new host takes over after `FRESH_S` of silence are
    ordinary life.
    """

    def __init__(self, protocol: Protocol, sources: ProvenSources | None = None) -> None:
        """Know no bindings."""
        self.suspects = Suspects()
        self.sources = ProvenSources() if sources is None else sources
        self.bindings = Bindings(protocol.cap)
        self._protocol = protocol
        self._askers: OrderedDict[bytes, OrderedDict[tuple[bytes, bytes], int]] = OrderedDict()
        self._unasked: OrderedDict[bytes, list[int]] = OrderedDict()
        self._askers_lost_us: int | None = None  # when one had to be forgotten whose question may still be open
        self._pace = Pace()

    def accuses(self, flow: Flow) -> bool:
        """Whether the MAC address of a flow's source stood under an alert when the flow ended."""
        return bool(len(self.suspects)) and ((b"", flow.src_hw), flow.last_us) in self.suspects

    def note_flow(self, flow: Flow) -> None:
        """A proven flow has ended: its source's binding carries traffic."""
        self.bindings.carries(flow.key[0], flow.src_hw, flow.last_us)

    def asked(self, target: bytes, asker: bytes, frame_mac: bytes, now: int) -> None:
        """Somebody at `frame_mac` asks, as `asker`, who has `target`."""
        table = self._askers.get(frame_mac)
        if table is None:
            table = OrderedDict()
            if len(self._askers) >= MAX_ASKERS:
                last = next(iter(self._askers.values()))
                if within(now, last[next(reversed(last))], ANSWER_S):
                    self._askers_lost_us = now
        remember(self._askers, frame_mac, table, MAX_ASKERS)
        remember(table, (target, asker), now, MAX_ASKED)

    def is_answer(self, claim: Claim, asker: bytes, to_mac: bytes) -> bool:
        """Whether a claim answers somebody else's question and goes to who has asked, `asker` at `to_mac`.

        Without MAC addresses on the link any asker will do.
        """
        if to_mac in (claim.mac, claim.frame_mac):
            return False
        tables = [self._askers.get(to_mac, {})] if to_mac else list(self._askers.values())
        return any(within(claim.time_us, table.get((claim.address, asker)), ANSWER_S) for table in tables)

    def told(self, claim: Claim) -> list[RuleAlert]:
        """Take note of a claim; the alerts it gives rise to."""
        now, address, mac, frame_mac = claim
        if mac[0] & 1:
            return self._accuse(claim, GROUP, {"claimed_mac": mac_text(mac)}) + self._compare(claim)
        if mac != frame_mac:
            return self._accuse(claim, DIFFERENT, {"claimed_mac": mac_text(mac)}) + self._compare(claim)
        if self.bindings.count(address, mac, now) > self._protocol.cap:
            more = {"addresses": f"more than {self._protocol.cap}"}
            return self._accuse(claim, MANY, more) + self._compare(claim)
        before = len(self.bindings.crowded)
        binding = self.bindings.claim(address, mac, now)
        others = binding.fresh_others(mac, now)
        alerts = self._crowd(now) if len(self.bindings.crowded) >= CROWD and before else []
        if others:
            by_age = sorted([*others, mac], key=lambda who: binding.claims[who][0])
            alerts += self._conflict(claim, by_age[0], by_age[-1], by_age[-1])
            if len(binding.changes) >= FLAPS:
                details = {"address": address_text(address), "old_mac": mac_text(by_age[0])}
                alerts += self._report(claim, FLAPPING, by_age[-1], details, (address,))
        return alerts

    def unasked(self, claim: Claim) -> list[RuleAlert]:
        """Count a reply that answers nobody; when questions had to be forgotten, that cannot be told."""
        now, who = claim.time_us, claim.frame_mac
        if within(now, self._askers_lost_us, ANSWER_S):
            return []
        times = [when for when in self._unasked.get(who, ()) if within(now, when, WINDOW_S)]
        times = times[-UNASKED_REPLIES:] + [now]
        remember(self._unasked, who, times, MAX_REPLIERS)
        if len(times) < UNASKED_REPLIES:
            return []
        details = {"address": address_text(claim.address), "replies": str(len(times))}
        self.suspects.add((b"", who), now)
        return self._report(claim, UNASKED, who, details, ())

    def _compare(self, claim: Claim) -> list[RuleAlert]:
        """A claim that is not entered is still held against who has the address."""
        binding = self.bindings.get(claim.address)
        others = binding.fresh_others(claim.mac, claim.time_us) if binding is not None else []
        if not others or binding.oldest() in (claim.mac, claim.frame_mac):
            return []
        return self._conflict(claim, others[0], claim.mac, claim.frame_mac)

    def _conflict(self, claim: Claim, old: bytes, new: bytes, accused: bytes) -> list[RuleAlert]:
        """Two MAC addresses claim one address."""
        details = {"address": address_text(claim.address), "old_mac": mac_text(old), "new_mac": mac_text(new)}
        self.suspects.add((b"", accused), claim.time_us)
        return self._report(claim, CONFLICT, accused, details, (claim.address,))

    def _accuse(self, claim: Claim, what: int, details: dict[str, str]) -> list[RuleAlert]:
        """Suspect the MAC address of a claim's frame."""
        self.suspects.add((b"", claim.frame_mac), claim.time_us)
        details = {"address": address_text(claim.address)} | details
        return self._report(claim, what, claim.frame_mac, details, ())

    def _crowd(self, now: int) -> list[RuleAlert]:
        """More claimants than the table holds: nobody is accused."""
        if not self._pace.allows((CROWDED,), now):
            return []
        details = {"newcomers": str(len(self.bindings.crowded))}
        return [self._alert(now, CROWDED, b"", b"", details)]

    def _report(self, claim: Claim, what: int, mac: bytes, details: dict[str, str], cause: tuple) -> list[RuleAlert]:
        """An alert against `mac`, once a minute for each cause."""
        if not self._pace.allows((what, mac, *cause), claim.time_us):
            return []
        return [self._alert(claim.time_us, what, claim.address, mac, details)]

    def _alert(self, now: int, what: int, address: bytes, mac: bytes, details: dict[str, str]) -> RuleAlert:
        """An alert; its source address is the one that is claimed."""
        protocol = self._protocol
        return RuleAlert(
            now, protocol.sid + what, f"TL-IDS {protocol.name}: {TEXTS[what]}", protocol.category, SEVERITIES[what],
            address_text(address) if address else "", "", mac_text(mac), details,
            self.sources.is_proven(address, mac, now), protocol.eve,
        )  # fmt: skip
