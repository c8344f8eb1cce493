"""Gzipped captures read as plain ones do; Python's gzip module is the oracle."""

import gzip
import io

import pytest
from build_pcap import ethernet, ipv4, pcap, udp
from tlids_edge.capture.inflate import Inflated
from tlids_edge.capture.packets import PacketStats, read_packets

CAPTURE = pcap(*(ethernet(ipv4(udp(1000 + index, 53, bytes(index)), 17)) for index in range(200)))


def packets_of(content):
    stats = PacketStats()
    return list(read_packets(io.BytesIO(content), stats)), stats


def test_a_gzipped_capture_gives_the_packets_of_the_plain_one():
    assert packets_of(gzip.compress(CAPTURE))[0] == packets_of(CAPTURE)[0]


def test_members_that_follow_each_other_are_one_stream():
    parts = gzip.compress(CAPTURE[:777]) + gzip.compress(b"") + gzip.compress(CAPTURE[777:])
    assert packets_of(parts)[0] == packets_of(CAPTURE)[0]


def test_a_gzip_cut_short_gives_what_came_before_and_is_counted():
    whole = gzip.compress(CAPTURE)
    packets, stats = packets_of(whole[: len(whole) // 2])
    assert packets == packets_of(CAPTURE)[0][: len(packets)]
    assert 0 < len(packets) < 200
    assert stats.malformed["gzip cut short"] == 1


def test_a_damaged_gzip_gives_what_came_before_and_is_counted():
    damaged = bytearray(gzip.compress(CAPTURE[9000:]))
    damaged[-6] ^= 0xFF  # the checksum in the trailer
    packets, stats = packets_of(gzip.compress(CAPTURE[:9000]) + damaged)
    assert packets == packets_of(CAPTURE)[0][: len(packets)]
    assert 0 < len(packets) < 200
    assert stats.malformed["gzip damaged"] == 1


@pytest.mark.parametrize("size", (1, 10, 4096))
def test_a_read_never_gives_more_than_was_asked_for(size):
    bomb = gzip.compress(bytes(100_000))
    inflated = Inflated(io.BytesIO(bomb[2:]).read, bomb[:2])
    pieces = []
    while piece := inflated.read(size):
        pieces.append(piece)
    assert max(map(len, pieces)) <= size
    assert sum(map(len, pieces)) == 100_000
