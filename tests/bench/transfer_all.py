"""`make transfer`: all of docs/transfer.md again, on one GPU if JAX has one, else seed by seed on Dask's workers.

    python tests/bench/transfer_all.py [--seeds 5] [--scale 1] [--scheduler ADDRESS]

What was made by all five seeds at full length goes into docs/; anything less stays under build/transfer, as a trial.
A seed that is finished is not run again.
"""

import argparse
import json
import subprocess
import sys
from contextlib import ExitStack
from datetime import date
from pathlib import Path

from distributed import Client, LocalCluster

BENCH = Path(__file__).parent
HOME = Path("build/transfer")
ROWS, GRID, TREES = HOME / "rows.npz", HOME / "grid.json", HOME / "trees.json"
ALL_SEEDS = 5


def main() -> None:
    """Rows, trees, networks, then the page."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seeds", type=int, default=ALL_SEEDS)
    parser.add_argument("--scale", type=float, default=1.0, help="of all numbers of updates, for a trial")
    parser.add_argument("--scheduler", help="address of an existing Dask cluster that sees this folder")
    parser.add_argument("--workers", type=int, help="of a local one; by default one a core")
    wanted = parser.parse_args()
    if not ROWS.is_file():
        script("transfer_rows.py", "-o", ROWS)
    script("transfer_trees.py", ROWS, "-o", TREES, "--seeds", wanted.seeds)
    if on_a_gpu():
        script("transfer_grid.py", ROWS, "-o", GRID, "--seeds", wanted.seeds, *length(wanted.scale))
    else:
        GRID.write_text(json.dumps(merged(seed_by_seed(wanted))))
    full = wanted.seeds == ALL_SEEDS and wanted.scale == 1
    target = Path("docs/results/transfer.json") if full else HOME / "transfer.json"
    script("transfer_condense.py", GRID, TREES, "-o", target, "--date", date.today().isoformat())
    if full:
        script("transfer_page.py")
    print(f"results: {target}")


def script(name: str, *options: object) -> None:
    """Run a script of this folder to its end. Raises CalledProcessError where it fails."""
    subprocess.run([sys.executable, str(BENCH / name), *map(str, options)], check=True)


def length(scale: float) -> tuple[object, ...]:
    """How long to train: as many updates as wanted, however many seconds that takes."""
    return "--scale", scale, "--budget", "inf"


def on_a_gpu() -> bool:
    """Whether JAX has a GPU here; asked in another process, because JAX would keep most of its memory."""
    code = "import jax; print(jax.default_backend())"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return done.stdout.strip() == "gpu"


def seed_by_seed(wanted: argparse.Namespace) -> list[dict]:
    """The whole grid of each seed, a task each."""
    with ExitStack() as stack:
        address = wanted.scheduler
        if not address:
            cluster = LocalCluster(n_workers=wanted.workers, threads_per_worker=1, memory_limit=None)
            address = stack.enter_context(cluster)
        client = stack.enter_context(Client(address))
        tasks = client.map(one_seed, range(wanted.seeds), scale=wanted.scale, folder=str(Path.cwd()), pure=False)
        return client.gather(tasks)


def one_seed(seed: int, scale: float, folder: str) -> dict:
    """The grid of one seed, read from its file where that is finished."""
    output = Path(folder) / HOME / f"grid-{seed}-{scale:g}.json"
    done = output.with_suffix(".done")
    if not done.exists():
        options = Path(folder) / ROWS, "-o", output, "--first-seed", seed, "--seeds", 1, *length(scale)
        subprocess.run([sys.executable, str(BENCH / "transfer_grid.py"), *map(str, options)], cwd=folder, check=True)
        done.touch()
    return json.loads(output.read_text())


def merged(grids: list[dict]) -> dict:
    """The grids of single seeds as one."""
    return {**grids[0], "stages": [stage for grid in grids for stage in grid["stages"]],
            "results": [result for grid in grids for result in grid["results"]]}  # fmt: skip


if __name__ == "__main__":
    main()
