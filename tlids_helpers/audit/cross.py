"""Trained on one network, used on another: every pair of datasets with the same features, benign against attack.

This is transfer as a user needs it: the model as it comes (zero-shot), then with 1 %, 5 % and all of the new
network's training rows. A share of the training rows comes with the same share of the validation rows, and no more.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import product
from pathlib import Path

import numpy as np
import pandas as pd

from tlids_helpers import experiment
from tlids_helpers.audit import baselines
from tlids_helpers.audit.baselines import CNN, Fitted, Predict, Rows
from tlids_helpers.common.errors import InputError
from tlids_helpers.data import prepare, split
from tlids_helpers.data.catalog import DATASETS
from tlids_helpers.data.prepare import Prepared
from tlids_helpers.network import transfer
from tlids_helpers.network.model import predict
from tlids_helpers.network.recipe import Recipe
from tlids_helpers.results import comparison, metrics
from tlids_helpers.results.runs import Run

FRACTIONS = (0.01, 0.05, 1.0)
TREE = "extra trees"
TASK = "binary"  # the one mapping of classes that all datasets share


@dataclass(frozen=True)
class Source:
    """The two models that one dataset trained."""

    prepared: Prepared
    run: Run  # the CNN's
    tree: Fitted
    recipe: Recipe
    seed: int


def train(prepared: Prepared, recipe: Recipe, seed: int, runs_dir: str | Path, n_jobs: int = 1) -> Source:
    """The CNN (a run under `runs_dir`, taken as it is when finished) and extra trees, benign against attack."""
    run = experiment.from_scratch("07_audit", prepared, TASK, recipe, seed, runs_dir)
    rows = [prepare.load(prepared, role, TASK) for role in ("train", "validation")]
    tree = baselines.fit(TREE, *rows, 2, prepared.features, seed, n_jobs)
    return Source(prepared, run, tree, recipe, seed)


def pair(source: Source, target: Prepared, fractions: Sequence[float] = FRACTIONS) -> pd.DataFrame:
    """One source on one target's test split, one row an arm.

    Arms: the CNN and extra trees zero-shot, and the CNN fine-tuned (new head on frozen blocks, Section 4.3) on each of
    `fractions` of the target's training rows; on its own dataset zero-shot alone, as what there is to lose. Columns:
    source, target, mark, model, fraction (0 is zero-shot), arm, target_rows (trained and validated on), seed, attacks,
    found, benign, false_alarms (test rows), rate, and all of `metrics.ALL_SCORES`. Raises InputError when the two have
    other features, or captures in common.
    """
    own = source.prepared.name == target.name
    if source.prepared.features != target.features or (not own and _captures(source.prepared) & _captures(target)):
        raise InputError(
            f"expected another network with the features of {source.prepared.title}, found {target.title}: "
            "choose datasets of one family that share no captures"
        )
    network = transfer.load_source(source.run.model_path, target.features, source.run.result)
    arms = [(CNN, 0.0, 0, lambda x: predict(network, x)), (TREE, 0.0, 0, source.tree.predict)]
    rows = [_row(source, target, *arm) for arm in arms]
    for fraction in () if own else fractions:
        shares = [share_of(prepare.load(target, role, TASK), fraction, source.seed) for role in ("train", "validation")]
        fitted = transfer.train_transferred(network, *shares, 2, source.recipe, source.seed)
        used = sum(len(codes) for _, codes in shares)
        rows.append(_row(source, target, CNN, fraction, used, lambda x, m=fitted.model: predict(m, x)))
    return pd.DataFrame(rows)


def matrix(
    datasets: Sequence[Prepared],
    recipe: Recipe = Recipe(),  # noqa: B008 - frozen
    seed: int = 42,
    runs_dir: str | Path = "runs",
    fractions: Sequence[float] = FRACTIONS,
    n_jobs: int = 1,
    progress: Callable[[int], object] | None = None,
) -> pd.DataFrame:
    """`pair` for all ordered pairs of `datasets` that share features and no captures, each with itself included.

    `progress` is called with 1 after each pair.
    """
    frames = []
    for source in datasets:
        targets = [target for one, target in pairs(datasets) if one is source]
        trained = train(source, recipe, seed, runs_dir, n_jobs)
        for target in targets:
            frames.append(pair(trained, target, fractions))
            if progress:
                progress(1)
    return pd.concat(frames, ignore_index=True)


def pairs(datasets: Sequence[Prepared]) -> list[tuple[Prepared, Prepared]]:
    """The (source, target) pairs that mean something.

    Left out: other features, and captures in common (a union and its part, version 1 and version 2 of one dataset).
    """
    return [
        (source, target)
        for source, target in product(datasets, repeat=2)
        if source is target or (source.features == target.features and not _captures(source) & _captures(target))
    ]


def share_of(rows: Rows, fraction: float, seed: int) -> Rows:
    """A stratified share of `rows`, in their order; at least one row of each class.

    Raises InputError for a fraction that is not above 0 and at most 1.
    """
    if not 0 < fraction <= 1:
        raise InputError(f"expected a fraction above 0 and at most 1, found {fraction}: give 0.01 for 1 %")
    features, codes = rows
    counts = np.bincount(codes)
    keep = np.maximum(split.apportion(counts, round(fraction * len(codes))), np.minimum(counts, 1))
    dealt = split.draw(np.stack([counts - keep, keep], axis=1), codes, np.random.default_rng(seed))
    return features[dealt == 1], codes[dealt == 1]


def sentence(frame: pd.DataFrame) -> str:
    """The zero-shot CNN in counts: over all pairs of different datasets."""
    shown = frame[(frame["model"] == CNN) & (frame["fraction"] == 0) & (frame["source"] != frame["target"])]
    if shown.empty:
        return "No two of the datasets can be compared."
    found, attacks, alarms, benign = (int(shown[name].sum()) for name in ("found", "attacks", "false_alarms", "benign"))
    return (
        f"Taken to another network as it is, the CNN finds {found:,} of {attacks:,} attack flows and alarms on "
        f"{alarms:,} of {benign:,} benign ones, over {len(shown)} pairs."
    )


def _row(source: Source, target: Prepared, model: str, fraction: float, used: int, predict: Predict) -> dict:
    features, truth = prepare.load(target, "test", TASK)
    probabilities = predict(features)
    counted = metrics.operating_points(truth, probabilities).iloc[0]
    columns = ("attacks", "found", "benign", "false_alarms", "rate")
    return {
        "source": source.prepared.title, "target": target.title,
        "mark": comparison.full_mark({"mark": target.mark, "source_mark": source.prepared.mark}),
        "model": model, "fraction": fraction,
        "arm": f"{model}, fine-tuned on {100 * fraction:g} %" if fraction else f"{model}, zero-shot",
        "target_rows": used, "seed": source.seed,
        **{name: counted[name] for name in columns}, **metrics.all_scores(truth, probabilities),
    }  # fmt: skip


def _captures(prepared: Prepared) -> set[str]:
    """The recordings behind a dataset: version 2 was metered from those of version 1."""
    return {DATASETS[slug].paper_slug or slug if slug in DATASETS else slug for slug in prepared.parts}
