"""Fit the network (Section 4.2): sparse categorical cross-entropy, early stopping on validation rows."""

import math
import time
from dataclasses import dataclass, field, replace

import numpy as np

from tlids_helpers.common import progress
from tlids_helpers.common.errors import InputError
from tlids_helpers.network import batching
from tlids_helpers.network import model as network
from tlids_helpers.network.backend import keras, set_seed
from tlids_helpers.network.recipe import OPTIMISERS, Recipe

LEARNING_RATE_DECAY = 1e-6  # per step, Section 4.2.2
WEIGHT_DECAY = 1e-4  # of AdamW
WARM_UP_STEPS = 1000  # batches until batch normalisation's moving averages (momentum 0.99) mean anything
VALIDATION_BATCH = 4096
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
    train: tuple[np.ndarray, np.ndarray],
    validation: tuple[np.ndarray, np.ndarray],
    n_classes: int,
    recipe: Recipe = Recipe(),  # noqa: B008 - frozen
    seed: int = 42,
) -> Trained:
    """Train the whole network; `train` and `validation` are (raw features (n, 9), class codes (n,)).

    Raises InputError without rows in either.
    """
    set_seed(seed)
    began = time.perf_counter()
    first = network.preprocessing(train[0])
    blocks = network.backbone(recipe.dropout, recipe.momentum)
    last = network.head(n_classes)
    learner = network.chain(blocks, last, name="network")
    # the preprocessing has no weights to learn: its output is computed once, not once an epoch
    inside = [_through(first, rows) for rows in (train, validation)]
    spent = time.perf_counter() - began  # counted in transfer too
    patient = replace(recipe, patience=warmed_patience(recipe, len(train[0])))
    history, seconds = fit(learner, *inside, patient)
    return trained(network.full_model(first, blocks, last), history, seconds, spent)


def warmed_patience(recipe: Recipe, rows: int) -> int:
    """Epochs of patience on `rows` training rows: the recipe's, but WARM_UP_STEPS batches at least.

    Until the moving averages of batch normalisation have settled, the validation loss says nothing, and a few
    thousand rows would stop with a network that names one class for everything.
    """
    batches = math.ceil(rows / recipe.batch_size) or 1
    return max(recipe.patience, math.ceil(WARM_UP_STEPS / batches))


def fit(learner: keras.Model, train: tuple, validation: tuple, recipe: Recipe) -> tuple[dict, list[float]]:
    """Compile and fit `learner`; returns the history and the seconds of each epoch. Keeps the best epoch's weights.

    `train` and `validation` are (what `learner` takes, class codes (n,)). Raises InputError without rows in either.
    """
    if len(train[0]) == 0 or len(validation[0]) == 0:
        raise InputError(
            f"expected rows to train and to validate on, found {len(train[0])} and {len(validation[0])}: raise rows"
        )
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
    rate = schedules.InverseTimeDecay(recipe.learning_rate, decay_steps=1, decay_rate=LEARNING_RATE_DECAY)
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


def _through(first: keras.Model, rows: tuple[np.ndarray, np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
    return first.predict(rows[0], batch_size=65536, verbose=0), rows[1]
