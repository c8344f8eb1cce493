"""Captures straight into the compiled meter give what Python's decoder, clock and meter give."""

import gzip
import io
import random
import struct

import pytest
from build_pcap import ACK, ALICE, BOB, START, SYN, arp, ethernet, ipv4, ipv6, pcap, tcp, udp
from equal_readers import Pieces, difference, sizes
from shared_captures import REPOSITORY, captures
from tlids_edge.capture.clock import Clock
from tlids_edge.capture.packets import PacketStats
from tlids_edge.flows.compiled import CompiledMeter
from tlids_edge.flows.meter import Meter
from tlids_edge.flows.raw import RawReader
from tlids_edge.flows.slices import SLICE_US

pytestmark = pytest.mark.usefixtures("compiled")
SMALL = {"family": "both", "idle_timeout": 0.05, "active_timeout": 0.2, "max_flows": 20}
CAPTURES = captures("conformance/ipfixprobe") + captures("cases") + captures("pcap/syn-flood")
SINGLE_BYTES = 20_000  # of a capture at most that is cut into them


@pytest.mark.parametrize("capture", CAPTURES)
@pytest.mark.parametrize("as_they_come", [False, True], ids=["file", "pipe"])
def test_a_capture_gives_the_same_flows_and_counts_however_it_is_cut(capture, as_they_come):
    content = capture.read_bytes()
    for kind in ("whole", "odd", *(["single"] if len(content) < SINGLE_BYTES else [])):
        for settings in ({}, SMALL):
            assert difference(content, settings, kind, as_they_come) == "", (kind, settings)


def test_a_session_of_the_testbed_gives_the_same_flows():
    content = (REPOSITORY / "data/testbed/session1.pcap.gz").read_bytes()
    assert difference(content, {"family": "both"}) == ""


def test_a_gzipped_capture_that_is_cut_gives_the_same_flows():
    content = gzip.compress(pcap(*[ethernet(ipv4(tcp(port, 80, SYN))) for port in range(1, 500)]))
    assert difference(content[:-20], {}, "odd") == ""


FRAMES = (
    ethernet(ipv4(tcp(flags=SYN), src=ALICE, dst=BOB)),
    ethernet(ipv4(tcp(80, 40000, SYN | ACK), src=BOB, dst=ALICE)),
    ethernet(ipv4(udp(payload=bytes(30)), 17)),
    ethernet(ipv4(udp(payload=bytes(30)), 17, fragment=0x2001)),
    ethernet(ipv6(tcp()), 0x86DD),
    ethernet(arp(), 0x0806),
    ethernet(b"\x00" * 50, 0x9999),
)


def disordered(seed, count=3000):
    """Packets at random moments: jitter, late ones, jumps of the clock both ways, times that cannot be."""
    chosen = random.Random(seed)
    now, records = START, []
    for _ in range(count):
        now += chosen.choice((1, 20, 500, 3000))
        if chosen.random() < 0.003:
            now += chosen.choice((-20_000_000, 90_000_000, -3_600_000_000))
        moment = now - chosen.choice((0, 0, 0, 0, 40, 5000, 90_000, 150_000))
        if chosen.random() < 0.002:
            moment = chosen.choice((1_000_000, 4_200_000_000_000_000))
        flow = chosen.randrange(50)
        frame = chosen.choice(FRAMES)
        records.append((max(moment, 0), frame[:29] + bytes([flow]) + frame[30:]))
    return pcap(*records)


@pytest.mark.parametrize("as_they_come", [False, True], ids=["file", "pipe"])
@pytest.mark.parametrize("seed", range(6))
def test_disorder_jumps_and_impossible_times_give_the_same_flows_and_counts(seed, as_they_come):
    capture = disordered(seed)
    for settings in ({}, SMALL):
        assert difference(capture, settings, "odd", as_they_come) == "", settings


def test_more_packets_than_are_held_within_the_window_give_the_same_flows():
    chosen = random.Random(7)
    records = [(START + place * 3 - chosen.choice((0, 0, 9, 40_000)), FRAMES[place % 3]) for place in range(30_000)]
    assert difference(pcap(*records), {}) == ""


def jittered(seed, count, most_us):
    """Handshakes between twenty clients and a server, each packet stored up to `most_us` out of its place."""
    chosen = random.Random(seed)
    records = []
    for place in range(count):
        port, now = chosen.randrange(1, 20), START + 40 * place
        frame = chosen.choice((
            tcp(port, 80, SYN), tcp(80, port, SYN | ACK), tcp(80, port, SYN | ACK), tcp(port, 80), tcp(80, port, SYN),
        ))  # fmt: skip
        src, dst = (BOB, ALICE) if frame[:2] == b"\0P" else (ALICE, BOB)
        records.append((now - chosen.randrange(most_us), ethernet(ipv4(frame, src=src, dst=dst))))
    return pcap(*records)


@pytest.mark.parametrize("as_they_come", [False, True], ids=["file", "pipe"])
@pytest.mark.parametrize("most_us", [1, 300, 90_000])
def test_packets_in_another_order_than_that_of_time_are_put_right_without_python(most_us, as_they_come, monkeypatch):
    arranged = []
    monkeypatch.setattr(Clock, "arrange", lambda *blocks: arranged.append(blocks) or ([], []))
    assert difference(jittered(most_us, 5000, most_us), SMALL, "odd", as_they_come) == ""
    assert arranged == []


def test_more_syn_acks_in_disorder_than_the_table_of_answers_has_room_for_are_all_counted():
    frame, count = ethernet(ipv4(tcp(80, 0, SYN | ACK))), 70_000  # the table has 65,536 places
    port_at, host_at = 36, 26  # of the destination port, and of the source address
    opening = [
        (START + 10 * i - 40 * (i % 16 == 8),
         frame[:host_at] + struct.pack("!I", 10 << 24 | i >> 16) + frame[host_at + 4 : port_at]
         + struct.pack("!H", i & 0xFFFF) + frame[port_at + 2 :])
        for i in range(count)
    ]  # fmt: skip
    meter = CompiledMeter()
    for _ in RawReader(meter, PacketStats()).read(io.BytesIO(pcap(*opening))):
        meter.take(), meter.take_unanswered()
    meter.close_all()
    assert meter.opened == count


def test_a_syn_behind_its_syn_ack_is_the_client():
    synack, syn = FRAMES[1], FRAMES[0]
    meter = CompiledMeter()
    capture = pcap((START, synack), (START + 50_000, syn), *((START + 60_000 + at, FRAMES[2]) for at in range(300)))
    for _ in RawReader(meter, PacketStats()).read(Pieces(capture, sizes("whole"))):
        pass
    meter.close_all()
    assert {flow.src for flow in meter.take() if flow.protocol == 6} == {ALICE}


def test_what_python_decodes_is_given_once_it_has_been_counted():
    meter, given = CompiledMeter(), []
    reader = RawReader(meter, PacketStats(), shown=lambda packet: given.append(len(meter)) or packet.arp is not None)
    steps = list(reader.read(Pieces(pcap(*FRAMES), sizes("whole"))))
    assert [packet.protocol for packet in steps if packet is not None] == [-1]
    assert given == [3, 4]  # open: TCP, UDP, the fragment without ports; and IPv6 before the frame of ARP


def steps_of(meter, capture, kind, as_they_come):
    """When each step ends, what it shows, and which flows and notes there are by then."""
    reader = RawReader(meter, PacketStats(), as_they_come, lambda packet: packet.arp is not None, SLICE_US)
    return [
        (reader.now_us, packet, [(flow.key, flow.first_us) for flow in meter.take()], meter.take_unanswered())
        for packet in reader.read(Pieces(capture, sizes(kind)))
    ]


@pytest.mark.parametrize("as_they_come", [False, True], ids=["file", "pipe"])
@pytest.mark.parametrize("seed", range(2))
def test_steps_end_at_the_same_packets_in_both_meters_however_a_capture_is_cut(seed, as_they_come):
    capture = disordered(seed)
    expected = steps_of(Meter(**SMALL), capture, "whole", as_they_come)
    assert sum(packet is not None for _, packet, *_ in expected) > 100
    assert sum(packet is None for _, packet, *_ in expected) > 10
    for kind in ("whole", "odd"):
        assert steps_of(CompiledMeter(**SMALL), capture, kind, as_they_come) == expected
