"""A class that is left out is left out, what is called an attack is counted, and confidences are binned on paper."""

import dataclasses

import numpy as np
import pytest
from hand_made import hand_made
from sklearn.calibration import calibration_curve
from small_flows import CLASSES, rows, write_csv

from tlids_helpers import audit
from tlids_helpers.audit import alarms, baselines
from tlids_helpers.common.errors import InputError
from tlids_helpers.data import prepare
from tlids_helpers.data.catalog import NETFLOW_FEATURES
from tlids_helpers.results import metrics, threshold

CONFIDENCE = np.array([0.5, 0.6, 0.7, 0.9, 1.0, 0.8])
RIGHT = np.array([True, True, False, True, True, False])


@pytest.fixture(scope="module")
def prepared(tmp_path_factory):
    folder = tmp_path_factory.mktemp("own")
    return prepare.prepare(str(write_csv(folder / "home.csv", n=800)), folder / "data")


def test_leaving_a_class_out_closes_the_gap_in_the_codes():
    features = np.arange(12, dtype=np.float32).reshape(6, 2)
    kept, codes = alarms.without((features, np.array([0, 1, 2, 3, 2, 0], np.int32)), 2)
    assert kept[:, 0].tolist() == [0, 2, 6, 10]
    assert codes.tolist() == [0, 1, 2, 0] and codes.dtype == np.int32


def test_no_row_of_the_class_reaches_training_or_validation(prepared):
    seen = []

    def fit(train, validation, n_classes):
        seen.append((train, validation, n_classes))
        return lambda features: np.full((len(features), n_classes), 1 / n_classes)

    audit.open_set(prepared, "by hand", fit)
    assert [classes for *_, classes in seen] == [4, 3, 3, 3]
    code = prepared.classes.index("injection")
    train, validation, _ = seen[code]
    for role, found in (("train", train), ("validation", validation)):
        features, codes = prepare.load(prepared, role)
        np.testing.assert_array_equal(found[0], features[codes != code])
        names = np.array([name for name in prepared.classes if name != "injection"])
        np.testing.assert_array_equal(names[found[1]], np.array(prepared.classes)[codes[codes != code]])


def test_flows_called_an_attack_are_counted(prepared):
    # P(benign) is a share of the source port: all that follows can be counted without the function
    def fit(train, validation, n_classes):
        def predict(features):
            attack = features[:, 0] / 70_000
            return np.stack([1 - attack, attack, *[0 * attack] * (n_classes - 2)], axis=1)

        return predict

    frame = audit.open_set(prepared, "by hand", fit).table
    features, truth = prepare.load(prepared, "test")
    alerts = features[:, 0] / 70_000 > 0.5
    for row in frame.itertuples():
        mask = truth == prepared.classes.index(row.left_out)
        assert (row.attacks, row.found_unseen) == (mask.sum(), (alerts & mask).sum())
        assert row.false_alarms == (alerts & (truth == 0)).sum()


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
    twin = audit.open_set(prepared, "a tree", fit).table.set_index("left_out").loc["twin"]
    assert twin[["found_known", "attacks"]].tolist() == [40, 40]
    assert twin["found_unseen"] < 5 and twin["false_alarms"] == 0


def test_every_attack_class_is_asked_for_and_the_mark_stays(prepared):
    check = audit.open_set(prepared, "extra trees", baselines.fitter("extra trees", NETFLOW_FEATURES))
    assert check.table["left_out"].tolist() == list(CLASSES[1:]) and check.table.columns.name == "own"
    first = check.table.iloc[0]
    assert f"extra trees calls an attack: {first['found_unseen']} of {first['attacks']} ddos flows, " in check.sentence


def test_a_threshold_is_chosen_for_each_rate_that_one_keeps_to(prepared):
    validation = prepare.load(prepared, "validation")
    by_port = alarms.alert_thresholds(lambda features: np.stack([1 - features[:, 0] / 70_000] * 2, axis=1), validation)
    assert list(by_port) == ["0.1 % false positives", "1 % false positives"]
    assert not any(chosen.enough for chosen in by_port.values())  # 16 benign validation rows show no 1 %
    score = threshold.scores(np.stack([1 - validation[0][:, 0] / 70_000] * 2, axis=1), 0)
    for chosen, rate in zip(by_port.values(), metrics.RATES, strict=True):
        assert chosen == threshold.choose(score[validation[1] == 0], rate)
    assert alarms.alert_thresholds(lambda features: np.eye(4)[np.ones(len(features), int)], validation) == {}


def test_what_cannot_be_left_out_is_not_checked(prepared):
    two = dataclasses.replace(prepared, classes=("Benign", "ddos"))
    check = audit.open_set(two, "none", None)
    assert not check.possible and check.table is None
    assert "at least two attack classes" in check.sentence and "found Benign, ddos" in check.sentence


def test_both_models_stand_in_one_row_a_class(prepared):
    """The model that knew all classes finds every injection, the other a half."""

    def fit(train, validation, n_classes):
        def predict(features):
            attack = np.arange(len(features)) % 2 if n_classes == 3 else np.ones(len(features))
            return np.stack([1 - attack, *([attack / (n_classes - 1)] * (n_classes - 1))], axis=1)

        return predict

    found = audit.open_set(prepared, "by hand", fit).table.set_index("left_out")
    truth = prepare.load(prepared, "test")[1]
    for name, row in found.iterrows():
        shown = truth[np.isin(truth, (0, prepared.classes.index(name)))]
        alerts = np.arange(len(shown)) % 2 == 1
        assert row["attacks"] == row["found_known"] == prepared.counts["test"][name]
        assert 0 < row["found_unseen"] == (alerts & (shown > 0)).sum() < row["attacks"]
        assert row["lost"] == row["attacks"] - row["found_unseen"]
        assert row["false_alarms"] == (alerts & (shown == 0)).sum()


@pytest.fixture
def ten_rows(tmp_path):
    rows = [(value, "Benign") for value in (1, 2, 3, 4)] + [(value, "scan") for value in (11, 12, 13, 14)]
    rows += [(value, "flood") for value in (21, 22)]
    return hand_made(tmp_path, ("Benign", "flood", "scan"), train=rows, validation=rows, test=rows)


def test_alarms_by_hand(ten_rows):
    """A model that alarms on the benign 4 and misses the scan 11: 5 of 6 attacks, 1 of 4 benign rows."""

    def predict(features):
        attack = (features[:, 0] > 3) & (features[:, 0] != 11)
        return np.stack([1.0 - attack, np.zeros(len(features)), attack], axis=1)

    check = audit.false_alarms([baselines.Fitted("rule", predict, 0.0, 0)], ten_rows, "multiclass", 10.0)
    named = check.table.set_index("rule").loc["argmax"]
    assert (named["found"], named["attacks"], named["false_alarms"], named["benign"]) == (5, 6, 1, 4)
    assert named["per_day"] == pytest.approx(10 * 86_400 / 4)
    assert check.sentence == (
        "At 10 benign flows a second, by the class that is named: rule finds 5 of 6 attack flows and alarms on 1 of 4 "
        "benign ones, 216,000 a day."
    )


def test_without_a_benign_class_there_are_no_alarms_to_count(tmp_path):
    rows = [(1, "flood"), (2, "scan")]
    other = hand_made(tmp_path, ("flood", "scan"), train=rows, validation=rows, test=rows, benign="Benign")
    check = audit.false_alarms([], other, "multiclass", 10.0)
    assert not check.possible and "a benign class in Own" in check.sentence


def two_classes(confidence: np.ndarray, right: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """(probabilities (n, 2), truth (n,)) of a model that names class 0 with `confidence` of 0.5 and more."""
    return np.column_stack([confidence, 1 - confidence]), np.where(right, 0, 1)


def test_four_bins_of_equal_width_by_hand():
    table = alarms.reliability(*two_classes(CONFIDENCE, RIGHT), bins=4)
    assert table["count"].tolist() == [0, 1, 2, 3]  # 0.5 is the upper edge of the second
    assert table["low"].tolist() == [0, 0.25, 0.5, 0.75] and table["high"].tolist() == [0.25, 0.5, 0.75, 1]
    assert table["confidence"].tolist() == pytest.approx([np.nan, 0.5, 0.65, 0.9], nan_ok=True)
    assert table["accuracy"].tolist() == pytest.approx([np.nan, 1, 1 / 2, 2 / 3], nan_ok=True)
    assert alarms.ece(table) == pytest.approx((1 * 0.5 + 2 * 0.15 + 3 * (0.9 - 2 / 3)) / 6)


def test_bins_are_scikit_learns():
    rng = np.random.default_rng(0)
    confidence = rng.uniform(0.5, 1, 996)
    right = rng.random(996) < confidence**2
    accuracy, expected = calibration_curve(right, confidence, n_bins=12)
    table = alarms.reliability(*two_classes(confidence, right), bins=12)
    shown = table[table["count"] > 0]
    np.testing.assert_allclose(shown["accuracy"], accuracy)
    np.testing.assert_allclose(shown["confidence"], expected)
    assert table["count"].sum() == 996


def test_a_calibrated_model_has_a_small_error_and_an_overconfident_one_its_excess():
    rng = np.random.default_rng(1)
    confidence = rng.uniform(0.5, 0.8, 50_000)
    right = rng.random(50_000) < confidence
    assert alarms.ece(alarms.reliability(*two_classes(confidence, right))) < 0.01
    assert alarms.ece(alarms.reliability(*two_classes(confidence + 0.2, right))) == pytest.approx(0.2, abs=0.01)


def test_the_class_that_is_named_is_the_one_whose_confidence_counts():
    probabilities = np.array([[0.7, 0.2, 0.1], [0.4, 0.1, 0.5], [0.4, 0.5, 0.1]])
    table = alarms.reliability(probabilities, np.array([0, 1, 1]), bins=2)
    assert table["count"].tolist() == [2, 1]  # 0.5 and 0.5; 0.7
    assert table["accuracy"].tolist() == [0.5, 1]


def test_calibration_is_counted_for_each_model():
    probabilities, truth = two_classes(CONFIDENCE, RIGHT)
    check = audit.calibration({"CNN": probabilities, "trees": probabilities}, truth, "v2")
    assert check.table["model"].tolist() == ["CNN", "trees"] and check.table.columns.name == "v2"
    assert check.table.loc[0, ["confidence", "accuracy", "gap"]].tolist() == pytest.approx([0.75, 4 / 6, 4 / 6 - 0.75])
    assert check.table.loc[0, "ece"] == alarms.ece(alarms.reliability(probabilities, truth))
    assert check.sentence.startswith(
        "CNN: Over 6 test rows mean confidence 75.0%, accuracy 66.7% (4 right): overconfident by"
    )


def test_the_sentence_counts():
    assert alarms.calibration_sentence(alarms.reliability(*two_classes(CONFIDENCE, RIGHT), bins=4)) == (
        "Over 6 test rows mean confidence 75.0%, accuracy 66.7% (4 right): overconfident by 8.3 points; "
        "ECE 0.2500 over 3 bins with rows."
    )


def test_what_is_no_probability_is_refused():
    for confidence in (1.2, -0.1, np.nan):
        with pytest.raises(InputError, match="between 0 and 1"):
            alarms.reliability(np.array([[confidence]]), np.array([0]))
    assert alarms.reliability(np.array([[1 + 1e-7]]), np.array([0]))["count"].sum() == 1  # rounding is let pass
    with pytest.raises(InputError, match="as many.*found 6 and 2"):
        alarms.reliability(*two_classes(CONFIDENCE, RIGHT)[:1], np.array([0, 1]))
    with pytest.raises(InputError, match="1 bin or more.*found 0"):
        alarms.reliability(*two_classes(CONFIDENCE, RIGHT), bins=0)
