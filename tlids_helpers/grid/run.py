"""The grid as tasks of dask.distributed, on processes of this machine or on an existing cluster by its address.

A task prepares rows or runs a notebook, and returns how that ended: the results themselves lie in the folders, each
written whole. A task's key says what it does and in which folders: a driver that is started again while its cluster
still works on a run joins that run instead of beginning another.
"""

import contextlib
import importlib
import json
import logging
import os
import secrets
import socket
import subprocess
import sys
import warnings
from collections.abc import Callable, Iterator
from concurrent.futures import CancelledError
from dataclasses import dataclass
from pathlib import Path

import dask
from dask.system import CPU_COUNT
from distributed import Client, Future, KilledWorker, LocalCluster, wait
from distributed.system import MEMORY_LIMIT
from nbclient.exceptions import DeadKernelError

from tlids_helpers import notebooks
from tlids_helpers.common import files, progress
from tlids_helpers.common.errors import InputError
from tlids_helpers.data import prepare
from tlids_helpers.data.prepare import Prepared
from tlids_helpers.data.raw import Allowed
from tlids_helpers.grid import plan
from tlids_helpers.grid.plan import Grid, NotebookRun, Preparation
from tlids_helpers.network import device
from tlids_helpers.results import runs

ALLOWED_DEATHS = 3  # of workers under one task, before it is the task that is given up
RUN_MEMORY = 2 << 30  # bytes that a run should find free, about
CONNECT_SECONDS = 10
WAIT_SECONDS = 60  # for as many workers as were asked for
TICK = 1  # seconds between looks at the runs
DASHBOARD_PORT = 8787
TRIM = "MALLOC_TRIM_THRESHOLD_"  # Dask sets it for its workers; a training would map its tensors again at each step


@dataclass(frozen=True)
class Folders:
    """Where all workers read and write, which `mark`, a file in both folders, proves."""

    data_dir: Path
    runs_dir: Path
    mark: str


@dataclass(frozen=True)
class Outcome:
    """How a task ended: "finished", "failed" or "not run", and the reason in a sentence."""

    status: str
    reason: str = ""


@contextlib.contextmanager
def connected(address: str | None, workers: int | None, combinations: int) -> Iterator[Client]:
    """A client of the cluster at `address`, or of one made here with `workers` or as many as suit the combinations.

    Raises InputError where no scheduler answers.
    """
    logging.getLogger("distributed").setLevel(logging.CRITICAL)  # what matters of it is in how the tasks ended
    if address is None:
        # a transfer brings at most its source and its scratch run
        with _local(workers or max(1, min(CPU_COUNT, MEMORY_LIMIT // RUN_MEMORY, 3 * combinations))) as client:
            yield client
        return
    try:
        client = Client(address, timeout=CONNECT_SECONDS)
    except (OSError, ValueError):
        raise InputError(
            f"expected a Dask scheduler at {address}, found none that answers", "start it, or leave --scheduler out"
        ) from None
    with client:
        _await_workers(client, workers or 1)
        yield client


@contextlib.contextmanager
def shared_folders(grid: Grid) -> Iterator[Folders]:
    """The grid's folders, with a file in each by which workers tell that they see the same.

    Raises InputError for a folder that cannot be written to.
    """
    folders = Folders(grid.data_dir, grid.runs_dir, f".grid-{secrets.token_hex(8)}")
    with contextlib.ExitStack() as stack:
        for mark in (folders.data_dir / folders.mark, folders.runs_dir / folders.mark):
            try:
                mark.touch()
            except OSError as error:
                raise InputError(
                    f"expected to write to {mark.parent}, found {error.strerror}",
                    "correct the permissions, or give another folder with --data-dir or --runs-dir",
                ) from None
            stack.callback(mark.unlink, missing_ok=True)
        yield folders


def check_workers(client: Client, folders: Folders) -> None:
    """Raises InputError if a worker that is there already cannot do its work; later ones are checked by their tasks."""
    # by a name of the standard library: a function of ours would not even be understood
    for found in client.run(importlib.import_module, __name__, on_error="return").values():
        if isinstance(found, ImportError):
            raise InputError(
                f"expected workers with this repository installed, found {found}", "start them from its environment"
            )
    if reason := next(filter(None, client.run(unshared, folders).values()), ""):
        raise InputError(reason)


def prepare_all(client: Client, preparations: list[Preparation], folders: Folders) -> dict[Preparation, Outcome]:
    """Clean each file once, then make each split once; a union waits for those of its parts that are targets."""
    futures: dict[Preparation, Future] = {}
    first: dict[str, Future] = {}  # dataset -> the task that cleans its file, so that later ones find it done
    for each in sorted(preparations, key=lambda each: len(plan.parts(_whole_union(each)))):
        union = _whole_union(each)
        before = [first[name] for name in (*plan.parts(union), union) if name in first]
        futures[each] = client.submit(prepare_rows, each, folders, before, key=_key("prepare", folders, each))
        first.setdefault(union, futures[each])
    return followed(futures, "preparing", "split")


def run_all(client: Client, missing: list[NotebookRun], folders: Folders, threads: int) -> dict[str, Outcome]:
    """Run each notebook once the runs it needs have ended: name -> how it ended. A failure stops no other run."""
    futures: dict[str, Future] = {}
    ahead = _together(client, missing, folders)
    # a driver that was killed may have left tasks: the same key on the same worker joins one instead of a second start
    found = client.run(under_way, on_error="ignore")
    busy = {key: address for address, keys in found.items() for key in keys}
    for run in missing:
        before = [futures[name] for name in (*run.needs, *run.after) if name in futures]
        before += [ahead[run.name]] if run.name in ahead else []
        key = _key(f"notebook {run.notebook}", folders, run.name)
        # what others wait for goes first
        priority = sum(run.name in (*other.needs, *other.after) for other in missing)
        futures[run.name] = client.submit(
            run_notebook, run, folders, threads, before, key=key, priority=priority,
            workers=busy.get(key), allow_other_workers=key in busy,
        )  # fmt: skip
    outcomes = followed(futures, "runs", "run")
    for reason in {end.reason for end in map(_outcome, ahead.values()) if end.status != "finished"}:
        print(f"seeds were trained one at a time: {reason}", file=sys.stderr)
    return outcomes


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


def rows_of(wanted: Preparation) -> Prepared:
    """The rows of a run, which are prepared now unless they lie in the cache."""
    allowed = Allowed(subset=wanted.allow_subset, loss=wanted.allow_loss)
    return prepare.prepare(wanted.dataset, wanted.data_dir, wanted.split, wanted.seed, wanted.rows, allowed)


def fits(run: NotebookRun, runs_dir: Path) -> bool:
    """Whether a run is finished and was made from the rows that its dataset has now."""
    found = runs.find(runs_dir, run.name)
    return found is not None and not runs.misfit(found, rows_of(run.preparation))


def executed(runs_dir: Path, name: str) -> Path:
    """Where the executed notebook of a run lies."""
    return runs_dir / "notebooks" / f"{name}.ipynb"


def unshared(folders: Folders) -> str:
    """A sentence about a folder that this worker does not share with the others; "" if it shares both."""
    for folder in (folders.data_dir, folders.runs_dir):
        if not (folder / folders.mark).is_file():
            return (
                f"expected the worker on {socket.gethostname()} to see {folder} as it is where the grid was started, "
                "found another folder or none: give --data-dir and --runs-dir on a file system that all machines share"
            )
    return ""


def under_way(dask_worker) -> list[tuple]:
    """The keys of the tasks that a worker is in the middle of, also of those that nobody waits for any more."""
    return [task.key for task in dask_worker.state.executing]


def prepare_rows(preparation: Preparation, folders: Folders, before: list[Outcome]) -> Outcome:
    """A task: prepare rows, so that all runs find them in the cache; `before` only had to end."""
    return _tried(folders, lambda: _prepare_quietly(preparation))


def run_notebook(run: NotebookRun, folders: Folders, threads: int, before: list[Outcome]) -> Outcome:
    """A task: run a notebook, unless its run is there; `before` are the ends of those it had to wait for."""
    gone = next((name for name in run.needs if not runs.find(folders.runs_dir, name)), None)
    if gone:
        return Outcome("not run", f"it starts from {gone}, which is not there")
    return _tried(folders, lambda: _execute(run, folders, threads))


def train_together(group: list[NotebookRun], folders: Folders) -> Outcome:
    """A task: leave scratch runs that differ in their seed alone, all trained at once; without their notebooks."""
    return _tried(folders, lambda: _train(group, folders))


def _together(client: Client, missing: list[NotebookRun], folders: Folders) -> dict[str, Future]:
    """Name -> the task that trains a scratch run beside its other seeds, where every worker has an accelerator."""
    found = client.run(device.accelerated, on_error="return").values()
    if not found or not all(each is True for each in found):
        return {}
    groups: dict[str, list[NotebookRun]] = {}
    for run in missing:
        if run.notebook == "02":
            alike = {name: value for name, value in run.parameters.items() if name != "seed"}
            groups.setdefault(repr(alike), []).append(run)
    ahead = {}
    for group in groups.values():
        if len(group) > 1:
            names = [run.name for run in group]
            key = _key("seeds together", folders, " ".join(names))
            ahead |= dict.fromkeys(
                names, client.submit(train_together, group, folders, key=key, priority=1 + len(missing))
            )
    return ahead


def _train(group: list[NotebookRun], folders: Folders) -> None:
    # a process of its own, as a notebook's kernel is: no worker loads Keras, or keeps the accelerator's memory
    given = json.dumps([run.parameters for run in group])
    command = [sys.executable, "-m", "tlids_helpers.seeds"]
    environment = os.environ | {"TLIDS_PARENT": str(os.getpid())}  # a worker that is killed leaves no training behind
    done = subprocess.run(command, input=given, capture_output=True, text=True, cwd=folders.runs_dir, env=environment)
    if done.returncode:
        raise InputError((done.stderr.strip().splitlines() or ["it ended without a message"])[-1])


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


def _whole_union(preparation: Preparation) -> str:
    """The dataset whose file is read: the whole union where one part is left out."""
    return preparation.dataset.partition("-without-")[0]


def _key(kind: str, folders: Folders, what: str | Preparation) -> tuple[str, str]:
    """A task's key; tasks of one kind have one colour on the dashboard."""
    return kind, f"{what} {files.key_of(what=repr(what), data_dir=folders.data_dir, runs_dir=folders.runs_dir)}"


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


def _tried(folders: Folders, task: Callable[[], object]) -> Outcome:
    """Do `task`; whatever goes wrong becomes a sentence, because one failure must not stop the others."""
    if reason := unshared(folders):
        return Outcome("failed", reason)
    try:
        task()
    except InputError as error:
        return Outcome("failed", str(error))
    except DeadKernelError:
        return Outcome("failed", "its kernel died, mostly for lack of memory: run fewer workers on a machine")
    except Exception as error:
        return Outcome("failed", f"{type(error).__name__}: {error}".splitlines()[0])
    return Outcome("finished")


def _prepare_quietly(preparation: Preparation) -> None:
    """Prepare without a bar: workers share the driver's terminal, which shows a bar over all of them."""
    before = os.environ.get("TQDM_DISABLE")
    os.environ["TQDM_DISABLE"] = "1"
    try:
        rows_of(preparation)
    finally:
        os.environ.pop("TQDM_DISABLE") if before is None else os.environ.update(TQDM_DISABLE=before)


def _execute(run: NotebookRun, folders: Folders, threads: int) -> None:
    if fits(run, folders.runs_dir):  # its worker died between the run's end and the notebook's
        return
    # the kernel inherits it: side by side, runs that each take all cores get in each other's way
    os.environ.update(dict.fromkeys(notebooks.ONE_THREAD, str(threads)))
    os.environ.pop(TRIM, None)
    notebook = notebooks.find_notebook(run.notebook)
    notebooks.execute(notebook, executed(folders.runs_dir, run.name), run.parameters, progress_bar=False)
    if not runs.find(folders.runs_dir, run.name):
        raise InputError(
            f"expected {notebook.stem} to leave {run.name}, found that it did not",
            "use one version of this repository and of the data on all machines, and change neither while a grid runs",
        )
