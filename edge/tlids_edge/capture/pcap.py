"""A capture as a stream of records: pcap and pcapng, from a file, a pipe or a live tcpdump.

The stream is read once, forwards, and never sought, so standard input and a growing pipe are as good as a file.
Formats: pcap is draft-ietf-opsawg-pcap, pcapng is draft-ietf-opsawg-pcapng.
"""

import struct
from collections.abc import Callable, Iterator
from itertools import chain
from typing import BinaryIO, NamedTuple

from tlids_edge.capture.inflate import GZIP_MAGIC, Inflated
from tlids_edge.capture.link_names import refuse_unreadable
from tlids_edge.capture.stats import PacketStats
from tlids_edge.capture.times import RESOLUTIONS, Times
from tlids_edge.errors import InputError

READ_SIZE = 1 << 18
ETHERNET = 1  # LINKTYPE_ number
MAX_CAPTURED = 262_144  # libpcap's MAXIMUM_SNAPLEN: a longer record is a corrupt one
MAX_BLOCK = 16 << 20  # Wireshark's limit for a pcapng block
MAX_INTERFACES = 65_536  # in a pcapng section; more of them is a capture made to fill the memory

# the first four bytes of a pcap file -> byte order, fractions of a second
PCAP_MAGIC = {
    b"\xd4\xc3\xb2\xa1": ("<", 1_000_000),
    b"\xa1\xb2\xc3\xd4": (">", 1_000_000),
    b"\x4d\x3c\xb2\xa1": ("<", 1_000_000_000),
    b"\xa1\xb2\x3c\x4d": (">", 1_000_000_000),
}
PCAPNG_MAGIC = b"\x0a\x0d\x0d\x0a"
BYTE_ORDERS = {b"\x4d\x3c\x2b\x1a": "<", b"\x1a\x2b\x3c\x4d": ">"}  # what a section's header has at its eighth byte
PACKED = (b"\x28\xb5\x2f\xfd", b"BZh", b"\xfd7zX", b"PK", b"7z\xbc\xaf", b"\x04\x22\x4d\x18", b"\x1f\x9d", b"Rar!")
SECTION, INTERFACE, OLD_PACKET, SIMPLE_PACKET, ENHANCED_PACKET = 0x0A0D0D0A, 1, 2, 3, 6
OPTION_TSRESOL, OPTION_TSOFFSET = 9, 14


class Record(NamedTuple):
    """One captured frame."""

    time_us: int
    link_type: int  # LINKTYPE_ number
    frame: bytes
    wire_length: int


Fields = tuple[int, int, bytes, int]  # of a Record: making one costs as much as reading it
# A NamedTuple's own constructor costs three times as much, and there is one for each packet.
new_tuple = tuple.__new__


class Interface(NamedTuple):
    """What a pcapng interface block says about the packets that name it."""

    link_type: int
    snap_length: int
    ticks_per_second: int
    offset_us: int

    def time_us(self, ticks: int, times: Times) -> int:
        """The time of a packet; where it cannot be, in the resolution in which it can, if there is one."""
        time_us = ticks * 1_000_000 // self.ticks_per_second + self.offset_us
        if times.possible(time_us):
            return time_us
        for resolution in RESOLUTIONS:
            other_us = ticks * 1_000_000 // resolution + self.offset_us
            if times.possible(other_us):
                times.note_misread(_resolution(self.ticks_per_second), RESOLUTIONS[resolution])
                return other_us
        return time_us


def _resolution(ticks_per_second: int) -> str:
    """A resolution in words."""
    return RESOLUTIONS.get(ticks_per_second, f"{ticks_per_second:g} ticks a second")


def read_records(stream: BinaryIO, stats: PacketStats, tick: Callable[[], object] = bool) -> Iterator[Record]:
    """Yield the records of a pcap or pcapng stream, gzipped or not.

    A record that is cut off or impossible ends the stream and is counted in `stats`. `tick` is called for every piece
    of a gzip stream that is inflated, for a small one may hold a thousand times its size.

    Raises:
        InputError: the stream is empty or is no capture.
    """
    return map(Record._make, read_fields(stream, stats, tick))


def read_fields(stream: BinaryIO, stats: PacketStats, tick: Callable[[], object] = bool) -> Iterator[Fields]:
    """The same as plain tuples, for whoever takes them apart at once."""
    source = open_source(stream, tick)
    return records_behind(source, source.start, stats)


class Source(NamedTuple):
    """The bytes of a capture, inflated if need be."""

    read: Callable[[int], bytes]
    start: bytes  # read already; no bytes for an empty capture
    inflated: Inflated | None

    def fault(self, stats: PacketStats) -> Iterator[Fields]:
        """No record more: count what ended a gzip stream early."""
        if self.inflated is not None and self.inflated.fault:
            stats.reject(self.inflated.fault)
        yield from ()


def open_source(stream: BinaryIO, tick: Callable[[], object] = bool) -> Source:
    """Look whether a stream is gzipped, and call `tick` for every piece that is inflated.

    Raises:
        InputError: the gzip data is damaged from the start.
    """
    # read1 hands over what a pipe has; read would wait until READ_SIZE bytes have come
    read = getattr(stream, "read1", stream.read)
    start = _read_at_least(read, 4)
    if start[:2] != GZIP_MAGIC:
        return Source(read, start, None)
    inflated = Inflated(read, start)
    start = _read_at_least(inflated.read, 4)
    if inflated.fault and not start:
        raise InputError("expected a pcap or pcapng capture, found damaged gzip data", "copy it again")

    def inflate(size: int) -> bytes:
        tick()
        return inflated.read(size)

    return Source(inflate, start, inflated)


class PlainPcap(NamedTuple):
    """A pcap stream of Ethernet frames whose times are in the resolution that it names."""

    swapped: bool  # its byte order is not little-endian
    nanoseconds: bool
    header: bytes
    first: bytes  # what was read behind the header


def open_plain_pcap(source: Source) -> PlainPcap | bytes:
    """See whether a stream is one that the compiled meter reads; else what was read of it, for `records_behind`."""
    start = source.start
    if start[:4] not in PCAP_MAGIC:
        return start
    start += _read_at_least(source.read, 24 - len(start))
    if len(start) < 24 or _link_type(start) != ETHERNET:
        return start
    order, said = PCAP_MAGIC[start[:4]]
    first = start[24:] or source.read(READ_SIZE)
    if _fractions(first, order, said, 10_000) != said:
        return start[:24] + first
    return PlainPcap(order == ">", said == 1_000_000_000, start[:24], first)


def records_behind(source: Source, start: bytes, stats: PacketStats) -> Iterator[Fields]:
    """The records of a stream of which `start` was read, as from `read_fields`."""
    return chain(_records(source.read, start, stats), source.fault(stats))


def _records(read: Callable[[int], bytes], start: bytes, stats: PacketStats) -> Iterator[Fields]:
    """Tell pcap from pcapng by the first four bytes."""
    if not start:
        raise InputError("expected a pcap or pcapng capture, found nothing", "record one with `tcpdump -w FILE`")
    if start[:4] in PCAP_MAGIC:
        start += _read_at_least(read, 24 - len(start))
        if len(start) >= 24:
            refuse_unreadable([_link_type(start)])
        return _pcap(read, start, stats)
    if start[:4] == PCAPNG_MAGIC:
        start += _read_at_least(read, 12 - len(start))
        if len(start) < 12 or start[8:12] in BYTE_ORDERS:
            return _pcapng(read, start, stats)
    found, remedy = _describe(start)
    raise InputError(f"expected a pcap or pcapng capture, found {found}", remedy)


def _read_at_least(read: Callable[[int], bytes], size: int) -> bytes:
    """Read until `size` bytes have come or the stream has ended."""
    data = b""
    while len(data) < size and (chunk := read(READ_SIZE)):
        data += chunk
    return data


def _describe(start: bytes) -> tuple[str, str]:
    """What a stream that is no capture looks like, and what to do about it."""
    if start.startswith(PACKED):
        return "compressed data", "unpack it first, for example `zstdcat FILE | tlids-meter -`"
    if start.lstrip()[:1] in (b"<", b"{", b"["):
        return f"text that begins with {start.lstrip()[:15].decode(errors='replace')!r}", "check the download"
    what = f"data that begins with the bytes {start[:4].hex(' ')}"
    return what, "check that it is the right file, or convert it with `editcap -F pcap IN OUT`"


def _link_type(header: bytes) -> int:
    """The link type of a pcap file; the upper bits tell of frame check sequences."""
    return struct.unpack_from(PCAP_MAGIC[header[:4]][0] + "I", header, 20)[0] & 0xFFFF


def _pcap(read: Callable[[int], bytes], start: bytes, stats: PacketStats) -> Iterator[Fields]:
    """Yield the records of a pcap stream: a 24-byte header, then 16 bytes before each frame."""
    order, fractions = PCAP_MAGIC[start[:4]]
    if len(start) < 24:
        stats.reject("file header cut")
        return
    link_type = _link_type(start)
    unpack_header = struct.Struct(order + "IIII").unpack_from
    buffer = start[24:] or read(READ_SIZE)
    said, fractions = fractions, _fractions(buffer, order, fractions, 10_000)
    nanoseconds = fractions == 1_000_000_000
    before_us = 0
    while True:
        position, end = 0, len(buffer)
        last_header = end - 16
        while position <= last_header:
            seconds, fraction, captured, wire_length = unpack_header(buffer, position)
            if captured > MAX_CAPTURED:
                stats.reject("record length")
                return
            frame_end = position + 16 + captured
            if frame_end > end:
                break
            if fraction >= fractions:
                fractions = _fractions(buffer, order, said, 100, position)
                nanoseconds = fractions == 1_000_000_000
                if fraction >= fractions:  # this one alone
                    if stats.times.possible(seconds * 1_000_000):  # else it is counted for its second
                        stats.times.note_impossible(f"{fraction} {RESOLUTIONS[fractions]} of a second")
                    fraction = max(before_us - seconds * 1_000_000, 0) % 1_000_000 * (fractions // 1_000_000)
            if nanoseconds:
                fraction //= 1000
            if fractions != said:
                stats.times.note_misread(RESOLUTIONS[said], RESOLUTIONS[fractions])
            before_us = seconds * 1_000_000 + fraction
            frame = buffer[position + 16 : frame_end]
            yield before_us, link_type, frame, wire_length
            position = frame_end
        buffer = buffer[position:]
        chunk = read(READ_SIZE)
        if not chunk:
            break
        buffer += chunk
    if buffer:
        stats.reject("capture cut short")


def _fractions(buffer: bytes, order: str, said: int, most: int, position: int = 0) -> int:
    """Parts of a second in which the records from `position` on count: as said, unless nearly all of `most` deny it.

    Of nanoseconds one in a thousand is below a million. Microseconds never reach it; that all of many, in several
    seconds and not in whole microseconds, stay below a million does not happen to nanoseconds.
    """
    unpack_header = struct.Struct(order + "IIII").unpack_from
    found = []
    while len(buffer) - position >= 16 and len(found) < most:
        seconds, fraction, captured, _ = unpack_header(buffer, position)
        found.append((seconds, fraction))
        position += 16 + captured
    parts = [fraction for _, fraction in found if fraction]
    if said == 1_000_000:
        beyond = sum(said <= fraction < 1_000_000_000 for fraction in parts)
        return 1_000_000_000 if beyond > len(parts) / 2 else said
    low = len(parts) >= 8 and max(parts) < 1_000_000 and any(fraction % 1000 for fraction in parts)
    return 1_000_000 if low and len({seconds for seconds, _ in found}) >= 3 else said


def _pcapng(read: Callable[[int], bytes], buffer: bytes, stats: PacketStats) -> Iterator[Fields]:
    """Yield the records of a pcapng stream: sections of blocks, each block with its own length."""
    order, interfaces, clock = "<", [], 0
    while True:
        position, end = 0, len(buffer)
        while end - position >= 12:
            if buffer[position : position + 4] == PCAPNG_MAGIC:
                order, interfaces = BYTE_ORDERS.get(buffer[position + 8 : position + 12], ">"), []
            kind, length = struct.unpack_from(order + "II", buffer, position)
            if length < 12 or length > MAX_BLOCK or length % 4:
                stats.reject("block length")
                return
            if length > end - position:
                break
            body = buffer[position + 8 : position + length - 4]
            position += length
            if kind in (ENHANCED_PACKET, SIMPLE_PACKET, OLD_PACKET):
                record = _packet_block(kind, body, order, interfaces, clock, stats.times)
                if record is None:
                    stats.reject("packet block")
                    continue
                clock = record[0]
                yield record
            elif kind == INTERFACE:
                if len(interfaces) < MAX_INTERFACES:
                    interfaces.append(_interface(body, order))
                else:
                    stats.reject("interface beyond the 65,536th")
        buffer = buffer[position:]
        chunk = read(READ_SIZE)
        if not chunk:
            break
        buffer += chunk
    if buffer:
        stats.reject("capture cut short")


def _interface(body: bytes, order: str) -> Interface | None:
    """Read an interface block; None when it is cut, so that the numbers of the later ones still hold."""
    if len(body) < 8:
        return None
    link_type, _, snap_length = struct.unpack_from(order + "HHI", body)
    ticks, offset = 1_000_000, 0
    for code, value in _options(body, 8, order):
        if code == OPTION_TSRESOL and value:
            exponent = value[0] & 0x7F
            ticks = 2**exponent if value[0] & 0x80 else 10**exponent
        elif code == OPTION_TSOFFSET and len(value) >= 8:
            offset = struct.unpack_from(order + "q", value)[0] * 1_000_000
    return Interface(link_type, snap_length, ticks, offset)


def _options(body: bytes, position: int, order: str) -> Iterator[tuple[int, bytes]]:
    """Walk a block's options: code, length, value padded to four bytes."""
    while len(body) - position >= 4:
        code, length = struct.unpack_from(order + "HH", body, position)
        if code == 0:
            return
        yield code, body[position + 4 : position + 4 + length]
        position += 4 + (length + 3) // 4 * 4


def _packet_block(
    kind: int, body: bytes, order: str, interfaces: list[Interface | None], clock: int, times: Times
) -> Fields | None:
    """Read one packet block; None when it is cut, too long, or names an interface the section does not have.

    A simple packet block has no time of its own: it takes the time of the packet before it (`clock`).
    """
    if len(body) < (4 if kind == SIMPLE_PACKET else 20):
        return None
    if kind == SIMPLE_PACKET:
        number, header = 0, 4
        wire_length = struct.unpack_from(order + "I", body)[0]
        captured = min(wire_length, len(body) - 4)
    else:
        layout = "IIIII" if kind == ENHANCED_PACKET else "HxxIIII"
        number, high, low, captured, wire_length = struct.unpack_from(order + layout, body)
        header = 20
    if number >= len(interfaces) or (interface := interfaces[number]) is None:
        return None
    if captured > len(body) - header or captured > MAX_CAPTURED:
        return None
    if kind == SIMPLE_PACKET:
        captured = min(captured, interface.snap_length or captured)
    else:
        clock = interface.time_us(high << 32 | low, times)
    return clock, interface.link_type, body[header : header + captured], wire_length
