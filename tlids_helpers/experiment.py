"""One experiment a function: prepared rows in, a finished run out. Notebooks 02 and 03 call these."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pandas as pd

from tlids_helpers.common.errors import InputError
from tlids_helpers.data import prepare
from tlids_helpers.data.catalog import DATASETS
from tlids_helpers.data.prepare import Prepared
from tlids_helpers.network import training, transfer
from tlids_helpers.network.model import predict
from tlids_helpers.network.recipe import Recipe
from tlids_helpers.results import metrics, runs
from tlids_helpers.results.runs import Run

PROTOCOLS = ("paper", "leave_target_out")
STUDY = {"learning_rate": (0.01, 0.001, 0.0001), "epochs": (20, 50, 100), "batch_size": (16, 32, 64, 128, 256)}
FAMILY_SOURCES = {"netflow": "nf-uq-nids", "cicflow": "cic-ton-iot"}  # for a user's own file
ROWS_PER_SECOND = 12_000  # of training, batch 128, on two cores: only to say beforehand how long it will take


def from_scratch(
    notebook: str,
    prepared: Prepared,
    task: str,
    recipe: Recipe,
    seed: int,
    runs_dir: str | Path,
    callbacks: tuple = (),
    again: bool = False,
) -> Run:
    """Train the whole network on `prepared`; a finished run is taken as it is unless `again`."""
    done = runs.find(runs_dir, runs.run_name(prepared, task, "scratch", recipe, seed))
    if done and not again:
        return done
    n_classes = len(prepare.class_list(prepared, task))
    rows = [prepare.load(prepared, role, task) for role in ("train", "validation")]
    fitted = training.train_from_scratch(*rows, n_classes, recipe, seed, callbacks)
    return runs.save(runs_dir, notebook, prepared, task, "scratch", recipe, seed, fitted)


def transferred(
    notebook: str,
    prepared: Prepared,
    source: Run,
    protocol: str,
    task: str,
    recipe: Recipe,
    seed: int,
    runs_dir: str | Path,
    callbacks: tuple = (),
) -> Run:
    """Put a new head on the frozen blocks of `source` and train it on `prepared` (Section 4.3)."""
    n_classes = len(prepare.class_list(prepared, task))
    pretrained = transfer.load_source(source.model_path, prepared.features, source.result)
    rows = [prepare.load(prepared, role, task) for role in ("train", "validation")]
    fitted = transfer.train_transferred(pretrained, *rows, n_classes, recipe, seed, callbacks)
    return runs.save(runs_dir, notebook, prepared, task, protocol, recipe, seed, fitted, source)


def scores_without(
    prepared: Prepared, task: str, hidden: tuple[str, ...], recipe: Recipe, seed: int, callbacks: tuple = ()
) -> dict[str, float]:
    """Scores on the test split of the network trained from scratch on rows in which `hidden` features are all 0."""
    columns = [prepared.features.index(name) for name in hidden]
    blind = {}
    for role in prepare.ROLES:
        features, codes = prepare.load(prepared, role, task)
        features[:, columns] = 0
        blind[role] = features, codes
    n_classes = len(prepare.class_list(prepared, task))
    fitted = training.train_from_scratch(blind["train"], blind["validation"], n_classes, recipe, seed, callbacks)
    features, truth = blind["test"]
    return metrics.scores(truth, predict(fitted.model, features).argmax(axis=1))


def source_of(prepared: Prepared, source: str = "") -> str:
    """The slug transfer starts from: `source` if given, else what the catalog says, else the family's.

    Raises InputError for a source that the catalog does not have, or of another family.
    """
    if source and source not in DATASETS:
        raise InputError(f"expected a source of the catalog ({', '.join(DATASETS)}), found {source!r}: correct it")
    entry = DATASETS.get(prepared.name)
    slug = source or (entry.source if entry and prepared.version else FAMILY_SOURCES[prepared.family])
    if DATASETS[slug].family != prepared.family:  # said now, not after the source was trained
        raise InputError(
            f"expected a source of the {prepared.family} family, as {prepared.title} is, but {slug} is of the "
            f"{DATASETS[slug].family} family: choose another source"
        )
    return slug


def prepare_source(
    prepared: Prepared,
    source: str,
    protocol: str,
    data_dir: str | Path,
    allow_subset: bool,
    progress: Callable[[int], object] | None = None,
) -> Prepared:
    """The source's rows under a protocol, split and subsampled as the target is; `progress` as in `prepare`.

    "paper": all of the source. "leave_target_out": the source without the target. No test row of the target
    is a training row of the source under either, because a union is split part by part. A source is never split by
    recordings: it has none in common with the target. Raises InputError for an unknown protocol, and where nothing
    would be left of the source.
    """
    if protocol not in PROTOCOLS:
        raise InputError(f"expected protocol to be one of {', '.join(PROTOCOLS)}, found {protocol!r}: correct it")
    if protocol == "leave_target_out" and prepared.name == source:
        raise InputError(
            f"expected a source that is more than {prepared.title} itself, found {source}: use protocol=paper"
        )
    without = prepared.name if protocol == "leave_target_out" and prepared.name in DATASETS[source].parts else ""
    split = "paper" if prepared.split == "session" else prepared.split
    return prepare.prepare(source, data_dir, split, prepared.seed, prepared.rows, allow_subset, without, progress)


def protocols_for(target: Prepared, source: str, wanted: str) -> list[str]:
    """The protocols that make sense: "both" is one where the target is no part of the source, or is the source.

    Raises InputError for an unknown protocol.
    """
    if wanted not in (*PROTOCOLS, "both"):
        raise InputError(f"expected protocol to be paper, leave_target_out or both, found {wanted!r}: correct it")
    if wanted != "both":
        return [wanted]
    return list(PROTOCOLS) if target.name in DATASETS[source].parts else ["paper"]


def source_sentence(source: Prepared, recipe: Recipe, seed: int, runs_dir: str | Path) -> str:
    """Whether the source model is there; if not, that it is trained now and how long that may take."""
    name = runs.run_name(source, "multiclass", "scratch", recipe, seed)
    if runs.find(runs_dir, name):
        return f"the source model is there ({name})"
    seconds = source.size("train") * recipe.epochs / ROWS_PER_SECOND
    return (
        f"the source model is missing, so it is trained first on {source.size('train'):,} rows for at most "
        f"{recipe.epochs} epochs: up to {_duration(seconds)} on two cores"
    )


def sweep(
    prepared: Prepared, task: str, recipe: Recipe, seed: int, progress: Callable[[int], object] | None = None
) -> pd.DataFrame:
    """The study of Section 4.2.2, one hyper-parameter at a time: parameter, value, val_accuracy, epochs, seconds.

    Scored on validation rows; test rows shape nothing. `progress` is called with 1 after each setting.
    """
    n_classes = len(prepare.class_list(prepared, task))
    data = [prepare.load(prepared, role, task) for role in ("train", "validation")]
    rows = []
    for name, value in [(n, v) for n, values in STUDY.items() for v in values]:
        fitted = training.train_from_scratch(*data, n_classes, replace(recipe, **{name: value}), seed)
        best = fitted.history["val_accuracy"][fitted.best_epoch - 1]
        rows.append((name, value, best, fitted.epochs, fitted.seconds["total"]))
        if progress:
            progress(1)
    return pd.DataFrame(rows, columns=["parameter", "value", "val_accuracy", "epochs", "seconds"])


def _duration(seconds: float) -> str:
    if seconds < 120:
        return f"{max(seconds, 1):.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 7200 else f"{seconds / 3600:.0f} h"
