"""Section 4.3: what is frozen, what is learned, where it starts, and which files are refused."""

import dataclasses
import hashlib

import numpy as np
import pytest
from small_flows import BRIEF, fitted, rows, same_weights

from tlids_helpers.common.errors import InputError
from tlids_helpers.data.catalog import CICFLOW_FEATURES, NETFLOW_FEATURES
from tlids_helpers.network import model, training, transfer
from tlids_helpers.network.backend import keras, set_seed

CARD = {"features": list(NETFLOW_FEATURES)}
TRAIN, VALIDATION = rows(300, seed=11, n_classes=3), rows(60, seed=12, n_classes=3)
RECIPE = training.Recipe(epochs=2, batch_size=32)


@pytest.fixture(scope="module")
def source_file(tmp_path_factory):
    """A saved source with four classes."""
    path = tmp_path_factory.mktemp("source") / "model.keras"
    fitted().model.save(path)
    return path


@pytest.fixture
def source(source_file):
    return transfer.load_source(source_file, NETFLOW_FEATURES, CARD)


@pytest.fixture(scope="module")
def transferred(source_file):
    """(what came of a transfer to three classes, the source's weights before)"""
    source = transfer.load_source(source_file, NETFLOW_FEATURES, CARD)
    before = {name: [w.copy() for w in source.get_layer(name).get_weights()] for name in ("backbone", "head")}
    return transfer.train_transferred(source, TRAIN, VALIDATION, 3, RECIPE, seed=5), before


@pytest.fixture(scope="module")
def binary(source_file):
    """(source, what came of a binary transfer from it, the source's weights before, its file's digest before)"""
    source = transfer.load_source(source_file, NETFLOW_FEATURES, CARD)
    before = [w.copy() for w in source.get_weights()]
    digest = hashlib.sha256(source_file.read_bytes()).digest()
    train, validation = ((x, (y > 0).astype(np.int32)) for x, y in (TRAIN, VALIDATION))
    return source, transfer.train_transferred(source, train, validation, 2, BRIEF, seed=1), before, digest


def test_the_frozen_blocks_are_bit_identical_after_training_moving_statistics_included(transferred):
    done, before = transferred
    blocks = done.model.get_layer("backbone")
    assert sum(w.path.endswith(("moving_mean", "moving_variance")) for w in blocks.weights) == 6
    assert same_weights(blocks.get_weights(), before["backbone"])


def test_preprocessing_stays_the_sources_and_is_not_fitted_to_the_target(transferred, source):
    done, *_ = transferred
    flows = rows(40, seed=13)[0]
    ours, theirs = (m.get_layer("preprocessing").predict(flows, verbose=0) for m in (done.model, source))
    np.testing.assert_array_equal(ours, theirs)


def test_dense_layers_start_from_the_sources_weights_and_the_output_is_new(source):
    head = transfer.new_head(source, 3)
    old = source.get_layer("head")
    for name in ("dense1", "dense2"):
        assert same_weights(head.get_layer(name).get_weights(), old.get_layer(name).get_weights())
    assert head.output_shape == (None, 3)
    kernel = head.get_layer("output").get_weights()[0]
    assert not np.array_equal(kernel, old.get_layer("output").get_weights()[0][:, :3])


def test_dense_and_output_layers_learn(transferred):
    done, before = transferred
    head = done.model.get_layer("head")
    assert not np.array_equal(head.get_layer("dense1").get_weights()[0], before["head"][0])
    assert not np.array_equal(head.get_layer("dense2").get_weights()[0], before["head"][2])
    assert {w.path.split("/")[-2] for w in done.model.trainable_weights} == {"dense1", "dense2", "output"}


def test_training_changes_neither_the_source_in_memory_nor_on_disk(binary, source_file):
    source, _, before, digest = binary
    assert same_weights(source.get_weights(), before)
    assert hashlib.sha256(source_file.read_bytes()).digest() == digest


def test_a_multi_class_source_gives_a_binary_model(binary):
    source, done, *_ = binary
    assert (source.output_shape, done.model.output_shape) == ((None, 4), (None, 2))
    assert same_weights(done.model.get_layer("backbone").get_weights(), source.get_layer("backbone").get_weights())


def test_a_second_transfer_from_the_same_source_equals_the_first(binary, transferred):
    again = transfer.train_transferred(binary[0], TRAIN, VALIDATION, 3, RECIPE, seed=5)
    assert same_weights(again.model.get_weights(), transferred[0].model.get_weights())


def test_learning_on_cached_features_equals_plain_training_through_frozen_blocks_without_dropout(transferred, source):
    still = model.backbone(dropout=0.0)
    still.set_weights(source.get_layer("backbone").get_weights())
    still.trainable = False
    set_seed(5)
    head = transfer.new_head(source, 3)
    plain = model.full_model(source.get_layer("preprocessing"), still, head)
    history, _ = training.fit(plain, TRAIN, VALIDATION, RECIPE)
    for name, values in transferred[0].history.items():
        assert history[name] == pytest.approx(values, abs=2e-5), name
    for ours, theirs in zip(transferred[0].model.get_weights(), plain.get_weights(), strict=True):
        np.testing.assert_allclose(ours, theirs, atol=2e-5)


def test_with_nothing_frozen_the_blocks_start_from_the_source_and_learn_and_the_source_stays_as_it_was(source):
    before = [w.copy() for w in source.get_weights()]
    start = transfer.free_blocks(source, RECIPE)
    assert same_weights(start.get_weights(), source.get_layer("backbone").get_weights())
    free = dataclasses.replace(RECIPE, frozen="none")
    done = transfer.train_transferred(source, TRAIN, VALIDATION, 3, free, seed=5).model
    assert same_weights(source.get_weights(), before)
    learned = zip(done.get_layer("backbone").get_weights(), start.get_weights(), strict=True)
    assert all(not np.array_equal(ours, theirs) for ours, theirs in learned)
    flows = rows(40, seed=13)[0]
    ours, theirs = (m.get_layer("preprocessing").predict(flows, verbose=0) for m in (done, source))
    np.testing.assert_array_equal(ours, theirs)


def test_the_saved_transferred_model_can_be_a_source_itself(transferred, tmp_path):
    path = tmp_path / "model.keras"
    transferred[0].model.save(path)
    assert transfer.load_source(path, NETFLOW_FEATURES, CARD).output_shape == (None, 3)


def test_passing_the_rows_through_the_frozen_blocks_counts_as_time(transferred):
    done, *_ = transferred
    assert done.seconds["total"] > 2 * done.seconds["per_epoch"] - 1e-9
    assert done.epochs == len(done.history["loss"]) == 2


def test_a_missing_source_is_one_sentence_that_names_the_path(tmp_path):
    with pytest.raises(InputError, match=r"pre-trained model at .*nowhere\.keras"):
        transfer.load_source(tmp_path / "nowhere.keras", NETFLOW_FEATURES, CARD)


def test_a_source_of_another_family_is_refused_with_both_families_columns(source_file):
    with pytest.raises(InputError, match=r"features Bwd_Pkt_Len_Std.* trained on L4_SRC_PORT"):
        transfer.load_source(source_file, CICFLOW_FEATURES, CARD)


def test_the_same_columns_in_another_order_are_refused(source_file):
    with pytest.raises(InputError, match="found .* trained on"):
        transfer.load_source(source_file, NETFLOW_FEATURES[::-1], CARD)


def damage(how: str, whole: bytes) -> bytes:
    middle = len(whole) // 2
    return {
        "cut short": whole[:middle],
        "overwritten in the middle": whole[:middle] + b"\0" * 500 + whole[middle + 500 :],
        "empty": b"",
        "a web page": b"<!DOCTYPE html><html>404</html>",
        "another zip": b"PK\x05\x06" + b"\0" * 18,
    }[how]


@pytest.mark.parametrize("how", ["cut short", "overwritten in the middle", "empty", "a web page", "another zip"])
def test_a_broken_source_is_one_sentence(source_file, tmp_path, how):
    path = tmp_path / "model.keras"
    path.write_bytes(damage(how, source_file.read_bytes()))
    with pytest.raises(InputError, match="expected a Keras model in .*model.keras") as caught:
        transfer.load_source(path, NETFLOW_FEATURES, CARD)
    assert "\n" not in str(caught.value)


def foreign(kind: str) -> keras.Model:
    if kind == "a plain network":
        return keras.Sequential([keras.Input((9,)), keras.layers.Dense(4, activation="softmax")])
    if kind == "the network without its preprocessing":
        return model.chain(model.backbone(), model.head(4), name="network")
    wide = keras.Sequential(
        [keras.Input((128,)), *(keras.layers.Dense(n, name=f"dense{i}") for i, n in ((1, 99), (2, 512)))], name="head"
    )
    return model.full_model(model.preprocessing(TRAIN[0]), model.backbone(), wide)


@pytest.mark.parametrize("kind", ["a plain network", "the network without its preprocessing", "another dense layer"])
def test_another_network_is_refused_in_one_sentence(tmp_path, kind):
    path = tmp_path / "model.keras"
    foreign(kind).save(path)
    with pytest.raises(InputError, match="expected the network of notebook 02 in .*, found '"):
        transfer.load_source(path, NETFLOW_FEATURES, CARD)
