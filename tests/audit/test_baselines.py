"""What each baseline learns, from which rows, and what it costs."""

import dataclasses
import pickle
import shutil

import numpy as np
import pytest
from sklearn.ensemble import ExtraTreesClassifier, HistGradientBoostingClassifier
from small_flows import BRIEF, CLASSES, fitted, rows, write_csv
from threadpoolctl import threadpool_info

from tlids_helpers.audit import baselines
from tlids_helpers.common.errors import InputError
from tlids_helpers.data import prepare
from tlids_helpers.data.catalog import CICFLOW_FEATURES, NETFLOW_FEATURES
from tlids_helpers.results import metrics, runs

PORT = NETFLOW_FEATURES.index("L4_DST_PORT")


def fit(name: str, train, validation=None, n_classes: int = 4, **kwargs) -> baselines.Fitted:
    return baselines.fit(name, train, validation or train, n_classes, NETFLOW_FEATURES, **kwargs)


def model_of(found: baselines.Fitted):
    return found.predict.args[0]


@pytest.fixture(scope="module")
def prepared(tmp_path_factory):
    folder = tmp_path_factory.mktemp("own")
    return prepare.prepare(str(write_csv(folder / "home.csv")), folder / "data")


def test_the_majority_class_is_always_named_with_its_share():
    codes = np.array([0, 2, 2, 2, 1])
    found = fit("majority class", (rows(5)[0], codes))
    assert found.predict(rows(2)[0]).tolist() == [[0.2, 0.2, 0.6, 0]] * 2


def test_the_port_table_by_hand():
    features = np.zeros((6, 9), np.float32)
    features[:, PORT] = [80, 80, 80, 80, 23, 53]
    codes = np.array([0, 0, 0, 2, 2, 0])
    asked = np.zeros((5, 9), np.float32)
    asked[:, PORT] = [80, 23, 53, 443, 0]  # the last two never seen: 4 of 6 rows are benign, 2 of class 2
    found = fit("destination port", (features, codes)).predict(asked)
    expected = [[0.75, 0, 0.25, 0], [0, 0, 1, 0], [1, 0, 0, 0], [4 / 6, 0, 2 / 6, 0], [4 / 6, 0, 2 / 6, 0]]
    np.testing.assert_allclose(found, expected)


def test_the_port_table_looks_at_no_other_column():
    train, asked = rows(300, seed=1), rows(50, seed=2)[0]
    found = fit("destination port", train)
    blind = np.zeros_like(asked)
    blind[:, PORT] = asked[:, PORT]
    np.testing.assert_array_equal(found.predict(asked), found.predict(blind))


def test_the_port_is_found_in_both_families_and_missed_in_one_sentence():
    assert baselines.make("destination port", CICFLOW_FEATURES, 1).column == CICFLOW_FEATURES.index("Dst_Port")
    with pytest.raises(InputError, match="expected a destination port"):
        baselines.make("destination port", ("IN_BYTES", "L4_SRC_PORT"), 1)
    with pytest.raises(InputError, match="expected a baseline among majority class, .*found 'oracle'"):
        baselines.make("oracle", NETFLOW_FEATURES, 1)


@pytest.mark.parametrize("name", baselines.BASELINES)
def test_probabilities_stand_in_the_columns_of_the_class_list_whatever_training_lacked(name):
    features, codes = rows(400, seed=1)
    kept = codes != 1  # class 1 has no training row
    found = fit(name, (features[kept], codes[kept]), (features, codes)).predict(rows(80, seed=2)[0])
    assert found.shape == (80, 4) and not found[:, 1].any()
    np.testing.assert_allclose(found.sum(axis=1), 1)
    if name not in ("majority class", "destination port"):
        truth = rows(80, seed=2)[1]
        assert np.mean(found.argmax(axis=1)[truth != 1] == truth[truth != 1]) > 0.9


def test_extra_trees_are_scikit_learns_hundred():
    train, asked = rows(300, seed=1), rows(60, seed=2)[0]
    expected = ExtraTreesClassifier(100, random_state=7).fit(*train).predict_proba(asked)
    np.testing.assert_array_equal(fit("extra trees", train, seed=7).predict(asked), expected)
    assert not np.array_equal(fit("extra trees", train, seed=8).predict(asked), expected)


def test_boosting_stops_by_the_validation_rows_and_keeps_all_training_rows(monkeypatch):
    seen = {}
    original = HistGradientBoostingClassifier.fit

    def note(self, X, y, **given):
        seen.update(rows=len(y), validation=given["X_val"])
        return original(self, X, y, **given)

    monkeypatch.setattr(HistGradientBoostingClassifier, "fit", note)
    train, validation = rows(400, seed=1), rows(100, seed=2)
    useful = fit("histogram boosting", train, validation)
    assert seen["rows"] == 400 and np.array_equal(seen["validation"], validation[0])
    noise = fit("histogram boosting", train, (validation[0], np.random.default_rng(0).permutation(validation[1])))
    assert model_of(noise).n_iter_ < model_of(useful).n_iter_ <= 100


def test_logistic_regression_is_scaled_by_the_training_rows_logarithms():
    train = rows(400, seed=1)
    train[0][0, 0] = -1  # a sentinel counts as 0
    pipeline = model_of(fit("logistic regression", train, rows(100, seed=2)))
    logs = np.log1p(np.maximum(train[0], 0).astype(np.float64))
    np.testing.assert_allclose(pipeline[1].mean_, logs.mean(axis=0))
    np.testing.assert_allclose(pipeline[1].scale_, logs.std(axis=0))


def test_the_size_is_that_of_the_pickle_and_a_forest_outweighs_its_tree():
    tree, forest = (fit(name, rows(400, seed=1)) for name in ("decision tree", "random forest"))
    assert tree.size == len(pickle.dumps(model_of(tree), pickle.HIGHEST_PROTOCOL))
    assert forest.size > 20 * tree.size and forest.seconds > 0


def test_the_table_scores_the_test_split_and_nothing_but_it(prepared):
    told = []
    names = ["decision tree", "majority class"]
    frame = baselines.table(prepared, seed=3, names=names, networks={}, progress=told.append)
    assert told == [1, 1]  # a bar counts the models
    assert frame["model"].tolist() == ["decision tree", "majority class"]
    assert set(metrics.ALL_SCORES) < set(frame) and frame.columns.name == "own"
    assert frame[["seed", "train_rows", "test_rows"]].to_numpy().tolist() == [[3, 288, 80]] * 2
    features, truth = prepare.load(prepared, "test")
    assert frame["accuracy"][1] == np.mean(truth == 0)  # equal classes: the first is named
    tree = fit("decision tree", prepare.load(prepared, "train"), seed=3)
    assert frame["accuracy"][0] == np.mean(tree.predict(features).argmax(axis=1) == truth)
    assert (frame[["fit_seconds", "predict_seconds", "bytes"]] > 0).all(axis=None)


def test_no_test_row_is_read_before_scoring(prepared, tmp_path, monkeypatch):
    folder = tmp_path / prepared.folder.name
    shutil.copytree(prepared.folder, folder)
    (folder / "test.parquet").unlink()
    monkeypatch.setattr(baselines, "score", lambda found, *_: {"model": found.name})
    frame = baselines.table(dataclasses.replace(prepared, folder=folder), networks={})
    assert frame["model"].tolist() == list(baselines.BASELINES)


def test_the_network_is_the_run_of_notebook_02_with_its_seconds_and_its_file(prepared, tmp_path):
    run = runs.save(tmp_path, "02_cnn_training", prepared, "multiclass", "scratch", BRIEF, 1, fitted())
    frame = baselines.table(prepared, seed=1, names=[], networks={"CNN": BRIEF}, runs_dir=tmp_path)
    assert frame["fit_seconds"][0] == run.result["seconds"]["total"]
    assert frame["bytes"][0] == run.model_path.stat().st_size
    for name, value in run.result["scores"].items():
        assert frame[name][0] == pytest.approx(value), name


def test_a_binary_table_has_benign_and_attack(prepared):
    frame = baselines.table(prepared, "binary", names=["decision tree"], networks={})
    assert frame["recall_at_0.01"].notna().all()
    assert frame["accuracy"][0] > 0.9


def test_a_fitter_learns_from_rows_alone():
    train, validation, asked = rows(300, seed=1), rows(60, seed=2), rows(40, seed=3)[0]
    tree = baselines.fitter("decision tree", NETFLOW_FEATURES)(train, validation, 4, 5)
    np.testing.assert_array_equal(tree(asked), fit("decision tree", train, seed=5).predict(asked))
    network = baselines.fitter(baselines.CNN, NETFLOW_FEATURES, BRIEF)(train, validation, len(CLASSES), 5)
    assert network(asked).shape == (40, 4)


def test_a_baseline_takes_no_more_cores_than_it_is_given(monkeypatch):
    seen, learn = [], baselines.PortTable.fit

    def watched(table, features, codes):
        seen.extend(pool["num_threads"] for pool in threadpool_info())
        return learn(table, features, codes)

    monkeypatch.setattr(baselines.PortTable, "fit", watched)
    fit("destination port", rows(20))
    assert seen and set(seen) == {1}
