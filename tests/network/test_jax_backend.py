"""KERAS_BACKEND=jax: the same training on another engine; what it saves is TensorFlow's to load and to export."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from small_flows import rows, train_rows

from tlids_helpers.data.catalog import NETFLOW_FEATURES
from tlids_helpers.export import convert, litert
from tlids_helpers.network import transfer
from tlids_helpers.network.model import predict

TOLERANCE = 2e-5  # of a probability: two engines, each with float32 sums in an order of its own
TESTS = Path(__file__).resolve().parents[1]
TRAIN = """
import sys
import numpy as np
from small_flows import rows, train_rows
from tlids_helpers.network import training
from tlids_helpers.network.model import predict
from tlids_helpers.network.backend import keras
from tlids_helpers.network.recipe import named

assert keras.backend.backend() == "jax"
def train(chosen):
    return training.train_from_scratch(train_rows(), rows(100, seed=2), 4, chosen, seed=1).model


quick = dict(epochs=6, batch_size=16)  # 228 batches must do, so both rates are five times the recipe's or more
models = {
    "paper": train(named("paper", learning_rate=0.1, **quick)),
    "improved": train(named("improved", learning_rate=0.01, **quick)),
}
again = train(named("paper", learning_rate=0.1, **quick))
pairs = zip(models["paper"].get_weights(), again.get_weights(), strict=True)
assert all(np.array_equal(one, other) for one, other in pairs), "the same seed gave other weights"
for name, model in models.items():
    model.save(f"{sys.argv[1]}/{name}.keras")
    np.save(f"{sys.argv[1]}/{name}.npy", predict(model, rows(200, seed=4)[0]))
"""


@pytest.fixture(scope="module")
def trained(tmp_path_factory) -> Path:
    """Two models trained and saved in a process whose Keras runs on JAX, and what they say of 200 rows there."""
    folder = tmp_path_factory.mktemp("jax")
    environment = {
        **os.environ, "KERAS_BACKEND": "jax", "JAX_PLATFORMS": "cpu", "PYTHONPATH": os.pathsep.join(sys.path),
    }  # fmt: skip
    done = subprocess.run(
        [sys.executable, "-c", TRAIN, str(folder)], cwd=TESTS, env=environment, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr[-2000:]
    return folder


@pytest.mark.parametrize("name", ["paper", "improved"])
def test_what_jax_saved_loads_under_tensorflow_and_says_the_same(trained, name):
    loaded = transfer.load_source(trained / f"{name}.keras", NETFLOW_FEATURES, {})
    there = np.load(trained / f"{name}.npy")
    np.testing.assert_allclose(predict(loaded, rows(200, seed=4)[0]), there, atol=TOLERANCE)
    assert np.ptp(there, axis=0).max() > 0.1  # it did learn: not one answer for all


def test_what_jax_saved_becomes_a_litert_file(trained):
    loaded = transfer.load_source(trained / "improved.keras", NETFLOW_FEATURES, {})
    found = litert.predict(convert.convert(loaded, "float32", train_rows()[0]), rows(200, seed=4)[0])
    np.testing.assert_allclose(found, np.load(trained / "improved.npy"), atol=TOLERANCE)
