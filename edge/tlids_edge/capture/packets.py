"""A capture stream (file, pipe, live) -> decoded headers.

One `Packet` for each frame that carries IP or ARP; everything else is counted. A malformed packet is counted by
reason and never raises. IP fragments after the first carry no ports: `fragments` gives them those of the first. A
first fragment with less than a TCP header is read as far as it goes and noted in the statistics for a rule, since no
sender needs one. A RST whose checksum is wrong is malformed: no host takes it, so it ends no flow. Other checksums are
not looked at.
"""

import struct
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from ipaddress import ip_address
from typing import BinaryIO, NamedTuple

from tlids_edge.capture.fragments import Fragments
from tlids_edge.capture.link_layers import (
    AGGREGATE,
    ARP,
    IPV4,
    IPV6,
    LINK_TYPES,
    LinkHeader,
    Malformed,
    subframe,
    subframes,
)
from tlids_edge.capture.link_names import link_name, refuse_unreadable
from tlids_edge.capture.pcap import Fields, new_tuple, read_fields
from tlids_edge.capture.repeats import LOOKED_AT, OUT_OF, Repeats
from tlids_edge.capture.stats import PacketStats
from tlids_edge.capture.transport import (
    ICMP,
    ICMPV6,
    RST,
    TCP,
    TCP_HEADER,
    UDP,
    Transport,
    check_reset,
    read_transport,
    unpack_tcp,
)
from tlids_edge.capture.tunnels import DEPTH, PORTS, PROTOCOLS, Inside, open_tunnel

__all__ = [
    "EXTENSIONS", "ICMP", "ICMPV6", "NOT_IP", "TCP", "UDP", "Packet", "PacketStats", "address_text", "mac_text",
    "read_packets",
]  # fmt: skip

NOT_IP = -1  # the protocol of an ARP frame
_FRAGMENT, _AUTHENTICATION = 44, 51
EXTENSIONS = (0, 43, 60, 135, 139, 140, _FRAGMENT, _AUTHENTICATION)  # RFC 8200 and the IANA registry


class Packet(NamedTuple):
    """One decoded frame. Lengths in bytes, time in microseconds since 1970."""

    time_us: int
    src: bytes  # 4 or 16 bytes; of an ARP frame the sender's protocol address
    dst: bytes
    src_port: int  # 0 where the protocol has none, and in later fragments whose first one is unknown
    dst_port: int
    protocol: int  # IP protocol number; NOT_IP for ARP
    tcp_flags: int  # 0 unless TCP
    tcp_window: int
    length: int  # IP layer: header and payload, without link header and padding
    payload_length: int  # after the TCP or UDP header; after the IP header for other protocols
    frame_length: int  # on the wire, whatever was captured
    src_mac: bytes  # 6 bytes, b"" where the link layer has none
    dst_mac: bytes
    frame: bytes  # as captured
    ip_offset: int  # where the IP header begins in `frame`
    arp: tuple[int, bytes, bytes, bytes] | None  # operation, sender MAC, sender address, target address
    vlan: int  # 0 without a tag; outer * 4096 + inner of two; inside a tunnel without one, the tunnel's


Place = tuple[int, int, int, int]  # of a fragment: offset in eights, more to follow, identification, protocol named
_unpack_ipv4 = struct.Struct("!BxHHHxBxx4s4s").unpack_from
_unpack_ipv6 = struct.Struct("!B3xHBx16s16s").unpack_from
_unpack_fragment = struct.Struct("!2xHI").unpack_from
_unpack_arp = struct.Struct("!HHBBH6s4s6s4s").unpack_from


def read_packets(stream: BinaryIO, stats: PacketStats, tick: Callable[[], object] = bool) -> Iterator[Packet]:
    """Decode a pcap or pcapng stream into packets, as `stats` asks, counting there what is left out.

    `tick` is called now and then while a gzip stream inflates.

    Raises:
        InputError: the stream is empty, is no capture, or is of a link type that cannot be read (at once, before the
            first packet is asked for); at its end, when all its packets were of such link types.
    """
    return _decode(read_fields(stream, stats, tick), _Reading(stats, where(stream)))


class Decoder:
    """Decodes a stream whose records come piece by piece."""

    def __init__(self, stats: PacketStats, named: str = "") -> None:
        """`named` is " in FILE"."""
        self._reading = _Reading(stats, named)

    def packets(self, records: Iterable[Fields]) -> Iterator[Packet]:
        """The packets of the next records, which are counted."""
        return _decode(records, self._reading)

    def look(self, frames: Sequence[tuple[int, bytes, int]]) -> None:
        """Look whether frames that are counted elsewhere, each with its time and length on the wire, are repeats."""
        reading = self._reading
        repeats, reading.repeated = reading.repeats.among(frames)
        reading.stats.looked_at += len(frames)
        reading.stats.repeats += repeats


def where(stream: BinaryIO) -> str:
    """How a sentence about a stream ends: with the name, if it has one."""
    name = getattr(stream, "name", "")
    return f" in {name}" if isinstance(name, str) and name else ""


@dataclass(slots=True)
class _Reading:
    """What reading one stream needs beside its packets."""

    stats: PacketStats
    where: str  # " in FILE", if it is one
    repeats: Repeats = field(default_factory=Repeats)
    repeated: bool = False  # the last frame that was looked at
    inner_repeats: Repeats = field(default_factory=Repeats)  # of packets that came out of tunnels
    fragments: Fragments = field(default_factory=Fragments)


def _decode(records: Iterable[Fields], reading: _Reading) -> Iterator[Packet]:
    """Decode records one by one. What most packets are is handled here, the rest in functions of its own."""
    stats, repeats = reading.stats, reading.repeats
    dedup, out_of, looked_at, tcp = stats.dedup and not stats.merged, OUT_OF, LOOKED_AT, TCP
    layers = _NETWORK_LAYERS
    last_type = decode_link = None
    unreadable: dict[int, int] = {}
    before = stats.packets
    for time_us, link_type, frame, wire_length in records:
        count = stats.packets
        stats.packets = count + 1
        stats.bytes += wire_length
        if count % out_of < looked_at or dedup:
            stats.looked_at += 1
            reading.repeated = repeats.seen(time_us, frame, wire_length)
            if reading.repeated:
                stats.repeats += 1
                if dedup:
                    stats.dropped += 1
                    continue
        if len(frame) < wire_length:
            stats.truncated += 1
        if link_type != last_type:
            last_type, decode_link = link_type, LINK_TYPES.get(link_type)
        if decode_link is None:
            unreadable[link_type] = unreadable.get(link_type, 0) + 1
            stats.leave_out(link_name(link_type))
            continue
        try:
            link = decode_link(frame)
            decode = layers.get(link[0])
            if decode is None:
                if link[0] == AGGREGATE:
                    yield from _aggregated(time_us, frame, link[1], reading, DEPTH)
                else:
                    stats.non_ip += 1
                continue
            packet = decode(time_us, frame, wire_length, link, reading)
        except Malformed as reason:
            stats.reject(str(reason))
            continue
        protocol = packet[5]
        if protocol == tcp or protocol not in PROTOCOLS or protocol == UDP and packet[4] not in PORTS:
            yield packet
        else:
            yield from _out_of_tunnels(packet, reading, DEPTH)
    if sum(unreadable.values()) == stats.packets - before:
        refuse_unreadable(unreadable, reading.where)


def _aggregated(time_us: int, frame: bytes, offset: int, reading: _Reading, depth: int) -> Iterator[Packet]:
    """The packets of an A-MSDU, each of which is counted as if it had come alone."""
    stats = reading.stats
    found = 0
    for part, size in subframes(frame, offset):
        found += 1
        try:
            link = subframe(part)
            decode = _NETWORK_LAYERS.get(link[0])
            if decode is None:
                stats.non_ip += 1
                stats.inner_non_ip += depth < DEPTH
                continue
            packet = decode(time_us, part, size, link, reading)
        except Malformed as reason:
            stats.reject(str(reason))
            continue
        yield from _out_of_tunnels(packet, reading, depth)
    if found:
        stats.aggregated += found - 1
    else:
        stats.reject("A-MSDU cut")


def _out_of_tunnels(packet: Packet, reading: _Reading, depth: int) -> Iterator[Packet]:
    """The packet inside, `depth` tunnels deep at most; the packet itself where there is none or it cannot be read.

    Whoever sends nonsense to a tunnel's port still has a flow. Frames in a tunnel that carry no IP are counted as such.
    """
    stats, frame = reading.stats, packet.frame
    found = _inside(packet) if depth else None
    if found is None:
        yield packet
        return
    if not reading.stats.decap:
        stats.tunnels[found.tunnel] = stats.tunnels.get(found.tunnel, 0) + 1
        yield packet
        return
    ethertype, offset, vlan, dst_mac, src_mac = found.header
    if depth == DEPTH:
        stats.opened += 1
    if _left_out(packet, found.header, reading):
        return
    if ethertype == AGGREGATE:
        yield from _aggregated(packet.time_us, frame, offset, reading, depth - 1)
        return
    decode = _NETWORK_LAYERS.get(ethertype)
    if decode is None:
        stats.non_ip += 1
        stats.inner_non_ip += 1
        return
    try:
        link = ethertype, offset, vlan or packet.vlan, dst_mac or packet.dst_mac, src_mac or packet.src_mac
        inner = decode(packet.time_us, frame, packet.frame_length, link, reading)
    except Malformed:
        stats.opened -= depth == DEPTH
        yield packet
        return
    yield from _out_of_tunnels(inner, reading, depth - 1)


def _left_out(packet: Packet, header: LinkHeader, reading: _Reading) -> bool:
    """Whether the packet inside a tunnel is left out as a repeat; each copy of it has a number of its tunnel."""
    _, offset, _, dst_mac, src_mac = header
    stats = reading.stats
    if reading.repeated or not stats.dedup and (stats.packets - 1) % OUT_OF >= LOOKED_AT:
        return False
    repeated = reading.inner_repeats.seen(packet.time_us, dst_mac + src_mac + packet.frame[offset:], 0)
    stats.repeats += repeated
    stats.dropped += repeated and stats.dedup
    return repeated and stats.dedup


def _inside(packet: Packet) -> Inside | None:
    """What the packet carries, if it is a tunnel's and no later fragment."""
    frame, offset = packet.frame, packet.ip_offset
    if packet.protocol < 0:
        return None
    if frame[offset] >> 4 == 4:
        at, later = offset + (frame[offset] & 15) * 4, (frame[offset + 6] << 8 | frame[offset + 7]) & 0x1FFF
    else:
        _, header, fragment = _extensions(frame, offset, frame[offset + 6])
        at, later = offset + header, fragment is not None and fragment[0]
    return None if later else open_tunnel(frame, at, packet.protocol, packet.dst_port)


def _ipv4(time_us: int, frame: bytes, wire_length: int, link: LinkHeader, reading: _Reading) -> Packet:
    """RFC 791."""
    _, offset, vlan, dst_mac, src_mac = link
    try:
        version, length, identification, fragment, protocol, src, dst = _unpack_ipv4(frame, offset)
    except struct.error:
        raise Malformed("IPv4 header cut") from None
    if version >> 4 != 4:
        raise Malformed("IP version")
    header = (version & 15) * 4
    if length == 0:  # left to the network card to fill in (segmentation offload)
        length = wire_length - offset
    if not 20 <= header <= length:
        raise Malformed("IPv4 header length")
    size = length - header
    at = offset + header
    if fragment & 0x3FFF:
        place = fragment & 0x1FFF, fragment & 0x2000, identification, protocol
        part = at, protocol, size
        protocol, transport = _fragment(time_us, frame, part, place, (src, dst, link), reading)
        src_port, dst_port, flags, window, payload = transport
    elif protocol == TCP and size >= TCP_HEADER and len(frame) >= at + 16:
        # what read_transport would say; most packets come this way, and the call costs a tenth of their decoding
        src_port, dst_port, data_offset, flags, window = unpack_tcp(frame, at)
        payload = size - (data_offset >> 4 << 2)
        if not 0 <= payload <= size - TCP_HEADER:
            raise Malformed("TCP data offset")
        if flags & RST:
            check_reset(frame, at, size, src, dst)
    else:
        src_port, dst_port, flags, window, payload = read_transport(frame, at, protocol, size, 0)
    return new_tuple(Packet, (
        time_us, src, dst, src_port, dst_port, protocol, flags, window, length, payload, wire_length,
        src_mac, dst_mac, frame, offset, None, vlan,
    ))  # fmt: skip


def _ipv6(time_us: int, frame: bytes, wire_length: int, link: LinkHeader, reading: _Reading) -> Packet:
    """RFC 8200; the packet's protocol is the one after the extension headers."""
    _, offset, vlan, dst_mac, src_mac = link
    try:
        version, length, following, src, dst = _unpack_ipv6(frame, offset)
    except struct.error:
        raise Malformed("IPv6 header cut") from None
    if version >> 4 != 6:
        raise Malformed("IP version")
    length = length + 40 if length else wire_length - offset  # 0: a jumbogram, or segmentation offload
    protocol, header, fragment = _extensions(frame, offset, following)
    size = length - header
    if size < 0:
        raise Malformed("IPv6 extension length")
    if fragment is not None and (fragment[0] or fragment[1]):
        part = offset + header, protocol, size
        protocol, transport = _fragment(time_us, frame, part, fragment, (src, dst, link), reading)
        src_port, dst_port, flags, window, payload = transport
    else:
        src_port, dst_port, flags, window, payload = read_transport(frame, offset + header, protocol, size, 0)
        if flags & RST and following == TCP:  # a routing header would change the address that the sum is taken over
            check_reset(frame, offset + header, size, src, dst)
    return new_tuple(Packet, (
        time_us, src, dst, src_port, dst_port, protocol, flags, window, length, payload, wire_length,
        src_mac, dst_mac, frame, offset, None, vlan,
    ))  # fmt: skip


def _extensions(frame: bytes, offset: int, protocol: int) -> tuple[int, int, Place | None]:
    """Walk the extension headers: the protocol behind them, their end, and the packet's place if it is a fragment."""
    header, fragment = 40, None
    while protocol in EXTENSIONS:
        at = offset + header
        if len(frame) < at + 8:
            raise Malformed("IPv6 extension cut")
        following, size = frame[at], frame[at + 1]
        if protocol == _FRAGMENT:
            header += 8
            flags, identification = _unpack_fragment(frame, at)
            fragment = flags >> 3, flags & 1, identification, following
            if flags >> 3:
                return following, header, fragment
        else:
            header += (size + 2) * 4 if protocol == _AUTHENTICATION else (size + 1) * 8
        protocol = following
    return protocol, header, fragment


def _fragment(
    time_us: int, frame: bytes, part: tuple[int, int, int], place: Place, ends: tuple, reading: _Reading
) -> tuple[int, Transport]:
    """The protocol and the transport header of a fragment, whose IP payload is `part`: where, protocol, length."""
    at, protocol, size = part
    later, more, identification, named = place
    src, dst, (_, _, vlan, _, src_mac) = ends
    key = src, dst, identification, named, vlan
    if later:
        protocol, src_port, dst_port = reading.fragments.ports(key, time_us)
        return protocol, (src_port, dst_port, 0, 0, size)
    if protocol == TCP and size < TCP_HEADER:
        reading.stats.note_tiny_fragment(time_us, src, src_mac, dst)
    transport = read_transport(frame, at, protocol, size, more)
    reading.fragments.note(key, time_us, (protocol, *transport[:2]))
    return protocol, transport


def _arp(time_us: int, frame: bytes, wire_length: int, link: LinkHeader, _reading: _Reading) -> Packet:
    """RFC 826, for IPv4 over Ethernet addresses."""
    _, offset, vlan, dst_mac, src_mac = link
    if len(frame) < offset + 28:
        raise Malformed("ARP cut")
    _, network, mac_size, address_size, operation, sender_mac, sender, _, target = _unpack_arp(frame, offset)
    if (network, mac_size, address_size) != (IPV4, 6, 4):
        raise Malformed("ARP addresses")
    return Packet(
        time_us, sender, target, 0, 0, NOT_IP, 0, 0, 28, 0, wire_length,
        src_mac, dst_mac, frame, offset, (operation, sender_mac, sender, target), vlan,
    )  # fmt: skip


_NETWORK_LAYERS = {IPV4: _ipv4, IPV6: _ipv6, ARP: _arp}


def address_text(address: bytes) -> str:
    """An IPv4 or IPv6 address as text."""
    return str(ip_address(address))


def mac_text(mac: bytes) -> str:
    """A MAC address as text, "" when there is none."""
    return mac.hex(":")
