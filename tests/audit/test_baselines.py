"""What each baseline learns, from which rows and which columns, and what it costs."""

import dataclasses
import pickle
import shutil

import numpy as np
import pytest
from hand_made import hand_made
from sklearn.ensemble import ExtraTreesClassifier, HistGradientBoostingClassifier
from sklearn.metrics import accuracy_score, f1_score
from sklearn.tree import DecisionTreeClassifier
from small_flows import BRIEF, rows, write_csv
from threadpoolctl import threadpool_info

from tlids_helpers import audit, experiment
from tlids_helpers.audit import baselines
from tlids_helpers.common.errors import InputError
from tlids_helpers.data import prepare, share
from tlids_helpers.data.catalog import CICFLOW_FEATURES, NETFLOW_FEATURES
from tlids_helpers.results import metrics
from tlids_helpers.results.runs import Setup

PORT = NETFLOW_FEATURES.index("L4_DST_PORT")
SIZE = NETFLOW_FEATURES.index("IN_BYTES")
CLASSES = ("Benign", "DoS", "Theft")


def fit(name: str, train, validation=None, n_classes: int = 4, **kwargs) -> baselines.Fitted:
    return baselines.fit(name, (train, validation or train), n_classes, NETFLOW_FEATURES, **kwargs)


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
    frame = baselines.scored(prepared, Setup(seed=3), {}, ["decision tree", "majority class"])
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
    frame = baselines.scored(dataclasses.replace(prepared, folder=folder), Setup(), {})
    assert frame["model"].tolist() == list(baselines.BASELINES)


def test_the_network_is_the_run_of_notebook_02_with_its_seconds_and_its_file(prepared, tmp_path):
    setup = Setup(recipe=BRIEF, seed=1, runs_dir=tmp_path)
    run = experiment.from_scratch(prepared, setup)
    frame = baselines.scored(prepared, dataclasses.replace(setup, recipe=None), {"CNN": BRIEF}, [])
    assert frame["fit_seconds"][0] == run.result["seconds"]["total"]
    assert frame["bytes"][0] == run.model_path.stat().st_size
    for name, value in run.result["scores"].items():
        assert frame[name][0] == pytest.approx(value), name


def test_a_binary_table_has_benign_and_attack(prepared):
    frame = baselines.scored(prepared, Setup("binary"), {}, ["decision tree"])
    assert frame["recall_at_0.01"].notna().all()
    assert frame["accuracy"][0] > 0.9


def test_rows_without_a_destination_port_have_no_table_of_ports(prepared):
    assert baselines.possible(prepared) == baselines.BASELINES
    blind = baselines.possible(dataclasses.replace(prepared, features=("PROTOCOL",)))
    assert "destination port" not in blind and len(blind) == 6


def test_a_fitter_learns_from_rows_alone():
    train, validation, asked = rows(300, seed=1), rows(60, seed=2), rows(40, seed=3)[0]
    tree = baselines.fitter("decision tree", NETFLOW_FEATURES, 5)(train, validation, 4)
    np.testing.assert_array_equal(tree(asked), fit("decision tree", train, seed=5).predict(asked))


def test_a_baseline_takes_no_more_cores_than_it_is_given(monkeypatch):
    seen, learn = [], baselines.PortTable.fit

    def watched(table, features, codes):
        seen.extend(pool["num_threads"] for pool in threadpool_info())
        return learn(table, features, codes)

    monkeypatch.setattr(baselines.PortTable, "fit", watched)
    fit("destination port", rows(20))
    assert seen and set(seen) == {1}


def flow(port: float, size: float, code: int) -> tuple[list[float], str]:
    """A row in which the destination port and IN_BYTES alone have something to say."""
    row = [7.0] * 9
    row[PORT], row[SIZE] = port, size
    return row, CLASSES[code]


@pytest.fixture
def by_port_and_size(tmp_path):
    """The port tells Benign (443) from the attacks (80), IN_BYTES tells DoS from Theft."""
    flows = [flow(443, 10, 0), flow(443, 900, 0), flow(80, 10, 1), flow(80, 10, 1), flow(80, 900, 2)] * 8
    return hand_made(tmp_path / "p", CLASSES, train=flows, validation=flows, test=[*flows, flow(5555, 10, 1)])


def test_the_sets_of_both_families():
    sets = baselines.feature_sets(NETFLOW_FEATURES)
    assert list(sets)[:4] == ["all features", "no ports", "ports only", "destination port only"] and len(sets) == 13
    assert sets["all features"] == NETFLOW_FEATURES and sets["no ports"] == NETFLOW_FEATURES[2:]
    assert sets["ports only"] == ("L4_SRC_PORT", "L4_DST_PORT") and sets["destination port only"] == ("L4_DST_PORT",)
    assert all(set(NETFLOW_FEATURES) - set(sets[f"without {name}"]) == {name} for name in NETFLOW_FEATURES)
    sets = baselines.feature_sets(CICFLOW_FEATURES)
    assert sets["ports only"] == ("Dst_Port", "Src_Port") and sets["destination port only"] == ("Dst_Port",)


def test_a_set_that_is_empty_or_everything_is_left_out():
    assert list(baselines.feature_sets(("a", "b"))) == ["all features", "without a", "without b"]
    assert list(baselines.feature_sets(("Dst_Port",))) == ["all features"]


def test_each_score_is_what_the_sets_columns_allow(by_port_and_size):
    frame = audit.ablation(by_port_and_size).table
    found = frame.set_index("features")
    assert frame.columns.name == "own"
    # of 41 test rows the unseen port belongs to no rule: with all features it is judged by trees, so by IN_BYTES or not
    assert found.loc["all features", "wrong"] <= 1 and found.loc["without IN_PKTS", "wrong"] <= 1
    # by the port alone 8 Theft rows are taken for DoS (16 of 24 rows on port 80)
    assert found.loc["destination port only", "wrong"] - 8 in (0, 1)
    # by IN_BYTES alone: 10 bytes is Benign 8, DoS 16; 900 bytes is Benign 8, Theft 8
    assert found.loc["no ports", "wrong"] == 8 + 8
    assert found.loc["without L4_DST_PORT", "wrong"] == 16
    assert found.loc["without IN_BYTES", "wrong"] - 8 in (0, 1)
    assert (found["test_rows"] == 41).all()
    assert np.allclose(found["accuracy"], 1 - found["wrong"] / 41)
    assert found["change"].tolist() == pytest.approx(
        (found["macro_f1"] - found.loc["all features", "macro_f1"]).tolist()
    )


def test_the_looked_up_port_names_its_most_frequent_class_and_for_an_unseen_port_the_most_frequent_of_all(
    by_port_and_size,
):
    frame = audit.ablation(by_port_and_size).table.set_index("features")
    last = frame.iloc[-1]
    assert (last.name, last["columns"]) == ("destination port, looked up", 1)
    # 8 Theft rows on port 80 are named DoS; port 5555 is unseen: Benign and DoS have 16 rows each, and Benign is first
    assert last["wrong"] == 8 + 1


def test_the_trees_are_scikit_learns_on_training_rows(by_port_and_size):
    found = audit.ablation(by_port_and_size, seed=3).table.set_index("features").loc["ports only"]
    (x, y), (asked, truth) = (prepare.load(by_port_and_size, role) for role in ("train", "test"))
    oracle = ExtraTreesClassifier(100, random_state=3).fit(x[:, :2], y).predict(asked[:, :2])
    assert found["accuracy"] == accuracy_score(truth, oracle)
    assert found["macro_f1"] == pytest.approx(f1_score(truth, oracle, average="macro"))


def test_another_model_can_be_asked_and_an_unknown_one_is_refused(by_port_and_size):
    frame = audit.ablation(by_port_and_size, model="decision tree").table
    assert frame["model"].tolist() == ["decision tree"] * 13 + ["destination port"]
    check = audit.ablation(by_port_and_size, model="oracle")
    assert not check.possible and "a baseline among" in check.sentence and "'oracle'" in check.sentence


def test_the_sentence_counts_wrong_test_rows(by_port_and_size):
    check = audit.ablation(by_port_and_size, model="decision tree")
    wrong = check.table.set_index("features")["wrong"]
    assert check.sentence.startswith(
        f"Of 41 test rows decision tree gets {wrong['all features']} wrong with all features, {wrong['no ports']} with "
        f"no ports, {wrong['ports only']} with ports only, {wrong['destination port only']} with destination port only,"
        f" {wrong['destination port, looked up']} with destination port, looked up; the feature missed most is "
    )
    dropped = check.table[check.table["features"].str.startswith("without ")].sort_values("change").iloc[0]
    missed = f"{dropped['features'].removeprefix('without ')} (macro-F1 {dropped['change']:+.4f})."
    assert check.sentence.endswith(missed)


def test_a_dataset_without_ports_is_not_looked_up(by_port_and_size):
    kept = tuple(name for name in NETFLOW_FEATURES if "PORT" not in name)
    check = audit.ablation(dataclasses.replace(by_port_and_size, features=kept), model="decision tree")
    assert baselines.LOOKUP not in set(check.table["features"]) and len(check.table) == 8
    assert "looked up" not in check.sentence


def test_trees_on_a_share_learn_from_the_rows_that_a_network_would_get(prepared, monkeypatch):
    monkeypatch.setattr(share, "LEAST", 1)
    setup = Setup(share=0.5, seed=4)
    frame = baselines.on_share(prepared, setup, ["decision tree"])
    drawn = [share.load(prepared, role, "multiclass", 0.5, 4) for role in ("train", "validation")]
    features, codes = (np.concatenate(both) for both in zip(*drawn, strict=True))
    test_features, truth = prepare.load(prepared, "test")
    said = DecisionTreeClassifier(random_state=4).fit(features, codes).predict(test_features)
    row = frame.loc["decision tree"]
    assert (row["rows"], row["wrong"], row["test_rows"]) == (len(codes), (said != truth).sum(), len(truth))
