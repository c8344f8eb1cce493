"""The alert threshold: from which 1 - P(benign) on a flow raises an alert.

Chosen on validation rows for a false-positive rate, never on test rows; the rate on those is only reported.
"""

import math
from dataclasses import dataclass

import numpy as np

from tlids_helpers.common.errors import InputError

HAIR = 1e-6  # above a benign score: float32 arithmetic differs by less from processor to processor


@dataclass(frozen=True)
class Threshold:
    """An alert threshold, and the rows it was chosen on."""

    value: float  # alert when 1 - P(benign) is at least this
    target: float  # the false-positive rate it was chosen for, a fraction of 1
    rows: int  # benign validation rows
    alarms: int  # of them at or above the threshold

    @property
    def rate(self) -> float:
        """The false-positive rate on the benign validation rows."""
        return self.alarms / self.rows

    @property
    def enough(self) -> bool:
        """Whether that many rows can show the target at all: at least one over it."""
        return self.rows * self.target >= 1 - 1e-9

    def sentence(self) -> str:
        """How many rows the threshold was chosen on, and whether they are enough for the target."""
        found = f"{self.alarms:,} of {self.rows:,} benign validation rows reach it ({self.rate:.2%})"
        if self.enough:
            return f"{found}; the target is {self.target:.2%}"
        needed, bound = math.ceil(1 / self.target - 1e-9), min(1.0, 3 / self.rows)  # the rule of three, 95 %
        return (
            f"{found}; that is too few rows to show {self.target:.2%}, which takes {needed:,}: "
            f"no alarm among {self.rows:,} only says that the rate is below about {bound:.1%}"
        )


def scores(probabilities: np.ndarray, benign: int) -> np.ndarray:
    """1 - P(benign) in float64, (n,), exactly as `tlids_edge.detect` computes it; `benign` is the class's column."""
    return 1.0 - probabilities[:, benign].astype(np.float64)


def check_rate(target: float) -> None:
    """Raise InputError unless `target` is a rate above 0 and below 1."""
    if not 0 < target < 1:
        raise InputError(f"expected a false-positive rate between 0 and 1, found {target}: give 0.001 for 0.1 %")


def choose(benign_scores: np.ndarray, target: float) -> Threshold:
    """The smallest threshold that at most the share `target` of benign scores (n,) reaches, and `HAIR` more.

    Equal scores alert together or not at all. Raises InputError when there are no scores, when `target` is no rate, and
    when too many benign flows have the highest score of all, so that no threshold gets as low as `target`.
    """
    check_rate(target)
    if not len(benign_scores):
        raise InputError("expected benign validation rows to choose a threshold on, found none: raise rows")
    if not np.isfinite(benign_scores).all():
        raise InputError("expected numbers from the model for every validation row, found NaN: train it again")
    falling = np.sort(benign_scores)[::-1]
    allowed = math.floor(target * len(falling) + 1e-9)
    first_below = float(falling[allowed])  # the highest score that must not alert
    value = min(first_below + HAIR, (first_below + 1) / 2)
    if not value > first_below:
        share = np.mean(benign_scores >= first_below)
        raise InputError(
            f"expected a threshold that at most {target:.2%} of the benign validation rows reach, but {share:.2%} of "
            "them have the highest score there is: train longer, or raise false_positive_rate above that"
        )
    return Threshold(value, target, len(falling), int(np.count_nonzero(falling >= value)))
