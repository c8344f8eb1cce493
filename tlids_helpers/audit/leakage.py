"""What a leak is worth: a scaler that saw the test rows, and a split that lets equal rows cross it."""

from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
from sklearn.linear_model import LogisticRegression
from sklearn.preprocessing import StandardScaler
from threadpoolctl import threadpool_limits

from tlids_helpers import tables
from tlids_helpers.audit import baselines, duplicates
from tlids_helpers.common import files
from tlids_helpers.data import cleaned, prepare
from tlids_helpers.data.prepare import Prepared
from tlids_helpers.data.raw import SESSION_COLUMN
from tlids_helpers.data.split import ROLES
from tlids_helpers.results import metrics

ITERATIONS = 1000


def scaler(prepared: Prepared, task: str = "multiclass", seed: int = 42) -> pd.DataFrame:
    """Logistic regression on log(1 + x), standardised twice: with the training rows' mean and deviation, and with all.

    Columns: fitted_on, rows (the scaler saw), accuracy, macro_f1, wrong, changed (test rows named otherwise than in the
    first line), test_rows, shift (largest move of a feature's mean, in its deviations), converged. Only the scaler
    differs; weights are learned from training rows either way. Arp et al. 2022, P3: test rows known beforehand.
    """
    logs = {role: (baselines.log1p(x), y) for role, x, y in ((r, *prepare.load(prepared, r, task)) for r in ROLES)}
    seen = {"training rows": ("train",), "all rows, test rows too": ROLES}
    scalers = {name: StandardScaler().fit(np.concatenate([logs[r][0] for r in roles])) for name, roles in seen.items()}
    sound, first, rows = next(iter(scalers.values())), None, []
    for name, fitted in scalers.items():
        model = LogisticRegression(max_iter=ITERATIONS, random_state=seed)
        with threadpool_limits(1):
            model.fit(fitted.transform(logs["train"][0]), logs["train"][1])
        predicted, truth = model.predict(fitted.transform(logs["test"][0])), logs["test"][1]
        first = predicted if first is None else first
        shift = np.abs((fitted.mean_ - sound.mean_) / sound.scale_).max()
        rows.append(
            {"fitted_on": name, "rows": int(fitted.n_samples_seen_), **_scored(truth, predicted),
             "changed": int((predicted != first).sum()), "test_rows": len(truth), "shift": float(shift),
             "converged": bool(model.n_iter_.max() < ITERATIONS)}
        )  # fmt: skip
    return tables.marked(pd.DataFrame(rows), prepared.mark)


def scaler_sentence(frame: pd.DataFrame) -> str:
    """`scaler` in counts."""
    sound, leaky = frame.iloc[0], frame.iloc[1]
    return (
        f"A scaler that also saw the {leaky['rows'] - sound['rows']:,} other rows changes the class of "
        f"{leaky['changed']:,} of {sound['test_rows']:,} test rows and makes {leaky['wrong']:,} instead of "
        f"{sound['wrong']:,} wrong."
    )


def splits(
    dataset: str,
    data_dir: str | Path = "data",
    task: str = "multiclass",
    seed: int = 42,
    rows: int | None = None,
    allow_subset: bool = False,
    model: str = "extra trees",
    n_jobs: int = 1,
) -> pd.DataFrame:
    """The baseline `model` under each split of `dataset`, on that split's own test rows; arguments as for `prepare`.

    Columns: model, split, train_rows, test_rows, twins (test rows that equal a training row), accuracy, macro_f1,
    wrong. The splits are `paper` (random), `grouped` (equal rows stay on one side) and, where recordings are told
    apart, `session`; a dataset that has a test recording of its own has no random split.
    """
    found = {}
    for split in ("paper", "grouped", "session"):
        if split == "session" and not has_sessions(dataset, data_dir, allow_subset):
            continue
        prepared = prepare.prepare(dataset, data_dir, split, seed, rows, allow_subset)
        if prepared.split not in found:
            found[prepared.split] = _fitted_row(prepared, task, seed, model, n_jobs)
    frame = pd.DataFrame(found.values())
    return tables.marked(frame, prepared.mark)


def splits_sentence(frame: pd.DataFrame) -> str:
    """`splits` in counts."""
    said = [
        f"{row.split}: {row.wrong:,} of {row.test_rows:,} test rows wrong, macro-F1 {row.macro_f1:.4f}, "
        f"{row.twins:,} with a twin in training"
        for row in frame.itertuples()
    ]
    return f"{frame['model'].iloc[0].capitalize()} by split: {'; '.join(said)}."


def has_sessions(dataset: str, data_dir: str | Path = "data", allow_subset: bool = False) -> bool:
    """Whether every file behind `dataset` says in which of several recordings each row was made."""
    parts = cleaned.clean(dataset, files.resolve(data_dir), allow_subset)
    return all(_recordings(part.file) > 1 for part in parts)


def _recordings(file: Path) -> int:
    if SESSION_COLUMN not in pq.read_schema(file).names:
        return 0
    return len(set(filter(None, pq.read_table(file, columns=[SESSION_COLUMN])[SESSION_COLUMN].unique().to_pylist())))


def _fitted_row(prepared: Prepared, task: str, seed: int, model: str, n_jobs: int) -> dict:
    train, validation, (features, truth) = (prepare.load(prepared, role, task) for role in ROLES)
    n_classes = len(prepare.class_list(prepared, task))
    fitted = baselines.fit(model, train, validation, n_classes, prepared.features, seed, n_jobs)
    known = duplicates.across(prepared).set_index("class").loc[duplicates.ALL]
    return {
        "model": model, "split": prepared.split, "train_rows": len(train[1]), "test_rows": len(truth),
        "twins": int(known["twins"]),
        **_scored(truth, fitted.predict(features).argmax(axis=1)),
    }  # fmt: skip


def _scored(truth: np.ndarray, predicted: np.ndarray) -> dict:
    scores = metrics.scores(truth, predicted)
    return {
        "accuracy": scores["accuracy"], "macro_f1": scores["macro_f1"], "wrong": int((truth != predicted).sum())
    }  # fmt: skip
