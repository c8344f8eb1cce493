"""A capture through Python's decoder, clock and meter, and through the compiled ones: what differs."""

import random
from collections.abc import Callable

from equal_meters import difference_of
from tlids_edge.capture.clock import Clock
from tlids_edge.capture.packets import PacketStats, read_packets
from tlids_edge.errors import InputError
from tlids_edge.flows.compiled import CompiledMeter
from tlids_edge.flows.meter import Meter
from tlids_edge.flows.ndpi import Ndpi
from tlids_edge.flows.raw import RawReader


class Pieces:
    """A stream that hands over as many bytes at a time as `size` says."""

    def __init__(self, capture: bytes, size: Callable[[], int]) -> None:
        self.capture, self.size, self.place = capture, size, 0

    def read1(self, most: int) -> bytes:
        piece = self.capture[self.place : self.place + min(most, self.size())]
        self.place += len(piece)
        return piece

    read = read1


def sizes(kind: str) -> Callable[[], int]:
    """How a stream is cut: "whole", "single" bytes, or "odd" ones, the same in each run."""
    chosen = random.Random(1)
    return {"whole": lambda: 1 << 18, "single": lambda: 1, "odd": lambda: chosen.choice((1, 7, 24, 100, 1000, 5000))}[
        kind
    ]


def told(stats: PacketStats) -> tuple:
    """Everything that was counted while a capture was read."""
    times = stats.times
    return (
        stats.summary(), stats.warnings(), stats.bytes, stats.looked_at, stats.repeats, stats.tunnels,
        stats.tiny_fragments, times.impossible, times.steps, times.late, times.misread,
    )  # fmt: skip


def difference(
    capture: bytes, settings: dict, kind: str = "whole", as_they_come: bool = False, l7: tuple[Ndpi, Ndpi] | None = None
) -> str:
    """The first thing in which the two ways differ over a capture; "" when there is none."""
    python, compiled = Meter(**settings, l7=l7 and l7[0]), CompiledMeter(**settings, l7=l7 and l7[1])
    stats, faults = (PacketStats(), PacketStats()), []
    clock = Clock(stats[0].times)
    for read in (
        lambda: _in_python(capture, kind, python, stats[0], clock.as_they_come if as_they_come else clock.ordered),
        lambda: list(RawReader(compiled, stats[1], as_they_come).read(Pieces(capture, sizes(kind)))),
    ):
        try:
            read()
            faults.append("")
        except InputError as error:
            faults.append(str(error))
    python.close_all()
    compiled.close_all()
    if faults[0] != faults[1]:
        return f"faults {faults}"
    if told(stats[0]) != told(stats[1]):
        return f"{told(stats[0])} and {told(stats[1])}"
    return difference_of(python, compiled)


def _in_python(capture: bytes, kind: str, meter: Meter, stats: PacketStats, ordered: Callable) -> None:
    """Python's way."""
    for packet in ordered(read_packets(Pieces(capture, sizes(kind)), stats)):
        meter.add(packet)
