"""Recipes by name, and the rate that each gives a batch."""

import math
from dataclasses import asdict, replace

import pytest
from small_flows import rows, train_rows

from tlids_helpers.common.errors import InputError
from tlids_helpers.network import recipe, training
from tlids_helpers.network.backend import keras
from tlids_helpers.network.recipe import RECIPES, Recipe


def test_the_papers_recipe_is_section_4_2():
    paper = recipe.named("paper")
    assert (paper.epochs, paper.batch_size, paper.learning_rate, paper.dropout) == (50, 128, 0.01, 0.05)
    assert (paper.optimiser, paper.warm_up, paper.momentum) == ("adagrad", 0, 0.99)


def test_a_change_that_is_none_is_no_change():
    assert recipe.named("improved", epochs=None) == RECIPES["improved"]
    assert recipe.named("improved", epochs=3) == replace(RECIPES["improved"], epochs=3)


def test_an_unknown_name_is_one_sentence():
    with pytest.raises(InputError, match="paper, improved, transfer, found 'best'"):
        recipe.named("best")


@pytest.mark.parametrize("name", RECIPES)
def test_a_recipe_is_known_again_by_its_parameters_and_more(name):
    assert recipe.name_of({**asdict(RECIPES[name]), "rows": None}) == name
    assert recipe.name_of(asdict(replace(RECIPES[name], epochs=7))) == "own"


def test_no_two_recipes_are_the_same():
    assert len(set(RECIPES.values())) == len(RECIPES)


def rate(of: Recipe, step: int) -> float:
    return float(training.optimiser(of, batches=10)._learning_rate(step))


def test_adamws_rate_is_half_a_cosine_over_all_batches():
    cosine = Recipe(epochs=10, learning_rate=0.002, optimiser="adamw")
    assert isinstance(training.optimiser(cosine, 10), keras.optimizers.AdamW)
    for step in (0, 25, 50, 99):
        assert rate(cosine, step) == pytest.approx(0.002 * (1 + math.cos(math.pi * step / 100)) / 2, rel=1e-4)


@pytest.mark.parametrize("name", ["adagrad", "adamw"])
def test_warming_up_climbs_in_even_steps_and_then_changes_nothing(name):
    cold = Recipe(epochs=10, optimiser=name)
    warm = replace(cold, warm_up=0.05)  # 5 of 100 batches
    for step, share in ((0, 0.2), (1, 0.4), (4, 1.0), (5, 1.0), (60, 1.0)):
        assert rate(warm, step) == pytest.approx(share * rate(cold, step), rel=1e-5)


def test_an_unknown_optimiser_is_one_sentence():
    with pytest.raises(InputError, match="adagrad, adamw, found 'sgd'"):
        training.optimiser(Recipe(optimiser="sgd"), 10)


def test_the_recipes_momentum_is_batch_normalisations():
    chosen = Recipe(epochs=1, momentum=0.5)
    blocks = training.train_from_scratch(train_rows(), rows(100, seed=2), 4, chosen, 1).model.get_layer("backbone")
    assert [layer.momentum for layer in blocks.layers if layer.name.startswith("norm")] == [0.5] * 3
