"""Which flows are judged when more of them end than the model has time for.

Live, a second of waiting flows is as many as the model judges in a second of the time it gets. What would have to wait
longer is thinned out as it comes: proven flows are taken before answered ones, those before unanswered ones, and among
equals every group of one source, destination and destination port gets the same number of verdicts, drawn uniformly
from its flows. So a flood takes nothing from flows of another kind or group, and forged sources, which have no answers,
take nothing from those that have.

Flows are rows of any numpy array (objects, or a structured array); a turn's rows cost the same few numpy calls however
many there are: 0.3 us a row on one x86 core when most are left out.
"""

import time
from collections import deque
from collections.abc import Callable

import numpy as np

from tlids_edge.chance import Chance, uniform

MAX_WAIT_S = 1.0
PROVEN, ANSWERED, UNANSWERED = 0, 1, 2
TIERS = TOO_MANY = 3
FLOOR, SPARE = 0.2, 0.8  # of the time: the least for verdicts; of what is left beside everything else, so much
LEAST = 256  # flows that are never too many
Groups = Callable[[np.ndarray], np.ndarray]  # rows -> int [rows]


class Budget:
    """Flows that wait for a verdict, at most MAX_WAIT_S long, and at most as many as are judged in that time."""

    def __init__(self, chance: Chance = uniform) -> None:
        """Let nothing wait; `chance` draws the samples."""
        self._chance = chance
        self._waiting: list[deque[tuple[float, np.ndarray]]] = [deque() for _ in range(TIERS)]

    def __len__(self) -> int:
        """Flows that wait."""
        return sum(len(rows) for tier in self._waiting for _, rows in tier)

    def offer(
        self, parts: list[np.ndarray], tiers: np.ndarray, groups: Groups, now: float, a_second: float
    ) -> list[np.ndarray]:
        """Take in flows that have ended, arrays of some; those that must be left out unjudged, arrays in no order.

        `tiers` is uint8 [n], PROVEN, ANSWERED or UNANSWERED, of all n flows; `groups` gives equal integers for rows of
        one group, and is asked only when there are too many; `now` in seconds; `a_second` is how many flows are judged
        in one. Rows are large: the arrays are not joined, and the list is emptied so that each is let go.
        """
        left_out = self._too_old(now)
        tiers = self._thinned(parts, tiers, groups, max(int(a_second * MAX_WAIT_S), LEAST))
        while parts:
            rows = parts.pop(0)
            of, tiers = tiers[: len(rows)], tiers[len(rows) :]
            for tier in range(TIERS + 1):
                some = rows[of == tier]
                if len(some) and tier == TOO_MANY:
                    left_out.append(some)
                elif len(some):
                    self._waiting[tier].append((now, some))
        return left_out

    def _thinned(self, parts: list[np.ndarray], tiers: np.ndarray, groups: Groups, room: int) -> np.ndarray:
        """The tiers of flows, TOO_MANY for those beyond what may wait: `room` of each tier."""
        thinned, grouped = tiers.copy(), None
        for tier, waiting in enumerate(self._waiting):
            new = np.flatnonzero(tiers == tier)
            space = max(room - sum(len(held) for _, held in waiting), 0)
            if len(new) > space:
                grouped = np.concatenate([groups(rows) for rows in parts]) if grouped is None else grouped
                thinned[new] = TOO_MANY
                thinned[new[fair_sample(grouped[new], space, self._chance)]] = tier
        return thinned

    def take(self, most: int) -> list[np.ndarray]:
        """At most so many flows to judge now, the better proven first, then the older: arrays of one or more."""
        taken = []
        for waiting in self._waiting:
            while waiting and most > 0:
                since, rows = waiting.popleft()
                if len(rows) > most:
                    waiting.appendleft((since, rows[most:]))
                    rows = rows[:most]
                taken.append(rows)
                most -= len(rows)
        return taken

    def _too_old(self, now: float) -> list[np.ndarray]:
        """What has waited too long, because the model became slower or because better proven flows came."""
        old = []
        for waiting in self._waiting:
            while waiting and now - waiting[0][0] > MAX_WAIT_S:
                old.append(waiting.popleft()[1])
        return old


class Pace:
    """How many flows the model may judge, from what its verdicts cost and what else the process has to do."""

    def __init__(self, cost_s: float = 100e-6, clock: Callable[[], float] = time.monotonic) -> None:
        """`cost_s` is the first guess of a verdict's cost in seconds."""
        self.cost_s, self._clock = cost_s, clock
        self._wall, self._cpu = clock(), time.process_time()
        self._judging_s = 0.0  # since the last question
        self.a_second = FLOOR / cost_s

    def allowed(self) -> int:
        """Flows that may be judged now; sets `a_second`, how many a second that is."""
        wall, cpu = self._clock(), time.process_time()
        elapsed = max(wall - self._wall, 1e-6)
        other = max(cpu - self._cpu - self._judging_s, 0.0)
        self._wall, self._cpu, self._judging_s = wall, cpu, 0.0
        share = max(FLOOR, SPARE * (1 - other / elapsed))
        self.a_second = share / self.cost_s
        return max(int(elapsed * self.a_second), LEAST)

    def note(self, flows: int, seconds: float) -> None:
        """So many flows took so long to judge."""
        if flows:
            self._judging_s += seconds
            weight = min(flows / 1000, 0.5)  # of a few flows one learns little
            self.cost_s += weight * (max(seconds / flows, 1e-6) - self.cost_s)


def fair_sample(groups: np.ndarray, size: int, chance: Chance) -> np.ndarray:
    """Indices of `size` rows, as equally many of each group as there are, drawn uniformly within a group.

    `groups` int [n]: equal for the rows of one group. A group with fewer rows than its share gives the rest to others.
    """
    drawn = chance(len(groups))
    order = np.lexsort((drawn, groups))
    ordered = groups[order]
    first = np.flatnonzero(np.concatenate(([True], ordered[1:] != ordered[:-1])))  # of each group
    place = np.arange(len(groups)) - np.repeat(first, np.diff(np.append(first, len(groups))))
    if size >= len(groups):
        return order
    return order[np.argpartition(place + chance(len(groups)), size)[:size]]
