"""Classes that are judged on too few rows are named."""

import math

import pytest
from hand_made import hand_made

from tlids_helpers.audit import support


@pytest.fixture
def prepared(tmp_path):
    classes = ("Benign", "DoS", "Theft", "Worms")
    test = [(1, "Benign")] * 50 + [(2, "DoS")] * 49 + [(3, "Theft")] * 4
    return hand_made(tmp_path, classes, train=[(1, "Benign")] * 3 + [(5, "Worms")], validation=[(2, "DoS")], test=test)


def test_support_per_class_and_role(prepared):
    found = support.table(prepared).set_index("class")
    assert found.columns.name == "own"
    assert found[["train", "validation", "test"]].to_numpy().tolist() == [[3, 0, 50], [0, 1, 49], [0, 0, 4], [1, 0, 0]]
    assert found["one_row"].tolist()[:3] == pytest.approx([0.02, 1 / 49, 0.25]) and math.isnan(found["one_row"].iloc[3])


def test_a_class_with_49_test_rows_has_too_few_and_one_with_50_has_not(prepared):
    frame = support.table(prepared)
    assert frame["few"].tolist() == [False, True, True, True]
    said = support.sentence(frame)
    assert said == "3 of 4 classes have fewer than 50 test rows: DoS (49), Theft (4), Worms (0)."
    assert support.sentence(frame[:1]) == "All 1 classes have 50 test rows or more."
    assert support.table(prepared, 4)["few"].tolist() == [False, False, False, True]
    assert support.sentence(frame, 4) == "1 of 4 classes have fewer than 4 test rows: Worms (0)."
