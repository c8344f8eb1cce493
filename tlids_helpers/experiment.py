"""Read this file first: the paper on one page. Each step is a call into the chapter that does it.

    setup = Setup(notebook="03_transfer")                    # task, recipe, seed: Sections 4.2.2 and 5.2
    target = prepare.prepare("nf-ton-iot")                   # Section 5.1: cleaned, split, cached
    scratch = from_scratch(target, setup)                    # Sections 4.1 and 4.2
    rows = prepare_source(target, source_of(target), "paper", "data", False)
    source = source_run(rows, setup)                         # Section 4.3: the network to start from
    transfer = transferred(target, source, "paper", setup)   # Section 4.3, Fig. 4
    scratch.result["scores"], transfer.result["scores"]      # Section 5.2, Tables 4 to 6

Every function takes prepared rows and a `Setup`, and gives a finished `Run`: a model and its scores on the test rows,
saved under `setup.runs_dir`. Notebook 02 calls `from_scratch`, 03 all of the above, 05 `chosen`.
"""

import warnings
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd

from tlids_helpers.common.errors import InputError
from tlids_helpers.data import prepare
from tlids_helpers.data.prepare import Prepared
from tlids_helpers.data.raw import Allowed
from tlids_helpers.data.source import PROTOCOLS, prepare_source, source_dataset, source_of
from tlids_helpers.network import training, transfer
from tlids_helpers.network.model import predict
from tlids_helpers.network.training import Trained
from tlids_helpers.results import metrics, runs
from tlids_helpers.results.runs import Run, Setup

TRAINED = ("scratch", *PROTOCOLS)
STUDY = {"learning_rate": (0.01, 0.001, 0.0001), "epochs": (20, 50, 100), "batch_size": (16, 32, 64, 128, 256)}
ROWS_PER_SECOND = 12_000  # of training, batch 128, on two cores: only to tell beforehand how long it will take


def from_scratch(prepared: Prepared, setup: Setup, again: bool = False) -> Run:
    """Train the whole network on `prepared` (Sections 4.1 and 4.2); a finished run is taken as it is unless `again`."""
    if not again and (done := _finished(prepared, "scratch", setup)):
        return done
    n_classes, train, validation = _to_learn_from(prepared, setup.task)
    fitted = training.train_from_scratch(train, validation, n_classes, setup.recipe, setup.seed)
    return _scored(prepared, "scratch", setup, fitted)


def seeds_from_scratch(prepared: Sequence[Prepared], setup: Setup, seeds: Sequence[int]) -> list[Run]:
    """`from_scratch` for each of `seeds`, on the rows prepared with it; what is missing trains together.

    Side by side on an accelerator that JAX sees, one after the other without. Raises InputError for a seed that is
    given twice.
    """
    training.check_seeds(seeds)
    setups = [replace(setup, seed=seed) for seed in seeds]
    found = [_finished(rows, "scratch", each) for rows, each in zip(prepared, setups, strict=True)]
    if missing := [number for number, run in enumerate(found) if run is None]:
        learned = [_to_learn_from(prepared[number], setup.task) for number in missing]
        rows, numbers = [pair for _, *pair in learned], [seeds[number] for number in missing]
        fitted = training.train_seeds(rows, learned[0][0], setup.recipe, numbers)
        for number, one in zip(missing, fitted, strict=True):
            found[number] = _scored(prepared[number], "scratch", setups[number], one)
    return found


def source_run(source: Prepared, setup: Setup) -> Run:
    """The network that transfer starts from (Section 4.3): all classes of the source, from scratch."""
    return from_scratch(source, replace(setup, task="multiclass"))


def transferred(target: Prepared, source: Run, protocol: str, setup: Setup) -> Run:
    """Put a new head on the frozen blocks of `source` and train it on `target` (Section 4.3, Fig. 4).

    `protocol` says which rows the source was trained on: "paper" or "leave_target_out".
    """
    n_classes, train, validation = _to_learn_from(target, setup.task)
    pretrained = transfer.load_source(source.model_path, target.features, source.result)
    fitted = transfer.train_transferred(pretrained, train, validation, n_classes, setup.recipe, setup.seed)
    return _scored(target, protocol, setup, fitted, source)


def chosen(
    prepared: Prepared, trained: str, setup: Setup, source: str, data_dir: str | Path, allow_subset: Allowed | bool
) -> Run:
    """The run whose model goes to the Pi: the finished one, or trained now as notebook 02 or 03 would.

    `trained` is "scratch", "paper" or "leave_target_out"; `source` a slug, or "" for the catalog's. Its rows are
    prepared only if the run is missing. Raises InputError for another way of training, or as `data.source` does.
    """
    if trained not in TRAINED:
        raise InputError(f"expected trained to be one of {', '.join(TRAINED)}, found {trained!r}: correct it")
    if trained == "scratch":
        return from_scratch(prepared, setup)
    slug = source_of(prepared, source)
    if done := _finished(prepared, trained, setup, source_dataset(prepared.name, slug, trained)):
        return done
    rows = prepare_source(prepared, slug, trained, data_dir, allow_subset)
    return transferred(prepared, source_run(rows, setup), trained, setup)


def sweep(prepared: Prepared, setup: Setup) -> pd.DataFrame:
    """The study of Section 4.2.2, one hyper-parameter at a time: parameter, value, val_accuracy, epochs, seconds.

    Scored on validation rows; test rows shape nothing.
    """
    n_classes, train, validation = _to_learn_from(prepared, setup.task)
    rows = []
    for name, value in [(name, value) for name, values in STUDY.items() for value in values]:
        recipe = replace(setup.recipe, **{name: value})
        fitted = training.train_from_scratch(train, validation, n_classes, recipe, setup.seed)
        best = fitted.history["val_accuracy"][fitted.best_epoch - 1]
        rows.append((name, value, best, fitted.epochs, fitted.seconds["total"]))
    return pd.DataFrame(rows, columns=["parameter", "value", "val_accuracy", "epochs", "seconds"])


def scores_without(prepared: Prepared, hidden: tuple[str, ...], setup: Setup) -> dict[str, float]:
    """Scores on the test rows of the network trained from scratch on rows in which `hidden` features are all 0."""
    columns = [prepared.features.index(name) for name in hidden]
    blind = {}
    for role in prepare.ROLES:
        features, codes = prepare.load(prepared, role, setup.task)
        features[:, columns] = 0
        blind[role] = features, codes
    n_classes = len(prepare.class_list(prepared, setup.task))
    fitted = training.train_from_scratch(blind["train"], blind["validation"], n_classes, setup.recipe, setup.seed)
    features, truth = blind["test"]
    return metrics.scores(truth, predict(fitted.model, features).argmax(axis=1))


def time_needed(prepared: Prepared, trained: str, setup: Setup, source: Prepared | None = None) -> str:
    """Whether the run is there; if not, that it is trained now (its `source` too), and how long that takes at most."""
    origin = source.name if source else ""
    if done := _finished(prepared, trained, setup, origin):
        return f"the model is there ({done.folder.name})"
    missing = [prepared]
    if source and not _finished(source, "scratch", replace(setup, task="multiclass")):
        missing.insert(0, source)
    rows = sum(each.size("train") for each in missing)
    what = "the model and its source are" if len(missing) > 1 else "the model is"
    return (
        f"{what} missing, so training comes first, on {rows:,} rows for at most {setup.recipe.epochs} epochs: "
        f"up to {_duration(rows * setup.recipe.epochs / ROWS_PER_SECOND)} on two cores"
    )


def _to_learn_from(prepared: Prepared, task: str) -> tuple:
    """How many classes there are, the training rows and the validation rows. Test rows stay closed."""
    n_classes = len(prepare.class_list(prepared, task))
    return n_classes, prepare.load(prepared, "train", task), prepare.load(prepared, "validation", task)


def _scored(prepared: Prepared, protocol: str, setup: Setup, fitted: Trained, source: Run | None = None) -> Run:
    """Predict the test rows, score and save (Section 5.2)."""
    features, _ = prepare.load(prepared, "test", setup.task)
    predicted = np.argmax(predict(fitted.model, features), axis=1)
    return runs.save(prepared, protocol, setup, fitted, predicted, source)


def _finished(prepared: Prepared, protocol: str, setup: Setup, source: str = "") -> Run | None:
    """The finished run of these parameters, or None; warns of one that was made from other rows."""
    done = runs.find(setup.runs_dir, runs.name_for(prepared, protocol, setup, source))
    if done and (fault := runs.misfit(done, prepared)):
        warnings.warn(f"{fault}: the run is made again", stacklevel=3)
        return None
    return done


def _duration(seconds: float) -> str:
    if seconds < 120:
        return f"{max(seconds, 1):.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 7200 else f"{seconds / 3600:.0f} h"
