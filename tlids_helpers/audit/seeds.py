"""How much of a score is luck: several seeds, their mean and deviation, and a paired test against the best baseline.

A seed changes the split and the model. One seed is never a result, and fewer than five are too few.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd
from scipy.stats import t as student_t

from tlids_helpers import experiment
from tlids_helpers.audit import baselines
from tlids_helpers.audit.check import Check, checked, found
from tlids_helpers.common import progress
from tlids_helpers.common.errors import InputError
from tlids_helpers.common.style import marked
from tlids_helpers.data.prepare import Prepared
from tlids_helpers.network import device, training
from tlids_helpers.network.recipe import Recipe
from tlids_helpers.results.metrics import ALL_SCORES as SCORES
from tlids_helpers.results.runs import Setup

SEEDS = (42, 43, 44, 45, 46)  # five, as a result needs
COSTS = ("fit_seconds", "predict_seconds", "bytes")
SHOWN = (
    "accuracy", "f1", "macro_f1", "balanced_accuracy", "mcc", "pr_auc", "pr_auc_attack", "recall_at_0.001",
    "recall_at_0.01",
)  # fmt: skip


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
    p: float  # of the paired t-test, two-sided
    corrected_p: float  # Nadeau and Bengio 2003

    def sentence(self) -> str:
        """The comparison in counts."""
        few = "" if self.seeds >= len(SEEDS) else f" Fewer than {len(SEEDS)} seeds prove little."
        return (
            f"{self.model} has a higher {self.score} than {self.against} on {self.wins} of {self.seeds} seeds, by "
            f"{100 * self.difference:+.2f} points on average (deviation {100 * self.deviation:.2f}); "
            f"p = {self.corrected_p:.3g} corrected for overlapping splits, {self.p:.3g} without.{few}"
        )


def over_seeds(
    prepared_of: Callable[[int], Prepared],
    seeds: Sequence[int],
    setup: Setup,
    networks: Mapping[str, Recipe],
    names: Sequence[str] | None = None,
    n_jobs: int = 1,
) -> pd.DataFrame:
    """`baselines.scored` of every seed, one below the other.

    `prepared_of` prepares the rows of a seed (`prepare.prepare` with seed=seed); a seed replaces that of `setup`. On an
    accelerator that JAX sees, each network is first trained for all seeds at once. Raises InputError below two seeds,
    or when one comes twice.
    """
    _check(seeds)
    if device.accelerated():
        for recipe in networks.values():  # runs, which are then found finished
            rows = [prepared_of(seed) for seed in seeds]
            experiment.seeds_from_scratch(rows, replace(setup, recipe=recipe), seeds)
    frames = []
    with progress.steps("baselines and networks", "seeds", len(seeds)) as bar:
        for seed in seeds:
            frames.append(baselines.scored(prepared_of(seed), replace(setup, seed=seed), networks, names, n_jobs))
            bar.update()
    return pd.concat(frames, ignore_index=True)


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
    return Paired(
        model, against, score, n, int((differences > 0).sum()), float(differences.mean()),
        float(differences.std(ddof=1)), _p_value(differences, 1 / n), _p_value(differences, 1 / n + ratio),
    )  # fmt: skip


@checked
def against_best(runs: pd.DataFrame, model: str, scores: Sequence[str] = SHOWN, mark: str = "") -> Check:
    """`model` beside the best baseline in each score: score, model's mean, best, its mean, points, wins, seeds, p.

    `points` is the mean of model - best over the seeds, in percentage points; `p` is two-sided, corrected for splits
    that overlap. A score that is no number on some seed (no benign rows) is left out.
    """
    rows = []
    for score in scores:
        if runs[score].isna().any():
            continue
        first = best(runs, score, baselines.BASELINES)
        pair = paired(runs, model, first, score)
        means = [runs[runs["model"] == name][score].mean() for name in (model, first)]
        rows.append((score, means[0], first, means[1], 100 * pair.difference, pair.wins, pair.seeds, pair.corrected_p))
    table = pd.DataFrame(rows, columns=["score", model, "best baseline", "its mean", "points", "wins", "seeds", "p"])
    return found(marked(table, mark), _against_best_sentence(table))


def _against_best_sentence(table: pd.DataFrame) -> str:
    """In how many scores the baseline is ahead, and by how much."""
    behind, worst = table[table["points"] < 0], ""
    if len(behind):
        row = behind.loc[behind["points"].idxmin()]
        worst = f", most of all in {row['score']} ({row['best baseline']} by {-row['points']:.2f} points)"
    few = "" if table["seeds"].min() >= len(SEEDS) else f" Fewer than {len(SEEDS)} seeds prove little."
    return (
        f"Over {table['seeds'].iloc[0]} seeds {table.columns[1]} is ahead of the best baseline in "
        f"{(table['points'] > 0).sum()} of {len(table)} scores and behind it in {len(behind)}{worst}.{few}"
    )


def _p_value(differences: np.ndarray, share: float) -> float:
    """The two-sided p of t = mean / sqrt(share * variance), with n - 1 degrees of freedom."""
    mean, variance = differences.mean(), differences.var(ddof=1)
    if np.ptp(differences) == 0:  # rounding may leave a variance that is no variance
        return 1.0 if mean == 0 else 0.0
    return float(2 * student_t.sf(abs(mean) / math.sqrt(share * variance), len(differences) - 1))


def _check(seeds: Sequence[int]) -> None:
    training.check_seeds(seeds)
    if len(seeds) < 2:
        raise InputError(f"expected at least two seeds (five for a result), found {len(seeds)}: one seed has no spread")
