"""Rows and trainings small enough for tests. No simulation: separable random traffic under the real column names."""

import csv
import functools
from pathlib import Path

import numpy as np

from tlids_helpers.data.catalog import NETFLOW_FEATURES
from tlids_helpers.network import training

CLASSES = ("Benign", "ddos", "injection", "scanning")
BRIEF = training.Recipe(epochs=1)
FLOAT32 = 5e-5  # how far two programs, or two batch sizes, may differ in a probability on any processor


def rows(n: int, seed: int = 0, n_classes: int = 4) -> tuple[np.ndarray, np.ndarray]:
    """Raw features (n, 9) float32, whole numbers over several orders of magnitude, and codes (n,) int32."""
    rng = np.random.default_rng(seed)
    codes = np.arange(n, dtype=np.int32) % n_classes
    centres = np.random.default_rng(99).uniform(0, 9, (n_classes, 9))
    return np.floor(np.exp(rng.normal(centres[codes], 0.7))).astype(np.float32), codes


def write_csv(path: Path, n: int = 400, seed: int = 0, classes: tuple[str, ...] = CLASSES) -> Path:
    """A user's own NetFlow file of `n` rows."""
    features, codes = rows(n, seed, len(classes))
    with path.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow([*NETFLOW_FEATURES, "Attack"])
        writer.writerows([*map(int, row), classes[code]] for row, code in zip(features, codes, strict=True))
    return path


@functools.cache
def train_rows() -> tuple[np.ndarray, np.ndarray]:
    """600 rows of four classes; the last feature is constant."""
    features, codes = rows(600, seed=1)
    features[:, 8] = 7
    return features, codes


@functools.cache
def fitted(seed: int = 1) -> training.Trained:
    """The whole network after one epoch on `train_rows`: 1 compilation for all tests that look at it."""
    return training.train_from_scratch(train_rows(), rows(100, seed=2), len(CLASSES), BRIEF, seed)


def raw_flows() -> np.ndarray:
    """Flows as a Pi may meet them, (300, 9): ordinary, all zero, negative, huge."""
    features, _ = rows(300, seed=3)
    features[0], features[1], features[2] = 0, -1, 4e9
    return features


def same_weights(one: list[np.ndarray], other: list[np.ndarray]) -> bool:
    """Bit for bit."""
    return len(one) == len(other) and all(np.array_equal(a, b) for a, b in zip(one, other, strict=True))
