"""Where a run's result lies: one folder a run, with model.keras and result.json, written whole.

A run's name says what it is and ends in a key of everything that shaped it but this package's code for the network:
the same run has the same name, and an update of the package throws no trained source away.

`python -m tlids_helpers.grid --help` runs a grid of notebooks (grid.py).
"""

import json
import platform
import warnings
from collections.abc import Iterable
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from tlids_helpers.common import files as folders
from tlids_helpers.data import prepare
from tlids_helpers.data.prepare import Prepared
from tlids_helpers.network.recipe import Recipe

if TYPE_CHECKING:  # a name can be looked up without Keras, which takes seconds to import
    from tlids_helpers.network.training import Trained

SCHEMA = 1
PACKAGES = ("tensorflow", "tensorflow-cpu", "keras", "numpy", "scikit-learn", "pandas")


@dataclass(frozen=True)
class Run:
    """A finished run."""

    folder: Path
    result: dict

    @property
    def model_path(self) -> Path:
        """The Keras model: raw features in, probabilities out."""
        return self.folder / "model.keras"


def run_name(prepared: Prepared, task: str, protocol: str, recipe: Recipe, seed: int, source: str = "") -> str:
    """A run's folder name. `protocol` is "scratch", "paper" or "leave_target_out"; `source` the source run's name."""
    key = folders.key_of(
        data=prepared.folder.name,
        features=prepared.features,
        task=task,
        protocol=protocol,
        recipe=recipe.as_dict(),
        seed=seed,
        source=source,
    )
    return f"{prepared.name}-{task}-{prepared.split}-{protocol.replace('_', '-')}-s{seed}-{key}"


def save(
    runs_dir: str | Path,
    notebook: str,
    prepared: Prepared,
    task: str,
    protocol: str,
    recipe: Recipe,
    seed: int,
    fitted: "Trained",
    source: Run | None = None,
) -> Run:
    """Score a fitted model on the test split and leave it under `runs_dir` with one machine-readable result."""
    name = run_name(prepared, task, protocol, recipe, seed, source.folder.name if source else "")
    result = {
        "schema": SCHEMA, "run": name, "notebook": notebook,
        "dataset": prepared.name, "title": prepared.title, "family": prepared.family, "version": prepared.version,
        "paper_slug": prepared.paper_slug, "features": list(prepared.features), "task": task,
        "split": prepared.split, "protocol": protocol,
        "source": source.result["dataset"] if source else "", "source_run": source.folder.name if source else "",
        "source_mark": source.result["mark"] if source else "", "seed": seed, "mark": prepared.mark,
        "rows": {role: prepared.size(role) for role in prepare.ROLES}, "benign": prepared.benign,
        **_on_test(prepared, task, fitted),
        "history": fitted.history, "epochs": fitted.epochs, "best_epoch": fitted.best_epoch,
        "seconds": fitted.seconds, "parameters": {**recipe.as_dict(), "rows": prepared.rows}, "versions": versions(),
    }  # fmt: skip
    folder = folders.resolve(runs_dir) / name
    with folders.written_whole(folder) as scratch:
        fitted.model.save(scratch / "model.keras")
        (scratch / "result.json").write_text(json.dumps(result, indent=1))
    return Run(folder, result)


def find(runs_dir: str | Path, name: str) -> Run | None:
    """The finished run of that name, or None; a run without its model or with a broken result is not finished."""
    folder = folders.resolve(runs_dir) / name
    result = _read(folder / "result.json") if (folder / "model.keras").is_file() else None
    return Run(folder, result) if result else None


def collect(runs_dir: str | Path) -> list[dict]:
    """Every result under `runs_dir`, oldest first; warns of a result.json that no run of ours wrote."""
    # a hidden folder is a run that is being written, or was when its process died
    files = [file for file in folders.resolve(runs_dir).glob("*/result.json") if not file.parent.name.startswith(".")]
    results = []
    for file in sorted(files, key=lambda file: (file.stat().st_mtime, file)):
        if result := _read(file):
            results.append(result)
        else:
            warnings.warn(f"{folders.shown(file)} is left out: it is not the result of a run", stacklevel=2)
    return results


def versions(packages: Iterable[str] = PACKAGES, with_python: bool = True) -> dict[str, str]:
    """Versions of those of `packages` that are installed, and of Python."""
    found = {"python": platform.python_version()} if with_python else {}
    for package in packages:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            continue
    return found


def _read(file: Path) -> dict | None:
    """A result as `save` wrote it; None when the file is missing, broken or something else."""
    try:
        result = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    return result if isinstance(result, dict) and result.get("schema") == SCHEMA and "run" in result else None


def _on_test(prepared: Prepared, task: str, fitted: "Trained") -> dict:
    """Scores, per-class table and confusion matrix in counts, on the test split."""
    from tlids_helpers.network.model import predict  # Keras again
    from tlids_helpers.results import metrics

    classes = prepare.class_list(prepared, task)
    features, truth = prepare.load(prepared, "test", task)
    predicted = np.argmax(predict(fitted.model, features), axis=1)
    return {
        "classes": list(classes),
        "scores": metrics.scores(truth, predicted),
        "per_class": metrics.per_class(truth, predicted, classes),
        "confusion": metrics.confusion(truth, predicted, len(classes)).tolist(),
    }
