"""Four arms of transfer: what each trains on first, and how many test rows it has seen."""

import dataclasses

import numpy as np
import pytest
from hand_made import hand_made

from tlids_helpers.audit import overlap
from tlids_helpers.common.errors import InputError
from tlids_helpers.data import prepare
from tlids_helpers.data.catalog import DATASETS
from tlids_helpers.network.recipe import Recipe
from tlids_helpers.results import runs

CLASSES = ("Benign", "DoS")


@pytest.fixture
def target(four_parts, data_dir):
    return prepare.prepare("nf-bot-iot", data_dir, allow_subset=True)


def by_arm(frame) -> dict[str, dict]:
    return frame.set_index("arm").to_dict("index")


def test_the_arms_on_rows_that_are_all_different(target, data_dir, rows_of, part_frames):
    found = by_arm(overlap.table(target, "nf-uq-nids", data_dir, True))
    assert tuple(found) == overlap.ARMS
    test = set(rows_of(target, "test"))
    # every row has its own number, so the oracle is a set; only the published arm has the test rows in its training
    published = overlap.prepare_arm(target, "nf-uq-nids", overlap.PUBLISHED, data_dir, True)
    expected = len(test & set(rows_of(published, "train")))
    assert 0.5 * len(test) < expected < len(test)  # about 72 %
    counts = {arm: (row["twins"], row["twins_labelled"], row["new"]) for arm, row in found.items()}
    assert counts == {
        overlap.SCRATCH: (0, 0, 0),
        overlap.PUBLISHED: (expected, expected, expected),
        overlap.NO_TARGET: (0, 0, 0),
        overlap.NO_TEST_ROWS: (0, 0, 0),
    }
    assert found[overlap.SCRATCH]["train_rows"] == target.size("train")
    parts = sum(len(frame) for slug, frame in part_frames.items() if slug != "nf-bot-iot")
    assert found[overlap.NO_TARGET]["train_rows"] == pytest.approx(0.72 * parts, abs=5)
    assert {row["test_rows"] for row in found.values()} == {len(test)}
    assert found[overlap.PUBLISHED]["share"] == expected / len(test)


def test_the_source_without_the_target_has_none_of_its_rows_and_the_last_arm_all_but_the_test_rows(
    target, data_dir, rows_of
):
    rows = {arm: overlap.prepare_arm(target, "nf-uq-nids", arm, data_dir, True) for arm in overlap.ARMS[1:]}
    own = set(rows_of(target, "train", "validation", "test"))
    assert not own & set(rows_of(rows[overlap.NO_TARGET], "train", "validation", "test"))
    assert own & set(rows_of(rows[overlap.NO_TEST_ROWS], "train")) == set(rows_of(target, "train"))
    assert overlap.prepare_arm(target, "nf-uq-nids", overlap.SCRATCH, data_dir) is target


def fixed_arms(monkeypatch, arms: dict):
    monkeypatch.setattr(overlap, "prepare_arm", lambda target, source, arm, *_: arms[arm])
    monkeypatch.setattr(overlap, "arms_for", lambda target, source: tuple(arms))


def test_twins_and_new_twins_by_hand(tmp_path, monkeypatch):
    target = hand_made(
        tmp_path / "t", ("Benign", "DoS attacks-Hulk"), mark="subset",
        train=[(1, "Benign"), (9, "Benign")], test=[(1, "Benign"), (2, "Benign"), (3, "DoS attacks-Hulk")],
    )  # fmt: skip
    source = hand_made(
        tmp_path / "s", CLASSES, mark="simulated", train=[(1, "Benign"), (2, "DoS"), (3, "DoS"), (3, "DoS"), (7, "DoS")]
    )
    fixed_arms(monkeypatch, {overlap.SCRATCH: target, overlap.PUBLISHED: source})
    frame = overlap.table(target, "nf-uq-nids")
    found = by_arm(frame)
    assert [found[overlap.SCRATCH][name] for name in ("twins", "twins_labelled", "new")] == [1, 1, 0]
    # 1, 2 and 3 are in the source, 2 under another class; Hulk is called DoS there; 1 is in the target's training too
    assert [found[overlap.PUBLISHED][name] for name in ("twins", "twins_labelled", "new")] == [3, 2, 2]
    assert [row["mark"] for row in found.values()] == ["subset", "subset, source simulated"]
    assert "simulated" in frame.columns.name
    assert overlap.sentence(frame) == (
        "Of 3 test rows, these equal a training row: scratch 1 (0 of them new); as published 3 (2 of them new)."
    )


def test_a_source_that_is_no_union_keeps_its_own_class_names(tmp_path, monkeypatch):
    target = hand_made(tmp_path / "t", ("Benign", "dos"), train=[(9, "dos")], test=[(1, "dos"), (2, "dos")])
    source = hand_made(tmp_path / "s", ("Benign", "dos", "DoS"), train=[(1, "dos"), (2, "DoS")])
    fixed_arms(monkeypatch, {overlap.SCRATCH: target, overlap.PUBLISHED: source})
    assert by_arm(overlap.table(target, "nf-bot-iot"))[overlap.PUBLISHED]["twins_labelled"] == 1


def test_a_target_that_is_no_part_of_the_source_cannot_be_left_out_of_it(target):
    assert overlap.arms_for(target, "nf-uq-nids") == overlap.ARMS
    own = dataclasses.replace(target, name="home")
    assert overlap.arms_for(own, "nf-uq-nids") == (overlap.SCRATCH, overlap.PUBLISHED)


def test_the_published_arm_is_a_random_split_of_its_own_even_for_a_grouped_target(target, monkeypatch):
    asked = []
    monkeypatch.setattr(prepare, "prepare", lambda *given: asked.append(given))
    overlap.prepare_arm(
        dataclasses.replace(target, split="grouped", rows=500), "nf-uq-nids", overlap.PUBLISHED, "d", True
    )
    assert asked == [("nf-uq-nids", "d", "paper", target.seed + 1, 500, True)]


def test_an_unknown_arm_and_another_family_are_refused(target, data_dir, tmp_path, monkeypatch):
    with pytest.raises(InputError, match="expected arm to be one of scratch, .*, found 'third'"):
        overlap.prepare_arm(target, "nf-uq-nids", "third", data_dir)
    other = dataclasses.replace(target, features=DATASETS["cic-ton-iot"].columns[:9])
    fixed_arms(monkeypatch, {overlap.SCRATCH: other})
    with pytest.raises(InputError, match="expected the features of NF-BoT-IoT"):
        overlap.table(target, "nf-uq-nids")


def test_the_published_arm_is_another_draw_than_the_last_one(target, data_dir):
    arms = [
        overlap.prepare_arm(target, "nf-uq-nids", arm, data_dir, True)
        for arm in (overlap.PUBLISHED, overlap.NO_TEST_ROWS)
    ]
    one, other = (prepare.load(arm, "train")[0] for arm in arms)
    assert not np.array_equal(one, other)


def test_each_arm_is_trained_on_its_own_source_and_scored_on_the_targets_test_rows(target, data_dir, tmp_path):
    frame = overlap.trained(target, "nf-uq-nids", "multiclass", Recipe(epochs=1), 42, tmp_path, data_dir, True)
    assert frame["arm"].tolist() == list(overlap.ARMS) and set(frame["test_rows"]) == {target.size("test")}
    for row in frame.itertuples():
        assert row.accuracy == pytest.approx(1 - row.wrong / row.test_rows)
    made = {run["run"]: run for run in runs.collect(tmp_path)}
    arms = {run["protocol"]: made[run["source_run"]] for run in made.values() if run["protocol"] != "scratch"}
    assert set(arms) == set(overlap.PROTOCOLS.values())
    for arm, protocol in overlap.PROTOCOLS.items():
        known = overlap.prepare_arm(target, "nf-uq-nids", arm, data_dir, True)
        assert (arms[protocol]["dataset"], arms[protocol]["rows"]["train"]) == (known.name, known.size("train"))
    wrong = frame["wrong"].tolist()
    assert overlap.trained_sentence(frame).endswith(
        f"on one seed: scratch {wrong[0]:,}; as published {wrong[1]:,}; "
        f"source without the target {wrong[2]:,}; source without the target's test rows {wrong[3]:,}."
    )
