"""The promise: how many of the home's own flows alarm, with an upper bound (Clopper and Pearson, 1934)."""

from math import exp, isnan, lgamma, log, log1p

CONFIDENCE = 0.95
_STEPS = 200  # of bisection: more than a float has digits


def upper_bound(alarms: int, flows: int, confidence: float = CONFIDENCE) -> float:
    """The largest rate at which `alarms` or fewer of `flows` still come up with probability 1 - `confidence`.

    Exact (Clopper-Pearson), one-sided. 1.0 without flows, or where all alarm.

    Raises:
        ValueError: the counts are no counts, or the confidence is not between 0 and 1.
    """
    if not 0 <= alarms <= flows or not 0 < confidence < 1:
        raise ValueError(f"expected 0 <= alarms <= flows, found {alarms} and {flows} at {confidence}")
    if alarms == flows:
        return 1.0
    low, high = 0.0, 1.0
    for _ in range(_STEPS):
        middle = (low + high) / 2
        if at_most(alarms, flows, middle) > 1 - confidence:
            low = middle
        else:
            high = middle
    return high


def at_most(count: int, trials: int, rate: float) -> float:
    """The probability of `count` or fewer successes in `trials`, each with probability `rate` (binomial)."""
    if isnan(rate) or not 0 <= rate <= 1:
        raise ValueError(f"expected a rate from 0 to 1, found {rate}")
    if count >= trials or rate == 0:
        return 1.0
    if rate == 1:
        return 0.0
    total = lgamma(trials + 1)
    logs = [
        total - lgamma(hits + 1) - lgamma(trials - hits + 1) + hits * log(rate) + (trials - hits) * log1p(-rate)
        for hits in range(count + 1)
    ]
    largest = max(logs)
    return min(1.0, exp(largest) * sum(exp(value - largest) for value in logs))
