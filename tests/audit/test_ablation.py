"""Which columns each set has, and that its score is of those columns alone."""

import dataclasses
import shutil

import numpy as np
import pytest
from hand_made import hand_made
from sklearn.ensemble import ExtraTreesClassifier
from sklearn.metrics import accuracy_score, f1_score

from tlids_helpers.audit import ablation
from tlids_helpers.common.errors import InputError
from tlids_helpers.data import prepare
from tlids_helpers.data.catalog import CICFLOW_FEATURES, NETFLOW_FEATURES

CLASSES = ("Benign", "DoS", "Theft")
DST = NETFLOW_FEATURES.index("L4_DST_PORT")
SIZE = NETFLOW_FEATURES.index("IN_BYTES")


def flow(port: float, size: float, code: int) -> tuple[list[float], str]:
    """A row in which the destination port and IN_BYTES alone have something to say."""
    row = [7.0] * 9
    row[DST], row[SIZE] = port, size
    return row, CLASSES[code]


@pytest.fixture
def prepared(tmp_path):
    """The port tells Benign (443) from the attacks (80), IN_BYTES tells DoS from Theft."""
    flows = [flow(443, 10, 0), flow(443, 900, 0), flow(80, 10, 1), flow(80, 10, 1), flow(80, 900, 2)] * 8
    return hand_made(tmp_path / "p", CLASSES, train=flows, validation=flows, test=[*flows, flow(5555, 10, 1)])


def test_the_sets_of_both_families():
    sets = ablation.feature_sets(NETFLOW_FEATURES)
    assert list(sets)[:4] == ["all features", "no ports", "ports only", "destination port only"] and len(sets) == 13
    assert sets["all features"] == NETFLOW_FEATURES and sets["no ports"] == NETFLOW_FEATURES[2:]
    assert sets["ports only"] == ("L4_SRC_PORT", "L4_DST_PORT") and sets["destination port only"] == ("L4_DST_PORT",)
    assert all(set(NETFLOW_FEATURES) - set(sets[f"without {name}"]) == {name} for name in NETFLOW_FEATURES)
    sets = ablation.feature_sets(CICFLOW_FEATURES)
    assert sets["ports only"] == ("Dst_Port", "Src_Port") and sets["destination port only"] == ("Dst_Port",)


def test_a_set_that_is_empty_or_everything_is_left_out():
    assert list(ablation.feature_sets(("a", "b"))) == ["all features", "without a", "without b"]
    assert list(ablation.feature_sets(("Dst_Port",))) == ["all features"]


def test_each_score_is_what_the_sets_columns_allow(prepared):
    frame = ablation.table(prepared)
    found = frame.set_index("features")
    assert frame.columns.name == "own"
    # of 41 test rows the unseen port belongs to no rule: with all features it is judged by trees, so by IN_BYTES or not
    assert found.loc["all features", "wrong"] <= 1 and found.loc["without IN_PKTS", "wrong"] <= 1
    # by the port alone 8 Theft rows are taken for DoS (16 of 24 rows on port 80)
    assert found.loc["destination port only", "wrong"] - 8 in (0, 1)
    # by IN_BYTES alone: 10 bytes is Benign 8, DoS 16; 900 bytes is Benign 8, Theft 8
    assert found.loc["no ports", "wrong"] == 8 + 8
    assert found.loc["without L4_DST_PORT", "wrong"] == 16
    assert found.loc["without IN_BYTES", "wrong"] - 8 in (0, 1)
    assert (found["test_rows"] == 41).all()
    assert np.allclose(found["accuracy"], 1 - found["wrong"] / 41)
    assert found["change"].tolist() == pytest.approx(
        (found["macro_f1"] - found.loc["all features", "macro_f1"]).tolist()
    )


def test_the_looked_up_port_names_its_most_frequent_class_and_for_an_unseen_port_the_most_frequent_of_all(prepared):
    frame = ablation.table(prepared).set_index("features")
    last = frame.iloc[-1]
    assert (last.name, last["columns"]) == ("destination port, looked up", 1)
    # 8 Theft rows on port 80 are named DoS; port 5555 is unseen: Benign and DoS have 16 rows each, and Benign is first
    assert last["wrong"] == 8 + 1


def test_the_trees_are_scikit_learns_on_training_rows(prepared):
    found = ablation.table(prepared, seed=3).set_index("features").loc["ports only"]
    (x, y), (asked, truth) = (prepare.load(prepared, role) for role in ("train", "test"))
    oracle = ExtraTreesClassifier(100, random_state=3).fit(x[:, :2], y).predict(asked[:, :2])
    assert found["accuracy"] == accuracy_score(truth, oracle)
    assert found["macro_f1"] == pytest.approx(f1_score(truth, oracle, average="macro"))


def test_another_model_can_be_asked_and_an_unknown_one_is_refused(prepared):
    told = []
    frame = ablation.table(prepared, model="decision tree", progress=told.append)
    assert frame["model"].tolist() == ["decision tree"] * 13 + ["destination port"]
    assert told == [1] * 14  # a bar counts the sets
    with pytest.raises(InputError, match="expected a baseline among"):
        ablation.table(prepared, model="oracle")


def test_the_sentence_counts_wrong_test_rows(prepared):
    frame = ablation.table(prepared, model="decision tree")
    frame["wrong"] = range(14)
    frame.loc[frame["features"] == "without IN_BYTES", "change"] = -0.9
    assert ablation.sentence(frame) == (
        "Of 41 test rows decision tree gets 0 wrong with all features, 1 with no ports, 2 with ports only, 3 with "
        "destination port only, 13 with destination port, looked up; the feature missed most is IN_BYTES (macro-F1 "
        "-0.9000)."
    )


def test_a_dataset_without_ports_is_not_looked_up(tmp_path, prepared):
    shutil.copytree(prepared.folder, tmp_path / "copy")
    kept = tuple(name for name in NETFLOW_FEATURES if "PORT" not in name)
    frame = ablation.table(dataclasses.replace(prepared, features=kept), model="decision tree")
    assert ablation.LOOKUP not in set(frame["features"]) and len(frame) == 8
    assert "looked up" not in ablation.sentence(frame)
