"""The compiled meter gives the flows of Python's meter, in the same order, with the same notes and counters."""

import io
import random

import pytest
from build_pcap import ACK, FIN, RST, START, SYN, ethernet, ipv4, pcap, tcp
from equal_meters import SETTINGS, difference
from shared_captures import captures
from tlids_edge.capture.packets import PacketStats, read_packets
from tlids_edge.errors import InputError
from tlids_edge.flows.ndpi import Ndpi, NdpiUnavailable

pytestmark = pytest.mark.usefixtures("compiled")
CAPTURES = captures("conformance")


def packets_of(path):
    with open(path, "rb") as stream:
        try:
            return list(read_packets(stream, PacketStats()))
        except InputError as reason:
            pytest.skip(str(reason))


@pytest.fixture(scope="module")
def two_ndpis():
    try:
        pair = Ndpi(), Ndpi()
    except NdpiUnavailable as reason:
        pytest.skip(str(reason))
    yield pair
    for each in pair:
        each.close()


@pytest.mark.parametrize("capture", CAPTURES)
def test_flows_are_equal_whatever_the_settings(capture):
    packets = packets_of(capture)
    for settings in SETTINGS:
        assert difference(packets, settings) == "", settings


@pytest.mark.parametrize("capture", CAPTURES)
def test_applications_are_equal(capture, two_ndpis):
    assert difference(packets_of(capture), {}, two_ndpis) == ""


def encounters(seed, count=2000):
    """Packets between few hosts, ports and VLANs with any flags, at any pace: every rule of the meter is met."""
    chance = random.Random(seed)
    frame = ethernet(ipv4(tcp(1, 80)))
    template = next(read_packets(io.BytesIO(pcap((START, frame))), PacketStats()))
    hosts = [bytes([10, 0, 0, number]) for number in range(1, 4)], [bytes(15) + b"1", bytes(15) + b"2"]
    macs = [bytes([2, 0, 0, 0, 0, number]) for number in (1, 2, 3)] + [b""]
    flags = (SYN, SYN | ACK, ACK, ACK, RST, FIN | ACK, FIN | ACK, SYN | RST, RST | ACK, 0)
    protocols, vlans = (6, 6, 6, 17, 1), (0, 0, 1, 2, 2 * 4096 + 1)
    now = START
    for _ in range(count):
        now += chance.choice((0, 10, 1000, 300_000, 1_100_000)) * (chance.random() < 0.3)
        now += chance.choice((16_000_000, -400, -200_000, -30_000_000, 70_000_000)) * (chance.random() < 0.01)
        protocol = chance.choice(protocols)
        ports = (0, 0) if protocol == 1 else (chance.choice((1, 2, 80)), chance.choice((1, 80)))
        version = chance.choice(hosts)
        yield template._replace(
            time_us=now, src=chance.choice(version), dst=chance.choice(version), src_port=ports[0], dst_port=ports[1],
            protocol=protocol, tcp_flags=chance.choice(flags) if protocol == 6 else 0, tcp_window=chance.randrange(9),
            length=chance.randrange(40, 1500), payload_length=chance.randrange(1400), src_mac=chance.choice(macs),
            dst_mac=chance.choice(macs), vlan=chance.choice(vlans) if seed % 2 else 0,
        )  # fmt: skip


@pytest.mark.parametrize("seed", range(20))
def test_flows_are_equal_whatever_packets_meet(seed):
    chance = random.Random(seed)
    settings = {
        "family": chance.choice(("netflow", "cicflow", "both")),
        "max_flows": chance.choice((1, 2, 3, 5, 20, 100, 20_000)),
        "idle_timeout": chance.choice((0.05, 0.9, 15.0, 1e6)),
        "active_timeout": chance.choice((0.05, 2.0, 60.0)),
    }
    assert difference(encounters(seed), settings) == "", settings


def test_an_empty_capture_has_no_flows():
    assert difference(read_packets(io.BytesIO(pcap()), PacketStats()), {}) == ""
