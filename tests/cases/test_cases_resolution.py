"""Times in another resolution than the capture says."""

import gzip
import struct

import pytest
from build_pcap import SECOND, START, enhanced_packet, interface, option, pcap, section
from case_times import TWO, meter, ng, rows, warning
from timed_captures import day, session, tool, written

# times in another resolution than the capture says


def other_magic(capture: bytes, nanoseconds: bool, order: str) -> bytes:
    return struct.pack(order + "I", 0xA1B23C4D if nanoseconds else 0xA1B2C3D4) + capture[4:]


def uneven(packets):
    """The same with times that are no round numbers."""
    return [(time_us + 123_457, frame) for time_us, frame in packets]


@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("zipped", [False, True])
@pytest.mark.parametrize("packets", [TWO, uneven(TWO), day()], ids=["round", "uneven", "day"])
def test_nanoseconds_under_the_microsecond_magic_are_recognised(order, zipped, packets, tmp_path):
    content = other_magic(pcap(*packets, nanoseconds=True, order=order), False, order)
    (tmp_path / "c.pcap").write_bytes(gzip.compress(content) if zipped else content)
    found, outcome = meter(tmp_path / "c.pcap")
    assert found == rows(written(tmp_path / "right.pcap", packets))
    assert outcome.packets.times.misread == len(packets)
    assert "nanoseconds, though the capture says microseconds" in outcome.packets.times.warning()


def test_nanoseconds_under_the_microsecond_magic_are_recognised_as_editcap_writes_them(tmp_path):
    right = written(tmp_path / "right.pcap", uneven(TWO))
    tool("editcap", "-F", "nsecpcap", right, tmp_path / "ns.pcap")
    assert rows(tmp_path / "ns.pcap") == rows(right)
    (tmp_path / "c.pcap").write_bytes(other_magic((tmp_path / "ns.pcap").read_bytes(), False, "<"))
    assert rows(tmp_path / "c.pcap") == rows(right)


def test_microseconds_under_the_nanosecond_magic_are_recognised(tmp_path):
    packets = uneven(TWO + session(START + 5 * SECOND, 40_002))
    (tmp_path / "c.pcap").write_bytes(other_magic(pcap(*packets), True, "<"))
    found, outcome = meter(tmp_path / "c.pcap")
    assert found == rows(written(tmp_path / "right.pcap", packets))
    assert "microseconds, though the capture says nanoseconds" in outcome.packets.times.warning()


@pytest.mark.parametrize("packets", [TWO, day()], ids=["two", "day"])
def test_nanoseconds_that_are_whole_microseconds_stay_nanoseconds(packets, tmp_path):
    path = written(tmp_path / "c.pcap", packets, nanoseconds=True)
    assert rows(path) == rows(written(tmp_path / "right.pcap", packets)) and warning(path) == ""


def test_one_fraction_that_cannot_be_is_counted_and_changes_no_flow(tmp_path):
    content = bytearray(pcap(*TWO))
    at = 24 + 3 * 16 + sum(len(frame) for _, frame in TWO[:3])
    struct.pack_into("<I", content, at + 4, 1_500_000)
    (tmp_path / "c.pcap").write_bytes(content)
    found, outcome = meter(tmp_path / "c.pcap")
    assert [row[:12] for row in found] == [row[:12] for row in rows(written(tmp_path / "right.pcap", TWO))]
    assert (outcome.packets.times.impossible, outcome.packets.times.misread) == (1, 0)


@pytest.mark.parametrize(
    ("said", "real", "factor"),
    [
        (b"", "nanoseconds", 1000),
        (option(9, b"\x06"), "nanoseconds", 1000),
        (option(9, b"\x09"), "microseconds", 1),
        (b"", "milliseconds", 1 / 1000),
        (option(9, b"\x03"), "microseconds", 1),
        (option(9, b"\x8a"), "nanoseconds", 1000),
    ],
)
def test_a_pcapng_in_another_resolution_than_it_says_is_recognised(said, real, factor, tmp_path):
    (tmp_path / "c.pcapng").write_bytes(ng(*[int(time_us * factor) for time_us, _ in TWO], options=said))
    found, outcome = meter(tmp_path / "c.pcapng")
    assert found == rows(written(tmp_path / "right.pcap", TWO))
    assert outcome.packets.times.misread == 16 and real in outcome.packets.times.warning()


def test_of_two_interfaces_only_the_one_that_is_wrong_is_read_otherwise(tmp_path):
    blocks = [
        enhanced_packet(frame, time_us * (1000 if index % 2 else 1), number=index % 2)
        for index, (time_us, frame) in enumerate(TWO)
    ]
    (tmp_path / "c.pcapng").write_bytes(section() + interface() + interface() + b"".join(blocks))
    found, outcome = meter(tmp_path / "c.pcapng")
    assert found == rows(written(tmp_path / "right.pcap", TWO)) and outcome.packets.times.misread == 8
