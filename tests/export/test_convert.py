"""Keras -> LiteRT: the four files agree with Keras, the threshold is the one worked by hand."""

import dataclasses
import shutil

import numpy as np
import pandas as pd
import pytest
from ai_edge_litert.interpreter import Interpreter, OpResolverType
from small_flows import CLASSES, FLOAT32, raw_flows, rows

from tlids_helpers.common.errors import InputError
from tlids_helpers.data import prepare
from tlids_helpers.export import convert, litert
from tlids_helpers.network.model import predict
from tlids_helpers.results import threshold as thresholds


@pytest.mark.parametrize("precision", convert.PRECISIONS)
def test_each_precision_gives_keras_classes_within_its_limit(exports, network, prepared, precision):
    features = prepare.load(prepared, "test")[0]
    expected = predict(network, features)
    assert len(np.unique(expected.argmax(axis=1))) == len(CLASSES)  # else agreeing would be easy
    found = litert.predict(exports[precision].content, features)
    same = (found.argmax(axis=1) == expected.argmax(axis=1)).mean()
    agreement = exports[precision].agreement
    assert (agreement.rows, agreement.same_class) == (len(features), same)
    assert agreement.largest_difference == pytest.approx(np.abs(found - expected).max())
    assert agreement.same_or_tie >= convert.SAME_CLASS[precision] and exports[precision].agrees
    assert found.sum(axis=1) == pytest.approx(1, abs=FLOAT32)


def test_float32_agrees_as_far_as_float32_goes_even_on_flows_of_zeros_and_billions(exports, network):
    flows = raw_flows()
    np.testing.assert_allclose(litert.predict(exports["float32"].content, flows), predict(network, flows), atol=FLOAT32)


def test_the_integer_files_are_a_third_of_float32_and_float16_is_half(exports):
    sizes = {precision: len(made.content) for precision, made in exports.items()}
    assert sizes["float32"] > 4 * 200_000  # all weights are in it: a broken conversion is 23 kB
    assert sizes["float16"] < 0.55 * sizes["float32"]
    assert max(sizes["dynamic"], sizes["int8"]) < 0.33 * sizes["float32"]


@pytest.mark.parametrize("precision", ["float32", "int8"])
def test_preprocessing_inside_the_file_is_the_logarithm_and_standardising_of_numpy(exports, prepared, precision):
    flows = rows(200, seed=8)[0]
    flows[0] = -1
    fit = np.log1p(prepare.load(prepared, "train")[0].astype(np.float64))
    expected = (np.log1p(np.maximum(flows, 0).astype(np.float64)) - fit.mean(axis=0)) / fit.std(axis=0)
    np.testing.assert_allclose(standardised(exports[precision].content, flows), expected, rtol=1e-5, atol=FLOAT32)


def standardised(content: bytes, flows: np.ndarray) -> np.ndarray:
    """What the last operation of the preprocessing puts out."""
    plain = OpResolverType.BUILTIN_WITHOUT_DEFAULT_DELEGATES
    interpreter = Interpreter(
        model_content=content, experimental_op_resolver_type=plain, experimental_preserve_all_tensors=True
    )
    litert.resize(interpreter, len(flows))
    litert.infer(interpreter, flows)
    name = [operation["name"] for operation in litert.operations(content) if "/preprocessing" in operation["name"]][-1]
    (index,) = [tensor["index"] for tensor in interpreter.get_tensor_details() if tensor["name"] == name]
    return interpreter.get_tensor(index)


def test_a_tie_may_go_either_way_and_a_clear_row_may_not():
    keras = np.array([[0.504, 0.496], [0.9, 0.1], [0.2, 0.8]])
    other = np.array([[0.4, 0.6], [0.4, 0.6], [0.2, 0.8]])
    found = convert.agreement(keras, other, np.array([0, 0, 1]))
    assert (found.same_class, found.same_or_tie) == pytest.approx((1 / 3, 2 / 3))
    assert found.largest_difference == pytest.approx(0.5)
    assert found.accuracy_change == pytest.approx(-2 / 3)
    assert not convert.agreement(keras, np.full((3, 2), np.nan), np.array([0, 0, 1])).finite


def test_an_unknown_precision_and_int8_without_rows_are_refused(network):
    with pytest.raises(InputError, match="float32, float16, dynamic, int8, found 'float8'"):
        convert.check_precision("float8")
    with pytest.raises(InputError, match="training rows .* found none"):
        convert.convert(network, "int8")


def test_int8_takes_its_ranges_from_training_rows_of_every_class(prepared):
    chosen = convert.representative(prepared)
    train = {row.tobytes() for row in prepare.load(prepared, "train")[0]}
    assert len(chosen) == convert.REPRESENTATIVE * len(CLASSES)
    assert all(row.tobytes() in train for row in chosen)


def test_the_threshold_is_that_of_the_files_own_scores_on_benign_validation_rows(exports, prepared, alert):
    features, codes = prepare.load(prepared, "validation")
    benign = 1 - litert.predict(exports["float32"].content, features[codes == 0])[:, 0].astype(np.float64)
    assert (alert.rows, alert.target) == (len(benign), 0.05)
    assert np.mean(benign >= alert.value) <= 0.05 < np.mean(benign >= alert.value - 2 * thresholds.HAIR)


def test_rates_on_test_rows_are_counted_for_benign_and_attacks(exports, prepared):
    found = convert.rates_on_test(exports["float32"], prepared, "multiclass", 0.5)
    features, codes = prepare.load(prepared, "test")
    reached = litert.predict(exports["float32"].content, features)[:, 0] <= 0.5
    assert found["alarms"] == reached[codes == 0].sum() == round(found["false_positive_rate"] * found["benign_rows"])
    assert found["detection_rate"] == reached[codes != 0].mean()
    assert found["benign_rows"] + found["attack_rows"] == len(codes)


def test_test_rows_shape_neither_the_file_nor_the_threshold(exports, alert, network, prepared, tmp_path):
    shutil.copytree(prepared.folder, tmp_path / "other")
    table = pd.read_parquet(tmp_path / "other" / "test.parquet")
    table["IN_BYTES"] = table["IN_BYTES"].to_numpy()[::-1] * 3
    table.to_parquet(tmp_path / "other" / "test.parquet", index=False)
    other = dataclasses.replace(prepared, folder=tmp_path / "other")
    again = convert.convert_all(network, other, "multiclass", ("float32", "int8"))
    for precision, made in again.items():
        assert made.content == exports[precision].content
        assert made.agreement != exports[precision].agreement  # which is measured on test rows
    assert convert.choose_threshold(again["float32"], other, "multiclass", 0.05) == alert


def test_a_dataset_without_a_benign_class_can_have_no_alert_threshold(prepared, exports):
    renamed = dataclasses.replace(prepared, benign="Normal")
    with pytest.raises(InputError, match=f"benign class .* found {', '.join(CLASSES)}"):
        convert.choose_threshold(exports["float32"], renamed, "multiclass", 0.05)
