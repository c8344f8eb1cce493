"""Read this file first: the paper on one page. Each step is a call into the chapter that does it.

    setup = Setup(notebook="03_transfer")                    # task, recipe, seed: Sections 4.2.2 and 5.2
    target = prepare.prepare("nf-ton-iot")                   # Section 5.1: cleaned, split, cached
    scratch = from_scratch(target, setup)                    # Sections 4.1 and 4.2
    rows = prepare_source(target, source_of(target), "paper", "data", Allowed())
    source = source_run(rows, setup)                         # Section 4.3: the network to start from
    transfer = transferred(target, source, "paper", setup)   # Section 4.3, Fig. 4
    scratch.result["scores"], transfer.result["scores"]      # Section 5.2, Tables 4 to 6

Every function takes prepared rows and a `Setup`, and gives a finished `Run`: a model and its scores on the test rows,
saved under `setup.runs_dir`. Notebook 02 calls `from_scratch`, 03 all of the above and `zero_shot`, 05 `chosen`.
`setup.share` is the share of the target's labelled rows; `setup.recipe.frozen` what of the source is frozen.
"""

import warnings
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pandas as pd

from tlids_helpers.common.errors import InputError
from tlids_helpers.data import prepare, share
from tlids_helpers.data.prepare import Prepared
from tlids_helpers.data.raw import Allowed
from tlids_helpers.data.source import PROTOCOLS, prepare_source, source_dataset, source_of
from tlids_helpers.network import training, transfer
from tlids_helpers.network.model import predict
from tlids_helpers.results import metrics, runs
from tlids_helpers.results.runs import Run, Setup

TRAINED = ("scratch", *PROTOCOLS)
STUDY = {"learning_rate": (0.01, 0.001, 0.0001), "epochs": (20, 50, 100), "batch_size": (16, 32, 64, 128, 256)}
ROWS_PER_SECOND = 12_000  # of training, batch 128, on two cores: only to tell beforehand how long it will take


def from_scratch(prepared: Prepared, setup: Setup, again: bool = False) -> Run:
    """Train the whole network on `prepared` (Sections 4.1 and 4.2); a finished run is taken as it is unless `again`."""
    if not again and (done := _finished(prepared, "scratch", setup)):
        return done
    n_classes, train, validation = _to_learn_from(prepared, setup)
    fitted = training.train_from_scratch(train, validation, n_classes, setup.recipe, setup.seed)
    scores = score(prepared, fitted.model, setup.task)
    return runs.save(prepared, "scratch", setup, fitted, scores)


def seeds_from_scratch(prepared: Sequence[Prepared], setup: Setup, seeds: Sequence[int]) -> list[Run]:
    """`from_scratch` for each of `seeds`, on the rows prepared with it; what is missing trains together.

    Side by side on an accelerator that JAX sees, one after the other without. Raises InputError for a seed that is
    given twice.
    """
    training.check_seeds(seeds)
    setups = [replace(setup, seed=seed) for seed in seeds]
    found = [_finished(rows, "scratch", each) for rows, each in zip(prepared, setups, strict=True)]
    if missing := [number for number, run in enumerate(found) if run is None]:
        learned = [_to_learn_from(prepared[number], setups[number]) for number in missing]
        rows, numbers = [pair for _, *pair in learned], [seeds[number] for number in missing]
        fitted = training.train_seeds(rows, learned[0][0], setup.recipe, numbers)
        for number, one in zip(missing, fitted, strict=True):
            scores = score(prepared[number], one.model, setup.task)
            found[number] = runs.save(prepared[number], "scratch", setups[number], one, scores)
    return found


def source_run(source: Prepared, setup: Setup) -> Run:
    """The network that transfer starts from (Section 4.3): all classes of the source, from scratch."""
    return from_scratch(source, replace(setup, task="multiclass", share=1.0))


def transferred(target: Prepared, source: Run, protocol: str, setup: Setup) -> Run:
    """Put a new head on the blocks of `source`, frozen or not, and train it on `target` (Section 4.3, Fig. 4).

    `protocol` says which rows the source was trained on: "paper" or "leave_target_out". Raises InputError for a target
    that is its own source under the latter.
    """
    if protocol == "leave_target_out" and source.result["dataset"] == target.name:
        raise InputError(f"expected a source without {target.title}, found a model trained on it: use protocol=paper")
    n_classes, train, validation = _to_learn_from(target, setup)
    pretrained = transfer.load_source(source.model_path, target.features, source.result)
    fitted = transfer.train_transferred(pretrained, train, validation, n_classes, setup.recipe, setup.seed)
    scores = score(target, fitted.model, setup.task)
    return runs.save(target, protocol, setup, fitted, scores, source)


def score(prepared: Prepared, model, task: str) -> dict:
    """What a Keras model makes of the test rows (Section 5.2): classes, scores, per_class, confusion, as in a run."""
    features, _ = prepare.load(prepared, "test", task)
    return runs.on_test(prepared, task, predict(model, features).argmax(axis=1))


def zero_shot(target: Prepared, source: Run) -> dict[str, float]:
    """What `source` is worth on the target's test rows with nothing trained: benign or attack.

    roc_auc of 1 - P(benign), and mcc, recall, false_alarms (fractions) of its likeliest class being an attack. The
    source's other classes need not be the target's. Raises InputError where either has no benign class.
    """
    classes, benign = source.result["classes"], source.result["benign"]
    if benign not in classes:
        raise InputError(f"expected a benign class in the source, found {', '.join(classes)}: choose another source")
    features, truth = prepare.load(target, "test", "binary")
    prepare.class_list(target, "binary")
    model = transfer.load_source(source.model_path, target.features, source.result)
    return metrics.benign_or_attack(truth, predict(model, features), classes.index(benign))


def chosen(prepared: Prepared, trained: str, setup: Setup, source: str, data_dir: str | Path, allowed: Allowed) -> Run:
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
    rows = prepare_source(prepared, slug, trained, data_dir, allowed)
    return transferred(prepared, source_run(rows, setup), trained, setup)


def sweep(prepared: Prepared, setup: Setup) -> pd.DataFrame:
    """The study of Section 4.2.2, one hyper-parameter at a time: parameter, value, val_accuracy, epochs, seconds.

    Scored on validation rows; test rows shape nothing.
    """
    n_classes, train, validation = _to_learn_from(prepared, setup)
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


def time_needed(prepared: Prepared, setup: Setup) -> str:
    """Whether the run from scratch is there; if not, that it is trained now, and how long that takes at most."""
    if done := _finished(prepared, "scratch", setup):
        return f"the model is there ({done.folder.name})"
    rows = prepared.size("train")
    return (
        f"the model is missing, so training comes first, on {rows:,} rows for at most {setup.recipe.epochs} epochs: "
        f"up to {_duration(rows * setup.recipe.epochs / ROWS_PER_SECOND)} on two cores"
    )


def _to_learn_from(prepared: Prepared, setup: Setup) -> tuple:
    """How many classes there are, the training rows and the validation rows. Test rows stay closed.

    A share's training rows come round until there are as many as there were: the same number of updates an epoch.
    """
    n_classes = len(prepare.class_list(prepared, setup.task))
    train, validation = (share.load(prepared, role, setup.task, setup.share, setup.seed)
                         for role in ("train", "validation"))  # fmt: skip
    return n_classes, share.as_many(train, prepared.size("train")), validation


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
