"""How far a feature's values move from source to target: the population-stability index (PSI)."""

import numpy as np
import pandas as pd

from tlids_helpers import tables
from tlids_helpers.audit.calibration import quantile_edges
from tlids_helpers.common.errors import InputError
from tlids_helpers.data import prepare
from tlids_helpers.data.prepare import Prepared
from tlids_helpers.results import comparison

BINS = 10  # deciles of the source
SMOOTHING = 0.5  # rows added to every bin on both sides, so that an empty bin has a logarithm
MODERATE, LARGE = 0.1, 0.25  # the usual rule of thumb (Siddiqi, Credit Risk Scorecards, 2006)


def psi(source: np.ndarray, target: np.ndarray, bins: int = BINS, smoothing: float = SMOOTHING) -> float:
    """Sum over bins of (p - q) ln(p / q), p and q the target's and the source's share of rows in the bin.

    Bins are cut at quantiles of the source (n,), the outer ones open; a bin holds its upper edge. Where the source has
    at most `bins` values (PROTOCOL, flags) each value is a bin, and one more holds all that the source never had.
    Raises InputError without rows on a side, and for `smoothing` that is not above 0.
    """
    if not len(source) or not len(target):
        raise InputError(f"expected rows on both sides, found {len(source)} and {len(target)}: raise rows")
    if not smoothing > 0:
        raise InputError(f"expected smoothing above 0, found {smoothing}: an empty bin has no logarithm")
    places, cells = _cells(np.asarray(source), np.asarray(target), bins)
    q, p = (_shares(place, cells, smoothing) for place in places)
    return float(((p - q) * np.log(p / q)).sum())


def table(source: Prepared, target: Prepared, role: str = "train", benign_only: bool = False) -> pd.DataFrame:
    """PSI of each feature from `source` to `target`, largest first: feature, psi, source_rows, target_rows, shift.

    shift is "small", "moderate" (from 0.1) or "large" (from 0.25). With `benign_only` another mix of attacks counts
    for nothing: what is left is that the networks differ. Raises InputError when the two have other features.
    """
    if source.features != target.features:
        raise InputError(
            f"expected {target.title} to have the features of {source.title}, found {', '.join(target.features)}: "
            "compare datasets of one family"
        )
    sides = [_rows(prepared, role, benign_only) for prepared in (source, target)]
    found = [psi(sides[0][:, place], sides[1][:, place]) for place in range(len(source.features))]
    frame = pd.DataFrame({"feature": source.features, "psi": found})
    frame["source_rows"], frame["target_rows"] = len(sides[0]), len(sides[1])
    frame["shift"] = np.select([frame["psi"] >= LARGE, frame["psi"] >= MODERATE], ["large", "moderate"], "small")
    mark = comparison.full_mark({"mark": target.mark, "source_mark": source.mark})
    return tables.marked(frame.sort_values("psi", ascending=False, ignore_index=True), mark)


def sentence(frame: pd.DataFrame) -> str:
    """The table in counts."""
    large, moderate = (int((frame["shift"] == name).sum()) for name in ("large", "moderate"))
    first = frame.iloc[0]
    return (
        f"Of {len(frame)} features {large} shift by a PSI of {LARGE} or more and {moderate} by {MODERATE} to {LARGE}; "
        f"{first['feature']} shifts most ({first['psi']:.2f}), from {first['source_rows']:,} source rows to "
        f"{first['target_rows']:,} target rows."
    )


def _cells(source: np.ndarray, target: np.ndarray, bins: int) -> tuple[list[np.ndarray], int]:
    """The bin of each source row and of each target row, and how many bins there are."""
    values = np.unique(source)
    if len(values) <= bins:
        found = [np.minimum(np.searchsorted(values, side), len(values) - 1) for side in (source, target)]
        pairs = zip(found, (source, target), strict=True)
        return [np.where(values[place] == side, place, len(values)) for place, side in pairs], len(values) + 1
    edges = quantile_edges(source, bins)[:-1]
    return [np.searchsorted(edges, side, side="left") for side in (source, target)], len(edges) + 1


def _shares(places: np.ndarray, cells: int, smoothing: float) -> np.ndarray:
    counts = np.bincount(places, minlength=cells) + smoothing
    return counts / counts.sum()


def _rows(prepared: Prepared, role: str, benign_only: bool) -> np.ndarray:
    features, codes = prepare.load(prepared, role)
    if not benign_only:
        return features
    if prepared.classes[0] != prepared.benign:
        raise InputError(f"expected a benign class in {prepared.title}, found none: leave benign_only out")
    return features[codes == 0]
