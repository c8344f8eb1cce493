"""Trained on one network, used on another: every pair of datasets with the same features, and how far flows differ.

This is transfer as a user needs it, benign against attack: the model as it comes (zero-shot), then with 1 %, 5 % and
all of the new network's training rows. A share of the training rows comes with the same share of the validation rows,
and no more.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import product

import numpy as np
import pandas as pd

from tlids_helpers import experiment
from tlids_helpers.audit import baselines
from tlids_helpers.audit.baselines import Fitted, Predict, Rows
from tlids_helpers.audit.check import Check, checked, found
from tlids_helpers.common import progress
from tlids_helpers.common.errors import InputError
from tlids_helpers.common.style import marked
from tlids_helpers.data import prepare, split
from tlids_helpers.data.catalog import DATASETS
from tlids_helpers.data.prepare import Prepared
from tlids_helpers.network import transfer
from tlids_helpers.network.model import predict
from tlids_helpers.results import comparison, metrics
from tlids_helpers.results.runs import Run, Setup

FRACTIONS = (0.01, 0.05, 1.0)
CNN, TREE = "CNN", "extra trees"
TASK = "binary"  # the one mapping of classes that all datasets share
SHOWN = ["source", "target", "mark", "arm", "target_rows", "attacks", "found", "benign", "false_alarms",
         "balanced_accuracy", "mcc"]  # fmt: skip


@dataclass(frozen=True)
class Source:
    """The two models that one dataset trained."""

    prepared: Prepared
    run: Run  # the CNN's
    tree: Fitted
    setup: Setup


@checked
def cross(datasets: Sequence[Prepared], setup: Setup, fractions: Sequence[float] = FRACTIONS, n_jobs: int = 1) -> Check:
    """`pair` for each of `pairs`, its columns `SHOWN`, and the CNN as it comes in counts, over different datasets."""
    frames, wanted = [], pairs(datasets)
    with progress.steps("crossing", "pairs", len(wanted)) as bar:
        for source in datasets:
            trained = train(source, setup, n_jobs)
            for target in (target for one, target in wanted if one is source):
                frames.append(pair(trained, target, fractions))
                bar.update()
    table = pd.concat(frames, ignore_index=True)
    shown = table[(table["model"] == CNN) & (table["fraction"] == 0) & (table["source"] != table["target"])]
    sentence = "No two of the datasets can be compared."
    if len(shown):
        right, attacks, alarms, benign = (shown[name].sum() for name in ("found", "attacks", "false_alarms", "benign"))
        sentence = (
            f"Taken to another network as it is, the CNN finds {right:,} of {attacks:,} attack flows and alarms on "
            f"{alarms:,} of {benign:,} benign ones, over {len(shown)} pairs."
        )
    return found(table[SHOWN], sentence)


def train(prepared: Prepared, setup: Setup, n_jobs: int = 1) -> Source:
    """The CNN (a run, taken as it is when finished) and extra trees, benign against attack."""
    setup = replace(setup, task=TASK)
    rows = tuple(prepare.load(prepared, role, TASK) for role in ("train", "validation"))
    tree = baselines.fit(TREE, rows, 2, prepared.features, setup.seed, n_jobs)
    return Source(prepared, experiment.from_scratch(prepared, setup), tree, setup)


def pair(source: Source, target: Prepared, fractions: Sequence[float] = FRACTIONS) -> pd.DataFrame:
    """One source on one target's test split, one row an arm.

    Arms: the CNN and extra trees zero-shot, and the CNN fine-tuned (new head on frozen blocks, Section 4.3) on each of
    `fractions` of the target's training rows; on its own dataset zero-shot alone, as what there is to lose. Columns:
    source, target, mark, model, fraction (0 is zero-shot), arm, target_rows (trained and validated on), seed, attacks,
    found, benign, false_alarms (test rows), rate, and all of `metrics.ALL_SCORES`. Give one of `pairs`.
    """
    network = transfer.load_source(source.run.model_path, target.features, source.run.result)
    arms = [(CNN, 0.0, 0, lambda x: predict(network, x)), (TREE, 0.0, 0, source.tree.predict)]
    rows = [_row(source, target, *arm) for arm in arms]
    for fraction in () if source.prepared.name == target.name else fractions:
        shares = [
            share_of(prepare.load(target, role, TASK), fraction, source.setup.seed) for role in ("train", "validation")
        ]
        fitted = transfer.train_transferred(network, *shares, 2, source.setup.recipe, source.setup.seed)
        used = sum(len(codes) for _, codes in shares)
        rows.append(_row(source, target, CNN, fraction, used, lambda x, m=fitted.model: predict(m, x)))
    return pd.DataFrame(rows)


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
        "target_rows": used, "seed": source.setup.seed,
        **{name: counted[name] for name in columns}, **metrics.all_scores(truth, probabilities),
    }  # fmt: skip


def _captures(prepared: Prepared) -> set[str]:
    """The recordings behind a dataset: version 2 was metered from those of version 1."""
    return {DATASETS[slug].paper_slug or slug if slug in DATASETS else slug for slug in prepared.parts}


# drift: how far a feature's values differ from source to target, by the population-stability index (PSI)


BINS = 10  # deciles of the source
SMOOTHING = 0.5  # rows added to every bin on both sides, so that an empty bin has a logarithm
MODERATE, LARGE = 0.1, 0.25  # the usual rule of thumb (Siddiqi, Credit Risk Scorecards, 2006)


@checked
def drift(source: Prepared, target: Prepared, benign_only: bool = False) -> Check:
    """PSI of each feature from `source` to `target`, largest first: feature, psi, source_rows, target_rows, shift.

    Training rows; shift is "small", "moderate" (from 0.1) or "large" (from 0.25). With `benign_only` another mix of
    attacks counts for nothing: what is left is that the networks differ. Not possible when the two have other features.
    """
    if source.features != target.features:
        raise InputError(
            f"expected {target.title} to have the features of {source.title}, found {', '.join(target.features)}: "
            "compare datasets of one family"
        )
    sides = [_training_rows(prepared, benign_only) for prepared in (source, target)]
    values = [psi(sides[0][:, column], sides[1][:, column]) for column in range(len(source.features))]
    table = pd.DataFrame({"feature": source.features, "psi": values})
    table["source_rows"], table["target_rows"] = len(sides[0]), len(sides[1])
    table["shift"] = np.select([table["psi"] >= LARGE, table["psi"] >= MODERATE], ["large", "moderate"], "small")
    table = table.sort_values("psi", ascending=False, ignore_index=True)
    large, moderate, first = (table["shift"] == "large").sum(), (table["shift"] == "moderate").sum(), table.iloc[0]
    sentence = (
        f"Of {len(table)} features {large} shift by a PSI of {LARGE} or more and {moderate} by {MODERATE} to {LARGE}; "
        f"{first['feature']} shifts most ({first['psi']:.2f}), from {first['source_rows']:,} source rows to "
        f"{first['target_rows']:,} target rows."
    )
    return found(marked(table, comparison.full_mark({"mark": target.mark, "source_mark": source.mark})), sentence)


def psi(source: np.ndarray, target: np.ndarray) -> float:
    """Sum over bins of (p - q) ln(p / q), p and q the target's and the source's share of rows in the bin.

    Bins are cut at quantiles of the source (n,), the outer ones open; a bin holds its upper edge. Where the source has
    at most BINS values (PROTOCOL, flags) each value is a bin, and one more holds all that the source never had.
    Raises InputError without rows on a side.
    """
    if not len(source) or not len(target):
        raise InputError(f"expected rows on both sides, found {len(source)} and {len(target)}: raise rows")
    sides, n_bins = _bins(np.asarray(source), np.asarray(target))
    counts = [np.bincount(side, minlength=n_bins) + SMOOTHING for side in sides]
    q, p = (count / count.sum() for count in counts)
    return float(((p - q) * np.log(p / q)).sum())


def _bins(source: np.ndarray, target: np.ndarray) -> tuple[list[np.ndarray], int]:
    """The bin of each source row and of each target row, and how many bins there are."""
    values = np.unique(source)
    if len(values) > BINS:
        # the upper edge of each bin is the last of its rows: whole numbers, as 0.3 * 100 is above 30
        last = -(-len(source) * np.arange(1, BINS + 1) // BINS) - 1
        edges = np.unique(np.sort(source)[last])[:-1]
        return [np.searchsorted(edges, side, side="left") for side in (source, target)], len(edges) + 1
    nearest = [np.minimum(np.searchsorted(values, side), len(values) - 1) for side in (source, target)]
    sides = zip(nearest, (source, target), strict=True)
    return [np.where(values[index] == side, index, len(values)) for index, side in sides], len(values) + 1


def _training_rows(prepared: Prepared, benign_only: bool) -> np.ndarray:
    features, codes = prepare.load(prepared, "train")
    if not benign_only:
        return features
    if prepared.classes[0] != prepared.benign:
        raise InputError(f"expected a benign class in {prepared.title}, found none: leave benign_only out")
    return features[codes == 0]
