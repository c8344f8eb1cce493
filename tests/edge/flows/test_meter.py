"""The meter on hand-built packets: every expected number can be worked out on paper."""

import io
import tracemalloc
from ipaddress import ip_address
from statistics import stdev

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
    arp,
    ethernet,
    icmp,
    ipv4,
    pcap,
    tcp,
    udp,
)
from tlids_edge.capture.packets import PacketStats, read_packets
from tlids_edge.flows.meter import CICFLOW_FEATURES, DIALECTS, MAX_NOTES, MAX_RESETS, NETFLOW_FEATURES, Meter

pytestmark = pytest.mark.usefixtures("each_meter")

SYN_ACK, FIN_ACK = SYN | ACK, FIN | ACK


def link(packet):
    """The frame of an IP packet, from Bob's MAC address what is from Bob."""
    macs = {"src": BOB_MAC, "dst": ALICE_MAC} if packet[12:16] == ip_address(BOB).packed else {}
    return ethernet(packet, **macs)


def packets(*frames):
    """Decode (seconds since START, IP packet) pairs."""
    capture = pcap(*((START + round(seconds * SECOND), link(frame)) for seconds, frame in frames))
    return list(read_packets(io.BytesIO(capture), PacketStats()))


def there(flags=ACK, payload=b"", port=40000, **fields):
    return ipv4(tcp(port, 80, flags, payload, **fields), src=ALICE, dst=BOB)


def back(flags=ACK, payload=b"", port=40000, **fields):
    return ipv4(tcp(80, port, flags, payload, **fields), src=BOB, dst=ALICE)


def metered(*frames, **settings):
    meter = Meter(**settings)
    for packet in packets(*frames):
        meter.add(packet)
    meter.close_all()
    return meter.take()


def reasons(flows):
    return [flow.end_reason for flow in flows]


# ---- features

CONVERSATION = (
    (0.000000, there(SYN, window=64240)),
    (0.000400, back(SYN_ACK, window=65535)),
    (0.000500, there(ACK, window=502)),
    (0.000600, there(PSH | ACK, b"G" * 100)),
    (0.001000, back(ACK)),
    (0.003000, back(PSH | ACK, b"H" * 300)),
    (0.003500, back(PSH | ACK, b"I" * 60)),
    (0.004000, there(ACK)),
)


def test_the_nine_netflow_features_of_a_conversation():
    (flow,) = metered(*CONVERSATION)
    # there: 4 packets of 40 bytes of headers and 100 of payload; back: 4 of 40 and 360; SYN | ACK | PSH = 2 + 16 + 8
    expected = (40000, 80, 6, 26, 0.0, 260, 520, 4, 4)
    assert dict(zip(NETFLOW_FEATURES, flow.netflow(), strict=True)) == dict(
        zip(NETFLOW_FEATURES, expected, strict=True)
    )


def test_the_nine_cicflowmeter_features_of_a_conversation():
    (flow,) = metered(*CONVERSATION, family="cicflow")
    # back at 400, 1000, 3000, 3500 microseconds: gaps 600, 2000, 500
    expected = {
        "Bwd_Pkt_Len_Std": pytest.approx(stdev([0, 0, 300, 60]), rel=1e-15),
        "Bwd_IAT_Min": 500,
        "Init_Fwd_Win_Byts": 64240,
        "Bwd_IAT_Mean": pytest.approx(3100 / 3, rel=1e-15),
        "TotLen_Bwd_Pkts": 360,
        "Bwd_IAT_Tot": 3100,
        "Subflow_Fwd_Byts": 100,
        "Dst_Port": 80,
        "Src_Port": 40000,
    }
    assert dict(zip(CICFLOW_FEATURES, flow.cicflow(), strict=True)) == expected


@pytest.mark.parametrize(
    ("dialect", "window", "subflow"),
    [
        ("cse-cic-ids2018", 64240, 100),
        ("constant-window", -1, 100),
        ("cicflowmeter-2020", 64240, 12),
    ],  # 100 // 8
)
def test_dialects_differ_in_the_initial_window_and_the_subflow_bytes_alone(dialect, window, subflow):
    (flow,) = metered(*CONVERSATION, family="cicflow")
    features = dict(zip(CICFLOW_FEATURES, flow.cicflow(dialect), strict=True))
    assert (features["Init_Fwd_Win_Byts"], features["Subflow_Fwd_Byts"]) == (window, subflow)
    (usual,) = {flow.cicflow(name)[:2] + flow.cicflow(name)[3:6] + flow.cicflow(name)[7:] for name in DIALECTS}
    assert usual == flow.cicflow()[:2] + flow.cicflow()[3:6] + flow.cicflow()[7:]


@pytest.mark.parametrize(("dialect", "window"), [("cse-cic-ids2018", -1), ("cicflowmeter-2020", 0)])
def test_without_tcp_there_is_no_window_and_each_dialect_says_so_in_its_way(dialect, window):
    (flow,) = metered((0, ipv4(udp(payload=b"query"), 17)), family="cicflow")
    assert flow.cicflow(dialect) == (0.0, 0, window, 0.0, 0, 0, 5, 53, 40000)


def test_one_backward_packet_has_neither_gap_nor_deviation():
    (flow,) = metered((0, there(SYN)), (1, back(SYN_ACK)), family="cicflow")
    assert flow.cicflow()[:2] == (0.0, 0) and flow.cicflow()[3:6] == (0.0, 0, 0)


def test_deviation_is_exact_where_naive_floating_point_is_not():
    sizes = [1400] * 500 + [1401]
    frames = [(0, there())] + [(index / 1000, back(ACK, bytes(size))) for index, size in enumerate(sizes)]
    (flow,) = metered(*frames, family="cicflow")
    assert flow.cicflow()[0] == pytest.approx(stdev(sizes), rel=1e-14)


def test_both_directions_are_one_flow_whose_source_sent_first():
    (flow,) = metered((0, back(SYN)), (1, there(SYN_ACK)))
    assert (flow.src, flow.src_port, flow.dst, flow.dst_port) == (BOB, 80, ALICE, 40000)
    assert (flow.in_packets, flow.out_packets) == (1, 1)


def test_times_duration_and_macs_are_those_of_the_packets():
    (flow,) = metered((0, there()), (1.2345, back()))
    assert (flow.first_us, flow.last_us, flow.duration_ms) == (START, START + 1_234_500, 1234)
    assert (flow.src_mac, flow.dst_mac) == ("02:00:00:00:00:01", "02:00:00:00:00:02")


def test_an_echo_and_its_reply_are_one_flow_with_ports_zero():
    (flow,) = metered((0, ipv4(icmp(8), 1)), (0.1, ipv4(icmp(0), 1, src=BOB, dst=ALICE)))
    assert flow.netflow() == (0, 0, 1, 0, 0.0, 28, 28, 1, 1)


def test_a_packet_from_an_address_to_itself_is_forward():
    (flow,) = metered((0, ipv4(udp(5, 5), 17, src=ALICE, dst=ALICE)), (1, ipv4(udp(5, 5), 17, src=ALICE, dst=ALICE)))
    assert (flow.in_packets, flow.out_packets) == (2, 0)


def test_same_ports_of_another_protocol_are_another_flow():
    assert len(metered((0, ipv4(udp(1, 2), 17)), (0, ipv4(tcp(1, 2), 6)))) == 2


def test_arp_frames_are_not_flows():
    meter = Meter()
    for packet in read_packets(io.BytesIO(pcap(ethernet(arp(), 0x0806))), PacketStats()):
        meter.add(packet)
    assert len(meter) == 0


# ---- endings


def test_silence_longer_than_the_idle_timeout_ends_a_flow_and_its_exact_length_does_not():
    assert reasons(metered((0, there()), (15, there()))) == ["shutdown"]
    assert reasons(metered((0, there()), (15.000001, there()))) == ["idle", "shutdown"]


def test_a_busy_flow_ends_at_the_active_timeout_and_goes_on_as_another():
    flows = metered(*((second, there(payload=b"x")) for second in range(0, 131, 10)))
    assert reasons(flows) == ["active", "shutdown"]  # 0 to 60 and 70 to 130 seconds
    assert [flow.in_packets for flow in flows] == [7, 7]


def test_another_flows_packet_ends_an_idle_flow():
    meter = Meter()
    for packet in packets((0, there(port=1)), (16, there(port=2))):
        meter.add(packet)
    assert reasons(meter.take()) == ["idle"]


def test_expire_ends_a_silent_flow_without_any_packet():
    meter = Meter()
    meter.add(packets((0, there()))[0])
    meter.expire(START + 15 * SECOND)
    assert meter.take() == []
    meter.expire(START + 15 * SECOND + 1)
    assert reasons(meter.take()) == ["idle"]


def test_the_earlier_deadline_is_the_reason_however_late_one_looks():
    meter = Meter(idle_timeout=50, active_timeout=60)
    for packet in packets((0, there()), (5, there()), (0, there(port=2)), (40, there(port=2))):
        meter.add(packet)
    meter.expire(START + 1000 * SECOND)
    assert {flow.src_port: flow.end_reason for flow in meter.take()} == {40000: "idle", 2: "active"}


FINISHED = ((0, there(FIN_ACK)), (0.1, back(FIN_ACK)), (0.2, there(ACK)))


def test_two_fins_end_a_flow_and_the_last_acknowledgement_belongs_to_it():
    (flow,) = metered(*FINISHED)
    assert (flow.end_reason, flow.in_packets, flow.out_packets) == ("fin", 2, 1)


def test_one_fin_alone_does_not_end_a_flow():
    assert reasons(metered((0, there(FIN_ACK)), (0.1, back(ACK, b"rest")), (5, back(ACK, b"more")))) == ["shutdown"]


def test_a_repeated_fin_of_one_side_is_not_the_fin_of_the_other():
    assert reasons(metered((0, there(FIN_ACK)), (0.5, there(FIN_ACK)), (5, back(ACK)))) == ["shutdown"]


def test_a_finished_flow_is_handed_over_one_second_later():
    meter = Meter()
    for packet in packets(*FINISHED):
        meter.add(packet)
    meter.expire(START + 1_100_000)
    assert meter.take() == []
    meter.expire(START + 1_100_001)
    assert reasons(meter.take()) == ["fin"]


def test_a_reset_ends_a_flow_and_resets_that_answer_packets_in_flight_belong_to_it():
    (flow,) = metered((0, there(SYN)), (0.1, back(RST | ACK)), (0.2, there(RST)))
    assert (flow.end_reason, flow.in_packets, flow.out_packets) == ("rst", 2, 1)


def test_a_new_syn_right_after_the_end_opens_a_new_flow():
    flows = metered(*FINISHED, (0.3, there(SYN)), (0.4, back(SYN_ACK)))
    assert [(flow.end_reason, flow.in_packets, flow.out_packets) for flow in flows] == [
        ("fin", 2, 1),
        ("shutdown", 1, 1),
    ]


def test_a_late_syn_ack_after_the_end_belongs_to_the_ended_flow():
    (flow,) = metered((0, there(SYN)), (0.1, there(RST)), (0.2, back(SYN_ACK)))
    assert (flow.end_reason, flow.in_packets, flow.out_packets) == ("rst", 2, 1)


def test_a_new_syn_from_the_other_side_makes_it_the_source():
    flows = metered(*FINISHED, (0.3, back(SYN)))
    assert (flows[1].src, flows[1].in_packets) == (BOB, 1)


def test_a_full_table_gives_up_the_flow_that_was_silent_longest():
    meter = Meter(max_flows=2)
    for packet in packets((0, there(port=1)), (1, there(port=2)), (2, back(port=1)), (3, there(port=3))):
        meter.add(packet)
    assert [(flow.src_port, flow.end_reason) for flow in meter.take()] == [(2, "table-full")]
    assert (len(meter), meter.evicted, meter.opened) == (2, 1, 3)


def test_counters_tell_every_flow_opened_and_its_end():
    meter = Meter(max_flows=3)
    openings = [(index, there(port=1000 + index)) for index in range(10)]
    for packet in packets(*openings, *((23.5, frame) for _, frame in FINISHED)):
        meter.add(packet)
    meter.close_all()
    assert meter.opened == 11 == sum(meter.closed.values()) == len(meter.take())
    assert meter.closed == {"table-full": 7, "idle": 2, "shutdown": 1, "fin": 1}


def test_taken_flows_are_not_handed_over_again():
    meter = Meter()
    meter.add(packets((0, there()))[0])
    meter.close_all("shutdown")
    assert len(meter.take()) == 1
    assert meter.take() == []


# ---- clocks


def test_small_disorder_neither_splits_a_flow_nor_gives_a_negative_time():
    (flow,) = metered((1, there()), (1.5, back()), (1.2, back()), (0.5, back()), (1.6, back()), family="both")
    assert (flow.in_packets, flow.out_packets, flow.duration_ms) == (1, 4, 600)
    assert flow.cicflow()[1] == 0 and flow.cicflow()[5] == 100_000


def test_a_clock_set_back_by_an_hour_ends_the_open_flows_and_metering_goes_on():
    flows = metered((7200, there()), (3600, there()), (3601, back()), (3602, there()))
    assert [(flow.end_reason, flow.in_packets + flow.out_packets) for flow in flows] == [
        ("idle", 1),
        ("shutdown", 3),
    ]


def test_a_clock_set_forward_by_years_ends_the_open_flows_and_metering_goes_on():
    flows = metered((0, there()), (10**9, there()), (10**9 + 1, back()))
    assert [(flow.end_reason, flow.in_packets + flow.out_packets) for flow in flows] == [
        ("idle", 1),
        ("shutdown", 2),
    ]


def test_one_packet_from_the_far_future_costs_two_splits_and_no_more():
    frames = (
        [(second, there()) for second in range(10)]
        + [(10**9, there())]
        + [(second, there()) for second in range(10, 20)]
    )
    assert [flow.in_packets for flow in metered(*frames)] == [10, 1, 10]


def test_what_a_flow_holds_does_not_depend_on_when_expire_is_called():
    frames = [(second * 0.7 + port * 0.01, there(port=port)) for second in range(200) for port in (1, 2 + second // 30)]
    frames.sort(key=lambda frame: frame[0])
    replayed = metered(*frames)
    live = Meter()
    for packet in packets(*frames):
        live.expire(packet.time_us - 1)  # the wall clock is always a little behind the next packet
        live.add(packet)
    live.close_all()
    row = [(flow.netflow(), flow.first_us, flow.last_us, flow.end_reason) for flow in replayed]
    assert sorted(row) == sorted((flow.netflow(), flow.first_us, flow.last_us, flow.end_reason) for flow in live.take())


# ---- a SYN flood


def syn_flood(count):
    template = packets((0, there(SYN)))[0]
    for index in range(count):
        source = (0x0B000000 + index).to_bytes(4, "big")
        yield template._replace(time_us=START + index * 5, src=source, src_port=1024 + index % 60000)


def test_a_syn_flood_of_200_000_sources_never_opens_more_flows_than_the_cap_and_spares_a_live_connection():
    meter = Meter(max_flows=1000)
    legitimate = packets((0, there(SYN)))[0]
    widest = handed_over = 0
    for index, packet in enumerate(syn_flood(200_000)):
        if index % 500 == 0:
            meter.add(legitimate._replace(time_us=packet.time_us))
            handed_over += len(meter.take())
        meter.add(packet)
        widest = max(widest, len(meter))
    assert widest == 1000
    assert meter.evicted == 200_001 - 1000
    meter.close_all()
    survivors = meter.take()
    assert handed_over + len(survivors) == 200_001
    assert max(flow.in_packets for flow in survivors) == 400  # all its packets in one flow: it was never evicted


@pytest.mark.parametrize("each_meter", ["python"], indirect=True)  # whose structures can be seen
def test_every_structure_of_the_meter_is_bounded():
    meter = Meter(max_flows=100)
    for packet in syn_flood(5000):
        meter.add(packet._replace(tcp_flags=RST))
        meter.take()
    sized = {name: len(value) for name, value in vars(meter).items() if hasattr(value, "__len__")}
    assert sized.pop("_resets") == MAX_RESETS  # bounded by a number of its own, whatever the table's
    assert len(meter.unanswered) == 5000 <= meter.unanswered.maxlen == 100 + MAX_NOTES
    assert sized.pop("_by_key") == 2 * 100  # the keys of both directions
    assert max(size for name, size in sized.items() if name.startswith("_")) <= 100, sized


def test_an_open_flow_costs_less_than_one_and_a_half_kilobytes():
    meter = Meter(family="both", max_flows=20_000)
    tracemalloc.start()
    for packet in syn_flood(20_000):
        meter.add(packet)
    size = tracemalloc.get_traced_memory()[0]
    tracemalloc.stop()
    assert len(meter) == 20_000
    assert size / len(meter) < 1500


# ---- CICFlowMeter's own endings


def test_like_cicflowmeter_the_first_fin_ends_a_flow_and_the_rest_opens_another():
    frames = (0, there(SYN)), (1, back(SYN_ACK)), (2, there(FIN_ACK)), (3, back(FIN_ACK)), (4, there(ACK))
    flows = metered(*frames, family="cicflow", endings="cicflowmeter")
    assert [(flow.src, flow.end_reason, flow.in_packets, flow.out_packets) for flow in flows] == [
        (ALICE, "fin", 2, 1),
        (BOB, "shutdown", 1, 1),
    ]


def test_like_cicflowmeter_a_flow_lasts_120_seconds_however_silent_and_its_successor_keeps_the_direction():
    frames = (0, there()), (119, there()), (120, there()), (120.5, back(payload=b"abc")), (121, there())
    flows = metered(*frames, family="cicflow", endings="cicflowmeter")
    assert [(flow.src, flow.end_reason, flow.in_packets, flow.out_packets) for flow in flows] == [
        (ALICE, "active", 3, 0),
        (ALICE, "shutdown", 1, 1),
    ]


def test_like_cicflowmeter_a_successor_that_begins_backward_has_no_forward_window_and_keeps_its_ends():
    frames = (0, there(window=99)), (1, there()), (130, back(window=77)), (131, there(window=55))
    before, after = metered(*frames, family="cicflow", endings="cicflowmeter")
    assert [flow.cicflow("cicflowmeter-2020")[2] for flow in (before, after)] == [99, 0]
    assert (before.src_mac, before.dst_mac) == (after.src_mac, after.dst_mac)  # a backward one's are turned round


def test_like_cicflowmeter_flows_of_one_packet_are_left_out():
    assert metered((0, there(SYN)), (200, there(SYN)), family="cicflow", endings="cicflowmeter") == []


# ---- settings


@pytest.mark.parametrize(
    "settings",
    [
        {"family": "sflow"},
        {"endings": "never"},
        {"idle_timeout": 0},
        {"active_timeout": -1},
        {"max_flows": 0},
        {"idle_timeout": float("nan")},
    ],
)
def test_a_setting_that_makes_no_sense_is_refused(settings):
    with pytest.raises(ValueError, match="expected .*found"):
        Meter(**settings)
