"""A grid of notebooks: `python -m tlids_helpers.grid --datasets nf-ton-iot nf-bot-iot --seeds 0-4`.

First the rows of all runs are prepared, then each run is one task: its notebook, executed by papermill.
"""

import sys
from collections import Counter

from tlids_helpers.common import files
from tlids_helpers.common.errors import InputError
from tlids_helpers.grid import options
from tlids_helpers.grid.options import Grid
from tlids_helpers.results import runs

STOPPED = 130  # the exit status of a program that Ctrl-C ended


def main(arguments: list[str] | None = None) -> int:
    """The command line; see --help."""
    given = options.parser().parse_args(arguments)
    try:
        grid = options.grid(given)
        scheduler = options.scheduler(given)
        workers, threads = (options.whole(given, name) for name in ("workers", "threads"))
        wishes = _wishes(grid)
        return _print_plan(grid, wishes) if given.plan else _run(grid, wishes, scheduler, workers, threads)
    except InputError as error:
        print(error, file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("stopped: finished runs are kept, and the same command goes on from there", file=sys.stderr)
        return STOPPED


def _wishes(grid: Grid) -> list:
    """What is asked for; says what of it makes no sense."""
    from tlids_helpers.grid import plan  # here and below: it brings Keras, which takes seconds to import

    for dataset in plan.not_left_out(grid):
        print(f"no leave_target_out for {dataset}: it is no part of its source", file=sys.stderr)
    wishes = plan.wishes(grid)
    if not wishes:
        raise InputError("expected at least one run, found none that makes sense: add --protocols scratch or paper")
    return wishes


def _print_plan(grid: Grid, wishes: list) -> int:
    """Prepare the rows here, and say what is there and what would be run, in which order."""
    from tlids_helpers.grid import plan

    groups = [plan.units_of(wish, grid) for wish in wishes]
    for name in _there(grid, groups):
        print(f"there        {name}")
    for unit in plan.pending(groups, _finder(grid)):
        print(f"notebook {unit.notebook}  {unit.name}" + "".join(f"\n             after {name}" for name in unit.after))
    return 0


def _run(grid: Grid, wishes: list, scheduler: str | None, workers: int | None, threads: int) -> int:
    """Prepare, run, report."""
    from tlids_helpers.grid import cluster, plan

    with (
        cluster.connected(scheduler, workers, len(wishes)) as client,
        cluster.shared_place(grid, threads) as place,
    ):
        cluster.check_workers(client, place)
        print(f"dashboard: {client.dashboard_link}", flush=True)
        rows = cluster.prepare_all(client, grid, wishes, place)
        groups, ends = _planned(grid, wishes, rows)
        there = _there(grid, groups)
        ends |= cluster.run_all(client, plan.pending(groups, _finder(grid)), place)
    return _report(grid, len(there), ends)


def _planned(grid: Grid, wishes: list, rows: dict) -> tuple[list, dict]:
    """The units of each wish whose rows could be prepared; and for the others, why there are none."""
    from tlids_helpers.grid import plan
    from tlids_helpers.grid.work import Outcome

    groups, ends = [], {}
    for wish in wishes:
        bad = {each: rows[each] for each in plan.rows_of(wish, grid.split) if rows[each].status != "finished"}
        ends |= {f"preparing {each}": outcome for each, outcome in bad.items()}
        try:
            if bad:
                ends[str(wish)] = Outcome("not run", "its rows could not be prepared")
            else:
                groups.append(plan.units_of(wish, grid))
        except InputError as error:
            ends[str(wish)] = Outcome("failed", str(error))
    return groups, ends


def _finder(grid: Grid):
    return lambda name: runs.find(grid.runs_dir, name) is not None


def _there(grid: Grid, groups: list) -> list[str]:
    """The wished runs that are finished already."""
    return list(filter(_finder(grid), dict.fromkeys(group[-1].name for group in groups)))


def _report(grid: Grid, there: int, ends: dict) -> int:
    """Print the counts, then each reason once with all that ended by it; returns the exit status."""
    from tlids_helpers.grid.work import executed

    counts = Counter(outcome.status for outcome in ends.values())
    found = f"{counts['finished']} finished, {there} were there, {counts['failed']} failed, {counts['not run']} not run"
    print(f"{found}: see {files.shown(grid.runs_dir)}")
    bad = {label: outcome for label, outcome in ends.items() if outcome.status != "finished"}
    for outcome in dict.fromkeys(bad.values()):
        print(f"{outcome.status}: {outcome.why}", file=sys.stderr)
        for label in (label for label in bad if bad[label] == outcome):
            notebook = executed(grid.runs_dir, label)
            print(f"  {files.shown(notebook) if notebook.is_file() else label}", file=sys.stderr)
    return 1 if bad else 0
