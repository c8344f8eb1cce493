"""slices.py: where a slice ends depends on the times of packets alone."""

from math import inf

from tlids_edge.flows.slices import MOST, SLICE_US, Slices

T = 1_700_000_000_000_000


def ends(times, slice_us=SLICE_US):
    """Where slices end."""
    slices = Slices(slice_us)
    return [place for place, time_us in enumerate(times) if slices.over(T + time_us)]


def test_a_slice_ends_with_the_first_packet_behind_a_tenth_of_a_second_or_before_it():
    assert ends([0, 1, SLICE_US, SLICE_US + 1, SLICE_US + 2, SLICE_US, 2 * SLICE_US, 9 * SLICE_US]) == [0, 3, 5, 7]


def test_a_slice_ends_when_it_is_full():
    assert ends([0] * 3 * MOST) == [0, MOST, 2 * MOST]
    assert ends(range(0, 3 * MOST * SLICE_US, SLICE_US), inf) == [MOST - 1, 2 * MOST - 1, 3 * MOST - 1]
