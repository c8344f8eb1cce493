"""Novelty: how far a flow is from everything that was learned (NetFlow features only).

For attacks that nobody trained on. A flow is described by nine numbers: log(1 + x) of the smaller port, of the L7 id
and of bytes and packets both ways; which side has the smaller port; protocol and flags, scaled to the others. Its
distance to the nearest of at most 2,000 distinct learned rows is compared with a threshold that split conformal
prediction gives (Papadopoulos et al. 2002): at most 1 % of flows like those learned reach it.
"""

from dataclasses import dataclass
from math import ceil
from pathlib import Path

import numpy as np

from tlids_edge.detect.card import read_limited
from tlids_edge.digests import sha256
from tlids_edge.errors import InputError

FILE = "novelty.f32"
MAX_ROWS = 2000
WIDTH = 9
ALPHA = 0.01
LEAST = 0.5  # a smaller threshold would take one more packet for something new
CALIBRATION = 5  # one row in five
LARGEST = 100.0  # the logarithm of a float32 is at most 89
CHUNK = 16  # rows at a time: products of more would be spread over threads, which costs far more than it saves


@dataclass(frozen=True)
class Novelty:
    """Learned rows (m, 9) as `described`, and the distance from which a flow is new."""

    store: np.ndarray
    threshold: float

    def distances(self, rows: np.ndarray) -> np.ndarray:
        """The distance (n,) of raw rows (n, 9) to the nearest learned one; the flows of a flood are much alike."""
        alike = np.dtype((np.void, 4 * WIDTH))
        distinct, place = np.unique(described(rows).view(alike)[:, 0], return_inverse=True)
        return nearest(distinct.view(np.float32).reshape(-1, WIDTH), self.store)[place]

    def is_new(self, rows: np.ndarray) -> np.ndarray:
        """Whether each of raw rows (n, 9) is farther away than what was learned."""
        return self.distances(rows) >= self.threshold


def described(rows: np.ndarray) -> np.ndarray:
    """The nine numbers that distances are taken on, (n, 9) float32, from raw NetFlow features (n, 9)."""
    logs = np.log1p(np.maximum(rows, 0, dtype=np.float32))
    smaller = np.minimum(logs[:, 0], logs[:, 1])
    towards = rows[:, 0] < rows[:, 1]
    return np.column_stack([smaller, towards, rows[:, 2] / 8.5, rows[:, 3] / 15.5, logs[:, 4:9]]).astype(np.float32)


def fit(rows: np.ndarray, seed: int) -> Novelty:
    """Learn from raw rows (n, 9) in order of time: the last fifth sets the threshold, the rest is the store.

    Raises:
        ValueError: fewer than two rows.
    """
    if len(rows) < 2:
        raise ValueError(f"expected two rows or more, found {len(rows)}")
    kept_back = max(1, len(rows) // CALIBRATION)
    distinct = np.unique(np.round(described(rows[:-kept_back]), 2), axis=0)
    order = np.random.default_rng(seed).permutation(len(distinct))[:MAX_ROWS]
    store = np.ascontiguousarray(distinct[order])
    reached = conformal(nearest(described(rows[-kept_back:]), store), ALPHA)
    return Novelty(store, max(float(np.nextafter(np.float32(reached), np.float32(np.inf))), LEAST))


def conformal(scores: np.ndarray, alpha: float) -> float:
    """The score that at most a share `alpha` of exchangeable ones exceed: the ceil((n+1)(1-alpha))-th smallest.

    With too few scores for that, the largest.
    """
    ordered = np.sort(scores)
    rank = ceil((len(ordered) + 1) * (1 - alpha) - 1e-9)
    return float(ordered[min(rank, len(ordered)) - 1])


def write(novelty: Novelty, folder: Path) -> dict:
    """Write the store into a model's folder; what the card says of it under "novelty"."""
    return {"threshold": novelty.threshold} | write_store(novelty.store, folder / FILE)


def read(folder: Path, fields: dict | None) -> Novelty | None:
    """The novelty detector of a model's folder; None where its card has none. `fields` is the card's "novelty".

    Raises:
        InputError: the card or the store is damaged.
    """
    if fields is None:
        return None
    threshold = fields.get("threshold") if isinstance(fields, dict) else None
    if not isinstance(threshold, float) or not 0 < threshold < 1e6:
        raise InputError(f"expected novelty with a threshold in the card of {folder}, found {str(fields)[:80]}",
                         "adapt again")  # fmt: skip
    return Novelty(read_store(folder / FILE, fields, MAX_ROWS), threshold)


def write_store(store: np.ndarray, path: Path) -> dict:
    """Write rows (m, 9), as `described`, into a file; what a card says of it."""
    content = np.ascontiguousarray(store, "<f4").tobytes()
    path.write_bytes(content)
    return {"rows": len(store), "file": path.name, "sha256": sha256(content).hexdigest()}


def read_store(path: Path, fields: dict, most: int) -> np.ndarray:
    """At most `most` rows (m, 9) from a file; `fields` is what a card says of it.

    Raises:
        InputError: the card or the file is damaged.
    """
    rows = fields.get("rows") if isinstance(fields, dict) else None
    if type(rows) is not int or not 0 < rows <= most:
        raise InputError(f"expected 1 to {most} rows for {path} in its card, found {str(fields)[:80]}", "adapt again")
    content = read_limited(path, most * WIDTH * 4, "a store of learned rows")
    if sha256(content).hexdigest() != fields.get("sha256") or len(content) != rows * WIDTH * 4:
        raise InputError(f"expected {path} as its card describes it, found another file", "adapt again")
    store = np.frombuffer(content, "<f4").reshape(rows, WIDTH)
    if not (np.abs(store) <= LARGEST).all():
        raise InputError(f"expected numbers of at most {LARGEST:g} in {path}, found others", "adapt again")
    return store


def nearest(rows: np.ndarray, store: np.ndarray, chunk: int = CHUNK) -> np.ndarray:
    """The Euclidean distance (n,) of each of `rows` (n, 9) to the nearest of `store` (m, 9), both as `described`.

    `chunk` rows at a time, to save memory: more where `store` is small.
    """
    lengths = (store * store).sum(axis=1)
    factors = np.concatenate([-2 * store, lengths[:, None]], axis=1).T
    found = (rows * rows).sum(axis=1)
    for start in range(0, len(rows), chunk):
        part = rows[start : start + chunk]
        products = np.concatenate([part, np.ones((len(part), 1), np.float32)], axis=1) @ factors
        found[start : start + chunk] += products.min(axis=1)
    return np.sqrt(np.maximum(found, 0))
