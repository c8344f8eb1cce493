"""Train here, test there: which pairs, which rows, and what a network with opposite labels makes of it."""

import dataclasses

import numpy as np
import pytest
from small_flows import BRIEF, CLASSES, rows, write_csv

from tlids_helpers.audit import cross
from tlids_helpers.common.errors import InputError
from tlids_helpers.data import prepare
from tlids_helpers.data.catalog import CICFLOW_FEATURES, DATASETS
from tlids_helpers.network import training, transfer
from tlids_helpers.results import metrics, runs


@pytest.fixture(scope="module")
def two(tmp_path_factory):
    """(home, office): the same traffic, but what is benign at home is ddos in the office and the other way round."""
    folder = tmp_path_factory.mktemp("two")
    swapped = (CLASSES[1], CLASSES[0], *CLASSES[2:])
    files = write_csv(folder / "home.csv", seed=1), write_csv(folder / "office.csv", seed=2, classes=swapped)
    return [prepare.prepare(str(file), folder / "data") for file in files]


@pytest.fixture(scope="module")
def runs_dir(tmp_path_factory):
    return tmp_path_factory.mktemp("runs")


@pytest.fixture(scope="module")
def told():
    """What a bar over the pairs was told."""
    return []


@pytest.fixture(scope="module")
def frame(two, runs_dir, told):
    return cross.matrix(two, BRIEF, seed=3, runs_dir=runs_dir, fractions=(1.0,), progress=told.append)


def test_a_bar_counts_the_pairs(frame, told):
    assert told == [1] * 4


def test_every_ordered_pair_has_its_arms_and_the_diagonal_is_zero_shot_alone(frame):
    found = {pair: list(group["arm"]) for pair, group in frame.groupby(["source", "target"], sort=False)}
    zero = ["CNN, zero-shot", "extra trees, zero-shot"]
    tuned = ["CNN, fine-tuned on 100 %"]
    assert found == {
        ("home", "home"): zero, ("home", "office"): zero + tuned,
        ("office", "home"): zero + tuned, ("office", "office"): zero,
    }  # fmt: skip
    assert set(metrics.ALL_SCORES) < set(frame) and set(frame["mark"]) == {"own"} and set(frame["seed"]) == {3}


def test_trees_that_are_right_at_home_take_the_offices_benign_for_attacks_and_its_ddos_for_benign(frame):
    trees = frame[frame["model"] == "extra trees"].set_index(["source", "target"])
    home, office = trees.loc[("home", "home")], trees.loc[("home", "office")]
    assert (home["benign"], home["attacks"]) == (office["benign"], office["attacks"]) == (20, 60)
    assert home["found"] >= 58 and home["false_alarms"] <= 2
    assert office["false_alarms"] >= 18  # the office's benign rows are home's ddos
    assert 38 <= office["found"] <= 42  # its 20 ddos rows are home's benign, the other 40 attacks are attacks


def test_fine_tuning_takes_the_share_of_the_targets_training_and_validation_rows_and_no_others(
    two, runs_dir, monkeypatch
):
    seen, original = [], transfer.train_transferred

    def note(source, *given):
        seen.append(given[:2])
        return original(source, *given)

    monkeypatch.setattr(transfer, "train_transferred", note)
    home, office = two
    frame = cross.pair(cross.train(home, BRIEF, 3, runs_dir), office, (0.1, 1.0))
    assert frame["target_rows"].tolist() == [0, 0, 29 + 3, 288 + 32]
    assert frame["arm"].tolist()[2:] == ["CNN, fine-tuned on 10 %", "CNN, fine-tuned on 100 %"]
    for few, whole, role in zip(*seen, ("train", "validation"), strict=True):
        assert [len(few[1]), len(whole[1])] == ([29, 288] if role == "train" else [3, 32])
        everything = prepare.load(office, role, "binary")
        assert all(np.array_equal(a, b) for a, b in zip(whole, everything, strict=True))
        known = {row.tobytes() for row in everything[0]}
        assert all(row.tobytes() in known for row in few[0])


def test_the_zero_shot_arm_is_the_sources_own_run(two, runs_dir, frame):
    run = runs.find(runs_dir, runs.run_name(two[0], "binary", "scratch", BRIEF, 3))
    own = frame[(frame["source"] == "home") & (frame["target"] == "home") & (frame["model"] == "CNN")].iloc[0]
    for name, value in run.result["scores"].items():
        assert own[name] == pytest.approx(value), name


def test_fine_tuning_on_the_whole_target_is_plain_transfer(two, runs_dir, frame):
    home, office = two
    trained = cross.train(home, BRIEF, 3, runs_dir)
    source = transfer.load_source(trained.run.model_path, home.features, trained.run.result)
    data = [prepare.load(office, role, "binary") for role in ("train", "validation")]
    fitted = transfer.train_transferred(source, *data, 2, BRIEF, 3)
    saved = runs.save(runs_dir, "x", office, "binary", "paper", BRIEF, 3, fitted, trained.run)
    ours = frame[(frame["source"] == "home") & (frame["fraction"] == 1)].iloc[0]
    assert ours["macro_f1"] == pytest.approx(saved.result["scores"]["macro_f1"])


def test_the_source_is_trained_once_and_taken_as_it_is(two, runs_dir, frame, monkeypatch):
    monkeypatch.setattr(training, "train_from_scratch", None)
    assert cross.train(two[0], BRIEF, 3, runs_dir).run.folder.is_dir()


def test_a_share_is_stratified_keeps_every_class_and_the_order():
    features, codes = rows(1000, n_classes=2)[0], np.repeat([0, 1], [900, 100]).astype(np.int32)
    features[:, 0] = np.arange(1000)
    few, found = cross.share_of((features, codes), 0.1, seed=1)
    assert np.bincount(found).tolist() == [90, 10]
    assert (np.diff(few[:, 0]) > 0).all() and (codes[few[:, 0].astype(int)] == found).all()
    assert not np.array_equal(few, cross.share_of((features, codes), 0.1, seed=2)[0])
    rare = np.array([0] * 999 + [1], np.int32)
    assert np.bincount(cross.share_of((features, rare), 0.01, seed=1)[1]).tolist() == [10, 1]
    whole = cross.share_of((features, codes), 1.0, seed=1)
    assert np.array_equal(whole[0], features) and np.array_equal(whole[1], codes)
    for fraction in (0, 1.5):
        with pytest.raises(InputError, match="a fraction above 0 and at most 1"):
            cross.share_of((features, codes), fraction, seed=1)


def as_dataset(prepared, slug: str):
    return dataclasses.replace(prepared, name=slug, parts=dict.fromkeys(DATASETS[slug].parts or (slug,), {}))


def test_a_union_and_its_part_or_two_versions_of_one_dataset_are_no_pair(two):
    slugs = ("nf-bot-iot", "nf-uq-nids", "nf-bot-iot-v2", "nf-ton-iot-v2", "iot-ds2")
    datasets = [as_dataset(two[0], slug) for slug in slugs]
    datasets[-1] = dataclasses.replace(datasets[-1], features=CICFLOW_FEATURES)
    found = [(source.name, target.name) for source, target in cross.pairs(datasets) if source is not target]
    assert found == [
        ("nf-bot-iot", "nf-ton-iot-v2"), ("nf-bot-iot-v2", "nf-ton-iot-v2"),
        ("nf-ton-iot-v2", "nf-bot-iot"), ("nf-ton-iot-v2", "nf-bot-iot-v2"),
    ]  # fmt: skip
    source = cross.Source(datasets[1], None, None, BRIEF, 3)
    for target in (datasets[0], datasets[-1]):
        with pytest.raises(InputError, match="expected another network with the features of home"):
            cross.pair(source, target)


def test_the_sources_mark_stands_beside_the_targets(two, runs_dir):
    home, office = two
    source = dataclasses.replace(
        cross.train(home, BRIEF, 3, runs_dir), prepared=dataclasses.replace(home, mark="simulated")
    )
    assert set(cross.pair(source, office, ())["mark"]) == {"own, source simulated"}


def test_the_sentence_adds_up_the_pairs_of_different_datasets(frame):
    shown = frame[(frame["arm"] == "CNN, zero-shot") & (frame["source"] != frame["target"])]
    said = cross.sentence(frame)
    assert f"finds {shown['found'].sum()} of 120 attack flows" in said
    assert said.endswith(f"alarms on {shown['false_alarms'].sum()} of 40 benign ones, over 2 pairs.")
    assert cross.sentence(frame[frame["source"] == frame["target"]]) == "No two of the datasets can be compared."
