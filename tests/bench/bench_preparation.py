"""How fast a raw file becomes the cached split beside pandas, scikit-learn and Polars, and how time and memory grow.

    python tests/bench/bench_preparation.py [--quick] [--home DIR]

All read the same generated CSV file, which has NF-CSE-CIC-IDS2018's columns and class counts (big_flows.py), and leave
a train, a validation and a test Parquet file with the same share of every class. Each runs in a process of its own, on
a file that has just been read once; imports are not timed. pandas does less: it takes no census, and keeps nothing from
which another split could be drawn. Nor does Polars, which is compared by CPU seconds of all threads where it is
installed (pip install polars): nothing else here needs it. The largest file takes 10 GB of disk meanwhile.
"""

import argparse
import importlib.metadata
import importlib.util
import shutil
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import NamedTuple

import big_flows
import lines
import pandas as pd

from tlids_helpers.data import prepare, split
from tlids_helpers.data.catalog import NETFLOW_FEATURES

ROWS = {False: big_flows.DATASET.total, True: 1_000_000}  # quick? Fewer rows have classes too small for scikit-learn
HUGE = 75_987_976  # of NF-UQ-NIDS-v2, the largest file of the catalog
GROWTH = {False: (10_000, 100_000, 1_000_000, 3_000_000, 10_000_000, HUGE), True: (10_000, 30_000)}
TIMES = {False: 2, True: 1}  # the fastest run counts
POLARS_ROWS, POLARS_TIMES = {False: 3_000_000, True: 30_000}, {False: 5, True: 1}
COLUMNS = [*NETFLOW_FEATURES, "Attack"]
SMALL = dict.fromkeys(NETFLOW_FEATURES, "float32") | {"Attack": "category"}
PANDAS = {
    "pandas.read_csv, train_test_split, to_parquet": {},
    "the same, of the ten columns that are used": {"usecols": COLUMNS},
    "the same, and read as float32 and categories": {"usecols": COLUMNS, "dtype": SMALL},
}
"""Three ways to use pandas, each a little cleverer -> how read_csv is called."""


class Taken(NamedTuple):
    """What one preparation took."""

    seconds: float  # wall clock
    cpu: float  # seconds, all threads together
    peak_mb: float


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="a smoke run: its figures mean nothing")
    parser.add_argument("--home", type=Path, default=lines.HOME, help="where the files lie meanwhile")
    parser.add_argument("--polars", action="store_true", help="beside Polars alone")
    options = parser.parse_args()
    beside_polars(options.home, POLARS_ROWS[options.quick], POLARS_TIMES[options.quick])
    if options.polars:
        return
    beside_pandas(options.home, ROWS[options.quick], TIMES[options.quick])
    for rows in GROWTH[options.quick]:
        with raw_file(options.home, rows) as raw:
            taken = measured(with_tlids, raw)
        lines.emit(growth="preparation", rows=rows, seconds=taken.seconds, cpu=taken.cpu, peak_mb=taken.peak_mb)


def beside_pandas(home: Path, rows: int, times: int) -> None:
    """One file, prepared here and in each way of using pandas; then here again, from the cache."""
    with raw_file(home, rows) as raw:
        for against, reading in PANDAS.items():
            ours, theirs = fastest(times, raw, with_tlids, partial(with_pandas, reading=reading))
            compare = partial(lines.compare, "preparation", against=against)
            note = f"{rows:,} rows; {ours.cpu:.1f} CPU seconds here, {theirs.cpu:.1f} there"
            rates, wanted = (rows / ours.seconds, rows / theirs.seconds), None if reading else 3
            compare("raw file to split", value=rates[0], other=rates[1], unit="rows/s", note=note, wanted=wanted)
            note = f"{rows:,} rows; at most 2,000 MB are wanted here"
            compare("memory, raw file to split", value=ours.peak_mb, other=theirs.peak_mb, unit="MB", note=note)
        measured(with_tlids, raw)
        again = measured(with_tlids, raw, anew=False)
    lines.emit(part="preparation", what="the same split again, from the cache", value=again.seconds, unit="s",
               note=f"{rows:,} rows; less than a second is wanted")  # fmt: skip


def beside_polars(home: Path, rows: int, times: int) -> None:
    """One file, prepared here and by Polars in both of its ways to read; compared in rows a CPU second."""
    if not importlib.util.find_spec("polars"):
        print("beside Polars: not measured, it is not installed", file=sys.stderr)
        return
    version = importlib.metadata.version("polars")
    with raw_file(home, rows) as raw:
        for reading in ("scan_csv", "read_csv"):
            ours, theirs = least(times, raw, with_tlids, partial(with_polars, reading=reading))
            compare = partial(lines.compare, "preparation", against=f"Polars {version}, {reading} of the ten columns")
            note = f"{rows:,} rows; {ours.cpu:.2f} CPU seconds here with the census, {theirs.cpu:.2f} there without"
            rates = rows / ours.cpu, rows / theirs.cpu
            what = "raw file to split, rows a CPU second"
            compare(what, value=rates[0], other=rates[1], unit="rows/s", note=note, wanted=1.3)
            memory = ours.peak_mb, theirs.peak_mb
            compare("memory, raw file to split", value=memory[0], other=memory[1], unit="MB", note=f"{rows:,} rows")


@contextmanager
def raw_file(home: Path, rows: int) -> Iterator[Path]:
    """A generated file in a folder that vanishes with it."""
    home.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="preparation-", dir=home) as folder:
        yield lines.alone(big_flows.write_flows, Path(folder) / f"flows-{rows}.csv", rows).result


def fastest(times: int, raw: Path, *ways: Callable) -> list[Taken]:
    """The fastest run of each way, the one that other programs disturbed least; the ways take turns."""
    runs = [[measured(way, raw) for way in ways] for _ in range(times)]
    return [min(of_one) for of_one in zip(*runs, strict=True)]


def least(times: int, raw: Path, *ways: Callable) -> list[Taken]:
    """The run of each way that took the fewest CPU seconds; the ways take turns."""
    runs = [[measured(way, raw) for way in ways] for _ in range(times)]
    return [min(of_one, key=lambda taken: taken.cpu) for of_one in zip(*runs, strict=True)]


def measured(way: Callable, raw: Path, anew: bool = True) -> Taken:
    """One preparation of `raw` in a process of its own, into a folder beside it; `anew` empties it first."""
    out = raw.with_name("out")
    if anew:
        shutil.rmtree(out, ignore_errors=True)
        out.mkdir()
    with raw.open("rb") as file:  # so that nobody waits for the disk
        while file.read(big_flows.COPIED_BYTES):
            pass
    run = lines.alone(way, raw, out)
    return Taken(*run.result, run.peak_mb)


def with_tlids(raw: Path, out: Path) -> tuple[float, float]:
    """Seconds and CPU seconds of this project's preparation."""
    return clocked(lambda: prepare.prepare(str(raw), out))


def with_pandas(raw: Path, out: Path, reading: dict) -> tuple[float, float]:
    """Seconds and CPU seconds of the same split with pandas and scikit-learn; the whole file is held in memory."""
    from sklearn.model_selection import train_test_split  # not above: it would count as our memory

    def divide() -> None:
        frame = pd.read_csv(raw, **reading)
        labels = frame["Attack"].cat.codes if reading.get("dtype") else frame["Attack"]
        training, test = train_test_split(frame, test_size=split.TEST_FRACTION, stratify=labels, random_state=42)
        train, validation = train_test_split(
            training, test_size=split.VALIDATION_FRACTION, stratify=labels[training.index], random_state=42
        )
        for role, rows in zip(split.ROLES, (train, validation, test), strict=True):
            rows.to_parquet(out / f"{role}.parquet")

    return clocked(divide)


def with_polars(raw: Path, out: Path, reading: str) -> tuple[float, float]:
    """Seconds and CPU seconds of the same split with Polars: shuffled once, then cut by each row's place in its class.

    The ten columns alone are read, nine of them as float32. The shares of each class are those of `split`, rounded.
    """
    import polars as pl  # not above: it need not be there

    def rows() -> pl.DataFrame:
        columns = [*(pl.col(name).cast(pl.Float32) for name in NETFLOW_FEATURES), pl.col("Attack").cast(pl.Categorical)]
        if reading == "scan_csv":
            return pl.scan_csv(raw).select(columns).collect(engine="streaming")
        return pl.read_csv(raw, columns=COLUMNS).select(columns)

    def divide() -> None:
        frame = rows()
        place = pl.int_range(pl.len()).shuffle(42).over("Attack") / pl.len().over("Attack")
        kept = split.TEST_FRACTION + (1 - split.TEST_FRACTION) * split.VALIDATION_FRACTION
        frame = frame.with_columns(place.alias("place"))
        test, validation = pl.col("place") < split.TEST_FRACTION, pl.col("place") < kept
        for role, wanted in (("test", test), ("validation", ~test & validation), ("train", ~validation)):
            frame.filter(wanted).drop("place").write_parquet(out / f"{role}.parquet")

    return clocked(divide)


def clocked(work: Callable[[], object]) -> tuple[float, float]:
    """Wall-clock and CPU seconds of one call."""
    wall, cpu = time.perf_counter(), time.process_time()
    work()
    return time.perf_counter() - wall, time.process_time() - cpu


if __name__ == "__main__":
    main()
