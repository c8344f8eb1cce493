"""Time to equal quality: when a training's validation macro-F1 first reaches another's.

    python tests/bench/quality.py RECIPE SEED [--dataset NAME] [--plain]       one training, its curve as JSON

Two real datasets: the testbed, which the repository ships, and a sample of NF-BoT-IoT-v2 (TLIDS_SHARED).
"""

import argparse
import contextlib
import json
import os
import subprocess
import sys
import time
from pathlib import Path

from lines import HOME, REPOSITORY

from tlids_helpers.data import prepare
from tlids_helpers.data.raw import SUBSET

SAMPLE = "NF-BoT-IoT-v2.sample.csv.gz"
ROWS = {"testbed": None, "nf-bot-iot-v2": 40_000}


def datasets() -> list[str]:
    """Those of the two that are at hand; the sample is linked to where the catalog looks for the file."""
    shared = Path(os.environ.get("TLIDS_SHARED") or REPOSITORY.parent / "shared")
    sample = (shared / "data" / "netflow" / SAMPLE).resolve()
    link = HOME / "data" / "raw" / "NF-BoT-IoT-v2.csv.gz"
    if sample.is_file() and not link.is_symlink():
        link.parent.mkdir(parents=True, exist_ok=True)
        link.symlink_to(sample)
    return [name for name in ROWS if name == "testbed" or link.exists()]


def rows_of(dataset: str, seed: int, quick: bool = False) -> prepare.Prepared:
    """The rows that are trained on, prepared."""
    return prepare.prepare(dataset, HOME / "data", seed=seed, rows=2_000 if quick else ROWS[dataset], allowed=SUBSET)


def reached(curve: list[dict], goal: float) -> float | None:
    """Seconds until the validation macro-F1 is `goal` for the first time; None when it never is."""
    return next((point["seconds"] for point in curve if point["macro_f1"] >= goal), None)


def best(curve: list[dict]) -> float:
    """The highest macro-F1 of a curve."""
    return max(point["macro_f1"] for point in curve)


def curve_of(
    recipe: str, seed: int, dataset: str, quick: bool, backend: str = "tensorflow", plain: bool = False
) -> list[dict]:
    """`watched` in a process of its own, so that nothing is warm; `plain` as in `plainly`."""
    command = [sys.executable, str(Path(__file__)), recipe, str(seed), "--dataset", dataset]
    command += ["--quick"] * quick + ["--plain"] * plain
    environment = {**os.environ, "KERAS_BACKEND": backend}
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True, env=environment)
    return json.loads(done.stdout.splitlines()[-1])


def watcher(features, codes):
    """A callback that notes the validation macro-F1 after every epoch, and the seconds of training until then.

    `features` are what the model that is fitted takes. The time that the noting itself takes does not count.
    """
    from tlids_helpers.network.backend import keras
    from tlids_helpers.results import metrics

    class Watcher(keras.callbacks.Callback):
        def on_train_begin(self, logs=None):
            self.curve, self.noting, self.began = [], 0.0, time.perf_counter()

        def on_epoch_end(self, epoch, logs=None):
            paused = time.perf_counter()
            predicted = self.model.predict(features, batch_size=4096, verbose=0).argmax(axis=1)
            score = metrics.scores(codes, predicted)["macro_f1"]
            self.curve.append({"seconds": paused - self.began - self.noting, "macro_f1": score})
            self.noting += time.perf_counter() - paused

    return Watcher()


@contextlib.contextmanager
def watched_by(watch):
    """`training.fit` shows its progress to `watch`, a callback, in place of its bar."""
    from tlids_helpers.network import training

    bar, training.EpochBar = training.EpochBar, lambda: watch
    try:
        yield
    finally:
        training.EpochBar = bar


def plainly(train, validation, n_classes: int, chosen, seed: int, watch) -> None:
    """The same training as every tutorial has it: `model.fit` on arrays, a batch a call."""
    from tlids_helpers.network import model, training
    from tlids_helpers.network.backend import keras, set_seed

    set_seed(seed)
    first = model.preprocessing(train[0])
    network = model.chain(model.backbone(chosen.dropout), model.head(n_classes), name="network")
    inside = [(first.predict(x, batch_size=65536, verbose=0), y) for x, y in (train, validation)]
    optimiser = training.optimiser(chosen, len(train[0]) // chosen.batch_size)
    network.compile(optimiser, loss="sparse_categorical_crossentropy", metrics=["accuracy"])
    patience = training.warmed_patience(chosen, len(train[0]))
    network.fit(
        *inside[0], validation_data=inside[1], batch_size=chosen.batch_size, epochs=chosen.epochs, verbose=0,
        callbacks=[keras.callbacks.EarlyStopping("val_loss", patience=patience), watch],
    )  # fmt: skip


def main() -> None:
    """Train once and print the curve."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("recipe")
    parser.add_argument("seed", type=int)
    parser.add_argument("--dataset", default="testbed")
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--plain", action="store_true")
    options = parser.parse_args()
    from tlids_helpers.network import model, recipe, training

    prepared = rows_of(options.dataset, options.seed, options.quick)
    train, validation = (prepare.load(prepared, role) for role in ("train", "validation"))
    chosen = recipe.named(options.recipe, epochs=2 if options.quick else None)
    inside = model.preprocessing(train[0]).predict(validation[0], verbose=0)
    watch = watcher(inside, validation[1])
    if options.plain:
        plainly(train, validation, len(prepared.classes), chosen, options.seed, watch)
    else:
        with watched_by(watch):
            training.train_from_scratch(train, validation, len(prepared.classes), chosen, options.seed)
    print(json.dumps(watch.curve))


if __name__ == "__main__":
    main()
