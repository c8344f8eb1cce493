"""A run's name and its machine-readable result, written whole; which folders count as results."""

import dataclasses
import json
from types import SimpleNamespace

import numpy as np
import pytest
from small_flows import CLASSES, fitted, write_csv

from tlids_helpers.common.errors import InputError
from tlids_helpers.data import prepare
from tlids_helpers.network.model import predict
from tlids_helpers.network.recipe import Recipe
from tlids_helpers.results import metrics, runs

RECIPE = Recipe(epochs=1)
# field -> type, /runs_dir/<run>/result.json, schema 1; what notebook 04 and the Pi's card are made from
FIELDS = {
    "schema": int, "run": str, "notebook": str, "dataset": str, "title": str, "family": str, "version": int,
    "paper_slug": str, "task": str, "split": str, "protocol": str, "source": str, "source_mark": str, "seed": int,
    "mark": str, "rows": dict, "classes": list, "scores": dict, "per_class": dict, "confusion": list, "history": dict,
    "epochs": int, "seconds": dict, "parameters": dict, "versions": dict,
}  # fmt: skip


@pytest.fixture(scope="module")
def prepared(tmp_path_factory):
    folder = tmp_path_factory.mktemp("own")
    return prepare.prepare(str(write_csv(folder / "home.csv")), folder / "data")


@pytest.fixture(scope="module")
def saved(prepared, tmp_path_factory):
    """(runs_dir, the run that was saved there)"""
    runs_dir = tmp_path_factory.mktemp("runs")
    return runs_dir, runs.save(runs_dir, "02_cnn_training", prepared, "multiclass", "scratch", RECIPE, 1, fitted())


@pytest.fixture(scope="module")
def result(saved):
    """As another program reads it."""
    (file,) = saved[0].glob("*/result.json")
    return json.loads(file.read_text(), parse_constant=pytest.fail)


def test_the_result_has_every_field_of_the_schema_with_its_type(result):
    assert {name: type(result.get(name)) for name in FIELDS} == FIELDS
    assert result["schema"] == 1
    assert (result["notebook"], result["dataset"], result["family"]) == ("02_cnn_training", "home", "netflow")
    assert (result["task"], result["split"], result["protocol"]) == ("multiclass", "paper", "scratch")
    assert (result["version"], result["paper_slug"], result["mark"]) == (0, "", "own")
    assert (result["source"], result["source_mark"], result["seed"]) == ("", "", 1)


def test_the_results_inner_fields_have_their_types(result):
    assert {name: type(n) for name, n in result["rows"].items()} == dict.fromkeys(("train", "validation", "test"), int)
    assert set(result["scores"]) == {"accuracy", "precision", "recall", "f1", "macro_f1", "mcc"}
    assert all(type(v) is float and -1 <= v <= 1 for v in result["scores"].values())
    assert result["classes"] == list(CLASSES) == list(result["per_class"])
    for row in result["per_class"].values():
        assert [type(row[name]) for name in ("precision", "recall", "f1", "support")] == [float, float, float, int]
    assert set(result["history"]) == {"loss", "val_loss", "accuracy", "val_accuracy"}
    assert all(len(values) == result["epochs"] for values in result["history"].values())
    assert {name: type(v) for name, v in result["seconds"].items()} == {"total": float, "per_epoch": float}
    assert result["parameters"].items() >= {"epochs": 1, "batch_size": 128, "learning_rate": 0.01, "rows": None}.items()
    assert {"python", "keras", "numpy"} <= set(result["versions"])
    assert {"tensorflow", "tensorflow-cpu"} & set(result["versions"])


def test_the_confusion_matrix_adds_up_to_the_test_rows_of_each_class(result, prepared):
    matrix = np.array(result["confusion"])
    assert matrix.shape == (4, 4) and matrix.dtype == np.int64
    assert matrix.sum() == result["rows"]["test"] == 80
    assert matrix.sum(axis=1).tolist() == [prepared.counts["test"][name] for name in CLASSES]
    assert matrix.sum(axis=1).tolist() == [row["support"] for row in result["per_class"].values()]
    assert np.trace(matrix) / 80 == pytest.approx(result["scores"]["accuracy"])


def test_the_rows_add_up_to_the_file(result):
    assert sum(result["rows"].values()) == 400


def test_the_model_beside_the_result_is_the_one_that_was_scored(saved, prepared, result):
    from tlids_helpers.network.backend import keras

    features, truth = prepare.load(prepared, "test")
    found = predict(keras.models.load_model(saved[1].model_path), features).argmax(axis=1)
    assert metrics.confusion(truth, found, 4).tolist() == result["confusion"]


def test_a_transfer_says_which_run_it_came_from_and_how_that_was_marked(prepared, saved, tmp_path):
    source = runs.Run(tmp_path / "the-source", {"dataset": "nf-uq-nids", "mark": "simulated"})
    done = runs.save(tmp_path, "03_transfer", prepared, "multiclass", "paper", RECIPE, 1, fitted(), source).result
    assert (done["source"], done["source_run"], done["source_mark"]) == ("nf-uq-nids", "the-source", "simulated")


class Interrupted(BaseException):
    """As Ctrl-C."""


def model_that_saves(then=None, content=b"model"):
    def save(path):
        path.write_bytes(content)
        if then:
            raise then

    return SimpleNamespace(save=save, predict=lambda x, **_: np.eye(4)[np.zeros(len(x), dtype=int)])


def save_with(model, prepared, runs_dir):
    done = dataclasses.replace(fitted(), model=model)
    return runs.save(runs_dir, "02_cnn_training", prepared, "multiclass", "scratch", RECIPE, 1, done)


def test_an_interruption_between_model_and_result_leaves_nothing(prepared, tmp_path):
    with pytest.raises(Interrupted):
        save_with(model_that_saves(then=Interrupted()), prepared, tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_an_interrupted_second_run_leaves_the_first_as_it_was(prepared, tmp_path):
    first = save_with(model_that_saves(content=b"first"), prepared, tmp_path)
    with pytest.raises(Interrupted):
        save_with(model_that_saves(then=Interrupted(), content=b"second"), prepared, tmp_path)
    assert first.model_path.read_bytes() == b"first"
    assert [folder.name for folder in tmp_path.iterdir()] == [first.folder.name]


def test_a_second_run_of_the_same_name_replaces_the_first(prepared, tmp_path):
    save_with(model_that_saves(content=b"first"), prepared, tmp_path)
    second = save_with(model_that_saves(content=b"second"), prepared, tmp_path)
    assert second.model_path.read_bytes() == b"second"
    assert len(runs.collect(tmp_path)) == 1 == len(list(tmp_path.iterdir()))


def test_a_runs_dir_that_cannot_be_made_is_one_sentence(prepared, tmp_path):
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(InputError, match="expected to write to .*another folder"):
        save_with(model_that_saves(), prepared, tmp_path / "file")


def test_the_same_run_has_the_same_name_wherever_and_whenever_it_runs(prepared, saved):
    args = ("multiclass", "scratch", RECIPE, 1)
    assert runs.run_name(prepared, *args) == runs.run_name(prepared, *args) == saved[1].folder.name
    elsewhere = dataclasses.replace(prepared, folder=prepared.folder.parent.parent / "moved" / prepared.folder.name)
    assert runs.run_name(elsewhere, *args) == saved[1].folder.name


def test_the_name_says_what_the_run_is(prepared):
    name = runs.run_name(prepared, "binary", "leave_target_out", RECIPE, 7, "source")
    assert name.startswith("home-binary-paper-leave-target-out-s7-")


@pytest.mark.parametrize("name", [field.name for field in dataclasses.fields(Recipe)])
def test_another_hyper_parameter_is_another_run(prepared, name):
    other = dataclasses.replace(RECIPE, **{name: getattr(RECIPE, name) * 2 or 1})
    names = {runs.run_name(prepared, "multiclass", "scratch", recipe, 1) for recipe in (RECIPE, other)}
    assert len(names) == 2


def test_another_task_protocol_seed_source_split_or_column_is_another_run(prepared):
    selected = dataclasses.replace(prepared, features=prepared.features[::-1])
    regrouped = prepare.prepare(str(prepared.folder.parents[2] / "home.csv"), prepared.folder.parents[1], "grouped")
    fewer = prepare.prepare(str(prepared.folder.parents[2] / "home.csv"), prepared.folder.parents[1], rows=100)
    all_runs = [
        (prepared, "multiclass", "paper", RECIPE, 1, "a"),
        (prepared, "binary", "paper", RECIPE, 1, "a"),
        (prepared, "multiclass", "leave_target_out", RECIPE, 1, "a"),
        (prepared, "multiclass", "paper", RECIPE, 2, "a"),
        (prepared, "multiclass", "paper", RECIPE, 1, "b"),
        (selected, "multiclass", "paper", RECIPE, 1, "a"),
        (regrouped, "multiclass", "paper", RECIPE, 1, "a"),
        (fewer, "multiclass", "paper", RECIPE, 1, "a"),
    ]
    assert len({runs.run_name(*run) for run in all_runs}) == len(all_runs)


def test_changed_flows_are_another_run(tmp_path):
    names = set()
    for seed in (0, 1):
        own = prepare.prepare(str(write_csv(tmp_path / "home.csv", seed=seed)), tmp_path / "data")
        names.add(runs.run_name(own, "multiclass", "scratch", RECIPE, 1))
    assert len(names) == 2


@pytest.fixture
def shelf(tmp_path):
    """Write a result (or anything) under runs_dir/<name>; a model beside it."""

    def put(name, content, age=0):
        folder = tmp_path / name
        folder.mkdir()
        (folder / "model.keras").write_bytes(b"model")
        file = folder / "result.json"
        file.write_text(content if isinstance(content, str) else json.dumps(content))
        import os

        os.utime(file, (1e9 - age, 1e9 - age))
        return folder

    put.runs_dir = tmp_path
    return put


def test_results_are_collected_oldest_first(shelf):
    for name, age in (("a", 10), ("b", 30), ("c", 20)):
        shelf(name, {"schema": 1, "run": name}, age)
    assert [result["run"] for result in runs.collect(shelf.runs_dir)] == ["b", "c", "a"]


def test_a_half_written_run_and_folders_of_others_are_no_results(shelf, recwarn):
    shelf("done", {"schema": 1, "run": "done"})
    shelf(".done.123.partial", {"schema": 1, "run": "half"})
    shelf(".done.123.old", {"schema": 1, "run": "old"})
    (shelf.runs_dir / "demo").mkdir()
    (shelf.runs_dir / "demo" / "01.ipynb").write_text("{}")
    (shelf.runs_dir / "README.md").write_text("runs")
    assert [result["run"] for result in runs.collect(shelf.runs_dir)] == ["done"]
    assert not recwarn.list


@pytest.mark.parametrize(
    "content", ['{"schema": 1, "run"', "", "[1, 2]", '{"answer": 42}', '{"schema": 2, "run": "x"}']
)
def test_a_result_that_no_run_wrote_is_left_out_with_a_warning_that_names_it(shelf, content):
    shelf("done", {"schema": 1, "run": "done"})
    shelf("strange", content)
    with pytest.warns(UserWarning, match="strange/result.json is left out"):
        assert [result["run"] for result in runs.collect(shelf.runs_dir)] == ["done"]


def test_no_runs_yet_is_an_empty_list(tmp_path):
    assert runs.collect(tmp_path / "nowhere") == []
    assert runs.collect(tmp_path) == []


def test_a_run_is_found_by_its_name(saved):
    runs_dir, run = saved
    assert runs.find(runs_dir, run.folder.name).result == run.result
    assert runs.find(runs_dir, "another") is None


@pytest.mark.parametrize("broken", ["model gone", "result cut short"])
def test_a_run_without_its_model_or_with_a_broken_result_is_not_finished(shelf, broken):
    folder = shelf("run", {"schema": 1, "run": "run"})
    assert runs.find(shelf.runs_dir, "run") is not None
    if broken == "model gone":
        (folder / "model.keras").unlink()
    else:
        (folder / "result.json").write_text('{"schema": 1,')
    assert runs.find(shelf.runs_dir, "run") is None


def test_versions_are_those_installed_and_packages_that_are_not_are_left_out():
    assert runs.versions(("numpy", "no-such-package"), with_python=False) == {"numpy": np.__version__}
