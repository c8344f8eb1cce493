"""Which of a home's flows are kept to learn from, in bounded memory, with caps.

Time here is learned time: seconds for which the program has watched. It grows with the packets' clock, by at most an
hour (a 24th of the learning period) at once and never backwards, so that a clock that is set cannot end the learning.

A window is ten minutes of 24 h. When it is over, and a minute later, its rows are taken in random order until a source
and service has 10, a source 30, a service 30; a service is the smaller port with the protocol. Of all windows together
1,000 rows of a device stay, at random. A row's random rank is drawn once, so all of this is one sample.
"""

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from itertools import pairwise
from typing import NamedTuple

import numpy as np

from tlids_edge.chance import uniform
from tlids_edge.learn.profiles import Uses
from tlids_edge.learn.rates import Peaks
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
OPEN = np.dtype([(name, "<f8" if name == "time" else ROW[name]) for name in ROW.names])  # of a window that is open
SEEN = np.dtype([
    ("time_us", "<i8"), ("source", "<u8"), ("device", "<u8"), ("service", "<u4"), ("alarm", "?"), ("proven", "?"),
    ("features", "<f4", (FEATURES,)), ("owner", "<u8"), ("used", "<u4"), ("network", "<u8"),
])  # fmt: skip
_SAME = ("source", "device", "service", "alarm", "proven", "features")  # in SEEN and in OPEN


class Seen(NamedTuple):
    """One judged flow, a row of SEEN; `source` is its address with its MAC, `device` its MAC (or address), hashed."""

    time_us: int  # of its last packet
    source: int
    device: int
    service: int  # protocol << 16 | smaller port
    alarm: bool
    proven: bool
    features: tuple[float, ...]
    owner: int = 0  # its device as `codes.owners_of` has it; 0: not told
    used: int = 0  # the service as `codes.used_services_of` has it
    network: int = 0  # its destination's, as `codes.networks_of` has it


class Keeper:
    """The rows that are kept. All its attributes but the screen survive a restart; see `state`."""

    def __init__(self, learn_s: float, draw: Callable[[], float] | None = None) -> None:
        """Learn for `learn_s` seconds; `draw` gives random numbers from 0 to 1."""
        self.learn_s, self.window_s = learn_s, learn_s / WINDOWS
        self.elapsed = 0.0
        self.kept = np.empty(0, ROW)
        self.open: dict[int, np.ndarray] = {}  # window -> OPEN rows in the order in which they came
        self.proven: set[int] = set()  # devices
        self.left_out: Counter[int] = Counter()  # source -> rows that were not kept for its bursts
        self.rates: Peaks | None = Peaks(self.window_s)  # None: the version that began to learn counted nothing
        self.profiles: Uses | None = Uses(self.window_s)  # None: likewise
        self._screen = Screen()
        self._clock: int | None = None
        self._bars: dict[int, float] = {}  # window that was full once -> rank above which rows stay out
        self._draw = draw

    def see(self, flows: np.ndarray | Sequence[Seen]) -> list[int]:
        """Take note of judged flows, a SEEN array; the sources whose bursts began with them."""
        flows = np.asarray(flows, SEEN)
        flows = flows[np.argsort(flows["time_us"], kind="stable")]
        began: list[int] = []
        if len(flows):
            elapsed = self._advance(flows["time_us"])
            for part in self._parts(elapsed):
                began += self._take(flows[part], elapsed[part])
        return began

    def _advance(self, times_us: np.ndarray) -> np.ndarray:
        """Let the clock run to packets' times, in order; how much was learned at each of them, in seconds."""
        first = int(times_us[0])
        if self._clock is None or (first - self._clock) / 1e6 < -BACK_S:  # less is disorder, no clock that was set
            self._clock = first
        clocks = np.maximum(times_us, self._clock)
        passed = np.minimum(np.diff(clocks, prepend=self._clock) / 1e6, max(self.learn_s / 24, STEP_S))
        elapsed = np.add.accumulate(np.concatenate([[self.elapsed], passed]))[1:]
        self._clock, self.elapsed = int(clocks[-1]), float(elapsed[-1])
        return elapsed

    def _parts(self, elapsed: np.ndarray) -> Iterator[slice]:
        """Runs of moments in one window, while the same windows are over; these are closed before each."""
        windows = elapsed // self.window_s
        known = np.unique([*self.open, *np.unique(windows)])
        over = self._end(known).searchsorted(elapsed)
        edges = np.flatnonzero((np.diff(windows) != 0) | (np.diff(over) != 0)) + 1
        for start, end in pairwise([0, *edges.tolist(), len(elapsed)]):
            for window in [each for each in self.open if self._end(each) < elapsed[start]]:
                self._close(window)
            yield slice(start, end)

    def _end(self, window: np.ndarray | int) -> np.ndarray | float:
        """Until when rows of a window can be taken back."""
        return (window + 1) * self.window_s + BURST_S

    def close(self) -> None:
        """Close every window, as at the end of the learning."""
        for window in list(self.open):
            self._close(window)

    def rows(self) -> np.ndarray:
        """All rows that would be kept if every window ended now, in order of time."""
        ended = [capped(rows).astype(ROW) for rows in self.open.values()]
        rows = _thinned(np.concatenate([self.kept, *ended]))
        return rows[np.argsort(rows["time"], kind="stable")]

    def _take(self, flows: np.ndarray, elapsed: np.ndarray) -> list[int]:
        """Keep flows of one window that are not screened; the sources whose bursts began with them."""
        for device in dict.fromkeys(flows["device"][flows["proven"]].tolist()):
            if len(self.proven) < MAX_DEVICES:
                self.proven.add(device)
        screened, bursts = self._screen.see_many(flows, elapsed)
        window, start = int(elapsed[0] // self.window_s), 0
        for place, burst in [*bursts, (len(flows), None)]:
            part = slice(start, place)
            for source, count in Counter(flows["source"][part][screened[part]].tolist()).items():
                self._count_left_out(source, count)
            self._keep(window, flows[part][~screened[part]], elapsed[part][~screened[part]])
            if burst is not None:
                self._take_back(burst)
            start = place
        return [burst.source for _, burst in bursts]

    def _keep(self, window: int, flows: np.ndarray, elapsed: np.ndarray) -> None:
        """Add flows to a window, each with a rank that is drawn now."""
        if self.rates is not None:
            self.rates.add(flows, elapsed)
        if self.profiles is not None:
            self.profiles.add(flows, elapsed)
        rows = np.empty(len(flows), OPEN)
        for name in _SAME:
            rows[name] = flows[name]
        rows["time"], rows["rank"] = elapsed, self._ranks(len(flows))
        while len(rows := rows[rows["rank"] <= self._bars.get(window, 1.0)]):
            held = self.open.get(window, rows[:0])
            room = 2 * MAX_OPEN - len(held)
            self.open[window], rows = np.concatenate([held, rows[:room]]), rows[room:]
            if len(self.open[window]) == 2 * MAX_OPEN:
                self._compact(window)

    def _ranks(self, count: int) -> np.ndarray:
        """Random numbers from 0 to 1; the system's own, which nobody can foresee, unless others were given."""
        return uniform(count) if self._draw is None else np.array([self._draw() for _ in range(count)])

    def _take_back(self, burst: Burst) -> None:
        """Remove the rows of the minute before a burst that it covers."""
        if self.rates is not None:
            self.rates.take_back(burst)
        if self.profiles is not None:
            self.profiles.take_back(burst)
        for window, rows in self.open.items():
            taken = (rows["source"] == burst.source) & (rows["time"] >= burst.since)
            for place in np.flatnonzero(taken).tolist():
                taken[place] = burst.covers(*rows[["alarm", "proven", "service"]][place].tolist())
            self._count_left_out(burst.source, int(np.count_nonzero(taken)))
            self.open[window] = rows[~taken]

    def _count_left_out(self, source: int, rows: int) -> None:
        """Count rows that were not kept."""
        if source in self.left_out or len(self.left_out) < MAX_DEVICES:
            self.left_out[source] += rows

    def _compact(self, window: int) -> None:
        """Make room in a window that is full."""
        rows = capped(self.open[window])
        if len(rows) > MAX_OPEN:
            rows = rows[:MAX_OPEN]
            self._bars[window] = float(rows["rank"][-1])
        self.open[window] = rows

    def _close(self, window: int) -> None:
        """Add a window's sample to what is kept."""
        rows = capped(self.open.pop(window)).astype(ROW)
        self._bars.pop(window, None)
        self.kept = _thinned(np.concatenate([self.kept, rows]))


def capped(rows: np.ndarray) -> np.ndarray:
    """The rows of one window (OPEN), by rank, until the caps of pair, source and service are reached."""
    pairs, sources, services = Counter(), Counter(), Counter()
    taken = []
    order = np.argsort(rows["rank"], kind="stable")
    pair_columns = zip(order.tolist(), rows["source"][order].tolist(), rows["service"][order].tolist(), strict=True)
    for place, source, service in pair_columns:
        if services[service] < SERVICE_CAP and sources[source] < SOURCE_CAP and pairs[source, service] < PAIR_CAP:
            pairs[source, service] += 1
            sources[source] += 1
            services[service] += 1
            taken.append(place)
    return rows[taken]


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
