"""One experiment a function: what it reads, when it trains again, and which source it starts from."""

import dataclasses
import shutil

import numpy as np
import pytest
from small_flows import CLASSES, fitted, same_weights, write_csv

from tlids_helpers import experiment
from tlids_helpers.common.errors import InputError
from tlids_helpers.data import prepare
from tlids_helpers.data.catalog import CICFLOW_FEATURES, DATASETS
from tlids_helpers.network import training
from tlids_helpers.network.recipe import Recipe
from tlids_helpers.results import runs

RECIPE = Recipe(epochs=1)


@pytest.fixture(scope="module")
def prepared(tmp_path_factory):
    folder = tmp_path_factory.mktemp("own")
    return prepare.prepare(str(write_csv(folder / "home.csv")), folder / "data")


@pytest.fixture(scope="module")
def finished(prepared, tmp_path_factory):
    """(runs_dir, a run from scratch in it)"""
    runs_dir = tmp_path_factory.mktemp("runs")
    return runs_dir, runs.save(runs_dir, "02_cnn_training", prepared, "multiclass", "scratch", RECIPE, 1, fitted())


@pytest.fixture
def trainings(monkeypatch):
    """Instead of training, take note of what would be trained on."""
    seen, done = [], fitted()  # before the name is patched

    def note(train, validation, n_classes, recipe, seed, callbacks=()):
        seen.append({"rows": (train, validation), "n_classes": n_classes, "recipe": recipe})
        return done

    monkeypatch.setattr(training, "train_from_scratch", note)
    return seen


@pytest.fixture
def preparations(monkeypatch):
    """Instead of preparing, take note of what would be prepared."""
    seen = []
    monkeypatch.setattr(prepare, "prepare", lambda *given: seen.append(given))
    return seen


def as_dataset(prepared, slug: str, **fields):
    """`prepared` as if it were a dataset of the catalog."""
    found = DATASETS[slug]
    own = {"name": slug, "title": found.title, "family": found.family, "version": found.version}
    return dataclasses.replace(prepared, **{**own, **fields})


def test_a_finished_run_is_taken_as_it_is_unless_asked_again(prepared, finished, trainings):
    runs_dir, run = finished
    taken = experiment.from_scratch("03_transfer", prepared, "multiclass", RECIPE, 1, runs_dir)
    assert taken.result == run.result and not trainings
    shutil.copytree(runs_dir, copy := runs_dir.with_name("copy"))
    experiment.from_scratch("03_transfer", prepared, "multiclass", RECIPE, 1, copy, again=True)
    assert len(trainings) == 1


def test_a_run_whose_model_was_deleted_is_trained_again(prepared, finished, trainings, tmp_path):
    shutil.copytree(finished[0], tmp_path / "runs")
    (tmp_path / "runs" / finished[1].folder.name / "model.keras").unlink()
    experiment.from_scratch("02_cnn_training", prepared, "multiclass", RECIPE, 1, tmp_path / "runs")
    assert len(trainings) == 1


def test_training_gets_the_training_and_validation_rows_and_never_opens_the_test_rows(
    prepared, trainings, tmp_path, monkeypatch
):
    folder = tmp_path / prepared.folder.name
    shutil.copytree(prepared.folder, folder)
    (folder / "test.parquet").unlink()
    untested = dataclasses.replace(prepared, folder=folder)
    monkeypatch.setattr(runs, "save", lambda *given: given[-1])  # scoring needs them; training must have ended by then
    experiment.from_scratch("02_cnn_training", untested, "multiclass", RECIPE, 1, tmp_path / "runs")
    for role, found, size in zip(("train", "validation"), trainings[0]["rows"], (288, 32), strict=True):
        assert len(found[1]) == size
        assert same_weights(list(found), list(prepare.load(prepared, role)))


def test_transfer_never_opens_the_test_rows_and_leaves_the_source_run_as_it_was(
    prepared, finished, tmp_path, monkeypatch
):
    folder = tmp_path / prepared.folder.name
    shutil.copytree(prepared.folder, folder)
    (folder / "test.parquet").unlink()
    untested, source = dataclasses.replace(prepared, folder=folder), finished[1]
    before = source.model_path.read_bytes()
    monkeypatch.setattr(runs, "save", lambda *given: given)
    *_, done, came_from = experiment.transferred(
        "03_transfer", untested, source, "paper", "binary", RECIPE, 1, tmp_path / "runs"
    )
    assert came_from is source and source.model_path.read_bytes() == before
    assert done.model.output_shape == (None, 2)


def test_a_binary_run_has_two_classes_and_counts_every_attack_as_one(prepared, trainings, monkeypatch):
    monkeypatch.setattr(runs, "save", lambda *given: given)
    experiment.from_scratch("02_cnn_training", prepared, "binary", RECIPE, 1, "runs")
    assert trainings[0]["n_classes"] == 2
    assert set(prepare.load(prepared, "train", "binary")[1].tolist()) == {0, 1}


def test_an_unknown_task_is_one_sentence_before_anything_is_trained(prepared, trainings, tmp_path):
    with pytest.raises(InputError, match="expected task to be multiclass or binary, found 'ternary'"):
        experiment.from_scratch("02_cnn_training", prepared, "ternary", RECIPE, 1, tmp_path)
    assert not trainings


@pytest.mark.parametrize(
    "slug, source",
    [
        ("nf-bot-iot", "nf-uq-nids"), ("nf-uq-nids", "nf-uq-nids"), ("nf-ton-iot-v2", "nf-uq-nids-v2"),
        ("mqtt-iot-ids2020", "cic-ton-iot"), ("cic-ton-iot", "iot-ds2"),
    ],
)  # fmt: skip
def test_a_catalog_datasets_source_is_the_catalogs(prepared, slug, source):
    assert experiment.source_of(as_dataset(prepared, slug)) == source


def test_a_users_own_flows_start_from_their_familys_largest(prepared):
    assert experiment.source_of(prepared) == "nf-uq-nids"
    assert experiment.source_of(dataclasses.replace(prepared, family="cicflow")) == "cic-ton-iot"
    assert experiment.source_of(dataclasses.replace(prepared, name="nf-ton-iot-v2")) == "nf-uq-nids"


def test_a_source_that_is_asked_for_is_taken(prepared):
    assert experiment.source_of(prepared, "nf-ton-iot") == "nf-ton-iot"


def test_an_unknown_source_is_one_sentence_with_the_slugs(prepared):
    with pytest.raises(InputError, match=r"expected a source of the catalog \(nf-bot-iot, .*found 'imagenet'"):
        experiment.source_of(prepared, "imagenet")


def test_a_source_of_another_family_is_refused_before_it_is_trained(prepared):
    with pytest.raises(InputError, match="expected a source of the netflow family.*cic-ton-iot is of the cicflow"):
        experiment.source_of(prepared, "cic-ton-iot")
    cicflow = dataclasses.replace(prepared, family="cicflow", features=CICFLOW_FEATURES)
    with pytest.raises(InputError, match="expected a source of the cicflow family"):
        experiment.source_of(cicflow, "nf-uq-nids")


def test_both_protocols_are_offered_for_a_part_of_the_source_and_one_for_anything_else(prepared):
    part, whole = as_dataset(prepared, "nf-ton-iot"), as_dataset(prepared, "nf-uq-nids")
    assert experiment.protocols_for(part, "nf-uq-nids", "both") == ["paper", "leave_target_out"]
    assert experiment.protocols_for(whole, "nf-uq-nids", "both") == ["paper"]
    assert experiment.protocols_for(prepared, "nf-uq-nids", "both") == ["paper"]
    assert experiment.protocols_for(part, "nf-uq-nids", "leave_target_out") == ["leave_target_out"]


def test_an_unknown_protocol_is_one_sentence(prepared):
    with pytest.raises(InputError, match="expected protocol to be paper, leave_target_out or both, found 'theirs'"):
        experiment.protocols_for(prepared, "nf-uq-nids", "theirs")
    with pytest.raises(InputError, match="expected protocol to be one of paper, leave_target_out, found 'both'"):
        experiment.prepare_source(prepared, "nf-uq-nids", "both", "data", False)


@pytest.mark.parametrize(
    "slug, protocol, without",
    [
        ("nf-ton-iot", "paper", ""), ("nf-ton-iot", "leave_target_out", "nf-ton-iot"), ("nf-uq-nids", "paper", ""),
        ("nf-ton-iot-v2", "leave_target_out", ""),
    ],
)  # fmt: skip
def test_the_source_is_prepared_as_the_target_is_and_without_it_under_leave_target_out(
    prepared, preparations, slug, protocol, without
):
    target = as_dataset(prepared, slug, split="grouped", seed=7, rows=1000)
    experiment.prepare_source(target, "nf-uq-nids", protocol, "data", True, print)
    assert preparations == [("nf-uq-nids", "data", "grouped", 7, 1000, True, without, print)]


def test_a_source_cannot_be_left_out_of_itself(prepared, preparations):
    whole = as_dataset(prepared, "nf-uq-nids")
    with pytest.raises(InputError, match="more than NF-UQ-NIDS itself, found nf-uq-nids: use protocol=paper"):
        experiment.prepare_source(whole, "nf-uq-nids", "leave_target_out", "data", False)
    assert not preparations


def test_a_missing_source_model_is_announced_with_rows_epochs_and_a_duration(prepared, tmp_path):
    sentence = experiment.source_sentence(prepared, Recipe(epochs=50), 1, tmp_path)
    assert "missing" in sentence and "288 rows for at most 50 epochs" in sentence
    assert sentence.endswith("up to 1 s on two cores")  # 288 x 50 / 12,000 = 1.2


@pytest.mark.parametrize("rows, text", [(240, "1 s"), (24_000, "100 s"), (720_000, "50 min"), (9_595_914, "11 h")])
def test_the_announced_duration_has_a_unit_a_person_would_choose(prepared, tmp_path, rows, text):
    counts = {**prepared.counts, "train": {"Benign": rows}}
    sentence = experiment.source_sentence(dataclasses.replace(prepared, counts=counts), Recipe(), 1, tmp_path)
    assert f"up to {text} on two cores" in sentence


def test_a_source_model_that_is_there_is_said_to_be_there(prepared, finished):
    runs_dir, run = finished
    sentence = experiment.source_sentence(prepared, RECIPE, 1, runs_dir)
    assert sentence == f"the source model is there ({run.folder.name})"


def test_the_sweep_varies_one_hyper_parameter_of_the_papers_at_a_time_and_reads_no_test_row(
    prepared, trainings, monkeypatch
):
    roles, load = [], prepare.load
    monkeypatch.setattr(prepare, "load", lambda p, role, task: roles.append(role) or load(p, role, task))
    told = []
    table = experiment.sweep(prepared, "multiclass", RECIPE, 1, told.append)
    assert set(roles) == {"train", "validation"} and told == [1] * 11
    varied = [("learning_rate", v) for v in (0.01, 0.001, 0.0001)]
    varied += [("epochs", v) for v in (20, 50, 100)] + [("batch_size", v) for v in (16, 32, 64, 128, 256)]
    assert list(zip(table["parameter"], table["value"], strict=True)) == varied
    assert [seen["recipe"] for seen in trainings] == [dataclasses.replace(RECIPE, **{k: v}) for k, v in varied]


def test_the_sweep_scores_the_best_epoch_on_validation_rows(prepared, monkeypatch):
    history = {"val_loss": [3.0, 1.0, 2.0], "val_accuracy": [0.1, 0.6, 0.9]}
    done = training.trained(None, history, [1.0, 1.0, 1.0], 0.5)
    monkeypatch.setattr(training, "train_from_scratch", lambda *_: done)
    table = experiment.sweep(prepared, "multiclass", RECIPE, 1)
    assert set(table["val_accuracy"]) == {0.6} and set(table["epochs"]) == {3} and set(table["seconds"]) == {3.5}


def test_the_small_dataset_of_these_tests_is_what_they_take_it_for(prepared):
    assert prepared.classes == CLASSES and prepared.mark == "own" and prepared.version == 0
    assert [prepared.size(role) for role in ("train", "validation", "test")] == [288, 32, 80]


def test_hidden_features_say_nothing_in_training_and_in_the_test(prepared, trainings, monkeypatch):
    seen = []
    monkeypatch.setattr(experiment, "predict", lambda model, rows: seen.append(rows) or np.eye(4)[[0] * 80])
    found = experiment.scores_without(prepared, "multiclass", ("L4_SRC_PORT", "L4_DST_PORT"), RECIPE, 1)
    (asked,) = trainings
    for rows in (asked["rows"][0][0], asked["rows"][1][0], seen[0]):
        assert not rows[:, :2].any() and rows[:, 2:].any(axis=0).all()
    assert found["accuracy"] == 0.25  # 80 test rows of four classes, all taken for the first
