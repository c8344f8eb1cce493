"""How much of a score is luck: several seeds, their mean and deviation, and a paired test against the best baseline.

A seed changes the split and the model. One seed is never a result; fewer than five are said to be too few.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from scipy.stats import t as student_t

from tlids_helpers.common.errors import InputError
from tlids_helpers.data.prepare import Prepared
from tlids_helpers.results.metrics import ALL_SCORES as SCORES

SEEDS = (42, 43, 44, 45, 46)  # five, as a result needs
COSTS = ("fit_seconds", "predict_seconds", "bytes")


@dataclass(frozen=True)
class Paired:
    """A model against another, seed by seed."""

    model: str
    against: str
    score: str
    seeds: int
    wins: int  # seeds at which `model` scored higher
    difference: float  # mean of model - against, a fraction of 1
    deviation: float  # sample deviation of the differences
    t: float  # paired t
    p: float  # two-sided
    corrected_t: float  # Nadeau and Bengio 2003
    corrected_p: float

    def sentence(self) -> str:
        """The comparison in counts."""
        few = "" if self.seeds >= len(SEEDS) else f" Fewer than {len(SEEDS)} seeds are no result."
        return (
            f"{self.model} has a higher {self.score} than {self.against} on {self.wins} of {self.seeds} seeds, by "
            f"{100 * self.difference:+.2f} points on average (deviation {100 * self.deviation:.2f}); "
            f"p = {self.corrected_p:.3g} corrected for overlapping splits, {self.p:.3g} without.{few}"
        )


def over_seeds(
    prepared_of: Callable[[int], Prepared], evaluate: Callable[[Prepared, int], pd.DataFrame], seeds: Sequence[int]
) -> pd.DataFrame:
    """Every seed's table, one below the other. Raises InputError below two seeds, or when one comes twice.

    `prepared_of` prepares the rows of a seed (`prepare.prepare` with seed=seed); `evaluate` scores any models on them
    (`baselines.table`, told its names, task and seed).
    """
    _check(seeds)
    return pd.concat([evaluate(prepared_of(seed), seed) for seed in seeds], ignore_index=True)


def summary(runs: pd.DataFrame, scores: Sequence[str] = (*SCORES, *COSTS)) -> pd.DataFrame:
    """One row a model and score: model, score, mean, deviation (sample, n - 1), seeds; models in their order.

    Raises InputError when a model ran on fewer than two seeds.
    """
    for _, group in runs.groupby("model", sort=False):
        _check(group["seed"].tolist())
    long = runs.melt(["model", "seed"], [name for name in scores if name in runs], "score")
    grouped = long.groupby(["model", "score"], sort=False)["value"]
    # skipna=False: a mean over fewer seeds than it says would be another number
    frame = grouped.agg(mean=lambda v: v.mean(skipna=False), deviation=lambda v: v.std(skipna=False), seeds="size")
    return frame.reset_index()


def best(runs: pd.DataFrame, score: str = "macro_f1", among: Sequence[str] | None = None) -> str:
    """The model with the highest mean of `score` over the seeds, among those named (None: all).

    It is chosen by the numbers it is then compared by, so the comparison is a little in its favour. Raises InputError
    when there is no run of any of them.
    """
    shown = runs if among is None else runs[runs["model"].isin(among)]
    if shown.empty:
        raise InputError(f"expected runs of {', '.join(among or ())}, found none: run them first")
    return str(shown.groupby("model", sort=False)[score].mean().idxmax())


def paired(runs: pd.DataFrame, model: str, against: str, score: str = "macro_f1") -> Paired:
    """`model` against another on the same seeds: paired t-test, and the same corrected for splits that overlap.

    Random splits of one dataset share rows, so seeds are not independent and the plain test finds too much. Nadeau and
    Bengio (Machine Learning 52, 2003) replace 1/n by 1/n + test rows / training rows. Raises InputError below two
    seeds, or when the two ran on different seeds.
    """
    sides = [runs[runs["model"] == name].set_index("seed") for name in (model, against)]
    seeds = [sorted(side.index) for side in sides]
    if seeds[0] != seeds[1]:
        raise InputError(
            f"expected {model} and {against} on the same seeds, found {seeds[0]} and {seeds[1]}: run the missing ones"
        )
    _check(seeds[0])
    differences = (sides[0][score] - sides[1][score]).to_numpy(dtype=np.float64)
    ratio = float((sides[0]["test_rows"] / sides[0]["train_rows"]).mean())
    n = len(differences)
    plain, corrected = (_t_test(differences, share) for share in (1 / n, 1 / n + ratio))
    return Paired(
        model, against, score, n, int((differences > 0).sum()), float(differences.mean()),
        float(differences.std(ddof=1)), *plain, *corrected,
    )  # fmt: skip


def _t_test(differences: np.ndarray, share: float) -> tuple[float, float]:
    """t = mean / sqrt(share * variance), and its two-sided p with n - 1 degrees of freedom."""
    mean, variance = differences.mean(), differences.var(ddof=1)
    if np.ptp(differences) == 0:  # rounding may leave a variance that is no variance
        return (0.0, 1.0) if mean == 0 else (math.copysign(math.inf, mean), 0.0)
    t = mean / math.sqrt(share * variance)
    return float(t), float(2 * student_t.sf(abs(t), len(differences) - 1))


def _check(seeds: Sequence[int]) -> None:
    if len(set(seeds)) != len(seeds):
        raise InputError(f"expected each seed once, found {list(seeds)}: leave the second one out")
    if len(seeds) < 2:
        raise InputError(f"expected at least two seeds (five for a result), found {len(seeds)}: one seed is no result")
