"""All rules behind one door: what they are shown, and whom they hold under an alert.

The notes of unanswered flows are heard many at a time, when the packets' clock says so or enough are there: one by
one they would cost as much as the flows themselves. When they are heard does not depend on our speed.
"""

from collections.abc import Iterable
from math import inf

import numpy as np

from tlids_edge.capture.packets import ICMPV6, Packet, PacketStats
from tlids_edge.detect.arp import ArpWatch
from tlids_edge.detect.fan_out import FanOut
from tlids_edge.detect.fragments import FragmentWatch
from tlids_edge.detect.judging import RULES, names_of
from tlids_edge.detect.neighbours import NeighbourWatch
from tlids_edge.detect.replies import Replies
from tlids_edge.detect.sources import ProvenSources
from tlids_edge.detect.suspects import RuleAlert
from tlids_edge.flows.compiled import CompiledMeter
from tlids_edge.flows.flow import Flow
from tlids_edge.flows.meter import Meter
from tlids_edge.flows.rows import Ended, ended, mac_number, mac_numbers

EVERY_US = 100_000
MANY = 256  # notes are heard at once
FEW = 32  # flows: up to so many are looked at one by one
_DISCOVERY = tuple(bytes([kind]) for kind in range(133, 138))  # types of ICMPv6: neighbours, routers and redirects


class Rules:
    """The rules of one run, and the sources that two-way traffic has proven, which all of them ask."""

    def __init__(self, arp: ArpWatch | None, fan_out: FanOut | None) -> None:
        """With `arp` go its sister for IPv6; with `fan_out` goes the watch for tiny fragments."""
        self.sources = ProvenSources()
        self._arp, self._fan_out, self._replies = arp, fan_out, Replies()
        self._neighbours = None if arp is None else NeighbourWatch(self.sources)
        self._fragments = None if fan_out is None else FragmentWatch(self.sources)
        if arp is not None:
            arp.claims.sources = self.sources
        if fan_out is not None:
            fan_out.sources = self.sources
        named = {"fan-out": fan_out, "fragments": self._fragments}
        if arp is not None:
            named = {"arp": arp.claims, "neighbours": self._neighbours.claims} | named
        self._named = [(name, rule) for name, rule in named.items() if rule is not None]
        self._due_us = 0

    @property
    def blind(self) -> bool:
        """Whether a flood keeps the fan-out rule from seeing a scan beside it."""
        return self._fan_out is not None and self._fan_out.blind

    @staticmethod
    def wants(packet: Packet) -> bool:
        """Whether `see` should be shown a packet; the compiled meter leaves those to Python."""
        if packet.protocol != ICMPV6:
            return packet.arp is not None
        at, frame = packet.ip_offset, packet.frame
        # where the type stands behind extension headers, `see` looks
        return frame[at] >> 4 == 6 and (frame[at + 6] != ICMPV6 or frame[at + 40 : at + 41] in _DISCOVERY)

    def see(self, packet: Packet) -> list[RuleAlert]:
        """Show one packet to the rules that want packets; the alerts it gives rise to."""
        if packet.arp is not None:
            return [] if self._arp is None else self._arp.see(packet)
        if packet.protocol == ICMPV6 and self._neighbours is not None:
            return self._neighbours.see(packet)
        return []

    def hear(self, meter: Meter | CompiledMeter, stats: PacketStats, now_us: float | None = None) -> list[RuleAlert]:
        """Take over the meter's notes when they are due at `now_us`, or at once; the alerts they give rise to."""
        noted = meter.noted
        if not (noted or stats.tiny):
            return []
        if now_us is not None and noted < MANY and 0 <= self._due_us - now_us <= EVERY_US:
            return []
        self._due_us = EVERY_US + (now_us or 0)
        notes, senders = meter.take_notes(), stats.take_tiny_fragments(inf if now_us is None else now_us)
        if noted:
            self._replies.note(notes)
        if self._fan_out is None:
            return []
        return (self._fan_out.see(notes) if noted else []) + self._fragments.see(senders)

    def note_rows(self, rows: np.ndarray) -> None:
        """Flows have ended, a ROW array: take note of what they prove, and mark whose sources are proven or suspected.

        What is proven is known first, whatever the order. Those that only reply are marked as well.
        """
        self._replies.mark(rows)
        if len(rows) <= FEW:
            self._note_few(rows)
            return
        for flow in ended(rows[rows["proven"] > 0]):
            self.note_flow(flow)
        macs = mac_numbers(rows)
        known = np.flatnonzero(_among(macs, self.sources.macs) & (rows["proven"] == 0))
        proven = [self.sources.is_proven(flow.key[0], flow.src_hw, flow.last_us) for flow in ended(rows[known])]
        rows["proven"][known[np.array(proven, bool)]] = 1
        suspected = np.flatnonzero(_among(macs, {mac for _, rule in self._named for mac in rule.suspects.macs}))
        rows["rules"][suspected] = [self._bits(flow) for flow in ended(rows[suspected])]

    def _note_few(self, rows: np.ndarray) -> None:
        """The same in plain Python: numpy needs as long for one flow as Python does for FEW."""
        flows = list(ended(rows))
        for flow in flows:
            self.note_flow(flow)
        for row, flow in enumerate(flows):
            if not flow.proven and self.sources.is_proven(flow.key[0], flow.src_hw, flow.last_us):
                rows["proven"][row] = 1
            if bits := self._bits(flow):
                rows["rules"][row] = bits

    def note_flow(self, flow: Flow | Ended) -> None:
        """A flow has ended: take note of what it proves."""
        if flow.proven:
            self.sources.prove(flow.key[0], flow.src_hw, flow.last_us)
            if self._arp is not None:
                (self._arp if len(flow.key[0]) == 4 else self._neighbours).claims.note_flow(flow)

    def against(self, flow: Flow | Ended) -> tuple[str, ...]:
        """The names of the rules under whose alert the source of a flow stood when the flow ended."""
        return names_of(self._bits(flow))

    def _bits(self, flow: Flow | Ended) -> int:
        """The same as `judging.RULES` has it."""
        return sum(1 << RULES.index(name) for name, rule in self._named if len(rule.suspects) and rule.accuses(flow))


def _among(macs: np.ndarray, some: Iterable[bytes]) -> np.ndarray:
    """Which link-layer addresses, as numbers, are among some."""
    return np.isin(macs, np.fromiter(map(mac_number, some), np.uint64))
