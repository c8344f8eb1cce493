"""The network of Section 4.1: its layers, its arithmetic worked in NumPy, and the files it travels in."""

import subprocess
import sys
import textwrap

import numpy as np
import pytest
from sklearn.preprocessing import StandardScaler
from small_flows import raw_flows, rows, train_rows

from tlids_helpers.network import model
from tlids_helpers.network.model import predict

# part, layer, output shape, weights: kernel x inputs x filters + filters; four numbers a channel for a normalisation
LAYERS = [
    ("preprocessing", "raw_features", (9,), 0),
    ("preprocessing", "negative_to_zero", (9,), 0),
    ("preprocessing", "standardise", (9,), 0),
    ("backbone", "reshape", (9, 1), 0),
    ("backbone", "conv1a", (9, 32), 2 * 1 * 32 + 32),
    ("backbone", "conv1b", (9, 32), 2 * 32 * 32 + 32),
    ("backbone", "norm1", (9, 32), 4 * 32),
    ("backbone", "pool1", (4, 32), 0),
    ("backbone", "dropout1", (4, 32), 0),
    ("backbone", "conv2a", (4, 64), 1 * 32 * 64 + 64),
    ("backbone", "conv2b", (4, 64), 1 * 64 * 64 + 64),
    ("backbone", "norm2", (4, 64), 4 * 64),
    ("backbone", "pool2", (2, 64), 0),
    ("backbone", "dropout2", (2, 64), 0),
    ("backbone", "conv3a", (2, 128), 1 * 64 * 128 + 128),
    ("backbone", "conv3b", (2, 128), 1 * 128 * 128 + 128),
    ("backbone", "norm3", (2, 128), 4 * 128),
    ("backbone", "pool3", (1, 128), 0),
    ("backbone", "dropout3", (1, 128), 0),
    ("backbone", "flatten", (128,), 0),
    ("head", "dense1", (256,), 128 * 256 + 256),
    ("head", "dense2", (512,), 256 * 512 + 512),
    ("head", "output", (21,), 512 * 21 + 21),
]
TOLERANCE = 2e-5  # of a probability: float32 is 2.4e-6 from float64 here, and other processors round otherwise


@pytest.fixture(scope="module")
def whole():
    """The network for NF-UQ-NIDS: 21 classes."""
    return model.full_model(model.preprocessing(rows(50)[0]), model.backbone(), model.head(21))


@pytest.fixture(scope="module")
def network():
    """A network with spread-out weights: no normalisation is the identity, and flows get unlike probabilities."""
    whole = model.full_model(model.preprocessing(train_rows()[0]), model.backbone(), model.head(4))
    rng = np.random.default_rng(5)
    for weight in whole.weights:
        fan_in = max(1, np.prod(weight.shape[:-1], dtype=int))
        spread = rng.normal(0, np.sqrt(2 / fan_in) if len(weight.shape) > 1 else 0.3, weight.shape)
        weight.assign(np.exp(spread) if weight.name in ("gamma", "moving_variance") else spread)
    before_softmax = scores(whole, raw_flows())
    middle, width = before_softmax.mean(axis=0), before_softmax.std(axis=0)
    kernel, bias = whole.get_layer("head").get_layer("output").get_weights()
    whole.get_layer("head").get_layer("output").set_weights([kernel / width, (bias - middle) / width])
    return whole


@pytest.fixture(scope="module")
def saved(network, tmp_path_factory):
    path = tmp_path_factory.mktemp("saved") / "model.keras"
    network.save(path)
    return path


def backbone_layers(whole, kind: str) -> list:
    return [layer for layer in whole.get_layer("backbone").layers if type(layer).__name__ == kind]


def test_every_layer_has_its_output_shape_and_weights_and_there_are_209557_with_21_classes(whole):
    table = [(row["part"], row["layer"], row["output"], row["weights"]) for row in model.layer_table(whole)]
    assert table == LAYERS
    assert sum(weights for *_, weights in LAYERS) == 209_557 == whole.count_params()


def test_the_model_takes_nine_raw_values_and_gives_probabilities(whole):
    assert whole.input_shape == (None, 9)
    assert whole.output_shape == (None, 21)
    assert predict(whole, raw_flows()).sum(axis=1) == pytest.approx(1, abs=1e-5)


def test_convolutions_are_those_of_section_4_1(whole):
    found = [
        (c.filters, c.kernel_size, c.strides, c.padding, c.activation.__name__, type(c.kernel_initializer).__name__)
        for c in backbone_layers(whole, "Conv1D")
    ]
    rest = ((1,), "same", "relu", "RandomUniform")
    wanted = [(32, (2,)), (32, (2,)), (64, (1,)), (64, (1,)), (128, (1,)), (128, (1,))]
    assert found == [(*pair, *rest) for pair in wanted]


def test_a_fresh_kernel_is_uniform_around_zero_and_no_two_are_alike(whole):
    kernels = [c.get_weights()[0].ravel() for c in backbone_layers(whole, "Conv1D")]
    for kernel in kernels[1:]:  # the first has 64 values only
        assert np.abs(kernel).max() == pytest.approx(0.05, rel=0.02)  # Keras's bound of random_uniform
        assert kernel.std() == pytest.approx(0.05 / np.sqrt(3), rel=0.05)  # of a uniform distribution
    assert not np.array_equal(kernels[0][:64], kernels[1][:64])


def test_pooling_averages_pairs_and_dropout_is_5_percent(whole):
    pools = backbone_layers(whole, "AveragePooling1D")
    assert [(p.pool_size, p.strides, p.padding) for p in pools] == [((2,), (2,), "valid")] * 3
    assert [layer.rate for layer in backbone_layers(whole, "Dropout")] == [0.05] * 3


def test_dense_layers_use_relu_and_the_output_softmax(whole):
    assert [d.activation.__name__ for d in whole.get_layer("head").layers] == ["relu", "relu", "softmax"]


def test_preprocessing_equals_scikit_learns_standard_scaler_on_log1p():
    train, other = rows(500, seed=1)[0], rows(200, seed=2)[0]
    expected = StandardScaler().fit(np.log1p(train.astype(np.float64))).transform(np.log1p(other.astype(np.float64)))
    found = model.preprocessing(train).predict(other, verbose=0)
    np.testing.assert_allclose(found, expected, atol=TOLERANCE)


def test_negative_values_count_as_0_when_fitting_and_when_used():
    train = rows(500, seed=1)[0]
    train[::3, 4] = -1
    clipped = np.maximum(train, 0)
    found = model.preprocessing(train).predict(train, verbose=0)
    np.testing.assert_array_equal(found, model.preprocessing(clipped).predict(clipped, verbose=0))
    np.testing.assert_allclose(found[:, 4].mean(), 0, atol=1e-4)


def test_a_constant_feature_gives_a_moderate_number_for_any_value():
    train = rows(500, seed=1)[0]
    train[:, 2] = 6.0
    flows = rows(3)[0]
    flows[:, 2] = (6, 0, 4e9)
    found = model.preprocessing(train).predict(flows, verbose=0)[:, 2]
    np.testing.assert_allclose(found, np.log1p(flows[:, 2]) - np.log1p(6), atol=TOLERANCE)


def test_a_flow_of_zeros_negatives_or_4_billions_gives_finite_probabilities(network):
    assert np.isfinite(predict(network, raw_flows())).all()


def test_the_saved_network_equals_its_arithmetic_in_numpy(network):
    flows = raw_flows()
    expected = forward(network, flows)
    assert expected.std(axis=0).min() > 0.05  # the network tells these flows apart, so the comparison says something
    np.testing.assert_allclose(predict(network, flows), expected, atol=TOLERANCE)


def test_the_saved_model_loads_without_this_package_and_gives_the_same_probabilities(network, saved):
    np.save(saved.with_name("flows.npy"), raw_flows())
    script = """
        import sys, keras, numpy as np
        model = keras.models.load_model("model.keras")
        np.save("found.npy", model.predict(np.load("flows.npy"), verbose=0))
        assert not [name for name in sys.modules if name.startswith("tlids")]
    """
    subprocess.run([sys.executable, "-c", textwrap.dedent(script)], cwd=saved.parent, check=True)
    found = np.load(saved.with_name("found.npy"))
    np.testing.assert_allclose(found, predict(network, raw_flows()), atol=TOLERANCE)


def test_the_model_converts_to_litert_with_built_in_operations_alone_and_agrees(network, tmp_path):
    import tensorflow as tf
    from ai_edge_litert.interpreter import Interpreter

    network.export(tmp_path / "export", verbose=False)
    converter = tf.lite.TFLiteConverter.from_saved_model(str(tmp_path / "export"))
    assert converter.target_spec.supported_ops == {tf.lite.OpsSet.TFLITE_BUILTINS}
    converted = converter.convert()
    interpreter = Interpreter(model_content=converted)
    flows = raw_flows()
    interpreter.resize_tensor_input(interpreter.get_input_details()[0]["index"], flows.shape)
    interpreter.allocate_tensors()
    interpreter.set_tensor(interpreter.get_input_details()[0]["index"], flows)
    interpreter.invoke()
    found = interpreter.get_tensor(interpreter.get_output_details()[0]["index"])
    assert np.abs(found - predict(network, flows)).max() < TOLERANCE
    assert len(converted) > 4 * 200_000  # float32 weights are in it: a broken conversion is 23 kB


def forward(network, flows: np.ndarray) -> np.ndarray:
    """Probabilities (n, C)."""
    exponents = np.exp(scores(network, flows))
    return exponents / exponents.sum(axis=1, keepdims=True)


def scores(network, flows: np.ndarray) -> np.ndarray:
    """The network up to its softmax in float64 NumPy; only weights are taken from it, preprocessing is fitted here."""
    logs = np.log1p(np.maximum(flows, 0).astype(np.float64))
    fit = np.log1p(np.maximum(train_rows()[0], 0).astype(np.float64))
    constant = fit.min(axis=0) == fit.max(axis=0)
    deviation = np.where(constant, 1, fit.std(axis=0))
    values = ((logs - fit.mean(axis=0)) / deviation)[:, :, None]
    weights = {
        layer.name: [w.astype(np.float64) for w in layer.get_weights()]
        for part in ("backbone", "head")
        for layer in network.get_layer(part).layers
    }
    for block in "123":
        for half in "ab":
            values = np.maximum(convolve_same(values, *weights[f"conv{block}{half}"]), 0)
        gamma, beta, mean, variance = weights[f"norm{block}"]
        values = gamma * (values - mean) / np.sqrt(variance + 1e-3) + beta
        pairs = values.shape[1] // 2
        values = values[:, : 2 * pairs].reshape(len(values), pairs, 2, -1).mean(axis=2)
    values = values.reshape(len(values), -1)
    for name in ("dense1", "dense2"):
        kernel, bias = weights[name]
        values = np.maximum(values @ kernel + bias, 0)
    kernel, bias = weights["output"]
    return values @ kernel + bias


def convolve_same(values: np.ndarray, kernel: np.ndarray, bias: np.ndarray) -> np.ndarray:
    """(n, length, channels) by (width, channels, filters); the surplus zero of an even width goes to the end."""
    width, length = len(kernel), values.shape[1]
    before = (width - 1) // 2
    padded = np.pad(values, ((0, 0), (before, width - 1 - before), (0, 0)))
    return sum(padded[:, tap : tap + length] @ kernel[tap] for tap in range(width)) + bias
