"""All rules behind one door: what they are shown, and whom they hold under an alert.

The notes of unanswered flows are heard many at a time, when the packets' clock says so or enough are there: one by
one they would cost as much as the flows themselves. When they are heard does not depend on our speed.
"""

from tlids_edge.capture.packets import ICMPV6, Packet, PacketStats
from tlids_edge.detect.arp import ArpWatch
from tlids_edge.detect.fan_out import FanOut
from tlids_edge.detect.fragments import FragmentWatch
from tlids_edge.detect.neighbours import NeighbourWatch
from tlids_edge.detect.sources import ProvenSources
from tlids_edge.detect.suspects import RuleAlert
from tlids_edge.flows.flow import Flow
from tlids_edge.flows.meter import Meter

EVERY_US = 100_000
MANY = 256  # notes are heard at once


class Rules:
    """The rules of one run, and the sources that two-way traffic has proven, which all of them ask."""

    def __init__(self, arp: ArpWatch | None, fan_out: FanOut | None) -> None:
        """With `arp` go its sister for IPv6; with `fan_out` goes the watch for tiny fragments."""
        self.sources = ProvenSources()
        self._arp, self._fan_out = arp, fan_out
        self._neighbours = None if arp is None else NeighbourWatch(self.sources)
        self._fragments = None if fan_out is None else FragmentWatch(self.sources)
        if arp is not None:
            arp.claims.sources = self.sources
        if fan_out is not None:
            fan_out.sources = self.sources
        named = {"arp": arp, "neighbours": self._neighbours, "fan-out": fan_out, "fragments": self._fragments}
        self._named = [(name, rule) for name, rule in named.items() if rule is not None]
        self._due_us = 0

    @property
    def blind(self) -> bool:
        """Whether a flood keeps the fan-out rule from seeing a scan beside it."""
        return self._fan_out is not None and self._fan_out.blind

    def see(self, packet: Packet) -> list[RuleAlert]:
        """Show one packet to the rules that want packets; the alerts it gives rise to."""
        if packet.arp is not None:
            return [] if self._arp is None else self._arp.see(packet)
        if packet.protocol == ICMPV6 and self._neighbours is not None:
            return self._neighbours.see(packet)
        return []

    def hear(self, meter: Meter, stats: PacketStats, now_us: float | None = None) -> list[RuleAlert]:
        """Take over the meter's notes when they are due at `now_us`, or at once; the alerts they give rise to."""
        if not (meter.unanswered or stats.tiny_senders):
            return []
        if now_us is not None and len(meter.unanswered) < MANY and 0 <= self._due_us - now_us <= EVERY_US:
            return []
        self._due_us = EVERY_US + (now_us or 0)
        notes, senders = meter.take_unanswered(), stats.take_tiny_fragments()
        if self._fan_out is None:
            return []
        return (self._fan_out.see(notes) if notes else []) + self._fragments.see(senders)

    def note_flow(self, flow: Flow) -> None:
        """A flow has ended: take note of what it proves."""
        if flow.proven:
            self.sources.prove(flow.key[0], flow.src_hw, flow.last_us)
            if self._arp is not None:
                (self._arp if len(flow.key[0]) == 4 else self._neighbours).note_flow(flow)

    def against(self, flow: Flow) -> tuple[str, ...]:
        """The names of the rules under whose alert the source of a flow stood when the flow ended."""
        return tuple([name for name, rule in self._named if len(rule.suspects) and rule.accuses(flow)])
