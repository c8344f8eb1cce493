"""Captures -> rows: one row for each flow, in the order in which flows end, under the datasets' column names.

`tlids-meter` writes these rows as CSV; the testbed's Parquet tables are made of them too.
"""

import sys
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import lru_cache, partial
from math import inf
from pathlib import Path

from tlids_edge.capture.packets import PacketStats
from tlids_edge.capture.recording import read_capture, read_recording
from tlids_edge.flows.compiled import CompiledMeter, new_meter
from tlids_edge.flows.labels import BENIGN, Labels, label_flow, read_labels
from tlids_edge.flows.meter import CICFLOW_FEATURES, DEFAULT_DIALECT, DIALECTS, Flow, Meter
from tlids_edge.flows.ndpi import open_ndpi
from tlids_edge.flows.raw import RawReader
from tlids_edge.status import MeterLine

Column = Callable[[Flow], object]
# column -> value of a flow; the datasets' order, with what they lack at the end
_NETFLOW: dict[str, Column] = {
    "IPV4_SRC_ADDR": lambda flow: flow.src,
    "L4_SRC_PORT": lambda flow: flow.src_port,
    "IPV4_DST_ADDR": lambda flow: flow.dst,
    "L4_DST_PORT": lambda flow: flow.dst_port,
    "PROTOCOL": lambda flow: flow.protocol,
    "L7_PROTO": lambda flow: flow.l7,
    "IN_BYTES": lambda flow: flow.in_bytes,
    "OUT_BYTES": lambda flow: flow.out_bytes,
    "IN_PKTS": lambda flow: flow.in_packets,
    "OUT_PKTS": lambda flow: flow.out_packets,
    "TCP_FLAGS": lambda flow: flow.tcp_flags,
    "FLOW_DURATION_MILLISECONDS": lambda flow: flow.duration_ms,
}
_CICFLOW: dict[str, Column] = {
    "Src_IP": lambda flow: flow.src,
    "Dst_IP": lambda flow: flow.dst,
    "Protocol": lambda flow: flow.protocol,
    "Flow_Duration": lambda flow: flow.last_us - flow.first_us,
    "Tot_Fwd_Pkts": lambda flow: flow.in_packets,
    "Tot_Bwd_Pkts": lambda flow: flow.out_packets,
}
_ALWAYS: dict[str, Column] = {
    "FIRST_SWITCHED_MS": lambda flow: flow.first_us // 1000,
    "LAST_SWITCHED_MS": lambda flow: flow.last_us // 1000,
    "SRC_MAC": lambda flow: flow.src_mac,
    "DST_MAC": lambda flow: flow.dst_mac,
    "END_REASON": lambda flow: flow.end_reason,
}


@dataclass(frozen=True)
class Options:
    """What a row holds, and when a flow ends; timeouts in seconds."""

    family: str = "netflow"  # "netflow", "cicflow" or "both"
    dialect: str = DEFAULT_DIALECT  # which build of CICFlowMeter
    labels: str | Path | None = None  # a labels file: adds the columns Label and Attack
    session: str = ""  # the recording's name: adds the column Session
    idle_timeout: float = 15.0
    active_timeout: float = 60.0
    max_flows: int = 20_000
    endings: str = "tlids"
    with_l7: bool = True  # ask nDPI for L7_PROTO, which is 0 otherwise
    quiet: bool = False  # no progress line
    strict_time: bool = False  # stop at the first odd time, instead of counting them
    dedup: bool = False  # leave exact repeats within a millisecond out
    decap: bool = False  # meter what tunnels carry

    def __post_init__(self) -> None:
        """Refuse a dialect that no build of CICFlowMeter speaks; the meter checks the rest."""
        if self.dialect not in DIALECTS:
            raise ValueError(f"expected a dialect among {', '.join(DIALECTS)}, found {self.dialect!r}")


@dataclass
class Outcome:
    """What was read and what became of it; filled in while the rows are taken."""

    packets: PacketStats = field(default_factory=PacketStats)
    flows: int = 0
    evicted: int = 0  # flows that ended because the table was full
    first_us: float = inf  # of all flows, in microseconds since 1970
    last_us: float = -inf
    classes: Counter[str] | None = None  # flows by class; None without labels
    absent: list[str] = field(default_factory=list)  # classes of the labels file that no flow has
    interrupted: bool = False  # Ctrl-C ended the capture


def columns(options: Options) -> list[str]:
    """The names of a row's values, in their order."""
    return list(_columns(options, [] if options.labels else None))


def flow_rows(captures: Sequence[str | Path], options: Options, outcome: Outcome) -> Iterator[tuple]:
    """Meter captures ("-" is standard input) as one recording: one tuple for each flow.

    Values are numbers and texts in the order of `columns`. The labels and the captures are opened at once, so that
    their faults show before anything is written. An interrupt ends the recording: what was read is handed over.

    Raises:
        InputError: a capture or the labels cannot be read, or are none.
    """
    labels = read_labels(options.labels) if options.labels else None
    outcome.packets.dedup, outcome.packets.decap = options.dedup, options.decap
    outcome.packets.times.strict = options.strict_time
    meter = _meter(options)
    steps = _steps(captures, meter, outcome.packets)
    return _rows(_ended_flows(steps, meter, options.quiet, outcome), options, labels, outcome)


def _columns(options: Options, labels: Labels | None) -> dict[str, Column]:
    """The columns and how a flow fills them."""
    chosen = dict(_NETFLOW) if options.family != "cicflow" else {}
    if options.family != "netflow":
        chosen |= _CICFLOW
        for index, name in enumerate(CICFLOW_FEATURES):
            chosen[name] = lambda flow, index=index: flow.cicflow(options.dialect)[index]
    chosen |= _ALWAYS
    if labels is not None:  # the two columns of the NetFlow datasets: 0 or 1, and the attack's name
        attack = lru_cache(maxsize=1)(partial(label_flow, labels))  # asked for the same flow several times in turn
        chosen |= {"Label": lambda flow: int(attack(flow) != BENIGN), "Attack": attack}
    return chosen | ({"Session": lambda flow: options.session} if options.session else {})


def _meter(options: Options) -> CompiledMeter | Meter:
    """The meter that the options ask for."""
    ndpi = open_ndpi() if options.with_l7 and options.family != "cicflow" else None
    timeouts = options.idle_timeout, options.active_timeout
    return new_meter(options.family, *timeouts, options.max_flows, ndpi, options.endings)


def _rows(ended: Iterator[list[Flow]], options: Options, labels: Labels | None, outcome: Outcome) -> Iterator[tuple]:
    """The rows of flows, counted as they go."""
    named = _columns(options, labels)
    attack, values = named.get("Attack"), list(named.values())
    outcome.classes = None if attack is None else Counter()
    for flows in ended:
        for flow in flows:
            outcome.flows += 1
            outcome.first_us = min(outcome.first_us, flow.first_us)
            outcome.last_us = max(outcome.last_us, flow.last_us)
            if attack is not None:
                outcome.classes[attack(flow)] += 1
            yield tuple([value(flow) for value in values])
    classes = dict.fromkeys(rule.attack for rule in labels or ())
    outcome.absent = [name for name in classes if name != BENIGN and not outcome.classes[name]]


def _steps(captures: Sequence[str | Path], meter: CompiledMeter | Meter, stats: PacketStats) -> Iterator[object]:
    """Meter captures; after each step rows may wait in the meter."""
    reader = RawReader(meter, stats)
    if len(captures) == 1:
        return read_capture(captures[0], reader.read)
    return reader.count(read_recording(captures, stats, meter.begin_again))


def _ended_flows(
    steps: Iterator[object], meter: CompiledMeter | Meter, quiet: bool, outcome: Outcome
) -> Iterator[list[Flow]]:
    """The flows of a recording as they end, with a line on the terminal."""
    line = MeterLine(sys.stderr, quiet)
    try:
        for _ in steps:
            line.show(outcome.packets.packets, meter.opened)
            if meter.noted:
                meter.take_notes()  # no rule is fed here
            if meter.ended:
                yield meter.take()
    except KeyboardInterrupt:
        outcome.interrupted = True
    line.clear()
    meter.close_all("shutdown")
    outcome.evicted = meter.evicted
    yield meter.take()
