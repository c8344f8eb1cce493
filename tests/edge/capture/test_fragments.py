"""Fragments: later ones get the ports of the first, whoever cuts a TCP header is named, and the table is bounded."""

import io
import struct

import pytest
from build_pcap import ACK, ALICE, ALICE6, ALICE_MAC, BOB, BOB6, RST, START, SYN, ethernet, ipv4, ipv6, pcap, tcp, udp
from tlids_edge.capture.fragments import LIFE_US, MAX_FIRST, Fragments
from tlids_edge.capture.packets import PacketStats, address_text, read_packets
from tlids_edge.capture.stats import MAX_TINY
from tlids_edge.flows.meter import Meter

MORE = 0x2000


def decode(*frames):
    stats = PacketStats()
    return list(read_packets(io.BytesIO(pcap(*frames)), stats)), stats


def ports(packets):
    return [(packet.src_port, packet.dst_port) for packet in packets]


def in_pieces(segment, size, protocol=6, identification=1, **ends):
    """The IPv4 fragments of a segment, `size` bytes each."""
    for at in range(0, len(segment), size):
        more = MORE * (at + size < len(segment))
        yield ipv4(segment[at : at + size], protocol, fragment=more | at // 8, identification=identification, **ends)


def in_pieces6(segment, size, protocol=6):
    for at in range(0, len(segment), size):
        more = at + size < len(segment)
        yield ipv6(struct.pack("!BBHI", protocol, 0, at | more, 9) + segment[at : at + size], 44)


def scan(size, count=40):
    """A SYN scan as `nmap -f` (8) or `--mtu` sends it: a SYN with one option in pieces, and the RST that answers."""
    for number in range(count):
        syn = tcp(50000, 1 + number, SYN, options=b"\x02\x04\x05\xb4")
        for frame in in_pieces(syn, size, identification=number):
            yield ethernet(frame)
        yield ethernet(ipv4(tcp(1 + number, 50000, RST | ACK), src=BOB, dst=ALICE), src=b"\2" * 6, dst=ALICE_MAC)


@pytest.mark.parametrize("size", [8, 16])
def test_every_flow_of_a_scan_in_tiny_fragments_names_the_scanner_and_none_the_victim(size):
    packets, stats = decode(*((START + n * 1000, frame) for n, frame in enumerate(scan(size))))
    meter = Meter()
    for packet in packets:
        meter.add(packet)
    meter.close_all()
    flows = meter.take()
    assert {(flow.src, flow.dst) for flow in flows} == {(ALICE, BOB)}
    assert {flow.dst_port for flow in flows} == set(range(1, 41))
    assert {(flow.in_packets, flow.out_packets) for flow in flows} == {(24 // size + bool(24 % size), 1)}
    assert stats.malformed == {}
    notes = meter.take_unanswered()
    assert {(note.src, note.dst_port) for note in notes} == {
        (flow.key[0], port) for flow in flows for port in range(1, 41)
    }
    (tiny,) = stats.take_tiny_fragments()
    assert (address_text(tiny.src), tiny.src_mac, address_text(tiny.dst), tiny.count) == (ALICE, ALICE_MAC, BOB, 40)
    assert stats.tiny_fragments == 40 and stats.take_tiny_fragments() == []


def test_a_first_fragment_with_a_whole_tcp_header_is_not_tiny():
    _, stats = decode(*map(ethernet, in_pieces(tcp(payload=bytes(40)), 24)))
    assert stats.tiny_fragments == 0


def test_a_first_fragment_without_its_ports_is_malformed_and_noted():
    packets, stats = decode(ethernet(ipv4(tcp()[:4], fragment=MORE)))
    assert (packets, stats.malformed, stats.tiny_fragments) == ([], {"TCP header cut": 1}, 1)


def test_flags_are_read_where_a_first_fragment_reaches_them():
    (first, _), _ = decode(*map(ethernet, in_pieces(tcp(flags=SYN, payload=bytes(12)), 16)))
    (cut, *_), _ = decode(*map(ethernet, in_pieces(tcp(flags=SYN, payload=bytes(12)), 8)))
    assert (first.tcp_flags, cut.tcp_flags) == (SYN, 0)


@pytest.mark.parametrize("pieces", [in_pieces, in_pieces6])
def test_every_later_fragment_has_protocol_and_ports_of_the_first(pieces):
    frames = list(pieces(udp(1000, 2000, bytes(92)), 24, 17))
    packets, _ = decode(*(ethernet(frame, 0x0800 if frame[0] >> 4 == 4 else 0x86DD) for frame in frames))
    assert len(packets) == 5
    assert {(packet.protocol, packet.src_port, packet.dst_port) for packet in packets} == {(17, 1000, 2000)}


def test_what_stands_behind_more_extension_headers_in_the_first_ipv6_fragment_is_what_the_later_ones_carry():
    options = bytes([17, 0]) + bytes(6)  # destination options, then UDP
    first = ipv6(struct.pack("!BBHI", 60, 0, 1, 9) + options + udp(1, 2), 44)
    later = ipv6(struct.pack("!BBHI", 60, 0, 16, 9) + bytes(16), 44)
    packets, _ = decode(ethernet(first, 0x86DD), ethernet(later, 0x86DD))
    assert [(packet.protocol, packet.src_port, packet.dst_port) for packet in packets] == [(17, 1, 2)] * 2


def test_overlapping_fragments_name_their_sender_and_the_ports_of_the_newest_first_fragment():
    real, decoy = tcp(50000, 22, SYN), tcp(50000, 80, SYN)
    frames = [
        ipv4(decoy[:8], fragment=MORE), ipv4(real[:8], fragment=MORE), ipv4(real[8:], fragment=1),
        ipv4(decoy[:16], fragment=MORE), ipv4(real[8:], fragment=1),
    ]  # fmt: skip
    packets, stats = decode(*map(ethernet, frames))
    assert [port for _, port in ports(packets)] == [80, 22, 22, 80, 80]
    assert {address_text(packet.src) for packet in packets} == {ALICE} and stats.malformed == {}


@pytest.mark.parametrize(
    "other",
    [
        {"identification": 2},
        {"src": BOB, "dst": ALICE},
        {"protocol": 6},
    ],
)
def test_a_fragment_of_another_datagram_has_no_ports(other):
    first = ipv4(udp(1000, 2000, bytes(16)), 17, fragment=MORE)
    later = ipv4(bytes(16), **{"protocol": 17, "fragment": 3, **other})
    packets, _ = decode(ethernet(first), ethernet(later))
    assert ports(packets) == [(1000, 2000), (0, 0)]


def test_a_fragment_in_another_vlan_has_no_ports():
    first, later = ipv4(udp(1000, 2000, bytes(16)), 17, fragment=MORE), ipv4(bytes(16), 17, fragment=3)
    tagged = [ethernet(struct.pack("!HH", vlan, 0x0800) + frame, 0x8100) for vlan, frame in ((5, first), (6, later))]
    packets, _ = decode(*tagged)
    assert ports(packets) == [(1000, 2000), (0, 0)]
    assert [packet.vlan for packet in packets] == [5, 6]


@pytest.mark.parametrize(("after_us", "known"), [(LIFE_US, True), (LIFE_US + 1, False), (-1000, True)])
def test_a_first_fragment_is_remembered_for_thirty_seconds_of_packet_time(after_us, known):
    first, later = ipv4(udp(1000, 2000, bytes(16)), 17, fragment=MORE), ipv4(bytes(16), 17, fragment=3)
    packets, _ = decode((START, ethernet(first)), (START + after_us, ethernet(later)))
    assert ports(packets)[1] == ((1000, 2000) if known else (0, 0))


def test_the_oldest_first_fragments_are_forgotten_and_whole_packets_never_remembered():
    table = Fragments()
    for number in range(MAX_FIRST + 1):
        table.note((b"a", b"b", number, 17, 0), START, (17, 1, number + 1))
    table.note((b"a", b"b", 70_000, 1, 0), START, (1, 0, 0))  # an echo has no ports to say
    assert len(table) == MAX_FIRST
    assert table.ports((b"a", b"b", 0, 17, 0), START) == (17, 0, 0)
    assert table.ports((b"a", b"b", 1, 17, 0), START) == (17, 1, 2)


def test_senders_of_tiny_fragments_are_told_apart_up_to_a_bound_and_all_counted():
    stats = PacketStats()
    for number in range(MAX_TINY + 100):
        stats.note_tiny_fragment(START, number.to_bytes(4), b"", b"")
    assert len(stats.take_tiny_fragments()) == MAX_TINY and stats.tiny_fragments == MAX_TINY + 100


# ---- a RST that no host takes


def reset(checksum=None, **fields):
    """An IPv4 RST; `checksum` replaces the right one, which `ipv4` puts in."""
    frame = ipv4(tcp(flags=RST | ACK, payload=b"odd"), **fields)
    return frame if checksum is None else frame[:36] + checksum.to_bytes(2) + frame[38:]


PSEUDO = sum(struct.unpack("!4H", bytes([10, 0, 0, 1, 10, 0, 0, 2]))) + 6 + 23  # of ALICE, BOB, TCP and 23 bytes


@pytest.mark.parametrize(("checksum", "taken"), [(None, True), (PSEUDO, True), (PSEUDO ^ 1, False), (0, False)])
def test_a_whole_rst_is_taken_if_its_checksum_is_right_or_left_to_the_network_card(checksum, taken):
    packets, stats = decode(ethernet(reset(checksum)))
    assert (len(packets), stats.malformed) == ((1, {}) if taken else (0, {"RST checksum": 1}))


def test_a_rst_whose_end_was_not_captured_is_taken_and_so_is_any_checksum_without_rst():
    cut, stats = decode(ethernet(reset(0xDEAD))[:-1])
    other = ipv4(tcp(flags=ACK))
    whole, _ = decode(ethernet(other[:36] + b"\xde\xad" + other[38:]))
    assert len(cut) == len(whole) == 1 and stats.malformed == {}


def test_a_wrong_rst_is_left_out_of_ipv6_too():
    frame = ipv6(tcp(flags=RST))
    packets, stats = decode(ethernet(frame, 0x86DD), ethernet(frame[:57] + b"\xff" + frame[58:], 0x86DD))
    assert len(packets) == 1 and stats.malformed == {"RST checksum": 1}
    assert (address_text(packets[0].src), address_text(packets[0].dst)) == (ALICE6, BOB6)


# ---- VLAN


@pytest.mark.parametrize(
    ("tags", "vlan"),
    [((), 0), ((0,), 0), ((5,), 5), ((0xE005,), 5), ((5, 6), 5 * 4096 + 6), ((5, 6, 7), 5 * 4096 + 6)],
)
def test_the_vlan_is_the_id_of_one_tag_and_both_of_two_without_priorities(tags, vlan):
    body = b"".join(struct.pack("!HH", 0x8100, tag) for tag in tags) + b"\x08\x00" + ipv4(udp(1, 2), 17)
    (packet,), _ = decode(ethernet(body[2:], struct.unpack("!H", body[:2])[0]))
    assert (packet.vlan, packet.dst_port) == (vlan, 2)
