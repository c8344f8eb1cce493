"""Integers inside, floats at both ends; the rewritten network is the same function."""

import numpy as np
from small_flows import rows

from tlids_helpers.data import prepare
from tlids_helpers.export import litert
from tlids_helpers.export.int8 import equalised
from tlids_helpers.network import model
from tlids_helpers.network.model import predict


def test_int8_keeps_preprocessing_and_softmax_float_and_computes_all_between_in_one_byte(exports):
    operations = litert.operations(exports["int8"].content)
    kinds = [operation["op"] for operation in operations]
    assert kinds.count("QUANTIZE") == kinds.count("DEQUANTIZE") == 1
    first, last = kinds.index("QUANTIZE"), kinds.index("DEQUANTIZE")
    assert kinds[:first] == ["RELU", "ADD", "LOG", "SUB", "MUL"] and kinds[last + 1 :] == ["SOFTMAX"]
    outside = [*operations[:first], *operations[last:]]
    assert {operation["dtype"] for operation in outside} == {"float32"}
    heavy = [operation for operation in operations if operation["op"] in ("CONV_2D", "FULLY_CONNECTED")]
    assert len(heavy) == 9
    assert not {"MUL", "ADD"} & set(kinds[first:])  # normalisations are folded away
    assert {operation["dtype"] for operation in operations[first:last]} == {"int8", "int32"}  # int32: shapes
    assert {operation["dtype"] for operation in heavy} == {"int8"}


def test_the_rewritten_network_is_the_same_function_without_normalisations(network, prepared):
    rewritten = equalised(network, prepare.load(prepared, "train")[0])
    assert not [row for row in model.layer_table(rewritten) if row["layer"].startswith(("norm", "dropout"))]
    flows = rows(300, seed=4)[0]
    expected = predict(network, flows)
    assert expected.std(axis=0).min() > 0.05
    np.testing.assert_allclose(predict(rewritten, flows), expected, atol=5e-4)


def test_every_channel_of_the_rewritten_network_peaks_at_1_or_is_never_on(network, prepared):
    train = prepare.load(prepared, "train")[0]
    rewritten = equalised(network, train)
    blocks = rewritten.get_layer("backbone")
    seen = type(blocks)(blocks.layers[: [layer.name for layer in blocks.layers].index("conv1b") + 1])
    values = seen.predict(rewritten.get_layer("preprocessing").predict(train, verbose=0), verbose=0)
    peaks = values.max(axis=(0, 1))
    assert np.all(np.isclose(peaks, 1, atol=1e-4) | (peaks == 0)) and np.any(peaks > 0)
