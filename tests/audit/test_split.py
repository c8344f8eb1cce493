"""What the scaler saw, what crosses each split, and what the source of transfer had seen in four arms."""

import dataclasses

import numpy as np
import pandas as pd
import pytest
from hand_made import hand_made
from sklearn.ensemble import ExtraTreesClassifier
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import accuracy_score, f1_score

from tlids_helpers import audit
from tlids_helpers.audit import split
from tlids_helpers.common.errors import InputError
from tlids_helpers.data import prepare
from tlids_helpers.data.catalog import DATASETS
from tlids_helpers.data.raw import SUBSET
from tlids_helpers.network.recipe import Recipe
from tlids_helpers.results import runs
from tlids_helpers.results.runs import Setup

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
    found = audit.scaler_leak(shifted).table
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
    assert audit.scaler_leak(prepared).table["shift"].tolist() == pytest.approx([0, 3])


def test_a_test_split_like_the_training_rows_leaks_nothing(tmp_path):
    rows = flows(80, 1)
    check = audit.scaler_leak(hand_made(tmp_path, CLASSES, train=rows, validation=rows, test=rows))
    found = check.table
    assert found["changed"].tolist() == [0, 0] and found["shift"].tolist() == pytest.approx([0, 0])
    wrong = found["wrong"].iloc[0]
    assert check.sentence == (
        "A scaler that also saw the 160 other rows changes the class of 0 of 80 test rows and makes "
        f"{wrong} instead of {wrong} wrong."
    )


def test_a_regression_that_was_cut_short_says_so(shifted, monkeypatch):
    monkeypatch.setattr(split, "ITERATIONS", 1)
    with pytest.warns(ConvergenceWarning):
        assert not audit.scaler_leak(shifted).table["converged"].any()


@pytest.fixture
def repeated(netflow) -> pd.DataFrame:
    """Random rows with random classes, each four times: whoever has not seen a row's equal can only guess."""
    frame = netflow({"Benign": 60, "DoS": 60})
    frame["Attack"] = np.random.default_rng(1).permutation(frame["Attack"])
    return pd.concat([frame] * 4, ignore_index=True)


def test_the_splits_side_by_side_each_on_its_own_test_rows(repeated, put, data_dir):
    path = str(put(repeated, "own.csv"))
    found = audit.splits(prepare.prepare(path, data_dir), path, data_dir).table
    assert found["split"].tolist() == ["paper", "grouped"] and found.columns.name == "own"
    for line in found.itertuples():
        prepared = prepare.prepare(path, data_dir, line.split)
        (x, y), (asked, truth) = (prepare.load(prepared, role) for role in ("train", "test"))
        predicted = ExtraTreesClassifier(100, random_state=42).fit(x, y).predict(asked)
        assert (line.accuracy, line.wrong) == (accuracy_score(truth, predicted), (predicted != truth).sum())
        assert (line.train_rows, line.test_rows, line.twins) == (len(y), len(truth), twins_of(prepared))
    crossing, apart = found["twins"]
    assert crossing > 80 and apart == 0
    assert found["accuracy"].iloc[0] > 0.9 > 0.7 > found["accuracy"].iloc[1]


def twins_of(prepared) -> int:
    train, test = (pd.DataFrame(prepare.load(prepared, role)[0]) for role in ("train", "test"))
    return len(test.merge(train.drop_duplicates()))


def test_recordings_make_a_third_split(repeated, put, data_dir):
    sessions = np.repeat(["monday", "tuesday", "wednesday", "thursday"], len(repeated) // 4)
    path = str(put(repeated.assign(Session=sessions), "own.csv"))
    check = audit.splits(prepare.prepare(path, data_dir), path, data_dir)
    found = check.table.set_index("split")
    assert found.index.tolist() == ["paper", "grouped", "session"] and set(found["model"]) == {"extra trees"}
    assert found.loc["session", "test_rows"] == 120  # wednesday, the last by name
    assert check.sentence.startswith("Extra trees by split: paper: ") and "; session: " in check.sentence


def test_the_splits_are_those_of_the_seed_and_the_rows_that_were_prepared(repeated, put, data_dir):
    path = str(put(repeated, "own.csv"))
    found = audit.splits(prepare.prepare(path, data_dir, seed=7, rows=200), path, data_dir).table
    prepared = prepare.prepare(path, data_dir, "paper", 7, 200)
    assert found["train_rows"].iloc[0] == prepared.size("train")
    assert found["twins"].iloc[0] == twins_of(prepared)


@pytest.mark.parametrize("sessions", [None, "monday", ""])
def test_one_recording_or_none_makes_no_third_split(sessions, repeated, put, data_dir):
    frame = repeated if sessions is None else repeated.assign(Session=sessions)
    assert not split.has_sessions(str(put(frame, "own.parquet")), data_dir)


@pytest.fixture
def target(four_parts, data_dir):
    return prepare.prepare("nf-bot-iot", data_dir, allowed=SUBSET)


def by_arm(check) -> dict[str, dict]:
    return check.table.set_index("arm").to_dict("index")


def test_the_arms_on_rows_that_are_all_different(target, data_dir, rows_of, part_frames):
    found = by_arm(audit.overlap(target, "nf-uq-nids", data_dir, SUBSET))
    assert tuple(found) == split.ARMS
    test = set(rows_of(target, "test"))
    # every row has its own number, so the oracle is a set; only the published arm has the test rows in its training
    published = split.prepare_arm(target, "nf-uq-nids", split.PUBLISHED, data_dir, SUBSET)
    expected = len(test & set(rows_of(published, "train")))
    assert 0.5 * len(test) < expected < len(test)  # about 72 %
    counts = {arm: (row["twins"], row["twins_labelled"], row["new"]) for arm, row in found.items()}
    assert counts == {
        split.SCRATCH: (0, 0, 0),
        split.PUBLISHED: (expected, expected, expected),
        split.NO_TARGET: (0, 0, 0),
        split.NO_TEST_ROWS: (0, 0, 0),
    }
    assert found[split.SCRATCH]["train_rows"] == target.size("train")
    parts = sum(len(frame) for slug, frame in part_frames.items() if slug != "nf-bot-iot")
    assert found[split.NO_TARGET]["train_rows"] == pytest.approx(0.72 * parts, abs=5)
    assert {row["test_rows"] for row in found.values()} == {len(test)}
    assert found[split.PUBLISHED]["share"] == expected / len(test)


def test_the_source_without_the_target_has_none_of_its_rows_and_the_last_arm_all_but_the_test_rows(
    target, data_dir, rows_of
):
    rows = {arm: split.prepare_arm(target, "nf-uq-nids", arm, data_dir, SUBSET) for arm in split.ARMS[1:]}
    own = set(rows_of(target, "train", "validation", "test"))
    assert not own & set(rows_of(rows[split.NO_TARGET], "train", "validation", "test"))
    assert own & set(rows_of(rows[split.NO_TEST_ROWS], "train")) == set(rows_of(target, "train"))
    assert split.prepare_arm(target, "nf-uq-nids", split.SCRATCH, data_dir) is target


def fixed_arms(monkeypatch, arms: dict):
    monkeypatch.setattr(split, "prepare_arm", lambda target, source, arm, *_: arms[arm])
    monkeypatch.setattr(split, "arms_for", lambda target, source: tuple(arms))


def test_twins_and_new_twins_by_hand(tmp_path, monkeypatch):
    target = hand_made(
        tmp_path / "t", ("Benign", "DoS attacks-Hulk"), mark="subset",
        train=[(1, "Benign"), (9, "Benign")], test=[(1, "Benign"), (2, "Benign"), (3, "DoS attacks-Hulk")],
    )  # fmt: skip
    source = hand_made(
        tmp_path / "s", CLASSES, mark="simulated", train=[(1, "Benign"), (2, "DoS"), (3, "DoS"), (3, "DoS"), (7, "DoS")]
    )
    fixed_arms(monkeypatch, {split.SCRATCH: target, split.PUBLISHED: source})
    check = audit.overlap(target, "nf-uq-nids")
    found = by_arm(check)
    assert [found[split.SCRATCH][name] for name in ("twins", "twins_labelled", "new")] == [1, 1, 0]
    # 1, 2 and 3 are in the source, 2 under another class; Hulk is called DoS there; 1 is in the target's training too
    assert [found[split.PUBLISHED][name] for name in ("twins", "twins_labelled", "new")] == [3, 2, 2]
    assert [row["mark"] for row in found.values()] == ["subset", "subset, source simulated"]
    assert "simulated" in check.table.columns.name
    assert check.sentence == (
        "Of 3 test rows, these equal a training row: scratch 1 (0 of them new); as published 3 (2 of them new). "
        "[partly simulated]"
    )


def test_a_source_that_is_no_union_keeps_its_own_class_names(tmp_path, monkeypatch):
    target = hand_made(tmp_path / "t", ("Benign", "dos"), train=[(9, "dos")], test=[(1, "dos"), (2, "dos")])
    source = hand_made(tmp_path / "s", ("Benign", "dos", "DoS"), train=[(1, "dos"), (2, "DoS")])
    fixed_arms(monkeypatch, {split.SCRATCH: target, split.PUBLISHED: source})
    assert by_arm(audit.overlap(target, "nf-bot-iot"))[split.PUBLISHED]["twins_labelled"] == 1


def test_a_target_that_is_no_part_of_the_source_cannot_be_left_out_of_it(target):
    assert split.arms_for(target, "nf-uq-nids") == split.ARMS
    own = dataclasses.replace(target, name="home")
    assert split.arms_for(own, "nf-uq-nids") == (split.SCRATCH, split.PUBLISHED)


def test_the_published_arm_is_a_random_split_of_its_own_even_for_a_grouped_target(target, monkeypatch):
    asked = []
    monkeypatch.setattr(prepare, "prepare", lambda *given: asked.append(given))
    split.prepare_arm(
        dataclasses.replace(target, split="grouped", rows=500), "nf-uq-nids", split.PUBLISHED, "d", SUBSET
    )
    assert asked == [("nf-uq-nids", "d", "paper", target.seed + 1, 500, SUBSET)]


def test_an_unknown_arm_and_another_family_are_refused(target, data_dir, tmp_path, monkeypatch):
    with pytest.raises(InputError, match="one of scratch, .*found 'third'"):
        split.prepare_arm(target, "nf-uq-nids", "third", data_dir)
    other = dataclasses.replace(target, features=DATASETS["cic-ton-iot"].columns[:9])
    fixed_arms(monkeypatch, {split.SCRATCH: other})
    check = audit.overlap(target, "nf-uq-nids")
    assert not check.possible and "features of NF-BoT-IoT" in check.sentence


def test_the_published_arm_is_another_draw_than_the_last_one(target, data_dir):
    arms = [
        split.prepare_arm(target, "nf-uq-nids", arm, data_dir, SUBSET) for arm in (split.PUBLISHED, split.NO_TEST_ROWS)
    ]
    one, other = (prepare.load(arm, "train")[0] for arm in arms)
    assert not np.array_equal(one, other)


def test_each_arm_is_trained_on_its_own_source_and_scored_on_the_targets_test_rows(target, data_dir, tmp_path):
    setup = Setup(recipe=Recipe(epochs=1), runs_dir=tmp_path)
    check = audit.transfer_arms(target, "nf-uq-nids", setup, data_dir, SUBSET)
    frame = check.table
    assert frame["arm"].tolist() == list(split.ARMS) and set(frame["test_rows"]) == {target.size("test")}
    for row in frame.itertuples():
        assert row.accuracy == pytest.approx(1 - row.wrong / row.test_rows)
    made = {run["run"]: run for run in runs.collect(tmp_path)}
    arms = {run["protocol"]: made[run["source_run"]] for run in made.values() if run["protocol"] != "scratch"}
    assert set(arms) == set(split.PROTOCOLS.values())
    for arm, protocol in split.PROTOCOLS.items():
        known = split.prepare_arm(target, "nf-uq-nids", arm, data_dir, SUBSET)
        assert (arms[protocol]["dataset"], arms[protocol]["rows"]["train"]) == (known.name, known.size("train"))
    wrong = frame["wrong"].tolist()
    assert check.sentence.endswith(
        f"on one seed: scratch {wrong[0]:,}; as published {wrong[1]:,}; "
        f"source without the target {wrong[2]:,}; source without the target's test rows {wrong[3]:,}."
    )
