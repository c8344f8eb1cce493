"""Confident learning by hand, and planted wrong labels that are found."""

import numpy as np
import pytest
from hand_made import hand_made
from sklearn.ensemble import ExtraTreesClassifier
from sklearn.model_selection import cross_val_predict

from tlids_helpers import audit
from tlids_helpers.audit import labels
from tlids_helpers.audit.rows import group_ids
from tlids_helpers.common.errors import InputError

CLASSES = ("Benign", "DoS", "Theft")
CODES = np.array([0, 0, 0, 1, 1])
PROBABILITIES = np.array([[0.9, 0.1], [0.7, 0.3], [0.2, 0.8], [0.4, 0.6], [0.0, 1.0]])


def test_thresholds_are_mean_self_confidences():
    assert labels.thresholds(CODES, PROBABILITIES).tolist() == pytest.approx([(0.9 + 0.7 + 0.2) / 3, (0.6 + 1.0) / 2])


def test_a_row_is_counted_to_the_likeliest_class_that_reaches_its_threshold():
    # thresholds 0.6 and 0.8: the third row is Benign by its label and confidently the other; the fourth is nobody's
    assert labels.confident(CODES, PROBABILITIES).tolist() == [0, 0, 1, -1, 1]


def test_of_several_classes_that_reach_their_thresholds_the_likeliest_counts():
    codes = np.array([0, 1, 1, 2])
    probabilities = np.array([[0.2, 0.5, 0.3], [0.5, 0.1, 0.4], [0.6, 0.3, 0.1], [0.45, 0.25, 0.3]])
    # thresholds 0.2, 0.2, 0.3: the likeliest is not the label's own though that reaches its threshold too
    assert labels.confident(codes, probabilities).tolist() == [1, 0, 0, 0]
    # with the third class alone in reach it wins however unlikely
    assert labels.confident(
        np.array([0, 1, 2]), np.array([[0.9, 0, 0.1], [0, 0.9, 0.1], [0.8, 0.19, 0.01]])
    ).tolist() == [0, 1, 2]


def test_a_class_that_is_not_judged_has_no_suspects_and_suggests_itself_to_nobody():
    judged = np.array([True, False])
    assert labels.confident(CODES, PROBABILITIES, judged).tolist() == [0, 0, -1, -1, -1]


def test_a_class_that_is_equally_sure_of_all_its_rows_reaches_its_own_threshold():
    probabilities = np.full((7, 2), 0.1) + [0.0, 0.8]
    assert labels.confident(np.ones(7, dtype=int), probabilities).tolist() == [1] * 7


def test_equal_rows_share_a_fold_and_every_class_is_dealt_evenly():
    codes = np.repeat([0, 1, 2], [1000, 100, 10])
    ids = np.arange(1110) // 2
    fold = labels.grouped_folds(ids, codes, 5, seed=1)
    assert all(len(set(fold[ids == group])) == 1 for group in range(0, 555, 7))
    for code, rows in ((0, 200), (1, 20), (2, 2)):
        assert np.bincount(fold[codes == code], minlength=5).tolist() == [rows] * 5
    assert not np.array_equal(fold, labels.grouped_folds(ids, codes, 5, seed=2))


@pytest.mark.parametrize("folds", [1, 4])
def test_fewer_distinct_rows_than_folds_are_refused(folds):
    with pytest.raises(InputError, match=f"2 folds or more.*found {folds} and 3"):
        labels.grouped_folds(np.array([0, 0, 1, 2]), np.zeros(4, dtype=int), folds, 0)


def test_distinct_rows_and_conflicts_by_hand():
    ids, codes = np.array([0, 0, 0, 1, 2, 2]), np.array([0, 0, 1, 1, 1, 1])
    assert labels.distinct_rows(ids, codes, 3).tolist() == [1, 3, 0]
    assert labels.conflicting(ids, codes).tolist() == [True, True, True, False, False, False]


def planted() -> list[tuple[float, str]]:
    """Benign below 100, DoS above 1000; five equal rows and one more bear the wrong class."""
    sound = [(value, "Benign") for value in range(60)] + [(1000 + value, "DoS") for value in range(60)]
    return [*sound, *[(30.5, "DoS")] * 5, (1030.5, "Benign")]


def test_planted_wrong_labels_are_suspect_and_no_other(tmp_path):
    check = audit.label_noise(hand_made(tmp_path, CLASSES[:2], train=planted()))
    found = check.table.set_index("class")
    assert check.table.columns.name == "own"
    assert found["rows"].to_dict() == {"Benign": 61, "DoS": 65, "all": 126}
    assert found["suspects"].to_dict() == {"Benign": 1, "DoS": 5, "all": 6}
    assert found["likely"].to_dict() == {"Benign": "DoS", "DoS": "Benign", "all": ""}
    assert found["ambiguous"].to_dict() == {"Benign": 0, "DoS": 0, "all": 0}
    assert found.loc["all", "share"] == pytest.approx(6 / 126)
    assert check.sentence == (
        "6 of 126 training rows are confidently predicted as another class, 0 of them rows that equal one of "
        "another class."
    )


def test_equal_rows_would_vouch_for_each_other_in_folds_that_part_them():
    rows = planted()
    features = np.float32([[value] * 9 for value, _ in rows])
    codes = np.array([CLASSES.index(name) for _, name in rows])
    ids, trees = group_ids(features), ExtraTreesClassifier(50, random_state=0)
    parted = labels.out_of_fold(trees, features, codes, np.arange(len(codes)) % 5, 2)
    together = labels.out_of_fold(trees, features, codes, labels.grouped_folds(ids, codes, 5, 0), 2)
    assert parted[120:125, 1].min() > 0.9 and together[120:125, 1].max() < 0.1


def test_probabilities_come_from_the_other_folds_alone_and_lie_under_their_class_codes():
    rng = np.random.default_rng(0)
    features, codes = rng.normal(size=(60, 9)).astype(np.float32), np.repeat([0, 2], 30)
    fold = np.arange(60) % 3
    trees = ExtraTreesClassifier(20, random_state=0)
    found = labels.out_of_fold(trees, features, codes, fold, 4)
    for k in range(3):
        fitted = ExtraTreesClassifier(20, random_state=0).fit(features[fold != k], codes[fold != k])
        assert np.allclose(found[fold == k][:, [0, 2]], fitted.predict_proba(features[fold == k]))
    assert not found[:, [1, 3]].any()
    seen = cross_val_predict(trees, features, codes, cv=3, method="predict_proba")
    assert not np.allclose(found[:, [0, 2]], seen)  # other folds, other probabilities


def test_suspects_whose_equals_bear_another_label_are_counted_apart(tmp_path):
    rows = [*planted(), *[(5, "DoS")]]  # 5 is a Benign row too
    found = audit.label_noise(hand_made(tmp_path, CLASSES[:2], train=rows)).table.set_index("class")
    assert found.loc["DoS", ["suspects", "ambiguous"]].tolist() == [6, 1]


def test_a_class_with_fewer_distinct_rows_than_folds_is_not_judged(tmp_path):
    rows = [*planted(), *[(20.5, "Theft")] * 9]
    check = audit.label_noise(hand_made(tmp_path, CLASSES, train=rows))
    found = check.table.set_index("class")
    assert found.loc["Theft", ["suspects", "ambiguous"]].isna().all() and found.loc["Theft", "rows"] == 9
    assert found.loc["all", "suspects"] == 6
    assert check.sentence.endswith("another class; not judged for lack of distinct rows: Theft.")
