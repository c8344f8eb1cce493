"""Nine columns by Gini importance: of training rows alone, as scikit-learn computes it."""

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest
from sklearn.ensemble import RandomForestClassifier

from tlids_helpers.data import prepare, select
from tlids_helpers.data.catalog import CICFLOW_COLUMNS, CICFLOW_FEATURES

TOLD = [name for name in CICFLOW_COLUMNS if name not in ("Flow_ID", "Src_IP", "Dst_IP", "Timestamp")]


@pytest.fixture
def telling(cicflow, put, data_dir):
    """A preparation whose column Flow_Duration alone tells the class, with one column that is never a number."""
    frame = cicflow({"Normal": 300, "DoS": 200}).astype({"Flow_Byts/s": object})
    frame["Flow_Duration"] = np.where(frame["Label"] == "DoS", 5000, 10) + frame["Flow_Duration"]
    frame["Flow_Byts/s"] = "Infinity"
    return prepare.prepare(str(put(frame, "own.csv")), data_dir)


def test_the_column_that_tells_the_class_comes_first_and_importances_add_up_to_one(telling):
    found = select.gini_importance(telling)
    assert list(found.columns) == ["feature", "importance", "in_paper"]
    assert found["feature"][0] == "Flow_Duration"
    assert found["importance"].is_monotonic_decreasing and found["importance"].sum() == pytest.approx(1)


def test_every_numeric_column_is_weighed_and_the_papers_nine_are_marked(telling):
    found = select.gini_importance(telling)
    assert set(found["feature"]) == set(TOLD) - {"Flow_Byts/s"}
    assert set(found.loc[found["in_paper"], "feature"]) == set(CICFLOW_FEATURES)


def test_importances_are_scikit_learns_on_the_training_rows(telling):
    found = select.gini_importance(telling).set_index("feature")["importance"]
    table = pd.read_parquet(telling.folder / "train.parquet")
    values = table.drop(columns=["Attack", "Flow_Byts/s"])
    forest = RandomForestClassifier(select.TREES, random_state=telling.seed).fit(values.to_numpy(), table["Attack"])
    assert found[values.columns].to_numpy() == pytest.approx(forest.feature_importances_)


def test_no_more_rows_than_asked_for_are_weighed_and_the_same_ones_each_time(telling, monkeypatch):
    seen = []

    class Forest(RandomForestClassifier):
        def fit(self, values, labels):
            seen.append(values.copy())
            return super().fit(values, labels)

    monkeypatch.setattr(select, "RandomForestClassifier", Forest)
    first, again = select.gini_importance(telling, rows=100), select.gini_importance(telling, rows=100)
    pd.testing.assert_frame_equal(first, again)
    assert [len(values) for values in seen] == [100, 100] and np.array_equal(*seen)
    training = prepare.load(telling, "train")[0][:, CICFLOW_FEATURES.index("Src_Port")]
    order = [name for name in pq.read_schema(telling.folder / "train.parquet").names if name != "Flow_Byts/s"]
    assert np.isin(seen[0][:, order.index("Src_Port")], training).all()


def test_the_selected_nine_are_loaded_for_the_same_rows(telling):
    chosen = select.with_selected(telling, select.gini_importance(telling))
    assert len(chosen.features) == 9 and chosen.features[0] == "Flow_Duration"
    assert chosen.folder == telling.folder and telling.features == CICFLOW_FEATURES
    features, codes = prepare.load(chosen, "test")
    raw = pd.read_parquet(telling.folder / "test.parquet")
    assert np.array_equal(features, raw[list(chosen.features)].to_numpy(np.float32))
    assert np.array_equal(codes, prepare.load(telling, "test")[1])


def test_an_extra_column_that_is_no_number_in_a_row_loads_as_zero(cicflow, put, data_dir):
    frame = cicflow({"Normal": 30, "DoS": 20}).astype({"Flow_Byts/s": object})
    frame.loc[::2, "Flow_Byts/s"] = "NaN"
    prepared = prepare.prepare(str(put(frame, "own.csv")), data_dir)
    chosen = pd.DataFrame({"feature": ["Flow_Byts/s", "Src_Port", *CICFLOW_FEATURES[:7]]})
    features, _ = prepare.load(select.with_selected(prepared, chosen), "train")
    expected = frame["Flow_Byts/s"].replace("NaN", 0).set_axis(frame["Src_Port"]).loc[features[:, 1].astype(int)]
    assert np.array_equal(features[:, 0], expected.to_numpy(np.float32)) and 0 < (expected == 0).sum() < len(expected)
