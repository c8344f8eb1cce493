"""The grid of runs: two workers beside one, each run on one thread.

    python tests/bench/bench_grid.py [--quick]

The whole command is timed, from its start to its summary; the rows are prepared before.
"""

import os
import subprocess
import sys
import tempfile
from pathlib import Path

import lines

from tlids_helpers.data import prepare

RUNS = {False: 6, True: 2}
SHORT_ROWS = 1000
SHORT = ("--rows", str(SHORT_ROWS), "--epochs", "1")  # of a smoke run; else all rows, and the paper's 50 epochs
WANTED = 1.6


def main() -> None:
    """Measure and print."""
    quick = lines.is_quick(__doc__)
    with tempfile.TemporaryDirectory(prefix="tlids-") as folder:
        home = Path(folder)
        for seed in range(RUNS[quick]):
            prepare.prepare("testbed", seed=seed, rows=SHORT_ROWS if quick else None)
        taken = {n: lines.seconds(lambda n=n: grid(home, quick, f"runs-{n}", "--workers", str(n))) for n in (1, 2)}
    rates = {n: RUNS[quick] * 60 / seconds for n, seconds in taken.items()}
    note = f"{RUNS[quick]} scratch runs of the testbed, all rows and 50 epochs at most; {os.cpu_count()} cores"
    lines.compare("grid", "grid, two workers", "one worker", rates[2], rates[1], "runs/min", note, WANTED)
    for workers, rate in rates.items():
        lines.emit(growth="grid", workers=workers, seconds=taken[workers], runs_per_min=rate)


def grid(home: Path, quick: bool, runs: str, *options: str) -> None:
    """Run the command to its end; a failed run ends the benchmark."""
    command = [
        sys.executable, "-m", "tlids_helpers.grid", "--datasets", "testbed", "--protocols", "scratch",
        "--seeds", f"0-{RUNS[quick] - 1}", *(SHORT if quick else ()),
        "--runs-dir", str(home / runs), *options,
    ]  # fmt: skip
    subprocess.run(command, check=True, stdout=sys.stderr)


if __name__ == "__main__":
    main()
