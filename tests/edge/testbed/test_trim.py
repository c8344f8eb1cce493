"""trim.py: a trimmed capture is smaller, and metered it is the same."""

import gzip
import os
import random
from io import BytesIO
from pathlib import Path

import build_pcap as build
import pytest
from testbed.trim import WHOLE_PACKETS, trim
from tlids_edge.capture.packets import PacketStats, read_packets
from tlids_edge.capture.pcap import read_records
from tlids_edge.errors import InputError
from tlids_edge.flows.meter import Meter
from tlids_edge.flows.ndpi import Ndpi, NdpiUnavailable

REPOSITORY = Path(__file__).resolve().parents[3]
SHARED = Path(os.environ.get("TLIDS_SHARED", REPOSITORY.parent / "shared"))
SUFFIXES = (".pcap", ".pcapng", ".cap")


def real_captures() -> list:
    found = sorted(path for path in (SHARED / "pcap").rglob("*") if path.suffix in SUFFIXES)
    if not found:
        return [pytest.param(None, id="none", marks=pytest.mark.skip(reason=f"no captures in {SHARED}/pcap"))]
    return [pytest.param(path, id=path.name) for path in found]


@pytest.fixture(scope="module")
def ndpi():
    try:
        library = Ndpi()
    except NdpiUnavailable as reason:
        pytest.skip(f"L7_PROTO cannot be compared: {reason}")
    yield library
    library.close()


def metered(capture: bytes, l7=None) -> list[tuple]:
    """Everything the meter says of each flow: who and when, how it ended, both families' features."""
    meter, flows = Meter("both", l7=l7), []
    for packet in read_packets(BytesIO(capture), PacketStats()):
        meter.add(packet)
        flows += meter.take()
    meter.close_all()
    return [
        (flow.key, flow.first_us, flow.last_us, flow.src_mac, flow.dst_mac, flow.end_reason)
        + flow.netflow() + flow.cicflow()
        for flow in flows + meter.take()
    ]  # fmt: skip


def records(capture: bytes) -> list:
    return list(read_records(BytesIO(capture), PacketStats()))


@pytest.fixture
def trimmed(tmp_path):
    """The bytes of a capture -> those of its trimmed copy, unpacked."""

    def make(capture: bytes) -> bytes:
        (tmp_path / "whole.pcap").write_bytes(capture)
        size = trim(tmp_path / "whole.pcap", tmp_path / "trimmed.pcap.gz")
        packed = (tmp_path / "trimmed.pcap.gz").read_bytes()
        assert size == len(packed)
        assert sorted(path.name for path in tmp_path.iterdir()) == ["trimmed.pcap.gz", "whole.pcap"]
        return gzip.decompress(packed)

    return make


def frame(payload=b"", flags=build.ACK, options=b"") -> bytes:
    return build.ethernet(build.ipv4(build.tcp(payload=payload, flags=flags, options=options)))


@pytest.mark.parametrize("path", real_captures())
def test_a_real_capture_gives_the_same_flows_in_both_families(trimmed, ndpi, path):
    whole = path.read_bytes()
    flows = metered(whole, ndpi)
    assert flows
    assert metered(trimmed(whole), ndpi) == flows


def test_the_live_capture_gives_the_same_flows_and_is_a_fraction_of_its_size(attacked_home, trimmed, ndpi, tmp_path):
    whole = attacked_home.pcap.read_bytes()
    flows = metered(whole, ndpi)
    assert len(flows) > 500
    assert metered(trimmed(whole), ndpi) == flows
    assert (tmp_path / "trimmed.pcap.gz").stat().st_size < len(whole) / 5


def test_the_first_packets_stay_whole_and_later_ones_lose_their_payload(trimmed):
    count = WHOLE_PACKETS + 3
    cut = records(trimmed(build.pcap(*(frame(b"x" * 1000) for _ in range(count)))))
    assert [len(record.frame) for record in cut] == [14 + 40 + 1000] * WHOLE_PACKETS + [14 + 40] * 3
    assert {record.wire_length for record in cut} == {14 + 40 + 1000}


def test_tcp_options_of_later_packets_stay(trimmed):
    cut = records(trimmed(build.pcap(*(frame(b"x" * 9, options=b"\x01" * 12) for _ in range(WHOLE_PACKETS + 1)))))
    assert len(cut[-1].frame) == 14 + 20 + 20 + 12


def test_a_successor_with_the_same_ports_is_kept_whole_anew(trimmed):
    """nDPI starts again with the meter's flow, so the count must too."""
    payload, second = b"y" * 100, build.SECOND
    first = [(build.START + n * 1000, frame(payload)) for n in range(WHOLE_PACKETS + 1)]
    reset = [(build.START + second // 2, frame(flags=build.RST))]
    later = [(build.START + 5 * second + n, frame(payload, build.SYN if n == 0 else build.ACK)) for n in range(2)]
    cut = records(trimmed(build.pcap(*first, *reset, *later)))
    assert [len(record.frame) == 154 for record in cut] == [True] * WHOLE_PACKETS + [False, False, True, True]


def test_arp_and_what_an_icmp_error_quotes_stay(trimmed):
    quoted = build.ipv4(build.udp(4000, 53, b"z" * 200), 17)
    error = build.ethernet(build.ipv4(build.icmp(3, quoted), 1))
    padded_arp = build.ethernet(build.arp(), 0x0806) + bytes(18)
    cut = records(trimmed(build.pcap(frame(), error, padded_arp)))
    assert cut[1].frame == error[: 14 + 20 + 8 + 28]
    assert cut[2].frame == padded_arp[: 14 + 28]
    assert [record.wire_length for record in cut] == [54, len(error), 60]


def test_the_link_type_stays(trimmed):
    raw_ip = 101
    cut = trimmed(build.pcap(build.ipv4(build.tcp()), link_type=raw_ip))
    assert {record.link_type for record in records(cut)} == {raw_ip}


def test_times_stay_to_the_microsecond(trimmed):
    times = [build.START + 999_999, build.START + 1_000_001]
    cut = records(trimmed(build.pcap(*((time, frame()) for time in times))))
    assert [record.time_us for record in cut] == times


def test_the_same_capture_gives_the_same_bytes(tmp_path):
    (tmp_path / "whole.pcap").write_bytes(build.pcap(frame(random.Random(1).randbytes(500)), frame()))
    for name in ("one", "two"):
        trim(tmp_path / "whole.pcap", tmp_path / name)
    assert (tmp_path / "one").read_bytes() == (tmp_path / "two").read_bytes()
    assert (tmp_path / "one").read_bytes()[4:8] == bytes(4)  # gzip's time stamp (RFC 1952)


@pytest.mark.parametrize("content", [b"", b"no capture at all", build.pcap()], ids=["empty", "text", "no packets"])
def test_what_holds_no_packets_is_refused_and_leaves_nothing(tmp_path, content):
    (tmp_path / "whole.pcap").write_bytes(content)
    with pytest.raises(InputError, match="xpected .*found"):
        trim(tmp_path / "whole.pcap", tmp_path / "trimmed.pcap.gz")
    assert [path.name for path in tmp_path.iterdir()] == ["whole.pcap"]


def test_a_capture_that_is_not_there_is_named(tmp_path):
    with pytest.raises(InputError, match="none.pcap .*: No such file"):
        trim(tmp_path / "none.pcap", tmp_path / "trimmed.pcap.gz")
