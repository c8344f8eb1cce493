"""A class that is left out is left out, and what is called an attack is counted."""

import dataclasses

import numpy as np
import pytest
from small_flows import CLASSES, rows, write_csv

from tlids_helpers.audit import baselines, open_set
from tlids_helpers.common.errors import InputError
from tlids_helpers.data import prepare
from tlids_helpers.data.catalog import NETFLOW_FEATURES
from tlids_helpers.results import threshold

RULES = ["argmax", "0.1 % false positives", "1 % false positives"]


@pytest.fixture(scope="module")
def prepared(tmp_path_factory):
    folder = tmp_path_factory.mktemp("own")
    return prepare.prepare(str(write_csv(folder / "home.csv", n=800)), folder / "data")


def test_leaving_a_class_out_closes_the_gap_in_the_codes():
    features = np.arange(12, dtype=np.float32).reshape(6, 2)
    kept, codes = open_set.without((features, np.array([0, 1, 2, 3, 2, 0], np.int32)), 2)
    assert kept[:, 0].tolist() == [0, 2, 6, 10]
    assert codes.tolist() == [0, 1, 2, 0] and codes.dtype == np.int32


def test_no_row_of_the_class_reaches_training_or_validation(prepared):
    seen = []

    def fit(train, validation, n_classes, seed):
        seen.append((train, validation, n_classes, seed))
        return lambda features: np.full((len(features), n_classes), 1 / n_classes)

    told = []
    open_set.table(prepared, "uniform", fit, ["injection"], seed=9, progress=told.append)
    assert told == [1]  # a bar counts the classes
    (_, _, all_classes, _), (train, validation, fewer, seed) = seen
    assert (all_classes, fewer, seed) == (4, 3, 9)
    code = prepared.classes.index("injection")
    for role, found in (("train", train), ("validation", validation)):
        features, codes = prepare.load(prepared, role)
        np.testing.assert_array_equal(found[0], features[codes != code])
        names = np.array([name for name in prepared.classes if name != "injection"])
        np.testing.assert_array_equal(names[found[1]], np.array(prepared.classes)[codes[codes != code]])


def test_flows_called_an_attack_are_counted_for_each_rule(prepared):
    # P(benign) is a share of the source port: all that follows can be counted without the function
    def fit(train, validation, n_classes, seed):
        def predict(features):
            attack = features[:, 0] / 70_000
            return np.stack([1 - attack, attack, *[0 * attack] * (n_classes - 2)], axis=1)

        return predict

    frame = open_set.table(prepared, "ports", fit, ["ddos", "scanning"], rates=(0.1,))
    features, truth = prepare.load(prepared, "test")
    held, codes = prepare.load(prepared, "validation")
    limit = threshold.choose(threshold.scores(fit(None, None, 4, 0)(held[codes == 0]), 0), 0.1).value
    score = features[:, 0] / 70_000
    for row in frame.itertuples():
        mask = truth == prepared.classes.index(row.left_out)
        alerts = score > 0.5 if row.rule == "argmax" else score >= limit
        assert (row.attacks, row.found) == (mask.sum(), (alerts & mask).sum())
        assert (row.benign, row.false_alarms) == ((truth == 0).sum(), (alerts & (truth == 0)).sum())
    assert frame["rule"].tolist() == ["argmax", "10 % false positives"] * 4
    assert frame["enough"].all()  # 16 benign validation rows show one in ten
    assert frame["known"].tolist() == [True, True, False, False] * 2


def test_a_class_like_the_benign_one_is_missed_once_it_is_left_out(tmp_path):
    # "twin" is benign traffic but for its last feature; "loud" is far away from both
    features, _ = rows(600, n_classes=1)
    codes = np.arange(600) % 3
    features[codes == 1, 8] += 10_000
    features[codes == 2] += 1e6
    lines = [",".join([*NETFLOW_FEATURES, "Attack"])]
    names = ("Benign", "twin", "loud")
    lines += [",".join([*map(str, row.astype(int)), names[code]]) for row, code in zip(features, codes, strict=True)]
    (tmp_path / "twin.csv").write_text("\n".join(lines) + "\n")
    prepared = prepare.prepare(str(tmp_path / "twin.csv"), tmp_path / "data")
    fit = baselines.fitter("decision tree", NETFLOW_FEATURES)
    frame = open_set.table(prepared, "decision tree", fit, ["twin"], rates=()).set_index("known")
    assert frame.loc[True, ["found", "attacks"]].tolist() == [40, 40]
    assert frame.loc[False, "found"] < 5 and frame.loc[False, "false_alarms"] == 0


def test_every_attack_class_is_asked_for_and_the_mark_stays(prepared):
    fit = baselines.fitter("extra trees", NETFLOW_FEATURES)
    frame = open_set.table(prepared, "extra trees", fit)
    assert frame["left_out"].unique().tolist() == list(CLASSES[1:])
    assert frame.groupby("left_out")["rule"].unique().map(list).tolist() == [RULES] * 3
    assert frame["enough"].tolist() == [True, False, False] * 6  # 16 benign validation rows show no 1 %
    assert frame.columns.name == "own"
    said = open_set.sentence(frame)
    shown = frame[~frame["known"] & (frame["rule"] == "argmax")].iloc[0]
    assert f"extra trees calls an attack: {shown['found']} of {shown['attacks']} ddos flows, " in said


def test_a_rate_that_no_threshold_keeps_to_has_no_row(prepared):
    def fit(train, validation, n_classes, seed):
        return lambda features: np.eye(n_classes)[np.ones(len(features), int)]  # all are the first attack, surely

    assert open_set.table(prepared, "alarmist", fit, ["ddos"])["rule"].tolist() == ["argmax"] * 2


def test_what_cannot_be_left_out_is_one_sentence(prepared):
    for name in ("Benign", "worm"):
        with pytest.raises(InputError, match=f"an attack class among ddos, injection, scanning, found '{name}'"):
            open_set.table(prepared, "none", None, [name])
    two = dataclasses.replace(prepared, classes=("Benign", "ddos"))
    with pytest.raises(InputError, match="at least two attack classes"):
        open_set.table(two, "none", None)


def test_both_models_stand_in_one_row_a_class(prepared):
    """The model that knew all classes finds every injection, the other a half."""

    def fit(train, validation, n_classes, seed):
        def predict(features):
            attack = np.arange(len(features)) % 2 if n_classes == 3 else np.ones(len(features))
            return np.stack([1 - attack, *([attack / (n_classes - 1)] * (n_classes - 1))], axis=1)

        return predict

    frame = open_set.table(prepared, "by hand", fit, ["injection", "ddos"])
    found = open_set.beside(frame).set_index("left_out")
    assert found.index.tolist() == ["injection", "ddos"] and found.columns.name == "own"
    for name, row in found.iterrows():
        unseen = frame[(frame["left_out"] == name) & ~frame["known"] & (frame["rule"] == "argmax")].iloc[0]
        assert row["attacks"] == row["found_known"] == prepared.counts["test"][name]
        assert 0 < row["found_unseen"] == unseen["found"] < row["attacks"]
        assert row["lost"] == row["attacks"] - row["found_unseen"] and row["false_alarms"] == unseen["false_alarms"]
