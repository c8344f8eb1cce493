"""One experiment a function: what it reads, when it trains again, and what it tells beforehand."""

import dataclasses
import shutil
import textwrap
import warnings

import numpy as np
import pytest
from small_flows import CLASSES, fitted, same_weights, write_csv

from tlids_helpers import experiment
from tlids_helpers.common.errors import InputError
from tlids_helpers.data import prepare
from tlids_helpers.data.catalog import DATASETS
from tlids_helpers.data.raw import Allowed
from tlids_helpers.experiment import Setup
from tlids_helpers.network import training
from tlids_helpers.network.recipe import Recipe
from tlids_helpers.results import runs

SETUP = Setup(recipe=Recipe(epochs=1), notebook="02_cnn_training")


def kept_in(runs_dir, **changes) -> Setup:
    return dataclasses.replace(SETUP, runs_dir=runs_dir, **changes)


@pytest.fixture(scope="module")
def prepared(tmp_path_factory):
    folder = tmp_path_factory.mktemp("own")
    return prepare.prepare(str(write_csv(folder / "home.csv")), folder / "data")


@pytest.fixture(scope="module")
def finished(prepared, tmp_path_factory):
    """(runs_dir, a run from scratch in it)"""
    runs_dir = tmp_path_factory.mktemp("runs")
    with pytest.MonkeyPatch.context() as patch:
        done = fitted()  # before the name is patched
        patch.setattr(training, "train_from_scratch", lambda *_: done)
        return runs_dir, experiment.from_scratch(prepared, kept_in(runs_dir))


@pytest.fixture
def trainings(monkeypatch):
    """Instead of training, take note of what would be trained on."""
    seen, done = [], fitted()  # before the name is patched

    def note(train, validation, n_classes, recipe, seed):
        seen.append({"rows": (train, validation), "n_classes": n_classes, "recipe": recipe})
        return done

    monkeypatch.setattr(training, "train_from_scratch", note)
    return seen


@pytest.fixture
def unsaved(monkeypatch):
    """Instead of scoring and saving, give back what would be scored."""
    monkeypatch.setattr(experiment, "score", lambda *_: {})
    monkeypatch.setattr(experiment.runs, "save", lambda *given: given)


def as_dataset(prepared, slug: str, **fields):
    """`prepared` as if it were a dataset of the catalog."""
    found = DATASETS[slug]
    own = {"name": slug, "title": found.title, "family": found.family, "version": found.version}
    return dataclasses.replace(prepared, **{**own, **fields})


def test_a_finished_run_is_taken_as_it_is_unless_asked_again(prepared, finished, trainings):
    runs_dir, run = finished
    taken = experiment.from_scratch(prepared, kept_in(runs_dir, notebook="03_transfer"))
    assert taken.result == run.result and not trainings
    shutil.copytree(runs_dir, copy := runs_dir.with_name("copy"))
    experiment.from_scratch(prepared, kept_in(copy), again=True)
    assert len(trainings) == 1


def test_a_run_whose_model_was_deleted_is_trained_again(prepared, finished, trainings, tmp_path):
    shutil.copytree(finished[0], tmp_path / "runs")
    (tmp_path / "runs" / finished[1].folder.name / "model.keras").unlink()
    experiment.from_scratch(prepared, kept_in(tmp_path / "runs"))
    assert len(trainings) == 1


def test_a_run_of_other_rows_is_made_again_and_a_warning_tells_what_was_expected_and_found(
    finished, trainings, tmp_path
):
    shutil.copytree(finished[0], tmp_path / "runs")
    other = prepare.prepare(str(write_csv(tmp_path / "home.csv", n=480)), tmp_path / "data")
    with pytest.warns(UserWarning, match="expected .*288 train.*found 345 train.*made again") as told:
        made = experiment.from_scratch(other, kept_in(tmp_path / "runs"))
    assert len(trainings) == 1 and made.folder.name == finished[1].folder.name and made.result["rows"]["train"] == 345
    assert told[0].filename == __file__
    with warnings.catch_warnings(action="error"):
        assert experiment.from_scratch(other, kept_in(tmp_path / "runs")).result == made.result


def test_training_gets_the_training_and_validation_rows_and_never_opens_the_test_rows(
    prepared, trainings, tmp_path, unsaved
):
    folder = tmp_path / prepared.folder.name
    shutil.copytree(prepared.folder, folder)
    (folder / "test.parquet").unlink()
    untested = dataclasses.replace(prepared, folder=folder)
    experiment.from_scratch(untested, kept_in(tmp_path / "runs"))
    for role, found, size in zip(("train", "validation"), trainings[0]["rows"], (288, 32), strict=True):
        assert len(found[1]) == size
        assert same_weights(list(found), list(prepare.load(prepared, role)))


def test_transfer_never_opens_the_test_rows_and_leaves_the_source_run_as_it_was(prepared, finished, tmp_path, unsaved):
    folder = tmp_path / prepared.folder.name
    shutil.copytree(prepared.folder, folder)
    (folder / "test.parquet").unlink()
    untested, source = dataclasses.replace(prepared, folder=folder), finished[1]
    before = source.model_path.read_bytes()
    *_, done, _, came_from = experiment.transferred(
        untested, source, "paper", kept_in(tmp_path / "runs", task="binary")
    )
    assert came_from is source and source.model_path.read_bytes() == before
    assert done.model.output_shape == (None, 2)


def test_a_binary_run_has_two_classes_and_counts_every_attack_as_one(prepared, trainings, unsaved, tmp_path):
    experiment.from_scratch(prepared, kept_in(tmp_path, task="binary"))
    assert trainings[0]["n_classes"] == 2
    assert set(prepare.load(prepared, "train", "binary")[1].tolist()) == {0, 1}


def test_an_unknown_task_is_one_sentence_before_anything_is_trained(prepared, trainings, tmp_path):
    with pytest.raises(InputError, match="multiclass or binary, found 'ternary'"):
        experiment.from_scratch(prepared, kept_in(tmp_path, task="ternary"))
    assert not trainings


def test_a_source_learns_all_classes_whatever_the_task_of_the_target(prepared, finished):
    assert experiment.source_run(prepared, kept_in(finished[0], task="binary")).result == finished[1].result


@pytest.fixture
def target(prepared, finished, tmp_path):
    """(a part of a union, as prepared; where its source's run is finished; the names of what would be prepared)"""
    shutil.copytree(finished[0], tmp_path / "runs")
    return as_dataset(prepared, "nf-ton-iot"), kept_in(tmp_path / "runs")


def test_the_chosen_run_is_trained_with_its_source_once_and_then_found_without_preparing_the_source(
    prepared, target, trainings, monkeypatch
):
    asked, (part, setup) = [], target
    monkeypatch.setattr(experiment, "prepare_source", lambda *given: asked.append(given) or prepared)
    monkeypatch.setattr(experiment, "source_dataset", lambda *_: prepared.name)
    made = experiment.chosen(part, "leave_target_out", setup, "", "data", Allowed())
    assert asked == [(part, "nf-uq-nids", "leave_target_out", "data", Allowed())]
    assert made.result["protocol"] == "leave_target_out" and made.result["source"] == "home" and not trainings
    again = experiment.chosen(part, "leave_target_out", setup, "", "data", Allowed())
    assert again.result == made.result and len(asked) == 1


def test_the_chosen_run_from_scratch_is_notebook_02s(prepared, finished):
    assert (
        experiment.chosen(prepared, "scratch", kept_in(finished[0]), "", "data", Allowed()).result == finished[1].result
    )


def test_an_unknown_way_of_training_is_one_sentence(prepared):
    with pytest.raises(InputError, match="scratch, paper, leave_target_out, found 'theirs'"):
        experiment.chosen(prepared, "theirs", SETUP, "", "data", Allowed())


def test_a_missing_model_is_announced_with_rows_epochs_and_a_duration(prepared, tmp_path):
    sentence = experiment.time_needed(prepared, kept_in(tmp_path, recipe=Recipe(epochs=50)))
    assert "missing" in sentence and "288 rows for at most 50 epochs" in sentence
    assert sentence.endswith("up to 1 s on two cores")  # 288 x 50 / 12,000 = 1.2


@pytest.mark.parametrize("rows, text", [(240, "1 s"), (24_000, "100 s"), (720_000, "50 min"), (9_595_914, "11 h")])
def test_the_announced_duration_has_a_unit_a_person_would_choose(prepared, tmp_path, rows, text):
    counts = {**prepared.counts, "train": {"Benign": rows}}
    many = dataclasses.replace(prepared, counts=counts)
    assert f"up to {text} on two" in experiment.time_needed(many, kept_in(tmp_path, recipe=Recipe()))


def test_a_model_that_is_there_is_named(prepared, finished):
    runs_dir, run = finished
    assert experiment.time_needed(prepared, kept_in(runs_dir)) == f"the model is there ({run.folder.name})"


def test_a_share_is_learned_from_in_as_many_rows_an_epoch_and_named_and_no_other_row_is_seen(
    prepared, trainings, unsaved, tmp_path
):
    experiment.from_scratch(prepared, setup := kept_in(tmp_path, share=0.5))
    (features, codes), (seen, _) = trainings[0]["rows"]
    every = prepare.load(prepared, "train")[0]
    assert len(codes) == 288 and len(np.unique(features, axis=0)) <= 144 and len(seen) == 32
    assert {tuple(row) for row in features} <= {tuple(row) for row in every}
    names = {
        runs.name_for(prepared, "scratch", each) for each in (setup, kept_in(tmp_path), kept_in(tmp_path, share=0.1))
    }
    assert len(names) == 3 and any("-0.5share-" in name for name in names)


def test_what_is_frozen_names_a_transfer_and_no_run_from_scratch(prepared):
    free = dataclasses.replace(SETUP, recipe=dataclasses.replace(SETUP.recipe, frozen="none"))
    names = [[runs.name_for(prepared, protocol, setup) for setup in (SETUP, free)] for protocol in ("scratch", "paper")]
    assert names[0][0] == names[0][1] and names[1][0] != names[1][1]


def test_zero_shot_judges_benign_or_attack_by_the_sources_classes_and_other_classes_do_no_harm(
    prepared, finished, monkeypatch
):
    _, truth = prepare.load(prepared, "test", "binary")
    said = np.where(truth[:, None] == 0, [[0.1, 0.1, 0.8]], [[0.6, 0.3, 0.1]])
    monkeypatch.setattr(experiment, "predict", lambda model, rows: said)
    other = {**finished[1].result, "classes": ["worm", "virus", "calm"], "benign": "calm"}
    found = experiment.zero_shot(prepared, runs.Run(finished[1].folder, other))
    assert found == {"roc_auc": 1.0, "mcc": 1.0, "recall": 1.0, "false_alarms": 0.0}
    with pytest.raises(InputError, match="benign class in the source, found worm, virus"):
        experiment.zero_shot(prepared, runs.Run(finished[1].folder, {**other, "classes": ["worm", "virus"]}))


def test_a_target_that_is_its_own_source_is_refused_without_the_target(prepared, finished, tmp_path):
    with pytest.raises(InputError, match="expected a source without home.*use protocol=paper"):
        experiment.transferred(prepared, finished[1], "leave_target_out", kept_in(tmp_path))


def test_the_sweep_varies_one_hyper_parameter_of_the_papers_at_a_time_and_reads_no_test_row(
    prepared, trainings, monkeypatch
):
    roles, load = [], prepare.load
    monkeypatch.setattr(prepare, "load", lambda p, role, task: roles.append(role) or load(p, role, task))
    table = experiment.sweep(prepared, SETUP)
    assert set(roles) == {"train", "validation"}
    varied = [("learning_rate", v) for v in (0.01, 0.001, 0.0001)]
    varied += [("epochs", v) for v in (20, 50, 100)] + [("batch_size", v) for v in (16, 32, 64, 128, 256)]
    assert list(zip(table["parameter"], table["value"], strict=True)) == varied
    assert [seen["recipe"] for seen in trainings] == [dataclasses.replace(SETUP.recipe, **{k: v}) for k, v in varied]


def test_the_sweep_scores_the_best_epoch_on_validation_rows(prepared, monkeypatch):
    history = {"val_loss": [3.0, 1.0, 2.0], "val_accuracy": [0.1, 0.6, 0.9]}
    done = training.trained(None, history, [1.0, 1.0, 1.0], 0.5)
    monkeypatch.setattr(training, "train_from_scratch", lambda *_: done)
    table = experiment.sweep(prepared, SETUP)
    assert set(table["val_accuracy"]) == {0.6} and set(table["epochs"]) == {3} and set(table["seconds"]) == {3.5}


def test_the_small_dataset_of_these_tests_is_what_they_take_it_for(prepared):
    assert prepared.classes == CLASSES and prepared.mark == "own" and prepared.version == 0
    assert [prepared.size(role) for role in ("train", "validation", "test")] == [288, 32, 80]


def test_hidden_features_say_nothing_in_training_and_in_the_test(prepared, trainings, monkeypatch):
    seen = []
    monkeypatch.setattr(experiment, "predict", lambda model, rows: seen.append(rows) or np.eye(4)[[0] * 80])
    found = experiment.scores_without(prepared, ("L4_SRC_PORT", "L4_DST_PORT"), SETUP)
    (asked,) = trainings
    for rows in (asked["rows"][0][0], asked["rows"][1][0], seen[0]):
        assert not rows[:, :2].any() and rows[:, 2:].any(axis=0).all()
    assert found["accuracy"] == 0.25  # 80 test rows of four classes, all taken for the first


def test_the_page_at_the_top_of_the_file_runs_as_it_stands(prepared, tmp_path, monkeypatch):
    lines = [line for line in experiment.__doc__.splitlines() if line.startswith("    ")]
    part = as_dataset(prepared, "nf-ton-iot")
    monkeypatch.setattr(prepare, "prepare", lambda slug: part)
    monkeypatch.setattr(experiment, "prepare_source", lambda *_: as_dataset(prepared, "nf-uq-nids"))
    monkeypatch.setattr(experiment, "Setup", lambda **given: kept_in(tmp_path, **given))
    *steps, scores = textwrap.dedent("\n".join(lines)).splitlines()
    names = dict(vars(experiment))
    exec("\n".join(steps), names)
    assert [set(found) >= {"accuracy", "macro_f1"} for found in eval(scores, names)] == [True, True]
    assert names["transfer"].result["source_run"] == names["source"].folder.name
