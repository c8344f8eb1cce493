"""The transfer grid's updates of many models at once: Keras's numbers, and scikit-learn's scores."""

import importlib
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from sklearn import metrics

BENCH = Path(__file__).parents[1] / "bench"
ONE_UPDATE = """
import os, sys
os.environ["KERAS_BACKEND"], os.environ["JAX_PLATFORMS"] = "jax", "cpu"
import jax, jax.numpy as jnp, numpy as np, transfer_net as net
from tlids_helpers.network import model as network, pure
from tlids_helpers.network.backend import keras
keras.utils.set_random_seed(1)
theirs = network.chain(network.backbone(dropout=0.0), network.head(7), name="n")
rng = np.random.default_rng(0)
x, y = rng.normal(size=(128, 9)).astype("float32"), rng.integers(0, 7, 128)
everything, net.DROPOUT, start = jnp.ones((128, 7), bool), 0.0, pure.of_keras(theirs)
assert np.abs(np.exp(net.predicted(start, x, everything)[0]) - theirs.predict(x, verbose=0)).max() < 1e-5
theirs.compile(keras.optimizers.Adagrad(0.01), "sparse_categorical_crossentropy")
theirs.train_on_batch(x, y)
setting = {"momentum": 0.99, "smooth": 0.0, "rate": jnp.full(5, 0.01), "since": jnp.zeros(5, int)}
first = jax.tree.map(lambda value: value[0], net.begin([start], False))
ours = net._update(first, (x, y, everything, jnp.ones((128, 384), bool)), setting, 0, 10.0, False, False)
apart = jax.tree.map(lambda a, b: float(np.abs(a - b).max()), ours["weights"], pure.of_keras(theirs))
assert max(jax.tree.leaves(apart)) < 1e-5, apart
late = {**setting, "since": jnp.array([1, 0, 0, 0, 0])}
held = net._update(first, (x, y, everything, jnp.ones((128, 384), bool)), late, 0, 10.0, False, False)["weights"].params
assert all(np.array_equal(held["conv1a"][k], start.params["conv1a"][k]) for k in ("kernel", "bias"))
assert not np.array_equal(held["conv2a"]["kernel"], start.params["conv2a"]["kernel"])
"""


def test_an_update_without_keras_is_keras_s():
    """Same weights, same batch: the forward pass, one step of Adagrad and the moving averages agree to 1e-5.

    A group of layers that is to begin later stays as it is.
    """
    pytest.importorskip("jax")
    done = subprocess.run([sys.executable, "-c", ONE_UPDATE], cwd=BENCH, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-2000:]


def test_scores_of_counts_are_scikit_learn_s(monkeypatch):
    """Accuracy, macro-F1, weighted F1, MCC and the ROC area from counts and ranks."""
    pytest.importorskip("jax")
    monkeypatch.syspath_prepend(str(BENCH))
    score = importlib.import_module("transfer_score")
    rng = np.random.default_rng(0)
    truth = rng.integers(0, 5, 500)
    said = np.where(rng.random(500) < 0.6, truth, rng.integers(0, 6, 500))
    ours = score.scores(score.counted(truth, said, 8))
    assert ours == pytest.approx({
        "accuracy": metrics.accuracy_score(truth, said), "macro_f1": metrics.f1_score(truth, said, average="macro"),
        "f1": metrics.f1_score(truth, said, average="weighted"), "mcc": metrics.matthews_corrcoef(truth, said),
    })  # fmt: skip
    suspicion = np.round(rng.random(500), 1)
    assert score.auc(truth > 0, suspicion) == pytest.approx(metrics.roc_auc_score(truth > 0, suspicion))
