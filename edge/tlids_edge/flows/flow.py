"""One flow: its packets, bytes, times and flags, and the nine features of each dataset family."""

from math import sqrt
from typing import NamedTuple

from tlids_edge.capture.packets import TCP, Packet, address_text, mac_text

NETFLOW_FEATURES = (
    "L4_SRC_PORT", "L4_DST_PORT", "PROTOCOL", "TCP_FLAGS", "L7_PROTO",
    "IN_BYTES", "OUT_BYTES", "IN_PKTS", "OUT_PKTS",
)  # fmt: skip
CICFLOW_FEATURES = (
    "Bwd_Pkt_Len_Std", "Bwd_IAT_Min", "Init_Fwd_Win_Byts", "Bwd_IAT_Mean", "TotLen_Bwd_Pkts",
    "Bwd_IAT_Tot", "Subflow_Fwd_Byts", "Dst_Port", "Src_Port",
)  # fmt: skip
# CICFlowMeter builds disagree on Init_Fwd_Win_Byts and Subflow_Fwd_Byts:
#   cse-cic-ids2018    the first window, -1 without one; all forward payload bytes (the published files)
#   constant-window    always -1; all forward payload bytes (a build in circulation)
#   cicflowmeter-2020  the first window, 0 without one; forward payload bytes // packets (a 2020 build)
DIALECTS = ("cse-cic-ids2018", "constant-window", "cicflowmeter-2020")
DEFAULT_DIALECT = DIALECTS[0]

FlowKey = tuple[bytes, bytes, int, int, int, int]  # source, destination, their ports, protocol, VLAN


class Unanswered(NamedTuple):
    """A flow that nothing came back to, but a RST perhaps. Time in microseconds since 1970."""

    first_us: int
    src: bytes
    dst: bytes
    dst_port: int
    protocol: int
    src_hw: bytes


class Flow:
    """One flow. Times in microseconds since 1970; bytes are IP-layer bytes, `payload` bytes are above TCP or UDP."""

    __slots__ = (
        "key", "key_back", "key_other", "first_us", "last_us", "end_reason", "src_hw", "dst_hw", "tcp_flags", "l7",
        "in_bytes", "out_bytes", "in_packets", "out_packets",
        "fin_seen", "closing", "closing_us", "dissection",
        "answered", "replied", "proven", "heeds_source", "heeds_reply",
        "window", "in_payload", "out_payload", "out_squares", "out_first_us", "out_last_us", "out_gap_min",
    )  # fmt: skip

    def __init__(self, key: FlowKey, packet: Packet, forward: bool) -> None:
        """Open a flow for `packet`, sent by its source if `forward`, which is counted by the meter, not here."""
        self.key, self.key_back = key, turned(key)
        self.key_other = None  # of the way back, if it is in another VLAN: `vlans`
        self.first_us = self.last_us = packet.time_us
        self.end_reason = ""
        if forward:
            self.src_hw, self.dst_hw = packet.src_mac, packet.dst_mac
        else:
            self.src_hw, self.dst_hw = packet.dst_mac, packet.src_mac
        self.tcp_flags = self.fin_seen = 0
        self.l7 = 0.0
        self.in_bytes = self.out_bytes = self.in_packets = self.out_packets = 0
        self.closing = ""  # "fin" or "rst" once TCP has ended
        self.closing_us = 0
        self.dissection = None  # what nDPI holds while the application is unknown
        self.answered = False  # a packet came back that is no RST
        self.replied = False  # and to the source's own MAC address
        self.proven = False  # and the source went on: it takes part in two-way traffic under this address and MAC
        self.heeds_source = self.heeds_reply = True  # the next packet of the source, or back to it, changes the above
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


def turned(key: FlowKey) -> FlowKey:
    """The key of the opposite direction."""
    src, dst, src_port, dst_port, protocol, vlan = key
    return dst, src, dst_port, src_port, protocol, vlan


def count_payload(flow: Flow, forward: bool, now: int, payload: int) -> None:
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
