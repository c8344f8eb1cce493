"""`make transfer`: all of docs/transfer.md again, on one GPU if JAX has one, else seed by seed on Dask's workers.

    python tests/bench/transfer_all.py [--seeds 5] [--scale 1] [--scheduler ADDRESS]
    python tests/bench/transfer_all.py --trial

What was made by all five seeds at full length goes into docs/; anything less stays under build/transfer, with a page of
its tables beside it. `--trial` goes through every step in a few minutes of one core: one seed, few rows, four updates
of eight rows each; its numbers mean nothing. A seed that is finished is not run again.
"""

import argparse
import json
import subprocess
import sys
from contextlib import ExitStack
from datetime import date
from pathlib import Path

from distributed import Client, LocalCluster

BENCH = Path(__file__).resolve().parent
HOME = Path("build/transfer")
ALL_SEEDS = 5
TRIAL = {"each": 60, "check": 2, "batch": 8}  # rows of a class of a network; updates to a look; rows of an update


def main() -> None:
    """Rows, trees, networks, then the page."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seeds", type=int, default=ALL_SEEDS)
    parser.add_argument("--scale", type=float, default=1.0, help="of all numbers of updates, for a trial")
    parser.add_argument("--scheduler", help="address of an existing Dask cluster that sees this folder")
    parser.add_argument("--workers", type=int, help="of a local one; by default one a core")
    parser.add_argument("--trial", action="store_true", help="go through every step as briefly as can be")
    wanted = parser.parse_args()
    home = HOME / "trial" if wanted.trial else HOME
    if wanted.trial:
        wanted.seeds, wanted.scale = 1, 0.0
    rows, grid, trees = (home / name for name in ("rows.npz", "grid.json", "trees.json"))
    if not rows.is_file():
        script("transfer_rows.py", "-o", rows, *(("--each", TRIAL["each"]) if wanted.trial else ()))
    script("transfer_trees.py", rows, "-o", trees, "--seeds", wanted.seeds)
    if on_a_gpu():
        script("transfer_grid.py", rows, "-o", grid, "--seeds", wanted.seeds, *length(wanted))
    else:
        grid.write_text(json.dumps(merged(seed_by_seed(wanted, rows))))
    write_up(home, full=wanted.seeds == ALL_SEEDS and wanted.scale == 1)


def write_up(home: Path, full: bool) -> None:
    """The results in few numbers and their page: in docs/ where they are all of it, else in `home`."""
    results = Path("docs/results/transfer.json") if full else home / "transfer.json"
    script("transfer_condense.py", home / "grid.json", home / "trees.json", "-o", results,
           "--date", date.today().isoformat())  # fmt: skip
    script("transfer_page.py", *(() if full else (results, "-o", home)))
    print(f"results: {results}")


def script(name: str, *options: object) -> None:
    """Run a script of this folder to its end. Raises CalledProcessError where it fails."""
    subprocess.run([sys.executable, str(BENCH / name), *map(str, options)], check=True)


def length(wanted: argparse.Namespace) -> tuple[object, ...]:
    """How long to train: as many updates as wanted, however many seconds that takes."""
    brief = ("--check", TRIAL["check"], "--batch", TRIAL["batch"]) if wanted.trial else ()
    return "--scale", wanted.scale, "--budget", "inf", *brief


def on_a_gpu() -> bool:
    """Whether JAX has a GPU here; asked in another process, because JAX would keep most of its memory."""
    code = "import jax; print(jax.default_backend())"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return done.stdout.strip() == "gpu"


def seed_by_seed(wanted: argparse.Namespace, rows: Path) -> list[dict]:
    """The whole grid of each seed, a task each."""
    with ExitStack() as stack:
        address = wanted.scheduler
        if not address:
            cluster = LocalCluster(n_workers=wanted.workers, threads_per_worker=1, memory_limit=None)
            address = stack.enter_context(cluster)
        client = stack.enter_context(Client(address))
        tasks = client.map(one_seed, range(wanted.seeds), rows=rows.resolve(), length=length(wanted), pure=False)
        return client.gather(tasks)


def one_seed(seed: int, rows: Path, length: tuple[object, ...]) -> dict:
    """The grid of one seed, read from its file where that is finished; `rows` is an absolute path."""
    output = rows.with_name(f"grid-{seed}-{length[1]:g}.json")
    done = output.with_suffix(".done")
    if not done.exists():
        options = rows, "-o", output, "--first-seed", seed, "--seeds", 1, *length
        subprocess.run([sys.executable, str(BENCH / "transfer_grid.py"), *map(str, options)], check=True)
        done.touch()
    return json.loads(output.read_text())


def merged(grids: list[dict]) -> dict:
    """The grids of single seeds as one."""
    return {**grids[0], "stages": [stage for grid in grids for stage in grid["stages"]],
            "results": [result for grid in grids for result in grid["results"]]}  # fmt: skip


if __name__ == "__main__":
    main()
