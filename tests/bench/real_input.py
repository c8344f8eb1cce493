"""`make real`: notebooks 01 to 04 on real NF-BoT-IoT-v2 flows, beside 100 extra trees on the same split.

The source is real too: a sample of NF-UQ-NIDS-v2, from which the other three parts are read.

    python tests/bench/real_input.py [--trial]

Prints the table of docs/paper.md and stores it as docs/results/real.json. Needs TLIDS_SHARED (default ../shared) with
data/netflow in it. `--trial` goes through every step in a few minutes, on 2,000 rows of each dataset for one epoch; its
numbers mean nothing and are not stored.
"""

import argparse
import os
import sys
from pathlib import Path

import kept
import numpy as np
import page
from sklearn.ensemble import ExtraTreesClassifier

from tlids_helpers import notebooks
from tlids_helpers.data import prepare
from tlids_helpers.data.raw import SUBSET
from tlids_helpers.results import metrics, runs

SAMPLES = {
    "NF-BoT-IoT-v2.sample.csv.gz": "NF-BoT-IoT-v2.csv.gz", "NF-UQ-NIDS-v2.sample.csv.gz": "NF-UQ-NIDS-v2.csv.gz",
}  # fmt: skip
HOME = Path("build/real")
TREES = 100
NAMES = {"scratch": "1D CNN from scratch", "paper": "1D CNN, transfer, `paper`",
         "leave_target_out": "1D CNN, transfer, `leave_target_out`"}  # fmt: skip
COLUMNS = ("model", "split", "accuracy", "macro-F1", "weighted F1", "MCC", "epochs", "seconds", "input")
TRIAL = {"rows": 2000, "epochs": 1}


def main(arguments: list[str] | None = None) -> int:
    """Link the samples as the datasets' files, run the notebooks, fit the trees, print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--trial", action="store_true", help="go through every step as briefly as can be")
    trial = parser.parse_args(arguments).trial
    home, brief = (HOME / "trial", TRIAL) if trial else (HOME, {"epochs": 50})
    folder = Path(os.environ.get("TLIDS_SHARED", "../shared")).resolve() / "data" / "netflow"
    for sample, published in SAMPLES.items():
        if not (folder / sample).is_file():
            print(f"expected real flows at {folder / sample}, found none: set TLIDS_SHARED to the folder that has them")
            return 1
        link_as_dataset(folder / sample, home / "data" / "raw" / published)
    parameters = {
        "dataset": "nf-bot-iot-v2", "allow_subset": True, "data_dir": str(home.resolve() / "data"),
        "runs_dir": str(home.resolve() / "runs"), "task": "multiclass", **brief,
    }  # fmt: skip
    for number in ("01", "02", "03", "04"):
        notebook = notebooks.find_notebook(number)
        print(f"{notebook.stem} ...", flush=True)
        notebooks.execute(notebook, home / "notebooks" / notebook.name, parameters)
    trees = [trees_row(home / "data", split, brief.get("rows")) for split in ("paper", "grouped")]
    rows = [cells(*row) for row in [*our_rows(home / "runs"), *trees]]
    print(page.table(COLUMNS, rows))
    if not trial:
        kept.keep("real", "make real", COLUMNS, rows)
    return 0


def link_as_dataset(sample: Path, target: Path) -> None:
    """Put the sample where the catalog looks for the published file; nothing is copied."""
    target.parent.mkdir(parents=True, exist_ok=True)
    if not target.exists():
        target.symlink_to(sample)


def our_rows(runs_dir: Path) -> list[tuple]:
    """One row of the table for each finished run on the sample."""
    found = [result for result in runs.collect(runs_dir) if result["dataset"] == "nf-bot-iot-v2"]
    return [
        (
            NAMES[result["protocol"]], result["split"], result["scores"], result["epochs"],
            result["source_mark"] or result["mark"], result["seconds"]["total"],
        )
        for result in found
    ]  # fmt: skip


def trees_row(data_dir: Path, split: str, rows: int | None) -> tuple:
    """The oracle: 100 extra trees on the same training and validation rows, scored on the same test rows."""
    prepared = prepare.prepare("nf-bot-iot-v2", data_dir, split, rows=rows, allowed=SUBSET)
    learned = [prepare.load(prepared, role) for role in ("train", "validation")]
    forest = ExtraTreesClassifier(TREES, random_state=42, n_jobs=-1)
    forest.fit(np.concatenate([x for x, _ in learned]), np.concatenate([y for _, y in learned]))
    features, truth = prepare.load(prepared, "test")
    return f"{TREES} extra trees", split, metrics.scores(truth, forest.predict(features)), None, prepared.mark, None


def cells(
    model: str, split: str, scores: dict, epochs: int | None, mark: str, seconds: float | None
) -> tuple[str, ...]:
    """One row of the table as texts, in the order of COLUMNS."""
    numbers = [f"{scores[name]:.4f}" for name in ("accuracy", "macro_f1", "f1", "mcc")]
    return model, split, *numbers, str(epochs or "-"), f"{seconds:.0f}" if seconds else "-", mark


if __name__ == "__main__":
    sys.exit(main())
