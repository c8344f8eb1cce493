"""The meter against meters and dissectors that share no code with it, on real captures."""

import csv
import shutil
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime

import pytest
from shared_captures import captures
from tlids_edge.capture.packets import PacketStats, read_packets
from tlids_edge.flows.meter import ACK, CICFLOW_FEATURES, RST, SYN, Meter
from tshark_oracle import conversations

pytestmark = pytest.mark.usefixtures("each_meter")

NDPI_CAPTURES = captures("conformance/ndpi")


def metered(capture, **settings):
    stats, meter = PacketStats(), Meter(**settings)
    with open(capture, "rb") as stream:
        for packet in read_packets(stream, stats):
            meter.add(packet)
    meter.close_all()
    return meter.take(), stats


def totals(flows):
    """Packets by direction as tshark names it, and IP bytes by pair of addresses."""
    frames, size = Counter(), Counter()
    for flow in flows:
        one, other = (flow.src, flow.src_port), (flow.dst, flow.dst_port)
        kind = {6: "TCP", 17: "UDP"}.get(flow.protocol) if flow.src_port or flow.dst_port else None
        for (src, src_port), (dst, dst_port), packets, octets in (
            (one, other, flow.in_packets, flow.in_bytes),
            (other, one, flow.out_packets, flow.out_bytes),
        ):
            frames["IP", src, 0, dst, 0] += packets
            size[src, dst] += octets
            if kind:
                frames[kind, src, src_port, dst, dst_port] += packets
    return +frames, +size


# ---- tshark

# Every capture on which tshark counts otherwise, why, and by how many packets a direction (tshark's less ours).
INNER = (
    "tshark also counts the packets inside a tunnel; the meter counts the tunnel's, which is what the network carries"
)
BROKEN = (
    "TCP headers that contradict their own length: tshark counts their addresses, the meter counts them as malformed"
)
RESET = "a RST whose checksum tshark calls bad (tcp.checksum.status 0): no host takes it, so the meter leaves it out"
DIFFERENCES = {
    "http_guessed_host_and_guessed.pcapng": (
        RESET,
        {("TCP", "170.33.13.5", 110, "192.168.0.1", 179): 1, ("IP", "170.33.13.5", 0, "192.168.0.1", 0): 1},
    ),
    "6in6tunnel.pcap": (
        INNER,
        {("UDP", "dead::beef", 30000, "cafe::babe", 13000): 2, ("IP", "dead::beef", 0, "cafe::babe", 0): 2},
    ),
    "syslog.pcap": (
        INNER,
        {
            ("UDP", "2001:470:6c:a1::2", 38159, "2001:470:765b::b15:22", 514): 6,
            ("IP", "2001:470:6c:a1::2", 0, "2001:470:765b::b15:22", 0): 6,
        },
    ),
    "tls_invalid_reads.pcap": (
        INNER,
        {
            ("TCP", "10.191.139.17", 58552, "54.221.224.45", 443): 2,
            ("TCP", "54.221.224.45", 443, "10.191.139.17", 58552): 1,
            ("IP", "10.191.139.17", 0, "54.221.224.45", 0): 2,
            ("IP", "54.221.224.45", 0, "10.191.139.17", 0): 1,
        },
    ),
    "fuzz-2006-09-29-28586.pcap": (
        BROKEN,
        {
            ("IP", "172.20.3.5", 0, "172.20.3.13", 0): 1,
            ("IP", "172.20.3.13", 0, "172.20.3.5", 0): 1,
            ("IP", "170.170.170.170", 0, "170.170.170.170", 0): 1,
            ("TCP", "172.20.3.13", 80, "172.20.68.5", 2604): 1,  # for this one the reason is RESET
            ("IP", "172.20.3.13", 0, "172.20.68.5", 0): 1,
        },
    ),
}


@pytest.fixture(scope="session")
def tshark():
    """Ask tshark about a capture; it starts on all of them, two at a time, when the first is asked for."""
    if not shutil.which("tshark"):
        pytest.skip("tshark is not installed: apt install tshark")
    with ThreadPoolExecutor(2) as pool:
        answers = {parameter.values[0]: pool.submit(conversations, parameter.values[0]) for parameter in NDPI_CAPTURES}
        yield lambda capture: answers[capture].result()


@pytest.mark.parametrize("capture", NDPI_CAPTURES)
def test_packets_and_ip_bytes_of_every_conversation_equal_tsharks(capture, tshark):
    frames, size = tshark(capture)
    flows, _ = metered(capture)
    our_frames, our_size = totals(flows)
    reason, allowed = DIFFERENCES.get(capture.name, ("", {}))
    assert frames - our_frames == Counter(allowed), reason
    assert our_frames - frames == Counter()
    if reason not in (BROKEN, RESET):  # the bytes are compared outermost address by outermost address, so tunnels agree
        assert our_size == size


def test_tshark_gave_the_comparison_something_to_compare(tshark):
    answered = [tshark(parameter.values[0])[0] for parameter in NDPI_CAPTURES]
    assert sum(map(len, answered)) > 900
    assert sum(map(bool, answered)) >= len(answered) - 2  # two fuzzed files hold no whole packet for tshark


# ---- ipfixprobe


def microseconds(text):
    return round(datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp() * 1e6)


def test_every_flow_of_ipfixprobes_mixed_capture_is_equal(shared):
    folder = shared / "conformance/ipfixprobe"
    expected = []
    for line in (folder / "mixed.basic.expected").read_text().splitlines()[:-1]:  # the schema is the last line
        row = line.split(",")
        dst, src, first, last, dst_mac, src_mac = row[0], row[1], *row[5:9]
        octets, back_octets, packets, back_packets, dst_port, src_port = map(int, (*row[2:4], *row[9:13]))
        protocol, flags, back_flags = map(int, row[14:17])
        key = (
            src,
            src_port,
            dst,
            dst_port,
            protocol,
            src_mac,
            dst_mac,
            microseconds(first),
            microseconds(last),
        )
        expected.append((*key, flags | back_flags, octets, back_octets, packets, back_packets))
    flows, _ = metered(folder / "mixed.pcap", idle_timeout=65, active_timeout=300)  # ipfixprobe's defaults
    found = [
        (flow.src, flow.src_port, flow.dst, flow.dst_port, flow.protocol, flow.src_mac, flow.dst_mac, flow.first_us,
         flow.last_us, flow.tcp_flags, flow.in_bytes, flow.out_bytes, flow.in_packets, flow.out_packets)
        for flow in flows
    ]  # fmt: skip
    assert len(expected) == 48
    assert sorted(found) == sorted(expected)


# ---- CICFlowMeter


def test_the_nine_features_equal_all_300_rows_of_cicflowmeter(shared):
    folder = shared / "conformance/cicflowmeter"
    flows, _ = metered(folder / "slowloris.pcap", family="cicflow", endings="cicflowmeter")
    with open(folder / "slowloris.pcap_Flow.csv", newline="") as stream:
        rows = list(csv.DictReader(stream))
    # a tuple's two rows are told apart by their order, which is that of their start in both
    expected = sorted((int(row["Src Port"]), -float(row["Flow Duration"]), row) for row in rows)
    found = sorted((flow.src_port, flow.first_us - flow.last_us, flow) for flow in flows)
    assert len(expected) == len(found) == 300
    for (_, _, row), (_, _, flow) in zip(expected, found, strict=True):
        theirs = [float(row[name.replace("_", " ")]) for name in CICFLOW_FEATURES]
        # to the last digit but one: CICFlowMeter adds up the mean gap by gap, and so rounds more often than we do
        assert list(flow.cicflow("cicflowmeter-2020")) == pytest.approx(theirs, rel=1e-15, abs=0)
        assert flow.last_us - flow.first_us == int(row["Flow Duration"])
        assert (flow.in_packets, flow.out_packets) == (int(row["Tot Fwd Pkts"]), int(row["Tot Bwd Pkts"]))


# ---- nfstream


@pytest.mark.parametrize(
    "name",
    ["ipfixprobe/mixed.pcap", "ndpi/443-curl.pcap", "ndpi/kerberos.pcap", "ndpi/lru_ipv6_caches.pcapng"],
)
def test_nfstream_counts_the_same_packets_and_bytes(name, shared):
    nfstream = pytest.importorskip("nfstream", reason="nfstream is an extra of the tests")
    capture = shared / "conformance" / name
    if not capture.exists():
        pytest.skip(f"no {capture}")
    theirs = Counter()
    streamer = nfstream.NFStreamer(str(capture), accounting_mode=1, n_dissections=0, n_meters=1)  # 1: IP-layer bytes
    for flow in streamer:
        theirs["packets", flow.src_ip, flow.src_port, flow.dst_ip, flow.dst_port] += flow.src2dst_packets
        theirs["packets", flow.dst_ip, flow.dst_port, flow.src_ip, flow.src_port] += flow.dst2src_packets
        theirs["bytes", flow.src_ip, flow.src_port, flow.dst_ip, flow.dst_port] += flow.src2dst_bytes
        theirs["bytes", flow.dst_ip, flow.dst_port, flow.src_ip, flow.src_port] += flow.dst2src_bytes
    ours = Counter()
    for flow in metered(capture)[0]:
        ours["packets", flow.src, flow.src_port, flow.dst, flow.dst_port] += flow.in_packets
        ours["packets", flow.dst, flow.dst_port, flow.src, flow.src_port] += flow.out_packets
        ours["bytes", flow.src, flow.src_port, flow.dst, flow.dst_port] += flow.in_bytes
        ours["bytes", flow.dst, flow.dst_port, flow.src, flow.src_port] += flow.out_bytes
    assert +ours == +theirs


# ---- real captures


@pytest.mark.parametrize("capture", captures("pcap"))
def test_every_real_capture_is_metered_without_a_fault(capture):
    flows, stats = metered(capture, family="both")
    assert stats.packets > 0 and stats.malformed == {}
    assert sum(flow.in_packets + flow.out_packets for flow in flows) > 0
    for flow in flows:
        assert flow.first_us <= flow.last_us and flow.in_packets + flow.out_packets >= 1
        assert flow.in_packets >= 1 or flow.protocol == 6 and flow.tcp_flags & (SYN | RST | ACK)  # turned round
        assert all(
            value >= (-1 if name == "Init_Fwd_Win_Byts" else 0)
            for name, value in zip(CICFLOW_FEATURES, flow.cicflow(), strict=True)
        )
