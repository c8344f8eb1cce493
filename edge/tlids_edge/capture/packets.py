"""A capture stream (file, pipe, live) -> decoded headers.

One `Packet` for each frame that carries IP or ARP; everything else is counted. A malformed packet is counted by
reason and never raises. IP fragments after the first carry no ports: they are given ports 0, so they form a flow of
their own between the two addresses, as routers' NetFlow does (and as tshark counts them with reassembly off).
"""

import struct
from collections.abc import Callable, Iterator
from ipaddress import ip_address
from typing import BinaryIO, NamedTuple

from tlids_edge.capture.link_layers import ARP, IPV4, IPV6, LINK_TYPES, Malformed
from tlids_edge.capture.pcap import PacketStats, new_tuple, read_records

__all__ = ["NOT_IP", "Packet", "PacketStats", "address_text", "mac_text", "read_packets"]

NOT_IP = -1  # the protocol of an ARP frame
ICMP, TCP, UDP, ICMPV6 = 1, 6, 17, 58
_DCCP, _SCTP, _UDPLITE = 33, 132, 136
_PORTS_FIRST = (_DCCP, _SCTP, _UDPLITE)  # four bytes of ports open the header, as in UDP
_FRAGMENT, _AUTHENTICATION = 44, 51
_EXTENSIONS = (0, 43, 60, 135, 139, 140, _FRAGMENT, _AUTHENTICATION)  # RFC 8200 and the IANA registry


class Packet(NamedTuple):
    """One decoded frame. Lengths in bytes, time in microseconds since 1970."""

    time_us: int
    src: bytes  # 4 or 16 bytes; of an ARP frame the sender's protocol address
    dst: bytes
    src_port: int  # 0 where the protocol has none, and in fragments after the first
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


Transport = tuple[int, int, int, int, int]  # ports, TCP flags, TCP window, payload length
_unpack_ipv4 = struct.Struct("!BxHxxHxBxx4s4s").unpack_from
_unpack_ipv6 = struct.Struct("!B3xHBx16s16s").unpack_from
_unpack_tcp = struct.Struct("!HH8xBBH").unpack_from
_unpack_udp = struct.Struct("!HHH").unpack_from
_unpack_arp = struct.Struct("!HHBBH6s4s6s4s").unpack_from


def read_packets(stream: BinaryIO, stats: PacketStats, tick: Callable[[], object] = bool) -> Iterator[Packet]:
    """Decode a pcap or pcapng stream into packets, counting in `stats` what is left out.

    `tick` is called now and then while a gzip stream inflates.

    Raises:
        InputError: the stream is empty or is no capture (at once, before the first packet is asked for).
    """
    return _decode(read_records(stream, stats, tick), stats)


def _decode(records: Iterator, stats: PacketStats) -> Iterator[Packet]:
    """Decode records one by one."""
    for time_us, link_type, frame, wire_length in records:
        stats.packets += 1
        stats.bytes += wire_length
        if len(frame) < wire_length:
            stats.truncated += 1
        decode_link = LINK_TYPES.get(link_type)
        if decode_link is None:
            stats.reject(f"link type {link_type}")
            continue
        try:
            ethertype, offset, dst_mac, src_mac = decode_link(frame)
            decode = _NETWORK_LAYERS.get(ethertype)
            if decode is None:
                stats.non_ip += 1
                continue
            packet = decode(time_us, frame, offset, wire_length, src_mac, dst_mac)
        except Malformed as reason:
            stats.reject(str(reason))
            continue
        yield packet


def _ipv4(time_us: int, frame: bytes, offset: int, wire_length: int, src_mac: bytes, dst_mac: bytes) -> Packet:
    """RFC 791."""
    if len(frame) < offset + 20:
        raise Malformed("IPv4 header cut")
    version, length, fragment, protocol, src, dst = _unpack_ipv4(frame, offset)
    if version >> 4 != 4:
        raise Malformed("IP version")
    header = (version & 15) * 4
    if length == 0:  # left to the network card to fill in (segmentation offload)
        length = wire_length - offset
    if not 20 <= header <= length:
        raise Malformed("IPv4 header length")
    size = length - header
    if fragment & 0x1FFF:
        transport = (0, 0, 0, 0, size)
    else:
        transport = _transport(frame, offset + header, protocol, size)
    src_port, dst_port, flags, window, payload = transport
    return new_tuple(Packet, (
        time_us, src, dst, src_port, dst_port, protocol, flags, window, length, payload, wire_length,
        src_mac, dst_mac, frame, offset, None,
    ))  # fmt: skip


def _ipv6(time_us: int, frame: bytes, offset: int, wire_length: int, src_mac: bytes, dst_mac: bytes) -> Packet:
    """RFC 8200; the packet's protocol is the one after the extension headers."""
    if len(frame) < offset + 40:
        raise Malformed("IPv6 header cut")
    version, length, protocol, src, dst = _unpack_ipv6(frame, offset)
    if version >> 4 != 6:
        raise Malformed("IP version")
    length = length + 40 if length else wire_length - offset  # 0: a jumbogram, or segmentation offload
    protocol, header, later_fragment = _extensions(frame, offset, protocol)
    size = length - header
    if size < 0:
        raise Malformed("IPv6 extension length")
    if later_fragment:
        transport = (0, 0, 0, 0, size)
    else:
        transport = _transport(frame, offset + header, protocol, size)
    src_port, dst_port, flags, window, payload = transport
    return new_tuple(Packet, (
        time_us, src, dst, src_port, dst_port, protocol, flags, window, length, payload, wire_length,
        src_mac, dst_mac, frame, offset, None,
    ))  # fmt: skip


def _extensions(frame: bytes, offset: int, protocol: int) -> tuple[int, int, bool]:
    """Walk the extension headers: the protocol behind them, their end, and whether this is a later fragment."""
    header = 40
    while protocol in _EXTENSIONS:
        at = offset + header
        if len(frame) < at + 8:
            raise Malformed("IPv6 extension cut")
        following, size = frame[at], frame[at + 1]
        if protocol == _FRAGMENT:
            header += 8
            if (frame[at + 2] << 8 | frame[at + 3]) >> 3:
                return following, header, True
        else:
            header += (size + 2) * 4 if protocol == _AUTHENTICATION else (size + 1) * 8
        protocol = following
    return protocol, header, False


def _transport(frame: bytes, at: int, protocol: int, size: int) -> Transport:
    """Read the transport header at `at`, in an IP payload of `size` bytes."""
    if protocol == TCP:  # RFC 9293
        if len(frame) < at + 16 or size < 20:
            raise Malformed("TCP header cut")
        src_port, dst_port, data_offset, flags, window = _unpack_tcp(frame, at)
        header = data_offset >> 4 << 2
        if not 20 <= header <= size:
            raise Malformed("TCP data offset")
        return src_port, dst_port, flags, window, size - header
    if protocol == UDP:  # RFC 768
        if len(frame) < at + 8 or size < 8:
            raise Malformed("UDP header cut")
        src_port, dst_port, _ = _unpack_udp(frame, at)
        return src_port, dst_port, 0, 0, size - 8
    if protocol in _PORTS_FIRST and size >= 4 and len(frame) >= at + 4:
        return frame[at] << 8 | frame[at + 1], frame[at + 2] << 8 | frame[at + 3], 0, 0, size
    return 0, 0, 0, 0, size


def _arp(time_us: int, frame: bytes, offset: int, wire_length: int, src_mac: bytes, dst_mac: bytes) -> Packet:
    """RFC 826, for IPv4 over Ethernet addresses."""
    if len(frame) < offset + 28:
        raise Malformed("ARP cut")
    _, network, mac_size, address_size, operation, sender_mac, sender, _, target = _unpack_arp(frame, offset)
    if (network, mac_size, address_size) != (IPV4, 6, 4):
        raise Malformed("ARP addresses")
    return Packet(
        time_us, sender, target, 0, 0, NOT_IP, 0, 0, 28, 0, wire_length,
        src_mac, dst_mac, frame, offset, (operation, sender_mac, sender, target),
    )  # fmt: skip


_NETWORK_LAYERS = {IPV4: _ipv4, IPV6: _ipv6, ARP: _arp}


def address_text(address: bytes) -> str:
    """An IPv4 or IPv6 address as text."""
    return str(ip_address(address))


def mac_text(mac: bytes) -> str:
    """A MAC address as text, "" when there is none."""
    return mac.hex(":")
