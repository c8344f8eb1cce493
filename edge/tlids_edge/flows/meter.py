"""Packets -> bidirectional flows -> feature rows, for training and for the Pi alike.

A flow is the packets of one 5-tuple in both directions; the sender of its first packet is its source. ICMP and
other protocols without ports have ports 0, as in the NetFlow datasets (every ICMP row of the samples has 0 and 0).

A flow ends
- "idle": nothing came for `idle_timeout`;
- "active": it has lasted for `active_timeout`; what follows is a new flow;
- "fin", "rst": TCP said so, with a FIN of each side or one RST. The flow stays open for one more second (LINGER_US)
  to take in the last acknowledgements and retransmissions, which would otherwise open flows of a packet each; a new
  SYN ends it at once. CICFlowMeter ends at the first FIN and lets the rest open a second flow: see `endings`;
- "table-full": room was needed for a new flow and this one was silent longest;
- "shutdown": the capture ended.

Which packets a flow holds depends on the packets' own timestamps alone, so a live run and its replay agree. The
clock is the newest timestamp seen. A timestamp that falls behind it by more than the idle timeout (and ten seconds)
means that the machine's clock was set back: all open flows end as idle and the clock starts over. Smaller steps back
are disorder in the capture, and count as no time passed.
"""

from collections import OrderedDict
from collections.abc import Callable, Iterator
from math import inf, sqrt

from tlids_edge.capture.packets import Packet, address_text, mac_text
from tlids_edge.flows.ndpi import Ndpi

NETFLOW_FEATURES = (
    "L4_SRC_PORT", "L4_DST_PORT", "PROTOCOL", "TCP_FLAGS", "L7_PROTO",
    "IN_BYTES", "OUT_BYTES", "IN_PKTS", "OUT_PKTS",
)  # fmt: skip
CICFLOW_FEATURES = (
    "Bwd_Pkt_Len_Std", "Bwd_IAT_Min", "Init_Fwd_Win_Byts", "Bwd_IAT_Mean", "TotLen_Bwd_Pkts",
    "Bwd_IAT_Tot", "Subflow_Fwd_Byts", "Dst_Port", "Src_Port",
)  # fmt: skip
FAMILIES = ("netflow", "cicflow", "both")
# CICFlowMeter builds disagree on Init_Fwd_Win_Byts and Subflow_Fwd_Byts:
#   cse-cic-ids2018    the first window, -1 without one; all forward payload bytes (the published files)
#   constant-window    always -1; all forward payload bytes (a build in circulation)
#   cicflowmeter-2020  the first window, 0 without one; forward payload bytes // packets (a 2020 build)
DIALECTS = ("cse-cic-ids2018", "constant-window", "cicflowmeter-2020")
DEFAULT_DIALECT = DIALECTS[0]
ENDINGS = ("tlids", "cicflowmeter")
CICFLOWMETER_LIFE_S = 120.0

FIN, SYN, RST, ACK = 0x01, 0x02, 0x04, 0x10
LINGER_US = 1_000_000
MIN_CLOCK_STEP_US = 10_000_000
TCP = 6
# ICMP, IGMP, ICMPv6, OSPF: the datasets print 0 (44 of 44 rows of the version-2 samples), nDPI would say 81, ...
WITHOUT_APPLICATION = (1, 2, 58, 89)

Key = tuple[bytes, bytes, int, int, int]  # source, destination, their ports, protocol


class Flow:
    """One flow. Times in microseconds since 1970; bytes are IP-layer bytes, `payload` bytes are above TCP or UDP."""

    __slots__ = (
        "key", "first_us", "last_us", "end_reason", "src_hw", "dst_hw", "tcp_flags", "l7",
        "in_bytes", "out_bytes", "in_packets", "out_packets",
        "fin_seen", "closing", "closing_us", "dissection",
        "window", "in_payload", "out_payload", "out_squares", "out_first_us", "out_last_us", "out_gap_min",
    )  # fmt: skip

    def __init__(self, key: Key, packet: Packet) -> None:
        """Open a flow for `packet`, which is counted by the meter, not here."""
        self.key = key
        self.first_us = self.last_us = packet.time_us
        self.end_reason = ""
        forward = packet.src == key[0]  # not so in a flow that took over its direction: endings="cicflowmeter"
        self.src_hw, self.dst_hw = (packet.src_mac, packet.dst_mac)[:: 1 if forward else -1]
        self.tcp_flags = self.fin_seen = 0
        self.l7 = 0.0
        self.in_bytes = self.out_bytes = self.in_packets = self.out_packets = 0
        self.closing = ""  # "fin" or "rst" once TCP has ended
        self.closing_us = 0
        self.dissection = None  # what nDPI holds while the application is unknown
        self.window = packet.tcp_window if forward and key[4] == TCP else None
        self.in_payload = self.out_payload = self.out_squares = 0
        self.out_first_us = self.out_last_us = self.out_gap_min = 0

    @property
    def src(self) -> str:
        """Source address as text."""
        return address_text(self.key[0])

    @property
    def dst(self) -> str:
        """Destination address as text."""
        return address_text(self.key[1])

    @property
    def src_port(self) -> int:
        """Source port, 0 where the protocol has none."""
        return self.key[2]

    @property
    def dst_port(self) -> int:
        """Destination port, 0 where the protocol has none."""
        return self.key[3]

    @property
    def protocol(self) -> int:
        """IP protocol number."""
        return self.key[4]

    @property
    def src_mac(self) -> str:
        """Link-layer source of the first packet, "" where the link layer has none."""
        return mac_text(self.src_hw)

    @property
    def dst_mac(self) -> str:
        """Link-layer destination of the first packet, "" where the link layer has none."""
        return mac_text(self.dst_hw)

    @property
    def duration_ms(self) -> int:
        """Whole milliseconds from first to last packet."""
        return (self.last_us - self.first_us) // 1000

    def netflow(self) -> tuple[float, ...]:
        """The nine NETFLOW_FEATURES (Table 1)."""
        return (
            self.key[2], self.key[3], self.key[4], self.tcp_flags, self.l7,
            self.in_bytes, self.out_bytes, self.in_packets, self.out_packets,
        )  # fmt: skip

    def cicflow(self, dialect: str = DEFAULT_DIALECT) -> tuple[float, ...]:
        """The nine CICFLOW_FEATURES (Table 3) as the named build of CICFlowMeter defines them."""
        total_gap = self.out_last_us - self.out_first_us
        gaps = self.out_packets - 1
        return (
            _sample_deviation(self.out_packets, self.out_payload, self.out_squares),
            self.out_gap_min, _initial_window(self, dialect), total_gap / gaps if gaps > 0 else 0.0,
            self.out_payload, total_gap, _subflow_bytes(self, dialect), self.key[3], self.key[2],
        )  # fmt: skip

    def features(self, family: str, dialect: str | None = None) -> tuple[float, ...]:
        """The nine features of `family`, "netflow" or "cicflow"."""
        return self.netflow() if family == "netflow" else self.cicflow(dialect or DEFAULT_DIALECT)


def _sample_deviation(count: int, total: int, squares: int) -> float:
    """Standard deviation with divisor count - 1, from exact integer sums; 0 below two values."""
    return sqrt((count * squares - total * total) / (count * (count - 1))) if count > 1 else 0.0


def _initial_window(flow: Flow, dialect: str) -> int:
    """The TCP window, unscaled, of the first packet when the source sent it."""
    if dialect == "constant-window":
        return -1
    if flow.window is None:
        return 0 if dialect == "cicflowmeter-2020" else -1
    return flow.window


def _subflow_bytes(flow: Flow, dialect: str) -> int:
    """Forward payload bytes, in the 2020 build divided by packets: it starts a subflow at every one."""
    return (
        flow.in_payload // (flow.in_packets + flow.out_packets) if dialect == "cicflowmeter-2020" else flow.in_payload
    )


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
        self.max_flows = max_flows
        self.opened = self.evicted = 0
        self.closed: dict[str, int] = {}
        self._l7 = l7
        self._idle_us, self._active_us = idle_timeout * 1e6, active_timeout * 1e6
        self._clock_step_us = max(self._idle_us, MIN_CLOCK_STEP_US)
        self._with_payloads = family != "netflow"
        self._like_cicflowmeter = endings == "cicflowmeter"
        # the same flows in three orders, so that whatever ends next stands first
        self._by_silence: OrderedDict[Key, Flow] = OrderedDict()
        self._by_age: OrderedDict[Key, Flow] = OrderedDict()
        self._closing: OrderedDict[Key, Flow] = OrderedDict()
        self._clock = -inf
        self._next_end = inf  # no flow ends before this
        self.ended: list[Flow] = []  # and not yet taken

    def __len__(self) -> int:
        """Number of open flows."""
        return len(self._by_silence)

    def add(self, packet: Packet) -> None:
        """Count one packet, after closing what its timestamp ends. ARP frames are not flows."""
        now, src, dst, src_port, dst_port, protocol, flags, _, length, payload, _, _, _, _, _, _ = packet
        if protocol < 0:
            return
        if now > self._clock:
            self._clock = now
            if now > self._next_end:
                self.expire(now)
        elif now < self._clock - self._clock_step_us:
            self._start_clock_anew(now)
        key = (src, dst, src_port, dst_port, protocol)
        flow = self._by_silence.get(key)
        forward = flow is not None
        if not forward:
            flow = self._by_silence.get((dst, src, dst_port, src_port, protocol))
        if flow is None or flow.closing and flags & (SYN | ACK) == SYN:
            flow, forward = self._replace(flow, key, packet), True
        elif self._like_cicflowmeter and now - flow.first_us > self._active_us:
            # CICFlowMeter lets the successor keep the direction of the flow that timed out
            flow = self._replace(flow, flow.key, packet)
        else:
            self._by_silence.move_to_end(flow.key)
        if now > flow.last_us:
            flow.last_us = now
        if forward:
            flow.in_packets += 1
            flow.in_bytes += length
        else:
            flow.out_packets += 1
            flow.out_bytes += length
        if self._with_payloads:
            _count_payload(flow, forward, now, payload)
        if flow.dissection is not None:
            self._dissect(flow, packet)
        if protocol == TCP:
            flow.tcp_flags |= flags
            if flags & (FIN | RST):
                self._end_tcp(flow, forward, now, flags)

    def expire(self, now_us: float) -> None:
        """Close what has ended by `now_us`. Live, call it with the wall clock less the capture's delay."""
        self._clock = max(self._clock, now_us)
        for flow in _while(self._closing, lambda flow: now_us - flow.closing_us > LINGER_US):
            self._close(flow, flow.closing)
        for flow in _while(self._by_silence, lambda flow: now_us - flow.last_us > self._idle_us):
            self._close(flow, self._timeout_reason(flow))
        for flow in _while(self._by_age, lambda flow: now_us - flow.first_us > self._active_us):
            self._close(flow, self._timeout_reason(flow))
        self._next_end = self._earliest_end()

    def close_all(self, reason: str = "shutdown") -> None:
        """Close every open flow."""
        for flow in list(self._by_silence.values()):
            self._close(flow, reason)

    def take(self) -> list[Flow]:
        """Hand over the flows closed since the last call, in closing order."""
        ended, self.ended = self.ended, []
        return ended

    def _replace(self, old: Flow | None, key: Key, packet: Packet) -> Flow:
        """Open a flow after closing the one that had these addresses, or the longest silent when the table is full."""
        if old is not None:
            self._close(old, old.closing or "active")
        elif len(self._by_silence) >= self.max_flows:
            self.evicted += 1
            self._close(next(iter(self._by_silence.values())), "table-full")
        flow = Flow(key, packet)
        if self._l7 is not None and key[4] not in WITHOUT_APPLICATION:
            flow.dissection = self._l7.open()
        self._by_silence[key] = self._by_age[key] = flow
        self.opened += 1
        if not self._like_cicflowmeter:
            self._end_not_before(packet.time_us + min(self._idle_us, self._active_us))
        return flow

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
        self._closing[flow.key] = flow
        self._end_not_before(now + LINGER_US)

    def _dissect(self, flow: Flow, packet: Packet) -> None:
        """Show nDPI one more packet; forget its state once the application is known."""
        application = self._l7.inspect(flow.dissection, packet)
        if application is not None:
            flow.l7, flow.dissection = application, None

    def _close(self, flow: Flow, reason: str) -> None:
        """Take a flow off the table. CICFlowMeter does not report flows of one packet."""
        del self._by_silence[flow.key], self._by_age[flow.key]
        if flow.closing:
            del self._closing[flow.key]
        if flow.dissection is not None:
            flow.l7, flow.dissection = self._l7.give_up(flow.dissection), None
        flow.end_reason = flow.closing or reason
        if self._like_cicflowmeter and flow.in_packets + flow.out_packets < 2:
            return
        self.closed[flow.end_reason] = self.closed.get(flow.end_reason, 0) + 1
        self.ended.append(flow)

    def _timeout_reason(self, flow: Flow) -> str:
        """The timeout that struck first, so that the reason does not depend on when one looks."""
        return "idle" if flow.last_us + self._idle_us <= flow.first_us + self._active_us else "active"

    def begin_again(self) -> None:
        """Another recording follows, with a clock of its own: all open flows end."""
        self._start_clock_anew(0)

    def _start_clock_anew(self, now: int) -> None:
        """The machine's clock was set back: flows of the old time cannot be told from silent ones."""
        self.close_all("idle")
        self._clock, self._next_end = now, inf

    def _end_not_before(self, end: float) -> None:
        """Note that some flow may end at `end`."""
        if end < self._next_end:
            self._next_end = end

    def _earliest_end(self) -> float:
        """The first moment at which an open flow can end; inf under CICFlowMeter's rules: those look at packets."""
        if not self._by_silence or self._like_cicflowmeter:
            return inf
        silent, old = next(iter(self._by_silence.values())), next(iter(self._by_age.values()))
        end = min(silent.last_us + self._idle_us, old.first_us + self._active_us)
        if self._closing:
            end = min(end, next(iter(self._closing.values())).closing_us + LINGER_US)
        return end


def _while(flows: OrderedDict[Key, Flow], ended: Callable[[Flow], bool]) -> Iterator[Flow]:
    """Yield the first flow again and again while it has ended; the caller removes it."""
    while flows and ended(flow := next(iter(flows.values()))):
        yield flow


def _count_payload(flow: Flow, forward: bool, now: int, payload: int) -> None:
    """Keep what the CICFlowMeter features need; a packet that is older than the one before it counts as no gap."""
    if forward:
        flow.in_payload += payload
        return
    if flow.out_packets == 1:
        flow.out_first_us = flow.out_last_us = now
    else:
        gap = max(0, now - flow.out_last_us)
        if flow.out_packets == 2 or gap < flow.out_gap_min:
            flow.out_gap_min = gap
        flow.out_last_us += gap
    flow.out_payload += payload
    flow.out_squares += payload * payload


def _check(value: str, allowed: tuple[str, ...], name: str) -> None:
    """Refuse a setting that does not exist."""
    if value not in allowed:
        raise ValueError(f"expected {name} to be one of {', '.join(allowed)}, found {value!r}")
