"""Several captures as one recording: in the order of their first packets, merged by time where they overlap.

Names say little about time: the files of `tcpdump -W` begin again at 00 when they are full, and `*` sorts 10 before 2.
"""

import os
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import chain
from math import inf
from pathlib import Path
from typing import BinaryIO

from tlids_edge.capture.clock import Clock
from tlids_edge.capture.packets import Packet, PacketStats, read_packets
from tlids_edge.capture.pcap import read_records
from tlids_edge.capture.times import WINDOW_US
from tlids_edge.errors import InputError

LOOKED_AT = 1000  # records at most, for one with a possible time


@dataclass(eq=False, slots=True)
class _Capture:
    """One of the captures: when it begins, and its packets in order, read once they are asked for."""

    name: str
    first_us: float  # inf: it has no packet with a possible time
    packets: Callable[[], Iterator[Packet]]


def read_recording(paths: Sequence[str | Path], stats: PacketStats) -> Iterator[Packet]:
    """The packets of all captures ("-" is standard input) in the order of time; what is odd is counted in `stats`.

    Every capture is opened at once, to see that it is one and when it begins, and again in its turn: a week of rotated
    files is too many to hold open. Pipes cannot be read twice and stay open.

    Raises:
        InputError: a capture cannot be read, or is none; the sentence names it.
    """
    if len(paths) == 1:
        return _packets(paths[0], stats)
    given = [_look(path, stats) for path in paths]
    last = -inf
    for capture in given:  # one that does not say when it begins stays behind the one before it
        last = capture.first_us = capture.first_us if capture.first_us < inf else last
    ordered = sorted(given, key=lambda capture: capture.first_us)
    if ordered != given:
        stats.times.note_sorted([capture.name for capture in ordered])
    return _merged(deque(ordered), stats)


def _look(path: str | Path, stats: PacketStats) -> _Capture:
    """See when a capture begins."""
    name = Path(path).name
    if str(path) == "-" or not os.path.isfile(path):
        stream = _open(path)
        packets = _named(path, stream, lambda: read_packets(stream, stats))
        first = next(packets, None)
        packets = packets if first is None else chain([first], packets)
        possible = first is not None and stats.times.possible(first.time_us)
        ordered = _closing(stream, Clock(stats.times).ordered(packets))
        return _Capture(name, first.time_us if possible else inf, lambda: ordered)
    with _open(path) as stream:
        records = _named(path, stream, lambda: read_records(stream, PacketStats()))
        times = (record.time_us for _, record in zip(range(LOOKED_AT), records, strict=False))
        first_us = next(filter(stats.times.possible, times), inf)
    return _Capture(name, first_us, lambda: _packets(path, stats))


def _packets(path: str | Path, stats: PacketStats) -> Iterator[Packet]:
    """The packets of one capture, in order."""
    stream = _open(path)
    packets = _named(path, stream, lambda: read_packets(stream, stats))
    return _closing(stream, Clock(stats.times).ordered(packets))


def _closing(stream: BinaryIO, packets: Iterator[Packet]) -> Iterator[Packet]:
    """`packets`, whose stream is closed when they end or nobody wants more."""
    with stream:
        yield from packets


def _merged(waiting: deque[_Capture], stats: PacketStats) -> Iterator[Packet]:
    """Merge captures by time; each is opened when time has come to its first packet."""
    running: list[list] = []  # the next packet, the packets behind it, the capture
    while waiting or running:
        begins = waiting[0].first_us - WINDOW_US if waiting else inf
        if waiting and (not running or running[0][0].time_us >= begins):
            capture = waiting.popleft()
            packets = capture.packets()
            if (packet := next(packets, None)) is not None:
                running.append([packet, packets, capture])
            running.sort(key=lambda capture: capture[0].time_us)
        elif len(running) == 1:
            first, packets, capture = running.pop()
            for packet in chain([first], packets):
                if packet.time_us >= begins:
                    running.append([packet, packets, capture])
                    break
                yield packet
        else:
            yield from _of_several(running, begins, stats)


def _of_several(running: list[list], begins: float, stats: PacketStats) -> Iterator[Packet]:
    """The packets of captures that run at the same time, until one of them ends or the next begins."""
    told = set()
    while len(running) > 1 and running[0][0].time_us < begins:
        packet, packets, capture = running[0]
        for _, _, other in running[1:]:
            if capture.first_us < other.first_us < packet.time_us - WINDOW_US and other not in told:
                told.add(other)
                stats.times.note_overlap(other.name)
        yield packet
        running[0][0] = next(packets, None)
        if running[0][0] is None:
            del running[0]
        else:
            running.sort(key=lambda capture: capture[0].time_us)


def _named(path: str | Path, stream: BinaryIO, read: Callable[[], Iterator]) -> Iterator:
    """What is read from a stream; a fault names the capture, and closes the stream."""
    try:
        return read()
    except InputError as error:
        stream.close()
        name = "standard input" if str(path) == "-" else path
        raise InputError(f"{error.fault} in {name}", error.remedy) from error


def _open(path: str | Path) -> BinaryIO:
    """Open a capture, or standard input, whose descriptor stays open.

    Raises:
        InputError: it cannot be read.
    """
    if str(path) == "-":
        return open(0, "rb", closefd=False)
    try:
        stream = open(path, "rb")
        stream.peek(1)
    except OSError as error:
        remedy = "check its name and its permissions"
        raise InputError(f"expected a capture {path} that can be read, found: {error.strerror}", remedy) from error
    return stream
