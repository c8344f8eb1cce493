"""The grid as tasks of dask.distributed, on processes of this machine or on an existing cluster by its address.

A task's key says what it does and in which folders: a driver that is started again while its cluster still works on a
run joins that run instead of beginning another.
"""

import contextlib
import importlib
import logging
import secrets
import sys
import warnings
from collections.abc import Iterator
from concurrent.futures import CancelledError

import dask
from dask.system import CPU_COUNT
from distributed import Client, Future, KilledWorker, LocalCluster, wait
from distributed.system import MEMORY_LIMIT

from tlids_helpers.common import files, progress
from tlids_helpers.common.errors import InputError
from tlids_helpers.grid import plan, work
from tlids_helpers.grid.options import Grid
from tlids_helpers.grid.plan import Wish
from tlids_helpers.grid.work import Outcome, Place, Rows, Unit

ALLOWED_DEATHS = 3  # of workers under one task, before it is the task that is given up
RUN_MEMORY = 2 << 30  # bytes that a run should find free, about
CONNECT_SECONDS = 10
WAIT_SECONDS = 60  # for as many workers as were asked for
TICK = 1  # seconds between looks at the runs
DASHBOARD_PORT = 8787


@contextlib.contextmanager
def connected(address: str | None, workers: int | None, wishes: int) -> Iterator[Client]:
    """A client of the cluster at `address`, or of one made here with `workers` or as many as suit so many wishes.

    Raises InputError where no scheduler answers.
    """
    logging.getLogger("distributed").setLevel(logging.CRITICAL)  # what matters of it is in how the tasks ended
    if address is None:
        # a transfer brings at most its source and its scratch run
        with _local(workers or max(1, min(CPU_COUNT, MEMORY_LIMIT // RUN_MEMORY, 3 * wishes))) as client:
            yield client
        return
    try:
        client = Client(address, timeout=CONNECT_SECONDS)
    except (OSError, ValueError):
        raise InputError(
            f"expected a Dask scheduler at {address}, found none that answers: start it, or leave --scheduler out"
        ) from None
    with client:
        _await_workers(client, workers or 1)
        yield client


def _await_workers(client: Client, wanted: int) -> None:
    """Wait for the first worker as long as it takes, as behind a batch queue, and for the others for a while."""
    if len(client.nthreads()) < wanted:
        print(f"waiting for {wanted} workers, {len(client.nthreads())} are there", file=sys.stderr)
        client.wait_for_workers(1)
        with contextlib.suppress(TimeoutError):
            client.wait_for_workers(wanted, timeout=WAIT_SECONDS)


@contextlib.contextmanager
def _local(workers: int) -> Iterator[Client]:
    """`workers` processes on this machine, each with one task at a time."""
    with warnings.catch_warnings(), dask.config.set({"distributed.scheduler.allowed-failures": ALLOWED_DEATHS}):
        warnings.filterwarnings("ignore", message="Port .* is already in use")  # the link is printed anyway
        # a run's memory is its kernel's, which Dask does not see: no limit on the worker itself
        cluster = LocalCluster(
            n_workers=workers, threads_per_worker=1, memory_limit=None, silence_logs=logging.CRITICAL,
            dashboard_address=f"127.0.0.1:{DASHBOARD_PORT}",
        )  # fmt: skip
    with cluster, Client(cluster) as client:
        try:
            yield client
        except KeyboardInterrupt:  # workers are given some seconds
            print("\nstopping", file=sys.stderr)
            raise


@contextlib.contextmanager
def shared_place(grid: Grid, threads: int) -> Iterator[Place]:
    """The grid's folders, with a file in each by which workers tell that they see the same.

    Raises InputError for a folder that cannot be written to.
    """
    place = Place(grid.data_dir, grid.runs_dir, f".grid-{secrets.token_hex(8)}", threads)
    with contextlib.ExitStack() as stack:
        for token in (place.data_dir / place.token, place.runs_dir / place.token):
            try:
                token.touch()
            except OSError as error:
                raise InputError(
                    f"expected to write to {token.parent}, but {error.strerror}: mend the permissions, or give another "
                    "folder with --data-dir or --runs-dir"
                ) from None
            stack.callback(token.unlink, missing_ok=True)
        yield place


def check_workers(client: Client, place: Place) -> None:
    """Raises InputError if a worker that is there already cannot do its work; later ones are checked by their tasks."""
    # by a name of the standard library: a function of ours would not even be understood
    for found in client.run(importlib.import_module, work.__name__, on_error="return").values():
        if isinstance(found, ImportError):
            raise InputError(
                f"expected workers with this repository installed, found that {found}: start them from its environment"
            )
    if why := next(filter(None, client.run(work.lost, place).values()), ""):
        raise InputError(why)


def prepare_all(client: Client, grid: Grid, wishes: list[Wish], place: Place) -> dict[Rows, Outcome]:
    """Clean each file once, then make each split once; a union waits for those of its parts that are targets."""
    rows = dict.fromkeys(rows for wish in wishes for rows in plan.rows_of(wish, grid.split))
    cleaned: dict[str, Future] = {}
    for name in sorted({each.dataset for each in rows}, key=lambda name: len(plan.parts(name))):
        before = [cleaned[part] for part in plan.parts(name) if part in cleaned]
        key = _key("clean", place, name, grid.allow_subset)
        cleaned[name] = client.submit(work.clean, name, grid.allow_subset, place, before, key=key)
    futures = {
        each: client.submit(
            work.split, each, grid.rows, grid.allow_subset, place, cleaned[each.dataset],
            key=_key("split", place, str(each), each.dataset, grid.rows, grid.allow_subset),
        )
        for each in rows
    }  # fmt: skip
    return followed(futures, "preparing", "split")


def run_all(client: Client, units: list[Unit], place: Place) -> dict[str, Outcome]:
    """Run each unit once those that it waits for have ended: name -> how it ended. A failure stops no other run."""
    futures: dict[str, Future] = {}
    # a driver that was killed may have left tasks: the same key on the same worker joins one instead of beginning anew
    found = client.run(work.under_way, on_error="ignore")
    under_way = {key: address for address, keys in found.items() for key in keys}
    for unit in units:
        before = [futures[name] for name in unit.after]
        key = _key(f"notebook {unit.notebook}", place, unit.name)
        # what others wait for goes first
        priority = sum(unit.name in other.after for other in units)
        futures[unit.name] = client.submit(
            work.run, unit, place, before, key=key, priority=priority,
            workers=under_way.get(key), allow_other_workers=key in under_way,
        )  # fmt: skip
    return followed(futures, "runs", "run")


def followed(futures: dict, title: str, unit: str) -> dict:
    """Wait for all `futures` behind a progress bar: name -> how it ended."""
    if not futures:
        return {}
    outcomes, open_ = {}, {future: name for name, future in futures.items()}
    with progress.steps(title, unit, len(futures)) as bar:
        while open_:
            with contextlib.suppress(TimeoutError, CancelledError):
                wait(list(open_), timeout=TICK, return_when="FIRST_COMPLETED")
            for future in [future for future in open_ if future.done()]:
                outcomes[open_.pop(future)] = _outcome(future)
                bad = sum(outcome.status != "finished" for outcome in outcomes.values())
                bar.set_postfix_str(f"{bad} failed" if bad else "", refresh=False)
                bar.update()
            if sys.stderr.isatty():  # the clock goes on; a log file gets a line a run, not a line a second
                bar.refresh()
    return outcomes


def _key(kind: str, place: Place, *what) -> tuple[str, str]:
    """A task's key; tasks of one kind have one colour on the dashboard."""
    return kind, files.key_of(what=what, data_dir=place.data_dir, runs_dir=place.runs_dir)


def _outcome(future: Future) -> Outcome:
    """How a task ended, also where Dask gave it up."""
    if future.status == "finished":
        return future.result()
    error = future.exception() if future.status == "error" else None
    if isinstance(error, KilledWorker) and error.task != future.key:
        return Outcome("not run", "a task it waits for was given up")
    if isinstance(error, KilledWorker):
        return Outcome("failed", f"{error.allowed_failures + 1} workers died under it: look for too little memory")
    return Outcome("failed", f"{type(error).__name__}: {error}" if error else "the scheduler is gone")
