"""Whether a model that says 90 % is right nine times in ten: the reliability table and the expected error (ECE)."""

import numpy as np
import pandas as pd

from tlids_helpers.common.errors import InputError
from tlids_helpers.results import threshold

BINS = 15  # as Guo et al., "On calibration of modern neural networks", ICML 2017
BINNINGS = ("width", "mass")
ROUNDING = 1e-6  # what a float32 probability may lie above 1


def top_label(truth: np.ndarray, probabilities: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """(confidence of the class that was named (n,), whether it was the right one (n,)); Guo et al. 2017."""
    return probabilities.max(axis=1), probabilities.argmax(axis=1) == truth


def attack_label(truth: np.ndarray, probabilities: np.ndarray, benign: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """(1 - P(benign) (n,), whether the row is an attack (n,)): what an alert threshold works on."""
    return threshold.scores(probabilities, benign), truth != benign


def reliability(confidence: np.ndarray, right: np.ndarray, bins: int = BINS, by: str = "width") -> pd.DataFrame:
    """Columns low, high, count, confidence, accuracy (means of the bin, NaN when empty), gap (accuracy - confidence).

    `confidence` (n,) in 0 to 1 and `right` (n,) of bool are `top_label`'s or `attack_label`'s.

    `by="width"`: `bins` equal parts of 0 to 1 (Guo et al. 2017). `by="mass"`: parts with about as many rows each,
    cut at quantiles of `confidence` (Nguyen and O'Connor, EMNLP 2015); equal values stay together, so there may be
    fewer. A bin holds its upper edge and not its lower one; the first holds both, as scikit-learn's do.
    Raises InputError for another `by`, no bin, no row, sides of different lengths, and what is no probability.
    """
    if by not in BINNINGS or bins < 1:
        raise InputError(f"expected by to be width or mass and bins 1 or more, found {by!r} and {bins}: correct it")
    if not len(confidence) or len(confidence) != len(right):
        raise InputError(f"expected as many confidences as answers, found {len(confidence)} and {len(right)}")
    values = np.clip(np.asarray(confidence, dtype=np.float64), 0, 1)
    if not (np.abs(values - confidence) < ROUNDING).all():  # NaN too
        raise InputError("expected confidences between 0 and 1, found others: give probabilities")
    high = np.arange(1, bins + 1) / bins if by == "width" else quantile_edges(values, bins)
    low = np.concatenate([[0 if by == "width" else values.min()], high[:-1]])
    place = np.searchsorted(high, values, side="left")
    count = np.bincount(place, minlength=len(high))
    means = {
        name: np.divide(sums, count, out=np.full(len(count), np.nan), where=count > 0)
        for name, sums in (
            ("confidence", np.bincount(place, weights=values, minlength=len(count))),
            ("accuracy", np.bincount(place, weights=np.asarray(right, dtype=np.float64), minlength=len(count))),
        )
    }
    frame = pd.DataFrame({"low": low, "high": high, "count": count, **means})
    return frame.assign(gap=frame["accuracy"] - frame["confidence"])


def quantile_edges(values: np.ndarray, bins: int) -> np.ndarray:
    """Upper edges, rising, of at most `bins` bins with about as many of `values` (n,) each, themselves values."""
    last = -(-len(values) * np.arange(1, bins + 1) // bins) - 1  # whole numbers: 0.3 * 100 is above 30
    return np.unique(np.sort(values)[last])


def ece(table: pd.DataFrame) -> float:
    """Expected calibration error of `reliability`'s table: the mean |accuracy - confidence|, weighted by rows."""
    return float((table["gap"].abs() * table["count"]).sum() / table["count"].sum())


def sentence(table: pd.DataFrame) -> str:
    """The table in counts."""
    rows = int(table["count"].sum())
    said, right = ((table[name] * table["count"]).sum() / rows for name in ("confidence", "accuracy"))
    verdict, filled = "too sure" if said > right else "not sure enough", int((table["count"] > 0).sum())
    return (
        f"Over {rows:,} test rows it says {said:.1%} on average and {round(right * rows):,} ({right:.1%}) are so: "
        f"{verdict} by {abs(said - right):.2%}; ECE {ece(table):.4f} over {filled} bins with rows."
    )
