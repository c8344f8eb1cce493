"""Ended flows -> verdicts of the model, beside the names of the rules under whose alert their sources stand.

Flows are rows of a matrix from the meter to the reporter. On replay every flow is judged. Live, `budget` says which,
when there are more than the model has time for.
"""

import time
from collections.abc import Callable, Iterator
from functools import lru_cache
from typing import NamedTuple

import numpy as np

from tlids_edge.detect.budget import ANSWERED, PROVEN, UNANSWERED, Budget, Pace
from tlids_edge.detect.detector import Detector, Verdict, Verdicts
from tlids_edge.flows import rows as table

RULES = ("arp", "neighbours", "fan-out", "fragments")  # a bit each in the field `rules` of a row
UNLIKE, MANY, OUTSIDE = 1, 2, 3  # kinds of novelty: unlike all learned, too many of a service, not its device's profile
GROUP = ("src", "dst", "dst_port")


class Batch(NamedTuple):
    """Verdicts on n flows; each row says under which rules' alert its source stood when the flow ended."""

    verdicts: Verdicts
    novel: np.ndarray  # uint8 [n]: 0, UNLIKE, MANY or OUTSIDE

    def verdict(self, place: int) -> Verdict:
        """One flow's verdict."""
        rows, probabilities, labels, alerts, scores = self.verdicts
        alert, score = bool(alerts[place]), float(scores[place])
        return Verdict(table.flow(rows[place]), probabilities[place], labels[place], alert, score)


class Judging:
    """Flows that have ended, until they are judged or left out."""

    def __init__(self, detector: Detector, in_time: bool = False) -> None:
        """`in_time`: rather leave flows out than be late."""
        self.detector = detector
        self.no_time = 0  # flows left out
        self._ended: list[np.ndarray] = []
        self._left_out: list[np.ndarray] = []
        self._budget, self._pace = (Budget(), Pace()) if in_time else (None, None)

    @property
    def unjudged(self) -> int:
        """Flows without a verdict: left out, or the model gave no number."""
        return self.no_time + self.detector.unjudged

    def note(self, rows: np.ndarray) -> None:
        """Take in flows that have just ended, a ROW array that says which rules suspect their sources."""
        if len(rows):
            self._ended.append(rows)

    def turn(self, now: float) -> Iterator[Batch]:
        """What can be said now, a batch at a time to save memory; `now` in monotonic seconds."""
        parts, self._ended = self._ended, []
        if self._budget is not None:
            parts = self._within_budget(parts, now)
        for rows in table.pieces(parts, self.detector.batch_size):
            yield from self._judged(lambda rows=rows: self.detector.add(rows, now))

    def finish(self) -> Iterator[Batch]:
        """Judge everything that still waits: at the end of a run, or where the order counts more than the time."""
        if self._budget is not None:
            self._ended[:0] = self._budget.take(len(self._budget))
            self._budget = None
        yield from self.turn(0.0)
        yield from self._judged(self.detector.flush)

    def take_over(self, detector: Detector) -> list[Batch]:
        """Judge with another model from now on; what waits in the old one's batch is judged by the old one."""
        judged = self._judged(self.detector.flush)
        detector.unjudged += self.detector.unjudged
        detector.withdrawn += self.detector.withdrawn
        self.detector = detector
        return judged

    def take_left_out(self) -> list[np.ndarray]:
        """Hand over the flows for which there was no time since the last call: ROW arrays."""
        left_out, self._left_out = self._left_out, []
        return left_out

    def _within_budget(self, parts: list[np.ndarray], now: float) -> list[np.ndarray]:
        """The flows, of those that ended now or wait, that there is time for; those that cannot wait are left out."""
        allowed = self._pace.allowed()
        tiers = table.joined([_tiers(rows) for rows in parts], np.dtype(np.uint8))
        left_out = self._budget.offer(parts, tiers, _groups, now, self._pace.a_second)
        self.no_time += sum(map(len, left_out))
        self._left_out += left_out
        return self._budget.take(allowed)

    def _judged(self, judge: Callable[[], list[Verdicts]]) -> list[Batch]:
        """Verdicts in batches; what they cost is noted."""
        began = time.monotonic()
        verdicts = judge()
        if self._pace is not None:
            self._pace.note(sum(len(part.rows) for part in verdicts), time.monotonic() - began)
        return [Batch(part, np.zeros(len(part.rows), np.uint8)) for part in verdicts]


@lru_cache(maxsize=1 << len(RULES))
def names_of(rules: int) -> tuple[str, ...]:
    """The names of the rules whose bits are set."""
    return tuple(name for bit, name in enumerate(RULES) if rules >> bit & 1)


def _tiers(rows: np.ndarray) -> np.ndarray:
    """How much each flow's traffic proves of its source, uint8 [flows]."""
    answered = np.where(rows["answered"], np.uint8(ANSWERED), np.uint8(UNANSWERED))
    return np.where(rows["proven"], np.uint8(PROVEN), answered)


def _groups(rows: np.ndarray) -> np.ndarray:
    """A number for each flow's source, destination and destination port, [flows]."""
    return table.groups(rows, GROUP)
