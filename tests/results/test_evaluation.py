"""Scores against an example worked on paper and against scikit-learn's report."""

import math

import numpy as np
import pytest
from sklearn import metrics as sklearn_metrics
from small_flows import fitted, raw_flows

from tlids_helpers.network.model import predict
from tlids_helpers.results import metrics

CLASSES = ("Benign", "ddos", "scanning")
# Ten flows. Columns of the matrix below: predicted Benign, ddos, scanning.
TRUTH = np.array([0, 0, 0, 0, 0, 1, 1, 1, 2, 2])
PREDICTED = np.array([0, 0, 0, 0, 1, 1, 1, 0, 2, 1])
MATRIX = [[4, 1, 0], [1, 2, 0], [0, 1, 1]]
# On paper: precision 4/5, 2/4, 1/1; recall 4/5, 2/3, 1/2; F1 = 2 hits / (predicted + true): 8/10, 4/7, 2/3
PRECISION, RECALL, F1, SUPPORT = (4 / 5, 1 / 2, 1.0), (4 / 5, 2 / 3, 1 / 2), (4 / 5, 4 / 7, 2 / 3), (5, 3, 2)


def weighted(values) -> float:
    return sum(value * rows for value, rows in zip(values, SUPPORT, strict=True)) / 10


def test_the_six_scores_of_ten_flows_are_those_worked_on_paper():
    # MCC, many classes: (hits n - sum t p) / sqrt((n^2 - sum p^2)(n^2 - sum t^2)), t = 5, 3, 2 and p = 5, 4, 1
    mcc = (7 * 10 - (25 + 12 + 2)) / math.sqrt((100 - 42) * (100 - 38))
    assert metrics.scores(TRUTH, PREDICTED) == pytest.approx(
        {
            "accuracy": 0.7, "precision": weighted(PRECISION), "recall": weighted(RECALL), "f1": weighted(F1),
            "macro_f1": sum(F1) / 3, "mcc": mcc,
        }
    )  # fmt: skip
    assert weighted(PRECISION) == pytest.approx(0.75)
    assert sum(F1) / 3 != pytest.approx(weighted(F1), abs=0.01)  # the example tells the two averages apart


def test_the_names_of_the_scores_are_the_schemas():
    assert tuple(metrics.scores(TRUTH, PREDICTED)) == metrics.SCORES


def test_the_confusion_matrix_has_true_classes_as_rows():
    assert metrics.confusion(TRUTH, PREDICTED, 3).tolist() == MATRIX


def test_a_class_without_test_rows_keeps_its_row_and_column():
    assert metrics.confusion(TRUTH, PREDICTED, 4).tolist() == [[*row, 0] for row in MATRIX] + [[0] * 4]
    assert metrics.per_class(TRUTH, PREDICTED, (*CLASSES, "mitm"))["mitm"]["support"] == 0


def test_per_class_scores_are_those_worked_on_paper():
    table = metrics.per_class(TRUTH, PREDICTED, CLASSES)
    expected = zip(PRECISION, RECALL, F1, SUPPORT, strict=True)
    for name, (precision, recall, f1, support) in zip(CLASSES, expected, strict=True):
        assert table[name] == pytest.approx({"precision": precision, "recall": recall, "f1": f1, "support": support})
        assert type(table[name]["support"]) is int


def test_scores_equal_scikit_learns_report_on_a_thousand_flows():
    rng = np.random.default_rng(0)
    truth = rng.choice(5, 1000, p=(0.7, 0.1, 0.1, 0.05, 0.05))
    predicted = np.where(rng.random(1000) < 0.8, truth, rng.integers(0, 5, 1000))
    report = sklearn_metrics.classification_report(truth, predicted, output_dict=True)
    found = metrics.scores(truth, predicted)
    assert found["accuracy"] == pytest.approx(report["accuracy"])
    for ours, theirs in (("precision", "precision"), ("recall", "recall"), ("f1", "f1-score")):
        assert found[ours] == pytest.approx(report["weighted avg"][theirs])
    assert found["macro_f1"] == pytest.approx(report["macro avg"]["f1-score"])
    assert found["mcc"] == pytest.approx(sklearn_metrics.matthews_corrcoef(truth, predicted))


def test_a_class_that_is_never_predicted_has_precision_0_without_a_warning(recwarn):
    predicted = np.zeros_like(TRUTH)
    assert metrics.per_class(TRUTH, predicted, CLASSES)["scanning"]["precision"] == 0
    found = metrics.scores(TRUTH, predicted)
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


def test_probabilities_come_in_the_order_of_the_rows():
    flows, network = raw_flows(), fitted().model
    one_by_one = np.concatenate([network(flows[i : i + 1]).numpy() for i in range(5)])
    np.testing.assert_allclose(predict(network, flows)[:5], one_by_one, atol=1e-6)
