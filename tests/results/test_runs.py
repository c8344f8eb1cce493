"""A run's name and its machine-readable result, written whole; when a run fits; which folders count as results."""

import builtins
import dataclasses
import json
import os
import shutil
import subprocess
import sys
from types import SimpleNamespace

import numpy as np
import pytest
from small_flows import CLASSES, fitted, write_csv

from tlids_helpers.common.errors import InputError
from tlids_helpers.common.files import REPOSITORY
from tlids_helpers.data import prepare
from tlids_helpers.network.backend import keras
from tlids_helpers.network.model import predict
from tlids_helpers.network.recipe import Recipe
from tlids_helpers.results import metrics, runs
from tlids_helpers.results.runs import Setup

SETUP = Setup(recipe=Recipe(epochs=1), seed=42, notebook="02_cnn_training")
# field -> type, /runs_dir/<run>/result.json, schema 1; what notebook 04 and the Pi's card are made from
FIELDS = {
    "schema": int, "run": str, "notebook": str, "dataset": str, "title": str, "family": str, "version": int,
    "paper_slug": str, "task": str, "split": str, "protocol": str, "source": str, "source_mark": str, "seed": int,
    "mark": str, "rows": dict, "counts": dict, "content": str, "source_content": str,
    "classes": list, "scores": dict, "per_class": dict, "confusion": list, "history": dict,
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
    return runs_dir, save_with(fitted().model, prepared, runs_dir)


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
    assert (result["source"], result["source_mark"], result["seed"]) == ("", "", 42)


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
    features, truth = prepare.load(prepared, "test")
    found = predict(keras.models.load_model(saved[1].model_path), features).argmax(axis=1)
    assert metrics.confusion(truth, found, 4).tolist() == result["confusion"]


def test_a_transfer_says_which_run_it_came_from_and_how_that_was_marked(prepared, saved, tmp_path):
    source = runs.Run(tmp_path / "the-source", {"dataset": "nf-uq-nids", "mark": "simulated", "content": "c0ffee"})
    here = dataclasses.replace(SETUP, runs_dir=tmp_path)
    done = runs.save(prepared, "paper", here, fitted(), on_test(prepared, np.zeros(80, dtype=int)), source).result
    assert (done["source"], done["source_run"], done["source_mark"]) == ("nf-uq-nids", "the-source", "simulated")
    assert done["source_content"] == "c0ffee"


def on_test(prepared, predicted):
    return runs.on_test(prepared, "multiclass", predicted)


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
    predicted = predict(model, prepare.load(prepared, "test")[0]).argmax(axis=1)
    return runs.save(
        prepared, "scratch", dataclasses.replace(SETUP, runs_dir=runs_dir), done, on_test(prepared, predicted)
    )


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
    with pytest.raises(InputError, match=f"expected to write to {tmp_path}"):
        save_with(model_that_saves(), prepared, tmp_path / "file")


def test_the_name_is_made_of_the_parameters():
    grouped = dataclasses.replace(SETUP, task="binary", seed=7, recipe=Recipe())
    name = runs.run_name("home", "grouped", 500, "leave_target_out", grouped, "nf-uq-nids-without-home")
    assert name.startswith("home-binary-grouped-leave-target-out-paper-s7-500rows-")
    assert runs.run_name("home", "paper", None, "scratch", SETUP).startswith("home-multiclass-paper-scratch-own-s42-")


def test_the_name_of_prepared_rows_is_that_of_their_parameters(prepared, saved):
    assert runs.name_for(prepared, "scratch", SETUP) == runs.run_name("home", "paper", None, "scratch", SETUP)
    assert runs.name_for(prepared, "scratch", SETUP) == saved[1].folder.name


def test_where_a_run_is_kept_and_which_notebook_made_it_are_not_in_its_name():
    elsewhere = dataclasses.replace(SETUP, runs_dir="/elsewhere", notebook="08_audit")
    assert runs.run_name("home", "paper", None, "scratch", elsewhere) == (
        runs.run_name("home", "paper", None, "scratch", SETUP)
    )


def test_a_runs_name_and_whether_it_is_there_need_no_data(saved, monkeypatch):
    runs_dir, run = saved

    def refuse(file, *rest, **more):
        raise AssertionError(f"{file} was read")

    monkeypatch.setattr(builtins, "open", refuse)
    monkeypatch.setattr(prepare, "prepare", refuse)
    monkeypatch.setattr(prepare, "load", refuse)
    assert runs.run_name("home", "paper", None, "scratch", SETUP) == run.folder.name
    assert not runs.find(runs_dir, runs.run_name("nf-ton-iot", "paper", None, "paper", SETUP, "nf-uq-nids"))


def test_runs_are_looked_up_without_keras():
    script = "import sys, tlids_helpers.results.runs; assert not {'keras', 'tensorflow'} & set(sys.modules)"
    subprocess.run([sys.executable, "-c", script], check=True)


@pytest.mark.parametrize("name", [field.name for field in dataclasses.fields(Recipe)])
def test_another_hyper_parameter_is_another_run(name):
    words = {"optimiser": "adamw", "frozen": "none"}
    other = words.get(name) or getattr(SETUP.recipe, name) * 2 or 1
    changed = dataclasses.replace(SETUP, recipe=dataclasses.replace(SETUP.recipe, **{name: other}))
    names = {runs.run_name("home", "paper", None, "paper", setup) for setup in (SETUP, changed)}
    assert len(names) == 2


def test_another_dataset_task_protocol_seed_source_split_subsample_or_column_is_another_run(prepared):
    names = [runs.run_name("home", "paper", None, "paper", SETUP, "a")]
    for other in ({"task": "binary"}, {"seed": 2}):
        names.append(runs.run_name("home", "paper", None, "paper", dataclasses.replace(SETUP, **other), "a"))
    for data in (("office", "paper", None), ("home", "grouped", None), ("home", "paper", 100)):
        names.append(runs.run_name(*data, "paper", SETUP, "a"))
    names.append(runs.run_name("home", "paper", None, "leave_target_out", SETUP, "a"))
    names.append(runs.run_name("home", "paper", None, "paper", SETUP, "b"))
    for other in ({"features": prepared.features[::-1]}, {"seed": 7}):
        names.append(runs.name_for(dataclasses.replace(prepared, **other), "paper", SETUP, "a"))
    assert len(set(names)) == len(names)


def prepared_in(folder):
    return prepare.prepare(str(folder / "home.csv"), folder / "data")


@pytest.fixture
def here(tmp_path):
    """(a folder with a file of flows, its caches and a finished run, that run)"""
    folder = tmp_path / "here"
    folder.mkdir()
    write_csv(folder / "home.csv")
    return folder, save_with(fitted().model, prepared_in(folder), folder / "runs")


def fits(folder, run, prepared) -> bool:
    found = runs.find(folder, runs.name_for(prepared, "scratch", SETUP))
    return found is not None and found.folder.name == run.folder.name and runs.misfit(found, prepared) == ""


def test_a_copy_of_everything_elsewhere_finds_its_runs(here, tmp_path):
    folder, run = here
    shutil.copytree(folder, tmp_path / "copy")
    shutil.rmtree(tmp_path / "copy" / "data")  # prepared again there
    assert fits(tmp_path / "copy" / "runs", run, prepared_in(tmp_path / "copy"))


def test_a_touched_file_is_still_the_file_its_runs_were_made_from(here):
    folder, run = here
    os.utime(folder / "home.csv", (1e9, 1e9))
    assert fits(folder / "runs", run, prepared_in(folder))


def test_runs_in_another_folder_are_found_there(here, tmp_path):
    folder, run = here
    (folder / "runs").rename(tmp_path / "shelf")
    assert fits(tmp_path / "shelf", run, prepared_in(folder))


def test_an_edited_docstring_of_the_data_chapter_leaves_every_run_found(here, tmp_path):
    folder, run = here
    shutil.copytree(REPOSITORY / "tlids_helpers", tmp_path / "tlids_helpers")
    for file in (tmp_path / "tlids_helpers" / "data").rglob("*.py"):
        file.write_text(file.read_text().replace('"""', '"""Edited. ', 1))
    script = """
import sys
from tlids_helpers.data import prepare
from tlids_helpers.results import runs
assert "Edited." in prepare.__doc__
prepared = prepare.prepare(sys.argv[1] + "/home.csv", sys.argv[1] + "/data")
print(repr(runs.misfit(runs.find(sys.argv[1] + "/runs", sys.argv[2]), prepared)))
"""
    paths = os.pathsep.join([str(tmp_path), str(REPOSITORY / "edge")])
    done = subprocess.run(
        [sys.executable, "-c", script, str(folder), run.folder.name], cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": paths}, capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert done.stdout.strip() == "''"


def test_other_rows_under_the_same_name_are_a_misfit_that_says_what_was_expected_and_found(here):
    folder, run = here
    write_csv(folder / "home.csv", n=480)
    found = runs.misfit(run, prepared_in(folder))
    assert "288 train, 32 validation, 80 test" in found and "found 345 train, 39 validation, 96 test" in found


def test_other_classes_in_as_many_rows_are_a_misfit(here):
    folder, run = here
    text = (folder / "home.csv").read_text()
    (folder / "home.csv").write_text(text.replace(",ddos", ",scanning", 10))
    found = runs.misfit(run, prepared_in(folder))
    assert "expected 72 train rows of class ddos" in found and "found 65" in found


def test_as_many_rows_of_each_class_but_other_ones_are_a_misfit(here):
    folder, run = here
    write_csv(folder / "home.csv", seed=1)
    assert run.folder.name in runs.misfit(run, prepared_in(folder))


def test_another_content_is_a_misfit(prepared, saved):
    run = saved[1]
    other = runs.Run(run.folder, {**run.result, "content": "0123456789abcdef"})
    assert runs.misfit(run, prepared) == ""
    assert run.folder.name in runs.misfit(other, prepared)


def test_a_transfer_whose_source_was_made_again_from_other_rows_is_a_misfit(prepared, saved):
    runs_dir, source = saved
    result = {**source.result, "source_run": source.folder.name, "source_content": source.result["content"]}
    transfer = runs.Run(runs_dir / "transfer", result)
    assert runs.misfit(transfer, prepared) == ""
    assert source.folder.name in runs.misfit(runs.Run(runs_dir / "t", {**result, "source_content": "old"}), prepared)


@pytest.fixture
def shelf(tmp_path):
    """Write a result (or anything) under runs_dir/<name>; a model beside it."""

    def put(name, content, age=0):
        folder = tmp_path / name
        folder.mkdir()
        (folder / "model.keras").write_bytes(b"model")
        file = folder / "result.json"
        file.write_text(content if isinstance(content, str) else json.dumps(content))
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
