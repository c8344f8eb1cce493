"""What a worker of the grid does: clean a file, split rows, run a notebook. No Keras here: that is the kernel's.

Nothing is returned but a verdict. Results lie in the folders, each written whole, so a task that is run again because
its worker died looks there first.
"""

import os
import socket
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from nbclient.exceptions import DeadKernelError

from tlids_helpers import notebooks
from tlids_helpers.common.errors import InputError
from tlids_helpers.data import cleaned as sources
from tlids_helpers.data import prepare
from tlids_helpers.results import runs

THREADS = ("OMP_NUM_THREADS", "TF_NUM_INTRAOP_THREADS", "TF_NUM_INTEROP_THREADS", "PJRT_NPROC")  # the last: JAX's
TRIM = "MALLOC_TRIM_THRESHOLD_"  # Dask sets it for its workers; a training's tensors would be mapped anew at each step


@dataclass(frozen=True)
class Rows:
    """What `prepare.prepare` is asked for."""

    dataset: str
    split: str
    seed: int
    without: str = ""

    def __str__(self) -> str:
        """For people."""
        without = f" without {self.without}" if self.without else ""
        return f"{sources.slug_of(self.dataset)}{without}, {self.split} split, seed {self.seed}"


@dataclass(frozen=True)
class Unit:
    """One notebook to run."""

    name: str  # of the run it leaves
    notebook: str  # "02" or "03"
    parameters: dict = field(repr=False)
    needs: tuple[str, ...] = ()  # runs that have to be there when it begins
    trains: str = ""  # a source run that it leaves too, if it is not there
    after: tuple[str, ...] = ()  # names of the units that leave those runs


@dataclass(frozen=True)
class Place:
    """Where all workers read and write, which `token`, a file in both folders, proves."""

    data_dir: Path
    runs_dir: Path
    token: str
    threads: int  # of each run


@dataclass(frozen=True)
class Outcome:
    """How a task ended: "finished", "failed" or "not run", and why."""

    status: str
    why: str = ""


def lost(place: Place) -> str:
    """A sentence about a folder that this worker does not share with the others; "" if it shares both."""
    for folder in (place.data_dir, place.runs_dir):
        if not (folder / place.token).is_file():
            return (
                f"expected the worker on {socket.gethostname()} to see {folder} as it is where the grid was started, "
                "found another folder or none: give --data-dir and --runs-dir on a file system that all machines share"
            )
    return ""


def under_way(dask_worker) -> list[tuple]:
    """The keys of the tasks that a worker is in the middle of, also of those that nobody waits for any more."""
    return [task.key for task in dask_worker.state.executing]


def clean(dataset: str, allow_subset: bool, place: Place, before: list[Outcome]) -> Outcome:
    """Clean a dataset's file, or those of its parts, so that the splits of all seeds find it done."""
    return _tried(place, lambda: sources.clean(dataset, place.data_dir, allow_subset))


def split(rows: Rows, size: int | None, allow_subset: bool, place: Place, cleaned: Outcome) -> Outcome:
    """Split and subsample what `clean` left."""
    if cleaned.status != "finished":
        return cleaned
    asked = (rows.dataset, place.data_dir, rows.split, rows.seed, size, allow_subset, rows.without)
    return _tried(place, lambda: prepare.prepare(*asked))


def run(unit: Unit, place: Place, before: list[Outcome]) -> Outcome:
    """Run a unit's notebook, unless its run is there; `before` are the ends of those it had to wait for."""
    missing = next((name for name in unit.needs if not runs.find(place.runs_dir, name)), None)
    if missing:
        return Outcome("not run", f"it starts from {missing}, which is not there")
    return _tried(place, lambda: _run_notebook(unit, place))


def executed(runs_dir: Path, name: str) -> Path:
    """Where the executed notebook of a run lies."""
    return runs_dir / "notebooks" / f"{name}.ipynb"


def _run_notebook(unit: Unit, place: Place) -> None:
    if runs.find(place.runs_dir, unit.name):  # its worker died between the run's end and the notebook's
        return
    # the kernel inherits it: side by side, runs that each take all cores get in each other's way
    os.environ.update(dict.fromkeys(THREADS, str(place.threads)))
    os.environ.pop(TRIM, None)
    notebook = notebooks.find_notebook(unit.notebook)
    notebooks.execute(notebook, executed(place.runs_dir, unit.name), unit.parameters, progress_bar=False)
    if not runs.find(place.runs_dir, unit.name):
        raise InputError(
            f"expected {notebook.stem} to leave {unit.name}, found that it did not: use one version of this repository "
            "and of the data on all machines, and change neither while a grid runs"
        )


def _tried(place: Place, task: Callable[[], object]) -> Outcome:
    """Do `task`; whatever goes wrong becomes a sentence, because one failure must not stop the others."""
    if why := lost(place):
        return Outcome("failed", why)
    try:
        task()
    except InputError as error:
        return Outcome("failed", str(error))
    except DeadKernelError:
        return Outcome("failed", "its kernel died, mostly for want of memory: run fewer workers on a machine")
    except Exception as error:
        return Outcome("failed", f"{type(error).__name__}: {error}".splitlines()[0])
    return Outcome("finished")
