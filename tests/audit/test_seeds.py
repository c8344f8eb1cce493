"""Three seeds on paper, scipy's paired test, and that one seed is refused."""

import math

import numpy as np
import pandas as pd
import pytest
from scipy.stats import ttest_rel
from small_flows import write_csv

from tlids_helpers import audit
from tlids_helpers.audit import baselines, seeds
from tlids_helpers.common.errors import InputError
from tlids_helpers.data import prepare
from tlids_helpers.results.runs import Setup


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
    frame = seeds.summary(THREE).set_index("model")
    assert frame.index.tolist() == ["CNN", "extra trees", "majority class"] and set(frame["score"]) == {"macro_f1"}
    assert frame.loc["CNN", "mean"] == pytest.approx(0.92)
    assert frame.loc["CNN", "deviation"] == pytest.approx(0.01)  # sqrt((1 + 0 + 1) / 2) points
    assert frame.loc["extra trees", "deviation"] == 0 and set(frame["seeds"]) == {3}


def test_the_paired_tests_by_hand():
    found = seeds.paired(THREE, "CNN", "extra trees")
    # differences 1, 2, 3 points: mean 2, deviation 1
    assert (found.seeds, found.wins) == (3, 3)
    assert found.difference == pytest.approx(0.02) and found.deviation == pytest.approx(0.01)
    # t = 2 / (1 / sqrt 3); 100 test rows to 400: 1/3 becomes 1/3 + 1/4
    for t, p in ((2 * math.sqrt(3), found.p), (2 / math.sqrt(1 / 3 + 1 / 4), found.corrected_p)):
        assert p == pytest.approx(1 - t / math.sqrt(t * t + 2))  # Student's t with two degrees of freedom
    assert found.corrected_p > found.p


def test_the_plain_test_is_scipys_and_its_sign_is_the_models():
    rng = np.random.default_rng(0)
    ours, theirs = rng.random(7), rng.random(7)
    runs = table({"a": list(ours), "b": list(theirs)})
    found, expected = seeds.paired(runs, "a", "b"), ttest_rel(ours, theirs)
    assert found.p == pytest.approx(expected.pvalue) and found.difference * expected.statistic > 0
    other_way = seeds.paired(runs, "b", "a")
    assert (other_way.difference, other_way.corrected_p) == pytest.approx((-found.difference, found.corrected_p))
    assert found.wins + other_way.wins == 7


def test_seeds_are_paired_by_their_number_and_not_by_their_order():
    shuffled = THREE.sample(frac=1, random_state=3)
    assert seeds.paired(shuffled, "CNN", "extra trees") == seeds.paired(THREE, "CNN", "extra trees")


def test_equal_scores_have_p_1_and_a_constant_difference_p_0():
    same = seeds.paired(table({"a": [0.5, 0.7], "b": [0.5, 0.7]}), "a", "b")
    assert (same.p, same.corrected_p, same.wins) == (1, 1, 0)
    shifted = seeds.paired(table({"a": [0.75, 1.0], "b": [0.5, 0.75]}), "a", "b")
    assert (shifted.p, shifted.difference) == (0, 0.25)


def test_the_best_is_that_of_the_highest_mean_among_those_asked_for():
    assert seeds.best(THREE) == "CNN"
    assert seeds.best(THREE, among=baselines.BASELINES) == "extra trees"
    with pytest.raises(InputError, match="found none"):
        seeds.best(THREE, among=["random forest"])


def test_one_seed_is_never_a_result():
    one = table({"CNN": [0.9], "extra trees": [0.8]})
    for ask in (
        lambda: seeds.summary(one),
        lambda: seeds.paired(one, "CNN", "extra trees"),
        lambda: seeds.over_seeds(lambda seed: seed, [1], Setup(), {}),
    ):
        with pytest.raises(InputError, match="at least two seeds.*found 1"):
            ask()
    with pytest.raises(InputError, match=r"each seed once, found \[1, 1\]"):
        seeds.over_seeds(lambda seed: seed, [1, 1], Setup(), {})
    mixed = pd.concat([THREE, table({"decision tree": [0.9]})])
    with pytest.raises(InputError, match="two seeds"):
        seeds.summary(mixed)


def test_a_seed_that_one_of_two_models_lacks_is_refused():
    lacking = THREE[(THREE["model"] != "CNN") | (THREE["seed"] != 2)]
    with pytest.raises(InputError, match=r"same seeds, found \[1, 3\] and \[1, 2, 3\]"):
        seeds.paired(lacking, "CNN", "extra trees")


def test_a_mean_with_a_missing_score_is_missing():
    frame = seeds.summary(table({"a": [0.5, math.nan, 0.7]}))
    assert frame[["mean", "deviation"]].isna().all(axis=None)


def test_the_sentence_counts_and_adds_that_three_seeds_are_few():
    sentence = seeds.paired(THREE, "CNN", "extra trees").sentence()
    assert sentence.startswith("CNN has a higher macro_f1 than extra trees on 3 of 3 seeds, by +2.00 points on average")
    assert sentence.endswith("Fewer than 5 seeds prove little.")
    five = table({"a": [0.1, 0.2, 0.3, 0.4, 0.5], "b": [0.2, 0.1, 0.3, 0.3, 0.3]})
    assert "no result" not in seeds.paired(five, "a", "b").sentence()


def test_a_seed_changes_the_split_and_the_model(tmp_path):
    flows = str(write_csv(tmp_path / "home.csv", n=200))
    prepared = {}

    def prepared_of(seed):
        prepared[seed] = prepare.prepare(flows, tmp_path / "data", seed=seed)
        return prepared[seed]

    runs = seeds.over_seeds(prepared_of, [1, 2], Setup(), {}, ["decision tree"])
    assert runs["seed"].tolist() == [1, 2] and [one.seed for one in prepared.values()] == [1, 2]
    tests = [prepare.load(one, "test")[0] for one in prepared.values()]
    assert not np.array_equal(*tests)
    alone = baselines.scored(prepared[2], Setup(seed=2), {}, ["decision tree"])
    assert runs["macro_f1"][1] == alone["macro_f1"][0]
    assert {"macro_f1", "fit_seconds", "bytes"} < set(seeds.summary(runs)["score"])


def several_scores(scores: dict[str, list[float]]) -> pd.DataFrame:
    """Runs with an accuracy that goes the other way, and an MCC that is no number."""
    runs = table(scores)
    return runs.assign(accuracy=1 - runs["macro_f1"], mcc=math.nan)


CLOSE = several_scores({"CNN": [0.91, 0.92, 0.93], "extra trees": [0.92, 0.95, 0.92], "decision tree": [0.5, 0.6, 0.7]})


def test_the_best_baseline_is_chosen_score_by_score_and_the_distance_is_in_points():
    frame = audit.against_best(CLOSE, "CNN", ("accuracy", "macro_f1", "mcc")).table.set_index("score")
    assert frame.index.tolist() == ["accuracy", "macro_f1"]  # mcc is no number
    assert frame["best baseline"].tolist() == ["decision tree", "extra trees"]
    # -1, -3 and +1 points: the mean is -1
    assert frame.loc["macro_f1", "points"] == pytest.approx(-1) and frame.loc["macro_f1", "wins"] == 1
    assert frame.loc["macro_f1", "CNN"] == pytest.approx(0.92)
    assert frame.loc["macro_f1", "its mean"] == pytest.approx(0.93)
    assert frame.loc["accuracy", "points"] == pytest.approx(-32)


def test_the_sentence_counts_the_scores_and_names_the_worst():
    sentence = audit.against_best(CLOSE, "CNN", ("accuracy", "macro_f1")).sentence
    assert "ahead of the best baseline in 0 of 2 scores and behind it in 2" in sentence
    assert "most of all in accuracy (decision tree by 32.00 points)" in sentence
    assert "Fewer than 5 seeds prove little." in sentence


def test_a_model_that_leads_in_every_score():
    led = several_scores({"CNN": [0.9] * 5, "extra trees": [0.8] * 5})
    assert (
        audit.against_best(led, "CNN", ("macro_f1",)).sentence
        == "Over 5 seeds CNN is ahead of the best baseline in 1 of 1 scores and behind it in 0."
    )
