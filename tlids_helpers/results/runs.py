"""Finished runs: one folder a run, with model.keras and result.json, written whole.

A run is named by its parameters. Nothing about the data, a path or the code is in the name, so it can be looked up
before any data is read, and a copied or updated repository finds the runs it had. What the rows were stands in
result.json; `misfit` says when a run does not fit them.
"""

import json
import platform
import warnings
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import numpy as np

from tlids_helpers.common import files
from tlids_helpers.data import prepare
from tlids_helpers.data.catalog import FEATURES
from tlids_helpers.data.prepare import Prepared
from tlids_helpers.network import recipe as recipes
from tlids_helpers.network.recipe import Recipe
from tlids_helpers.results import metrics

SCHEMA = 1
PACKAGES = ("tensorflow", "tensorflow-cpu", "keras", "numpy", "scikit-learn", "pandas")


@dataclass(frozen=True)
class Setup:
    """How a network is trained and where its run is kept; the same for every run of a notebook."""

    task: str = "multiclass"  # or "binary"
    recipe: Recipe = Recipe()
    seed: int = 42
    runs_dir: str | Path = "runs"
    notebook: str = ""  # which notebook made the run, for the result
    share: float = 1.0  # of the training and validation rows that is learned from


@dataclass(frozen=True)
class Run:
    """A finished run."""

    folder: Path
    result: dict

    @property
    def model_path(self) -> Path:
        """The Keras model: raw features in, probabilities out."""
        return self.folder / "model.keras"


def run_name(
    dataset: str, split: str, rows: int | None, protocol: str, setup: Setup, source: str = "", **unusual
) -> str:
    """A run's folder name, from its parameters alone; `dataset`, `split` and `rows` are `Prepared`'s.

    `protocol` is "scratch", "paper" or "leave_target_out"; `source` the name of the dataset it starts from; `unusual`
    what else shaped it. The words a person looks for come first, then a key of every parameter. From scratch nothing is
    frozen, whatever the recipe says: such runs are the same, and have the same name.
    """
    recipe = recipe_of(setup, protocol)
    words = [dataset, setup.task, split, protocol.replace("_", "-"), recipes.name_of(recipe), f"s{setup.seed}"]
    if rows:
        words.append(f"{rows}rows")
    if setup.share != 1:
        words.append(f"{setup.share:g}share")
        unusual["share"] = setup.share
    key = files.key_of(
        data=(dataset, split, rows), task=setup.task, protocol=protocol, recipe=recipe, seed=setup.seed, source=source,
        **unusual,
    )  # fmt: skip
    return "-".join([*words, key])


def name_for(prepared: Prepared, protocol: str, setup: Setup, source: str = "") -> str:
    """`run_name` for prepared rows; other features than the family's nine, or a split of another seed, shape it too."""
    unusual = {}
    if tuple(prepared.features) != tuple(FEATURES[prepared.family]):
        unusual["features"] = prepared.features
    if prepared.seed != setup.seed:
        unusual["split_seed"] = prepared.seed
    return run_name(prepared.name, prepared.split, prepared.rows, protocol, setup, source, **unusual)


def recipe_of(setup: Setup, protocol: str) -> dict:
    """The recipe's parameters as far as they shape a run under `protocol`."""
    recipe = asdict(setup.recipe)
    return {**recipe, "frozen": Recipe.frozen} if protocol == "scratch" else recipe


def save(prepared: Prepared, protocol: str, setup: Setup, fitted, on_test: dict, source: Run | None = None) -> Run:
    """Leave a fitted model (`training.Trained`) under `setup.runs_dir` with one machine-readable result.

    `on_test` is what `on_test` says of it; `source` is the run it started from.
    """
    origin = source.result if source else {"dataset": "", "mark": "", "content": ""}
    name = name_for(prepared, protocol, setup, origin["dataset"])
    result = {
        "schema": SCHEMA, "run": name, "notebook": setup.notebook,
        "dataset": prepared.name, "title": prepared.title, "family": prepared.family, "version": prepared.version,
        "paper_slug": prepared.paper_slug, "features": list(prepared.features), "task": setup.task,
        "split": prepared.split, "protocol": protocol, "seed": setup.seed, "mark": prepared.mark,
        "source": origin["dataset"], "source_run": source.folder.name if source else "",
        "source_mark": origin["mark"], "source_content": origin["content"],
        **_rows(prepared), "benign": prepared.benign, **on_test,
        "history": fitted.history, "epochs": fitted.epochs, "best_epoch": fitted.best_epoch, "seconds": fitted.seconds,
        "parameters": {**recipe_of(setup, protocol), "rows": prepared.rows, "share": setup.share},
        "versions": versions(),
    }  # fmt: skip
    folder = files.resolve(setup.runs_dir) / name
    with files.written_whole(folder) as scratch:
        fitted.model.save(scratch / "model.keras")
        (scratch / "result.json").write_text(json.dumps(result, indent=1))
    return Run(folder, result)


def find(runs_dir: str | Path, name: str) -> Run | None:
    """The finished run of that name, or None; a run without its model or with a broken result is not finished."""
    folder = files.resolve(runs_dir) / name
    result = _read(folder / "result.json") if (folder / "model.keras").is_file() else None
    return Run(folder, result) if result else None


def misfit(run: Run, prepared: Prepared) -> str:
    """How `run` differs from a run of these rows, or from one of its source as it is now, in one sentence; or ""."""
    then, now = run.result, _rows(prepared)
    name = f"the finished run {run.folder.name}"
    if then.get("rows") != now["rows"]:
        return f"expected the rows of {name} ({_told(then.get('rows'))}), found {_told(now['rows'])}"
    for role, classes in now["counts"].items():
        for one, count in classes.items():
            if then["counts"][role].get(one) != count:
                was = then["counts"][role].get(one, 0)
                return f"expected {was:,} {role} rows of class {one} as in {name}, found {count:,}"
    if then["content"] != now["content"]:
        return f"expected the rows of {name}, found as many of each class, but other ones"
    source = find(run.folder.parent, then["source_run"]) if then["source_run"] else None
    if source and source.result["content"] != then["source_content"]:
        return f"expected the source that {name} started from, found {source.folder.name} trained on other rows"
    return ""


def collect(runs_dir: str | Path) -> list[dict]:
    """Every result under `runs_dir`, oldest first; warns of a result.json that no run of ours wrote."""
    # a hidden folder is a run that is being written, or was when its process died
    found = [file for file in files.resolve(runs_dir).glob("*/result.json") if not file.parent.name.startswith(".")]
    results = []
    for file in sorted(found, key=lambda file: (file.stat().st_mtime, file)):
        if result := _read(file):
            results.append(result)
        else:
            warnings.warn(f"{files.shown(file)} is left out: it is not the result of a run", stacklevel=2)
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
    except (OSError, ValueError, RecursionError):
        return None
    return result if isinstance(result, dict) and result.get("schema") == SCHEMA and "run" in result else None


def _rows(prepared: Prepared) -> dict:
    """What the data was: rows of each role, rows of each class in it, and a hash of them all."""
    return {
        "rows": {role: prepared.size(role) for role in prepare.ROLES},
        "counts": {role: prepared.counts[role] for role in prepare.ROLES},
        "content": prepared.content,
    }


def _told(rows: dict[str, int] | None) -> str:
    return ", ".join(f"{count:,} {role}" for role, count in (rows or {}).items()) or "unknown"


def on_test(prepared: Prepared, task: str, predicted: np.ndarray) -> dict:
    """Scores, per-class table and confusion matrix in counts, of the class codes `predicted` for the test rows."""
    classes = prepare.class_list(prepared, task)
    _, truth = prepare.load(prepared, "test", task)
    return {
        "classes": list(classes),
        "scores": metrics.scores(truth, predicted),
        "per_class": metrics.per_class(truth, predicted, classes),
        "confusion": metrics.confusion(truth, predicted, len(classes)).tolist(),
    }
