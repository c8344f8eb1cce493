"""recipe.py: a new head for a home, its promise, and which heads must not be used."""

import dataclasses

import numpy as np
import pytest
from home_flows import MODEL
from tlids_edge.detect.card import read_card, read_model
from tlids_edge.learn import head, recipe, rows
from tlids_edge.learn.blocks import block_features
from tlids_edge.learn.promise import upper_bound

QUICK = head.Training(epochs=10)  # of the recipe's twenty


@pytest.fixture(scope="module")
def parent() -> recipe.Parent:
    card = read_card(MODEL)
    return recipe.Parent(read_model(MODEL, card), card.classes.index(card.benign), card.threshold)


@pytest.fixture(scope="module")
def stored() -> tuple:
    return rows.read(MODEL, read_card(MODEL))


@pytest.fixture(scope="module")
def home() -> np.ndarray:
    """Rows that the shipped model holds for an attack: a device that calls a port of its own, answered in part."""
    rng = np.random.default_rng(0)
    count = 1000
    return np.column_stack([
        rng.integers(40_000, 60_000, count), np.full(count, 9999), np.full(count, 17), np.zeros(count), np.zeros(count),
        rng.integers(100, 300, count), rng.integers(0, 2, count) * 90, rng.integers(1, 3, count),
        rng.integers(0, 2, count),
    ]).astype(np.float32)  # fmt: skip


@pytest.fixture(scope="module")
def made(parent, stored, home) -> recipe.Adapted:
    return recipe.adapt(parent, home, stored, seed=1, training=QUICK)


def test_a_home_that_alarmed_no_longer_does_and_the_attacks_still_do(parent, home, made):
    assert made.promise.parent_alarms > 100
    assert made.promise.alarms <= 2 and made.promise.flows == 200
    assert made.recall >= made.parent_recall - 0.01 and recipe.refusal(made) == ""
    assert made.promise.bound == upper_bound(made.promise.alarms, 200)


def test_the_promise_is_counted_on_rows_that_were_not_learned(parent, stored, home):
    """The last fifth is something else than the rest: the promise must show it."""
    changed = home.copy()
    changed[800:] = stored[0][stored[1] == 4][:200]
    assert recipe.adapt(parent, changed, stored, seed=1, training=QUICK).promise.alarms > 150


def test_the_final_head_is_the_one_trained_on_all_rows_that_are_no_known_attack(parent, stored, home, made):
    old = recipe.read_layers(parent.content, made.head)
    home = home[~recipe.like_attacks(parent, home, stored)]  # the parent alarms on all of them
    assert len(home) == 1000 - made.known_attacks
    made_up = recipe.rehearsed(parent, home, stored[0], seed=1)
    lesson = recipe.lesson(parent, *(block_features(parent.content, made.head, rows) for rows in (home, stored[0])),
                           stored[1], recipe.home_weight(len(home), len(made_up.targets))) + made_up  # fmt: skip
    training = QUICK
    layers = head.train(lesson, old, head.batches(len(lesson.targets), 1, training), training)
    for one, other in zip(layers, made.layers, strict=True):
        np.testing.assert_allclose(one[0], other[0], atol=1e-6)


def test_the_same_seed_gives_the_same_head_and_another_one_another(parent, stored, home, made):
    again, other = (recipe.adapt(parent, home, stored, seed, QUICK) for seed in (1, 2))
    np.testing.assert_allclose(again.layers[0][0], made.layers[0][0], atol=1e-6)
    assert np.abs(other.layers[0][0] - made.layers[0][0]).max() > 1e-5


def with_weights(made: recipe.Adapted, value: float) -> recipe.Adapted:
    weights = made.layers[0][0].copy()
    weights[3, 3] = value
    return dataclasses.replace(made, layers=[(weights, made.layers[0][1]), *made.layers[1:]])


def test_a_head_that_must_not_be_used_is_refused_with_the_reason(made):
    promise = dataclasses.replace(made.promise, alarms=30, parent_alarms=29)
    for changed, reason in [
        (with_weights(made, np.nan), "finite weights"), (with_weights(made, np.inf), "finite weights"),
        (dataclasses.replace(made, recall=made.parent_recall - 0.011), "stored attack rows"),
        (dataclasses.replace(made, distance=0.51), "within 50%"),
        (dataclasses.replace(made, distance=float("nan")), "within 50%"),
        (dataclasses.replace(made, promise=promise), "the parent's 29 alarms"),
    ]:  # fmt: skip
        assert reason in recipe.refusal(changed)


def test_a_home_that_is_nothing_but_one_attack_teaches_nothing_and_the_attack_is_still_found(parent, stored):
    poison = np.repeat(stored[0][stored[1] == 4], 4, axis=0)[:2000]
    made = recipe.adapt(parent, poison, stored, seed=1, training=QUICK)
    assert made.known_attacks >= 1990 and made.recall >= made.parent_recall
    assert made.promise.alarms == made.promise.flows  # and says that all of this "home" will alarm


def test_without_a_distance_between_rows_nothing_is_rehearsed_nor_left_out(parent, stored):
    other = dataclasses.replace(parent, family="cicflow")
    assert not recipe.like_attacks(other, stored[0], stored).any()
    assert len(recipe.rehearsed(other, stored[0][:9], stored[0], seed=1).targets) == 0


def test_the_homes_rows_weigh_half_as_much_as_the_made_up_ones_or_more_but_none_more_than_five(parent):
    assert [recipe.home_weight(count, 8000) for count in (0, 70, 800, 1000, 2000, 4000, 5000)] == [5, 5, 5, 4, 2, 1, 1]
    assert recipe.home_weight(1000, 0) == 1  # nothing is rehearsed: as without
    weights = recipe.lesson(parent, np.zeros((7, 128), np.float32), np.zeros((3, 128), np.float32),
                            np.array([0, 1, 1]), 2.5).weights  # fmt: skip
    assert weights.tolist() == [2.5] * 7 + [1] * 3


def test_every_stored_attack_counts_as_much_as_the_largest_unless_it_has_very_few_rows(parent):
    codes = np.repeat([0, 1, 2, 3], [900, 500, 125, 2])
    weights = recipe.lesson(parent, np.zeros((7, 128), np.float32), np.zeros((len(codes), 128), np.float32),
                            codes).weights[7:]  # fmt: skip
    assert [weights[codes == code].sum() for code in range(4)] == [900, 500, 500, 2 * recipe.MAX_WEIGHT]
