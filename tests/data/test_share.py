"""A share of the labelled rows: which rows, which classes are lost, what cannot be used."""

import warnings

import numpy as np
import pytest
from small_flows import write_csv

from tlids_helpers.common.errors import InputError
from tlids_helpers.data import prepare, share


@pytest.fixture(scope="module")
def prepared(tmp_path_factory):
    folder = tmp_path_factory.mktemp("own")
    return prepare.prepare(str(write_csv(folder / "home.csv")), folder / "data")


@pytest.fixture
def least_of(monkeypatch):
    return lambda rows: monkeypatch.setattr(share, "LEAST", rows)


def test_all_of_the_rows_are_the_rows_as_they_were(prepared):
    ours, theirs = share.load(prepared, "train", "multiclass", 1.0, 0), prepare.load(prepared, "train")
    assert all(np.array_equal(one, other) for one, other in zip(ours, theirs, strict=True))


def test_a_larger_share_holds_the_smaller_and_another_seed_draws_others(prepared, least_of):
    least_of(1)
    small, large, other = (share.load(prepared, "train", "multiclass", *each)[0] for each in
                           ((0.2, 1), (0.5, 1), (0.2, 2)))  # fmt: skip
    assert (len(small), len(large)) == (57, 144)
    np.testing.assert_array_equal(large[:57], small)
    assert not np.array_equal(other, small)


def test_a_class_that_a_share_leaves_without_rows_is_named_and_the_rest_goes_on(prepared, least_of):
    least_of(3)
    with pytest.warns(UserWarning, match="3 training rows of home, a share of 0.01, have none of class ") as told:
        _, codes = share.load(prepared, "train", "multiclass", 0.01, 1)
    assert len(codes) == 3
    for code, name in enumerate(prepared.classes):
        assert (name in str(told[0].message).partition("class ")[2]) == (code not in codes)


def test_validation_rows_may_lack_a_class_in_silence(prepared, least_of):
    least_of(2)
    with warnings.catch_warnings(action="error"):
        assert len(share.load(prepared, "validation", "multiclass", 0.01, 0)[1]) == 2


def test_fewer_than_two_classes_are_an_error(prepared, least_of):
    least_of(1)
    with pytest.raises(InputError, match="expected at least two classes in 0.10% of the training rows .* found only"):
        share.load(prepared, "train", "multiclass", 0.001, 0)


@pytest.mark.parametrize("wrong", [0, -0.1, 1.01, float("nan")])
def test_what_is_no_share_is_refused(prepared, wrong):
    with pytest.raises(InputError, match="expected share above 0 and at most 1, found"):
        share.load(prepared, "train", "multiclass", wrong, 0)


def test_rows_come_round_until_there_are_as_many_as_with_all_of_them():
    features, codes = share.as_many((np.array([[1], [2], [3]]), np.array([0, 1, 2])), 7)
    assert features.ravel().tolist() == [1, 2, 3, 1, 2, 3, 1] and codes.tolist() == [0, 1, 2, 0, 1, 2, 0]
