"""What runs on the accelerator between two checks: batch after batch in one `lax.scan`, then the validation rows.

The optimisers are those of `training.optimiser`, step by step as Keras computes them.
"""

import functools
from dataclasses import dataclass, replace
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from tlids_helpers.network import pure
from tlids_helpers.network.pure import Weights
from tlids_helpers.network.recipe import RATE_DECAY, WEIGHT_DECAY, Recipe

FIRST_SQUARES = 0.1  # what Adagrad's sums start from: Keras's default
TINY = 1e-7  # under both divisions: Keras's default
MOMENTA = 0.9, 0.999  # of AdamW: Keras's defaults
UNROLL = 1  # batches in one turn of the scan's loop


class Table(NamedTuple):
    """Rows that networks are trained on: inputs (N, 9), or (N, 128) for heads alone, and class codes (N,)."""

    inputs: np.ndarray
    codes: np.ndarray


@dataclass(frozen=True)
class Plan:
    """How networks are trained together; what differs between them is in their `Job`."""

    recipe: Recipe = Recipe()
    layers: tuple[str, ...] = pure.LAYERS  # that learn: pure.HEAD for frozen blocks
    patience: int | None = None  # epochs without a lower validation loss before a network stops; None: never


class Given(NamedTuple):
    """What stays as it is while one network trains; stacked, of all."""

    params: dict  # of the layers that do not learn
    key: jax.Array
    steps: jax.Array  # batches in all, for schedules
    checked: jax.Array  # (batches, rows): validation row numbers
    counted: jax.Array  # the same shape: 0 where a row only fills a batch


class Moving(NamedTuple):
    """What training changes."""

    params: dict
    state: dict
    slots: tuple  # of the optimiser
    step: jax.Array
    best: Weights
    best_loss: jax.Array


def first_slots(optimiser: str, params: dict) -> tuple:
    """What an optimiser remembers of each weight, before the first batch."""
    if optimiser == "adamw":
        return tuple(jax.tree.map(np.zeros_like, params) for _ in MOMENTA)
    return (jax.tree.map(lambda each: np.full_like(each, FIRST_SQUARES), params),)


def compiled(plan: Plan):
    """`stretch` for many networks, compiled: (table, given, moving, order, alive) -> (moving, seen)."""
    # what is decided outside would only make XLA compile the same again
    return _compiled(replace(plan, recipe=replace(plan.recipe, epochs=0, patience=0), patience=None))


@functools.lru_cache(maxsize=32)
def _compiled(plan: Plan):
    many = jax.vmap(functools.partial(stretch, plan), in_axes=(None, 0, 0, 0, 0))
    return jax.jit(many, donate_argnums=2)


def stretch(
    plan: Plan, table: Table, given: Given, moving: Moving, order: tuple[jax.Array, jax.Array], alive: jax.Array
) -> tuple[Moving, dict]:
    """Learn from batch after batch, then check; one network's.

    `order` has the row numbers (batches, rows), and those of a smaller last batch. The best weights are replaced while
    `alive`.
    """
    batches, rest = order
    first = moving.step == 0
    moving, (losses, hits) = jax.lax.scan(functools.partial(update, plan, table, given), moving, batches, unroll=UNROLL)
    loss, hit = losses.sum(), hits.sum()
    if rest.size:
        moving, (last, right) = update(plan, table, given, moving, rest)
        loss, hit = loss + last, hit + right
    now = _weights(given, moving)
    val_loss, val_accuracy = check(table, given, now)
    better = alive & (val_loss < moving.best_loss)
    # as Keras does: where no check is ever better (nothing but NaN), the first one's weights are kept
    best = jax.tree.map(lambda new, old: jnp.where(better | first, new, old), now, moving.best)
    rows = batches.size + rest.size
    moving = moving._replace(best=best, best_loss=jnp.where(better, val_loss, moving.best_loss))
    seen = {"loss": loss / rows, "accuracy": hit / rows, "val_loss": val_loss, "val_accuracy": val_accuracy}
    return moving, {**seen, "better": better}


def update(
    plan: Plan, table: Table, given: Given, moving: Moving, rows: jax.Array
) -> tuple[Moving, tuple[jax.Array, jax.Array]]:
    """One batch: what training changes, and the batch's summed loss and hits."""
    inputs, codes = table.inputs[rows], table.codes[rows]
    how = pure.Training(plan.layers, plan.recipe.dropout, plan.recipe.momentum)
    key = jax.random.fold_in(jax.random.wrap_key_data(given.key), moving.step)
    kept = pure.masks(key, len(rows), how.dropout)

    def loss(params):
        found, state = pure.run(Weights({**given.params, **params}, moving.state), inputs, how, kept)
        return pure.cross_entropies(found, codes).mean(), (state, (found.argmax(-1) == codes).sum())

    (value, (state, hits)), gradients = jax.value_and_grad(loss, has_aux=True)(moving.params)
    params, slots = stepped(plan.recipe, moving, gradients, given.steps)
    moving = moving._replace(params=params, state=state, slots=slots, step=moving.step + 1)
    return moving, (value * len(rows), hits)


def check(table: Table, given: Given, weights: Weights) -> tuple[jax.Array, jax.Array]:
    """Mean loss and accuracy on one network's validation rows."""

    def some(sums, batch):
        rows, counted = batch
        inputs, codes = table.inputs[rows], table.codes[rows]
        found = pure.probabilities(weights, inputs)
        loss, hits = pure.cross_entropies(found, codes), found.argmax(-1) == codes
        return (sums[0] + (loss * counted).sum(), sums[1] + (hits * counted).sum()), None

    sums, _ = jax.lax.scan(some, (jnp.float32(0), jnp.float32(0)), (given.checked, given.counted))
    rows = given.counted.sum()
    return sums[0] / rows, sums[1] / rows


def _weights(given: Given, moving: Moving) -> Weights:
    return Weights({**given.params, **moving.params}, moving.state)


def stepped(recipe: Recipe, moving: Moving, gradients: dict, steps: jax.Array) -> tuple[dict, tuple]:
    """Weights and the optimiser's slots after a step."""
    done = moving.step.astype(jnp.float32)
    if recipe.optimiser == "adamw":
        rate = 0.5 * recipe.learning_rate * (1 + jnp.cos(jnp.pi * jnp.minimum(done, steps) / steps))
        rates = dict.fromkeys(moving.params, _warmed(recipe, rate, done, steps))
        return adamw(moving.params, moving.slots, gradients, rates, done + 1)
    rate = _warmed(recipe, recipe.learning_rate / (1 + RATE_DECAY * done), done, steps)
    return adagrad(moving.params, moving.slots, gradients, dict.fromkeys(moving.params, rate))


def adagrad(params: dict, slots: tuple, gradients: dict, rates: dict[str, jax.Array]) -> tuple[dict, tuple]:
    """A step of Adagrad as Keras has it, each layer at its rate: weights and slots after it."""
    squares = jax.tree.map(lambda old, new: old + new * new, slots[0], gradients)

    def moved(rate, value, gradient, square):
        return value - rate * gradient / jnp.sqrt(square + TINY)

    return _by_layer(moved, rates, params, gradients, squares), (squares,)


def adamw(
    params: dict, slots: tuple, gradients: dict, rates: dict[str, jax.Array], step: jax.Array
) -> tuple[dict, tuple]:
    """The same of AdamW; `step` counts from 1."""
    first, second = MOMENTA
    means = jax.tree.map(lambda old, new: old + (new - old) * (1 - first), slots[0], gradients)
    squares = jax.tree.map(lambda old, new: old + (new * new - old) * (1 - second), slots[1], gradients)
    scale = jnp.sqrt(1 - second**step) / (1 - first**step)

    def moved(rate, value, mean, square):
        return value * (1 - WEIGHT_DECAY * rate) - mean * (rate * scale) / (jnp.sqrt(square) + TINY)

    return _by_layer(moved, rates, params, means, squares), (means, squares)


def _by_layer(moved, rates: dict[str, jax.Array], params: dict, *others: dict) -> dict:
    """`moved`, with the layer's rate, of every array of every layer."""
    return {
        layer: jax.tree.map(functools.partial(moved, rates[layer]), params[layer], *(other[layer] for other in others))
        for layer in params
    }


def _warmed(recipe: Recipe, rate: jax.Array, done: jax.Array, steps: jax.Array) -> jax.Array:
    """`rate`, climbing from nothing over the recipe's share of all batches."""
    if not recipe.warm_up:
        return rate
    return rate * jnp.minimum(1.0, (done + 1) / jnp.ceil(recipe.warm_up * steps))
