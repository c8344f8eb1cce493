"""One feature, one comparison, one attack: on rows whose separating feature is known."""

import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import roc_auc_score

from tlids_helpers.audit import single
from tlids_helpers.data import prepare
from tlids_helpers.data.catalog import NETFLOW_FEATURES

ATTACKS = ("dos", "scan", "worm")


@pytest.fixture(scope="module")
def prepared(tmp_path_factory):
    """IN_PKTS is above 100 for every attack; OUT_BYTES tells dos alone; the rest is noise."""
    rng, folder = np.random.default_rng(0), tmp_path_factory.mktemp("one")
    labels = np.repeat(["Benign", *ATTACKS], 100)
    frame = pd.DataFrame({name: rng.integers(0, 50, 400) for name in NETFLOW_FEATURES})
    frame["IN_PKTS"] += 101 * (labels != "Benign")
    frame["OUT_BYTES"] += 1000 * (labels == "dos")
    frame["Attack"] = labels
    frame.to_csv(folder / "one.csv", index=False)
    return prepare.prepare(str(folder / "one.csv"), folder / "data")


def test_the_one_comparison_that_is_enough_is_found_and_told(prepared):
    check = single.one_feature(prepared)
    first, last = check.table.iloc[0], check.table.iloc[-1]
    assert (first["feature"], first["tree"], first["stump"], first["wrong"]) == ("IN_PKTS", 1, 1, 0)
    assert first["rule"].startswith("benign if IN_PKTS <= ") and 49 <= float(first["rule"].split()[-1]) <= 101
    assert last["stump"] < 0.7 and list(check.table.columns) == [
        "feature",
        "tree",
        "stump",
        "rule",
        "wrong",
        "test_rows",
    ]
    assert "with a balanced accuracy of 1.000 (0 of 80 test rows wrong)" in check.sentence


def test_a_comparison_is_counted_on_the_test_rows_as_it_reads(prepared):
    table = single.one_feature(prepared).table.set_index("feature")
    features, attack = prepare.load(prepared, "test", "binary")
    for name, rule in table["rule"].items():
        word, bound = rule.split()[0], float(rule.split()[-1])
        low = features[:, prepared.features.index(name)] <= bound
        assert ((low == (word == "attack")) != attack.astype(bool)).sum() == table.loc[name, "wrong"]


def test_a_feature_learned_on_one_attack_is_tried_on_each_other(prepared):
    table = single.one_attack(prepared).table.set_index("class")
    assert set(table.index) == set(ATTACKS) and set(table["feature"]) == {"IN_PKTS"}
    assert (table["others"] == 1).all() and (table["high"] == 2).all() and (table["of"] == 2).all()


def test_what_tells_one_attack_only_does_not_pass_for_the_others(prepared):
    code, column = prepared.classes.index("dos"), prepared.features.index("OUT_BYTES")
    train, test = (prepare.load(prepared, role) for role in ("train", "test"))
    own, *others = single._areas(train, test, [code, *({1, 2, 3} - {code})], code, column, 0)
    assert own == 1 and all(0.3 < area < 0.7 for area in others)
    suspicion = (test[0][:, column] > 500).astype(float)
    both = (test[1] == 0) | (test[1] == code)
    assert own == roc_auc_score(test[1][both] > 0, suspicion[both])


def test_rows_of_one_attack_do_not_allow_the_check(tmp_path):
    rng = np.random.default_rng(1)
    frame = pd.DataFrame({name: rng.integers(0, 50, 100) for name in NETFLOW_FEATURES})
    frame.assign(Attack=np.repeat(["Benign", "dos"], 50)).to_csv(tmp_path / "two.csv", index=False)
    check = single.one_attack(prepare.prepare(str(tmp_path / "two.csv"), tmp_path / "data"))
    assert not check.possible and "expected two attack classes in two, found 1" in check.sentence
