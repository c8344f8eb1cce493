"""Cuts a run of packets into slices of their own time: what is done once a slice does not depend on our speed."""

from math import inf

SLICE_US = 100_000
MOST = 4096  # packets in a slice


class Slices:
    """A slice ends with the first packet that is more than `slice_us` behind the end of the one before, or older.

    So a packet that comes after a pause ends one at once. The compiled meter cuts in the same way (`ends_slice`).
    """

    def __init__(self, slice_us: float = SLICE_US) -> None:
        """Begin with nothing seen; inf: only that it is full ends a slice."""
        self.slice_us = slice_us
        self.begun_us, self.count = -inf, 0

    def over(self, time_us: int) -> bool:
        """Take note of one packet; whether its slice ends with it."""
        self.count += 1
        if self.count < MOST and 0 <= time_us - self.begun_us <= self.slice_us:
            return False
        self.begun_us, self.count = time_us, 0
        return True
