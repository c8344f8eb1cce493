"""What is wrong with a capture's times: counted while it is read, told once at the end, with what to do about it."""

import time
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

from tlids_edge.errors import QUOTED, InputError

WINDOW_US = 100_000  # packets stored in the wrong order are put right within this
HELD = 8192  # and within so many packets, which are kept back meanwhile
STEP_US = 10_000_000  # a larger step back is a clock that was set, or another recording
EARLIEST_US = 631_152_000_000_000  # 1990: no capture is older than tcpdump
END_US = 1 << 32 << 20  # the year 2112, behind the last second a pcap file can name
DAY_US = 86_400_000_000
RESOLUTIONS = {1: "seconds", 1000: "milliseconds", 1_000_000: "microseconds", 1_000_000_000: "nanoseconds"}
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(slots=True)
class Times:
    """Counts of what is wrong with times. `strict` refuses the capture at the first of them (InputError)."""

    strict: bool = False
    impossible: int = 0  # before 1990, or more than a day after now
    first_impossible: str = ""
    steps: int = 0  # back, by more than STEP_US
    late: int = 0  # packets stored more than WINDOW_US, or HELD packets, behind their place
    misread: int = 0  # packets whose times have another resolution than the capture says
    resolution: str = ""  # that one
    sorted_files: list[str] = field(default_factory=list)  # in the order they were taken, when it was not the given one
    overlapping: int = 0  # files that begin before the one before them ends
    latest_us: float = 0.0  # a day after the moment when somebody last looked

    def possible(self, time_us: int) -> bool:
        """Whether packets can have been captured then."""
        if time_us > self.latest_us:
            self.latest_us = time.time() * 1e6 + DAY_US
        return EARLIEST_US <= time_us <= self.latest_us

    def note_impossible(self, found: str) -> None:
        """Count a time that cannot be."""
        self.impossible += 1
        self.first_impossible = self.first_impossible or found
        self._refuse("packets of 1990 to a day from now", found, "check the clock of the machine that captured")

    def note_step(self, step_us: int) -> None:
        """Count a step back."""
        self.steps += 1
        found = f"a step back by {step_us / 1e6:.0f} s"
        self._refuse("times that increase", found, "give each recording separately")

    def note_late(self, late_us: int) -> None:
        """Count a packet that is stored far behind its place."""
        self.late += 1
        self._refuse("packets in the order of time", f"one {late_us / 1e6:.3g} s late", "sort with `reordercap IN OUT`")

    def note_misread(self, said: str, found: str) -> None:
        """Count a packet whose time has another resolution than the capture says."""
        self.misread += 1
        self.resolution = f"{found}, though the capture says {said}"
        self._refuse(f"times in {said}, as the capture says", found, "write the capture with the right resolution")

    def note_sorted(self, names: list[str]) -> None:
        """Keep the order in which files were taken, which is not that in which they were given."""
        self.sorted_files = names
        self._refuse("files in the order of time", "another order", f"give them as {_quoted(names)}")

    def note_overlap(self, name: str) -> None:
        """Count a file that begins before the one before it ends."""
        self.overlapping += 1
        self._refuse("files that follow one another", f"that {_quoted([name])} overlaps", "join them with mergecap")

    def warning(self) -> str:
        """One line about everything that is wrong, and what to do; "" when nothing is."""
        found = []
        if self.impossible:
            found.append(
                f"{self.impossible} packets have an impossible time (before 1990, or more than a day after now), "
                f"the first {self.first_impossible}: check the clock of the machine that captured"
            )
        if self.misread:
            found.append(
                f"the times of {self.misread} packets were read as {self.resolution}: "
                "check that the flows' dates are right"
            )
        if self.steps:
            found.append(
                f"time steps back by more than {STEP_US // 1_000_000} s {self.steps} times: "
                "give each recording separately, and check the clock"
            )
        if self.late:
            found.append(
                f"{self.late} packets are stored more than {WINDOW_US / 1e6:g} s or {HELD:,} packets behind their "
                "place: sort the capture with `reordercap IN OUT`"
            )
        if self.sorted_files:
            found.append(f"the files were taken in the order of their first packets: {_quoted(self.sorted_files)}")
        if self.overlapping:
            found.append(
                f"{self.overlapping} files overlap in time with others and were merged by time: "
                "give captures of different places separately, those of the same packets with --dedup"
            )
        return "; ".join(found)

    def _refuse(self, expected: str, found: str, remedy: str) -> None:
        """Raise when nothing is to be put right."""
        if self.strict:
            raise InputError(f"expected {expected} (--strict-time), found {found}", remedy)


def moment(time_us: int) -> str:
    """A time for people to read, however far off it is."""
    try:
        return f"{_EPOCH + timedelta(microseconds=time_us):%Y-%m-%dT%H:%M:%SZ}"
    except OverflowError:
        return f"{time_us / 1e6:.4g} s after 1970"


def _quoted(names: list[str]) -> str:
    """Names in a row, cut where there are too many."""
    text = " ".join(names)
    return text if len(text) <= QUOTED else f"{text[: QUOTED - 4]} ..."
