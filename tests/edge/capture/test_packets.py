"""Decoding: every link layer and header by hand-built frames, and faults that must be counted, never raised."""

import io
import os
import struct
import threading

import pytest
from build_pcap import (
    ACK,
    ALICE,
    ALICE6,
    ALICE_MAC,
    BOB,
    BOB6,
    BOB_MAC,
    START,
    SYN,
    arp,
    enhanced_packet,
    ethernet,
    icmp,
    interface,
    ipv4,
    ipv6,
    old_packet,
    option,
    pcap,
    section,
    simple_packet,
    tcp,
    udp,
)
from edge_process import LIMIT_S
from tlids_edge.capture.packets import PacketStats, address_text, mac_text, read_packets
from tlids_edge.errors import InputError

SEGMENT = ipv4(tcp(40000, 80, SYN | ACK, b"hello", window=512))  # 20 + 20 + 5 = 45 bytes
SEGMENT6 = ipv6(tcp(40000, 80, SYN | ACK, b"hello", window=512))  # 40 + 20 + 5 = 65 bytes


def decode(capture):
    stats = PacketStats()
    return list(read_packets(io.BytesIO(capture), stats)), stats


def one(capture):
    packets, stats = decode(capture)
    assert len(packets) == 1, stats
    assert not stats.malformed
    return packets[0]


def rejected(frame, link_type=1):
    """The reasons under which a single frame is counted."""
    packets, stats = decode(pcap(frame, link_type=link_type))
    assert packets == []
    return list(stats.malformed)


# ---- capture files


@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("nanoseconds", [False, True])
def test_pcap_of_either_byte_order_and_resolution_gives_the_same_packet(order, nanoseconds):
    packet = one(pcap((START + 123456, ethernet(SEGMENT)), order=order, nanoseconds=nanoseconds))
    assert packet.time_us == START + 123456
    assert (packet.length, packet.payload_length, packet.frame_length) == (45, 5, 59)


@pytest.mark.parametrize("order", ["<", ">"])
def test_pcapng_of_either_byte_order_gives_the_same_packet(order):
    capture = section(order) + interface(order=order) + enhanced_packet(ethernet(SEGMENT), START + 7, order=order)
    assert one(capture).time_us == START + 7


@pytest.mark.parametrize(
    ("resolution", "ticks"),
    [(6, START), (9, START * 1000 + 999), (3, START // 1000), (0x80 | 20, (START << 20) // 1_000_000)],
)
def test_pcapng_time_resolution_is_a_power_of_ten_or_of_two(resolution, ticks):
    options = option(9, bytes([resolution])) + option(0, b"")
    assert one(section() + interface(options=options) + enhanced_packet(ethernet(SEGMENT), ticks)).time_us == START


def test_pcapng_time_offset_is_added_in_seconds():
    options = option(14, struct.pack("<q", 3600))
    packet = one(section() + interface(options=options) + enhanced_packet(ethernet(SEGMENT)))
    assert packet.time_us == START + 3600 * 1_000_000


def test_pcapng_interfaces_have_their_own_link_type_and_a_section_starts_anew():
    first = section() + interface(1) + interface(101)
    first += enhanced_packet(ethernet(SEGMENT), number=0) + enhanced_packet(SEGMENT, number=1)
    second = section(">") + interface(101, order=">") + enhanced_packet(SEGMENT6, number=0, order=">")
    packets, stats = decode(first + second)
    assert [packet.length for packet in packets] == [45, 45, 65]
    assert stats.malformed == {}


def test_pcapng_simple_and_old_packet_blocks_are_read():
    capture = section() + interface() + old_packet(ethernet(SEGMENT), START + 5) + simple_packet(ethernet(SEGMENT))
    packets, _ = decode(capture)
    assert [packet.time_us for packet in packets] == [
        START + 5,
        START + 5,
    ]  # a simple packet has no time of its own


def test_pcapng_packet_of_an_unknown_interface_is_counted_and_the_rest_read():
    capture = (
        section() + interface() + enhanced_packet(ethernet(SEGMENT), number=7) + enhanced_packet(ethernet(SEGMENT))
    )
    packets, stats = decode(capture)
    assert len(packets) == 1
    assert stats.malformed == {"packet block": 1}


@pytest.mark.parametrize("size", [1, 20, 30, 90, 129])
def test_capture_cut_anywhere_yields_what_is_there_and_counts_the_cut(size):
    whole = pcap(ethernet(SEGMENT), ethernet(SEGMENT))  # 24 + 2 * (16 + 59) = 174 bytes
    packets, stats = decode(whole[: 24 + size])
    assert len(packets) == size // 75
    assert stats.malformed_total == 1


def test_capture_that_ends_on_a_record_is_not_counted_as_cut():
    assert decode(pcap(ethernet(SEGMENT), ethernet(SEGMENT)))[1].malformed == {}


def test_impossible_record_length_ends_the_capture_and_is_counted():
    capture = pcap(ethernet(SEGMENT)) + struct.pack("<IIII", 0, 0, 0x7FFFFFFF, 60) + bytes(100)
    packets, stats = decode(capture)
    assert len(packets) == 1
    assert stats.malformed == {"record length": 1}


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "found nothing"),
        (b"\x28\xb5\x2f\xfdrest", "compressed"),
        (b"\x1f\x8b\x08\x00rest", "damaged gzip"),
        (b"<!DOCTYPE html><html>", "'<!DOCTYPE html>'"),
        (b"PK\x03\x04", "compressed"),
        (b"\x00", "bytes 00"),
        (b"IPV4_SRC_ADDR,L4_SRC_PORT", "49 50 56 34"),
    ],
)
def test_a_file_that_is_no_capture_is_refused_in_one_sentence(content, words):
    with pytest.raises(InputError, match=f"expected a pcap or pcapng capture.*{words}") as error:
        read_packets(io.BytesIO(content), PacketStats())
    assert "\n" not in str(error.value)


def test_snap_length_truncation_is_counted_and_lengths_stay_those_of_the_wire():
    packets, stats = decode(pcap(ethernet(ipv4(tcp(payload=bytes(1000)))), snap_length=60))
    assert stats.truncated == 1
    assert (packets[0].length, packets[0].payload_length, packets[0].frame_length) == (1040, 1000, 1054)


def test_packets_come_out_of_a_pipe_while_it_is_still_open():
    reader, writer = os.pipe()
    came = threading.Event()
    packets = []

    def read():
        with open(reader, "rb") as stream:
            for packet in read_packets(stream, PacketStats()):
                packets.append(packet)
                came.set()

    thread = threading.Thread(target=read, daemon=True)
    thread.start()
    capture = pcap(ethernet(SEGMENT), ethernet(SEGMENT))
    try:
        os.write(writer, capture[:99])
        assert came.wait(LIMIT_S), "the first packet was held back until the second had come"
        os.write(writer, capture[99:])
    finally:
        os.close(writer)  # even when the test fails, or the reader would wait for ever
    thread.join(LIMIT_S)
    assert len(packets) == 2


# ---- link layers

RADIOTAP = bytes([0, 0, 8, 0, 0, 0, 0, 0])
SNAP = bytes.fromhex("aaaa03000000")
BSS = bytes.fromhex("020000000003")
COOKED = struct.pack("!HHH", 0, 1, 6) + ALICE_MAC + bytes(2) + b"\x08\x00"
COOKED_2 = b"\x08\x00" + bytes(2) + struct.pack("!IHBB", 3, 1, 0, 6) + ALICE_MAC + bytes(2)
DATA_TO_AP = b"\x08\x01\x00\x00" + BSS + ALICE_MAC + BOB_MAC + bytes(2)
DATA_FROM_AP = b"\x08\x02\x00\x00" + BOB_MAC + BSS + ALICE_MAC + bytes(2)
QOS_DATA = b"\x88\x02\x00\x00" + BOB_MAC + BSS + ALICE_MAC + bytes(4)
RELAYED = b"\x08\x03\x00\x00" + BSS + BSS + BOB_MAC + bytes(2) + ALICE_MAC


@pytest.mark.parametrize(
    ("link_type", "header", "macs"),
    [
        pytest.param(1, BOB_MAC + ALICE_MAC + b"\x08\x00", (ALICE_MAC, BOB_MAC), id="ethernet"),
        pytest.param(1, bytes(12) + b"\x81\x00\x00\x05\x08\x00", (bytes(6), bytes(6)), id="802.1Q"),
        pytest.param(1, bytes(12) + b"\x88\xa8\x00\x05\x81\x00\x00\x06\x08\x00", (bytes(6), bytes(6)), id="QinQ"),
        pytest.param(1, bytes(12) + b"\x88\x64\x11\x00\x00\x01\x00\x2f\x00\x21", (bytes(6), bytes(6)), id="PPPoE"),
        pytest.param(1, bytes(12) + b"\x88\x47\x00\x00\x10\x40\x00\x00\x21\x40", (bytes(6), bytes(6)), id="MPLS"),
        pytest.param(1, bytes(12) + b"\x00\x35" + SNAP + b"\x08\x00", (bytes(6), bytes(6)), id="802.3 SNAP"),
        pytest.param(0, b"\x02\x00\x00\x00", (b"", b""), id="null"),
        pytest.param(0, b"\x00\x00\x00\x02", (b"", b""), id="null big-endian"),
        pytest.param(108, b"\x00\x00\x00\x02", (b"", b""), id="loopback"),
        pytest.param(9, b"\xff\x03\x00\x21", (b"", b""), id="PPP"),
        pytest.param(9, b"\x00\x21", (b"", b""), id="PPP compressed"),
        pytest.param(104, b"\x0f\x00\x08\x00", (b"", b""), id="Cisco HDLC"),
        pytest.param(101, b"", (b"", b""), id="raw"),
        pytest.param(228, b"", (b"", b""), id="raw IPv4"),
        pytest.param(113, COOKED, (ALICE_MAC, b""), id="cooked v1"),
        pytest.param(276, COOKED_2, (ALICE_MAC, b""), id="cooked v2"),
        pytest.param(127, RADIOTAP + DATA_TO_AP + SNAP + b"\x08\x00", (ALICE_MAC, BOB_MAC), id="802.11 to AP"),
        pytest.param(127, RADIOTAP + DATA_FROM_AP + SNAP + b"\x08\x00", (ALICE_MAC, BOB_MAC), id="802.11 from AP"),
        pytest.param(127, RADIOTAP + QOS_DATA + SNAP + b"\x08\x00", (ALICE_MAC, BOB_MAC), id="802.11 QoS"),
        pytest.param(127, RADIOTAP + RELAYED + SNAP + b"\x08\x00", (ALICE_MAC, BOB_MAC), id="802.11 relayed"),
        pytest.param(105, DATA_TO_AP + SNAP + b"\x08\x00", (ALICE_MAC, BOB_MAC), id="802.11 without radiotap"),
    ],
)
def test_ip_is_found_under_every_link_layer(link_type, header, macs):
    packet = one(pcap(header + SEGMENT, link_type=link_type))
    assert (packet.ip_offset, packet.length, packet.payload_length) == (len(header), 45, 5)
    assert (packet.src_mac, packet.dst_mac) == macs
    assert (packet.src_port, packet.dst_port) == (40000, 80)


@pytest.mark.parametrize("family", [10, 24, 28, 30])
def test_loopback_knows_every_systems_number_for_ipv6(family):
    assert one(pcap(struct.pack("<I", family) + SEGMENT6, link_type=0)).length == 65


def test_raw_link_type_takes_ipv6_by_its_version():
    assert one(pcap(SEGMENT6, link_type=101)).length == 65


@pytest.mark.parametrize(
    "frame",
    [
        pytest.param(RADIOTAP + b"\x08\x41" + DATA_TO_AP[2:] + SNAP + b"\x08\x00" + SEGMENT, id="encrypted data"),
        pytest.param(RADIOTAP + b"\x80\x00\x00\x00" + bytes(40), id="beacon"),
        pytest.param(RADIOTAP + b"\x48\x01\x00\x00" + bytes(40), id="null data"),
        pytest.param(RADIOTAP + b"\xd4\x00\x00\x00" + bytes(6), id="acknowledgement"),
    ],
)
def test_wireless_frames_without_readable_data_are_counted_as_not_ip(frame):
    packets, stats = decode(pcap(frame, link_type=127))
    assert (packets, stats.non_ip, stats.malformed) == ([], 1, {})


def test_spanning_tree_and_lldp_are_counted_as_not_ip():
    _, stats = decode(pcap(bytes(12) + b"\x00\x26\x42\x42\x03" + bytes(35), ethernet(bytes(46), 0x88CC)))
    assert (stats.non_ip, stats.malformed) == (2, {})


def test_arp_gives_its_binding_and_is_no_ip_packet():
    packet = one(pcap(ethernet(arp(2), 0x0806)))
    assert packet.protocol == -1
    assert packet.arp == (2, ALICE_MAC, bytes([10, 0, 0, 1]), bytes([10, 0, 0, 2]))


# ---- network and transport


def test_tcp_fields_are_read():
    packet = one(pcap(ethernet(SEGMENT)))
    assert (address_text(packet.src), address_text(packet.dst)) == (ALICE, BOB)
    assert (packet.protocol, packet.tcp_flags, packet.tcp_window) == (6, SYN | ACK, 512)
    assert mac_text(packet.src_mac) == "02:00:00:00:00:01"


def test_tcp_options_are_not_payload():
    assert one(pcap(ethernet(ipv4(tcp(payload=b"xyz", options=bytes(12)))))).payload_length == 3


def test_ipv4_options_move_the_ports():
    packet = one(pcap(ethernet(ipv4(tcp(1234, 5678), options=bytes(8)))))
    assert (packet.src_port, packet.dst_port, packet.length) == (1234, 5678, 48)


def test_an_empty_udp_datagram_counts_28_bytes_whatever_the_ethernet_padding():
    packet = one(pcap(ethernet(ipv4(udp(), 17)) + bytes(18)))
    assert (packet.length, packet.payload_length, packet.frame_length) == (28, 0, 60)


@pytest.mark.parametrize("protocol", [1, 2, 47, 50, 89])
def test_protocols_without_ports_have_ports_zero(protocol):
    packet = one(pcap(ethernet(ipv4(icmp(payload=bytes(8)), protocol))))
    assert (packet.src_port, packet.dst_port, packet.payload_length) == (0, 0, 16)


@pytest.mark.parametrize("protocol", [33, 132, 136])
def test_dccp_sctp_and_udp_lite_have_ports(protocol):
    packet = one(pcap(ethernet(ipv4(udp(7, 9), protocol))))
    assert (packet.src_port, packet.dst_port) == (7, 9)


def test_later_fragments_have_the_ports_of_the_first():
    datagram = udp(1000, 2000, b"\x12" * 24)
    first = ipv4(datagram[:16], 17, fragment=0x2000)
    second = ipv4(datagram[16:], 17, fragment=2)  # offset in units of 8 bytes
    packets, _ = decode(pcap(ethernet(first), ethernet(second)))
    assert [(packet.src_port, packet.dst_port, packet.length) for packet in packets] == [
        (1000, 2000, 36),
        (1000, 2000, 36),
    ]


def test_ipv6_ports_are_found_behind_extension_headers():
    hop_by_hop, routing = bytes([43, 0]) + bytes(6), bytes([60, 1]) + bytes(14)
    destination, authentication = bytes([51, 0]) + bytes(6), bytes([6, 4]) + bytes(22)
    packet = one(pcap(ethernet(ipv6(hop_by_hop + routing + destination + authentication + tcp(1, 2), 0), 0x86DD)))
    assert (packet.protocol, packet.src_port, packet.dst_port) == (6, 1, 2)
    assert (packet.length, packet.payload_length) == (40 + 8 + 16 + 8 + 24 + 20, 0)


def test_later_ipv6_fragments_have_the_ports_of_the_first():
    first = ipv6(struct.pack("!BBHI", 17, 0, 0x0001, 9) + udp(1, 2), 44)
    second = ipv6(struct.pack("!BBHI", 17, 0, 0x0008, 9) + b"\x12" * 16, 44)
    packets, _ = decode(pcap(ethernet(first, 0x86DD), ethernet(second, 0x86DD)))
    assert [(packet.protocol, packet.src_port) for packet in packets] == [(17, 1), (17, 1)]


def test_ipv6_addresses_are_printed_in_their_short_form():
    packet = one(pcap(ethernet(SEGMENT6, 0x86DD)))
    assert (address_text(packet.src), address_text(packet.dst)) == (ALICE6, BOB6)


def test_length_zero_left_to_the_network_card_is_taken_from_the_wire():
    assert one(pcap(ethernet(ipv4(tcp(payload=bytes(60)), length=0)))).length == 100
    assert one(pcap(ethernet(ipv6(tcp(payload=bytes(60)), length=0), 0x86DD))).length == 120


# ---- faults

ETHERNET6 = {"ethertype": 0x86DD}


@pytest.mark.parametrize(
    ("frame", "reason"),
    [
        (b"\x02" * 13, "Ethernet header cut"),
        (bytes(12) + b"\x81\x00\x00", "link header cut"),
        (ethernet(b""), "IPv4 header cut"),
        (ethernet(SEGMENT[:19]), "IPv4 header cut"),
        (ethernet(ipv4(tcp(), version=5)), "IP version"),
        (ethernet(b"\x44" + SEGMENT[1:]), "IPv4 header length"),
        (ethernet(ipv4(tcp(), length=19)), "IPv4 header length"),
        (ethernet(ipv4(tcp()[:12])), "TCP header cut"),
        (ethernet(ipv4(tcp(data_offset=4))), "TCP data offset"),
        (ethernet(ipv4(tcp(data_offset=15))), "TCP data offset"),
        (ethernet(ipv4(udp()[:7], 17)), "UDP header cut"),
        (ethernet(SEGMENT6[:39], **ETHERNET6), "IPv6 header cut"),
        (ethernet(b"\x50" + SEGMENT6[1:], **ETHERNET6), "IP version"),
        (ethernet(ipv6(bytes([6, 0]) + bytes(5), 0), **ETHERNET6), "IPv6 extension cut"),
        (ethernet(ipv6(bytes([59, 9]) + bytes(6), 0), **ETHERNET6), "IPv6 extension length"),
        (ethernet(arp()[:20], 0x0806), "ARP cut"),
        (ethernet(arp()[:4] + b"\x08" + arp()[5:], 0x0806), "ARP addresses"),
    ],
)
def test_malformed_packets_are_counted_by_reason(frame, reason):
    assert rejected(frame) == [reason]


def test_counts_add_up():
    frames = (
        ethernet(SEGMENT),
        ethernet(arp(), 0x0806),
        ethernet(bytes(46), 0x88CC),
        ethernet(ipv4(b"", version=9)),
    )
    packets, stats = decode(pcap(*frames))
    assert stats.packets == 4 == len(packets) + stats.non_ip + stats.malformed_total
    assert stats.bytes == sum(map(len, frames))
    assert "1 malformed (IP version: 1)" in stats.summary()
