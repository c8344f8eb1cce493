"""Sources and targets that may become incidents, in tables that a flood cannot sweep clean.

Times here are steady: microseconds of a clock that never goes back.
"""

from collections import Counter, OrderedDict
from collections.abc import Iterator

from tlids_edge.alerts.incident import Alarm

SLOW_PIECES = 12  # the long window is counted in so many pieces, a byte each
STALE_S = 900  # a source that was silent for so long begins with nothing
HELD = 64  # alarms kept for a target that is no incident yet
LEVELS = 32
FLOOD = 20  # unanswered alarms of one source to one host and port in the short window; fewer of them count as one


class SizedTable:
    """Key -> entry, `limit` at most, in which nothing small or new can push out what is larger.

    Entries stand in levels by their size (powers of two), in each the longest silent first. The one to go is the
    first of the lowest level. With `probation`, only so many entries of the lowest level are given up before one of the
    next has to go, so that a table full of old entries still lets a new one grow.
    """

    def __init__(self, limit: int, probation: int = 0) -> None:
        """Hold nothing."""
        self.limit, self._probation = limit, probation
        self._levels: list[OrderedDict] = [OrderedDict() for _ in range(LEVELS)]
        self._level: dict[object, int] = {}

    def __len__(self) -> int:
        """Number of entries."""
        return len(self._level)

    def __iter__(self) -> Iterator:
        """All entries, the larger ones last."""
        for level in self._levels:
            yield from level.values()

    def get(self, key: object) -> object | None:
        """The entry, or None."""
        level = self._level.get(key)
        return None if level is None else self._levels[level][key]

    def put(self, key: object, entry: object, size: int) -> None:
        """Enter it, or note that it has grown; it is now the last to have been heard."""
        old, new = self._level.get(key), min(size.bit_length(), LEVELS - 1)
        if old == new:
            self._levels[old].move_to_end(key)
            return
        if old is not None:
            del self._levels[old][key]
        self._level[key] = new
        self._levels[new][key] = entry

    def pop(self, key: object) -> object | None:
        """Take an entry out; None when there is none."""
        level = self._level.pop(key, None)
        return None if level is None else self._levels[level].pop(key)

    def smallest(self) -> object | None:
        """The entry that would have to go; None in an empty table."""
        filled = [level for level in self._levels if level]
        if not filled:
            return None
        keep = len(filled) > 1 and len(filled[0]) <= self._probation
        return next(iter(filled[keep].values()))

    def longest_silent(self) -> Iterator[Iterator]:
        """The entries of each level, the longest silent first; the table must not be changed meanwhile."""
        return (iter(level.values()) for level in self._levels if level)


class Held:
    """An alarm that waits to see whether an incident comes of it; two candidates hold the same one."""

    __slots__ = ("alarm", "at", "taken")

    def __init__(self, alarm: Alarm, at: int) -> None:
        """Belong to no incident yet."""
        self.alarm, self.at, self.taken = alarm, at, False


_TAKEN = Held(None, 0)
_TAKEN.taken = True


class Slow:
    """Alarms of one source over the long window, counted in SLOW_PIECES pieces of it."""

    __slots__ = ("first_us", "classes", "_pieces", "_piece")

    def __init__(self, first_us: int) -> None:
        """Count nothing yet."""
        self.first_us = first_us
        self.classes: dict[str, int] = {}
        self._pieces, self._piece = bytearray(SLOW_PIECES), 0

    def add(self, held: Held, piece_us: int) -> None:
        """Count one alarm."""
        kind = held.alarm.kind
        self.classes[kind] = self.classes.get(kind, 0) + 1
        self.total(held.at, piece_us)
        place = self._piece % SLOW_PIECES
        self._pieces[place] = min(self._pieces[place] + 1, 255)

    def total(self, now: int, piece_us: int) -> int:
        """Alarms within the window, after forgetting those before it."""
        piece = now // piece_us
        for gone in range(self._piece + 1, min(piece, self._piece + SLOW_PIECES) + 1):
            self._pieces[gone % SLOW_PIECES] = 0
        self._piece = max(piece, self._piece)
        return sum(self._pieces)


class Source:
    """One address that has alarmed less often than an incident takes."""

    __slots__ = ("key", "held", "slow", "heard")

    def __init__(self, key: object) -> None:
        """Hold nothing."""
        self.key = key
        self.held: list[Held] = []  # of the short window
        self.slow: Slow | None = None  # and those before it
        self.heard = 0

    @property
    def size(self) -> int:
        """How much is known of it; what a table keeps longest."""
        return len(self.held) + (sum(self.slow.classes.values()) if self.slow else 0)

    def add(self, held: Held, window_us: int, piece_us: int) -> None:
        """Take in an alarm; those that have left the short window are only counted from here on."""
        if held.at - self.heard > STALE_S * 1_000_000:
            self.held, self.slow = [], None
        self.heard = held.at
        self.held.append(held)
        while self.held[0].taken or held.at - self.held[0].at > window_us:
            self._put_away(self.held.pop(0), piece_us)

    def waiting(self) -> list[Held]:
        """Alarms within the short window that belong to no incident."""
        self.held = [held for held in self.held if not held.taken]
        return self.held

    def weight(self, novel: bool = False) -> int:
        """Alarms within the short window, or the novel ones of them; what `FLOOD` calls one counts as one."""
        waiting = [held.alarm for held in self.waiting() if held.alarm.novel or not novel]
        repeated = Counter((alarm.dst, alarm.dst_port) for alarm in waiting if not alarm.answered)
        spared = sum(count - 1 for count in repeated.values() if count < FLOOD)
        return len(waiting) - spared

    def repeats(self, alarm: Alarm) -> bool:
        """Whether this unanswered alarm is not the first to its host and port that waits."""
        return not alarm.answered and sum(_is_repeat(held.alarm, alarm) for held in self.held) > 1

    def within_long_window(self, piece_us: int) -> int:
        """Alarms within the long window; of repeated ones only the last counts."""
        return self.weight() + (self.slow.total(self.heard, piece_us) if self.slow else 0)

    def _put_away(self, held: Held, piece_us: int) -> None:
        """Only count an alarm that belongs to no incident and that none waits to repeat."""
        if not held.taken and not any(_is_repeat(held.alarm, later.alarm) for later in self.held):
            self.slow = self.slow or Slow(held.alarm.time_us)
            self.slow.add(held, piece_us)


def _is_repeat(one: Alarm, other: Alarm) -> bool:
    """Whether both are unanswered alarms to one host and port."""
    return not (one.answered or other.answered) and (one.dst, one.dst_port) == (other.dst, other.dst_port)


class Target:
    """One host and port with fewer alarms, or from fewer sources, than an incident takes."""

    __slots__ = ("key", "_times", "_sources", "_held", "count")

    def __init__(self, key: object) -> None:
        """Hold nothing."""
        self.key, self.count = key, 0
        self._times: list[int] = []  # of the last alarms, as many as an incident takes
        self._sources: dict[bytes, int] = {}  # the last to alarm, as many as an incident takes -> when
        self._held: list[Held] = []

    def add(self, held: Held, flows: int, sources: int) -> None:
        """Take in an alarm."""
        self.count += 1
        self._times.append(held.at)
        if len(self._times) > flows:
            del self._times[0]
        src = held.alarm.src
        self._sources.pop(src, None)
        self._sources[src] = held.at
        if len(self._sources) > sources:
            del self._sources[next(iter(self._sources))]
        self._held.append(held)
        if len(self._held) > HELD:
            del self._held[0]

    def is_far(self, src: bytes, sources: int) -> bool:
        """Whether no further alarm of this source makes an incident of the target."""
        return src in self._sources and len(self._sources) < sources

    def add_taken(self, src: bytes, now: int, count: int, flows: int) -> None:
        """Take in further alarms of a source that belong to its own incident."""
        self.count += count
        self._times = [*self._times, *[now] * min(count, flows)][-flows:]
        self._sources.pop(src)
        self._sources[src] = now
        self._held = [*self._held, *[_TAKEN] * min(count, HELD)][-HELD:]

    def is_reached(self, flows: int, sources: int, window_us: int) -> bool:
        """Whether the last `flows` alarms and the last `sources` sources all fall within the window."""
        if len(self._times) < flows or len(self._sources) < sources:
            return False
        start = self._times[-1] - window_us
        return self._times[0] >= start and next(iter(self._sources.values())) >= start

    def waiting(self, window_us: int) -> list[Held]:
        """Alarms within the window that belong to no incident; they are handed over."""
        start = self._times[-1] - window_us
        waiting, self._held = [held for held in self._held if not held.taken and held.at >= start], []
        return waiting
