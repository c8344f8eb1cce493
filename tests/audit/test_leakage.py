"""What the scaler saw, and what crosses each split."""

import numpy as np
import pandas as pd
import pytest
from hand_made import hand_made
from sklearn.ensemble import ExtraTreesClassifier
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import accuracy_score, f1_score

from tlids_helpers import tables
from tlids_helpers.audit import leakage
from tlids_helpers.data import prepare

CLASSES = ("Benign", "DoS")


def flows(n: int, seed: int, shift: float = 0.0) -> list[tuple[np.ndarray, str]]:
    """Overlapping classes; `shift` moves the first feature's logarithm in every other row."""
    rng = np.random.default_rng(seed)
    codes = rng.integers(0, 2, n)
    logs = rng.normal(3 + 0.3 * codes[:, None], 1, (n, 9)).clip(0, 20)
    logs[::2, 0] += shift
    values = np.expm1(logs)
    return [(row, CLASSES[code]) for row, code in zip(values, codes, strict=True)]


@pytest.fixture
def shifted(tmp_path):
    """Test rows of which half lie far from the training rows, in one feature."""
    return hand_made(tmp_path / "p", CLASSES, train=flows(60, 1), validation=flows(20, 2), test=flows(300, 3, 10.0))


def logs_of(prepared, *roles: str) -> np.ndarray:
    return np.log1p(np.concatenate([prepare.load(prepared, role)[0] for role in roles]).astype(float))


def oracle(prepared, *roles: str) -> np.ndarray:
    """Predictions on the test rows with the mean and deviation of `roles`, without scikit-learn's scaler."""
    seen = logs_of(prepared, *roles)
    train, test = ((logs_of(prepared, role) - seen.mean(axis=0)) / seen.std(axis=0) for role in ("train", "test"))
    return LogisticRegression(max_iter=1000).fit(train, prepare.load(prepared, "train")[1]).predict(test)


def test_each_line_is_scored_with_the_scaler_it_names(shifted):
    found = leakage.scaler(shifted)
    assert found.columns.name == "own" and found["rows"].tolist() == [60, 380]
    truth = prepare.load(shifted, "test")[1]
    sound, leaky = oracle(shifted, "train"), oracle(shifted, "train", "validation", "test")
    for line, predicted in zip(found.itertuples(), (sound, leaky), strict=True):
        assert line.accuracy == accuracy_score(truth, predicted) and line.wrong == (truth != predicted).sum()
        assert line.macro_f1 == pytest.approx(f1_score(truth, predicted, average="macro"))
    assert found["changed"].tolist() == [0, (sound != leaky).sum()] and found["changed"].iloc[1] > 0
    assert found["converged"].all()


def test_the_shift_is_in_deviations_of_the_training_rows(tmp_path):
    zero, two, eight = (np.expm1(np.float64(value)) for value in (0, 2, 8))
    prepared = hand_made(
        tmp_path, CLASSES, train=[(zero, "Benign"), (two, "DoS")], validation=[(two, "DoS")],
        test=[(eight, "DoS"), (eight, "Benign")],
    )  # fmt: skip
    # logarithms 0 and 2: mean 1, deviation 1; with 2, 8 and 8 the mean is 4
    assert leakage.scaler(prepared)["shift"].tolist() == pytest.approx([0, 3])


def test_a_test_split_like_the_training_rows_leaks_nothing(tmp_path):
    rows = flows(80, 1)
    found = leakage.scaler(hand_made(tmp_path, CLASSES, train=rows, validation=rows, test=rows))
    assert found["changed"].tolist() == [0, 0] and found["shift"].tolist() == pytest.approx([0, 0])
    wrong = found["wrong"].iloc[0]
    assert leakage.scaler_sentence(found) == (
        "A scaler that also saw the 160 other rows changes the class of 0 of 80 test rows and makes "
        f"{wrong} instead of {wrong} wrong."
    )


def test_a_regression_that_was_cut_short_says_so(shifted, monkeypatch):
    monkeypatch.setattr(leakage, "ITERATIONS", 1)
    with pytest.warns(ConvergenceWarning):
        assert not leakage.scaler(shifted)["converged"].any()


@pytest.fixture
def repeated(netflow) -> pd.DataFrame:
    """Random rows with random classes, each four times: whoever has not seen a row's equal can only guess."""
    frame = netflow({"Benign": 60, "DoS": 60})
    frame["Attack"] = np.random.default_rng(1).permutation(frame["Attack"])
    return pd.concat([frame] * 4, ignore_index=True)


def test_the_splits_side_by_side_each_on_its_own_test_rows(repeated, put, data_dir):
    path = str(put(repeated, "own.csv"))
    found = leakage.splits(path, data_dir)
    assert found["split"].tolist() == ["paper", "grouped"] and found.columns.name == "own"
    for line in found.itertuples():
        prepared = prepare.prepare(path, data_dir, line.split)
        (x, y), (asked, truth) = (prepare.load(prepared, role) for role in ("train", "test"))
        predicted = ExtraTreesClassifier(100, random_state=42).fit(x, y).predict(asked)
        assert (line.accuracy, line.wrong) == (accuracy_score(truth, predicted), (predicted != truth).sum())
        assert (line.train_rows, line.test_rows, line.twins) == (len(y), len(truth), tables.twins(prepared))
    crossing, apart = found["twins"]
    assert crossing > 80 and apart == 0
    assert found["accuracy"].iloc[0] > 0.9 > 0.7 > found["accuracy"].iloc[1]


def test_recordings_make_a_third_split(repeated, put, data_dir):
    sessions = np.repeat(["monday", "tuesday", "wednesday", "thursday"], len(repeated) // 4)
    path = str(put(repeated.assign(Session=sessions), "own.csv"))
    found = leakage.splits(path, data_dir, model="decision tree").set_index("split")
    assert found.index.tolist() == ["paper", "grouped", "session"] and set(found["model"]) == {"decision tree"}
    assert found.loc["session", "test_rows"] == 120  # wednesday, the last by name
    said = leakage.splits_sentence(found.reset_index())
    assert said.startswith("Decision tree by split: paper: ") and "; session: " in said


@pytest.mark.parametrize("sessions", [None, "monday", ""])
def test_one_recording_or_none_makes_no_third_split(sessions, repeated, put, data_dir):
    frame = repeated if sessions is None else repeated.assign(Session=sessions)
    assert not leakage.has_sessions(str(put(frame, "own.parquet")), data_dir)
