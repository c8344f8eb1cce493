"""What a feature is worth: nothing when it is useless, the closed form when the model is a line."""

import numpy as np
import pytest
from hand_made import hand_made
from sklearn.tree import DecisionTreeClassifier
from small_flows import fitted, raw_flows, rows, train_rows

from tlids_helpers.audit import explain
from tlids_helpers.common.errors import InputError
from tlids_helpers.data.catalog import NETFLOW_FEATURES
from tlids_helpers.network import model, training
from tlids_helpers.network.backend import keras
from tlids_helpers.network.model import predict

NAMES = NETFLOW_FEATURES


@pytest.fixture(scope="module")
def learned() -> keras.Model:
    """The CNN after enough epochs to tell four classes apart; the last feature was constant."""
    recipe = training.Recipe(epochs=30, batch_size=32)
    return training.train_from_scratch(train_rows(), rows(100, seed=2), 4, recipe, seed=1).model


def reads_only(column: int):
    """A model that is sure of class 1 where the feature is above 0."""
    return lambda features: np.eye(2)[(features[:, column] > 0).astype(int)]


def test_shuffling_the_one_feature_that_is_read_leaves_chance_and_any_other_costs_nothing():
    rng = np.random.default_rng(0)
    truth = np.arange(4000) % 2
    features = rng.normal(size=(4000, 9))
    features[:, 3] = 2.0 * truth - 1
    frame = explain.permutation(reads_only(3), features, truth, NAMES).set_index("feature")
    assert frame.index[0] == NAMES[3]
    assert frame.loc[NAMES[3], "importance"] == pytest.approx(0.5, abs=0.03)  # macro-F1 from 1 to a coin's
    assert (frame.drop(NAMES[3]) == 0).all(axis=None)


def test_a_feature_made_noise_is_worth_nothing_to_a_tree_that_had_others():
    train, test = rows(600, seed=1), rows(400, seed=2)
    rng = np.random.default_rng(3)
    for features, _ in (train, test):
        features[:, 2] = rng.integers(0, 1000, len(features))
    tree = DecisionTreeClassifier(random_state=0).fit(*train)
    frame = explain.permutation(tree.predict_proba, *test, NAMES).set_index("feature")
    assert frame.loc[NAMES[2], "importance"] == pytest.approx(0, abs=0.01)
    assert frame["importance"].max() > 0.2


def test_a_constant_feature_is_worth_exactly_nothing_to_the_cnn(learned):
    features, truth = rows(200, seed=5)
    features[:, 8] = 7
    frame = explain.permutation(lambda x: predict(learned, x), features, truth, NAMES, repeats=2)
    assert frame.set_index("feature").loc[NAMES[8]].tolist() == [0, 0]
    assert frame["importance"].max() > 0.05


def line(weights: np.ndarray) -> keras.Model:
    """Two classes: sigmoid(weights . standardised logarithms), as a softmax over (0, that)."""
    first = model.preprocessing(train_rows()[0])
    dense = keras.layers.Dense(2, activation="softmax", name="head")
    inputs = keras.Input((9,))
    network = keras.Model(inputs, dense(first(inputs)))
    dense.set_weights([np.stack([0 * weights, weights], axis=1), np.zeros(2)])
    return network


WEIGHTS = np.array([0.7, -0.4, 0.2, 0.0, 0.5, -0.3, 0.1, 0.6, -0.2], np.float32)
FLOW, BASELINE = raw_flows()[7], raw_flows()[8]


def test_the_attributions_of_a_logistic_model_are_the_closed_form():
    network = line(WEIGHTS)
    found = explain.integrated_gradients(network, FLOW, BASELINE, 1, NAMES)
    start, end = network.get_layer("preprocessing").predict(np.stack([BASELINE, FLOW]), verbose=0)
    parts = WEIGHTS * (end - start)
    ends = [1 / (1 + np.exp(-WEIGHTS @ z)) for z in (start, end)]
    expected = parts / parts.sum() * (ends[1] - ends[0])
    np.testing.assert_allclose(found.table.set_index("feature").loc[list(NAMES), "attribution"], expected, atol=1e-3)
    assert (found.baseline_output, found.output) == pytest.approx(ends, abs=1e-5)


def test_a_feature_without_weights_gets_exactly_nothing():
    table = explain.integrated_gradients(line(WEIGHTS), FLOW, BASELINE, 1, NAMES).table.set_index("feature")
    assert table.loc[NAMES[3], "attribution"] == 0 and table.loc[NAMES[3], "value"] != table.loc[NAMES[3], "baseline"]
    assert (table.drop(NAMES[3])["attribution"] != 0).all()


@pytest.mark.parametrize("index", [0, 2, 5, 100, 250])
def test_the_cnns_attributions_add_up_to_the_difference_and_an_equal_feature_gets_exactly_nothing(learned, index):
    network, flow = learned, raw_flows()[index].copy()
    baseline = explain.median_benign(*train_rows())
    flow[[1, 8]] = baseline[[1, 8]]
    column = int(network(flow[None]).numpy().argmax())
    found = explain.integrated_gradients(network, flow, baseline, column, NAMES)
    ends = predict(network, np.stack([baseline, flow]).astype(np.float32))[:, column]
    assert (found.baseline_output, found.output) == pytest.approx(tuple(ends), abs=1e-5)
    assert found.table["attribution"].sum() == pytest.approx(ends[1] - ends[0], abs=explain.TOLERANCE + 1e-5)
    table = found.table.set_index("feature")
    assert (table.loc[[NAMES[1], NAMES[8]], "attribution"] == 0).all()
    assert table["attribution"].abs().is_monotonic_decreasing


def test_the_baseline_explains_itself_with_nothing():
    baseline = explain.median_benign(*train_rows())
    found = explain.integrated_gradients(fitted().model, baseline, baseline, 0, NAMES)
    assert not found.table["attribution"].any() and found.gap == 0 and found.output == found.baseline_output


def test_a_path_that_was_cut_too_coarsely_is_reported(monkeypatch):
    monkeypatch.setattr(explain, "STEPS", 1)
    monkeypatch.setattr(explain, "MOST_STEPS", 1)
    found = explain.integrated_gradients(line(5 * WEIGHTS), FLOW, BASELINE, 1, NAMES)
    assert abs(found.gap) > explain.TOLERANCE and found.steps == 1
    assert found.sentence().endswith("do not read the attributions.")
    monkeypatch.undo()
    fine = explain.integrated_gradients(line(5 * WEIGHTS), FLOW, BASELINE, 1, NAMES)
    assert abs(fine.gap) <= explain.TOLERANCE and "do not read" not in fine.sentence()


def test_the_median_benign_row_by_hand():
    features = np.array([[1, 10], [3, 30], [2, 1000], [99, 99]], np.float32)
    assert explain.median_benign(features, np.array([0, 0, 0, 1])).tolist() == [2, 30]
    with pytest.raises(InputError, match="found none"):
        explain.median_benign(features, np.array([1, 1, 1, 1]))


def test_what_does_not_fit_is_one_sentence():
    with pytest.raises(InputError, match="9 values, found 8, 9"):
        explain.integrated_gradients(fitted().model, FLOW[:8], BASELINE, 0, NAMES)
    with pytest.raises(InputError, match="9 features"):
        explain.permutation(reads_only(0), np.zeros((5, 8)), np.zeros(5), NAMES)


def test_the_flow_to_explain_is_the_first_of_the_rarest_attack_or_of_the_class_asked_for(tmp_path):
    prepared = hand_made(tmp_path, ("Benign", "flood", "scan"))
    truth = np.array([0, 2, 2, 1, 1, 2])
    assert explain.flow_to_explain(prepared, truth, "", "multiclass") == (3, 1)
    assert explain.flow_to_explain(prepared, truth, "scan", "multiclass") == (1, 2)
    with pytest.raises(InputError, match="among Benign, flood, scan, found 'worm'"):
        explain.flow_to_explain(prepared, truth, "worm", "multiclass")
    with pytest.raises(InputError, match="row of 'scan', found none"):
        explain.flow_to_explain(prepared, np.array([0, 1]), "scan", "multiclass")
    with pytest.raises(InputError, match="attacks in the test split of Own, found none"):
        explain.flow_to_explain(prepared, np.array([0, 0]), "", "multiclass")
