"""Keras models trained on an accelerator, as many side by side as are given, with what `training.fit` gives back."""

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from tlids_helpers.common import progress
from tlids_helpers.network import accelerated, pure
from tlids_helpers.network.accelerated import Job
from tlids_helpers.network.backend import keras
from tlids_helpers.network.recipe import Recipe
from tlids_helpers.network.stretch import Plan, Table


@dataclass(frozen=True)
class Work:
    """A model to train: (what it takes (n, 9) or (n, 128), class codes (n,)) twice."""

    learner: keras.Model = field(repr=False)
    train: tuple[np.ndarray, np.ndarray] = field(repr=False)
    validation: tuple[np.ndarray, np.ndarray] = field(repr=False)
    recipe: Recipe
    seed: int  # of the order of rows and of dropout


def is_ours(learner: keras.Model) -> bool:
    """Whether `learner` is the network of model.py, or its head alone."""
    return tuple(layer.name for layer in pure.layers(learner)) in (pure.LAYERS, pure.HEAD)


def fit_all(works: Sequence[Work]) -> list[tuple[dict, list[float]]]:
    """Train every learner, which keeps its best epoch's weights: its history, and its share of each epoch's seconds.

    A layer that is not trainable stays as it is. Networks of one recipe train together, which shares the time out.
    """
    plans: dict[Plan, list[int]] = {}
    for number, work in enumerate(works):
        learn = tuple(layer.name for layer in pure.layers(work.learner) if layer.trainable)
        plans.setdefault(Plan(work.recipe, learn, patience=work.recipe.patience), []).append(number)
    fitted = {}
    for plan, numbers in plans.items():
        fitted |= dict(zip(numbers, _fit([works[number] for number in numbers], plan), strict=True))
    return [fitted[number] for number in range(len(works))]


def _fit(works: Sequence[Work], plan: Plan) -> list[tuple[dict, list[float]]]:
    """Train learners of one plan."""
    table, places = _table([rows for work in works for rows in (work.train, work.validation)])
    jobs = [
        Job(train, validation, work.learner.output_shape[-1], work.seed, pure.of_keras(work.learner))
        for work, train, validation in zip(works, places[::2], places[1::2], strict=True)
    ]
    with progress.steps("training", "epoch", plan.recipe.epochs) as bar:
        outcomes = accelerated.train_many(table, jobs, plan, after_check=bar.update)
    for work, outcome in zip(works, outcomes, strict=True):
        pure.into_keras(work.learner, outcome.weights)
    return [(each.history, [seconds / each.together for seconds in each.seconds]) for each in outcomes]


def _table(sets: Sequence[tuple[np.ndarray, np.ndarray]]) -> tuple[Table, list[np.ndarray]]:
    """All rows, one set below the other, and where each set is."""
    ends = np.cumsum([len(codes) for _, codes in sets])
    places = [np.arange(end - len(codes), end, dtype=np.int32) for end, (_, codes) in zip(ends, sets, strict=True)]
    inputs, codes = (np.concatenate(each) for each in zip(*sets, strict=True))
    return Table(inputs.astype(np.float32), codes.astype(np.int32)), places
