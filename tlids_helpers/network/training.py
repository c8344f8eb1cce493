"""Fit the network (Section 4.2): sparse categorical cross-entropy, early stopping on validation rows."""

import math
import time
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from tlids_helpers.common import progress
from tlids_helpers.common.errors import InputError
from tlids_helpers.network import batching, device
from tlids_helpers.network import model as network
from tlids_helpers.network.backend import keras, set_seed
from tlids_helpers.network.recipe import OPTIMISERS, RATE_DECAY, WEIGHT_DECAY, Recipe

WARM_UP_STEPS = 1000  # batches until batch normalisation's moving averages (momentum 0.99) mean anything
VALIDATION_BATCH = 4096
Rows = tuple[np.ndarray, np.ndarray]
STEPS_PER_EXECUTION = 32  # 32 batches in one call: the same weights, less overhead


@dataclass
class Trained:
    """A fitted model and how it got there."""

    model: keras.Model  # raw features -> probabilities
    history: dict[str, list[float]] = field(repr=False)  # one value an epoch
    epochs: int
    best_epoch: int  # 1-based; the weights are this epoch's
    seconds: dict[str, float]  # "total", "per_epoch" (median)


def train_from_scratch(
    train: Rows,
    validation: Rows,
    n_classes: int,
    recipe: Recipe = Recipe(),  # noqa: B008 - frozen
    seed: int = 42,
) -> Trained:
    """Train the whole network; `train` and `validation` are (raw features (n, 9), class codes (n,)).

    Raises InputError without rows in either.
    """
    new = _untrained(train, validation, n_classes, recipe, seed)
    history, seconds = fit(new.learner, *new.inside, new.recipe, seed)
    return new.trained(history, seconds)


def train_seeds(rows: Sequence[tuple[Rows, Rows]], n_classes: int, recipe: Recipe, seeds: Sequence[int]) -> list:
    """`train_from_scratch` for each of `seeds` on its own (train, validation), in their order: a list of `Trained`.

    Side by side on an accelerator that JAX sees, one after the other without. Raises InputError without rows, for a
    seed that is given twice, and unless there are as many rows as seeds.
    """
    check_seeds(seeds)
    if len(rows) != len(seeds):
        raise InputError(f"expected rows for each of {len(seeds)} seeds, found {len(rows)}: give a pair a seed")
    each = list(zip(rows, seeds, strict=True))
    together = device.trainer()
    if together is None:
        return [train_from_scratch(*pair, n_classes, recipe, seed) for pair, seed in each]
    new = [_untrained(*pair, n_classes, recipe, seed) for pair, seed in each]
    works = [together.Work(one.learner, *one.inside, one.recipe, seed) for one, seed in zip(new, seeds, strict=True)]
    return [one.trained(*fitted) for one, fitted in zip(new, together.fit_all(works), strict=True)]


def check_seeds(seeds: Sequence[int]) -> None:
    """Raise InputError for a seed that is given twice: its network would count for two."""
    if len(set(seeds)) != len(seeds):
        raise InputError(f"expected each seed once, found {list(seeds)}: leave the second one out")


@dataclass
class _Untrained:
    """A network before its first epoch."""

    parts: tuple[keras.Model, ...]  # preprocessing, backbone, head
    learner: keras.Model  # the last two
    inside: list[Rows]  # train and validation as `learner` takes them
    recipe: Recipe
    seconds: float  # spent on it so far

    def trained(self, history: dict, seconds: list[float]) -> Trained:
        return trained(network.full_model(*self.parts), history, seconds, self.seconds)


def _untrained(train: Rows, validation: Rows, n_classes: int, recipe: Recipe, seed: int) -> _Untrained:
    _check_rows(train, validation)
    set_seed(seed)
    began = time.perf_counter()
    first = network.preprocessing(train[0])
    blocks = network.backbone(recipe.dropout, recipe.momentum)
    last = network.head(n_classes)
    learner = network.chain(blocks, last, name="network")
    # the preprocessing has no weights to learn: its output is computed once, not once an epoch
    inside = [through(first, rows) for rows in (train, validation)]
    spent = time.perf_counter() - began  # counted in transfer too
    patient = replace(recipe, patience=warmed_patience(recipe, len(train[0])))
    return _Untrained((first, blocks, last), learner, inside, patient, spent)


def warmed_patience(recipe: Recipe, rows: int) -> int:
    """Epochs of patience on `rows` training rows: the recipe's, but WARM_UP_STEPS batches at least.

    Until the moving averages of batch normalisation have settled, the validation loss says nothing, and a few
    thousand rows would stop with a network that names one class for everything.
    """
    batches = math.ceil(rows / recipe.batch_size) or 1
    return max(recipe.patience, math.ceil(WARM_UP_STEPS / batches))


def fit(
    learner: keras.Model, train: Rows, validation: Rows, recipe: Recipe, seed: int = 42
) -> tuple[dict, list[float]]:
    """Compile and fit `learner`; returns the history and the seconds of each epoch. Keeps the best epoch's weights.

    `train` and `validation` are (what `learner` takes, class codes (n,)). Where JAX sees an accelerator, our network
    and our head are trained there, on batches and dropout of `seed` (`together`). Raises InputError without rows in
    either.
    """
    _check_rows(train, validation)
    together = device.trainer()
    if together and together.is_ours(learner):
        return together.fit_all([together.Work(learner, train, validation, recipe, seed)])[0]
    learner.compile(
        optimizer=optimiser(recipe, math.ceil(len(train[0]) / recipe.batch_size)),
        loss="sparse_categorical_crossentropy",
        metrics=["accuracy"],
        **_execution(len(train[0]) // recipe.batch_size),
    )
    stop = keras.callbacks.EarlyStopping("val_loss", patience=recipe.patience, restore_best_weights=True)
    clock = EpochClock()
    rows = _rows(train, validation, recipe.batch_size)
    result = learner.fit(**rows, epochs=recipe.epochs, verbose=0, callbacks=[stop, clock, EpochBar()])
    return {name: [float(v) for v in values] for name, values in result.history.items()}, clock.seconds


def trained(model: keras.Model, history: dict, seconds: list[float], before: float) -> Trained:
    """Bundle a fitted model; `before` is time spent on it before the first epoch, in seconds."""
    losses = np.nan_to_num(history["val_loss"], nan=np.inf)  # a diverged epoch is never the best, as for Keras
    best = int(np.argmin(losses)) + 1
    times = {"total": before + sum(seconds), "per_epoch": float(np.median(seconds))}
    return Trained(model, history, len(seconds), best, times)


class EpochBar(keras.callbacks.Callback):
    """A progress bar over epochs with the validation loss, quiet where `progress` is."""

    def on_train_begin(self, logs=None) -> None:
        """Show an empty bar."""
        self.bar = progress.steps("training", "epoch", self.params["epochs"])

    def on_epoch_end(self, epoch, logs=None) -> None:
        """Advance it."""
        self.bar.set_postfix(val_loss=f"{logs['val_loss']:.4f}", refresh=False)
        self.bar.update()

    def on_train_end(self, logs=None) -> None:
        """Leave it where training stopped."""
        self.bar.close()


class EpochClock(keras.callbacks.Callback):
    """Wall-clock seconds of each epoch, validation included."""

    def __init__(self) -> None:
        """Start with no epochs."""
        super().__init__()
        self.seconds: list[float] = []

    def on_epoch_begin(self, epoch, logs=None) -> None:
        """Note when the epoch begins."""
        self._began = time.perf_counter()

    def on_epoch_end(self, epoch, logs=None) -> None:
        """Note how long it took."""
        self.seconds.append(time.perf_counter() - self._began)


def optimiser(recipe: Recipe, batches: int) -> keras.optimizers.Optimizer:
    """The recipe's optimiser for epochs of `batches` batches: Adagrad as in Section 4.2.2, or AdamW.

    AdamW comes with a cosine (Loshchilov and Hutter, ICLR 2017 and 2019): the rate falls to nothing at the last batch
    of the last epoch. Raises InputError for another name.
    """
    if recipe.optimiser not in OPTIMISERS:
        raise InputError(f"expected optimiser to be one of {', '.join(OPTIMISERS)}, found {recipe.optimiser!r}")
    steps, schedules = batches * recipe.epochs, keras.optimizers.schedules
    climb = math.ceil(recipe.warm_up * steps)
    if recipe.optimiser == "adamw":
        rate = schedules.CosineDecay(recipe.learning_rate, steps)
        return keras.optimizers.AdamW(_warmed(rate, climb), weight_decay=WEIGHT_DECAY)
    rate = schedules.InverseTimeDecay(recipe.learning_rate, decay_steps=1, decay_rate=RATE_DECAY)
    return keras.optimizers.Adagrad(_warmed(rate, climb))


def _warmed(rate, climb: int):
    """`rate`, climbing from nothing over the first `climb` batches (Goyal et al. 2017); itself where there are none."""

    class Warmed(keras.optimizers.schedules.LearningRateSchedule):
        def __call__(self, step):
            return rate(step) * keras.ops.minimum(1.0, (keras.ops.cast(step, "float32") + 1.0) / climb)

        def get_config(self):
            return {"rate": rate, "climb": climb}

    return Warmed() if climb else rate


def _rows(train: tuple, validation: tuple, size: int) -> dict:
    """What `Model.fit` is given: JAX the arrays, TensorFlow batches of them, which come shuffled."""
    if keras.backend.backend() == "jax":
        sizes = {"batch_size": size, "validation_batch_size": VALIDATION_BATCH}
        return {"x": train[0], "y": train[1], "validation_data": validation, **sizes}
    checked = batching.batched(*validation, VALIDATION_BATCH, shuffle=False)
    return {"x": batching.batched(*train, size, shuffle=True), "validation_data": checked, "shuffle": False}


def _execution(whole_batches: int) -> dict:
    """How batches are run: on TensorFlow many in one call; JAX compiles each once and gains nothing from more."""
    if keras.backend.backend() == "jax":
        return {}
    steps = max(1, min(STEPS_PER_EXECUTION, whole_batches))
    return {"steps_per_execution": steps, "jit_compile": False}  # XLA costs two thirds of TensorFlow's speed here


def _check_rows(train: Rows, validation: Rows) -> None:
    if len(train[0]) == 0 or len(validation[0]) == 0:
        raise InputError(
            f"expected rows to train and to validate on, found {len(train[0])} and {len(validation[0])}: raise rows"
        )


def through(fixed: keras.Model, rows: tuple[np.ndarray, np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
    """What a part of the network that does not learn gives for `rows`, and their class codes."""
    return fixed.predict(rows[0], batch_size=16384, verbose=0), rows[1]
