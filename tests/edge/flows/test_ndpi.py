"""Application ids: equal to those of Debian's ndpiReader, and freed when they are known."""

import io
import shutil

import pytest
from build_pcap import ACK, ALICE, BOB, PSH, SECOND, START, SYN, ethernet, ipv4, pcap, tcp, udp
from ndpi_oracle import application_ids, flow_tuple
from shared_captures import captures
from tlids_edge.capture.packets import PacketStats, read_packets
from tlids_edge.flows import ndpi as l7
from tlids_edge.flows.meter import WITHOUT_APPLICATION, Meter
from tlids_edge.flows.ndpi import Ndpi, NdpiUnavailable, application_id, open_ndpi

pytestmark = pytest.mark.usefixtures("each_meter")


@pytest.fixture(scope="module")
def ndpi():
    try:
        module = Ndpi()
    except NdpiUnavailable as reason:
        pytest.skip(str(reason))
    yield module
    module.close()


def metered(stream, ndpi):
    meter = Meter(idle_timeout=1e9, active_timeout=1e9, l7=ndpi)  # ndpiReader never ends a flow
    for packet in read_packets(stream, PacketStats()):
        meter.add(packet)
    meter.close_all()
    return meter.take()


def of_frames(ndpi, *frames):
    (flow,) = metered(
        io.BytesIO(pcap(*((START + index * SECOND, ethernet(f)) for index, f in enumerate(frames)))), ndpi
    )
    return flow.l7


DNS_QUERY = bytes.fromhex("123401000001000000000000") + b"\x03www\x07example\x03com\x00\x00\x01\x00\x01"


@pytest.mark.parametrize(("master", "app", "number"), [
    (0, 0, 0.0), (0, 7, 7.0), (7, 0, 7.0), (5, 5, 5.0), (5, 126, 5.126), (91, 212, 91.212), (5, 240, 5.24),
])  # fmt: skip
def test_an_id_is_printed_as_the_datasets_print_it(master, app, number):
    assert application_id(master, app) == number


def test_a_http_request_is_7(ndpi):
    handshake = (
        ipv4(tcp(40000, 8088, SYN)),
        ipv4(tcp(8088, 40000, SYN | ACK), src=BOB, dst=ALICE),
        ipv4(tcp(40000, 8088)),
    )
    request = ipv4(tcp(40000, 8088, PSH | ACK, b"GET / HTTP/1.1\r\nHost: lamp.example\r\n\r\n"))
    assert of_frames(ndpi, *handshake, request) == 7.0


def test_a_dns_query_is_5(ndpi):
    assert of_frames(ndpi, ipv4(udp(40000, 53, DNS_QUERY), 17)) == 5.0


def test_a_lone_syn_is_guessed_from_its_port_as_in_the_datasets(ndpi):
    assert of_frames(ndpi, ipv4(tcp(40000, 80, SYN))) == 7.0


def test_bytes_that_mean_nothing_on_a_port_that_means_nothing_are_0(ndpi):
    assert of_frames(ndpi, *(ipv4(udp(40000, 40001, b"\xfe\xdc" * 20), 17) for _ in range(30))) == 0.0


def test_a_ping_is_0_as_in_the_datasets_although_ndpi_has_an_id_for_icmp(ndpi):
    assert of_frames(ndpi, ipv4(b"\x08\x00\xf7\xff" + bytes(4), 1)) == 0.0


def test_without_ndpi_every_id_is_0():
    assert of_frames(None, ipv4(tcp(40000, 80, SYN))) == 0.0


def test_an_absent_library_is_said_once_and_leaves_none(capsys, monkeypatch):
    monkeypatch.setattr(l7, "LIBRARY", "libndpi-that-is-not-there.so")
    assert open_ndpi() is None
    message = capsys.readouterr().err
    assert message.count("\n") == 1 and "apt install libndpi4.2" in message and "L7_PROTO is 0" in message


def test_another_release_is_refused_before_any_of_its_functions_is_called(ndpi, monkeypatch):
    monkeypatch.setattr(l7, "RELEASE", "5.0")
    with pytest.raises(NdpiUnavailable, match=r"expected nDPI 5\.0, found 4\.2"):
        Ndpi()


@pytest.mark.parametrize("each_meter", ["python"], indirect=True)  # whose dissections can be seen
def test_dissection_ends_with_the_answer_and_at_the_latest_after_25_datagrams(ndpi):
    meter = Meter(l7=ndpi)
    frames = [ethernet(ipv4(udp(40000, 40001, b"\xfe\xdc" * 20), 17))] * 30
    held = []
    for packet in read_packets(
        io.BytesIO(pcap(*((START + i, frame) for i, frame in enumerate(frames)))), PacketStats()
    ):
        meter.add(packet)
        held.append(next(iter(meter._by_silence)).dissection is not None)
    assert held == [True] * 24 + [False] * 6


def resident_bytes():
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * 4096


def test_what_ndpi_holds_for_a_flow_is_freed_with_the_flow(ndpi):
    template = next(read_packets(io.BytesIO(pcap(ethernet(ipv4(tcp(40000, 443, SYN))))), PacketStats()))
    meter = Meter(max_flows=100, l7=ndpi)

    def flood(count):
        for index in range(count):
            meter.add(template._replace(src=index.to_bytes(4, "big"), time_us=START + index))
            meter.take()
            meter.take_unanswered()

    flood(5000)
    before = resident_bytes()
    flood(50_000)  # 50,000 flow structures are 34 MB
    assert resident_bytes() - before < 8 << 20


# ---- ndpiReader

# Flows that ndpiReader reports and the meter does not, with the reason.
TUNNEL = "the meter counts the tunnel (protocol 41) as the flow, ndpiReader the datagrams inside it"
BROKEN = "the TCP header contradicts its own length: the meter counts the packet as malformed"
CUT = "the record claims more bytes than a capture can have; the meter ends there, libpcap shortens the record"
RESET = "a RST whose checksum is wrong: the meter leaves it out"
EXPLAINED = {
    ("syslog.pcap", 17, 17.0): TUNNEL,
    ("fuzz-2006-09-29-28586.pcap", 6, 7.0): BROKEN,
    ("fuzz-2021-10-13.pcap", 6, 91.0): CUT,
    ("http_guessed_host_and_guessed.pcapng", 6, 2.0): RESET,
}


@pytest.fixture(scope="module")
def ndpireader(shared, tmp_path_factory):
    """Capture -> what ndpiReader says of it; both meters are compared with one run."""
    if not shutil.which("ndpiReader"):
        pytest.skip("ndpiReader is not installed: apt install libndpi-bin")
    folder = tmp_path_factory.mktemp("ndpireader")
    found = [parameter.values[0] for parameter in captures("conformance/ndpi")]
    return {capture: application_ids(capture, folder) for capture in found}


def test_ids_equal_ndpireaders_on_99_percent_of_the_flows_that_both_have_and_the_rest_is_explained(ndpi, ndpireader):
    flows, different = 0, {}
    for capture, (theirs, seen) in ndpireader.items():
        module = Ndpi()  # a fresh one for each capture, as ndpiReader has: nDPI remembers hosts between flows
        with open(capture, "rb") as stream:
            found = metered(stream, module)
        module.close()
        ours = {}
        for flow in found:
            key = flow_tuple(flow.protocol, flow.src, flow.src_port, flow.dst, flow.dst_port)
            ours.setdefault(key, flow.l7)
        flows += seen
        # ndpiReader lists known flows only, so a flow it does not list must be unknown to us too
        for key in theirs.keys() | ours.keys():
            if key[0] in WITHOUT_APPLICATION:  # 0 as in the datasets, whatever nDPI says
                assert ours.get(key, 0.0) == 0.0
            elif theirs.get(key, 0.0) != ours.get(key, 0.0):
                different[capture.name, key[0], theirs.get(key)] = ours.get(key)
    assert flows > 290
    assert different.keys() == EXPLAINED.keys()
    both_have = [ours for ours in different.values() if ours is not None]
    assert len(both_have) <= flows * 0.01
