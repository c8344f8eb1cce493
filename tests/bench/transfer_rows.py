"""The four networks of the union as one compact file, for a machine that has neither this package nor the data.

    python tests/bench/transfer_rows.py [-o build/transfer/rows.npz] [--each N]

Reads NF-UQ-NIDS-v2 (the sample under TLIDS_SHARED): the nine features, the class, the part, and for each seed the role
of every row, split part by part as `tlids_helpers.data` splits. About 6 MB; tests/bench/transfer_grid.py reads it.
"""

import argparse
import os
from pathlib import Path

import numpy as np
import pandas as pd

from tlids_helpers.data import split
from tlids_helpers.data.catalog import FEATURES

UNION = "netflow/NF-UQ-NIDS-v2.sample.csv.gz"
PARTS = ("NF-ToN-IoT-v2", "NF-CSE-CIC-IDS2018-v2", "NF-BoT-IoT-v2", "NF-UNSW-NB15-v2")
SEEDS = 5


def main() -> None:
    """Read, split, write."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("-o", "--output", type=Path, default=Path("build/transfer/rows.npz"))
    parser.add_argument("--each", type=int, help="rows of each class of each part at most, for a trial; all by default")
    wanted = parser.parse_args()
    source = Path(os.environ.get("TLIDS_SHARED", "../shared")) / "data" / UNION
    features, label, part, classes = read(source, wanted.each)
    roles = np.stack([roles_of(label, part, seed) for seed in range(SEEDS)])
    wanted.output.parent.mkdir(parents=True, exist_ok=True)
    columns = {f"feature{i}": compact(column) for i, column in enumerate(features.T)}
    beside = wanted.output.with_suffix(".part")
    with beside.open("wb") as sink:
        np.savez_compressed(sink, **columns, label=label, part=part, roles=roles, classes=classes, parts=PARTS)
    beside.replace(wanted.output)
    print(f"{len(label):,} rows, {len(classes)} classes, {wanted.output.stat().st_size:,} bytes: {wanted.output}")


def read(path: Path, each: int | None = None) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Features (n, 9), class codes (n,), part codes (n,) and the class names of the union's rows."""
    names = list(FEATURES["netflow"])
    table = pd.read_csv(path, usecols=[*names, "Attack", "Dataset"])
    if each:
        table = table.sample(frac=1, random_state=0).groupby(["Dataset", "Attack"]).head(each)
    classes, label = np.unique(table["Attack"].to_numpy(str), return_inverse=True)
    part = np.array([PARTS.index(name) for name in table["Dataset"]], dtype=np.uint8)
    return table[names].to_numpy(np.float64), label.astype(np.uint8), part, classes


def compact(column: np.ndarray) -> np.ndarray:
    """A column in the fewest bytes that hold it exactly as float32 would: nDPI's protocol has fractions."""
    if np.array_equal(column, np.floor(column)) and column.min() >= 0:
        smallest = next(kind for kind in (np.uint8, np.uint16, np.uint32) if column.max() <= np.iinfo(kind).max)
        return column.astype(smallest)
    return column.astype(np.float32)


def roles_of(label: np.ndarray, part: np.ndarray, seed: int) -> np.ndarray:
    """The role of each row (n,) as a position in `split.ROLES`: stratified, and part by part."""
    roles = np.empty(len(label), dtype=np.uint8)
    for code in np.unique(part):
        rows = np.flatnonzero(part == code)
        counts = np.bincount(label[rows], minlength=label.max() + 1)
        roles[rows] = split.draw(split.role_quotas(counts), label[rows], np.random.default_rng(seed))
    return roles


if __name__ == "__main__":
    main()
