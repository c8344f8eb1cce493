"""Several captures as one recording: in the order of their first packets, merged by time where they overlap.

One that does not say when it begins, as of a Pi without a clock, follows the one given before it.

Names say little about time: the files of `tcpdump -W` begin again at 00 when they are full, and `*` sorts 10 before 2.
"""

import os
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import chain, islice
from math import inf
from pathlib import Path
from typing import BinaryIO

from tlids_edge.capture.clock import Clock
from tlids_edge.capture.packets import Packet, PacketStats, read_packets
from tlids_edge.capture.pcap import read_records
from tlids_edge.capture.repeats import Repeats
from tlids_edge.capture.times import WINDOW_US
from tlids_edge.errors import InputError, unreadable

LOOKED_AT = 1000  # records at most, for one with a possible time


@dataclass(eq=False, slots=True)
class _Capture:
    """One of the captures: when it begins, and its packets in order, read once they are asked for."""

    name: str
    first_us: float  # inf: it has no packet with a possible time
    packets: Callable[[], Iterator[Packet]]
    place: int = 0  # in the order of time
    told: bool = False  # that it overlaps another


def read_recording(
    paths: Sequence[str | Path], stats: PacketStats, begin_again: Callable[[], object] = bool
) -> Iterator[Packet]:
    """The packets of all captures ("-" is standard input) in the order of time; what is odd is counted in `stats`.

    Every capture is opened at once, to see that it is one and when it begins, and again in its turn: a week of rotated
    files is too many to hold open. Pipes cannot be read twice and stay open.

    `begin_again` is called before the packets of a capture without a date whose clock began again, as after a boot.

    Raises:
        InputError: a capture cannot be read, is none, or is given twice; the sentence names it.
    """
    if len(paths) == 1:
        return _packets(paths[0], stats)
    _refuse_twice(paths)
    stats.merged = True
    given = [_look(path, stats) for path in paths]
    chains: list[list[_Capture]] = []
    for capture in given:
        if chains and capture.first_us == inf:
            chains[-1].append(capture)
        else:
            chains.append([capture])
    if chains[0][0].first_us == inf:
        chains[0][0].first_us = -inf
    chains.sort(key=lambda captures: captures[0].first_us)
    ordered = list(chain.from_iterable(chains))
    if ordered != given:
        stats.times.note_sorted([capture.name for capture in ordered])
    repeats = Repeats()

    def next_recording() -> None:
        repeats.forget()
        begin_again()

    merged = _merged(deque(_chained(place, captures, next_recording) for place, captures in enumerate(chains)), stats)
    return _without_repeats(merged, repeats, stats) if stats.dedup else merged


def _chained(place: int, captures: list[_Capture], begin_again: Callable[[], object]) -> _Capture:
    """A capture, and behind it those without a date that were given after it, as one."""
    first = captures[0]
    if len(captures) == 1:
        return _Capture(first.name, first.first_us, first.packets, place)

    def packets() -> Iterator[Packet]:
        begun_us = last_us = -inf
        for capture in captures:
            for count, packet in enumerate(capture.packets()):
                if count == 0:
                    if packet.time_us <= begun_us or packet.time_us < last_us - WINDOW_US:
                        begin_again()
                    begun_us = packet.time_us
                last_us = packet.time_us
                yield packet

    return _Capture(first.name, first.first_us, packets, place)


def _without_repeats(packets: Iterator[Packet], repeats: Repeats, stats: PacketStats) -> Iterator[Packet]:
    """The packets of several captures without exact repeats, which are counted."""
    for packet in packets:
        if repeats.seen(packet.time_us, packet.frame, packet.frame_length):
            stats.dropped += 1
        else:
            yield packet


def _refuse_twice(paths: Sequence[str | Path]) -> None:
    """Raise InputError where two names lead to the same capture, whose packets would count twice."""
    names: dict[tuple[int, int], str | Path] = {}
    for path in paths:
        try:
            status = os.stat(0 if str(path) == "-" else path)
        except OSError:  # told when it is opened
            continue
        same = status.st_dev, status.st_ino
        if same in names:
            also = "" if str(names[same]) == str(path) else f" ({names[same]} is the same file)"
            raise InputError(f"expected each capture once, found {path} twice{also}", "leave one of them out")
        names[same] = path


def _look(path: str | Path, stats: PacketStats) -> _Capture:
    """See when a capture begins."""
    name = Path(path).name
    if str(path) == "-" or not os.path.isfile(path):
        stream = _open(path)
        packets = _named(path, stream, lambda: read_packets(stream, stats))
        packets = _closing(path, stream, packets)
        first = next(packets, None)
        packets = packets if first is None else chain([first], packets)
        possible = first is not None and stats.times.possible(first.time_us)
        ordered = Clock(stats.times).ordered(packets)
        return _Capture(name, first.time_us if possible else inf, lambda: ordered)
    with _open(path) as stream:
        records = _named(path, stream, lambda: read_records(stream, PacketStats()))
        records = _closing(path, stream, islice(records, LOOKED_AT))
        times = (record.time_us for record in records)
        first_us = next(filter(stats.times.possible, times), inf)
    return _Capture(name, first_us, lambda: _packets(path, stats))


def read_capture(path: str | Path, read: Callable[[BinaryIO], Iterator]) -> Iterator:
    """What `read` gives of the stream of one capture ("-" is standard input), which is opened at once.

    Raises:
        InputError: it cannot be read, or is none; the sentence names it.
    """
    stream = _open(path)
    return _closing(path, stream, _named(path, stream, lambda: read(stream)))


def _packets(path: str | Path, stats: PacketStats) -> Iterator[Packet]:
    """The packets of one capture, in order."""
    return read_capture(path, lambda stream: Clock(stats.times).ordered(read_packets(stream, stats)))


def _closing(path: str | Path, stream: BinaryIO, given: Iterator) -> Iterator:
    """What is `given`, whose stream is closed when it ends or nobody wants more.

    Raises:
        InputError: the capture cannot be read on, as from a failing disk.
    """
    with stream:
        try:
            yield from given
        except OSError as error:
            raise _unreadable(path, error) from error


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
    while len(running) > 1 and running[0][0].time_us < begins:
        packet, packets, capture = running[0]
        for _, _, other in running[1:]:
            begun = capture.place < other.place and other.first_us < packet.time_us - WINDOW_US
            if begun and not other.told:
                other.told = True
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
        raise InputError(f"{error.fault} in {_told(path)}", error.remedy) from error
    except OSError as error:
        stream.close()
        raise _unreadable(path, error) from error


def _open(path: str | Path) -> BinaryIO:
    """Open a capture, or standard input, whose descriptor stays open.

    Raises:
        InputError: it cannot be read.
    """
    if str(path) == "-":
        os.set_blocking(0, True)  # another program may have left it so that a read without bytes looks like the end
        return open(0, "rb", closefd=False)
    try:
        stream = open(path, "rb")
        stream.peek(1)
    except OSError as error:
        raise _unreadable(path, error) from error
    return stream


def _told(path: str | Path) -> str:
    """A capture's name in a sentence."""
    return "standard input" if str(path) == "-" else str(path)


def _unreadable(path: str | Path, error: OSError) -> InputError:
    """The sentence about a capture that cannot be read."""
    return unreadable(f"a capture {_told(path)}", error, "check its name, its permissions and its disk")
