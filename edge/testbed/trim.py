"""Cut payload that adds nothing to a capture, so that a session is a few megabytes.

The first WHOLE_PACKETS packets of each flow are kept whole: nDPI names the application by them. (Cut at 600 bytes, it
no longer sees a server's TLS certificate.) Of every later packet only the headers stay. The length on the wire stays in
each record, and the meter counts IP lengths, so all features are those of the whole capture. A flow here is the meter's
flow: nDPI starts again where the meter does, and so does the count of packets.
"""

import gzip
import os
import struct
from collections.abc import Iterator
from io import BufferedIOBase
from pathlib import Path

from tlids_edge.capture.packets import ICMP, ICMPV6, NOT_IP, Packet, PacketStats, read_packets
from tlids_edge.capture.pcap import MAX_CAPTURED, read_records
from tlids_edge.errors import InputError
from tlids_edge.flows.meter import Meter

WHOLE_PACKETS = 7
QUOTED_BYTES = 28  # of an ICMP error: the header and ports of the packet it answers (RFC 792)
MAX_FLOWS = 200_000  # above what a session opens, so that no flow is cut short for want of room


class _Count:
    """Stands in for nDPI in a meter: counts the packets of each flow, and tells the number of the last one."""

    def __init__(self) -> None:
        """No packet yet."""
        self.number = 0

    def open(self) -> list[int]:
        """Begin a flow."""
        return [0]

    def inspect(self, seen: list[int], packet: Packet) -> None:
        """Count one more packet of a flow; None says that the application is not known."""
        seen[0] += 1
        self.number = seen[0]

    def give_up(self, seen: list[int]) -> float:
        """End a flow."""
        return 0.0


def trim(whole_pcap: str | Path, trimmed_pcap_gz: str | Path) -> int:
    """Write a trimmed copy of a capture file (of one link type), as a gzipped pcap with times in microseconds.

    Memory does not grow with the capture. Frames that hold neither IP nor ARP, and malformed ones, are left out: the
    meter does not count them either. The file is written beside and renamed.

    Returns:
        The size of the file in bytes.

    Raises:
        InputError: the capture cannot be read, is none, or has no packet.
    """
    target = Path(os.path.realpath(trimmed_pcap_gz))  # a link stays
    beside = target.with_name(f".{target.name}.{os.getpid()}")
    try:
        with open(whole_pcap, "rb") as source, open(beside, "wb") as raw:
            # no name and no time in the gzip header: the same capture gives the same bytes
            with gzip.GzipFile("", "wb", compresslevel=9, fileobj=raw, mtime=0) as out:
                packets = _write(source, out)
        if not packets:
            raise InputError(f"expected packets in {whole_pcap}, found none: capture on the bridge's interface")
        os.replace(beside, target)
    except OSError as error:
        raise InputError(f"expected to trim {whole_pcap} into {target}, found: {error.strerror}") from error
    finally:
        beside.unlink(missing_ok=True)
    return target.stat().st_size


def _write(source: BufferedIOBase, out: BufferedIOBase) -> int:
    """Copy a pcap stream, trimmed; the number of packets."""
    link_type = next((record.link_type for record in read_records(source, PacketStats())), 0)
    source.seek(0)
    out.write(struct.pack("<IHHiIII", 0xA1B2C3D4, 2, 4, 0, 0, MAX_CAPTURED, link_type))
    packets = 0
    for packet, kept in trimmed_frames(source):
        seconds, microseconds = divmod(packet.time_us, 1_000_000)
        out.write(struct.pack("<IIII", seconds, microseconds, len(kept), packet.frame_length) + kept)
        packets += 1
    return packets


def trimmed_frames(source: BufferedIOBase) -> Iterator[tuple[Packet, bytes]]:
    """Each packet of a pcap stream, and what is kept of its frame."""
    count = _Count()
    meter = Meter("netflow", l7=count, max_flows=MAX_FLOWS)
    for packet in read_packets(source, PacketStats()):
        count.number = 0  # of ARP, ICMP and fragments, which nDPI is not shown, the headers are enough
        meter.add(packet)
        meter.take()
        whole = 0 < count.number <= WHOLE_PACKETS
        yield packet, packet.frame if whole else packet.frame[: _headers(packet)]


def _headers(packet: Packet) -> int:
    """Length of a frame's link, network and transport headers in bytes; padding of short frames goes too."""
    if packet.protocol == NOT_IP:
        return packet.ip_offset + 28
    network = packet.length - packet.payload_length
    if packet.protocol in (ICMP, ICMPV6):
        network += min(packet.payload_length, 8 + QUOTED_BYTES)
    return packet.ip_offset + network
