"""A home learned in the laboratory: the Pi's head beside Keras on the same batches; rows.npz of any trained model."""

import hashlib
import json
import random
from types import SimpleNamespace

import numpy as np
import pytest
from tlids_edge.detect.card import read_card, read_model
from tlids_edge.detect.detector import Detector
from tlids_edge.errors import InputError
from tlids_edge.flows.flow import Flow
from tlids_edge.flows.rows import ROW
from tlids_edge.flows.rows import flow as row_flow
from tlids_edge.learn import graph, head, recipe, rows
from tlids_edge.learn.blocks import block_features
from tlids_edge.learn.learner import Plan

from tlids_helpers.export import adapt
from tlids_helpers.export.card import stored_rows
from tlids_helpers.network.backend import keras
from tlids_helpers.testbed.__main__ import MODEL

DAY_S = 86_400


def flow(second: float, host: int) -> Flow:
    """A flow of a host that talks to one service."""
    row = np.zeros((), ROW)
    row["src"], row["address_bytes"], row["src_mac"], row["src_mac_bytes"] = (
        bytes([10, 0, 0, host]), 4, bytes([2, 0, 0, 0, 0, host]), 6,
    )  # fmt: skip
    row["src_port"], row["dst_port"], row["protocol"], row["tcp_flags"] = 50_000 + host, 443, 6, 27
    row["l7_app"], row["in_packets"], row["out_packets"] = 91, 9, 11
    row["in_bytes"], row["out_bytes"] = 900 + 10 * host, 4_000 + host
    row["last_us"], row["proven"] = int(second * 1e6), 1
    return row_flow(row)


@pytest.fixture(scope="module")
def flows() -> list:
    return [flow(when + host, host) for when in range(0, DAY_S, 600) for host in range(1, 12)]


@pytest.fixture
def floats(request):
    """Keras's default type of floats, for one test."""
    before = keras.config.floatx(), keras.config.dtype_policy()
    keras.config.set_floatx(request.param)
    keras.config.set_dtype_policy(request.param)
    yield request.param
    keras.config.set_floatx(before[0])
    keras.config.set_dtype_policy(before[1])


def train_in_keras(lesson: head.Lesson, layers: list, order: list, training: head.Training) -> list:
    """What `tlids_edge.learn.head.train` does, by Keras, in the precision of its configuration."""
    widths = [len(bias) for _, bias in layers]
    stack = [keras.Input((lesson.features.shape[1],))]
    stack += [keras.layers.Dense(width, activation="relu") for width in widths[:-1]]
    network = keras.Sequential([*stack, keras.layers.Dense(widths[-1], activation="softmax")])
    network.set_weights([values for layer in layers for values in layer])
    rate = keras.optimizers.schedules.InverseTimeDecay(training.rate, decay_steps=1, decay_rate=training.decay)
    optimiser = keras.optimizers.Adagrad(rate, training.accumulator, epsilon=training.epsilon)
    network.compile(optimizer=optimiser, loss="categorical_crossentropy", jit_compile=False)
    for batch in order:
        network.train_on_batch(lesson.features[batch], lesson.targets[batch], sample_weight=lesson.weights[batch])
    values = network.get_weights()
    return list(zip(values[::2], values[1::2], strict=True))


# In 32-bit floats, rounding grows with the steps: to 3e-4 over the recipe's 20 epochs. 64 bits show the method alone.
@pytest.mark.parametrize(("floats", "epochs"), [("float32", 5), ("float64", 20)], indirect=["floats"])
def test_keras_on_the_same_batches_gives_the_same_weights_and_the_same_class_on_every_row(floats, epochs):
    card = read_card(MODEL)
    content, stored = read_model(MODEL, card), rows.read(MODEL, card)
    found = graph.find_head(content)
    home = stored[0][:800] * np.float32(1.1)
    layers = [tuple(values.astype(floats) for values in layer) for layer in graph.read_layers(content, found)]
    parent = recipe.Parent(content, 0, card.threshold)
    lesson = recipe.lesson(
        parent, *(block_features(content, found, each) for each in (home, stored[0])), stored[1], 4.5
    )
    lesson += recipe.rehearsed(parent, home, stored[0], seed=3)
    assert 0.01 < lesson.targets.max(axis=1).min() < 0.9 and lesson.weights.max() > 3  # soft targets, heavy rows
    lesson = head.Lesson(*(values.astype(floats) for values in (lesson.features, lesson.targets, lesson.weights)))
    training = head.Training(epochs=epochs)
    order = head.batches(len(lesson.targets), 3, training)
    ours = head.train(lesson, layers, order, training)
    theirs = train_in_keras(lesson, layers, order, training)
    for (weights, bias), (other_weights, other_bias) in zip(ours, theirs, strict=True):
        np.testing.assert_allclose(weights, other_weights, atol=1e-5)
        np.testing.assert_allclose(bias, other_bias, atol=1e-5)
    assert head.distance(ours, layers) > 100 * head.distance(ours, theirs)
    by_us, by_keras = (head.probabilities(lesson.features, each).argmax(axis=1) for each in (ours, theirs))
    np.testing.assert_array_equal(by_us, by_keras)


def test_the_laboratory_learns_and_adapts_by_the_pis_own_program(flows, tmp_path):
    plan = Plan(tmp_path / "state", MODEL, DAY_S, adapts=False, draw=random.Random(1).random)
    assert "enough for `tlids-edge adapt`" in adapt.learn(MODEL, flows, plan)
    told = adapt.adapt(MODEL, tmp_path / "state", tmp_path / "home", seed=1)
    assert told["rows"] >= 1000 and told["promise"]["flows"] == told["rows"] // 5
    verdicts = adapt.judged(Detector(tmp_path / "home"), flows[:300])
    assert len(verdicts) == 300 and not any(verdict.is_alert for verdict in verdicts)
    with pytest.raises(InputError, match="expected a new folder"):
        adapt.adapt(MODEL, tmp_path / "state", tmp_path / "home")


def test_too_few_rows_are_told_in_the_laboratory_too(flows, tmp_path):
    plan = Plan(tmp_path / "state", MODEL, DAY_S, adapts=False, draw=random.Random(1).random)
    assert "are missing" in adapt.learn(MODEL, flows[:200], plan)
    with pytest.raises(InputError, match="rows learned at least"):
        adapt.adapt(MODEL, tmp_path / "state", tmp_path / "home")


def test_stored_rows_are_training_rows_within_the_limits_of_class_and_size(tmp_path, monkeypatch):
    rng = np.random.default_rng(0)
    features = rng.random((9000, 9)).astype(np.float32) * 1e6
    codes = np.repeat([0, 1, 2, 3], [4000, 3000, 1990, 10])
    prepared = SimpleNamespace(seed=7)
    roles = {"train": (features, codes)}
    monkeypatch.setattr("tlids_helpers.data.prepare.load", lambda _, role, task: roles[role])
    monkeypatch.setattr(rows, "MAX_BYTES", 1 << 20)
    whole = rows._unpacked(stored_rows(prepared, "multiclass", 0))
    assert np.bincount(whole[1]).tolist() == [1500, 500, 500, 10]
    known = {row.tobytes() for row in features}
    assert all(row.tobytes() in known for row in np.ascontiguousarray(whole[0]))
    monkeypatch.setattr(rows, "MAX_BYTES", 64 << 10)
    content = stored_rows(prepared, "multiclass", 0)
    assert len(content) <= 64 << 10
    assert np.bincount(rows._unpacked(content)[1]).tolist() == [750, 250, 250, 10]


def test_the_shipped_models_card_has_the_digest_of_its_rows():
    fields = json.loads((MODEL / "card.json").read_text())
    content = (MODEL / "rows.npz").read_bytes()
    assert fields["files"]["rows.npz"] == {"sha256": hashlib.sha256(content).hexdigest(), "bytes": len(content)}
