"""The transfer grid's network for a machine without Keras: Keras's numbers, scikit-learn's scores."""

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
import jax.numpy as jnp, numpy as np, transfer_net as net
from tlids_helpers.network import model as network
from tlids_helpers.network.backend import keras
keras.utils.set_random_seed(1)
theirs = network.chain(network.backbone(dropout=0.0), network.head(7), name="n")
layer = lambda name: theirs.get_layer("backbone" if name[0] in "cn" else "head").get_layer(name)
weights, averages = net.fresh(0, 7, 7)
for block in (1, 2, 3):
    for half in "ab":
        w, b = layer(f"conv{block}{half}").get_weights()
        weights[f"block{block}/conv{half}/w"], weights[f"block{block}/conv{half}/b"] = w.reshape(-1, w.shape[-1]), b
for name, ours in (("dense1", "dense/1"), ("dense2", "dense/2"), ("output", "output/0")):
    weights[f"{ours}/w"], weights[f"{ours}/b"] = layer(name).get_weights()
rng = np.random.default_rng(0)
x, y = rng.normal(size=(128, 9)).astype("float32"), rng.integers(0, 7, 128)
everything, net.DROPOUT = jnp.ones((128, 7), bool), 0.0
assert np.abs(np.exp(net.predicted(weights, averages, x, everything)) - theirs.predict(x, verbose=0)).max() < 1e-5
theirs.compile(keras.optimizers.Adagrad(0.01), "sparse_categorical_crossentropy")
theirs.train_on_batch(x, y)
setting = {"momentum": 0.99, "smooth": 0.0, "rate": jnp.full(5, 0.01), "since": jnp.zeros(5, int)}
ours = {k: net.part(v, 0) if v else {} for k, v in net.begin([weights], [averages], False).items()}
ours = net._update(ours, (x, y, everything, jnp.ones((128, 384), bool)), setting, 0, 10.0, False, False)
conv, mean = layer("conv1a").get_weights()[0], layer("norm3").get_weights()[2]
assert np.abs(np.asarray(ours["weights"]["block1/conva/w"]).ravel() - conv.ravel()).max() < 1e-5
assert np.abs(np.asarray(ours["weights"]["dense/2/w"]) - layer("dense2").get_weights()[0]).max() < 1e-5
assert np.abs(np.asarray(ours["averages"]["block3/mean"]) - mean).max() < 1e-5
"""


def test_an_update_without_keras_is_keras_s():
    """Same weights, same batch: the forward pass, one step of Adagrad and the moving averages agree to 1e-5."""
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
