"""Rows that repeat another row: within the dataset, and across its split.

Equality is exact, value for value. A hash only narrows down what has to be compared.
"""

import numpy as np
import pandas as pd

from tlids_helpers import tables
from tlids_helpers.data import prepare, raw, split
from tlids_helpers.data.prepare import Prepared
from tlids_helpers.data.split import ROLES

ALL = "all"  # the last row of a table, over all classes


def group_ids(rows: np.ndarray) -> np.ndarray:
    """One number for all equal rows of `rows` (n, F) float: (n,) in 0..groups-1. There must be no NaN among them."""
    _, first, ids = np.unique(split.hash_rows(rows, 0), return_index=True, return_inverse=True)
    if np.array_equal(rows, rows[first[ids]]):
        return ids
    # two different rows share a hash: chance one in 2^64 a pair, but a count that is wrong is wrong
    return np.unique(rows + np.float32(0.0), axis=0, return_inverse=True)[1].ravel()


def repeats(rows: np.ndarray) -> np.ndarray:
    """Which rows of `rows` (n, F) equal an earlier one, (n,) bool."""
    later = np.ones(len(rows), dtype=bool)
    later[np.unique(group_ids(rows), return_index=True)[1]] = False
    return later


def twins(features: np.ndarray, labels: np.ndarray, known: Prepared, role: str = "train") -> pd.DataFrame:
    """Which of `features` (m, 9) with the class names `labels` (m,) equal a row of `known`: two columns of bool, (m,).

    "features" for the nine features alone, "labelled" for the features and the class. `known` is streamed; held in
    memory are its rows that may match.
    """
    candidates, names = _may_match(features, known, role)
    codes = pd.factorize(np.concatenate([labels, names]))[0].astype(np.float32)
    rows = np.concatenate([features, candidates])
    return pd.DataFrame(
        {
            "features": _among(rows, len(features)),
            "labelled": _among(np.column_stack([rows, codes]), len(features)),
        }
    )


def table(prepared: Prepared) -> pd.DataFrame:
    """Exact duplicates per class, and in all: class, rows, repeats, repeats_labelled, share.

    `repeats`: rows whose nine features equal an earlier row's, whatever its class (in the order training, validation,
    test); `repeats_labelled`: rows that have an earlier row's features and class. `share` is repeats / rows.
    """
    loaded = [prepare.load(prepared, role) for role in ROLES]
    features, codes = (np.concatenate([rows[side] for rows in loaded]) for side in (0, 1))
    counted = {"repeats": repeats(features), "repeats_labelled": repeats(np.column_stack([features, codes]))}
    frame = _per_class(counted, codes, prepared.classes)
    frame["share"] = frame["repeats"] / frame["rows"]
    return tables.marked(frame, prepared.mark)


def sentence(frame: pd.DataFrame) -> str:
    """`table` in counts."""
    whole = frame.set_index("class").loc[ALL]
    return (
        f"{whole['repeats']:,.0f} of {whole['rows']:,.0f} rows repeat an earlier row on the features, "
        f"{whole['repeats_labelled']:,.0f} of them on the class too."
    )


def across(prepared: Prepared) -> pd.DataFrame:
    """Test rows that equal a training row, per class and in all: class, rows, twins, twins_labelled, share.

    `rows` are test rows; `twins` equal a training row on the features, `twins_labelled` on the class too: the others
    have their twins under other classes alone. `share` is twins / rows.
    """
    features, codes = prepare.load(prepared, "test")
    found = twins(features, np.array(prepared.classes, dtype=object)[codes], prepared)
    counted = {"twins": found["features"].to_numpy(), "twins_labelled": found["labelled"].to_numpy()}
    frame = _per_class(counted, codes, prepared.classes)
    frame["share"] = frame["twins"] / frame["rows"]
    return tables.marked(frame, prepared.mark)


def across_sentence(frame: pd.DataFrame) -> str:
    """`across` in counts."""
    whole = frame.set_index("class").loc[ALL]
    return (
        f"{whole['twins']:,.0f} of {whole['rows']:,.0f} test rows equal a training row on the features, "
        f"{whole['twins_labelled']:,.0f} of them on the class too."
    )


def _may_match(features: np.ndarray, known: Prepared, role: str) -> tuple[np.ndarray, np.ndarray]:
    """The rows of `known` whose hash is that of a row of `features`, and their class names."""
    asked = np.unique(split.hash_rows(features, 0))
    kept = [pd.DataFrame(columns=[*known.features, "Attack"])]
    for batch in raw.stream_parquet(known.folder / f"{role}.parquet", columns=[*known.features, "Attack"]):
        frame = batch.to_pandas().fillna(dict.fromkeys(known.features, 0))
        hashes = split.hash_rows(frame[list(known.features)].to_numpy(np.float32), 0)
        place = np.minimum(np.searchsorted(asked, hashes), len(asked) - 1)
        kept.append(frame[asked[place] == hashes].drop_duplicates())
    found = pd.concat(kept[1:] or kept, ignore_index=True)
    return found[list(known.features)].to_numpy(np.float32), found["Attack"].to_numpy(dtype=object)


def _among(rows: np.ndarray, asked: int) -> np.ndarray:
    """Which of the first `asked` rows equal one of the others."""
    ids = group_ids(rows)
    return np.isin(ids[:asked], ids[asked:])


def _per_class(counted: dict[str, np.ndarray], codes: np.ndarray, classes: tuple[str, ...]) -> pd.DataFrame:
    """Rows, and rows where each mask of `counted` holds, of every class that has rows, and of all."""
    frame = pd.DataFrame({"rows": np.bincount(codes, minlength=len(classes))}, index=list(classes))
    for name, mask in counted.items():
        frame[name] = np.bincount(codes[mask], minlength=len(classes))
    frame.loc[ALL] = frame.sum()
    return frame[frame["rows"] > 0].rename_axis("class").reset_index()
