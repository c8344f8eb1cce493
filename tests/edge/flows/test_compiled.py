"""The compiled meter gives the flows of Python's meter, in the same order, with the same notes and counters."""

import io

import pytest
from build_pcap import pcap
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


def test_an_empty_capture_has_no_flows():
    assert difference(read_packets(io.BytesIO(pcap()), PacketStats()), {}) == ""
