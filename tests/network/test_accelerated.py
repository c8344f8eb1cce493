"""Whole epochs on a device give what Keras's `fit` gives, and networks trained together what each gives alone."""

from dataclasses import replace

import jax
import numpy as np
import pytest

from tlids_helpers.common.errors import InputError
from tlids_helpers.network import accelerated, model, pure, stretch, training
from tlids_helpers.network.accelerated import Job, Plan, Table
from tlids_helpers.network.backend import keras, set_seed
from tlids_helpers.network.recipe import Recipe

CLASSES = 3
TRAIN, VALIDATION = np.arange(300), np.arange(300, 400)  # of 800 rows; all tests share shapes, compiled once
PAPER = Recipe(epochs=2, batch_size=64, dropout=0.0)  # four whole batches and one of 44 rows
ADAMW = replace(PAPER, optimiser="adamw", learning_rate=0.002, warm_up=0.3, momentum=0.9)


def table(width: int = 9) -> Table:
    rng = np.random.default_rng(1)
    codes = rng.integers(0, CLASSES, 800)
    return Table((rng.normal(size=(800, width)) + codes[:, None]).astype(np.float32), codes.astype(np.int32))


def learner(recipe: Recipe) -> keras.Model:
    set_seed(3)
    return model.chain(model.backbone(recipe.dropout, recipe.momentum), model.head(CLASSES), name="network")


def furthest(some: pure.Weights, others: pure.Weights) -> float:
    apart = jax.tree.map(lambda a, b: float(np.abs(np.asarray(a) - np.asarray(b)).max()), some, others)
    return max(jax.tree.leaves(apart))


def by_keras(learner: keras.Model, rows: Table, recipe: Recipe, seed: int) -> dict:
    """Keras's `fit` on the batches that a job of `seed` has; the weights are those of the last epoch."""
    draw, history = np.random.default_rng(seed), []
    loss, metrics = "sparse_categorical_crossentropy", ["accuracy"]
    learner.compile(training.optimiser(recipe, 5), loss, metrics=metrics, jit_compile=False)
    checked = rows.inputs[VALIDATION], rows.codes[VALIDATION]
    for _ in range(recipe.epochs):
        order = draw.permutation(TRAIN)
        sizes = {"batch_size": recipe.batch_size, "validation_batch_size": 100, "shuffle": False, "verbose": 0}
        fitted = learner.fit(rows.inputs[order], rows.codes[order], validation_data=checked, **sizes)
        history.append({name: values[0] for name, values in fitted.history.items()})
    return {name: [epoch[name] for epoch in history] for name in history[0]}


@pytest.mark.parametrize("learns", ["everything", "a part"])
def test_an_epoch_gives_the_weights_that_keras_gives(learns):
    rows, network = table(), learner(PAPER)
    still = (
        () if learns == "everything" else (*pure.BLOCKS[0], pure.NORMS[1])
    )  # a whole block, and one layer of another
    for layer in network.get_layer("backbone").layers:
        layer.trainable = layer.name not in still
        if (
            layer.name in still and layer.name in pure.NORMS
        ):  # scaled as a trained one scales: else next to nothing is left
            layer.gamma.assign(layer.gamma * 30)
    start = pure.of_keras(network)
    recipe = replace(PAPER, epochs=1)
    plan = Plan(recipe, layers=tuple(name for name in pure.LAYERS if name not in still))
    ours = accelerated.train_many(rows, [Job(TRAIN, VALIDATION, CLASSES, 5, start)], plan)[0]
    theirs = by_keras(network, rows, recipe, 5)
    assert furthest(start, ours.weights) > 1e-3  # it did learn
    assert furthest(ours.weights, pure.of_keras(network)) < 1e-5
    for name, values in theirs.items():
        np.testing.assert_allclose(ours.history[name], values, atol=1e-5, err_msg=name)


@pytest.fixture(scope="module")
def two() -> list[Job]:
    """Two networks: other rows, other seeds, other weights to start from."""
    starts = [pure.fresh(CLASSES, seed) for seed in (1, 2)]
    return [
        Job(TRAIN + first, VALIDATION + first, CLASSES, seed, start)
        for first, seed, start in zip((0, 400), (5, 6), starts, strict=True)
    ]


@pytest.fixture(scope="module")
def alone(two):
    """What each of them gives when it is trained alone."""
    return [accelerated.train_many(table(), [job], Plan(PAPER))[0] for job in two]


def same_outcome(one: accelerated.Outcome, other: accelerated.Outcome) -> bool:
    close = [np.allclose(one.history[name], other.history[name], atol=1e-5) for name in one.history]
    return furthest(one.weights, other.weights) < 1e-5 and all(close)


def test_networks_trained_together_give_what_each_gives_alone(two, alone):
    together = accelerated.train_many(table(), two, Plan(PAPER))
    assert [each.together for each in together] == [2, 2] and [each.together for each in alone] == [1, 1]
    assert all(map(same_outcome, together, alone))
    assert furthest(together[0].weights, together[1].weights) > 1e-3


def out_of_memory(monkeypatch, while_above: int) -> list[int]:
    """Make the device's memory too small for more than `while_above` networks; returns how many were tried at once."""
    tried, truly = [], accelerated._together

    def small(table, jobs, *others):
        tried.append(len(jobs))
        if len(jobs) > while_above:
            raise jax.errors.JaxRuntimeError("RESOURCE_EXHAUSTED: Out of memory allocating 1 bytes.")
        return truly(table, jobs, *others)

    monkeypatch.setattr(accelerated, "_together", small)
    return tried


def test_without_the_memory_for_all_fewer_train_at_once_and_it_is_said(monkeypatch, two, alone):
    tried = out_of_memory(monkeypatch, 1)
    with pytest.warns(UserWarning, match="memory holds fewer than 2 networks: 1 at once"):
        found = accelerated.train_many(table(), two, Plan(PAPER))
    assert tried == [2, 1, 1]
    assert all(map(same_outcome, found, alone))


def test_without_the_memory_for_one_it_is_an_input_error(monkeypatch, two):
    out_of_memory(monkeypatch, 0)
    with pytest.raises(InputError, match="800 rows to fit on the accelerator, found its memory full: lower rows"):
        accelerated.train_many(table(), two[:1], Plan(PAPER))


def test_another_error_of_the_device_is_not_taken_for_want_of_memory(monkeypatch, two):
    def broken(*given):
        raise jax.errors.JaxRuntimeError("INTERNAL: the device is gone")

    monkeypatch.setattr(accelerated, "_together", broken)
    with pytest.raises(jax.errors.JaxRuntimeError, match="gone"):
        accelerated.train_many(table(), two, Plan(PAPER))


@pytest.mark.parametrize("recipe", [PAPER, ADAMW], ids=["adagrad", "adamw"])
def test_the_optimisers_step_as_those_of_keras(recipe):
    # on given gradients: AdamW divides by their size, so on a network it makes much of how tiny ones are rounded
    rng = np.random.default_rng(2)
    value = rng.normal(size=(4, 3)).astype(np.float32)
    variable, optimiser = keras.Variable(value), training.optimiser(recipe, 5)
    params = {"output": {"kernel": value}}
    moving = stretch.Moving(params, {}, stretch.first_slots(recipe.optimiser, params), np.int32(0), None, None)
    for step in range(10):  # two epochs of five batches; the first three climb
        gradient = rng.normal(size=(4, 3)).astype(np.float32) * 10.0 ** rng.integers(-6, 2, size=(4, 3))
        gradient = gradient.astype(np.float32)
        optimiser.apply([keras.ops.convert_to_tensor(gradient)], [variable])
        params, slots = stretch.stepped(recipe, moving, {"output": {"kernel": gradient}}, np.float32(10))
        moving = moving._replace(params=params, slots=slots, step=np.int32(step + 1))
        np.testing.assert_allclose(params["output"]["kernel"], variable.numpy(), atol=1e-6)
    assert np.abs(value - variable.numpy()).max() > 1e-3
