"""Labels that a model trained without them confidently denies (confident learning, Northcutt et al., JAIR 2021).

A suspect is no proof: the class may be wrong, the model may be wrong, or the features may not tell.
"""

import warnings

import numpy as np
import pandas as pd
from sklearn.model_selection import PredefinedSplit, cross_val_predict

from tlids_helpers.audit import baselines
from tlids_helpers.audit.check import Check, checked, found
from tlids_helpers.audit.rows import ALL, group_ids
from tlids_helpers.common.errors import InputError
from tlids_helpers.common.style import marked
from tlids_helpers.data import prepare
from tlids_helpers.data.prepare import Prepared

FOLDS = 5


@checked
def label_noise(
    prepared: Prepared,
    task: str = "multiclass",
    seed: int = 42,
    model: str = "extra trees",
    n_jobs: int = 1,
) -> Check:
    """Suspects among the training rows, per class and in all.

    Columns: class, rows, threshold, suspects, ambiguous, likely, share. The baseline `model` gives each row its
    probabilities from the other folds alone; equal rows share a fold, so that they do not vouch for each other.
    `threshold` is the class's mean self-confidence; `ambiguous` are suspects whose features occur under another class
    too, which no model could tell; `likely` is the class that most suspects look like; `share` is suspects / rows. A
    class with fewer distinct rows than folds is not judged: <NA>. Not possible with an unknown `model`, and with fewer
    distinct rows than folds.
    """
    features, codes = prepare.load(prepared, "train", task)
    classes = prepare.class_list(prepared, task)
    ids = group_ids(features)
    estimator = baselines.make(model, prepared.features, seed, n_jobs)
    probabilities = out_of_fold(estimator, features, codes, grouped_folds(ids, codes, FOLDS, seed), len(classes))
    judged = distinct_rows(ids, codes, len(classes)) >= FOLDS
    suggested = confident(codes, probabilities, judged)
    table = _per_class(codes, suggested, conflicting(ids, codes), judged, classes)
    table.insert(2, "threshold", [*thresholds(codes, probabilities), np.nan])
    return found(marked(table, prepared.mark), _sentence(table))


def _sentence(table: pd.DataFrame) -> str:
    whole = table.set_index("class").loc[ALL]
    left = table[table["suspects"].isna()]["class"].tolist()
    return (
        f"{whole['suspects']:,} of {whole['rows']:,} training rows are confidently predicted as another class, "
        f"{whole['ambiguous']:,} of them rows that equal one of another class"
        f"{'; not judged for lack of distinct rows: ' + ', '.join(left) if left else ''}."
    )


def grouped_folds(ids: np.ndarray, codes: np.ndarray, folds: int, seed: int) -> np.ndarray:
    """Fold of each row, (n,) in 0..folds-1: equal `ids` (n,) together, groups dealt out class by class.

    A group of several classes is dealt with its first row's. Raises InputError for fewer groups than folds.
    """
    first = np.unique(ids, return_index=True)[1]
    if folds < 2 or len(first) < folds:
        raise InputError(
            f"expected 2 folds or more and as many distinct rows, found {folds} and {len(first)}: correct it"
        )
    order = np.lexsort((np.random.default_rng(seed).random(len(first)), codes[first]))
    fold = np.empty(len(first), dtype=np.int64)
    fold[order] = np.arange(len(first)) % folds
    return fold[ids]


def thresholds(codes: np.ndarray, probabilities: np.ndarray) -> np.ndarray:
    """Mean self-confidence of each class, (C,): the mean of P(j) over the rows labelled j; NaN without rows."""
    own = probabilities[np.arange(len(codes)), codes]
    rows = np.bincount(codes, minlength=probabilities.shape[1])
    return np.bincount(codes, weights=own, minlength=len(rows)) / np.where(rows, rows, np.nan)


def confident(codes: np.ndarray, probabilities: np.ndarray, judged: np.ndarray | None = None) -> np.ndarray:
    """The class each row is confidently counted to, (n,); -1 for none, and for a row whose class is not `judged` (C,).

    The likeliest of the classes whose probability reaches that class's threshold (Northcutt et al. 2021, eq. 1);
    classes that are not judged are suggested for nobody. Where it is not the row's own, the label is suspect.
    """
    judged = np.ones(probabilities.shape[1], dtype=bool) if judged is None else judged
    # a hair below: self-confidences that are all equal must reach their own mean, which was rounded
    reached = (probabilities >= thresholds(codes, probabilities) - 1e-9) & judged
    best = np.where(reached, probabilities, -1).argmax(axis=1)
    return np.where(reached.any(axis=1) & judged[codes], best, -1)


def out_of_fold(estimator, features: np.ndarray, codes: np.ndarray, fold: np.ndarray, n_classes: int) -> np.ndarray:
    """Probabilities (n, n_classes) for each row, from `estimator` fitted on the rows of the other folds."""
    with warnings.catch_warnings():
        # a class whose rows are all equal is missing from one fold's training; it is not judged
        warnings.filterwarnings("ignore", message="Number of classes in training fold")
        found = cross_val_predict(estimator, features, codes, cv=PredefinedSplit(fold), method="predict_proba")
    aligned = np.zeros((len(codes), n_classes))
    aligned[:, np.unique(codes)] = found
    return aligned


def distinct_rows(ids: np.ndarray, codes: np.ndarray, n_classes: int) -> np.ndarray:
    """Groups of equal rows in which each class occurs, (C,)."""
    return np.bincount(np.unique(np.stack([codes, ids]), axis=1)[0], minlength=n_classes)


def conflicting(ids: np.ndarray, codes: np.ndarray) -> np.ndarray:
    """Which rows have an equal under another class, (n,) bool."""
    pairs = np.unique(np.stack([ids, codes]), axis=1)
    return np.bincount(pairs[0])[ids] > 1


def _per_class(codes, suggested, ambiguous, judged, classes: tuple[str, ...]) -> pd.DataFrame:
    suspect = (suggested >= 0) & (suggested != codes)
    rows = []
    for code, name in enumerate(classes):
        own = codes == code
        looks_like = np.bincount(suggested[suspect & own], minlength=len(classes))
        likely = classes[looks_like.argmax()] if looks_like.any() else ""
        counts = [(suspect & own).sum(), (suspect & own & ambiguous).sum()] if judged[code] else [pd.NA, pd.NA]
        rows.append((name, own.sum(), *counts, likely))
    rows.append((ALL, len(codes), suspect.sum(), (suspect & ambiguous).sum(), ""))
    frame = pd.DataFrame(rows, columns=["class", "rows", "suspects", "ambiguous", "likely"])
    counted = ["rows", "suspects", "ambiguous"]
    frame[counted] = frame[counted].astype("Int64")
    frame["share"] = (frame["suspects"] / frame["rows"]).astype("Float64")
    return frame
