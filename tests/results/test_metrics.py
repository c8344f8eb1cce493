"""Every score against flows worked on paper, and against scikit-learn's own names for it."""

import math

import numpy as np
import pytest
from sklearn.metrics import (
    average_precision_score,
    balanced_accuracy_score,
    classification_report,
    matthews_corrcoef,
)

from tlids_helpers.common.errors import InputError
from tlids_helpers.results import metrics, threshold

CLASSES = ("Benign", "ddos", "scanning", "mitm")  # mitm has no test row, and is named once
TRUTH = np.array([0, 0, 0, 0, 1, 1, 2, 2])
PROBABILITIES = np.array(
    [
        [0.9, 0.1, 0.0, 0.0],
        [0.6, 0.3, 0.1, 0.0],
        [0.2, 0.5, 0.3, 0.0],  # a false alarm
        [0.7, 0.1, 0.1, 0.1],
        [0.1, 0.8, 0.1, 0.0],
        [0.5, 0.4, 0.1, 0.0],  # missed
        [0.3, 0.1, 0.6, 0.0],
        [0.4, 0.0, 0.0, 0.6],  # found, but called mitm
    ]
)
# 1 - P(benign), falling: .9 attack, .8 benign, .7, .6, .5 attack, .4, .3, .1 benign

# Ten flows. Columns of the matrix below: predicted Benign, ddos, scanning.
TEN_TRUTH = np.array([0, 0, 0, 0, 0, 1, 1, 1, 2, 2])
TEN_PREDICTED = np.array([0, 0, 0, 0, 1, 1, 1, 0, 2, 1])
MATRIX = [[4, 1, 0], [1, 2, 0], [0, 1, 1]]
# On paper: precision 4/5, 2/4, 1/1; recall 4/5, 2/3, 1/2; F1 = 2 hits / (predicted + true): 8/10, 4/7, 2/3
PRECISION, RECALL, F1, SUPPORT = (4 / 5, 1 / 2, 1.0), (4 / 5, 2 / 3, 1 / 2), (4 / 5, 4 / 7, 2 / 3), (5, 3, 2)


def found() -> dict[str, float]:
    return metrics.all_scores(TRUTH, PROBABILITIES)


def weighted(values) -> float:
    return sum(value * rows for value, rows in zip(values, SUPPORT, strict=True)) / 10


def test_the_six_scores_of_ten_flows_are_those_worked_on_paper():
    # MCC, many classes: (hits n - sum t p) / sqrt((n^2 - sum p^2)(n^2 - sum t^2)), t = 5, 3, 2 and p = 5, 4, 1
    mcc = (7 * 10 - (25 + 12 + 2)) / math.sqrt((100 - 42) * (100 - 38))
    assert metrics.scores(TEN_TRUTH, TEN_PREDICTED) == pytest.approx(
        {
            "accuracy": 0.7, "precision": weighted(PRECISION), "recall": weighted(RECALL), "f1": weighted(F1),
            "macro_f1": sum(F1) / 3, "mcc": mcc,
        }
    )  # fmt: skip
    assert weighted(PRECISION) == pytest.approx(0.75)
    assert sum(F1) / 3 != pytest.approx(weighted(F1), abs=0.01)  # the example tells the two averages apart


def test_the_names_of_the_scores_are_the_schemas():
    assert tuple(metrics.scores(TEN_TRUTH, TEN_PREDICTED)) == metrics.SCORES


def test_the_confusion_matrix_has_true_classes_as_rows():
    assert metrics.confusion(TEN_TRUTH, TEN_PREDICTED, 3).tolist() == MATRIX


def test_a_class_without_test_rows_keeps_its_row_and_column():
    assert metrics.confusion(TEN_TRUTH, TEN_PREDICTED, 4).tolist() == [[*row, 0] for row in MATRIX] + [[0] * 4]
    assert metrics.per_class(TEN_TRUTH, TEN_PREDICTED, CLASSES)["mitm"]["support"] == 0


def test_per_class_scores_are_those_worked_on_paper():
    table = metrics.per_class(TEN_TRUTH, TEN_PREDICTED, CLASSES[:3])
    expected = zip(PRECISION, RECALL, F1, SUPPORT, strict=True)
    for name, (precision, recall, f1, support) in zip(CLASSES[:3], expected, strict=True):
        assert table[name] == pytest.approx({"precision": precision, "recall": recall, "f1": f1, "support": support})
        assert type(table[name]["support"]) is int


def test_scores_equal_scikit_learns_report_on_a_thousand_flows():
    rng = np.random.default_rng(0)
    truth = rng.choice(5, 1000, p=(0.7, 0.1, 0.1, 0.05, 0.05))
    predicted = np.where(rng.random(1000) < 0.8, truth, rng.integers(0, 5, 1000))
    report = classification_report(truth, predicted, output_dict=True)
    found = metrics.scores(truth, predicted)
    assert found["accuracy"] == pytest.approx(report["accuracy"])
    for ours, theirs in (("precision", "precision"), ("recall", "recall"), ("f1", "f1-score")):
        assert found[ours] == pytest.approx(report["weighted avg"][theirs])
    assert found["macro_f1"] == pytest.approx(report["macro avg"]["f1-score"])
    assert found["mcc"] == pytest.approx(matthews_corrcoef(truth, predicted))


def test_a_class_that_is_never_predicted_has_precision_0_without_a_warning(recwarn):
    predicted = np.zeros_like(TEN_TRUTH)
    assert metrics.per_class(TEN_TRUTH, predicted, CLASSES)["scanning"]["precision"] == 0
    found = metrics.scores(TEN_TRUTH, predicted)
    assert found["precision"] == pytest.approx(0.5 * 0.5)  # Benign: precision 5/10, half of the rows
    assert found["macro_f1"] == pytest.approx((2 * 5 / 15) / 3)
    assert found["mcc"] == 0
    assert not recwarn.list


def test_binary_scores_weight_both_classes_and_do_not_take_attack_for_the_positive_one():
    truth, predicted = np.array([0, 0, 0, 1]), np.array([0, 0, 1, 1])
    found = metrics.scores(truth, predicted)
    assert found["precision"] == pytest.approx((3 * 1.0 + 1 * 0.5) / 4)
    assert found["f1"] == pytest.approx((3 * 4 / 5 + 1 * 2 / 3) / 4)
    assert found["mcc"] == pytest.approx((1 * 2 - 1 * 0) / math.sqrt(2 * 1 * 3 * 2))  # (TP TN - FP FN) / sqrt(...)
    assert metrics.confusion(truth, predicted, 2).tolist() == [[2, 1], [0, 1]]


def test_all_scores_begin_with_the_papers_four_and_mcc():
    ours = found()
    theirs = metrics.scores(TRUTH, PROBABILITIES.argmax(axis=1))
    assert {name: ours[name] for name in theirs} == theirs
    assert tuple(ours) == metrics.ALL_SCORES


def test_macro_f1_counts_a_class_that_was_named_without_a_test_row():
    # F1 = 2 hits / (predicted + true): 6/8, 2/4, 2/3, 0/1
    assert found()["macro_f1"] == pytest.approx((6 / 8 + 2 / 4 + 2 / 3 + 0) / 4)


def test_balanced_accuracy_is_the_mean_recall_of_the_classes_with_test_rows(recwarn):
    assert found()["balanced_accuracy"] == pytest.approx((3 / 4 + 1 / 2 + 1 / 2) / 3)
    assert not recwarn.list
    three = PROBABILITIES[:, :3]  # without the class that has no rows scikit-learn's own name says the same
    expected = balanced_accuracy_score(TRUTH, three.argmax(axis=1))
    assert metrics.all_scores(TRUTH, three)["balanced_accuracy"] == pytest.approx(expected)


def test_pr_auc_is_the_mean_of_the_average_precisions_worked_on_paper():
    benign = (1 + 1 + 1 + 4 / 7) / 4  # the fourth benign row comes seventh
    ddos = (1 + 2 / 3) / 2  # first and third
    scanning = (1 + 2 / 8) / 2  # first and, with P = 0, last
    assert found()["pr_auc"] == pytest.approx((benign + ddos + scanning) / 3)


def test_pr_auc_of_attacks_ranks_by_one_minus_the_benign_probability():
    assert found()["pr_auc_attack"] == pytest.approx((1 + 2 / 3 + 3 / 4 + 4 / 5) / 4)


@pytest.mark.parametrize("rate, expected", [(0.001, 1 / 4), (0.2499, 1 / 4), (0.25, 1.0), (0.5, 1.0)])
def test_recall_at_a_rate_allows_as_many_benign_rows_as_the_rate_does(rate, expected):
    score = threshold.scores(PROBABILITIES, 0)
    assert metrics.recall_at(TRUTH != 0, score, rate) == pytest.approx(expected)


def test_an_attack_that_ties_with_a_benign_row_is_not_found_at_a_rate_of_nothing():
    attack = np.array([True, True, False, False])
    assert metrics.recall_at(attack, np.array([0.9, 0.8, 0.8, 0.1]), 0.01) == 0.5
    assert metrics.recall_at(attack, np.array([0.9, 0.9, 0.9, 0.1]), 0.01) == 0.0


@pytest.mark.parametrize("rate", [0.001, 0.01, 0.1])
def test_recall_at_a_rate_equals_that_of_the_threshold_chosen_on_the_same_rows(rate):
    rng = np.random.default_rng(1)
    attack = rng.random(5000) < 0.4
    score = np.where(attack, rng.beta(4, 2, 5000), rng.beta(2, 4, 5000))
    chosen = threshold.choose(score[~attack], rate)
    assert metrics.recall_at(attack, score, rate) == pytest.approx(np.mean(score[attack] >= chosen.value), abs=1e-3)


def test_without_benign_rows_or_attacks_the_scores_of_attacks_are_nan_and_the_rest_are_there():
    for codes, benign in (([1, 2], 0), ([0, 0], 0), ([0, 1], None)):
        ours = metrics.all_scores(np.array(codes), PROBABILITIES[[4, 6]], benign)
        assert [name for name in ours if math.isnan(ours[name])] == list(metrics.ALL_SCORES[-3:])


def test_two_classes_are_scored_as_scikit_learn_does():
    rng = np.random.default_rng(2)
    truth, score = rng.integers(0, 2, 500), rng.random(500)
    ours = metrics.all_scores(truth, np.stack([1 - score, score], axis=1))
    assert ours["pr_auc_attack"] == pytest.approx(average_precision_score(truth, score))
    expected = (average_precision_score(truth, score) + average_precision_score(1 - truth, 1 - score)) / 2
    assert ours["pr_auc"] == pytest.approx(expected)


def test_operating_points_in_counts_and_false_alarms_a_day():
    points = metrics.operating_points(TRUTH, PROBABILITIES, 0, {"high": 0.85, "low": 0.45}, flows_per_second=2)
    assert list(points["rule"]) == ["argmax", "high", "low"]
    assert points["found"].tolist() == [3, 1, 4] and points["attacks"].tolist() == [4, 4, 4]
    assert points["false_alarms"].tolist() == [1, 0, 1] and points["benign"].tolist() == [4, 4, 4]
    assert points["per_day"].tolist() == [43_200, 0, 43_200]  # a quarter of 2 flows/s * 86,400 s
    # no alarm in 4 rows: a rate of 1 - 0.05 ** (1/4) would still show none one time in twenty
    assert points["per_day_at_most"][1] == pytest.approx((1 - 0.05**0.25) * 172_800)


@pytest.mark.parametrize("hits, rows", [(0, 100), (1, 4), (7, 5000)])
def test_the_upper_bound_is_the_rate_at_which_so_few_come_one_time_in_twenty(hits, rows):
    p = metrics.rate_at_most(hits, rows)
    tail = sum(math.comb(rows, k) * p**k * (1 - p) ** (rows - k) for k in range(hits + 1))
    assert tail == pytest.approx(0.05, rel=1e-6)
    assert metrics.rate_at_most(4, 4) == 1 and math.isnan(metrics.rate_at_most(0, 0))


def test_too_few_benign_rows_for_a_rate_are_in_the_sentence():
    too_few, enough = metrics.rates_sentence(TRUTH, PROBABILITIES, rates=(0.01, 0.25)).split("; ")
    assert "1 of 4" in too_few and "100" in too_few  # benign rows that the rate takes
    assert "4 of 4" in enough and "too few" not in enough
    assert "0 of 2" in metrics.rates_sentence(np.array([1, 2]), PROBABILITIES[:2])


def test_a_class_that_is_predicted_without_a_test_row_has_its_place_in_the_confusion_matrix():
    counts = metrics.confusion(TRUTH, PROBABILITIES.argmax(axis=1), 4)
    assert counts.tolist() == [[3, 1, 0, 0], [1, 1, 0, 0], [0, 0, 1, 1], [0, 0, 0, 0]]


def test_what_cannot_be_scored_is_one_sentence():
    with pytest.raises(InputError, match="found 8 for 3"):
        metrics.all_scores(TRUTH[:3], PROBABILITIES)
    with pytest.raises(InputError, match="found NaN"):
        metrics.all_scores(TRUTH, PROBABILITIES * np.nan)
    with pytest.raises(InputError, match="benign flows a second"):
        metrics.operating_points(TRUTH, PROBABILITIES, flows_per_second=0)
    with pytest.raises(InputError, match="false-positive rate"):
        metrics.recall_at(TRUTH != 0, TRUTH, 1.5)
