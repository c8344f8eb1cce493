"""`make test-slurm`: the Slurm snippet of docs/grid.md, as it is written there, on a Slurm of this machine. As root.

Two jobs of eight workers each run a grid of real notebooks. One job is cancelled in the middle of a run, and still
every run completes once. dask-jobqueue goes into build/slurm, not into the environment. Exit status 0: all that held.
"""

import contextlib
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from importlib import metadata
from pathlib import Path

import grid_process
import slurm_daemons
from distributed import Client
from grid_process import finished_runs, start_grid, wait_for

REPOSITORY = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(REPOSITORY / "tests"))
from small_flows import write_csv  # noqa: E402

from tlids_helpers.grid import run  # noqa: E402

PACKAGE = "dask-jobqueue==0.9.0"
SHARED = Path("/shared/tlids")  # where the snippet activates its environment
SEEDS = range(4)
PATIENCE = grid_process.PATIENCE = 1800  # seconds: sixteen workers start on however few cores there are
LOOK = 1  # seconds between looks at the runs
ASKED = ("--protocols", "scratch", "--seeds", f"0-{len(SEEDS) - 1}", "--rows", "1500", "--epochs", "1")


def main() -> int:
    """Set up, run, kill, check."""
    if os.getuid() or shutil.which("slurmctld") is None:
        print("test-slurm: expected root and Debian's slurm-wlm, found one missing: run `make test-slurm` as root")
        return 2
    extra = REPOSITORY / "build" / "slurm" / "packages"
    pip = [sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--no-deps", "--upgrade"]
    subprocess.run([*pip, "--target", str(extra), PACKAGE], check=True)
    began = time.monotonic()
    with contextlib.ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(dir=extra.parent, prefix="run-")))
        stack.enter_context(shared_environment())
        environment = stack.enter_context(slurm_daemons.running(folder / "slurm"))
        stack.callback(stop_all)
        environment["PYTHONPATH"] = os.pathsep.join([*filter(None, [os.environ.get("PYTHONPATH")]), str(extra)])
        told = checked(folder, environment)
    print(f"{told}; {time.monotonic() - began:.0f} s; {versions()}")
    return 0


def checked(folder: Path, environment: dict[str, str]) -> str:
    """Run the snippet and a grid on it, and cancel a job: what happened, in a sentence."""
    own = str(write_csv(folder / "home.csv", 2000))
    cluster = start_cluster(folder, environment)
    address = wait_for(lambda: grid_process.found(folder / "cluster.log", r"(tcp://\S+)"), "the scheduler's address")
    with Client(address) as client:
        jobs = wait_for(lambda: jobs_of(client), "the workers of both jobs")
        driver = start_grid(folder, "--datasets", own, *ASKED, "--scheduler", address)
        job, name = wait_for(lambda: in_a_run(client, jobs, folder), "a run to begin")
        slurm_daemons.said(environment, "scancel", job)
        seen: dict = {}  # every run as it was when it was first there

        def driver_ended() -> bool:
            time.sleep(LOOK)
            seen.update(finished_runs(folder) | seen)
            return driver.poll() is not None

        wait_for(driver_ended, "the end of the grid")
        left = {each for each in client.run(os.getenv, "SLURM_JOB_ID").values()}
    status, output = driver.wait(PATIENCE), (folder / "grid.log").read_text()
    finished = finished_runs(folder)
    assert status == 0 and f"{len(SEEDS)} finished, 0 were there, 0 failed, 0 not run" in output, output
    assert len(finished) == len(SEEDS) and finished | seen == finished, "a run was written a second time"
    assert job not in left and len(left) == 1, f"expected the workers of one job to be left, found those of {left}"
    cluster.communicate(b"\n", PATIENCE)
    wait_for(lambda: not slurm_daemons.said(environment, "squeue", "--noheader"), "the end of all jobs")
    return f"job {job} was cancelled in the middle of {name}; all {len(SEEDS)} runs completed once, on the other job"


def start_cluster(folder: Path, environment: dict[str, str]) -> subprocess.Popen:
    """The snippet as a process of its own, whose input is left open."""
    script = folder / "cluster.py"
    script.write_text(snippet((REPOSITORY / "docs" / "grid.md").read_text(encoding="utf-8")))
    with (folder / "cluster.log").open("wb") as log:
        process = subprocess.Popen(
            [sys.executable, "-u", str(script)],
            stdin=subprocess.PIPE,
            stdout=log,
            stderr=log,
            env=environment,
            cwd=folder,
        )
    grid_process.STARTED.append(process)
    return process


def snippet(page: str) -> str:
    """The page's Python block about Slurm, with two jobs for four."""
    (found,) = [block for block in re.findall(r"```python\n(.*?)```", page, re.DOTALL) if "SLURMCluster" in block]
    assert found.count("scale(jobs=4)") == 1, "expected the page to ask for four jobs"
    return found.replace("scale(jobs=4)", "scale(jobs=2)")


def in_a_run(client: Client, jobs: dict[str, str], folder: Path) -> tuple[str, str]:
    """A job of `jobs` (worker -> job) in the middle of a notebook, and the run's name; () if there is none yet."""
    time.sleep(LOOK)
    for address, keys in client.processing().items():
        for name in (label.split()[0] for kind, label in keys if kind.startswith("notebook")):
            if run.executed(folder / "runs", name).is_file() and name not in finished_runs(folder):
                return jobs[address], name
    return ()


def jobs_of(client: Client) -> dict[str, str]:
    """Worker -> its job, once all workers of both jobs are there; {} before."""
    wanted = 2 * 8
    if len(client.scheduler_info(n_workers=-1)["workers"]) < wanted:
        return {}
    return client.run(os.getenv, "SLURM_JOB_ID")  # `os.environ.get` would bring this process's environment along


@contextlib.contextmanager
def shared_environment():
    """This environment under the path that the snippet activates, as a link."""
    link = SHARED / ".venv"
    if link.exists():
        yield
        return
    made = [each for each in (SHARED, SHARED.parent) if not each.exists()]
    SHARED.mkdir(parents=True, exist_ok=True)
    link.symlink_to(sys.prefix)
    try:
        yield
    finally:
        link.unlink()
        for each in made:
            each.rmdir()


def stop_all() -> None:
    """End what is still running of what was started here."""
    for process in grid_process.STARTED:
        process.kill()  # without effect on one that has ended
        process.wait()


def versions() -> str:
    """Of everything that took part."""
    slurm = subprocess.run(["slurmd", "-V"], capture_output=True, text=True).stdout.split()[-1]
    return f"slurm-wlm {slurm}, {PACKAGE.replace('==', ' ')}, distributed {metadata.version('distributed')}"


if __name__ == "__main__":
    sys.exit(main())
