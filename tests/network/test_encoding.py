"""The piecewise-linear encoding: ramps by hand, and the network that has them from training to the Pi's file."""

import keras
import numpy as np
import pytest
from small_flows import raw_flows, rows, train_rows

from tlids_helpers.audit import explain
from tlids_helpers.data.catalog import NETFLOW_FEATURES
from tlids_helpers.export import convert, litert
from tlids_helpers.export.int8 import equalised
from tlids_helpers.network import encoding, model, training, transfer
from tlids_helpers.network.model import predict
from tlids_helpers.network.recipe import Recipe

ENCODED = Recipe(epochs=2, batch_size=32, learning_rate=0.002, optimiser="adamw", warm_up=0.05, bins=8)


def column(*values: float) -> np.ndarray:
    return np.array(values, dtype=np.float32)[:, None]


def pairs(features: np.ndarray, bins: int) -> list[list[tuple[float, float]]]:
    """Feature -> its ramps in use."""
    starts, ends = encoding.ramps(features, bins)
    return [[(a, b) for a, b in zip(*of, strict=True) if a < encoding.NEVER] for of in zip(starts, ends, strict=True)]


def test_ramps_run_from_quantile_to_quantile():
    assert pairs(column(0, 10, 20, 30, 40), 4) == [[(0, 10), (10, 20), (20, 30), (30, 40)]]


def test_a_value_that_fills_a_bin_has_a_step_up_to_it_and_one_away_from_it():
    # of five quantiles three are 443: one step before it, one behind it
    assert pairs(column(0, 443, 443, 443, 5000), 4) == [[(0, 442), (442, 443), (443, 444), (444, 5000)]]


def test_neighbouring_values_that_fill_bins_share_one_step():
    assert pairs(column(6, 6, 7, 7, 7), 4) == [[(6, 7)]]


def test_a_constant_feature_has_no_ramp_and_negative_values_count_as_0():
    assert pairs(column(7, 7, 7), 4) == [[]]
    assert pairs(column(-1, -1, 0, 5, 5), 2) == [[(0, 1), (1, 5)]]  # the three quantiles are 0, 0 and 5


def encoded(features: np.ndarray, bins: int, asked: np.ndarray) -> np.ndarray:
    """(n, 9, channels) of the preprocessing fitted on `features`."""
    first = model.preprocessing(features, bins)
    return first.predict(asked, verbose=0).reshape(len(asked), model.N_FEATURES, model.channels(first))


def test_the_layer_is_the_ramps_of_numpy_behind_the_standardised_logarithm():
    train, asked = train_rows()[0], raw_flows()
    starts, ends = encoding.ramps(train, 8)
    positive = np.maximum(asked, 0).astype(np.float64)[:, :, None]
    expected = np.clip((positive - starts) / (ends - starts), 0, 1)
    found = encoded(train, 8, asked)
    np.testing.assert_allclose(found[:, :, 1:], expected, atol=1e-5)
    plain = model.preprocessing(train).predict(asked, verbose=0)
    np.testing.assert_allclose(found[:, :, 0], plain, atol=1e-6)


def test_port_80_can_be_told_from_81_where_80_is_common():
    ports = np.repeat([22.0, 80.0, 443.0, 8080.0], 50)
    features = np.zeros((200, 9), dtype=np.float32)
    features[:, 1] = ports
    asked = np.zeros((3, 9), dtype=np.float32)
    asked[:, 1] = 79, 80, 81
    ramps = encoded(features, 8, asked)[:, 1, 1:]
    assert (ramps[1] - ramps[0]).max() == 1 and (ramps[2] - ramps[1]).max() == 1


@pytest.fixture(scope="module")
def learned() -> training.Trained:
    return training.train_from_scratch(train_rows(), rows(100, seed=2), 4, ENCODED, seed=1)


@pytest.mark.parametrize("precision", convert.PRECISIONS)
def test_the_encoded_network_becomes_a_litert_file_that_agrees(learned, precision):
    asked = rows(400, seed=4)[0]
    expected = predict(learned.model, asked)
    found = litert.predict(convert.convert(learned.model, precision, train_rows()[0]), asked)
    limit = {"float32": 1e-5, "float16": 2e-3, "dynamic": 0.1, "int8": 0.15}[precision]
    assert np.abs(found - expected).max() < limit


def test_rewriting_it_for_int8_changes_nothing_but_rounding(learned):
    asked = rows(100, seed=5)[0]
    same = equalised(learned.model, train_rows()[0])
    np.testing.assert_allclose(predict(same, asked), predict(learned.model, asked), atol=1e-4)


def test_it_is_saved_and_transferred_with_its_ramps(learned, tmp_path):
    learned.model.save(tmp_path / "model.keras")
    source = transfer.load_source(tmp_path / "model.keras", NETFLOW_FEATURES, {})
    target = rows(200, seed=6, n_classes=3), rows(60, seed=7, n_classes=3)
    moved = transfer.train_transferred(source, *target, 3, ENCODED)
    asked = raw_flows()
    ours, theirs = (m.get_layer("preprocessing").predict(asked, verbose=0) for m in (moved.model, learned.model))
    np.testing.assert_array_equal(ours, theirs)
    assert moved.model.output_shape == (None, 3)


def test_the_attributions_of_a_flow_are_nine_and_add_up(learned):
    train = train_rows()[0]
    why = explain.integrated_gradients(learned.model, train[1], np.median(train, axis=0), 1, NETFLOW_FEATURES)
    assert len(why.table) == 9 and abs(why.gap) <= explain.TOLERANCE
    assert why.table.set_index("feature").loc["OUT_PKTS", "attribution"] == 0  # constant in these rows


def test_the_ramps_are_fitted_on_the_training_rows_alone(learned):
    layer = learned.model.get_layer("preprocessing").get_layer("ramps")
    assert isinstance(layer, keras.layers.Normalization)
    np.testing.assert_allclose(np.ravel(layer.mean), encoding.ramps(train_rows()[0], 8)[0].ravel(), rtol=1e-6)
