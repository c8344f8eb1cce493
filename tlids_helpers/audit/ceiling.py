"""What no model can get past: rows with equal features and different labels.

A model is a function of the features, so it gives equal rows one class. The bounds below are those of an oracle that
knows the very rows it is scored on; what it cannot do on them, nobody can. Rows that conflict only with rows of
another role do not count against it, so on the test split alone the ceiling is high rather than low.
"""

from dataclasses import dataclass
from itertools import chain

import numpy as np
import pandas as pd

from tlids_helpers import tables
from tlids_helpers.audit import duplicates
from tlids_helpers.audit.duplicates import ALL
from tlids_helpers.data import prepare
from tlids_helpers.data.prepare import Prepared
from tlids_helpers.data.split import ROLES


@dataclass(frozen=True)
class Ceiling:
    """What the labels allow on one set of rows."""

    scores: pd.DataFrame  # score, best, what
    per_class: pd.DataFrame
    rows: int
    conflicting: int  # rows whose features occur under another class too
    wrong: int  # rows that the most accurate model gets wrong
    of: str  # "test rows", "rows"

    def sentence(self) -> str:
        """In counts."""
        upper = self.scores.set_index("score").loc["macro_f1", "best"]
        return (
            f"{self.conflicting:,} of {self.rows:,} {self.of} have equals under another class, so every model gets at "
            f"least {self.wrong:,} wrong: at best an accuracy of {1 - self.wrong / self.rows:.4f} and a macro-F1 of "
            f"at most {upper:.4f}."
        )


def ceiling(prepared: Prepared, task: str = "multiclass", roles: tuple[str, ...] = ("test",)) -> Ceiling:
    """The ceiling on the rows of `roles` together: the test split's own, or with `ROLES` the whole dataset's."""
    classes = prepare.class_list(prepared, task)
    loaded = [prepare.load(prepared, role, task) for role in roles]
    features, codes = (np.concatenate([rows[side] for rows in loaded]) for side in (0, 1))
    counts = group_counts(features, codes, len(classes))
    per_class = class_bounds(counts, classes)
    return Ceiling(
        tables.marked(score_bounds(counts), prepared.mark), tables.marked(per_class, prepared.mark), len(codes),
        int(per_class.set_index("class").loc[ALL, "conflicting"]), int(counts.sum() - counts.max(axis=1).sum()),
        "rows" if set(roles) == set(ROLES) else f"{' and '.join(roles)} rows",
    )  # fmt: skip


def group_counts(features: np.ndarray, codes: np.ndarray, n_classes: int) -> np.ndarray:
    """Rows of each class (columns) in each group of equal features (rows), (G, C).

    All groups of one class alone are one group here, as no bound can tell them apart: memory goes with the conflicts.
    """
    ids = duplicates.group_ids(features)
    keys, rows = np.unique(ids * np.int64(n_classes) + codes, return_counts=True)
    group, code = np.divmod(keys, n_classes)
    mixed = np.bincount(group)[group] > 1
    pure = np.bincount(code[~mixed], weights=rows[~mixed], minlength=n_classes).astype(np.int64)
    _, place = np.unique(group[mixed], return_inverse=True)
    conflicts = np.zeros((place.max() + 1 if len(place) else 0, n_classes), dtype=np.int64)
    conflicts[place, code[mixed]] = rows[mixed]
    return np.concatenate([np.diag(pure)[pure > 0], conflicts])


def score_bounds(counts: np.ndarray) -> pd.DataFrame:
    """Best scores for `counts` (G, C): score, best, what. Averages are over the classes that have rows.

    accuracy and balanced_accuracy are exact: each group takes the class that adds most. macro_f1 is a bound from
    above, the mean of the best F1 of each class by itself, which one model need not reach in all classes at once;
    macro_f1_majority is reached, by the most accurate model (the lower code in a tie). The best lies between the two.
    """
    counts = counts[:, counts.sum(axis=0) > 0]
    total = counts.sum(axis=0)
    verdict = counts.argmax(axis=1)
    right = np.bincount(verdict, weights=counts.max(axis=1), minlength=len(total))
    named = np.bincount(verdict, weights=counts.sum(axis=1), minlength=len(total))
    rows = [
        ("accuracy", counts.max(axis=1).sum() / counts.sum(), "exact"),
        ("balanced_accuracy", (counts / total).max(axis=1).sum() / len(total), "exact"),
        ("macro_f1", np.mean([best_f1(counts, code) for code in range(len(total))]), "at most"),
        ("macro_f1_majority", np.mean(2 * right / (total + named)), "reached at the best accuracy"),
    ]
    return pd.DataFrame(rows, columns=["score", "best", "what"])


def class_bounds(counts: np.ndarray, classes: tuple[str, ...]) -> pd.DataFrame:
    """Per class and in all: class, rows, conflicting, recall, recall_without_false, best_f1, for `counts` (G, C).

    A model that names one class for everything has recall 1 in it, so a best recall needs a condition. `recall`: at
    the best accuracy, ties in the class's favour; `recall_without_false`: with no row of another class named so.
    `best_f1` is the best F1 of the class alone, exact. In the last row recall is the accuracy; F1 is left out.
    """
    most = counts.max(axis=1, keepdims=True)
    mixed = (counts > 0).sum(axis=1) > 1
    frame = pd.DataFrame({"class": classes, "rows": counts.sum(axis=0), "conflicting": counts[mixed].sum(axis=0)})
    held = np.where(counts == most, counts, 0).sum(axis=0)
    frame = frame[frame["rows"] > 0]
    places = frame.index.to_numpy()
    frame["recall"] = held[places] / frame["rows"]
    frame["recall_without_false"] = 1 - frame["conflicting"] / frame["rows"]
    frame["best_f1"] = [best_f1(counts, code) for code in places]
    rows, conflicting = int(frame["rows"].sum()), int(frame["conflicting"].sum())
    last = {
        "class": ALL, "rows": rows, "conflicting": conflicting,
        "recall": most.sum() / rows, "recall_without_false": 1 - conflicting / rows, "best_f1": np.nan,
    }  # fmt: skip
    return pd.DataFrame(list(chain(frame.to_dict("records"), [last])))


def best_f1(counts: np.ndarray, code: int) -> float:
    """The best F1 that any labelling of the groups of `counts` (G, C) gives the class `code`.

    F1 is twice the rows found over the class's rows plus the rows named; such a ratio of sums is largest for the
    groups with the largest share of the class, however many (Dinkelbach 1967), so they are taken in that order.
    """
    own, size = counts[:, code], counts.sum(axis=1)
    order = np.argsort(-(own / size), kind="stable")
    found, named = np.cumsum(own[order]), np.cumsum(size[order])
    return float((2 * found / (own.sum() + named)).max())
