"""The population-stability index, bins and logarithms by hand."""

import dataclasses
import math

import numpy as np
import pytest
from small_flows import write_csv

from tlids_helpers.audit import drift
from tlids_helpers.common.errors import InputError
from tlids_helpers.data import prepare
from tlids_helpers.data.catalog import CICFLOW_FEATURES, NETFLOW_FEATURES


def by_hand(source: list[float], target: list[float]) -> float:
    """From rows in each bin, half a row added to each."""
    q, p = ([(rows + 0.5) / (sum(side) + 0.5 * len(side)) for rows in side] for side in (source, target))
    return sum((b - a) * math.log(b / a) for a, b in zip(q, p, strict=True))


def test_a_feature_of_two_values_has_a_bin_for_each_and_one_for_all_others():
    source, target = np.repeat([6, 17], [50, 50]), np.repeat([6, 17], [25, 75])
    assert drift.psi(source, target) == pytest.approx(by_hand([50, 50, 0], [25, 75, 0]))
    # without smoothing, on paper: 0.25 ln 2 + 0.25 ln 1.5
    assert drift.psi(source, target) == pytest.approx(0.25 * math.log(2) + 0.25 * math.log(1.5), abs=0.01)
    other = np.repeat([6, 1, 99, 17], [40, 30, 20, 10])
    assert drift.psi(source, other) == pytest.approx(by_hand([50, 50, 0], [40, 10, 50]))


def test_many_values_are_cut_at_the_deciles_of_the_source():
    source = np.arange(100.0)
    assert drift.psi(source, source[::-1]) == 0
    assert drift.psi(source, source + 1000) == pytest.approx(by_hand([10] * 10, [0] * 9 + [100]))
    assert drift.psi(source, source - 1000) == pytest.approx(by_hand([10] * 10, [100] + [0] * 9))
    assert drift.psi(source, np.array([9.0, 9.5])) == pytest.approx(by_hand([10] * 10, [1, 1] + [0] * 8))


def test_a_value_that_fills_several_deciles_is_one_bin():
    source = np.concatenate([np.zeros(75), np.arange(1.0, 26.0)])  # deciles 0, ..., 0, then 5, 15
    assert drift.psi(source, source) == 0
    assert drift.psi(source, np.zeros(10)) == pytest.approx(by_hand([75, 5, 10, 10], [10, 0, 0, 0]))


def test_a_constant_source_sees_whatever_else_comes():
    assert drift.psi(np.zeros(20), np.zeros(50)) == pytest.approx(by_hand([20, 0], [50, 0]))
    for value in (-1.0, 1.0):
        assert drift.psi(np.zeros(20), np.full(20, value)) == pytest.approx(by_hand([20, 0], [0, 20]))


def test_rows_are_needed_on_both_sides_and_something_must_be_added_to_an_empty_bin():
    with pytest.raises(InputError, match="found 0 and 3"):
        drift.psi(np.array([]), np.arange(3))
    with pytest.raises(InputError, match="smoothing above 0"):
        drift.psi(np.arange(3), np.arange(3), smoothing=0)


@pytest.fixture(scope="module")
def two(tmp_path_factory):
    """(a network, another on which IN_BYTES alone is a thousand times as large)"""
    # of one name, so that both are split alike
    folders = [tmp_path_factory.mktemp(name) for name in ("home", "office")]
    lines = write_csv(folders[0] / "flows.csv").read_text().splitlines()
    place = NETFLOW_FEATURES.index("IN_BYTES")
    moved = [line.split(",") for line in lines[1:]]
    for row in moved:
        row[place] = str(int(row[place]) * 1000 + 10**8)
    (folders[1] / "flows.csv").write_text("\n".join([lines[0], *map(",".join, moved)]) + "\n")
    return [prepare.prepare(str(folder / "flows.csv"), folder / "data") for folder in folders]


@pytest.mark.parametrize("benign_only", [False, True])
def test_only_the_feature_that_moved_is_found_to_have_moved(two, benign_only):
    frame = drift.table(*two, benign_only=benign_only)
    assert frame["feature"][0] == "IN_BYTES" and sorted(frame["feature"]) == sorted(NETFLOW_FEATURES)
    assert frame["shift"].tolist() == ["large"] + ["small"] * 8
    assert np.allclose(frame["psi"][1:], 0)  # the same rows, the same split
    assert set(frame["target_rows"]) == {72 if benign_only else 288}
    assert frame.columns.name == "own"
    assert drift.sentence(frame).startswith(
        "Of 9 features 1 shift by a PSI of 0.25 or more and 0 by 0.1 to 0.25; IN_BYTES"
    )


def test_the_psi_of_the_table_is_that_of_the_training_rows(two):
    frame = drift.table(*two).set_index("feature")
    sides = [prepare.load(one, "train")[0][:, NETFLOW_FEATURES.index("IN_BYTES")] for one in two]
    assert frame.loc["IN_BYTES", "psi"] == drift.psi(*sides)


def test_other_features_cannot_be_compared_and_the_sources_mark_is_told(two):
    with pytest.raises(InputError, match="one family"):
        drift.table(two[0], dataclasses.replace(two[1], features=CICFLOW_FEATURES))
    simulated = dataclasses.replace(two[0], mark="simulated")
    assert drift.table(simulated, two[1]).columns.name == "own, source simulated"
