"""A big CSV file of made-up flows with NF-CSE-CIC-IDS2018's columns and class counts, for timing the preparation.

    python tests/bench/big_flows.py build/bench/flows.csv --rows 1000000

The rows are `simulate`'s: plausible ranges, no real traffic. The published 8,392,401 rows have exactly the published
class counts, fewer have each class's share of them, and more are those rows again and again, up to the last, shorter
block, which is what a file of that many rows would be.
"""

import argparse
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.csv as csv

from tlids_helpers.data import split, standin
from tlids_helpers.data.catalog import DATASETS

DATASET = DATASETS["nf-cse-cic-ids2018"]
CHUNK_ROWS = 250_000  # made and written at a time
COPIED_BYTES = 8 << 20  # at a time, where rows are repeated


def main() -> None:
    """Write one file."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("path", type=Path, help="of the CSV file to write")
    parser.add_argument("--rows", type=int, default=DATASET.total)
    options = parser.parse_args()
    write_flows(options.path, options.rows)


def write_flows(path: Path, rows: int = DATASET.total) -> Path:
    """Write `rows` flows to `path`, the same bytes for the same number, in the memory of one chunk; returns `path`."""
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f"{path.name}.partial")
    with partial.open("wb") as target:
        target.write(",".join(DATASET.columns).encode() + b"\n")
        start, block = target.tell(), min(rows, DATASET.total)
        _write_block(target, block)
        end = target.tell()
        for _ in range(rows // block - 1):
            _copy(partial, target, start, end)
        _write_block(target, rows % block)  # the last block is a shorter one of its own
    return partial.rename(path)


def chunk_counts(rows: int) -> Iterator[dict[str, int]]:
    """Class -> rows of each chunk of `rows`; together every class has its published share, in whole rows."""
    totals = split.apportion(np.array(list(DATASET.classes.values())), rows)
    written = np.zeros_like(totals)
    for end in (*range(CHUNK_ROWS, rows, CHUNK_ROWS), rows):
        upto = totals * end // rows
        yield dict(zip(DATASET.classes, (upto - written).tolist(), strict=True))
        written = upto


def _write_block(target: BinaryIO, rows: int) -> None:
    plain = csv.WriteOptions(include_header=False, quoting_style="none")
    for seed, counts in enumerate(chunk_counts(rows) if rows else ()):
        csv.write_csv(pa.Table.from_pandas(_chunk(counts, seed), preserve_index=False), target, plain)


def _chunk(counts: dict[str, int], seed: int) -> pd.DataFrame:
    """Shuffled flows of these classes. `simulate` never makes fewer than `FLOOR` of a class: the surplus is cut off."""
    frame = standin.simulate(DATASET, sum(counts.values()) + standin.FLOOR * len(counts), seed)
    number = frame.groupby("Attack", sort=False).cumcount()
    return frame[number < frame["Attack"].map(counts)]


def _copy(path: Path, target: BinaryIO, start: int, end: int) -> None:
    """Append the bytes from `start` to `end` of the file that `target` is writing to `target` itself."""
    target.flush()
    with path.open("rb") as source:
        source.seek(start)
        for place in range(start, end, COPIED_BYTES):
            target.write(source.read(min(COPIED_BYTES, end - place)))


if __name__ == "__main__":
    main()
