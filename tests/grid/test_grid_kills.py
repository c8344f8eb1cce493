"""Killing a worker or the driver loses no finished run, and every run completes once."""

import contextlib
import subprocess
from pathlib import Path

import psutil
import pytest
import tiny_notebooks
from distributed import Client
from grid_process import (
    ended,
    finished_runs,
    gone,
    kernels_of,
    start_grid,
    start_scheduler,
    start_worker,
    wait_for,
)

ONE_EPOCH = ("--rows", "1500", "--epochs", "1")


@pytest.fixture
def own_csv(tmp_path, netflow) -> str:
    netflow({"Benign": 200, "ddos": 120, "scanning": 80}).to_csv(tmp_path / "home.csv", index=False)
    return str(tmp_path / "home.csv")


def begun(folder: Path) -> list[str]:
    """The seeds of tiny notebooks, in the order in which they began."""
    return (folder / "begun").read_text().split() if (folder / "begun").is_file() else []


def caught_in_a_run(client: Client, workers: dict[str, subprocess.Popen], folder: Path) -> list[psutil.Process]:
    """A worker in the middle of a run, and its notebook's kernel, both stopped; [] if none is."""
    names = {address: info["name"] for address, info in client.scheduler_info(n_workers=-1)["workers"].items()}
    for address, keys in client.processing().items():
        for _, label in (key for key in keys if key[0].startswith("notebook")):
            found = [psutil.Process(workers[names[address]].pid), *kernels_of(workers[names[address]].pid)]
            with contextlib.suppress(psutil.NoSuchProcess):  # the kernel ended meanwhile
                for process in found:
                    process.suspend()
                if len(found) > 1 and label.split()[0] not in finished_runs(folder):
                    return found
            for process in found:
                if process.is_running():
                    process.resume()
    return []


def test_with_a_scheduler_and_two_workers_of_which_one_is_killed_mid_run_every_run_completes_once(tmp_path, own_csv):
    address = start_scheduler(tmp_path)
    workers = {name: start_worker(tmp_path, address, name) for name in ("one", "two")}
    asked = ("--datasets", own_csv, "--seeds", "0", "--protocols", "scratch", "paper", *ONE_EPOCH)
    asked += ("--scheduler", address)
    driver = start_grid(tmp_path, *asked, "--workers", "2")
    with Client(address) as client:
        victim, *kernels = wait_for(lambda: caught_in_a_run(client, workers, tmp_path), "a run to begin")
        victim.kill()
        for kernel in kernels:
            kernel.resume()
        wait_for(lambda: all(gone(kernel) for kernel in kernels), "the end of the killed worker's kernel")
        seen: dict = {}  # every run as it was when it was first there

        def driver_ended() -> bool:
            seen.update(finished_runs(tmp_path) | seen)
            return driver.poll() is not None

        wait_for(driver_ended, "the end of the grid")
    status, output = ended(driver, tmp_path)
    assert status == 0, output
    assert "3 finished, 0 were there, 0 failed, 0 not run" in output
    finished = finished_runs(tmp_path)
    assert len(finished) == 3 and finished | seen == finished  # none was written a second time
    source, scratch, target = sorted(finished, key=lambda name: ("nf-uq-nids" not in name, "scratch" not in name))
    assert finished[source][1] < finished[target][1] and finished[scratch][1] < finished[target][1]
    status, output = ended(start_grid(tmp_path, *asked), tmp_path)
    assert status == 0 and "0 finished, 2 were there, 0 failed, 0 not run" in output
    assert finished_runs(tmp_path) == finished


def test_a_killed_driver_leaves_no_process_and_a_rerun_goes_on_with_what_is_missing(tmp_path, own_csv):
    tiny = tiny_notebooks.write(tmp_path / "notebooks")
    asked = ("--datasets", own_csv, "--seeds", "0-1", "--protocols", "scratch", "--workers", "1")
    driver = start_grid(tmp_path, *asked, **tiny)
    (tmp_path / "go-0").touch()
    wait_for(lambda: begun(tmp_path) == ["0", "1"], "the second run to begin")
    (first,) = finished_runs(tmp_path).items()
    below = psutil.Process(driver.pid).children(recursive=True)
    driver.kill()
    wait_for(lambda: all(gone(process) for process in below), "the end of the killed driver's workers and kernels")
    (tmp_path / "go-1").touch()
    status, output = ended(start_grid(tmp_path, *asked, **tiny), tmp_path)
    assert status == 0 and "1 finished, 1 were there, 0 failed, 0 not run" in output
    assert begun(tmp_path) == ["0", "1", "1"]
    assert first in finished_runs(tmp_path).items() and len(finished_runs(tmp_path)) == 2


def wanting(client: Client) -> set[str]:
    """The clients that wait for a notebook which a worker has been given."""

    def clients(dask_scheduler) -> list[str]:
        tasks = [task for task in dask_scheduler.tasks.values() if task.key[0].startswith("notebook")]
        return [each.client_key for task in tasks if task.state == "processing" for each in task.who_wants or ()]

    return set(client.run_on_scheduler(clients))


def test_a_driver_that_is_started_again_joins_the_runs_its_cluster_is_still_working_on(tmp_path, own_csv):
    tiny = tiny_notebooks.write(tmp_path / "notebooks")
    address = start_scheduler(tmp_path)
    start_worker(tmp_path, address, "one", **tiny)
    start_worker(tmp_path, address, "two", **tiny)
    asked = ("--datasets", own_csv, "--seeds", "0", "--protocols", "scratch", "--scheduler", address)
    driver = start_grid(tmp_path, *asked)
    with Client(address) as client:
        wait_for(lambda: begun(tmp_path), "the run to begin")
        first = wanting(client)
        driver.kill()
        driver.wait()
        again = start_grid(tmp_path, *asked)
        wait_for(lambda: wanting(client) - first, "the second driver to wait for the run")
    (tmp_path / "go-0").touch()
    status, output = ended(again, tmp_path)
    assert status == 0 and "1 finished, 0 were there, 0 failed, 0 not run" in output
    assert begun(tmp_path) == ["0"]
