"""Exact repeats of a frame within a millisecond, as a mirror port gives that copies a packet on its way in and out.

The rule is that of `editcap -w 0.001`: the same bytes, at most a millisecond after the last copy. What is remembered
is bounded in time, number and bytes, so that no capture can fill the memory.
"""

from collections.abc import Iterable

WINDOW_US = 1000
MOST_FRAMES = 8192  # remembered in each of two halves, which take turns
MOST_BYTES = 8 << 20
LOOKED_AT, OUT_OF = 2048, 65_536  # without --dedup this many of so many packets are looked at, to tell the share


class Repeats:
    """The frames of the last one to two milliseconds, and when each was last seen."""

    def __init__(self) -> None:
        """Nothing has been seen."""
        self.forget()

    def forget(self) -> None:
        """Begin again, for another recording."""
        self._recent: dict[bytes, tuple[int, int]] = {}  # frame -> time, wire length
        self._older: dict[bytes, tuple[int, int]] = {}
        self._since, self._bytes = 0, 0

    def seen(self, time_us: int, frame: bytes, wire_length: int) -> bool:
        """Whether the frame is an exact repeat; it is remembered either way."""
        return self.among([(time_us, frame, wire_length)])[1]

    def among(self, frames: Iterable[tuple[int, bytes, int]]) -> tuple[int, bool]:
        """How many of these frames, each with its time and its length on the wire, are repeats; whether the last is."""
        recent, older, since, size = self._recent, self._older, self._since, self._bytes
        count, repeated = 0, False
        for time_us, frame, wire_length in frames:
            full = len(recent) >= MOST_FRAMES or size > MOST_BYTES
            if full or not -WINDOW_US <= time_us - since <= WINDOW_US:
                older, recent = recent, {}
                since, size = time_us, 0
            last = recent.get(frame) or older.get(frame)
            recent[frame] = time_us, wire_length
            size += len(frame)
            repeated = last is not None and last[1] == wire_length and -WINDOW_US <= time_us - last[0] <= WINDOW_US
            count += repeated
        self._recent, self._older, self._since, self._bytes = recent, older, since, size
        return count, repeated
