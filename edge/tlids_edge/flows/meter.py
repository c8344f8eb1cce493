"""Packets -> bidirectional flows -> feature rows, for training and for the Pi alike.

A flow is the packets of one 5-tuple in one VLAN, in both directions; `vlans` says how the way back may be in another.
ICMP and other protocols without ports have ports 0, as in the NetFlow datasets (every ICMP row of the samples has 0 and
0). The sender of the first packet is the source, but not where TCP says that the packet answers another: a flow that
opens with SYN and ACK, or with a RST, has its source turned round, and so has one that opens without a SYN while the
opposite direction was reset less than an idle timeout ago (MAX_RESETS of those are remembered, the oldest go first; of
the two directions the one that was reset later counts).

A flow ends
- "idle": nothing came for `idle_timeout`;
- "active": it has lasted for `active_timeout`; what follows is a new flow;
- "fin", "rst": TCP said so, with a FIN of each side or one RST. The flow stays open for one more second (LINGER_US)
  to take in the last acknowledgements and retransmissions, which would otherwise open flows of a packet each; a new
  SYN ends it at once. CICFlowMeter ends at the first FIN and lets the rest open a second flow: see `endings`;
- "table-full": room was needed for a new flow. Where a quarter of the table or more (one in PROBATION) is on probation,
  that is of one packet and unanswered, the oldest of these goes: a flood of single packets costs no other flow. Else,
  among the LOOKED_AT that were silent longest, the first goes whose source MAC holds more than half of the table
  (without a MAC, b"" counts as one); else the one that was silent longest;
- "shutdown": the capture ended.

A flow is answered by its first packet in return that is no RST and does not come from the source's own MAC, for such
an answer is forged (where source and destination have one MAC, as on the loopback, this cannot be told). One that is
not answered is noted once, at the first of: more than UNANSWERED_US since its first packet, a RST in return, its end.
Notes are handed over by `take_unanswered`; of those that nobody takes the oldest are given up, so that they are no more
than the table and MAX_NOTES.

A source is proven once it has sent a packet, no RST, from the flow's source MAC after an answer that went to that MAC;
where the link layer has no MAC, the packets alone count. Whoever forges a source sees no answer, or has no say in where
it goes.

Which packets a flow holds depends on the packets' own timestamps alone, so a live run and its replay agree. The
clock is the newest timestamp seen. A timestamp that falls behind it by more than the idle timeout (and ten seconds)
means that the machine's clock was set back: all open flows end as idle and the clock starts over. Smaller steps back
are disorder in the capture, and count as no time passed.

Under CICFlowMeter's endings no source is turned round, and no clock runs: an unanswered flow is noted at a RST or at
its end.
"""

from collections import Counter, OrderedDict, deque
from itertools import islice
from math import inf

from tlids_edge.capture.packets import TCP, Packet
from tlids_edge.capture.pcap import new_tuple
from tlids_edge.flows.flow import (
    CICFLOW_FEATURES,
    DEFAULT_DIALECT,
    DIALECTS,
    NETFLOW_FEATURES,
    Flow,
    FlowKey,
    Unanswered,
    count_payload,
    turned,
)
from tlids_edge.flows.ndpi import Ndpi
from tlids_edge.flows.vlans import WaysBack

__all__ = [
    "CICFLOW_FEATURES", "DEFAULT_DIALECT", "DIALECTS", "NETFLOW_FEATURES", "Flow", "FlowKey", "Meter", "Unanswered",
]  # fmt: skip

FAMILIES = ("netflow", "cicflow", "both")
ENDINGS = ("tlids", "cicflowmeter")
CICFLOWMETER_LIFE_S = 120.0

FIN, SYN, RST, ACK = 0x01, 0x02, 0x04, 0x10
LINGER_US = 1_000_000
UNANSWERED_US = 1_000_000
MIN_CLOCK_STEP_US = 10_000_000
PROBATION = 4
LOOKED_AT = 32
MAX_RESETS = 1024
MAX_NOTES = 16_384
# ICMP, IGMP, ICMPv6, OSPF: the datasets print 0 (44 of 44 rows of the version-2 samples), nDPI would say 81, ...
WITHOUT_APPLICATION = (1, 2, 58, 89)


class Meter:
    """A bounded table of open flows. Adding a packet costs the same whatever the table holds."""

    def __init__(
        self, family: str = "netflow", idle_timeout: float = 15.0, active_timeout: float = 60.0,
        max_flows: int = 20_000, l7: Ndpi | None = None, endings: str = "tlids",
    ) -> None:  # fmt: skip
        """Timeouts in seconds; without `l7` every L7_PROTO is 0; `endings="cicflowmeter"` replaces the timeouts."""
        _check(family, FAMILIES, "family")
        _check(endings, ENDINGS, "endings")
        if endings == "cicflowmeter":
            idle_timeout, active_timeout = inf, CICFLOWMETER_LIFE_S
        if not (idle_timeout > 0 and active_timeout > 0 and max_flows >= 1):
            raise ValueError(f"expected numbers above zero, found {idle_timeout}, {active_timeout} and {max_flows}")
        self.family, self.endings = family, endings
        self.kind = "Python"
        self.max_flows = max_flows
        self.opened = self.evicted = 0
        self.closed: dict[str, int] = {}
        self._l7 = l7
        self._idle_us, self._active_us = idle_timeout * 1e6, active_timeout * 1e6
        self._soonest_us = min(self._idle_us, self._active_us, UNANSWERED_US)  # from opening to what may come first
        if endings == "cicflowmeter":
            self._soonest_us = inf
        self._clock_step_us = max(self._idle_us, MIN_CLOCK_STEP_US)
        self._with_payloads = family != "netflow"
        self._like_cicflowmeter = endings == "cicflowmeter"
        self._by_key: dict[FlowKey, Flow] = {}  # each flow under the keys of both directions
        # the same flows in three orders, so that whatever ends next stands first
        self._by_silence: OrderedDict[Flow, None] = OrderedDict()
        self._by_age: OrderedDict[Flow, None] = OrderedDict()
        self._closing: OrderedDict[Flow, None] = OrderedDict()
        self._waiting: OrderedDict[Flow, None] = OrderedDict()  # for an answer or their note, in order of opening
        self._probation: OrderedDict[Flow, None] = OrderedDict()  # of one packet and unanswered, the oldest first
        self._ways: WaysBack | None = None  # once a VLAN was seen
        self._held: Counter[bytes] | None = None  # open flows by source MAC, once a full table has asked for them
        self._resets: OrderedDict[FlowKey, int] = OrderedDict()  # when flows of these keys closed with a RST
        self._clock = -inf
        self._next_end = inf  # no flow ends before this
        self.ended: list[Flow] = []  # and not yet taken
        self.unanswered: deque[Unanswered] = deque(maxlen=max_flows + MAX_NOTES)  # not yet taken

    def __len__(self) -> int:
        """Number of open flows."""
        return len(self._by_silence)

    @property
    def noted(self) -> int:
        """Notes that were not yet taken."""
        return len(self.unanswered)

    def add(self, packet: Packet) -> None:
        """Count one packet, after closing what its timestamp ends. ARP frames are not flows."""
        (
            now, src, dst, src_port, dst_port, protocol, flags, _, length, payload, _, src_mac, dst_mac, _, _, _, vlan,
        ) = packet  # fmt: skip
        if protocol < 0:
            return
        if now > self._clock:
            self._clock = now
            if now > self._next_end:
                self.expire(now)
        elif now < self._clock - self._clock_step_us:
            self._restart_clock(now)
        key = (src, dst, src_port, dst_port, protocol, vlan)
        flow = self._by_key.get(key)
        if flow is None and (vlan or self._ways is not None):
            flow = self._other_way(key, flags)
        if flow is None or flow.closing and flags & (SYN | ACK) == SYN:
            forward = protocol != TCP or flags & (SYN | ACK | RST) == SYN or not self._is_answer(flow, key, packet)
            flow = self._open(flow, key if forward else turned(key), packet, forward)
        elif self._like_cicflowmeter and now - flow.first_us > self._active_us:
            # CICFlowMeter lets the successor keep the direction of the flow that timed out
            forward = (src, src_port) == flow.key[::2][:2]
            flow = self._open(flow, flow.key, packet, forward)
        else:
            self._by_silence.move_to_end(flow)
            own = flow.key
            forward = src_port == own[2] and src == own[0]
            if forward:
                if flow.heeds_source:
                    self._heed_source(flow, flags, src_mac)
            elif flow.heeds_reply:
                self._heed_reply(flow, flags, src_mac, dst_mac)
        if now > flow.last_us:
            flow.last_us = now
        if forward:
            flow.in_packets += 1
            flow.in_bytes += length
        else:
            flow.out_packets += 1
            flow.out_bytes += length
        if self._with_payloads:
            count_payload(flow, forward, now, payload)
        if flow.dissection is not None:
            self._dissect(flow, packet)
        if protocol == TCP:
            flow.tcp_flags |= flags
            if flags & (FIN | RST):
                self._end_tcp(flow, forward, now, flags)

    def expire(self, now_us: float) -> None:
        """Close what has ended by `now_us`. Live, call it with the wall clock less the capture's delay."""
        self._clock = max(self._clock, now_us)
        waiting = self._waiting
        while waiting and now_us - (flow := next(iter(waiting))).first_us > UNANSWERED_US:
            del waiting[flow]
            self._note(flow)
        closing, by_silence, by_age = self._closing, self._by_silence, self._by_age
        while closing and now_us - (flow := next(iter(closing))).closing_us > LINGER_US:
            self._close(flow, flow.closing)
        while by_silence and now_us - (flow := next(iter(by_silence))).last_us > self._idle_us:
            self._close(flow, self._timeout_reason(flow))
        while by_age and now_us - (flow := next(iter(by_age))).first_us > self._active_us:
            self._close(flow, self._timeout_reason(flow))
        self._next_end = self._earliest_end()

    def close_all(self, reason: str = "shutdown") -> None:
        """Close every open flow."""
        for flow in list(self._by_silence):
            self._close(flow, reason)

    def take(self) -> list[Flow]:
        """Hand over the flows closed since the last call, in closing order."""
        ended, self.ended = self.ended, []
        return ended

    def take_unanswered(self) -> list[Unanswered]:
        """Hand over what was noted of unanswered flows since the last call, in the order of the notes."""
        notes = list(self.unanswered)
        self.unanswered.clear()
        return notes

    take_notes = take_unanswered  # as the compiled meter calls its own form of them

    def _other_way(self, key: FlowKey, flags: int) -> Flow | None:
        """The flow whose way back is in another VLAN than its way there, as this packet of it shows."""
        if self._ways is None:
            self._ways = WaysBack(self._by_key, self._by_age)
        return self._ways.find(key, flags)

    def _is_answer(self, old: Flow | None, key: FlowKey, packet: Packet) -> bool:
        """Whether a TCP packet that opens a flow answers one that was not seen, or goes on with one that was reset."""
        flags = packet[6]
        if self._like_cicflowmeter or self._ways is not None and self._by_key.get(turned(key)) not in (None, old):
            return False
        if flags & RST or flags & (SYN | ACK) == SYN | ACK:
            return True
        if flags & SYN or not self._resets:
            return False
        reset_us, other_us = self._resets.get(turned(key), -inf), self._resets.get(key, -inf)
        return reset_us > other_us and packet[0] - reset_us <= self._idle_us

    def _open(self, old: Flow | None, key: FlowKey, packet: Packet, forward: bool) -> Flow:
        """Open a flow after closing the one that it follows or, when the table is full, the one to go first."""
        if old is not None:
            self._close(old, old.closing or "active")
        elif len(self._by_silence) >= self.max_flows:
            self.evicted += 1
            self._close(self._first_to_go(), "table-full")
        flow = Flow(key, packet, forward)
        if self._l7 is not None and key[4] not in WITHOUT_APPLICATION:
            flow.dissection = self._l7.open()
        self._by_key[key] = flow
        self._by_key.setdefault(flow.key_back, flow)
        self._by_silence[flow] = self._by_age[flow] = None
        if self._held is not None:
            self._held[flow.src_hw] += 1
        self.opened += 1
        if forward:
            self._probation[flow] = self._waiting[flow] = None
        elif packet[6] & RST:
            self._probation[flow] = None
            self._note(flow)
        else:
            flow.answered = flow.replied = True
            flow.heeds_reply = False
        if self._ways is not None:
            self._ways.note(flow)
        end = packet[0] + self._soonest_us
        if end < self._next_end:
            self._next_end = end
        return flow

    def _first_to_go(self) -> Flow:
        """The flow that a full table misses least: see the module's text."""
        if PROBATION * len(self._probation) >= self.max_flows:
            return next(iter(self._probation))
        if self._held is None:
            self._held = Counter(flow.src_hw for flow in self._by_silence)
        for flow in islice(self._by_silence, LOOKED_AT):
            if 2 * self._held[flow.src_hw] > self.max_flows:
                return flow
        return next(iter(self._by_silence))

    def _heed_source(self, flow: Flow, flags: int, mac: bytes) -> None:
        """A further packet of the source: it ends the probation, or proves the source."""
        if not flow.answered:
            self._probation.pop(flow, None)
        elif flow.replied and not flags & RST and (mac == flow.src_hw or not mac or not flow.src_hw):
            flow.proven = True
        flow.heeds_source = flow.replied and not flow.proven

    def _heed_reply(self, flow: Flow, flags: int, sender: bytes, mac: bytes) -> None:
        """A packet in return before one has gone to the source's MAC: an answer, or a RST."""
        if sender and sender == flow.src_hw != flow.dst_hw and not flags & RST:
            return  # the source has forged it
        if not flow.answered:
            self._probation.pop(flow, None)
            waited = self._waiting.pop(flow, True) is None
            if not flags & RST:
                flow.answered = True
                if self._ways is not None:
                    self._ways.forget(flow)
            elif waited:
                self._note(flow)
        if not flags & RST and (mac == flow.src_hw or not mac or not flow.src_hw):
            flow.replied = flow.heeds_source = True
            flow.heeds_reply = False

    def _note(self, flow: Flow) -> None:
        """Note that a flow is unanswered."""
        src, dst, _, dst_port, protocol, _ = flow.key
        self.unanswered.append(new_tuple(Unanswered, (flow.first_us, src, dst, dst_port, protocol, flow.src_hw)))

    def _end_tcp(self, flow: Flow, forward: bool, now: int, flags: int) -> None:
        """Take note of FIN and RST; the flow closes LINGER_US after the second FIN or the first RST."""
        if self._like_cicflowmeter:
            if flags & FIN and flow.in_packets + flow.out_packets > 1:
                self._close(flow, "fin")
            return
        if flags & FIN:
            flow.fin_seen |= 1 if forward else 2
        if flow.closing or not (flags & RST or flow.fin_seen == 3):
            return
        flow.closing = "rst" if flags & RST else "fin"
        flow.closing_us = now
        self._closing[flow] = None
        self._end_not_before(now + LINGER_US)

    def _dissect(self, flow: Flow, packet: Packet) -> None:
        """Show nDPI one more packet; forget its state once the application is known."""
        application = self._l7.inspect(flow.dissection, packet)
        if application is not None:
            flow.l7, flow.dissection = application, None

    def _close(self, flow: Flow, reason: str) -> None:
        """Take a flow off the table. CICFlowMeter does not report flows of one packet."""
        del self._by_silence[flow], self._by_age[flow], self._by_key[flow.key]
        if self._by_key.get(flow.key_back) is flow:
            del self._by_key[flow.key_back]
        if flow.key_other is not None:
            del self._by_key[flow.key_other]
        if flow.closing:
            del self._closing[flow]
        if not flow.answered:
            if self._ways is not None:
                self._ways.forget(flow)
            self._probation.pop(flow, None)
            if self._waiting.pop(flow, True) is None:
                self._note(flow)
        if self._held is not None:
            self._let_go(flow.src_hw)
        if flow.dissection is not None:
            flow.l7, flow.dissection = self._l7.give_up(flow.dissection), None
        flow.end_reason = flow.closing or reason
        if flow.closing == "rst":
            self._resets[flow.key] = flow.closing_us
            if len(self._resets) > MAX_RESETS:
                self._resets.popitem(last=False)
        if self._like_cicflowmeter and flow.in_packets + flow.out_packets < 2:
            return
        self.closed[flow.end_reason] = self.closed.get(flow.end_reason, 0) + 1
        self.ended.append(flow)

    def _let_go(self, mac: bytes) -> None:
        """One open flow less of this source MAC; a table at most half full needs no counts, for none can exceed it."""
        if 2 * len(self._by_silence) <= self.max_flows:
            self._held = None
        elif self._held[mac] > 1:
            self._held[mac] -= 1
        else:
            del self._held[mac]

    def _timeout_reason(self, flow: Flow) -> str:
        """The timeout that struck first, so that the reason does not depend on when one looks."""
        return "idle" if flow.last_us + self._idle_us <= flow.first_us + self._active_us else "active"

    def begin_again(self) -> None:
        """Another recording follows, with a clock of its own: all open flows end."""
        self._restart_clock(0)

    def _restart_clock(self, now: int) -> None:
        """The machine's clock was set back: flows of the old time cannot be told from silent ones."""
        self.close_all("idle")
        self._resets.clear()
        self._clock, self._next_end = now, inf

    def _end_not_before(self, end: float) -> None:
        """Note that some flow may end at `end`."""
        if end < self._next_end:
            self._next_end = end

    def _earliest_end(self) -> float:
        """The first moment at which an open flow can end; inf under CICFlowMeter's rules: those look at packets."""
        if not self._by_silence or self._like_cicflowmeter:
            return inf
        silent, old = next(iter(self._by_silence)), next(iter(self._by_age))
        end = min(silent.last_us + self._idle_us, old.first_us + self._active_us)
        if self._waiting:
            end = min(end, next(iter(self._waiting)).first_us + UNANSWERED_US)
        if self._closing:
            end = min(end, next(iter(self._closing)).closing_us + LINGER_US)
        return end


def _check(value: str, allowed: tuple[str, ...], name: str) -> None:
    """Refuse a setting that does not exist."""
    if value not in allowed:
        raise ValueError(f"expected {name} to be one of {', '.join(allowed)}, found {value!r}")
