"""What conflicting labels allow: by hand, and against every labelling there is."""

from itertools import product

import numpy as np
import pytest
from hand_made import hand_made
from sklearn.metrics import f1_score

from tlids_helpers.audit import ceiling
from tlids_helpers.data.split import ROLES

CLASSES = ("Benign", "DoS", "DDoS")
# groups of equal rows, rows of each class in them: two pure ones, a tie, and a majority against a minority
COUNTS = np.array([[3, 0, 0], [0, 2, 0], [0, 2, 2], [1, 0, 4]])


def as_rows(counts: np.ndarray) -> list[tuple[float, str]]:
    return [(g, CLASSES[c]) for g, row in enumerate(counts) for c, n in enumerate(row) for _ in range(n)]


def spelled_out(counts: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The group and the class of each row."""
    group, code = np.nonzero(counts)
    return np.repeat(group, counts[group, code]), np.repeat(code, counts[group, code])


def all_confusions(counts: np.ndarray) -> np.ndarray:
    """The confusion matrix (true, named) of every way to give each group a class, (C ** G, C, C)."""
    n_classes = counts.shape[1]
    ways = np.array(list(product(range(n_classes), repeat=len(counts))))
    return np.einsum("gt,wgn->wtn", counts, np.eye(n_classes, dtype=int)[ways])


@pytest.fixture
def found(tmp_path):
    return ceiling.ceiling(hand_made(tmp_path, CLASSES, test=as_rows(COUNTS)))


def test_the_ceiling_by_hand(found):
    assert (found.rows, found.conflicting, found.wrong) == (14, 9, 3)  # two of the tie, one of the minority
    scores = found.scores.set_index("score")["best"]
    assert scores["accuracy"] == pytest.approx(11 / 14)
    assert found.scores.columns.name == found.per_class.columns.name == "own"
    # Benign: 3 of 4; DoS: 4 of 4 with the tie; DDoS: 4 of 6, or all 6 with the tie
    table = found.per_class.set_index("class")
    assert table["recall"].to_dict() == pytest.approx({"Benign": 3 / 4, "DoS": 1, "DDoS": 1, "all": 11 / 14})
    assert table["recall_without_false"].to_dict() == pytest.approx(
        {"Benign": 3 / 4, "DoS": 1 / 2, "DDoS": 0, "all": 5 / 14}
    )
    # F1: 2*3/(4+3); DoS with the tie 2*4/(4+6), without 2*2/(4+2); DDoS 2*6/(6+9), without the tie 2*4/(6+5)
    assert table["best_f1"][:3].to_dict() == pytest.approx({"Benign": 6 / 7, "DoS": 4 / 5, "DDoS": 12 / 15})
    assert scores["macro_f1"] == pytest.approx((6 / 7 + 4 / 5 + 12 / 15) / 3)
    assert found.sentence() == (
        "9 of 14 test rows have equals under another class, so every model gets at least 3 wrong: at best an accuracy "
        "of 0.7857 and a macro-F1 of at most 0.8190."
    )


def test_the_majority_oracles_macro_f1_is_scikit_learns(found):
    groups, truth = spelled_out(COUNTS)
    expected = f1_score(truth, COUNTS.argmax(axis=1)[groups], average="macro")
    assert found.scores.set_index("score").loc["macro_f1_majority", "best"] == pytest.approx(expected)


@pytest.mark.parametrize("seed", range(6))
def test_no_labelling_beats_the_bounds_and_the_exact_ones_are_reached(seed):
    rng = np.random.default_rng(seed)
    counts = rng.integers(1, 5, (7, 3)) * rng.integers(0, 2, (7, 3))
    counts = np.concatenate([counts[counts.any(axis=1)], np.eye(3, dtype=int)[:1] + [[0, 2, 3]]])
    confusions = all_confusions(counts)
    hits, rows, named = np.diagonal(confusions, axis1=1, axis2=2), counts.sum(axis=0), confusions.sum(axis=1)
    accuracy, recall, f1 = hits.sum(axis=1) / rows.sum(), hits / rows, 2 * hits / (rows + named)
    bounds = ceiling.score_bounds(counts).set_index("score")["best"]
    assert bounds["accuracy"] == pytest.approx(accuracy.max())
    assert bounds["balanced_accuracy"] == pytest.approx(recall.mean(axis=1).max())
    assert bounds["macro_f1_majority"] - 1e-12 <= f1.mean(axis=1).max() <= bounds["macro_f1"] + 1e-12
    per_class = ceiling.class_bounds(counts, CLASSES).set_index("class").loc[list(CLASSES)]
    assert per_class["best_f1"].tolist() == pytest.approx(f1.max(axis=0).tolist())
    assert per_class["recall"].tolist() == pytest.approx(recall[accuracy > accuracy.max() - 1e-12].max(axis=0).tolist())
    without_false = np.where(named == hits, recall, 0).max(axis=0)
    assert per_class["recall_without_false"].tolist() == pytest.approx(without_false.tolist())


def test_without_conflicts_everything_can_be_reached(tmp_path):
    found = ceiling.ceiling(hand_made(tmp_path, CLASSES, test=[(1, "Benign"), (2, "DoS"), (2, "DoS"), (3, "DDoS")]))
    assert (found.conflicting, found.wrong) == (0, 0)
    assert (found.scores["best"] == 1).all() and (found.per_class["recall"] == 1).all()


def test_pure_groups_are_one_group_and_conflicts_stay_apart():
    features = np.float32([[1], [2], [2], [3], [3], [4], [4], [5]])
    codes = np.array([0, 0, 0, 0, 1, 0, 1, 1])
    counts = ceiling.group_counts(features, codes, 3)
    assert sorted(map(tuple, counts.tolist())) == [(0, 1, 0), (1, 1, 0), (1, 1, 0), (3, 0, 0)]


def test_the_test_split_has_its_own_conflicts_alone_and_the_whole_dataset_all_of_them(tmp_path):
    prepared = hand_made(
        tmp_path, CLASSES, train=[(1, "DoS"), (1, "DoS")], validation=[(2, "DDoS")], test=[(1, "DDoS"), (3, "Benign")]
    )
    assert ceiling.ceiling(prepared).wrong == 0
    whole = ceiling.ceiling(prepared, roles=ROLES)
    assert (whole.rows, whole.conflicting, whole.wrong) == (5, 3, 1)
    assert whole.sentence().startswith("3 of 5 rows have")
    assert ceiling.ceiling(prepared, "binary", ROLES).wrong == 0  # DoS and DDoS are both attacks


def test_a_class_without_rows_lowers_no_average(tmp_path):
    found = ceiling.ceiling(hand_made(tmp_path, CLASSES, test=[(1, "Benign"), (2, "DoS")]))
    assert found.per_class["class"].tolist() == ["Benign", "DoS", "all"]
    assert (found.scores["best"] == 1).all()
