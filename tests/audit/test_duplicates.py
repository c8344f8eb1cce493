"""Exact repeats, counted by hand, against pandas, and where hashes collide."""

import numpy as np
import pandas as pd
import pytest
from hand_made import hand_made

from tlids_helpers.audit import duplicates
from tlids_helpers.data import split

CLASSES = ("Benign", "DoS", "Theft")


@pytest.fixture
def prepared(tmp_path):
    return hand_made(
        tmp_path / "p",
        CLASSES,
        train=[(1, "Benign"), (1, "Benign"), (2, "DoS"), (3, "DoS"), (1, "DoS")],
        validation=[(4, "DoS"), (9, "Theft")],
        test=[(1, "Benign"), (2, "Benign"), (4, "DoS"), (3, "DoS"), (9, "Theft"), (5, "Theft")],
    )


def several_rows(n: int = 400) -> np.ndarray:
    """Rows of which most are there more than once."""
    return np.random.default_rng(0).integers(0, 3, (n, 9)).astype(np.float32) // 2


def colliding(rows: np.ndarray, seed: int) -> np.ndarray:
    return np.zeros(len(rows), dtype=np.uint64)


def test_repeats_by_hand_per_class_and_in_all(prepared):
    found = duplicates.table(prepared).set_index("class")
    assert found.columns.name == "own"
    # in order: 1B 1B* 2D 3D 1D* | 4D 9T | 1B* 2B* 4D* 3D* 9T* 5T
    assert found["rows"].to_dict() == {"Benign": 4, "DoS": 6, "Theft": 3, "all": 13}
    assert found["repeats"].to_dict() == {"Benign": 3, "DoS": 3, "Theft": 1, "all": 7}
    # 2 under Benign repeats a DoS row, 1 under DoS a Benign one: not on the class too
    assert found["repeats_labelled"].to_dict() == {"Benign": 2, "DoS": 2, "Theft": 1, "all": 5}
    assert found.loc["all", "share"] == pytest.approx(7 / 13)
    said = duplicates.sentence(duplicates.table(prepared))
    assert said == "7 of 13 rows repeat an earlier row on the features, 5 of them on the class too."


def test_test_rows_with_a_training_twin_by_hand(prepared):
    frame = duplicates.across(prepared)
    found = frame.set_index("class")
    assert found["rows"].to_dict() == {"Benign": 2, "DoS": 2, "Theft": 2, "all": 6}
    # 1 and 2 (the latter a DoS row in training), 3; 4 and 9 are validation rows, 5 is nowhere else
    assert found["twins"].to_dict() == {"Benign": 2, "DoS": 1, "Theft": 0, "all": 3}
    assert found["twins_labelled"].to_dict() == {"Benign": 1, "DoS": 1, "Theft": 0, "all": 2}
    said = duplicates.across_sentence(frame)
    assert said == "3 of 6 test rows equal a training row on the features, 2 of them on the class too."


def test_a_class_without_rows_has_no_line(tmp_path):
    prepared = hand_made(tmp_path, CLASSES, train=[(1, "Benign")], validation=[(2, "DoS")], test=[(3, "DoS")])
    assert duplicates.table(prepared)["class"].tolist() == ["Benign", "DoS", "all"]
    assert duplicates.across(prepared)["class"].tolist() == ["DoS", "all"]
    assert duplicates.across(prepared)["twins"].tolist() == [0, 0]


@pytest.mark.parametrize("hashes", [split.hash_rows, colliding])
def test_equality_is_exact_even_where_all_hashes_collide(hashes, monkeypatch, prepared):
    monkeypatch.setattr(split, "hash_rows", hashes)
    rows = several_rows()
    ids = duplicates.group_ids(rows)
    oracle = pd.DataFrame(rows).groupby(list(range(9))).ngroup().to_numpy()
    assert len(set(zip(ids, oracle, strict=True))) == len(set(ids)) == len(set(oracle)) > 100
    assert np.array_equal(duplicates.repeats(rows), pd.DataFrame(rows).duplicated())
    assert duplicates.across(prepared)["twins"].tolist() == [2, 1, 0, 3]
    assert duplicates.table(prepared)["repeats"].tolist() == [3, 3, 1, 7]


@pytest.mark.parametrize("hashes", [split.hash_rows, colliding])
def test_minus_zero_is_zero_and_a_neighbouring_float_is_another_value(hashes, monkeypatch):
    monkeypatch.setattr(split, "hash_rows", hashes)
    rows = np.float32([[0.0, 7.0], [-0.0, 7.0], [0.0, np.nextafter(np.float32(7), np.float32(8))]])
    assert duplicates.repeats(rows).tolist() == [False, True, False]


def test_one_feature_that_differs_makes_another_row(tmp_path):
    row = list(range(9))
    others = [[*row[:place], 99, *row[place + 1 :]] for place in range(9)]
    prepared = hand_made(
        tmp_path, CLASSES, train=[(row, "DoS")], test=[(row, "DoS"), *((other, "DoS") for other in others)]
    )
    assert duplicates.across(prepared).set_index("class").loc["all", ["rows", "twins"]].tolist() == [10, 1]


def test_twins_are_found_in_every_batch_of_a_streamed_file(tmp_path, monkeypatch):
    rows = [(value, "DoS") for value in range(50)]
    prepared = hand_made(tmp_path, CLASSES, train=rows, test=[*rows, (99, "DoS")])
    stream = duplicates.raw.stream_parquet
    monkeypatch.setattr(duplicates.raw, "stream_parquet", lambda path, columns: stream(path, 7, columns))
    assert duplicates.across(prepared).set_index("class").loc["all", "twins"] == 50
