"""Stand-in rows for a dataset that is not on disk.

**This is made-up traffic.** It has a dataset's exact columns, classes in the published proportions, and quirks of the
file, so that every code path can be run, tested and shown without the dataset. No number measured on it says anything
about the dataset, and every table and plot made from it is marked `simulated`.

`traffic` is the table of what each class looks like, `columns` writes it as NetFlow or CICFlowMeter rows.
"""

import zlib

import numpy as np
import pandas as pd

from tlids_helpers.data.catalog import DATASETS, PARENTS, Dataset
from tlids_helpers.data.raw import PART_COLUMN
from tlids_helpers.data.split import apportion
from tlids_helpers.data.standin import columns, traffic

FLOOR = 40
"""Rows of the rarest class: enough for both sides of a split and for a validation part."""

DUPLICATES = {"iot-network-intrusion": 0.26}  # published
DUPLICATES_UNKNOWN = 0.02
"""Share of rows that repeat an earlier row."""

BORROWED = 0.05
"""Share of rows that take their features from any other row, mostly of another class: so no class is told apart
perfectly, and equal rows carry different labels."""

ZERO_DURATION = 0.001
FEWEST_ZERO_DURATION = 6
"""Share of CICFlowMeter rows of zero duration, hence with an infinite rate; and their least number."""


def simulate(dataset: Dataset, rows: int = 10_000, seed: int = 42) -> pd.DataFrame:
    """A stand-in for the dataset's raw file: its columns in order, rows shuffled, the same for the same arguments.

    It has max(rows, FLOOR * number of classes) rows, for a union (see `part_rows`) the sum of its parts' rows.
    Every dataset draws from its own stream. A union has the column `Dataset` besides: the title of a row's part.
    """
    if dataset.parts:
        return _union(dataset, rows, seed)
    rng = _stream(dataset, seed)
    counts = class_counts(dataset, rows)
    flows = pd.concat([traffic.draw(label, count, rng) for label, count in counts.items()], ignore_index=True)
    labels = np.repeat(np.array(list(counts), dtype=object), list(counts.values()))
    if dataset.family == "cicflow":
        _stop_clocks(flows, rng)
    taken = _repeated(labels, DUPLICATES.get(dataset.slug, DUPLICATES_UNKNOWN), _borrowed(len(labels), rng), rng)
    order = rng.permutation(len(labels))
    write = columns.netflow if dataset.family == "netflow" else columns.cicflow
    return write(dataset, flows.take(taken[order]).reset_index(drop=True), labels[order])


def part_rows(dataset: Dataset, rows: int) -> dict[str, int]:
    """Slug -> rows asked of each part of a union: in proportion to the published totals, adding up to `rows`."""
    return _shared({slug: DATASETS[slug].total for slug in dataset.parts}, rows)


def class_counts(dataset: Dataset, rows: int) -> dict[str, int]:
    """Class -> rows: the published proportions, at least `FLOOR` each, max(rows, FLOOR * classes) in all.

    Classes whose share would fall below the floor get the floor; the others share what is left in proportion, by
    largest remainder. Where no counts are published, half of the rows are benign, and the attacks share the other half.
    """
    weights = _class_weights(dataset)
    total = max(rows, FLOOR * len(weights))
    rare: set[str] = set()
    while True:
        left = total - FLOOR * len(rare)
        mass = sum(weight for name, weight in weights.items() if name not in rare)
        below = {name for name, weight in weights.items() if name not in rare and left * weight < FLOOR * mass}
        if not below:
            break
        rare |= below
    common = _shared({name: weight for name, weight in weights.items() if name not in rare}, left)
    return {name: common.get(name, FLOOR) for name in weights}


def _class_weights(dataset: Dataset) -> dict[str, int]:
    """Class -> published rows, or the plain choice where nobody has published them."""
    if None not in dataset.classes.values():
        return dict(dataset.classes)
    attacks = len(dataset.classes) - 1
    return {name: attacks if name == dataset.benign else 1 for name in dataset.classes}


def _shared(weights: dict[str, int], total: int) -> dict[str, int]:
    """Whole numbers in proportion to `weights` that add up to `total`."""
    shares = apportion(np.array(list(weights.values())) * total, total)
    return dict(zip(weights, shares.tolist(), strict=True))


def _stream(dataset: Dataset, seed: int) -> np.random.Generator:
    return np.random.default_rng([seed, zlib.crc32(dataset.slug.encode())])


def _union(dataset: Dataset, rows: int, seed: int) -> pd.DataFrame:
    """The parts' stand-ins under the union's class names, shuffled together; each is `simulate(part, ..., seed)`."""
    frames = []
    for slug, share in part_rows(dataset, rows).items():
        frame = simulate(DATASETS[slug], share, seed)
        frame[dataset.label] = frame[dataset.label].map(lambda name: PARENTS.get(name, name))
        frame[PART_COLUMN] = DATASETS[slug].title
        frames.append(frame)
    whole = pd.concat(frames, ignore_index=True)
    return whole.take(_stream(dataset, seed).permutation(len(whole))).reset_index(drop=True)


def _stop_clocks(flows: pd.DataFrame, rng: np.random.Generator) -> None:
    """Let a few flows last no time."""
    count = max(FEWEST_ZERO_DURATION, round(ZERO_DURATION * len(flows)))
    flows.loc[rng.choice(len(flows), count, replace=False), "microseconds"] = 0


def _borrowed(rows: int, rng: np.random.Generator) -> np.ndarray:
    """For each row, the number of the row that it takes its features from: its own, but for `BORROWED` of them."""
    taken = np.arange(rows)
    borrowers = rng.choice(rows, round(BORROWED * rows), replace=False)
    taken[borrowers] = rng.integers(0, rows, len(borrowers))
    return taken


def _repeated(labels: np.ndarray, share: float, taken: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """`taken` with a share of exact duplicates, class by class, each a copy of a row that stays."""
    for label in np.unique(labels):
        members = rng.permutation(np.flatnonzero(labels == label))
        count = round(share * len(members))
        taken[members[:count]] = taken[members[count:][rng.integers(0, len(members) - count, count)]]
    return taken
