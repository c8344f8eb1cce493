"""Novelty in number: more flows of one source to one service than the home had while it was learned.

Guessed passwords or a flood of requests are flows that each look benign, but there are far more of them. Flows are
counted by source, service (protocol and smaller port) and minute, by the time at which they ended. While learning, each
service has the highest count of any one source in every ten minutes. Of these the one of `Rule.rank` is what was
learned, so that a single burst teaches nothing, and neither does what the screen leaves out. Later, flows beyond the
rule's limit are novel, and if they are proven, so are all flows of that source and service in the minute after. The
rule was chosen by `make choose-recipe`.

Memory is bounded. While learning, a minute has at most MAX_SOURCES sources with MAX_PER_SOURCE services each, and what
comes beyond is not counted. Later at most MAX_PAIRS counts are held, by the method of Misra and Gries (1982): when
there are more, each falls by one and what reaches 0 is forgotten. So a flood makes counts too small, never too large.
"""

from collections import Counter
from dataclasses import dataclass
from itertools import pairwise
from math import ceil

import numpy as np

from tlids_edge.errors import InputError
from tlids_edge.flows.rows import are_among, groups, numbers, services_of
from tlids_edge.learn.screen import BURST_S, Burst

WINDOW_S = 60
MAX_SERVICES = 1_024  # that are kept; a further one has the floor
MAX_SOURCES, MAX_PER_SOURCE = 4_096, 64
MAX_PAIRS = 16_384
MAX_COUNT = 1 << 32
MAX_SERVICE = 1 << 24
BACK_US = 300_000_000  # less is disorder, no clock that was set


@dataclass(frozen=True)
class Rule:
    """From which flow on a source has too many of a service in a minute."""

    floor: int = 30  # so many are usual anywhere
    factor: float = 4.0  # times what was learned
    rank: int = 3  # of the windows' highest counts, the one that was learned

    @property
    def least(self) -> int:
        """Up to so many learned flows the floor is what counts, so they need not be kept."""
        return int(self.floor / self.factor)

    def limit(self, learned: int) -> int:
        """How many flows of a source to a service in a minute are usual, where so many were learned."""
        return max(self.floor, ceil(self.factor * learned))


RULE = Rule()


class Peaks:
    """What is counted while a home is learned; times are learned seconds, as in `keep`."""

    def __init__(self, window_s: float, rule: Rule = RULE) -> None:
        """Know nothing; `window_s` is how long a window lasts of which only the highest count stays."""
        self._rule = rule
        self._window_s = max(window_s, WINDOW_S)
        self._highest: dict[int, dict[int, int]] = {}  # service -> window -> count, at most `rank` windows each
        self._open: dict[int, dict[int, dict[int, int]]] = {}  # minute -> source -> service -> count

    def add(self, flows: np.ndarray, elapsed: np.ndarray) -> None:
        """Count flows (`keep.SEEN`) that ended at `elapsed`, in order of time."""
        if not len(flows):
            return
        minutes = (elapsed // WINDOW_S).astype(np.int64).tolist()
        self._close_until(float(elapsed[0]))
        flows = zip(minutes, flows["source"].tolist(), flows["service"].tolist(), strict=True)
        for (minute, source, service), count in Counter(flows).items():
            sources = self._open.setdefault(minute, {})
            if source in sources or len(sources) < MAX_SOURCES:
                counts = sources.setdefault(source, {})
                if service in counts or len(counts) < MAX_PER_SOURCE:
                    counts[service] = counts.get(service, 0) + count

    def take_back(self, burst: Burst) -> None:
        """Forget what a burst covers, of the minutes that it touches; the proven flows of its services too.

        So a forger can lower what is learned of a service, but not raise it.
        """
        for minute, sources in self._open.items():
            if (minute + 1) * WINDOW_S <= burst.since or burst.source not in sources:
                continue
            if burst.whole:
                del sources[burst.source]
            else:
                for service in burst.services:
                    sources[burst.source].pop(service, None)

    def highest(self) -> dict[int, dict[int, int]]:
        """Service -> window -> highest count of a source in a minute, as if every minute ended now."""
        found = {service: dict(windows) for service, windows in self._highest.items()}
        for minute, sources in self._open.items():
            self._fold(found, minute, sources)
        return found

    def learned(self) -> dict[int, int]:
        """Service -> the highest count but some (`Rule.rank`) of its windows; without those that have the floor."""
        ranked = {service: sorted(windows.values()) for service, windows in sorted(self.highest().items())}
        return {service: counts[0] for service, counts in ranked.items() if len(counts) == self._rule.rank}

    def saved(self) -> list:
        """What is known, as JSON holds it: [service, [[window, count], ...]] each."""
        return [[service, [list(each) for each in windows.items()]] for service, windows in self.highest().items()]

    def restore(self, saved: object) -> None:
        """Take over what `saved` gave.

        Raises:
            ValueError, TypeError: it is something else.
        """
        if not isinstance(saved, list) or len(saved) > MAX_SERVICES:
            raise ValueError(f"counts of flows that are not those of at most {MAX_SERVICES} services")
        for service, windows in saved:
            if not (is_count(service, 0, MAX_SERVICE) and isinstance(windows, list)):
                raise ValueError("counts of flows of no service")
            if len(windows) > self._rule.rank:
                raise ValueError(f"counts of flows of more than {self._rule.rank} windows")
            if not all(is_count(window, 0, 1 << 53) and is_count(count, 1, MAX_COUNT) for window, count in windows):
                raise ValueError("counts of flows that are not whole numbers within bounds")
            self._highest[service] = dict(windows)

    def _close_until(self, now: float) -> None:
        """Keep the highest counts of minutes from which no burst takes anything back any more."""
        for minute in [each for each in self._open if (each + 1) * WINDOW_S + BURST_S < now]:
            self._fold(self._highest, minute, self._open.pop(minute))

    def _fold(self, highest: dict[int, dict[int, int]], minute: int, sources: dict[int, dict[int, int]]) -> None:
        """Let a minute's counts raise the highest ones."""
        window = int(minute * WINDOW_S // self._window_s)
        for counts in sources.values():
            for service, count in counts.items():
                if count <= self._rule.least or service not in highest and len(highest) >= MAX_SERVICES:
                    continue
                windows = highest.setdefault(service, {})
                windows[window] = max(count, windows.get(window, 0))
                if len(windows) > self._rule.rank:
                    del windows[min(windows, key=windows.get)]


class Rates:
    """What was learned of a home, and the counts of the minute that runs."""

    def __init__(self, learned: dict[int, int], rule: Rule = RULE) -> None:
        """`learned` as `Peaks.learned` has it."""
        self._floor = rule.floor
        self.learned = dict(sorted(learned.items()))
        self._services = np.fromiter(self.learned, np.int64, len(learned))
        self._limits = np.array([rule.limit(count) for count in self.learned.values()], np.int64)
        self._clock, self._minute = None, None
        self._counts: dict[int, int] = {}
        self._many: set[int] = set()  # pairs that had too many proven flows in this minute
        self._before = np.empty(0, np.uint64)  # and in the minute before

    def are_many(self, rows: np.ndarray) -> np.ndarray:
        """Count ended flows, a ROW array; which of them exceed what is usual, bool (n,)."""
        many = np.zeros(len(rows), bool)
        if not len(rows):
            return many
        services = services_of(rows)
        pairs, limits = numbers([groups(rows, ("src",)), services]), self._limits_of(services)
        minutes = self._minutes(rows["last_us"])
        edges = np.flatnonzero(np.diff(minutes)) + 1
        for start, end in pairwise([0, *edges.tolist(), len(rows)]):
            self._begin(int(minutes[start]))
            part = pairs[start:end]
            exceed = self._counted(part) > limits[start:end]
            lasting = exceed & (rows["proven"][start:end] > 0)  # a forger says nothing of the victim's next minute
            if lasting.any() and len(self._many) < MAX_PAIRS:
                self._many.update(np.unique(part[lasting]).tolist())
            many[start:end] = exceed | are_among(part, self._before)
        return many

    def _begin(self, minute: int) -> None:
        """Count again where this is another minute than that of the flows before."""
        if minute == self._minute:
            return
        follows = self._minute is not None and minute == self._minute + 1
        self._before = np.array(sorted(self._many if follows else ()), np.uint64)
        self._minute, self._counts, self._many = minute, {}, set()

    def _minutes(self, times_us: np.ndarray) -> np.ndarray:
        """The minute of a clock that follows the flows' times and goes back only when it was set, (n,)."""
        before = times_us[0] if self._clock is None else self._clock
        clocks = np.maximum.accumulate(np.maximum(times_us, before))
        while (back := times_us < clocks - BACK_US).any():
            place = int(back.argmax())
            clocks[place:] = np.maximum.accumulate(times_us[place:])
        self._clock = int(clocks[-1])
        return clocks // (WINDOW_S * 1_000_000)

    def _limits_of(self, services: np.ndarray) -> np.ndarray:
        """How many flows of a source in a minute are usual for each service, (n,)."""
        if not len(self._services):
            return np.full(len(services), self._floor)
        place = np.minimum(self._services.searchsorted(services), len(self._services) - 1)
        return np.where(self._services[place] == services, self._limits[place], self._floor)

    def _counted(self, pairs: np.ndarray) -> np.ndarray:
        """Count pairs of source and service (n,); how many of its own each one is in this minute, (n,)."""
        distinct, place, added = np.unique(pairs, return_inverse=True, return_counts=True)
        keys = distinct.tolist()
        before = np.array([self._counts.get(key, 0) for key in keys], np.int64)
        self._counts.update(zip(keys, (before + added).tolist(), strict=True))
        while len(self._counts) > MAX_PAIRS:
            self._counts = {key: count - 1 for key, count in self._counts.items() if count > 1}
        order = np.argsort(place, kind="stable")
        number = np.empty(len(pairs), np.int64)
        number[order] = np.arange(len(pairs)) - np.repeat(np.cumsum(added) - added, added) + 1
        return before[place] + number


def card_of(peaks: Peaks | None) -> dict | None:
    """What the card of an adapted model says under "rates"; None where nothing was counted."""
    return None if peaks is None else {"window_s": WINDOW_S, "services": [list(one) for one in peaks.learned().items()]}


def read(fields: object) -> Rates | None:
    """What a model's card says under "rates"; None where it says nothing.

    Raises:
        InputError: it says something else.
    """
    if fields is None:
        return None
    services = fields.get("services") if isinstance(fields, dict) and fields.get("window_s") == WINDOW_S else None
    if not isinstance(services, list) or len(services) > MAX_SERVICES or not all(map(_is_entry, services)):
        raise InputError(
            f"expected rates of at most {MAX_SERVICES:,} services in a minute in the model's card, found "
            f"{str(fields)[:80]}", "adapt again",
        )  # fmt: skip
    return Rates(dict(services))


def _is_entry(entry: object) -> bool:
    """Whether this is a service and a count."""
    if not isinstance(entry, list) or len(entry) != 2:
        return False
    return is_count(entry[0], 0, MAX_SERVICE) and is_count(entry[1], 1, MAX_COUNT)


def is_count(value: object, low: int, high: int) -> bool:
    """Whether this is an integer from `low` to below `high`."""
    return type(value) is int and low <= value < high
