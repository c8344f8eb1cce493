"""Training on an accelerator: a whole epoch is one call, and many networks train side by side in it.

Keras's `fit` calls the device once a batch, and a network this small leaves it idle in between. Here the rows stay on
the device, an epoch is one `lax.scan` over its batches, and `vmap` runs it for many networks at once: other seeds, or
other rows and other starting weights. Needs JAX and NumPy alone. On a processor Keras's `fit` is faster.
"""

import math
import time
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import jax
import jax.numpy as jnp
import numpy as np

from tlids_helpers.common.errors import InputError
from tlids_helpers.network import pure
from tlids_helpers.network.pure import Weights
from tlids_helpers.network.recipe import OPTIMISERS
from tlids_helpers.network.stretch import Given, Moving, Plan, Table, compiled, first_slots

CHECKED_AT_ONCE = 1 << 17  # validation rows through the device at once, over all networks
LARGEST_CHECK = 4096
SEEN = ("loss", "accuracy", "val_loss", "val_accuracy")  # at each check, as Keras calls them


@dataclass(frozen=True)
class Job:
    """One network to train."""

    train: np.ndarray = field(repr=False)  # numbers of the table's rows
    validation: np.ndarray = field(repr=False)
    n_classes: int
    seed: int = 42  # of its order of rows and its dropout, and of its weights where none are given
    start: Weights | None = field(default=None, repr=False)  # None: `pure.fresh`


@dataclass
class Outcome:
    """A trained network: the weights of its best check."""

    weights: Weights = field(repr=False)
    history: dict[str, list[float]]  # of each of SEEN, one value a check
    seconds: list[float]  # wall clock of each stretch up to a check, of all networks trained beside this one
    together: int  # networks trained at once


def train_many(
    table: Table,
    jobs: Sequence[Job],
    plan: Plan,
    after_check: Callable[[], object] = lambda: None,
) -> list[Outcome]:
    """Train one network a job, as many side by side as have equal shapes; outcomes in the order of the jobs.

    Networks go together when they have as many classes and as many training rows; where the device's memory is too
    small for all of them half as many do, with a warning. `after_check` is called after each look at the validation
    rows. Raises InputError without rows to train or to validate on, and for an optimiser it does not know.
    """
    _check(jobs, plan)
    alike: dict[tuple, list[int]] = {}
    for number, job in enumerate(jobs):
        shape = job.n_classes, len(job.train), job.start is not None and len(job.start.params)
        alike.setdefault(shape, []).append(number)
    on_device = Table(jnp.asarray(table.inputs, jnp.float32), jnp.asarray(table.codes, jnp.int32))
    outcomes: dict[int, Outcome] = {}
    for numbers in alike.values():
        waiting, most = list(numbers), len(numbers)
        while waiting:
            now = waiting[:most]
            try:
                found = _together(on_device, [jobs[number] for number in now], plan, after_check)
            except jax.errors.JaxRuntimeError as error:
                if "RESOURCE_EXHAUSTED" not in str(error):
                    raise
                if most == 1:
                    raise InputError(
                        f"expected a network on {len(table.codes):,} rows to fit on the accelerator, found its memory "
                        "full: lower rows or batch_size, or set JAX_PLATFORMS=cpu"
                    ) from None
                most = math.ceil(most / 2)
                warnings.warn(f"the device's memory holds fewer than {len(now)} networks: {most} at once", stacklevel=2)
                continue
            outcomes |= dict(zip(now, found, strict=True))
            waiting = waiting[most:]
    return [outcomes[number] for number in range(len(jobs))]


def _check(jobs: Sequence[Job], plan: Plan) -> None:
    if plan.recipe.optimiser not in OPTIMISERS:
        known = ", ".join(OPTIMISERS)
        raise InputError(f"expected optimiser to be one of {known}, found {plan.recipe.optimiser!r}")
    for job in jobs:
        if len(job.train) == 0 or len(job.validation) == 0:
            raise InputError(
                f"expected rows to train and to validate on, found {len(job.train)} and {len(job.validation)}: "
                "raise rows"
            )


def _together(table: Table, jobs: Sequence[Job], plan: Plan, after_check: Callable[[], object]) -> list[Outcome]:
    """Train jobs of equal shapes side by side."""
    given, moving = _prepared(jobs, plan)
    draws = [np.random.default_rng(job.seed) for job in jobs]
    epochs = plan.recipe.epochs
    stretch = compiled(plan)
    histories, seconds = [{name: [] for name in SEEN} for _ in jobs], []
    alive, waited = np.ones(len(jobs), bool), np.zeros(len(jobs), int)
    order = _order(jobs, draws, plan.recipe.batch_size)
    for epoch in range(1, epochs + 1):
        began = time.perf_counter()
        moving, seen = stretch(table, given, moving, order, jnp.asarray(alive))
        if epoch < epochs:
            order = _order(jobs, draws, plan.recipe.batch_size)  # while the device is at work
        seen = jax.device_get(seen)
        seconds.append(time.perf_counter() - began)
        for number in np.flatnonzero(alive):
            for name in SEEN:
                histories[number][name].append(float(seen[name][number]))
        after_check()
        waited = np.where(seen["better"], 0, waited + 1)
        if plan.patience is not None:
            alive &= waited < plan.patience
        if not alive.any():
            break
    best = jax.device_get(moving.best)
    return [
        Outcome(jax.tree.map(lambda each, n=number: each[n], best), history, seconds[: len(history["loss"])], len(jobs))
        for number, history in enumerate(histories)
    ]


def _prepared(jobs: Sequence[Job], plan: Plan) -> tuple[Given, Moving]:
    """Both halves of every network, stacked."""
    rows = max(len(job.validation) for job in jobs)
    size = min(LARGEST_CHECK, rows, max(64, CHECKED_AT_ONCE // len(jobs)))
    padded = math.ceil(rows / size) * size
    given, moving = [], []
    for job in jobs:
        weights = job.start or pure.fresh(job.n_classes, job.seed)
        learning = {name: layer for name, layer in weights.params.items() if name in plan.layers}
        still = {name: layer for name, layer in weights.params.items() if name not in plan.layers}
        checked, counted = np.zeros(padded, np.int32), np.zeros(padded, np.float32)
        checked[: len(job.validation)], counted[: len(job.validation)] = job.validation, 1.0
        steps = plan.recipe.epochs * math.ceil(len(job.train) / plan.recipe.batch_size)
        given.append(Given(
            still, jax.random.key_data(jax.random.key(job.seed)), np.float32(steps),
            checked.reshape(-1, size), counted.reshape(-1, size),
        ))  # fmt: skip
        moving.append(Moving(
            learning, weights.state, first_slots(plan.recipe.optimiser, learning), np.int32(0), weights,
            np.float32(np.inf),
        ))  # fmt: skip
    return _stacked(given), _stacked(moving)


def _stacked(trees: list):
    return jax.tree.map(lambda *each: jnp.asarray(np.stack(each)), *trees)


def _order(jobs: Sequence[Job], draws: Sequence[np.random.Generator], size: int) -> tuple[np.ndarray, np.ndarray]:
    """An epoch's row numbers (networks, batches, rows), and those of a smaller last batch (networks, rows)."""
    rows = np.stack([draw.permutation(np.int32(job.train)) for job, draw in zip(jobs, draws, strict=True)])
    whole = rows.shape[1] // size * size
    return rows[:, :whole].reshape(len(rows), -1, size), rows[:, whole:]
