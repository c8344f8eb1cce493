"""Captures straight into a meter; for the compiled one: bytes -> C's decoder -> the order of time -> C's flow table.

What C decodes stays an array of PACKETs whose frames are in a buffer. A record that it leaves out is decoded by Python,
in its turn. The rules of `capture.clock` hold: packets wait for WINDOW_US, in the same array, where C puts them into
order and counts those whose turn it is. A block of packets with one at an odd time is given to `Clock` itself, as
Packets. Captures that are no plain pcap of Ethernet frames go through Python as a whole, but for the flow table; for
Python's meter all do.
"""

import ctypes
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
from tlids_edge.flows.rows import PACKET, pack_packet, unpack_packets, unpack_record
from tlids_edge.flows.slices import MOST, Slices

ROOM = 4096  # packets that are decoded together
ENTRIES = HELD + BLOCK + 2 * ROOM
PLAIN, ODD, DECODED = range(3)  # enum kind


class RawReader:
    """Reads captures, one after the other, into a meter.

    It goes in steps: one for each of `Slices` at whose end rows, notes or tiny fragments wait, and one for each packet
    that is `shown`. Where these end depends on the packets alone; `now_us` is then the time of the last counted.
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
        self._line = core.Line(
            window_us=WINDOW_US, earliest_us=EARLIEST_US, block=BLOCK, most_held=HELD, few=FEW, most_bytes=HELD_BYTES,
            as_they_come=as_they_come, slice_most=MOST, slice_us=core.NO_LENGTH if slice_us == inf else int(slice_us),
            begun_us=core.NO_TIME, newest_us=core.NO_TIME, forced_us=core.NO_TIME,
        )  # fmt: skip
        self._set_buffers()
        self._decoded: dict[int, Packet] = {}  # the packets of DECODED entries, by their `frame_at`
        self._serial = 0  # of the last packet that was decoded
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

    def _set_buffers(self, size: int = 1, entries: int = 0) -> None:
        """Room for bytes and packets of one capture."""
        self._set_bytes(bytearray(size))
        self._set_entries(np.zeros(entries, PACKET))

    def _in_c(self, source: Source, plain: PlainPcap, decoder: Decoder) -> Iterator[Packet | None]:
        """The steps of a plain pcap stream."""
        reading = core.Reading(plain.swapped, plain.nanoseconds)
        self._set_buffers(2 * READ_SIZE, ENTRIES)
        self._size = self._read = 0
        chunk = plain.first
        try:
            while chunk:
                self._append_bytes(chunk)
                while True:
                    self._decode(reading)
                    if reading.count:
                        self._note(reading, decoder)
                        yield from self._pass()
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
        self._set_buffers()  # what follows needs the memory: at the end of a run, all open flows end at once

    def _append_bytes(self, chunk: bytes) -> None:
        """Put bytes behind those that are still needed; drop the others where there is no room."""
        if self._size + len(chunk) > len(self._bytes):
            needed = self._needed()
            kept = self._bytes[needed : self._size]
            if len(kept) + len(chunk) > len(self._bytes):
                self._set_bytes(bytearray(2 * (len(kept) + len(chunk))))
            self._bytes[: len(kept)] = kept
            self._at += needed
            self._read -= needed
            self._size = len(kept)
        self._bytes[self._size : self._size + len(chunk)] = chunk
        self._size += len(chunk)

    def _needed(self) -> int:
        """Where the first frame begins that an entry still needs, or else what is not decoded."""
        entries = self._entries[self._line.first : self._line.end]
        places = entries["frame_at"][entries["kind"] == PLAIN]
        return min(self._read, int(places.min()) - self._at) if len(places) else self._read

    def _set_bytes(self, room: bytearray) -> None:
        """Where bytes are put from now on."""
        self._bytes, self._address = room, ctypes.addressof(ctypes.c_char.from_buffer(room))

    # ---- packets

    def _set_entries(self, entries: np.ndarray) -> None:
        """Where packets are put from now on."""
        self._entries, self._octets = entries, memoryview(entries.view(np.uint8))
        self._place = entries.ctypes.data

    def _decode(self, reading: core.Reading) -> None:
        """Let C decode what it can; the entries are behind the others."""
        self._make_room(ROOM)
        place = self._place + self._line.end * PACKET.itemsize
        buffer = self._address + self._read, self._size - self._read
        self._meter.decode(reading, buffer, self._at + self._read, (place, ROOM))
        self._read += reading.used

    def _make_room(self, count: int) -> None:
        """See that `count` entries fit behind the others."""
        line = self._line
        if line.end + count <= len(self._entries):
            return
        held = self._entries[line.first : line.end].copy()
        if len(held) + count > len(self._entries):
            self._set_entries(np.zeros(2 * (len(held) + count), PACKET))
        self._entries[: len(held)] = held
        line.ready -= line.first
        line.settled -= line.first
        line.first, line.end = 0, len(held)

    def _note(self, reading: core.Reading, decoder: Decoder) -> None:
        """Count new entries, of which odd ones are decoded here; there may be more or fewer afterwards."""
        start, count = self._line.end, reading.count
        self._stats.bytes += reading.wire_bytes
        self._stats.truncated += reading.truncated
        if not reading.odd:
            self._look(start, start + count, decoder)
            self._line.end += count
            return
        done, decoded = start, []
        for place in (start + np.flatnonzero(self._entries["kind"][start : start + count] != PLAIN)).tolist():
            self._look(done, place, decoder)
            decoded.append((place, self._decode_odd(place, decoder)))
            done = place + 1
        self._look(done, start + count, decoder)
        self._replace(start + count, decoded)

    def _replace(self, end: int, decoded: list[tuple[int, list[Packet]]]) -> None:
        """Take in new entries until `end`, with packets in the place of some; seldom more than one for each."""
        octets, size, kept = self._octets, PACKET.itemsize, self._line.end
        if any(len(packets) > 1 for _, packets in decoded):
            starts = [kept, *(place + 1 for place, _ in decoded)]
            parts = [octets[done * size : place * size] for done, (place, _) in zip(starts, decoded, strict=False)]
            mixed = [part.tobytes() + self._packed(packets) for part, (_, packets) in zip(parts, decoded, strict=True)]
            self._append(b"".join([*mixed, octets[starts[-1] * size : end * size]]))
            return
        done = kept
        for place, packets in [*decoded, (end, [])]:
            if kept != done:
                octets[kept * size : (kept + place - done) * size] = octets[done * size : place * size]
            kept += place - done
            done = place + 1
            for packet in packets:
                self._pack(packet, octets, kept * size)
                kept += 1
        self._line.end = kept

    def _look(self, start: int, end: int, decoder: Decoder) -> None:
        """Count packets, and look at the first of so many whether they are repeats."""
        count = end - start
        place = self._stats.packets % OUT_OF
        self._stats.packets += count
        if place < LOOKED_AT:
            self._look_at(start, min(end, start + LOOKED_AT - place), decoder)
        if place + count > OUT_OF:
            self._look_at(start + OUT_OF - place, min(end, start + OUT_OF - place + LOOKED_AT), decoder)

    def _look_at(self, start: int, end: int, decoder: Decoder) -> None:
        """Look at packets whether they are repeats."""
        size, octets, content = PACKET.itemsize, self._octets, memoryview(self._bytes)
        frames = []
        for offset in range(start * size, end * size, size):
            time_us, frame_at, captured, wire_length = unpack_record(octets, offset)
            at = frame_at - self._at
            frames.append((time_us, content[at : at + captured].tobytes(), wire_length))
        if frames:
            decoder.look(frames)

    def _decode_odd(self, place: int, decoder: Decoder) -> list[Packet]:
        """What Python decodes from a record."""
        time_us, frame_at, captured, wire_length = unpack_record(self._octets, place * PACKET.itemsize)
        at = frame_at - self._at
        return list(decoder.packets([(time_us, ETHERNET, bytes(self._bytes[at : at + captured]), wire_length)]))

    def _packed(self, packets: list[Packet]) -> bytearray:
        """Entries for packets that Python has."""
        entries = bytearray(len(packets) * PACKET.itemsize)
        for place, packet in enumerate(packets):
            self._pack(packet, entries, place * PACKET.itemsize)
        return entries

    def _pack(self, packet: Packet, entries: bytearray | memoryview, offset: int) -> None:
        """Write the entry of a packet that Python has, and keep the packet."""
        self._serial += 1
        self._decoded[self._serial] = packet
        pack_packet(packet, entries, offset, self._serial, DECODED)

    def _append(self, entries: bytes | bytearray) -> None:
        """Put entries behind the others."""
        count = len(entries) // PACKET.itemsize
        self._make_room(count)
        end = self._line.end
        self._entries[end : end + count] = np.frombuffer(entries, PACKET)
        self._line.end += count

    # ---- the order of time

    def _pass(self, at_end: bool = False) -> Iterator[Packet | None]:
        """Take in the blocks that are whole, and count the packets whose turn it is; at the end, all."""
        line, stats = self._line, self._stats
        line.at_end = at_end
        while True:
            line.always = bool(stats.tiny)
            turn = self._meter.pass_on(line, self._place, (self._address, self._size), self._at)
            if turn == core.NOTHING_LEFT:
                return
            if turn == core.SLICE_OVER:
                self.now_us = line.now_us
                yield None
            elif turn == core.NOT_PLAIN:
                packet = self._add_decoded()
                if self._shown(packet):
                    self.now_us = packet.time_us
                    yield packet
            elif not self._is_later():
                yield from self._by_clock()

    def _add_decoded(self) -> Packet:
        """Count the packet whose turn it is, which Python has decoded."""
        offset = self._line.first * PACKET.itemsize
        _, serial, *_ = unpack_record(self._octets, offset)
        packet = self._decoded.pop(serial)
        if packet.protocol >= 0:
            self._meter.add_packed(self._place + offset, packet.frame, serial)
        self._line.counted = 1
        return packet

    def _is_later(self) -> bool:
        """Whether a block's times are possible by now that were not when somebody last looked at the wall clock."""
        line, times = self._line, self._stats.times
        newest_us = int(self._entries["time_us"][line.settled : line.block_end].max())
        is_later = newest_us > line.latest_us and times.possible(newest_us)
        line.latest_us = int(times.latest_us)
        return is_later

    def _by_clock(self) -> Iterator[Packet | None]:
        """Let `Clock` arrange a block."""
        line, clock = self._line, self._clock
        self._tell_clock()
        held, block = self._packets(line.first, line.settled), self._packets(line.settled, line.block_end)
        given, held = clock.arrange(held, block)
        rest = self._entries[line.block_end : line.end].tobytes()
        line.number += line.end - line.first  # so that SYN-ACKs of before are forgotten
        line.first = line.ready = line.settled = line.end = 0
        self._append(self._packed(held))
        line.settled = line.end
        self._append(rest)
        line.newest_us, line.forced_us = _to_c(clock.newest), _to_c(clock.given)
        self._meter.hold(line, self._place)
        yield from self._count_in_line(given)

    def _tell_clock(self) -> None:
        """Let `Clock` know how far C has come without it."""
        if self._line.passed:
            self._clock.pass_in_order(_from_c(self._line.newest_us), _from_c(self._line.forced_us))
            self._line.passed = 0

    def _count_in_line(self, packets: Iterable[Packet]) -> Iterator[Packet | None]:
        """As `count`, with the slices of the line."""
        line, slices = self._line, self._slices
        slices.begun_us, slices.count = _from_c(line.begun_us), line.in_slice
        yield from self.count(packets)
        line.begun_us, line.in_slice = _to_c(slices.begun_us), slices.count

    def count(self, packets: Iterable[Packet]) -> Iterator[Packet | None]:
        """Add packets that are in order to the meter: their steps."""
        meter, stats, add, shown, over = self._meter, self._stats, self._meter.add, self._shown, self._slices.over
        for packet in packets:
            add(packet)
            self.now_us = packet.time_us
            if shown(packet):
                yield packet
            if over(packet.time_us) and (meter.ended or meter.noted or stats.tiny):
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
        return self._pass(at_end=True)

    def _in_python(self, records: Iterator[Record], decoder: Decoder) -> Iterator[Packet | None]:
        """The steps of a stream, or of the rest of one, that Python decodes."""
        line, clock = self._line, self._clock
        pending = self._packets(line.settled, line.end)
        self._tell_clock()
        clock.hold(self._packets(line.first, line.settled))
        line.first = line.ready = line.settled = line.end = 0
        packets = chain(pending, decoder.packets(records))
        yield from self._count_in_line(clock.as_they_come(packets) if line.as_they_come else clock.ordered(packets))
        line.newest_us, line.forced_us = _to_c(clock.newest), _to_c(clock.given)


def _to_c(time_us: float) -> int:
    """A time, -inf for none, as C has it."""
    return core.NO_TIME if time_us == -inf else int(time_us)


def _from_c(time_us: int) -> float:
    """The other way round."""
    return -inf if time_us == core.NO_TIME else time_us
