"""Three seeds on paper, scipy's paired test, and that one seed is refused."""

import math

import numpy as np
import pandas as pd
import pytest
from scipy.stats import ttest_rel
from small_flows import write_csv

from tlids_helpers.audit import baselines, spread
from tlids_helpers.common.errors import InputError
from tlids_helpers.data import prepare


def table(scores: dict[str, list[float]], train_rows: int = 400, test_rows: int = 100) -> pd.DataFrame:
    """Runs of each model on the seeds 1, 2, ..."""
    records = [
        {"model": name, "seed": seed, "macro_f1": value, "train_rows": train_rows, "test_rows": test_rows}
        for name, values in scores.items()
        for seed, value in enumerate(values, 1)
    ]
    return pd.DataFrame(records)


THREE = table({"CNN": [0.91, 0.92, 0.93], "extra trees": [0.90, 0.90, 0.90], "majority class": [0.2, 0.2, 0.2]})


def test_mean_and_sample_deviation_by_hand():
    frame = spread.summary(THREE).set_index("model")
    assert frame.index.tolist() == ["CNN", "extra trees", "majority class"] and set(frame["score"]) == {"macro_f1"}
    assert frame.loc["CNN", "mean"] == pytest.approx(0.92)
    assert frame.loc["CNN", "deviation"] == pytest.approx(0.01)  # sqrt((1 + 0 + 1) / 2) points
    assert frame.loc["extra trees", "deviation"] == 0 and set(frame["seeds"]) == {3}


def test_the_paired_tests_by_hand():
    found = spread.paired(THREE, "CNN", "extra trees")
    # differences 1, 2, 3 points: mean 2, deviation 1; t = 2 / (1 / sqrt 3)
    assert (found.seeds, found.wins) == (3, 3)
    assert found.difference == pytest.approx(0.02) and found.deviation == pytest.approx(0.01)
    assert found.t == pytest.approx(2 * math.sqrt(3))
    # 100 test rows to 400: 1/3 becomes 1/3 + 1/4
    assert found.corrected_t == pytest.approx(2 / math.sqrt(1 / 3 + 1 / 4))
    for t, p in ((found.t, found.p), (found.corrected_t, found.corrected_p)):
        assert p == pytest.approx(1 - t / math.sqrt(t * t + 2))  # Student's t with two degrees of freedom
    assert found.corrected_p > found.p


def test_the_plain_test_is_scipys_and_its_sign_is_the_models():
    rng = np.random.default_rng(0)
    ours, theirs = rng.random(7), rng.random(7)
    runs = table({"a": list(ours), "b": list(theirs)})
    found, expected = spread.paired(runs, "a", "b"), ttest_rel(ours, theirs)
    assert (found.t, found.p) == pytest.approx((expected.statistic, expected.pvalue))
    other_way = spread.paired(runs, "b", "a")
    assert (other_way.corrected_t, other_way.corrected_p) == pytest.approx((-found.corrected_t, found.corrected_p))
    assert found.wins + other_way.wins == 7


def test_seeds_are_paired_by_their_number_and_not_by_their_place():
    shuffled = THREE.sample(frac=1, random_state=3)
    assert spread.paired(shuffled, "CNN", "extra trees") == spread.paired(THREE, "CNN", "extra trees")


def test_equal_scores_have_p_1_and_a_constant_difference_p_0():
    same = spread.paired(table({"a": [0.5, 0.7], "b": [0.5, 0.7]}), "a", "b")
    assert (same.t, same.p, same.corrected_p, same.wins) == (0, 1, 1, 0)
    shifted = spread.paired(table({"a": [0.75, 1.0], "b": [0.5, 0.75]}), "a", "b")
    assert (shifted.t, shifted.p) == (math.inf, 0)


def test_the_best_is_that_of_the_highest_mean_among_those_asked_for():
    assert spread.best(THREE) == "CNN"
    assert spread.best(THREE, among=baselines.BASELINES) == "extra trees"
    with pytest.raises(InputError, match="found none"):
        spread.best(THREE, among=["random forest"])


def test_one_seed_is_never_a_result():
    one = table({"CNN": [0.9], "extra trees": [0.8]})
    for ask in (
        lambda: spread.summary(one),
        lambda: spread.paired(one, "CNN", "extra trees"),
        lambda: spread.over_seeds(lambda seed: seed, lambda prepared, seed: one, [1]),
    ):
        with pytest.raises(InputError, match=r"at least two seeds \(five for a result\), found 1"):
            ask()
    with pytest.raises(InputError, match=r"each seed once, found \[1, 1\]"):
        spread.over_seeds(lambda seed: seed, lambda prepared, seed: one, [1, 1])
    mixed = pd.concat([THREE, table({"decision tree": [0.9]})])
    with pytest.raises(InputError, match="two seeds"):
        spread.summary(mixed)


def test_a_seed_that_one_of_two_models_lacks_is_told():
    lacking = THREE[(THREE["model"] != "CNN") | (THREE["seed"] != 2)]
    with pytest.raises(InputError, match=r"found \[1, 3\] and \[1, 2, 3\]: run the missing ones"):
        spread.paired(lacking, "CNN", "extra trees")


def test_a_mean_with_a_missing_score_is_missing():
    frame = spread.summary(table({"a": [0.5, math.nan, 0.7]}))
    assert frame[["mean", "deviation"]].isna().all(axis=None)


def test_the_sentence_counts_and_says_that_three_seeds_are_few():
    said = spread.paired(THREE, "CNN", "extra trees").sentence()
    assert said.startswith("CNN has a higher macro_f1 than extra trees on 3 of 3 seeds, by +2.00 points on average")
    assert said.endswith("Fewer than 5 seeds are no result.")
    five = table({"a": [0.1, 0.2, 0.3, 0.4, 0.5], "b": [0.2, 0.1, 0.3, 0.3, 0.3]})
    assert "no result" not in spread.paired(five, "a", "b").sentence()


def test_a_seed_changes_the_split_and_the_model(tmp_path):
    flows = str(write_csv(tmp_path / "home.csv", n=200))
    prepared, seen = {}, []

    def rows_of(seed):
        prepared[seed] = prepare.prepare(flows, tmp_path / "data", seed=seed)
        return prepared[seed]

    def evaluate(one, seed):
        seen.append((one.seed, seed))
        return baselines.table(one, seed=seed, names=["decision tree"], networks={})

    runs = spread.over_seeds(rows_of, evaluate, [1, 2])
    assert seen == [(1, 1), (2, 2)] and runs["seed"].tolist() == [1, 2]
    tests = [prepare.load(one, "test")[0] for one in prepared.values()]
    assert not np.array_equal(*tests)
    assert {"macro_f1", "fit_seconds", "bytes"} < set(spread.summary(runs)["score"])
