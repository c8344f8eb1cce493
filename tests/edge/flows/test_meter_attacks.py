"""What somebody forges to be unseen, to have another named, or to fill the table: the flows name who did it."""

import gzip
import heapq
import io
import random
import struct
from pathlib import Path

import pytest
from build_pcap import (
    ACK,
    ALICE,
    ALICE_MAC,
    BOB,
    BOB_MAC,
    FIN,
    PSH,
    RST,
    SECOND,
    START,
    SYN,
    ethernet,
    icmp,
    ipv4,
    pcap,
    tcp,
    udp,
)
from tlids_edge.capture.packets import PacketStats, address_text, read_packets
from tlids_edge.flows.labels import label_flow, read_labels
from tlids_edge.flows.meter import Meter

pytestmark = pytest.mark.usefixtures("each_meter")

TESTBED = Path(__file__).resolve().parents[3] / "data" / "testbed"
EVE, EVE_MAC = "10.0.0.66", bytes.fromhex("020000000066")
SYN_ACK = SYN | ACK


def there(flags=ACK, payload=b"", port=40000, src=ALICE, mac=ALICE_MAC):
    return ethernet(ipv4(tcp(port, 80, flags, payload), src=src, dst=BOB), src=mac, dst=BOB_MAC)


def back(flags=ACK, payload=b"", port=40000, dst=ALICE, mac=ALICE_MAC):
    return ethernet(ipv4(tcp(80, port, flags, payload), src=BOB, dst=dst), src=BOB_MAC, dst=mac)


def datagram(src, sport, dst, dport, src_mac, dst_mac):
    return ethernet(ipv4(udp(sport, dport, b"x"), 17, src, dst), src=src_mac, dst=dst_mac)


def tagged(vlan, frame):
    return frame[:12] + struct.pack("!HH", 0x8100, vlan) + frame[12:]


def packets(*frames):
    capture = pcap(*((START + round(seconds * SECOND), frame) for seconds, frame in frames))
    return list(read_packets(io.BytesIO(capture), PacketStats()))


def metered(*frames, **settings):
    meter = Meter(**settings)
    for packet in packets(*frames):
        meter.add(packet)
    meter.close_all()
    return meter.take(), meter.take_unanswered()


def ends(flows):
    return [(flow.src, flow.in_packets, flow.dst, flow.out_packets) for flow in flows]


# ---- direction


@pytest.mark.parametrize("flags", [SYN_ACK, RST, RST | ACK, SYN | RST])
def test_a_flow_that_opens_with_an_answer_names_the_one_who_is_answered(flags):
    (flow,), _ = metered((0, back(flags)))
    assert ends([flow]) == [(ALICE, 0, BOB, 1)]
    assert (flow.src_port, flow.dst_port, flow.src_hw, flow.dst_hw) == (40000, 80, ALICE_MAC, BOB_MAC)
    assert flow.cicflow()[2] == -1  # the source's first window was not seen


@pytest.mark.parametrize("flags", [SYN, ACK, FIN | ACK, PSH | ACK, 0, FIN])
def test_any_other_packet_names_its_sender(flags):
    (flow,), _ = metered((0, back(flags)))
    assert ends([flow]) == [(BOB, 1, ALICE, 0)]


def test_under_cicflowmeters_endings_nobody_is_turned_round():
    (flow,), _ = metered((0, back(SYN_ACK)), (1, back()), endings="cicflowmeter")
    assert ends([flow]) == [(BOB, 2, ALICE, 0)]


SESSION = ((0, there(SYN)), (0.1, back(SYN_ACK)), (0.2, there()), (0.3, there(PSH | ACK, b"GET")))
LATER = ((3, back(PSH | ACK, b"more")), (3.1, there()), (3.2, back(PSH | ACK, b"more")))


def test_a_rst_with_ttl_1_ends_the_flow_and_the_rest_keeps_its_direction():
    forged = back(RST)[:22] + b"\x01" + back(RST)[23:]  # no host sees it; TCP's checksum does not cover the TTL
    flows, _ = metered(*SESSION, (1, forged), *LATER)
    assert [flow.end_reason for flow in flows] == ["rst", "shutdown"]
    assert ends(flows) == [(ALICE, 3, BOB, 2), (ALICE, 1, BOB, 2)]


def test_a_rst_of_another_vlan_is_another_flow_and_ends_nothing():
    flows, _ = metered(*SESSION, (1, tagged(7, back(RST))), *LATER)
    assert sorted(ends(flows)) == [(ALICE, 0, BOB, 1), (ALICE, 4, BOB, 3)]
    assert sorted(flow.key[5] for flow in flows) == [0, 7]


def test_a_rst_with_a_wrong_checksum_ends_nothing():
    wrong = back(RST)[:50] + b"\xbe\xef" + back(RST)[52:]
    flows, _ = metered(*SESSION, (1, wrong), *LATER)
    assert ends(flows) == [(ALICE, 4, BOB, 3)]


def test_after_an_idle_timeout_a_reset_direction_is_forgotten_and_a_syn_tells_it_at_once():
    flows, _ = metered(*SESSION, (1, back(RST)), (16.5, back(PSH | ACK)))
    assert ends(flows)[1] == (BOB, 1, ALICE, 0)
    flows, _ = metered(*SESSION, (1, back(RST)), (3, back(SYN)))
    assert ends(flows)[1] == (BOB, 1, ALICE, 0)


def test_of_two_directions_that_were_reset_the_later_one_is_kept():
    other = ((3, back(SYN)), (3.1, there(RST | ACK)))
    flows, _ = metered(*SESSION, (1, back(RST)), *other, (5, back()), (5.1, there()))
    assert ends(flows)[2] == (BOB, 1, ALICE, 1)
    flows, _ = metered(*SESSION, (1, back(RST)), *other, (5, there()), (5.1, back()))
    assert ends(flows)[2] == (BOB, 1, ALICE, 1)


def test_the_same_addresses_in_two_vlans_and_behind_two_tags_are_three_flows():
    flows, _ = metered(*((0, tagged(vlan, there())) for vlan in (1, 2)), (0, tagged(1, tagged(2, there()))))
    assert [flow.key[5] for flow in flows] == [1, 2, 4098]


MIRRORED = (there(SYN), tagged(100, back(SYN_ACK)), there(), tagged(100, back(PSH | ACK, b"x")), there(FIN | ACK))


@pytest.mark.parametrize("vlans", [(0, 100), (100, 0), (5, 6)])
def test_a_mirror_port_that_tags_each_direction_in_its_own_way_gives_whole_flows(vlans):
    frames = [there(SYN), back(SYN_ACK), there(), back(PSH | ACK, b"x"), there(FIN | ACK), back(FIN | ACK), there()]
    sides = [frame if not vlan else tagged(vlan, frame) for frame, vlan in zip(frames, vlans * 4, strict=False)]
    flows, notes = metered(*((n / 10, frame) for n, frame in enumerate(sides)))
    assert ends(flows) == [(ALICE, 4, BOB, 3)]
    assert (flows[0].key[5], flows[0].proven, flows[0].end_reason, notes) == (vlans[0], True, "fin", [])


def test_a_rst_answers_from_another_vlan_only_where_an_answer_has():
    knock, refused = there(SYN, port=5), tagged(100, back(RST | ACK, port=5))
    flows, _ = metered((0, knock), (0.1, refused))
    assert sorted(ends(flows)) == [(ALICE, 0, BOB, 1), (ALICE, 1, BOB, 0)]
    mirrored = [(n / 10, frame) for n, frame in enumerate(MIRRORED)]
    flows, _ = metered(*mirrored, (1, knock), (1.1, refused))
    assert (ALICE, 1, BOB, 1) in ends(flows) and len(flows) == 2


def test_an_answered_flow_takes_no_other_way_back():
    forged = tagged(7, back(PSH | ACK, b"forged"))
    flows, _ = metered(*((n / 10, frame) for n, frame in enumerate(MIRRORED)), (0.6, forged))
    assert sorted(ends(flows)) == [(ALICE, 3, BOB, 2), (BOB, 1, ALICE, 0)]


@pytest.mark.parametrize("each_meter", ["python"], indirect=True)  # whose structures can be seen
def test_any_order_of_vlans_flags_and_directions_keeps_every_packet_in_one_flow_and_leaves_nothing_behind():
    chance = random.Random(3)
    for _ in range(300):
        meter = Meter(max_flows=chance.choice((2, 5, 100)))
        stream = []
        for n in range(60):
            flags, port = chance.choice((SYN, SYN_ACK, ACK, RST, FIN | ACK, SYN | RST)), chance.choice((1, 80))
            frame = chance.choice((there, back))(flags, port=port)
            vlan = chance.choice((0, 0, 1, 2))
            stream.append((n * chance.choice((0.05, 0.3)), tagged(vlan, frame) if vlan else frame))
        for packet in packets(*stream):
            meter.add(packet)
        meter.close_all()
        assert sum(flow.in_packets + flow.out_packets for flow in meter.take()) == 60
        left = [name for name, value in vars(meter).items() if name.startswith("_by") and value]
        assert left == [] and not meter._waiting and not meter._probation and not (meter._ways and len(meter._ways))


# ---- proven or claimed


def test_a_handshake_proves_the_source():
    (flow,), _ = metered(*SESSION)
    assert flow.proven


@pytest.mark.parametrize(
    "frames",
    [
        pytest.param([there(SYN)], id="nothing comes back"),
        pytest.param([there(SYN), back(SYN_ACK)], id="it does not go on"),
        pytest.param([there(SYN), back(RST | ACK), there()], id="only a RST comes back"),
        pytest.param([there(SYN), back(SYN_ACK), there(RST)], id="it goes on with a RST, as the forged host would"),
        pytest.param([there(SYN, mac=EVE_MAC), back(SYN_ACK), there()], id="the answer goes to another MAC"),
        pytest.param([there(SYN), back(SYN_ACK), there(mac=EVE_MAC)], id="another MAC goes on"),
        pytest.param([there(SYN), there(), there(), back()], id="it spoke before the answer alone"),
    ],
)
def test_a_source_is_claimed_only_while(frames):
    flows, _ = metered(*((n / 10, frame) for n, frame in enumerate(frames)))
    assert not any(flow.proven for flow in flows)


def test_an_answer_to_the_sources_own_mac_proves_after_one_that_went_elsewhere():
    (flow,), _ = metered(
        (0, there(SYN)), (0.1, back(SYN_ACK, mac=EVE_MAC)), (0.2, there()), (0.3, back()), (0.4, there())
    )
    assert flow.proven


def test_two_datagrams_around_an_answer_prove_and_so_they_do_without_a_link_layer():
    ask, answer = ipv4(udp(5000, 53), 17), ipv4(udp(53, 5000), 17, src=BOB, dst=ALICE)
    for link_type, header in ((1, True), (101, False)):
        frames = (ethernet(ask), ethernet(answer, src=BOB_MAC, dst=ALICE_MAC), ethernet(ask))
        capture = pcap(*(frame if header else frame[14:] for frame in frames), link_type=link_type)
        meter = Meter()
        for packet in read_packets(io.BytesIO(capture), PacketStats()):
            meter.add(packet)
        meter.close_all()
        assert [flow.proven for flow in meter.take()] == [True]


# ---- unanswered


def test_every_port_of_a_syn_scan_is_noted_once_when_its_rst_comes():
    frames = []
    for port in range(1, 101):
        frames.append((port / 1000, ethernet(ipv4(tcp(50000, port, SYN)))))
        frames.append((port / 1000 + 0.0002, ethernet(ipv4(tcp(port, 50000, RST | ACK), src=BOB, dst=ALICE))))
    meter = Meter()
    for packet in packets(*frames):
        meter.add(packet)
    notes = meter.take_unanswered()
    assert [note.dst_port for note in notes] == list(range(1, 101))
    assert {(address_text(note.src), address_text(note.dst), note.protocol, note.src_hw) for note in notes} == {
        (ALICE, BOB, 6, ALICE_MAC)
    }
    assert [note.first_us for note in notes] == [START + port * 1000 for port in range(1, 101)]
    meter.close_all()
    assert meter.take_unanswered() == []


@pytest.mark.parametrize("expired", [True, False])
def test_what_nobody_answers_is_noted_a_second_later_by_the_next_packet_or_by_the_clock(expired):
    meter = Meter()
    asked = packets((0, ethernet(ipv4(udp(5000, 7), 17))), (0.5, ethernet(ipv4(icmp(), 1))))
    later = packets((1, there(ACK)), (1.000001, there(ACK)))
    for packet in (*asked, later[0]):
        meter.add(packet)
    assert meter.take_unanswered() == []
    meter.expire(later[1].time_us) if expired else meter.add(later[1])
    assert [(note.protocol, note.dst_port, note.first_us) for note in meter.take_unanswered()] == [(17, 7, START)]
    meter.expire(START + 3 * SECOND)
    assert [note.protocol for note in meter.take_unanswered()] == [1, 6]


@pytest.mark.parametrize("mac", [ALICE_MAC, BOB_MAC], ids=["forged", "real"])
def test_an_answer_from_the_sources_own_mac_is_forged(mac):
    answer = back(SYN_ACK)[:6] + mac + back(SYN_ACK)[12:]
    (flow,), notes = metered((0, there(SYN)), (0.1, answer), (0.2, there()))
    assert ends([flow]) == [(ALICE, 2, BOB, 1)]
    assert (flow.answered, flow.proven, len(notes)) == ((False, False, 1) if mac == ALICE_MAC else (True, True, 0))


@pytest.mark.parametrize("mac", [bytes(6), ALICE_MAC], ids=["loopback", "one MAC address"])
def test_where_both_sides_have_one_mac_address_an_answer_is_an_answer(mac):
    frames = [there(SYN), back(SYN_ACK), there()]
    (flow,), notes = metered(*((n / 10, mac + mac + frame[12:]) for n, frame in enumerate(frames)))
    assert (flow.answered, flow.proven, notes) == (True, True, [])


def test_what_is_answered_within_a_second_is_never_noted():
    asked = [(n / 50, there(SYN, port=n)) for n in range(50)]
    answered = [(n / 50 + 0.99, back(SYN_ACK, port=n)) for n in range(50)]
    assert metered(*sorted(asked + answered, key=lambda frame: frame[0]))[1] == []


def test_a_late_answer_takes_no_note_back_and_brings_no_second():
    _, notes = metered((0, there(SYN)), (2, back(SYN_ACK)), (2.1, there()), (20, there()))
    assert [(note.first_us, note.dst_port) for note in notes] == [(START, 80), (START + 20 * SECOND, 80)]


def test_a_forged_syn_ack_from_elsewhere_answers_nothing():
    forged = ethernet(ipv4(tcp(80, 40000, SYN_ACK), src=EVE, dst=ALICE), src=ALICE_MAC, dst=EVE_MAC)
    _, notes = metered((0, there(SYN)), (0.001, forged))
    assert [address_text(note.dst) for note in notes] == [BOB]


def test_a_rst_that_opens_a_flow_is_a_note_against_the_one_it_goes_to():
    flows, notes = metered((0, back(RST | ACK)))
    assert [(address_text(note.src), note.dst_port, note.src_hw) for note in notes] == [(ALICE, 80, ALICE_MAC)]
    assert not flows[0].answered


def test_a_flow_that_is_evicted_unanswered_is_noted_then():
    meter = Meter(max_flows=1)
    for packet in packets((0, there(SYN, port=1)), (0.1, there(SYN, port=2))):
        meter.add(packet)
    assert [flow.src_port for flow in meter.take()] == [1]
    assert len(meter.take_unanswered()) == 1


# ---- a full table


def evicted(*frames, max_flows):
    meter = Meter(max_flows=max_flows)
    for packet in packets(*frames):
        meter.add(packet)
    return [(flow.src, flow.src_port) for flow in meter.take() if flow.end_reason == "table-full"]


def test_the_oldest_flow_of_one_packet_goes_first_though_others_are_silent_longer():
    session = ((0, there(SYN)), (0.1, back(SYN_ACK)))
    forged = [(1 + n / 10, datagram(EVE, n, BOB, 9, EVE_MAC, BOB_MAC)) for n in range(5)]
    assert evicted(*session, *forged, max_flows=3) == [(EVE, 0), (EVE, 1), (EVE, 2)]


def test_who_sends_two_packets_a_flow_fills_the_table_and_still_drives_no_question_out_before_its_answer():
    ask, answer = there(SYN), back(SYN_ACK)
    forged = []
    for n in range(2000):  # 1,000 a second, of two packets each: none stays on probation
        forged += [(n / 1000, datagram(f"10.1.{n // 256}.{n % 256}", 5, BOB, 9, EVE_MAC, BOB_MAC))] * 2
    meter = Meter(max_flows=100)
    for packet in packets(*sorted([*forged, (1, ask), (1.08, answer)], key=lambda frame: frame[0])):
        meter.add(packet)
    meter.close_all()
    assert [flow.out_packets for flow in meter.take() if flow.src == ALICE] == [1]


def test_a_second_packet_ends_the_probation_but_not_the_quota_of_a_mac():
    session = ((0, there(SYN)), (0.1, back(SYN_ACK)))
    forged = [(1 + n / 100, datagram(f"10.1.0.{n // 2}", 5, BOB, 9, EVE_MAC, BOB_MAC)) for n in range(20)]
    first = [(f"10.1.0.{n}", 5) for n in range(10)]
    assert evicted(*session, *forged, max_flows=4) == first[: 10 - 3]


def test_without_a_mac_that_holds_more_than_half_the_longest_silent_goes():
    def pair(n):
        mac = bytes([2, 0, 0, 0, 1, n % 4])
        return [(n, datagram(f"10.1.0.{n}", 5, BOB, 9, mac, BOB_MAC))] * 2

    frames = [frame for n in range(6) for frame in pair(n)]
    assert evicted(*frames, max_flows=4) == [("10.1.0.0", 5), ("10.1.0.1", 5)]


def test_the_quota_looks_at_the_32_that_are_silent_longest_alone():
    def pair(n, mac):
        return [(n / 100, datagram(f"10.1.0.{n}", 5, BOB, 9, mac, BOB_MAC))] * 2

    quiet = [frame for n in range(32) for frame in pair(n, bytes([2, 0, 0, 0, 2, n]))]
    flood = [frame for n in range(40, 80) for frame in pair(n, EVE_MAC)]
    # the flood's first is the 33rd in order of silence, and the 32nd once one is gone
    assert evicted(*quiet, *flood, max_flows=70) == [("10.1.0.0", 5), ("10.1.0.40", 5)]


# ---- Slow HTTP under a flood of 6,000 forged flows a second


def slow_http(folder):
    """The frames of a second before session2's Slow HTTP window until two after it, and its labels."""
    labels = read_labels(folder / "session2.labels.csv")
    window = next(rule for rule in labels if rule.attack == "Slow HTTP")
    with gzip.open(folder / "session2.pcap.gz") as stream:
        capture = stream.read()
    found = []
    for packet in read_packets(io.BytesIO(capture), PacketStats()):
        if window.start_us - SECOND <= packet.time_us <= window.end_us + 2 * SECOND:
            found.append(packet)
    return found, labels, window


def flood(window, rate):
    """Forged UDP datagrams, each of a source and a port of its own, from one MAC to one host of the home."""
    template = packets((0, datagram("172.16.0.1", 1, "10.20.30.1", 9, EVE_MAC, BOB_MAC)))[0]
    count = int((window.end_us - window.start_us) / SECOND * rate)
    for n in range(count):
        source = struct.pack("!I", 0xAC100000 + n % 65_536)
        time_us = int(window.start_us) + n * SECOND // rate
        yield template._replace(time_us=time_us, src=source, src_port=1024 + n % 60_000)


def test_6000_forged_flows_a_second_leave_the_flows_of_slow_http_as_they_are():
    home, labels, window = slow_http(TESTBED)

    def slow(stream, max_flows):
        meter, flows = Meter(max_flows=max_flows), []
        for packet in stream:
            meter.add(packet)
            if meter.ended:
                flows += [flow for flow in meter.take() if flow.src_hw != EVE_MAC]
                meter.take_unanswered()
        meter.close_all()
        flows = [flow for flow in flows + meter.take() if flow.src_hw != EVE_MAC]
        attacks = [flow for flow in flows if label_flow(labels, flow) == "Slow HTTP"]
        return {(flow.key, flow.first_us): (*flow.netflow(), flow.last_us) for flow in attacks}, meter.evicted

    alone, nobody = slow(home, 20_000)
    merged = heapq.merge(home, flood(window, 6000), key=lambda packet: packet.time_us)
    flooded, evictions = slow(merged, 4_000)
    assert nobody == 0 and evictions > 100_000
    assert len(alone) >= 150
    intact = sum(flooded.get(key) == features for key, features in alone.items())
    print(f"{intact} of {len(alone)} intact, {evictions:,} evicted")
    assert intact >= 0.955 * len(alone)  # 170 of 178
