"""Python's meter and the compiled one, given the same packets: what differs."""

from collections.abc import Iterable

import numpy as np
from tlids_edge.capture.packets import Packet
from tlids_edge.flows.compiled import CompiledMeter
from tlids_edge.flows.flow import DIALECTS, Flow
from tlids_edge.flows.meter import Meter
from tlids_edge.flows.ndpi import Ndpi
from tlids_edge.flows.rows import features, flow

INNER = ("key_other", "closing_us", "dissection", "heeds_source", "heeds_reply", "replied")  # of open flows alone
FIELDS = [name for name in Flow.__slots__ if name not in INNER]
SETTINGS = (
    {},
    {"family": "both", "idle_timeout": 0.05, "active_timeout": 0.2},
    {"family": "cicflow", "max_flows": 1},
    {"family": "cicflow", "max_flows": 7, "idle_timeout": 1.0},
)


def fields(ended: Flow) -> tuple:
    """Everything that an ended flow tells."""
    return tuple(getattr(ended, name) for name in FIELDS)


def counters(meter: Meter | CompiledMeter) -> tuple:
    """What a meter counts."""
    return len(meter), meter.opened, meter.evicted, meter.closed


def difference(packets: Iterable[Packet], settings: dict, l7: tuple[Ndpi, Ndpi] | None = None) -> str:
    """The first thing in which the two meters differ over `packets`; "" when there is none."""
    python = Meter(**settings, l7=l7 and l7[0])
    compiled = CompiledMeter(**settings, l7=l7 and l7[1])
    for packet in packets:
        python.add(packet)
        compiled.add(packet)
    python.close_all()
    compiled.close_all()
    return difference_of(python, compiled)


def difference_of(python: Meter, compiled: CompiledMeter) -> str:
    """The first thing in which two meters that have been fed differ; "" when there is none."""
    flows, rows = python.take(), compiled.take_rows()
    ours, theirs = [fields(each) for each in flows], [fields(flow(row)) for row in rows]
    if ours != theirs:
        place = next((at for at, pair in enumerate(zip(ours, theirs, strict=False)) if pair[0] != pair[1]), -1)
        return f"{len(ours)} and {len(theirs)} flows, number {place}: {ours[place]} and {theirs[place]}"
    notes = python.take_unanswered(), compiled.take_unanswered()
    if notes[0] != notes[1]:
        return f"{len(notes[0])} and {len(notes[1])} notes"
    if counters(python) != counters(compiled):
        return f"counters {counters(python)} and {counters(compiled)}"
    for family, dialect in (("netflow", None), *(("cicflow", name) for name in DIALECTS)):
        expected = np.array([each.features(family, dialect) for each in flows], dtype=np.float32).reshape(-1, 9)
        if not np.array_equal(expected, features(rows, family, dialect)):
            return f"features of {family} {dialect}"
    return ""
