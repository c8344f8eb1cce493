"""slices.py: where a slice ends depends on the times of packets alone."""

import numpy as np
from tlids_edge.flows.slices import MOST, SLICE_US, Slices

T = 1_700_000_000_000_000


def ends(times, sizes):
    """Where slices end when packets come in runs of these sizes, the last of which is repeated."""
    slices, found, at = Slices(), [], 0
    while at < len(times):
        size = sizes.pop(0) if len(sizes) > 1 else sizes[0]
        found += [at + end - 1 for end, over in slices.cuts(times[at : at + size]) if over]
        at += size
    return found


def test_a_slice_ends_with_the_first_packet_behind_a_tenth_of_a_second_or_before_it():
    times = T + np.array([0, 1, SLICE_US, SLICE_US + 1, SLICE_US + 2, SLICE_US, 2 * SLICE_US, 9 * SLICE_US])
    assert ends(times, [100]) == [0, 3, 5, 7]


def test_a_slice_ends_when_it_is_full():
    assert ends(np.full(3 * MOST, T), [10 * MOST]) == [0, MOST, 2 * MOST]


def test_slices_end_at_the_same_packets_however_these_come():
    chance = np.random.default_rng(1)
    gaps = chance.choice([0, 0, 0, 1, 300, 70_000, 2_000_000, -50, -90_000], 30_000)
    times = T + np.cumsum(gaps * (chance.random(30_000) < 0.1))
    one = Slices()
    alone = [place for place, time_us in enumerate(times.tolist()) if one.over(time_us)]
    assert 500 < len(alone) < 29_000
    for sizes in ([1], [7], [128], [5000], [30_000], chance.integers(1, 9000, 500).tolist()):
        assert ends(times, sizes) == alone
