"""Where JAX sees an accelerator our networks train there and stay Keras models; on processors nothing changes."""

from types import SimpleNamespace

import jax
import numpy as np
import pytest
from small_flows import rows

from tlids_helpers.common.errors import InputError
from tlids_helpers.data.catalog import NETFLOW_FEATURES
from tlids_helpers.export import convert, litert
from tlids_helpers.network import device, model, pure, together, training, transfer
from tlids_helpers.network.backend import keras, set_seed
from tlids_helpers.network.model import predict
from tlids_helpers.network.recipe import Recipe

CLASSES, SEEDS = 3, [1, 2]
PAIRS = [(rows(300, seed=seed, n_classes=CLASSES), rows(100, seed=10 + seed, n_classes=CLASSES)) for seed in SEEDS]
RECIPE = Recipe(epochs=2, batch_size=64, dropout=0.0)


def sees(monkeypatch, *platforms: str) -> None:
    """JAX has a plugin and sees devices of these platforms."""
    monkeypatch.setattr(device, "_plugged", lambda: True)
    monkeypatch.setattr(jax, "devices", lambda: [SimpleNamespace(platform=name) for name in platforms])


@pytest.fixture(scope="module")
def on_a_gpu():
    """What `train_seeds` gives where JAX sees a GPU, which here is the processor under another name."""
    with pytest.MonkeyPatch.context() as patch:
        sees(patch, "gpu")
        patch.setattr(keras.Model, "fit", None)
        return training.train_seeds(PAIRS, CLASSES, RECIPE, SEEDS)


@pytest.mark.parametrize(
    ("platforms", "found"), [(["cpu"], False), (["gpu"], True), (["tpu", "tpu"], True), (["cpu", "METAL"], True)]
)
def test_an_accelerator_is_any_device_but_a_processor(monkeypatch, platforms, found):
    sees(monkeypatch, *platforms)
    assert device.accelerated() is found
    assert device.trainer() is (together if found else None)


def test_without_a_plugin_jax_is_not_asked(monkeypatch):
    monkeypatch.setattr(device, "_plugged", lambda: False)
    monkeypatch.setattr(jax, "devices", lambda: pytest.fail("JAX was asked"))
    assert not device.accelerated()


def test_on_processors_fit_is_that_of_keras(monkeypatch):
    sees(monkeypatch, "cpu")
    monkeypatch.setattr(together, "fit_all", lambda works: pytest.fail("trained by JAX"))
    began = []
    trained = training.Trained(None, {}, 1, 1, {})
    monkeypatch.setattr(training, "train_from_scratch", lambda *given: began.append(given[-1]) or trained)
    assert training.train_seeds(PAIRS, CLASSES, RECIPE, SEEDS) == [trained, trained]
    assert began == SEEDS  # one after the other
    monkeypatch.setattr(keras.Model, "fit", lambda *given, **named: SimpleNamespace(history={"loss": [0.5]}))
    assert training.fit(model.head(CLASSES), *flat(), RECIPE)[0] == {"loss": [0.5]}


def flat() -> list[tuple[np.ndarray, np.ndarray]]:
    """Rows as the head takes them."""
    return [(np.tile(np.log1p(features), (1, 15))[:, :128], codes) for features, codes in PAIRS[0]]


def test_every_seed_has_its_own_network_as_training_alone_gives_it(monkeypatch, on_a_gpu):
    sees(monkeypatch, "gpu")
    monkeypatch.setattr(keras.Model, "fit", None)
    alone = training.train_from_scratch(*PAIRS[1], CLASSES, RECIPE, SEEDS[1])
    assert alone.history.keys() == on_a_gpu[1].history.keys() == {"loss", "accuracy", "val_loss", "val_accuracy"}
    flows = PAIRS[1][1][0]
    np.testing.assert_allclose(predict(on_a_gpu[1].model, flows), predict(alone.model, flows), atol=1e-5)
    assert not np.allclose(predict(on_a_gpu[0].model, flows), predict(alone.model, flows), atol=1e-3)
    assert on_a_gpu[1].best_epoch == alone.best_epoch and on_a_gpu[1].epochs == alone.epochs == 2


def test_what_was_trained_there_is_saved_loaded_and_exported_as_ever(tmp_path, on_a_gpu):
    trained, flows = on_a_gpu[0].model, rows(200, seed=4, n_classes=CLASSES)[0]
    trained.save(tmp_path / "model.keras")
    loaded = transfer.load_source(tmp_path / "model.keras", NETFLOW_FEATURES, {"features": list(NETFLOW_FEATURES)})
    theirs = predict(trained, flows)
    np.testing.assert_allclose(predict(loaded, flows), theirs, atol=1e-5)
    exported = litert.predict(convert.convert(loaded, "float32"), flows)
    np.testing.assert_allclose(exported, theirs, atol=1e-5)
    # what JAX trained is what Keras computes: the preprocessing by Keras, the network by JAX
    inputs = trained.get_layer("preprocessing").predict(flows, verbose=0)
    np.testing.assert_allclose(pure.probabilities(pure.of_keras(trained), inputs), theirs, atol=1e-5)


def test_a_frozen_head_trains_there_too_and_another_model_by_keras(monkeypatch):
    sees(monkeypatch, "gpu")
    set_seed(1)
    head = model.head(CLASSES)
    before = head.get_weights()
    with monkeypatch.context() as patch:
        patch.setattr(keras.Model, "fit", None)
        history, seconds = training.fit(head, *flat(), RECIPE, seed=3)
    assert len(seconds) == len(history["val_loss"]) == 2
    assert all(not np.array_equal(old, new) for old, new in zip(before[::2], head.get_weights()[::2], strict=True))
    other = keras.Sequential([keras.Input((9,)), keras.layers.Dense(CLASSES, activation="softmax")])
    monkeypatch.setattr(keras.Model, "fit", lambda *given, **named: SimpleNamespace(history={"loss": [0.5]}))
    assert training.fit(other, *PAIRS[0], RECIPE)[0] == {"loss": [0.5]}


@pytest.mark.parametrize("platform", ["cpu", "gpu"])
def test_a_seed_given_twice_is_an_error(monkeypatch, platform):
    sees(monkeypatch, platform)
    with pytest.raises(InputError, match=r"each seed once, found \[1, 1\]: leave the second one out"):
        training.train_seeds(PAIRS, CLASSES, RECIPE, [1, 1])
    with pytest.raises(InputError, match="rows for each of 1 seeds, found 2"):
        training.train_seeds(PAIRS, CLASSES, RECIPE, [1])
