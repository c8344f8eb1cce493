"""Train here, test there: which pairs, which rows, and how far flows differ, bins and logarithms by hand."""

import dataclasses
import math

import numpy as np
import pandas as pd
import pytest
from small_flows import BRIEF, CLASSES, rows, write_csv

from tlids_helpers import audit, experiment
from tlids_helpers.audit import networks
from tlids_helpers.common.errors import InputError
from tlids_helpers.data import prepare
from tlids_helpers.data.catalog import CICFLOW_FEATURES, DATASETS, NETFLOW_FEATURES
from tlids_helpers.network import training, transfer
from tlids_helpers.results import metrics
from tlids_helpers.results.runs import Setup


@pytest.fixture(scope="module")
def two(tmp_path_factory):
    """(home, office): the same traffic, but what is benign at home is ddos in the office and the other way round."""
    folder = tmp_path_factory.mktemp("two")
    swapped = (CLASSES[1], CLASSES[0], *CLASSES[2:])
    files = write_csv(folder / "home.csv", seed=1), write_csv(folder / "office.csv", seed=2, classes=swapped)
    return [prepare.prepare(str(file), folder / "data") for file in files]


@pytest.fixture(scope="module")
def setup(tmp_path_factory):
    return Setup("binary", BRIEF, 3, tmp_path_factory.mktemp("runs"))


@pytest.fixture(scope="module")
def frame(two, setup):
    trained = {id(source): networks.train(source, setup) for source in two}
    return pd.concat([networks.pair(trained[id(source)], target, (1.0,)) for source, target in networks.pairs(two)],
                     ignore_index=True)  # fmt: skip


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


def test_fine_tuning_takes_the_share_of_the_targets_training_and_validation_rows_and_no_others(two, setup, monkeypatch):
    seen, original = [], transfer.train_transferred

    def note(source, *given):
        seen.append(given[:2])
        return original(source, *given)

    monkeypatch.setattr(transfer, "train_transferred", note)
    home, office = two
    frame = networks.pair(networks.train(home, setup), office, (0.1, 1.0))
    assert frame["target_rows"].tolist() == [0, 0, 29 + 3, 288 + 32]
    assert frame["arm"].tolist()[2:] == ["CNN, fine-tuned on 10 %", "CNN, fine-tuned on 100 %"]
    for few, whole, role in zip(*seen, ("train", "validation"), strict=True):
        assert [len(few[1]), len(whole[1])] == ([29, 288] if role == "train" else [3, 32])
        everything = prepare.load(office, role, "binary")
        assert all(np.array_equal(a, b) for a, b in zip(whole, everything, strict=True))
        known = {row.tobytes() for row in everything[0]}
        assert all(row.tobytes() in known for row in few[0])


def test_the_zero_shot_arm_is_the_sources_own_run(two, setup, frame):
    run = experiment.from_scratch(two[0], setup)
    own = frame[(frame["source"] == "home") & (frame["target"] == "home") & (frame["model"] == "CNN")].iloc[0]
    for name, value in run.result["scores"].items():
        assert own[name] == pytest.approx(value), name


def test_fine_tuning_on_the_whole_target_is_plain_transfer(two, setup, frame):
    home, office = two
    saved = experiment.transferred(office, networks.train(home, setup).run, "paper", setup)
    ours = frame[(frame["source"] == "home") & (frame["fraction"] == 1)].iloc[0]
    assert ours["macro_f1"] == pytest.approx(saved.result["scores"]["macro_f1"])


def test_the_source_is_trained_once_and_taken_as_it_is(two, setup, frame, monkeypatch):
    monkeypatch.setattr(training, "train_from_scratch", None)
    assert networks.train(two[0], setup).run.folder.is_dir()


def test_a_share_is_stratified_keeps_every_class_and_the_order():
    features, codes = rows(1000, n_classes=2)[0], np.repeat([0, 1], [900, 100]).astype(np.int32)
    features[:, 0] = np.arange(1000)
    few, found = networks.share_of((features, codes), 0.1, seed=1)
    assert np.bincount(found).tolist() == [90, 10]
    assert (np.diff(few[:, 0]) > 0).all() and (codes[few[:, 0].astype(int)] == found).all()
    assert not np.array_equal(few, networks.share_of((features, codes), 0.1, seed=2)[0])
    rare = np.array([0] * 999 + [1], np.int32)
    assert np.bincount(networks.share_of((features, rare), 0.01, seed=1)[1]).tolist() == [10, 1]
    whole = networks.share_of((features, codes), 1.0, seed=1)
    assert np.array_equal(whole[0], features) and np.array_equal(whole[1], codes)
    for fraction in (0, 1.5):
        with pytest.raises(InputError, match="a fraction above 0 and at most 1"):
            networks.share_of((features, codes), fraction, seed=1)


def as_dataset(prepared, slug: str):
    return dataclasses.replace(prepared, name=slug, parts=dict.fromkeys(DATASETS[slug].parts or (slug,), {}))


def test_a_union_and_its_part_or_two_versions_of_one_dataset_are_no_pair(two):
    slugs = ("nf-bot-iot", "nf-uq-nids", "nf-bot-iot-v2", "nf-ton-iot-v2", "iot-ds2")
    datasets = [as_dataset(two[0], slug) for slug in slugs]
    datasets[-1] = dataclasses.replace(datasets[-1], features=CICFLOW_FEATURES)
    found = [(source.name, target.name) for source, target in networks.pairs(datasets) if source is not target]
    assert found == [
        ("nf-bot-iot", "nf-ton-iot-v2"), ("nf-bot-iot-v2", "nf-ton-iot-v2"),
        ("nf-ton-iot-v2", "nf-bot-iot"), ("nf-ton-iot-v2", "nf-bot-iot-v2"),
    ]  # fmt: skip


def test_the_sources_mark_stands_beside_the_targets(two, setup):
    home, office = two
    source = dataclasses.replace(networks.train(home, setup), prepared=dataclasses.replace(home, mark="simulated"))
    assert set(networks.pair(source, office, ())["mark"]) == {"own, source simulated"}


def test_the_sentence_adds_up_the_pairs_of_different_datasets(two, setup, frame):
    shown = frame[(frame["arm"] == "CNN, zero-shot") & (frame["source"] != frame["target"])]
    check = audit.cross(two, setup, fractions=())
    assert f"finds {shown['found'].sum()} of 120 attack flows" in check.sentence
    assert check.sentence.endswith(f"alarms on {shown['false_alarms'].sum()} of 40 benign ones, over 2 pairs.")
    assert audit.cross(two[:1], setup).sentence == "No two of the datasets can be compared."


def by_hand(source: list[float], target: list[float]) -> float:
    """From rows in each bin, half a row added to each."""
    q, p = ([(rows + 0.5) / (sum(side) + 0.5 * len(side)) for rows in side] for side in (source, target))
    return sum((b - a) * math.log(b / a) for a, b in zip(q, p, strict=True))


def test_a_feature_of_two_values_has_a_bin_for_each_and_one_for_all_others():
    source, target = np.repeat([6, 17], [50, 50]), np.repeat([6, 17], [25, 75])
    assert networks.psi(source, target) == pytest.approx(by_hand([50, 50, 0], [25, 75, 0]))
    # without smoothing, on paper: 0.25 ln 2 + 0.25 ln 1.5
    assert networks.psi(source, target) == pytest.approx(0.25 * math.log(2) + 0.25 * math.log(1.5), abs=0.01)
    other = np.repeat([6, 1, 99, 17], [40, 30, 20, 10])
    assert networks.psi(source, other) == pytest.approx(by_hand([50, 50, 0], [40, 10, 50]))


def test_many_values_are_cut_at_the_deciles_of_the_source():
    source = np.arange(100.0)
    assert networks.psi(source, source[::-1]) == 0
    assert networks.psi(source, source + 1000) == pytest.approx(by_hand([10] * 10, [0] * 9 + [100]))
    assert networks.psi(source, source - 1000) == pytest.approx(by_hand([10] * 10, [100] + [0] * 9))
    assert networks.psi(source, np.array([9.0, 9.5])) == pytest.approx(by_hand([10] * 10, [1, 1] + [0] * 8))


def test_a_value_that_fills_several_deciles_is_one_bin():
    source = np.concatenate([np.zeros(75), np.arange(1.0, 26.0)])  # deciles 0, ..., 0, then 5, 15
    assert networks.psi(source, source) == 0
    assert networks.psi(source, np.zeros(10)) == pytest.approx(by_hand([75, 5, 10, 10], [10, 0, 0, 0]))


def test_a_constant_source_sees_whatever_else_comes():
    assert networks.psi(np.zeros(20), np.zeros(50)) == pytest.approx(by_hand([20, 0], [50, 0]))
    for value in (-1.0, 1.0):
        assert networks.psi(np.zeros(20), np.full(20, value)) == pytest.approx(by_hand([20, 0], [0, 20]))


def test_rows_are_needed_on_both_sides():
    with pytest.raises(InputError, match="found 0 and 3"):
        networks.psi(np.array([]), np.arange(3))


@pytest.fixture(scope="module")
def home_and_away(tmp_path_factory):
    """(a network, another on which IN_BYTES alone is a thousand times as large)"""
    # of one name, so that both are split alike
    folders = [tmp_path_factory.mktemp(name) for name in ("home", "office")]
    lines = write_csv(folders[0] / "flows.csv").read_text().splitlines()
    column = NETFLOW_FEATURES.index("IN_BYTES")
    shifted = [line.split(",") for line in lines[1:]]
    for row in shifted:
        row[column] = str(int(row[column]) * 1000 + 10**8)
    (folders[1] / "flows.csv").write_text("\n".join([lines[0], *map(",".join, shifted)]) + "\n")
    return [prepare.prepare(str(folder / "flows.csv"), folder / "data") for folder in folders]


@pytest.mark.parametrize("benign_only", [False, True])
def test_only_the_feature_that_differs_is_found_to_differ(home_and_away, benign_only):
    check = audit.drift(*home_and_away, benign_only=benign_only)
    frame = check.table
    assert frame["feature"][0] == "IN_BYTES" and sorted(frame["feature"]) == sorted(NETFLOW_FEATURES)
    assert frame["shift"].tolist() == ["large"] + ["small"] * 8
    assert np.allclose(frame["psi"][1:], 0)  # the same rows, the same split
    assert set(frame["target_rows"]) == {72 if benign_only else 288}
    assert frame.columns.name == "own"
    assert check.sentence.startswith("Of 9 features 1 shift by a PSI of 0.25 or more and 0 by 0.1 to 0.25; IN_BYTES")


def test_the_psi_of_the_table_is_that_of_the_training_rows(home_and_away):
    frame = audit.drift(*home_and_away).table.set_index("feature")
    sides = [prepare.load(one, "train")[0][:, NETFLOW_FEATURES.index("IN_BYTES")] for one in home_and_away]
    assert frame.loc["IN_BYTES", "psi"] == networks.psi(*sides)


def test_other_features_cannot_be_compared_and_the_sources_mark_stands_beside(home_and_away):
    check = audit.drift(home_and_away[0], dataclasses.replace(home_and_away[1], features=CICFLOW_FEATURES))
    assert not check.possible and "the features of flows" in check.sentence and "one family" in check.sentence
    simulated = dataclasses.replace(home_and_away[0], mark="simulated")
    assert audit.drift(simulated, home_and_away[1]).table.columns.name == "own, source simulated"
