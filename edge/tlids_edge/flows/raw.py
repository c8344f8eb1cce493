"""Captures straight into a meter; for the compiled one: bytes -> C's decoder -> the order of time -> C's flow table.

What C decodes stays an array of PACKETs whose frames are in a buffer. A record that it leaves out is decoded by Python,
in its turn. The rules of `capture.clock` hold: packets wait for WINDOW_US, in the same array. As long as all of them
come in order that is all; a block of packets with one out of order, at an odd time, or with a SYN behind its SYN-ACK
is given to `Clock` itself, as Packets. Captures that are no plain pcap of Ethernet frames go through Python as a whole,
but for the flow table; for Python's meter all do.
"""

import ctypes
from bisect import bisect_right
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from itertools import chain
from math import inf
from typing import BinaryIO

import numpy as np

from tlids_edge.capture.clock import BLOCK, FEW, HELD_BYTES, Clock
from tlids_edge.capture.packets import Decoder, Packet, where
from tlids_edge.capture.pcap import (
    ETHERNET,
    READ_SIZE,
    PlainPcap,
    Record,
    Source,
    open_plain_pcap,
    open_source,
    records_behind,
)
from tlids_edge.capture.repeats import LOOKED_AT, OUT_OF
from tlids_edge.capture.stats import PacketStats
from tlids_edge.capture.times import EARLIEST_US, HELD, WINDOW_US
from tlids_edge.flows import core
from tlids_edge.flows.compiled import CompiledMeter
from tlids_edge.flows.meter import Meter
from tlids_edge.flows.rows import PACKET, pack_packet, unpack_packets
from tlids_edge.flows.slices import Slices

ROOM = 4096  # packets that are decoded together
ENTRIES = HELD + BLOCK + 2 * ROOM
PLAIN, ODD, DECODED = range(3)  # enum kind


class RawReader:
    """Reads captures, one after the other, into a meter.

    It goes in steps: one for each of `Slices`, and one for each packet that is `shown`. Where these end depends on the
    packets alone; `now_us` is then the time of the last that was counted, and rows and notes may wait in the meter.
    """

    def __init__(
        self, meter: CompiledMeter | Meter, stats: PacketStats, as_they_come: bool = False,
        shown: Callable[[Packet], bool] = lambda _: False, slice_us: float = inf,
    ) -> None:  # fmt: skip
        """`as_they_come`: a block of packets ends with the window of time, as for a source that may pause.

        `shown` may choose only among packets that C leaves to Python.
        """
        self._meter, self._stats, self._as_they_come = meter, stats, as_they_come
        self._shown, self._slices = shown, Slices(slice_us)
        self.now_us = 0
        self._clock = Clock(stats.times)
        self._entries = np.zeros(ENTRIES, PACKET)
        self._first = self._settled = self._end = 0  # held until `_settled`, then a block not yet whole until `_end`
        self._decoded: dict[int, Packet] = {}  # the packets of DECODED entries, by their `frame_at`
        self._number = self._serial = 0  # of the entry at `_first`, among all; of the last packet that was decoded
        self._bytes = bytearray(2 * READ_SIZE)
        self._size = self._read = 0  # bytes that have come, and of these the ones that were decoded
        self._at = 0  # place of the first of them in the stream
        self._reading = False

    def read(self, stream: BinaryIO, tick: Callable[[], object] = bool) -> Iterator[Packet | None]:
        """The steps of one capture, to its end: the packet that is shown, or None at the end of a slice.

        `tick` is called now and then while a gzip stream inflates.

        Raises:
            InputError: as `read_packets`, at once.
        """
        source = open_source(stream, tick)
        decoder = Decoder(self._stats, where(stream))
        in_c = isinstance(self._meter, CompiledMeter) and not self._stats.dedup
        plain = open_plain_pcap(source) if in_c else source.start
        if isinstance(plain, bytes):
            return self._in_python(records_behind(source, plain, self._stats), decoder)
        return self._in_c(source, plain, decoder)

    def overdue(self) -> Iterator[Packet | None]:
        """What waits for an older packet while none comes; nothing unless the source is just being waited for."""
        if self._reading:
            yield from self._finish()
        yield from self.count(self._clock.overdue())

    # ---- bytes

    def _in_c(self, source: Source, plain: PlainPcap, decoder: Decoder) -> Iterator[Packet | None]:
        """The steps of a plain pcap stream."""
        reading = core.Reading(plain.swapped, plain.nanoseconds)
        self._size = self._read = 0
        chunk = plain.first
        try:
            while chunk:
                self._append_bytes(chunk)
                while True:
                    count = self._decode(reading)
                    if count:
                        self._note(count, decoder)
                        yield from self._arrange()
                    if reading.end != core.NO_ROOM:
                        break
                if reading.end != core.NEEDS_MORE:
                    break
                self._reading = True
                chunk = source.read(READ_SIZE)
                self._reading = False
        except KeyboardInterrupt:
            yield from self._finish()
            raise
        if reading.end == core.ODD_FRACTION:
            rest = plain.header + bytes(self._bytes[self._read : self._size])
            yield from self._in_python(records_behind(source, rest, self._stats), decoder)
            return
        if reading.end == core.RECORD_TOO_LONG or self._size > self._read:
            self._stats.reject("record length" if reading.end == core.RECORD_TOO_LONG else "capture cut short")
        list(source.fault(self._stats))
        yield from self._finish()

    def _append_bytes(self, chunk: bytes) -> None:
        """Put bytes behind those that are still needed; drop the others where there is no room."""
        if self._size + len(chunk) > len(self._bytes):
            needed = self._needed()
            kept = self._bytes[needed : self._size]
            if len(kept) + len(chunk) > len(self._bytes):
                self._bytes = bytearray(2 * (len(kept) + len(chunk)))
            self._bytes[: len(kept)] = kept
            self._at += needed
            self._read -= needed
            self._size = len(kept)
        self._bytes[self._size : self._size + len(chunk)] = chunk
        self._size += len(chunk)

    def _needed(self) -> int:
        """Where the first frame begins that an entry still needs, or else what is not decoded."""
        entries = self._entries[self._first : self._end]
        places = entries["frame_at"][entries["kind"] == PLAIN]
        return min(self._read, int(places.min()) - self._at) if len(places) else self._read

    def _address(self) -> int:
        """Where the bytes are."""
        return ctypes.addressof(ctypes.c_char.from_buffer(self._bytes))

    def _frame(self, entry: np.void) -> bytes:
        """A copy of an entry's frame."""
        start = int(entry["frame_at"]) - self._at
        return bytes(self._bytes[start : start + int(entry["captured"])])

    # ---- packets

    def _decode(self, reading: core.Reading) -> int:
        """Let C decode what it can; the number of entries, which are behind the others."""
        self._make_room(ROOM)
        place = self._entries.ctypes.data + self._end * PACKET.itemsize
        buffer = self._address() + self._read, self._size - self._read
        self._meter.decode(reading, buffer, self._at + self._read, (place, ROOM))
        self._read += reading.used
        return reading.count

    def _make_room(self, count: int) -> None:
        """See that `count` entries fit behind the others."""
        if self._end + count <= len(self._entries):
            return
        held = self._entries[self._first : self._end].copy()
        if len(held) + count > len(self._entries):
            self._entries = np.zeros(2 * (len(held) + count), PACKET)
        self._entries[: len(held)] = held
        self._settled -= self._first
        self._first, self._end = 0, len(held)

    def _note(self, count: int, decoder: Decoder) -> None:
        """Count new entries, of which odd ones are decoded here; there may be more or fewer afterwards."""
        fresh = self._entries[self._end : self._end + count]
        wire, captured, plain = fresh["wire_length"], fresh["captured"], fresh["kind"] == PLAIN
        self._stats.bytes += int(wire.sum(dtype=np.uint64, where=plain))
        self._stats.truncated += int(np.count_nonzero((captured < wire) & plain))
        done, decoded = 0, []
        for place in np.flatnonzero(~plain).tolist():
            self._look(fresh[done:place], decoder)
            decoded.append((place, self._decode_odd(fresh[place], decoder)))
            done = place + 1
        self._look(fresh[done:], decoder)
        self._replace(fresh, decoded)

    def _replace(self, fresh: np.ndarray, decoded: list[tuple[int, list[Packet]]]) -> None:
        """Take in new entries, with packets in the place of some; of these there are seldom more than one for each."""
        if any(len(packets) > 1 for _, packets in decoded):
            starts = [0, *(place + 1 for place, _ in decoded)]
            parts = [fresh[done:place].tobytes() for done, (place, _) in zip(starts, decoded, strict=False)]
            mixed = [part + self._packed(packets) for part, (_, packets) in zip(parts, decoded, strict=True)]
            self._append(b"".join([*mixed, fresh[starts[-1] :].tobytes()]))
            return
        done, kept, size = 0, 0, PACKET.itemsize
        octets = fresh.view(np.uint8)  # which are moved many times as fast as structures
        for place, packets in [*decoded, (len(fresh), [])]:
            if kept != done:
                octets[kept * size : (kept + place - done) * size] = octets[done * size : place * size]
            kept += place - done
            done = place + 1
            for packet in packets:
                self._pack(packet, fresh[kept : kept + 1], 0)
                kept += 1
        self._end += kept

    def _look(self, plain: np.ndarray, decoder: Decoder) -> None:
        """Count packets, and look at the first of so many whether they are repeats."""
        place = self._stats.packets % OUT_OF
        self._stats.packets += len(plain)
        if place < LOOKED_AT:
            self._look_at(plain[: LOOKED_AT - place], decoder)
        if place + len(plain) > OUT_OF:
            self._look_at(plain[OUT_OF - place :][:LOOKED_AT], decoder)

    def _look_at(self, plain: np.ndarray, decoder: Decoder) -> None:
        """Look at packets whether they are repeats."""
        columns = (plain[name].tolist() for name in ("time_us", "frame_at", "captured", "wire_length"))
        for time_us, frame_at, captured, wire_length in zip(*columns, strict=True):
            start = frame_at - self._at
            decoder.look(time_us, bytes(self._bytes[start : start + captured]), wire_length)

    def _decode_odd(self, entry: np.void, decoder: Decoder) -> list[Packet]:
        """What Python decodes from a record."""
        record = Record(int(entry["time_us"]), ETHERNET, self._frame(entry), int(entry["wire_length"]))
        return list(decoder.packets([record]))

    def _packed(self, packets: list[Packet]) -> bytearray:
        """Entries for packets that Python has."""
        entries = bytearray(len(packets) * PACKET.itemsize)
        for place, packet in enumerate(packets):
            self._pack(packet, entries, place * PACKET.itemsize)
        return entries

    def _pack(self, packet: Packet, entries: bytearray | np.ndarray, offset: int) -> None:
        """Write the entry of a packet that Python has, and keep the packet."""
        self._serial += 1
        self._decoded[self._serial] = packet
        pack_packet(packet, entries, offset, self._serial, DECODED)

    def _append(self, entries: bytes | bytearray) -> None:
        """Put entries behind the others."""
        count = len(entries) // PACKET.itemsize
        self._make_room(count)
        self._entries[self._end : self._end + count] = np.frombuffer(entries, PACKET)
        self._end += count

    # ---- the order of time

    def _arrange(self, at_end: bool = False) -> Iterator[Packet | None]:
        """Take in the blocks that are whole; give the packets whose place is settled."""
        while True:
            times = self._entries["time_us"][self._settled : self._end]
            sound = self._in_order(times)
            ends = self._block_ends(times, sound == len(times))
            if at_end and (ends[-1] if ends else 0) < len(times):
                ends.append(len(times))
            if not ends:
                return
            fine = self._asked_in_time([end for end in ends if end <= sound])
            if fine:
                self._settled += fine
                yield from self._give(self._in_time(int(times[fine - 1])))
            else:
                yield from self._by_clock(self._settled + ends[0])

    def _in_order(self, times: np.ndarray) -> int:
        """How many of these times, from the first on, are possible and go on from what was read before."""
        if not len(times) or int(times[0]) < max(self._clock.newest, EARLIEST_US):
            return 0
        back = np.flatnonzero(times[1:] < times[:-1])
        sound = int(back[0]) + 1 if len(back) else len(times)
        if self._stats.times.possible(int(times[sound - 1])):
            return sound
        return bisect_right(times[:sound], self._stats.times.latest_us)

    def _asked_in_time(self, ends: list[int]) -> int:
        """The end of the last of these blocks before one with a SYN behind its SYN-ACK; 0 when that is the first."""
        if not ends:
            return 0
        entries = self._entries[self._first : self._settled + ends[-1]]
        late = self._meter.asked_late(entries, self._settled - self._first, self._number)
        return max((end for end in ends if self._settled + end <= self._first + late), default=0)

    def _block_ends(self, times: np.ndarray, in_order: bool) -> list[int]:
        """Where `Clock` ends its blocks in the packets of these times."""
        if not self._as_they_come:
            return list(range(BLOCK, len(times) + 1, BLOCK))
        ends, start = [], 0
        while start < len(times):
            begun = int(times[start])
            if in_order:
                beyond = start + bisect_right(times[start : start + BLOCK], begun + WINDOW_US)
            else:
                since_us = times[start : start + BLOCK] - begun
                inside = (since_us >= 0) & (since_us <= WINDOW_US)
                beyond = start + (int(inside.argmin()) if not inside.all() else len(inside))
            end = min(beyond + 1, start + BLOCK)
            if end > len(times):
                break
            ends.append(end)
            start = end
        return ends

    def _in_time(self, newest_us: int) -> int:
        """How many of the held packets are settled, in the same way as `Clock` has it."""
        held = self._entries[self._first : self._settled]
        in_time = bisect_right(held["time_us"], newest_us - WINDOW_US)
        settled = max(in_time, len(held) - HELD)
        if len(held) - settled > FEW:
            sizes = held["captured"][settled:].astype(np.int64)
            behind = int(sizes.sum()) - np.cumsum(sizes)  # bytes behind each
            if len(sizes) and behind[0] + sizes[0] > HELD_BYTES:
                settled += int(np.argmax(behind <= HELD_BYTES)) + 1
        forced_us = int(held["time_us"][settled - 1]) if settled > in_time else None
        self._clock.pass_in_order(newest_us, forced_us)
        return settled

    def _give(self, count: int) -> Iterator[Packet | None]:
        """Add the first entries to the meter."""
        given = self._entries[self._first : self._first + count]
        times_us, done = given["time_us"], 0
        decoded = deque(np.flatnonzero(given["kind"] == DECODED).tolist())
        for end, is_over in self._slices.cuts(times_us):
            while decoded and decoded[0] < end:
                place = decoded.popleft()
                self._add_plain(given[done:place])
                done = place + 1
                packet = self._decoded.pop(int(given[place]["frame_at"]))
                self._meter.add(packet)
                if self._shown(packet):
                    self.now_us = packet.time_us
                    yield packet
            self._add_plain(given[done:end])
            done = end
            if is_over:
                self.now_us = int(times_us[end - 1])
                yield None
        self._first += count
        self._number += count

    def _add_plain(self, entries: np.ndarray) -> None:
        """Add entries that C decoded to the meter."""
        if len(entries):
            self._meter.add_decoded(entries, self._address(), self._size, self._at)

    def _by_clock(self, end: int) -> Iterator[Packet | None]:
        """Let `Clock` arrange a block that ends there."""
        held, block = self._packets(self._first, self._settled), self._packets(self._settled, end)
        given, held = self._clock.arrange(held, block)
        rest = self._entries[end : self._end].tobytes()
        self._number += self._end - self._first  # so that SYN-ACKs of before are forgotten
        self._first = self._settled = self._end = 0
        self._append(self._packed(held))
        self._settled = self._end
        self._append(rest)
        self._meter.asked_late(self._entries[: self._settled], 0, self._number)
        yield from self.count(given)

    def count(self, packets: Iterable[Packet]) -> Iterator[Packet | None]:
        """Add packets that are in order to the meter: their steps."""
        add, shown, over = self._meter.add, self._shown, self._slices.over
        for packet in packets:
            add(packet)
            self.now_us = packet.time_us
            if shown(packet):
                yield packet
            if over(packet.time_us):
                yield None

    def _packets(self, start: int, end: int) -> list[Packet]:
        """Entries as packets."""
        entries = self._entries[start:end]
        plain = unpack_packets(entries, self._bytes, self._at)
        return [
            self._decoded.pop(int(entry["frame_at"])) if entry["kind"] == DECODED else packet
            for entry, packet in zip(entries, plain, strict=True)
        ]

    def _finish(self) -> Iterator[Packet | None]:
        """Give all that is held: the capture ends, or pauses."""
        yield from self._arrange(at_end=True)
        yield from self._give(self._settled - self._first)

    def _in_python(self, records: Iterator[Record], decoder: Decoder) -> Iterator[Packet | None]:
        """The steps of a stream, or of the rest of one, that Python decodes."""
        pending = self._packets(self._settled, self._end)
        self._clock.hold(self._packets(self._first, self._settled))
        self._first = self._settled = self._end = 0
        packets = chain(pending, decoder.packets(records))
        yield from self.count(self._clock.as_they_come(packets) if self._as_they_come else self._clock.ordered(packets))
