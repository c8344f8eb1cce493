"""Cuts a run of packets into slices of their own time: what is done once a slice does not depend on our speed."""

from collections.abc import Iterator
from math import inf

import numpy as np

SLICE_US = 100_000
MOST = 4096  # packets in a slice


class Slices:
    """A slice ends with the first packet that is more than `slice_us` behind the end of the one before, or older.

    So a packet that comes after a pause ends one at once.
    """

    def __init__(self, slice_us: float = SLICE_US) -> None:
        """Begin with nothing seen; inf: only that it is full ends a slice."""
        self._slice_us = slice_us
        self._begun_us, self._count = -inf, 0

    def over(self, time_us: int) -> bool:
        """Take note of one packet; whether its slice ends with it."""
        self._count += 1
        if self._count < MOST and 0 <= time_us - self._begun_us <= self._slice_us:
            return False
        self._begun_us, self._count = time_us, 0
        return True

    def cuts(self, times_us: np.ndarray) -> Iterator[tuple[int, bool]]:
        """Take note of many packets: where each part of them ends, and whether a slice ends there."""
        start, count = 0, len(times_us)
        while start < count:
            most = start + MOST - self._count
            since_us = times_us[start : most - 1] - self._begun_us
            outside = (since_us < 0) | (since_us > self._slice_us)
            first = int(outside.argmax()) if outside.any() else most - start - 1
            end = start + first + 1
            if end > count:
                self._count += count - start
                yield count, False
                return
            self._begun_us, self._count = int(times_us[end - 1]), 0
            yield end, True
            start = end
