"""Ended flows -> verdicts of the model, beside the names of the rules under whose alert their sources stand.

On replay every flow is judged. Live, `budget` says which, when there are more than the model has time for.
"""

import time
from collections.abc import Callable, Iterator
from typing import NamedTuple

import numpy as np

from tlids_edge.detect.budget import ANSWERED, PROVEN, UNANSWERED, Budget, Pace
from tlids_edge.detect.detector import Detector, Verdict
from tlids_edge.flows.meter import Flow


class Judged(NamedTuple):
    """A flow's verdict, and what else is known of its source."""

    verdict: Verdict
    rules: tuple[str, ...]  # under whose alert it stood when the flow ended
    novel: bool = False  # the model calls the flow benign, and it is unlike all that was learned of the home


class Judging:
    """Flows that have ended, until they are judged or left out."""

    def __init__(self, detector: Detector, rules_of: Callable[[Flow], tuple[str, ...]], in_time: bool = False) -> None:
        """`rules_of` names the rules that suspect a flow's source; `in_time`: rather leave flows out than be late."""
        self.detector = detector
        self.no_time = 0  # flows left out
        self._rules_of = rules_of
        self._ended: list[Flow] = []
        self._under_rule: dict[int, tuple[str, ...]] = {}  # id of such a flow that waits -> its rules
        self._left_out: list[Flow] = []
        self._budget, self._pace = (Budget(), Pace()) if in_time else (None, None)

    @property
    def unjudged(self) -> int:
        """Flows without a verdict: left out, or the model gave no number."""
        return self.no_time + self.detector.unjudged

    def note(self, flows: list[Flow]) -> None:
        """Take in flows that have just ended, while the rules are where they were when that happened."""
        for flow in flows:
            if rules := self._rules_of(flow):
                self._under_rule[id(flow)] = rules
        self._ended += flows

    def turn(self, now: float) -> Iterator[list[Judged]]:
        """What can be said now, a batch at a time to save memory; `now` in monotonic seconds."""
        flows, self._ended = self._ended, []
        if self._budget is not None:
            flows = self._within_budget(flows, now)
        size = self.detector.batch_size
        for start in range(0, max(len(flows), 1), size):
            yield self._judged(lambda part=flows[start : start + size]: self.detector.add(part, now))

    def finish(self) -> Iterator[list[Judged]]:
        """Judge everything that still waits: at the end of a run, or where the order counts more than the time."""
        if self._budget is not None:
            held = self._budget.take(len(self._budget))
            self._ended[:0] = [] if held is None else held.tolist()
            self._budget = None
        yield from self.turn(0.0)
        yield self._judged(self.detector.flush)

    def take_over(self, detector: Detector) -> list[Judged]:
        """Judge with another model from now on; what waits in the old one's batch is judged by the old one."""
        judged = self._judged(self.detector.flush)
        detector.unjudged += self.detector.unjudged
        self.detector = detector
        return judged

    def take_left_out(self) -> list[Flow]:
        """Hand over the flows for which there was no time since the last call."""
        flows, self._left_out = self._left_out, []
        return flows

    def _within_budget(self, ended: list[Flow], now: float) -> list[Flow]:
        """The flows, of those that ended now or wait, that there is time for; those that cannot wait are left out."""
        rows = np.empty(len(ended), dtype=object)
        rows[:] = ended
        allowed = self._pace.allowed()
        left_out = self._budget.offer(rows, _tiers(ended), _groups, now, self._pace.a_second).tolist()
        self.no_time += len(left_out)
        self._left_out += left_out
        if self._under_rule:
            for flow in left_out:
                self._under_rule.pop(id(flow), None)
        taken = self._budget.take(allowed)
        return [] if taken is None else taken.tolist()

    def _judged(self, judge: Callable[[], list[Verdict]]) -> list[Judged]:
        """Verdicts with their flows' rules; what they cost is noted."""
        began = time.monotonic()
        verdicts = judge()
        if self._pace is not None:
            self._pace.note(len(verdicts), time.monotonic() - began)
        return [Judged(verdict, self._under_rule.pop(id(verdict.flow), ())) for verdict in verdicts]


def _tiers(flows: list[Flow]) -> np.ndarray:
    """How much each flow's traffic proves of its source, uint8 [flows]."""
    known = (PROVEN if flow.proven else ANSWERED if flow.answered else UNANSWERED for flow in flows)
    return np.fromiter(known, np.uint8, len(flows))


def _groups(flows: np.ndarray) -> np.ndarray:
    """A number for each flow's source, destination and destination port, int64 [flows]."""
    numbers = (hash((flow.key[0], flow.key[1], flow.key[3])) for flow in flows.tolist())
    return np.fromiter(numbers, np.int64, len(flows))
