"""The grid as its users start it: scheduler, workers and driver as processes of their own."""

import contextlib
import os
import re
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import psutil

STARTED: list[subprocess.Popen] = []  # so that a failing test leaves nothing behind; see `nothing_left_running`
PATIENCE = 300  # seconds until something that must happen is given up, on a busy machine


def start(*command: str, log: Path, **environment: str) -> subprocess.Popen:
    """Start `python -m command` in the background, its output in `log`."""
    with log.open("ab") as out:
        process = subprocess.Popen(
            [sys.executable, "-m", *command], stdin=subprocess.DEVNULL, stdout=out, stderr=subprocess.STDOUT,
            env={**os.environ, **environment}, cwd=log.parent,
        )  # fmt: skip
    STARTED.append(process)
    return process


def start_scheduler(folder: Path, **environment: str) -> str:
    """A scheduler of its own: its address."""
    log = folder / "scheduler.log"
    start("distributed.cli.dask_scheduler", "--host", "127.0.0.1", "--port", "0", "--dashboard-address", "127.0.0.1:0",
          log=log, **environment)  # fmt: skip
    return wait_for(lambda: found(log, r"Scheduler at:\s+(tcp://\S+)\n"), "the scheduler's address")


def start_worker(folder: Path, scheduler: str, name: str, **environment: str) -> subprocess.Popen:
    """A worker of its own, without a nanny that would start it again."""
    return start("distributed.cli.dask_worker", scheduler, "--host", "127.0.0.1", "--no-nanny", "--no-dashboard",
                 "--nthreads", "1", "--name", name, "--local-directory", str(folder / name),
                 log=folder / f"{name}.log", **environment)  # fmt: skip


def start_grid(folder: Path, *options: str, **environment: str) -> subprocess.Popen:
    """The command line, with data and runs under `folder`; what it says goes to grid.log."""
    folders = ("--data-dir", str(folder / "data"), "--runs-dir", str(folder / "runs"))
    return start("tlids_helpers.grid", *folders, *options, log=folder / "grid.log", **environment)


def ended(process: subprocess.Popen, folder: Path) -> tuple[int, str]:
    """Wait for the command line: its exit status, and all that was said in grid.log."""
    return process.wait(PATIENCE), (folder / "grid.log").read_text()


def found(log: Path, pattern: str) -> str:
    """The first group of a pattern in a log, or ""."""
    match = re.search(pattern, log.read_text()) if log.is_file() else None
    return match.group(1) if match else ""


def wait_for(condition: Callable[[], object], what: str):
    """Wait until a condition holds; returns what it found."""
    end = time.monotonic() + PATIENCE
    while not (found := condition()):
        assert time.monotonic() < end, f"waited {PATIENCE} s for {what}"
        time.sleep(0.02)
    return found


def kernels_of(pid: int) -> list[psutil.Process]:
    """The notebooks' kernels under a process."""
    kernels = []
    for child in psutil.Process(pid).children(recursive=True):
        with contextlib.suppress(psutil.NoSuchProcess):  # it ended meanwhile
            if "ipykernel_launcher" in child.cmdline():
                kernels.append(child)
    return kernels


def gone(process: psutil.Process) -> bool:
    """Whether a process has ended; an orphan may stay a zombie where process 1 reaps nothing."""
    try:
        return not process.is_running() or process.status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True


def finished_runs(folder: Path) -> dict[str, tuple[int, int]]:
    """Name -> what changes when a run is written again: its folder's number and its result's time."""
    files = (folder / "runs").glob("*/result.json")
    return {f.parent.name: (f.parent.stat().st_ino, f.stat().st_mtime_ns) for f in files if f.parent.name[0] != "."}
