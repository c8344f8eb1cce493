"""A grid of notebooks: `python -m tlids_helpers.grid --datasets nf-ton-iot nf-bot-iot --seeds 0-4`.

First the rows of all runs are prepared, then each run is one task: its notebook, executed by papermill.
"""

import argparse
import sys
from collections import Counter
from collections.abc import Iterable
from pathlib import Path

from tlids_helpers.common import files
from tlids_helpers.common.errors import InputError, quoted
from tlids_helpers.common.parameters import brought
from tlids_helpers.data import prepare, raw
from tlids_helpers.data.catalog import DATASETS
from tlids_helpers.data.split import SPLITS
from tlids_helpers.grid import plan, run
from tlids_helpers.grid.plan import PROTOCOLS, TASKS, Combination, Grid, NotebookRun
from tlids_helpers.grid.run import Outcome
from tlids_helpers.network.recipe import RECIPES, named
from tlids_helpers.results import runs

STOPPED = 130  # the exit status of a program that Ctrl-C ended
MOST_SEEDS = 1_000  # in one range: more is a slip of the keyboard
SCHEMES = ("tcp", "tls", "ws", "wss", "ucx")


def parser() -> argparse.ArgumentParser:
    """The command line's options."""
    made = argparse.ArgumentParser(
        prog="python -m tlids_helpers.grid",
        description="Run notebooks 02 and 03 for every combination of datasets, tasks, seeds and protocols.",
        epilog="A finished run is never run again: the same command continues where it stopped. See docs/grid.md.",
    )
    add = made.add_argument
    add("--datasets", nargs="+", required=True, metavar="SLUG", help="of the catalog, or paths of your own flow files")
    add("--tasks", nargs="+", default=["multiclass"], help=f"of {', '.join(TASKS)}; default multiclass")
    add("--seeds", nargs="+", default=["42"], help="such as 0-4, or 42 43; default 42")
    add("--protocols", nargs="+", default=list(PROTOCOLS), help=f"of {', '.join(PROTOCOLS)}; default all three")
    add("--split", default="paper", help=f"one of {', '.join(SPLITS)}; default paper")
    add("--rows", help="keep a stratified subsample of so many rows of each dataset")
    add("--recipe", default="paper", help=f"one of {', '.join(RECIPES)}; default paper")
    add("--frozen", nargs="+", default=[""], help="of the source: blocks, none or both; default the recipe's")
    add("--share", nargs="+", default=["1"], help="of the target's labelled rows, such as 0.01 0.1 1; default 1")
    for name in ("epochs", "batch_size", "learning_rate", "patience"):
        add(f"--{name.replace('_', '-')}", help="default: the recipe's")
    add("--allow-subset", action="store_true", help="accept files with only a part of their dataset")
    add("--allow-loss", default="0.01", help="share of a file's lines that may be lost in reading; default 0.01")
    add("--data-dir", default="data", help="default: data")
    add("--runs-dir", default="runs", help="default: runs")
    add("--scheduler", metavar="ADDRESS", help="of an existing Dask cluster, such as tcp://host:8786")
    add("--workers", help="how many runs at once, by default one a core; with --scheduler: wait a minute for so many")
    add("--threads", default="1", help="of each run; default 1, so that a run is the same however many work")
    add("--plan", action="store_true", help="say what would be run, and stop; reads no rows")
    return made


def main(arguments: list[str] | None = None) -> int:
    """The command line; see --help."""
    given = parser().parse_args(arguments)
    try:
        grid = asked(given)
        scheduler = _scheduler(given.scheduler)
        workers, threads = (_whole(given, name) for name in ("workers", "threads"))
        combinations = _combinations(grid)
        if given.plan:
            return _print_plan(grid, combinations)
        _check_files(grid)
        with run.connected(scheduler, workers, len(combinations)) as client, run.shared_folders(grid) as folders:
            run.check_workers(client, folders)
            print(f"dashboard: {client.dashboard_link}", flush=True)
            found, ends = _run(client, grid, combinations, folders, threads)
        return _report(grid, found, ends)
    except InputError as error:
        print(error, file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("stopped: finished runs are kept, and the same command continues from there", file=sys.stderr)
        return STOPPED


def asked(given: argparse.Namespace) -> Grid:
    """The grid that the options mean. Raises InputError for the first that cannot be used."""
    changes = {name: _given(given, name) for name in ("epochs", "batch_size", "learning_rate", "patience")}
    data_dir, runs_dir = files.resolve(given.data_dir), files.resolve(given.runs_dir)
    for folder in (data_dir, runs_dir):
        _make(folder)
    recipe, protocols = named(_given(given, "recipe"), **changes), _protocols(given.protocols)
    frozen = (brought("frozen", each, "--frozen") or recipe.frozen for each in given.frozen)
    return Grid(
        datasets=tuple(dict.fromkeys(map(_dataset, given.datasets))),
        tasks=tuple(dict.fromkeys(brought("task", task, "--tasks") for task in given.tasks)),
        seeds=seeds(given.seeds),
        protocols=protocols,
        split=_given(given, "split"),
        rows=_given(given, "rows"),
        recipe_name=_given(given, "recipe"),
        recipe=recipe,
        allow_subset=given.allow_subset,
        allow_loss=_given(given, "allow_loss"),
        data_dir=data_dir,
        runs_dir=runs_dir,
        shares=_shares(given.share, protocols),
        frozen=tuple(dict.fromkeys(frozen)),
    )


def seeds(words: Iterable[str]) -> tuple[int, ...]:
    """`["0-4", "42"]` -> (0, 1, 2, 3, 4, 42): numbers and ranges, each once. Raises InputError for anything else."""
    found: dict[int, None] = {}
    for word in ",".join(words).split(","):
        first, dash, last = word.partition("-")
        ends = (first, last if dash else first)
        if not all(end.isdecimal() for end in ends):
            raise InputError(f"expected --seeds such as 0-4, or 42 43, found {quoted(word)}: correct it")
        low, high = (brought("seed", end, "each of --seeds") for end in ends)
        if not 0 <= high - low < MOST_SEEDS:
            fault = f"expected 1 to {MOST_SEEDS:,} seeds in a range of --seeds, found {quoted(word)}"
            raise InputError(fault, "correct it")
        found.update(dict.fromkeys(range(low, high + 1)))
    return tuple(found)


def _scheduler(address: str | None) -> str | None:
    """The address of an existing cluster, None for one on this machine."""
    scheme, _, host = (address or "").rpartition("://")
    if address is not None and not ((not scheme or scheme in SCHEMES) and host.rpartition(":")[2].isdigit()):
        raise InputError(
            f"expected --scheduler to be an address such as tcp://host:8786, found {quoted(address)}: correct it"
        )
    return address


def _given(options: argparse.Namespace, name: str) -> object:
    """The option `name` as the notebooks take it, None if not given: refused now, not by every run."""
    text = getattr(options, name)
    return None if text is None else brought(name, text, f"--{name.replace('_', '-')}")


def _whole(given: argparse.Namespace, name: str) -> int | None:
    """The option `name` as a whole number of 1 or more, None if not given."""
    text = getattr(given, name)
    if text is not None and not (text.isdecimal() and int(text) > 0):
        option = f"--{name.replace('_', '-')}"
        raise InputError(f"expected {option} to be a whole number of 1 or more, found {quoted(text)}: correct it")
    return None if text is None else int(text)


def _shares(words: list[str], protocols: tuple[str, ...]) -> tuple[float, ...]:
    """The shares, ascending. Raises InputError where there is no transfer to train from scratch beside."""
    shares = tuple(brought("share", ",".join(words), "--share"))
    if protocols == ("scratch",) and shares != (1,):
        raise InputError(
            f"expected --share 1 with --protocols scratch alone, found {shares[0]:g}: add paper or leave_target_out, "
            "whose notebook also trains from scratch on the share"
        )
    return shares


def _protocols(names: list[str]) -> tuple[str, ...]:
    for name in names:
        if name not in PROTOCOLS:
            raise InputError(f"expected --protocols of {', '.join(PROTOCOLS)}, found {quoted(name)}: correct it")
    return tuple(dict.fromkeys(names))


def _dataset(name: str) -> str:
    """A slug as it is, or an own file's whole path."""
    path = files.resolve(name)
    if name not in DATASETS and not path.is_file():
        raise InputError(
            f"expected --datasets of the catalog ({', '.join(DATASETS)}) or paths of CSV or Parquet files, "
            f"found {quoted(name)}: correct it"
        )
    return name if name in DATASETS else str(path)


def _make(folder: Path) -> None:
    """Make `folder`; refused now, not by every worker."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(
            f"expected a folder at {folder}, found {error.strerror or error}",
            "correct it, or give another with --data-dir or --runs-dir",
        ) from None


def _check_files(grid: Grid) -> None:
    """A file that is there must at least look like the dataset it is called, before a cluster is started for it."""
    for dataset in grid.datasets:
        entry = DATASETS.get(dataset)
        path = raw.locate_file(entry, grid.data_dir / "raw") if entry and not entry.folder else None
        if path or not entry:
            raw.inspect(path or Path(dataset), entry)


def _combinations(grid: Grid) -> list[Combination]:
    """What is asked for; tells what of it makes no sense."""
    for dataset, protocol in plan.left_out(grid):
        why = "its source has its captures" if protocol == "paper" else "it is not part of its source"
        print(f"no {protocol} for {dataset}: {why}", file=sys.stderr)
    found = plan.combinations(grid)
    if not found:
        raise InputError("expected at least one run, found none that makes sense: add --protocols scratch or paper")
    return found


def _print_plan(grid: Grid, combinations: list[Combination]) -> int:
    """Say what is there and what would be run, in which order; by their names alone."""
    groups = [plan.notebook_runs(combination, grid) for combination in combinations]
    missing = plan.missing(groups, lambda each: runs.find(grid.runs_dir, each.name) is not None)
    to_run = {each.name for each in missing}
    for name in dict.fromkeys(group[-1].name for group in groups):
        if name not in to_run:
            print(f"there        {name}")
    for each in missing:
        after = [name for name in (*each.needs, *each.after) if name in to_run]
        print(f"notebook {each.notebook}  {each.name}" + "".join(f"\n             after {name}" for name in after))
    return 0


def _run(client, grid: Grid, combinations: list[Combination], folders: run.Folders, threads: int) -> tuple[int, dict]:
    """Prepare all rows, then run what is missing: how many runs were there already, and how each task ended."""
    groups = [plan.notebook_runs(combination, grid) for combination in combinations]
    preparations = list(dict.fromkeys(each.preparation for group in groups for each in group))
    prepared = run.prepare_all(client, preparations, folders)
    ends = {f"preparing {rows}": end for rows, end in prepared.items() if end.status != "finished"}
    ready = []
    for combination, group in zip(combinations, groups, strict=True):
        if end := _obstacle(combination, group, prepared):
            ends[str(combination)] = end
        else:
            ready.append(group)
    missing = plan.missing(ready, lambda each: run.fits(each, grid.runs_dir))
    found = {group[-1].name for group in ready} - {each.name for each in missing}
    return len(found), ends | run.run_all(client, missing, folders, threads)


def _obstacle(combination: Combination, group: list[NotebookRun], prepared: dict) -> Outcome | None:
    """Why a combination cannot be run, None if it can."""
    if any(prepared[each.preparation].status != "finished" for each in group):
        return Outcome("not run", "its rows could not be prepared")
    try:
        prepare.class_list(run.rows_of(group[-1].preparation), combination.task)  # binary needs a benign class
    except InputError as error:
        return Outcome("failed", str(error))
    return None


def _report(grid: Grid, there: int, ends: dict[str, Outcome]) -> int:
    """Print the counts, then each reason once with all that ended by it; returns the exit status."""
    counts = Counter(outcome.status for outcome in ends.values())
    found = f"{counts['finished']} finished, {there} were there, {counts['failed']} failed, {counts['not run']} not run"
    print(f"{found}: see {files.shown(grid.runs_dir)}")
    bad = {label: outcome for label, outcome in ends.items() if outcome.status != "finished"}
    for outcome in dict.fromkeys(bad.values()):
        print(f"{outcome.status}: {outcome.reason}", file=sys.stderr)
        for label in (label for label in bad if bad[label] == outcome):
            notebook = run.executed(grid.runs_dir, label)
            print(f"  {files.shown(notebook) if notebook.is_file() else label}", file=sys.stderr)
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main())
