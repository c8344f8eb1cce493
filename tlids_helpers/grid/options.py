"""What a grid is asked for on the command line, checked before anything starts."""

import argparse
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from tlids_helpers.common import files
from tlids_helpers.common.errors import InputError
from tlids_helpers.data import raw
from tlids_helpers.data.catalog import DATASETS
from tlids_helpers.data.split import SPLITS
from tlids_helpers.network.recipe import RECIPES, Recipe, named

TASKS = ("multiclass", "binary")
PROTOCOLS = ("scratch", "paper", "leave_target_out")
SCHEMES = ("tcp", "tls", "ws", "wss", "ucx")


@dataclass(frozen=True)
class Grid:
    """Every combination of datasets, tasks, seeds and protocols, and what they have in common."""

    datasets: tuple[str, ...]  # slugs, or absolute paths of the user's own files
    tasks: tuple[str, ...]
    seeds: tuple[int, ...]
    protocols: tuple[str, ...]
    split: str
    rows: int | None
    recipe_name: str
    recipe: Recipe
    allow_subset: bool
    data_dir: Path
    runs_dir: Path


def parser() -> argparse.ArgumentParser:
    """The command line's options."""
    made = argparse.ArgumentParser(
        prog="python -m tlids_helpers.grid",
        description="Run notebooks 02 and 03 for every combination of datasets, tasks, seeds and protocols.",
        epilog="A finished run is never run again: the same command goes on where it was stopped. See docs/grid.md.",
    )
    add = made.add_argument
    add("--datasets", nargs="+", required=True, metavar="SLUG", help="of the catalog, or paths of your own flow files")
    add("--tasks", nargs="+", default=["multiclass"], help=f"of {', '.join(TASKS)}; default multiclass")
    add("--seeds", nargs="+", default=["42"], help="such as 0-4, or 42 43; default 42")
    add("--protocols", nargs="+", default=list(PROTOCOLS), help=f"of {', '.join(PROTOCOLS)}; default all three")
    add("--split", default="paper", help=f"one of {', '.join(SPLITS)}; default paper")
    add("--rows", help="keep a stratified subsample of so many rows of each dataset")
    add("--recipe", default="paper", help=f"one of {', '.join(RECIPES)}; default paper")
    for name in ("epochs", "batch_size", "learning_rate", "patience"):
        add(f"--{name.replace('_', '-')}", help="default: the recipe's")
    add("--allow-subset", action="store_true", help="the files are meant to hold only a part of their dataset")
    add("--data-dir", default="data", help="default: data")
    add("--runs-dir", default="runs", help="default: runs")
    add(
        "--scheduler", metavar="ADDRESS", help="of an existing Dask cluster, such as tcp://host:8786; default: one here"
    )
    add("--workers", help="how many runs at once, by default one a core; with --scheduler: wait a minute for so many")
    add("--threads", default="1", help="of each run; default 1, so that a run is the same however many work")
    add("--plan", action="store_true", help="prepare the rows, say what would be run, and stop")
    return made


def grid(given: argparse.Namespace) -> Grid:
    """The grid that the options mean. Raises InputError for the first that cannot be used."""
    changes = {name: whole(given, name) for name in ("epochs", "batch_size", "patience")}
    data_dir, runs_dir = files.resolve(given.data_dir), files.resolve(given.runs_dir)
    for folder in (data_dir, runs_dir):
        _usable(folder)
    return Grid(
        datasets=tuple(dict.fromkeys(_dataset(name, data_dir) for name in given.datasets)),
        tasks=_among("--tasks", given.tasks, TASKS),
        seeds=seeds(given.seeds),
        protocols=_among("--protocols", given.protocols, PROTOCOLS),
        split=_among("--split", [given.split], SPLITS)[0],
        rows=whole(given, "rows"),
        recipe_name=given.recipe,
        recipe=named(given.recipe, **changes, learning_rate=_rate(given.learning_rate)),
        allow_subset=given.allow_subset,
        data_dir=data_dir,
        runs_dir=runs_dir,
    )


def scheduler(given: argparse.Namespace) -> str | None:
    """The address of an existing cluster, None for one on this machine. Raises InputError for what is no address."""
    address = given.scheduler
    scheme, _, place = (address or "").rpartition("://")
    if address is not None and not ((not scheme or scheme in SCHEMES) and place.rpartition(":")[2].isdigit()):
        raise InputError(
            f"expected --scheduler to be an address such as tcp://host:8786, found {address!r}: correct it"
        )
    return address


def whole(given: argparse.Namespace, name: str) -> int | None:
    """The option `name` as a whole number of 1 or more, None if not given. Raises InputError for anything else."""
    text = getattr(given, name)
    if text is not None and not (text.isdecimal() and int(text) > 0):
        option = f"--{name.replace('_', '-')}"
        raise InputError(f"expected {option} to be a whole number of 1 or more, found {text!r}: correct it")
    return None if text is None else int(text)


def seeds(words: Iterable[str]) -> tuple[int, ...]:
    """`["0-4", "42"]` -> (0, 1, 2, 3, 4, 42): numbers and ranges, each once. Raises InputError for anything else."""
    found: dict[int, None] = {}
    for word in ",".join(words).split(","):
        first, dash, last = word.partition("-")
        last = last if dash else first
        if not (first.isdecimal() and last.isdecimal() and int(first) <= int(last)):
            raise InputError(f"expected --seeds such as 0-4, or 42 43, found {word!r}: correct it")
        found.update(dict.fromkeys(range(int(first), int(last) + 1)))
    return tuple(found)


def _among(option: str, found: list[str], known: tuple[str, ...]) -> tuple[str, ...]:
    for name in found:
        if name not in known:
            raise InputError(f"expected {option} to be of {', '.join(known)}, found {name!r}: correct it")
    return tuple(dict.fromkeys(found))


def _dataset(name: str, data_dir: Path) -> str:
    """A slug as it is, or an own file's whole path; a file that is there must at least look like what it should be."""
    entry = DATASETS.get(name)
    if entry is None:
        path = files.resolve(name)
        if not path.is_file():
            raise InputError(
                f"expected --datasets of the catalog ({', '.join(DATASETS)}) or paths of CSV or Parquet files, "
                f"found {name!r}: correct it"
            )
        raw.inspect(path)
        return str(path)
    path = None if entry.folder else raw.locate_file(entry, data_dir / "raw")
    if path:
        raw.inspect(path, entry)
    return name


def _rate(text: str | None) -> float | None:
    try:
        rate = None if text is None else float(text)
    except ValueError:
        rate = -1.0
    if rate is not None and not 0 < rate < float("inf"):
        raise InputError(f"expected --learning-rate to be a number above 0, found {text!r}: correct it")
    return rate


def _usable(folder: Path) -> None:
    """Make `folder`; said now, not by every worker."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(
            f"expected a folder at {folder}, but {error.strerror or error}: mend it, or give another with --data-dir "
            "or --runs-dir"
        ) from None
