"""Which of a home's flows are kept to learn from, in bounded memory, with caps.

Time here is learned time: seconds for which the program has watched. It grows with the packets' clock, by at most an
hour (a 24th of the learning period) at once and never backwards, so that a clock that is set cannot end the learning.

A window is ten minutes of 24 h. When it is over, and a minute later, its rows are taken in random order until a source
and service has 10, a source 30, a service 30; a service is the smaller port with the protocol. Of all windows together
1,000 rows of a device stay, at random. A row's random rank is drawn once, so all of this is one sample.
"""

from collections import Counter
from collections.abc import Callable
from random import SystemRandom
from typing import NamedTuple

import numpy as np

from tlids_edge.learn.screen import BURST_S, Burst, Screen

WINDOWS = 144  # of a learning period: ten minutes of 24 h
PAIR_CAP, SOURCE_CAP, SERVICE_CAP = 10, 30, 30  # rows a window
DEVICE_KEPT = 1_000  # rows of a device over the whole period; `choose` takes fewer
MAX_KEPT, MAX_OPEN = 20_000, 2_048  # rows over all closed windows, and of one that is open
MAX_DEVICES = 4_096
STEP_S, BACK_S = 600.0, 300.0
FEATURES = 9
ROW = np.dtype([
    ("source", "<u8"), ("device", "<u8"), ("service", "<u4"), ("time", "<f4"), ("rank", "<f8"),
    ("alarm", "?"), ("proven", "?"), ("features", "<f4", (FEATURES,)),
])  # fmt: skip


class Seen(NamedTuple):
    """One judged flow; `source` is its address with its MAC, `device` its MAC (or address), both as keyed hashes."""

    time_us: int  # of its last packet
    source: int
    device: int
    service: int  # protocol << 16 | smaller port
    alarm: bool
    proven: bool
    features: tuple[float, ...]


class Keeper:
    """The rows that are kept. All its attributes but the screen survive a restart; see `state`."""

    def __init__(self, learn_s: float, draw: Callable[[], float] | None = None) -> None:
        """Learn for `learn_s` seconds; `draw` gives random numbers from 0 to 1."""
        self.learn_s, self.window_s = learn_s, learn_s / WINDOWS
        self.elapsed = 0.0
        self.kept = np.empty(0, ROW)
        self.open: dict[int, list[tuple]] = {}  # window -> rows in the order of ROW's fields
        self.proven: set[int] = set()  # devices
        self.left_out: Counter[int] = Counter()  # source -> rows that were not kept for its bursts
        self._screen = Screen()
        self._clock: int | None = None
        self._bars: dict[int, float] = {}  # window that was full once -> rank above which rows stay out
        self._draw = draw or SystemRandom().random

    def see(self, flows: list[Seen]) -> list[int]:
        """Take note of judged flows; the sources whose bursts began with them."""
        began = []
        for flow in sorted(flows, key=lambda each: each.time_us):
            self.advance(flow.time_us)
            if self._take(flow):
                began.append(flow.source)
        return began

    def advance(self, time_us: int) -> None:
        """Let the clock run to a packet's time, in microseconds since 1970, and close the windows that are over."""
        passed = 0.0 if self._clock is None else (time_us - self._clock) / 1e6
        if (
            self._clock is None or passed > 0 or passed < -BACK_S
        ):  # a small step back is disorder, no clock that was set
            self._clock = time_us
        self.elapsed += min(max(passed, 0.0), max(self.learn_s / 24, STEP_S))
        for window in [each for each in self.open if (each + 1) * self.window_s + BURST_S < self.elapsed]:
            self._close(window)

    def close(self) -> None:
        """Close every window, as at the end of the learning."""
        for window in list(self.open):
            self._close(window)

    def rows(self) -> np.ndarray:
        """All rows that would be kept if every window ended now, in order of time."""
        ended = [np.array(capped(rows), ROW) for rows in self.open.values()]
        rows = _thinned(np.concatenate([self.kept, *ended]))
        return rows[np.argsort(rows["time"], kind="stable")]

    def _take(self, flow: Seen) -> bool:
        """Keep one flow in its window unless it is screened; True when a burst began with it."""
        if flow.proven and len(self.proven) < MAX_DEVICES:
            self.proven.add(flow.device)
        screened, burst = self._screen.see(flow.source, flow.service, flow.alarm, flow.proven, self.elapsed)
        if burst is not None:
            self._take_back(burst)
        if screened:
            self._count_left_out(flow.source, 1)
            return burst is not None
        rank, window = self._draw(), int(self.elapsed // self.window_s)
        if rank <= self._bars.get(window, 1.0):
            rows = self.open.setdefault(window, [])
            rows.append((flow.source, flow.device, flow.service, self.elapsed, rank, flow.alarm, flow.proven,
                         flow.features))  # fmt: skip
            if len(rows) >= 2 * MAX_OPEN:
                self._compact(window)
        return burst is not None

    def _take_back(self, burst: Burst) -> None:
        """Remove the rows of the minute before a burst that it covers."""
        for window, rows in self.open.items():
            stay = [row for row in rows if row[0] != burst.source or row[3] < burst.since
                    or not burst.covers(row[5], row[6], row[2])]  # fmt: skip
            self._count_left_out(burst.source, len(rows) - len(stay))
            self.open[window] = stay

    def _count_left_out(self, source: int, rows: int) -> None:
        """Count rows that were not kept."""
        if source in self.left_out or len(self.left_out) < MAX_DEVICES:
            self.left_out[source] += rows

    def _compact(self, window: int) -> None:
        """Make room in a window that is full."""
        rows = capped(self.open[window])
        if len(rows) > MAX_OPEN:
            rows = rows[:MAX_OPEN]
            self._bars[window] = rows[-1][4]
        self.open[window] = rows

    def _close(self, window: int) -> None:
        """Add a window's sample to what is kept."""
        rows = np.array(capped(self.open.pop(window)), ROW)
        self._bars.pop(window, None)
        self.kept = _thinned(np.concatenate([self.kept, rows]))


def capped(rows: list[tuple]) -> list[tuple]:
    """The rows of one window, by rank, until the caps of pair, source and service are reached."""
    pairs, sources, services = Counter(), Counter(), Counter()
    taken = []
    for row in sorted(rows, key=lambda each: each[4]):
        source, service = row[0], row[2]
        if pairs[source, service] < PAIR_CAP and sources[source] < SOURCE_CAP and services[service] < SERVICE_CAP:
            pairs[source, service] += 1
            sources[source] += 1
            services[service] += 1
            taken.append(row)
    return taken


def _thinned(rows: np.ndarray) -> np.ndarray:
    """At most 1,000 rows of a device and 20,000 in all, those of the lowest rank."""
    rows = within(rows, "device", DEVICE_KEPT)
    return rows[np.argsort(rows["rank"], kind="stable")[:MAX_KEPT]]


def within(rows: np.ndarray, name: str, limit: int) -> np.ndarray:
    """At most `limit` rows for each value of the field `name`, those of the lowest rank; order is kept."""
    order = np.lexsort((rows["rank"], rows[name]))
    values = rows[name][order]
    starts = np.flatnonzero(np.r_[True, values[1:] != values[:-1]]) if len(values) else np.empty(0, int)
    place = np.arange(len(values)) - np.repeat(starts, np.diff(np.r_[starts, len(values)]))
    return rows[np.sort(order[place < limit])]
