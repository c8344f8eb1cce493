"""Keras -> LiteRT: the four files agree with Keras, the threshold is the one worked by hand, the folder is whole."""

import dataclasses
import hashlib
import json
import shutil
import subprocess
import sys

import numpy as np
import pandas as pd
import pytest
from ai_edge_litert.interpreter import Interpreter, OpResolverType
from small_flows import CLASSES, raw_flows, rows, train_rows, write_csv
from tlids_edge.detect.card import read_card

from tlids_helpers import experiment
from tlids_helpers.common.errors import InputError
from tlids_helpers.data import prepare
from tlids_helpers.data.catalog import CICFLOW_FEATURES
from tlids_helpers.experiment import Setup
from tlids_helpers.export import card, convert, cost, litert, show
from tlids_helpers.export.int8 import equalised
from tlids_helpers.network import model, recipe, transfer
from tlids_helpers.network.model import predict
from tlids_helpers.network.recipe import Recipe
from tlids_helpers.results import threshold as thresholds

FLOAT32 = 5e-5  # how far two programs, or two batch sizes, may differ in a probability on any processor
RECIPE = Recipe(epochs=6, batch_size=16, learning_rate=0.05)


@pytest.fixture(scope="module")
def prepared(tmp_path_factory):
    folder = tmp_path_factory.mktemp("own")
    return prepare.prepare(str(write_csv(folder / "home.csv", 2000)), folder / "data")


@pytest.fixture(scope="module")
def run(prepared, tmp_path_factory):
    """A run long enough for its network to tell the classes apart."""
    return experiment.from_scratch(prepared, Setup(recipe=RECIPE, runs_dir=tmp_path_factory.mktemp("runs")))


@pytest.fixture(scope="module")
def network(run, prepared):
    return transfer.load_source(run.model_path, prepared.features, run.result)


@pytest.fixture(scope="module")
def exports(network, prepared):
    return convert.convert_all(network, prepared, "multiclass")


@pytest.fixture(scope="module")
def alert(exports, prepared):
    return convert.choose_threshold(exports["float32"], prepared, "multiclass", 0.05)


@pytest.fixture(scope="module")
def folder(run, prepared, exports, alert):
    return card.write(run, prepared, exports["float32"], alert, l7="ndpi 4.2")


@pytest.fixture
def elsewhere(run, tmp_path):
    """The same run under a runs folder of its own."""
    shutil.copytree(run.folder, tmp_path / run.folder.name)
    return dataclasses.replace(run, folder=tmp_path / run.folder.name)


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


def test_batches_of_any_size_give_the_same(exports):
    flows = rows(1500, seed=6)[0]
    whole = litert.predict(exports["float32"].content, flows)
    one_by_one = np.concatenate([litert.predict(exports["float32"].content, row[None]) for row in flows[1020:1030]])
    np.testing.assert_allclose(one_by_one, whole[1020:1030], atol=FLOAT32)
    assert litert.predict(exports["float32"].content, flows[:0]).shape == (0, 4)


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


# the folder


def test_the_card_names_every_file_with_its_size_and_digest(folder):
    fields = json.loads((folder / "card.json").read_text(), parse_constant=pytest.fail)
    assert sorted(file.name for file in folder.iterdir()) == ["card.json", "model.keras", "model.tflite", "rows.npz"]
    assert sorted(fields["files"]) == ["model.keras", "model.tflite", "rows.npz"]
    for name, entry in fields["files"].items():
        content = (folder / name).read_bytes()
        assert entry == {"sha256": hashlib.sha256(content).hexdigest(), "bytes": len(content)}


def test_the_card_says_what_the_model_is_and_what_its_threshold_rests_on(folder, run, prepared, exports, alert):
    fields = card.read(folder)
    assert (fields["schema"], fields["name"], fields["dataset"]) == (1, run.folder.name, "home")
    assert (fields["family"], fields["dialect"], fields["l7"]) == ("netflow", None, "ndpi 4.2")
    assert (fields["features"], fields["classes"]) == (list(prepared.features), list(CLASSES))
    assert (fields["benign"], fields["threshold"], fields["threshold_fpr"]) == ("Benign", alert.value, 0.05)
    assert (fields["simulated"], fields["mark"], fields["precision"]) == (False, "own", "float32")
    assert (fields["seed"], fields["split"], fields["recipe"]) == (42, "paper", "own")  # six epochs are not the paper's
    assert {"keras", "ai-edge-litert", "numpy", "python"} <= set(fields["versions"])
    assert fields["metrics"]["litert"] == pytest.approx(run.result["scores"], abs=0.01)
    assert fields["metrics"]["validation"]["benign_rows"] == alert.rows
    expected = convert.rates_on_test(exports["float32"], prepared, "multiclass", alert.value)
    assert fields["metrics"]["test"] == expected


def test_a_card_made_from_simulated_rows_says_so_and_the_papers_recipe_is_named(run, prepared, exports, alert):
    for changes in ({"mark": "simulated"}, {"source_mark": "simulated"}):
        marked = dataclasses.replace(run, result={**run.result, **changes})
        fields = card.describe(marked, prepared, exports["float32"], alert, None, None)
        assert fields["simulated"] is True and "simulated" in fields["mark"]
    assert recipe.name_of({**dataclasses.asdict(Recipe()), "rows": None}) == "paper"


def test_the_pi_takes_the_folder_and_gives_the_same_probabilities(folder, exports, alert, prepared):
    found = read_card(folder)
    assert (found.threshold, found.classes, found.family) == (alert.value, CLASSES, "netflow")
    features = prepare.load(prepared, "test")[0]
    on_pi = card.predict_as_the_pi(folder, features)
    np.testing.assert_allclose(on_pi, litert.predict(exports["float32"].content, features), atol=FLOAT32)


def test_a_file_that_disagrees_is_not_written_and_nothing_half_written_stays(elsewhere, prepared, exports, alert):
    worse = dataclasses.replace(exports["int8"].agreement, same_class=0.9, same_or_tie=0.96)
    nothing = dataclasses.replace(exports["int8"].agreement, finite=False)
    for agreement, found in ((worse, "found 96.00%"), (nothing, "found values that are no numbers")):
        with pytest.raises(InputError, match=rf"expected .* 97.00% .* {found}"):
            card.write(elsewhere, prepared, dataclasses.replace(exports["int8"], agreement=agreement), alert)
    assert list(elsewhere.folder.parent.iterdir()) == [elsewhere.folder]


def test_a_model_the_pi_would_refuse_leaves_the_older_folder_as_it_was(elsewhere, prepared, exports, alert):
    folder = card.write(elsewhere, prepared, exports["float32"], alert)
    before = (folder / "card.json").read_bytes()
    other = convert.convert(
        model.full_model(model.preprocessing(train_rows()[0]), model.backbone(), model.head(3)), "float32"
    )
    broken = dataclasses.replace(exports["float32"], content=other)
    with pytest.raises(InputError, match="4 classes.* found .*3"):
        card.write(elsewhere, prepared, broken, alert)
    assert (folder / "card.json").read_bytes() == before
    assert [found.name for found in folder.parent.iterdir()] == [folder.name]


def test_a_model_on_other_features_than_the_pi_meters_is_refused(run, prepared, exports, alert):
    other = {**run.result, "features": ["MIN_TTL", *run.result["features"][1:]]}
    with pytest.raises(InputError, match="L4_SRC_PORT.* found one on MIN_TTL"):
        card.write(dataclasses.replace(run, result=other), prepared, exports["float32"], alert)


def test_a_dataset_without_a_benign_class_can_have_no_alert_threshold(prepared, exports):
    renamed = dataclasses.replace(prepared, benign="Normal")
    with pytest.raises(InputError, match=f"benign class .* found {', '.join(CLASSES)}"):
        convert.choose_threshold(exports["float32"], renamed, "multiclass", 0.05)


# the dialect


def cicflow(prepared, folder, window):
    """`prepared` as if CICFlowMeter had written it, with those values as Init_Fwd_Win_Byts of the training rows."""
    table = pd.read_parquet(prepared.folder / "train.parquet").rename(
        columns=dict(zip(prepared.features, CICFLOW_FEATURES, strict=True))
    )
    table["Init_Fwd_Win_Byts"] = np.resize(window, len(table))
    folder.mkdir()
    table.to_parquet(folder / "train.parquet", index=False)
    return dataclasses.replace(prepared, family="cicflow", features=CICFLOW_FEATURES, folder=folder)


def test_the_dialect_is_what_the_training_rows_show_and_none_for_netflow(prepared, tmp_path):
    assert card.dialect_of(prepared) is None
    constant = cicflow(prepared, tmp_path / "a", [-1.0])
    varying = cicflow(prepared, tmp_path / "b", [-1.0, 8192.0])
    assert card.dialect_of(constant) == "constant-window"
    assert card.dialect_of(varying) == "cse-cic-ids2018"
    assert card.dialect_of(varying, "cicflowmeter-2020") == "cicflowmeter-2020"
    for rows_of, dialect, found in (
        (constant, "cse-cic-ids2018", "always -1"),
        (varying, "constant-window", "not always -1"),
        (varying, "unheard-of", "'unheard-of'"),
    ):
        with pytest.raises(InputError, match=f"dialect.* found .*{found}"):
            card.dialect_of(rows_of, dialect)


# what it costs


def test_latency_and_memory_are_measured_in_a_process_without_tensorflow(exports, monkeypatch, tmp_path):
    (tmp_path / "model.tflite").write_bytes(exports["int8"].content)
    np.save(tmp_path / "rows.npy", np.resize(rows(10)[0], (1024, 9)))
    script = """
import runpy, sys
sys.argv = ["latency", "model.tflite", "rows.npy"]
runpy.run_module("tlids_helpers.export.cost", run_name="__main__")
heavy = {"tensorflow", "keras", "pandas", "sklearn", "pyarrow"} & set(sys.modules)
assert not heavy, heavy
"""
    done = subprocess.run([sys.executable, "-c", script], cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    costs = json.loads(done.stdout)
    assert 0 < costs["p50_us"] <= costs["p95_us"]
    assert costs["per_s_64"] > 0 and costs["per_s_1024"] > 0
    assert costs["memory_mb"] is None or 20 < costs["memory_mb"] < 150


def test_memory_is_none_where_there_is_no_proc(monkeypatch, tmp_path):
    monkeypatch.setattr(cost, "STATUS", tmp_path / "absent")
    assert cost.resident_memory() is None
    (tmp_path / "status").write_text("Name:\tpython\nVmRSS:\t   50000 kB\n")
    monkeypatch.setattr(cost, "STATUS", tmp_path / "status")
    assert cost.resident_memory() == pytest.approx(51.2)


# the tables and the figure of the notebook


def test_tables_and_figure_carry_the_mark_and_every_precision(exports, alert, prepared):
    costs = dict.fromkeys(
        exports, {"p50_us": 20.0, "p95_us": 30.0, "per_s_64": 1e5, "per_s_1024": 2e5, "memory_mb": None}
    )
    on_test = convert.rates_on_test(exports["float32"], prepared, "multiclass", alert.value)
    for table in (
        show.agreement(exports, "simulated"),
        show.cost(costs, "simulated"),
        show.arithmetic(exports, "simulated").T,
    ):
        assert list(table.index) == list(convert.PRECISIONS)
    assert show.threshold(alert, on_test, "simulated").columns.name == "simulated"
    figure = show.size_and_latency(exports, costs, "sizes", "simulated")
    assert "[simulated]" in figure.get_suptitle()
    assert "kB" in figure.axes[0].get_xlabel() and "µs" in figure.axes[0].get_ylabel()
    assert len(figure.axes[0].get_legend().get_texts()) == 4
