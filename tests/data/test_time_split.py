"""split="time": the last fifth by its start, whatever the order of the file; version 3's own columns."""

import numpy as np
import pytest

from tlids_helpers.common.errors import InputError
from tlids_helpers.data import prepare
from tlids_helpers.data.raw import START_COLUMN
from tlids_helpers.data.split import ROLES

FIRST = 1_424_242_193_040  # of NF-UNSW-NB15-v3's kind: milliseconds since 1970


@pytest.fixture
def frame(netflow):
    """500 version-3 rows in random order; IN_BYTES is a row's number and its place in time."""
    made = netflow({"Benign": 300, "DoS": 200}, version=2)
    return made.assign(**{START_COLUMN: FIRST + 1000 * made["IN_BYTES"], "FLOW_END_MILLISECONDS": FIRST})


@pytest.fixture
def starts_of():
    return lambda prepared, role: prepare.load(prepared, role)[0][:, prepared.features.index("IN_BYTES")]


@pytest.mark.parametrize("suffix", [".csv", ".parquet"])
def test_every_test_flow_began_after_every_other_and_validation_is_a_tenth_of_the_rest(
    suffix, frame, tmp_path, starts_of
):
    path = tmp_path / f"v3{suffix}"
    frame.to_csv(path, index=False) if suffix == ".csv" else frame.to_parquet(path)
    prepared = prepare.prepare(str(path), tmp_path / "data", "time")
    assert [prepared.size(role) for role in ROLES] == [360, 40, 100]
    assert sorted(starts_of(prepared, "test")) == list(range(400, 500))
    learned = np.concatenate([starts_of(prepared, role) for role in ("train", "validation")])
    assert sorted(learned) == list(range(400))


def test_flows_of_one_instant_stay_together(frame, tmp_path, starts_of):
    frame.loc[frame["IN_BYTES"].between(390, 410), START_COLUMN] = FIRST + 390_000
    frame.to_csv(tmp_path / "v3.csv", index=False)
    prepared = prepare.prepare(str(tmp_path / "v3.csv"), tmp_path / "data", "time")
    assert sorted(starts_of(prepared, "test")) == list(range(390, 500))


def test_the_time_is_no_feature_and_does_not_change_what_the_rows_are(frame, tmp_path):
    for name, rows in (("with", frame), ("without", frame.drop(columns=START_COLUMN))):
        (tmp_path / name).mkdir()
        rows.to_csv(tmp_path / name / "v3.csv", index=False)
    contents = {prepare.prepare(str(tmp_path / name / "v3.csv"), tmp_path / "data").content for name in
                ("with", "without")}  # fmt: skip
    assert len(contents) == 1


@pytest.mark.parametrize(
    ("change", "found"),
    [(lambda f: f.drop(columns=START_COLUMN), "a column 'FLOW_START_MILLISECONDS' .* found none"),
     (lambda f: f.assign(**{START_COLUMN: "noon"}), "expected numbers in the column .* found something else"),
     (lambda f: f.assign(**{START_COLUMN: FIRST}), "different times .* found that most flows have one")],
)  # fmt: skip
def test_rows_that_no_time_can_split_are_refused(change, found, frame, tmp_path):
    change(frame).to_csv(tmp_path / "v3.csv", index=False)
    with pytest.raises(InputError, match=found):
        prepare.prepare(str(tmp_path / "v3.csv"), tmp_path / "data", "time")
