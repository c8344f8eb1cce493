"""How fast a raw file becomes the cached split beside pandas, scikit-learn and Polars, and how time and memory grow.

    python tests/bench/bench_preparation.py [--quick] [--home DIR] [--polars | --stages]

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
import pyarrow.csv as csv

from tlids_helpers.data import clean, cleaned, prepare, raw, split
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
    parser.add_argument("--stages", action="store_true", help="what our CPU time goes into alone")
    options = parser.parse_args()
    stages(options.home, POLARS_ROWS[options.quick], POLARS_TIMES[options.quick])
    if options.stages:
        return
    beside_polars(options.home, POLARS_ROWS[options.quick], POLARS_TIMES[options.quick])
    if options.polars:
        return
    beside_pandas(options.home, ROWS[options.quick], TIMES[options.quick])
    for rows in GROWTH[options.quick]:
        with raw_file(options.home, rows) as file:
            taken = measured(with_tlids, file)
        lines.emit(growth="preparation", rows=rows, seconds=taken.seconds, cpu=taken.cpu, peak_mb=taken.peak_mb)


def beside_pandas(home: Path, rows: int, times: int) -> None:
    """One file, prepared here and in each way of using pandas; then here again, from the cache."""
    with raw_file(home, rows) as file:
        for against, reading in PANDAS.items():
            ours, theirs = fastest(times, file, with_tlids, partial(with_pandas, reading=reading))
            compare = partial(lines.compare, "preparation", against=against)
            note = f"{rows:,} rows; {ours.cpu:.1f} CPU seconds here, {theirs.cpu:.1f} there"
            rates, wanted = (rows / ours.seconds, rows / theirs.seconds), None if reading else 3
            compare("raw file to split", value=rates[0], other=rates[1], unit="rows/s", note=note, wanted=wanted)
            note = f"{rows:,} rows; target: at most 2,000 MB"
            compare("memory, raw file to split", value=ours.peak_mb, other=theirs.peak_mb, unit="MB", note=note)
        measured(with_tlids, file)
        again = measured(with_tlids, file, anew=False)
    lines.emit(part="preparation", what="the same split again, from the cache", value=again.seconds, unit="s",
               note=f"{rows:,} rows; target: less than a second")  # fmt: skip


def beside_polars(home: Path, rows: int, times: int) -> None:
    """One file, prepared here and by Polars in both of its ways to read; compared in rows a CPU second."""
    if not importlib.util.find_spec("polars"):
        print("beside Polars: not measured, it is not installed", file=sys.stderr)
        return
    version = importlib.metadata.version("polars")
    with raw_file(home, rows) as file:
        for reading in ("scan_csv", "read_csv"):
            ours, theirs = least(times, file, with_tlids, partial(with_polars, reading=reading))
            compare = partial(lines.compare, "preparation", against=f"Polars {version}, {reading} of the ten columns")
            note = f"{rows:,} rows; {ours.cpu:.2f} CPU seconds here with the census, {theirs.cpu:.2f} there without"
            rates = rows / ours.cpu, rows / theirs.cpu
            what = "raw file to split, rows a CPU second"
            compare(what, value=rates[0], other=rates[1], unit="rows/s", note=note, wanted=1.3)
            memory = ours.peak_mb, theirs.peak_mb
            compare("memory, raw file to split", value=memory[0], other=memory[1], unit="MB", note=f"{rows:,} rows")


def stages(home: Path, rows: int, times: int) -> None:
    """CPU seconds of a million rows: pyarrow's reader alone, then our steps, each with those before it."""
    ways = {
        "pyarrow's CSV reader alone, the ten columns": with_reader,
        "every line checked and counted, then that": with_lines,
        "values and classes cleaned and counted as well": with_cleaning,
        "the cleaned file written as well": with_cleaned,
        "the split as well, the whole preparation": with_tlids,
    }
    with raw_file(home, rows) as file:
        for name, taken in zip(ways, least(times, file, *ways.values()), strict=True):
            note, of_a_million = f"{rows:,} rows, least of {times}", taken.cpu * 1e6 / rows
            lines.emit(
                part="preparation", what=f"CPU of a million rows: {name}", value=of_a_million, unit="s", note=note
            )


@contextmanager
def raw_file(home: Path, rows: int) -> Iterator[Path]:
    """A generated file in a folder that vanishes with it."""
    home.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="preparation-", dir=home) as folder:
        yield lines.alone(big_flows.write_flows, Path(folder) / f"flows-{rows}.csv", rows).result


def fastest(times: int, file: Path, *ways: Callable) -> list[Taken]:
    """The fastest run of each way, the one that other programs disturbed least; the ways take turns."""
    runs = [[measured(way, file) for way in ways] for _ in range(times)]
    return [min(of_one) for of_one in zip(*runs, strict=True)]


def least(times: int, file: Path, *ways: Callable) -> list[Taken]:
    """The run of each way that took the fewest CPU seconds; the ways take turns."""
    runs = [[measured(way, file) for way in ways] for _ in range(times)]
    return [min(of_one, key=lambda taken: taken.cpu) for of_one in zip(*runs, strict=True)]


def measured(way: Callable, file: Path, anew: bool = True) -> Taken:
    """One preparation of `file` in a process of its own, into a folder beside it; `anew` empties it first."""
    out = file.with_name("out")
    if anew:
        shutil.rmtree(out, ignore_errors=True)
        out.mkdir()
    with file.open("rb") as stream:  # so that nobody waits for the disk
        while stream.read(big_flows.COPIED_BYTES):
            pass
    run = lines.alone(way, file, out)
    return Taken(*run.result, run.peak_mb)


def with_reader(file: Path, out: Path) -> tuple[float, float]:
    """Seconds and CPU seconds of pyarrow's reader, numbers as numbers."""
    options = csv.ConvertOptions(include_columns=COLUMNS)
    return clocked(lambda: sum(map(len, csv.open_csv(file, convert_options=options))))


def with_lines(file: Path, out: Path) -> tuple[float, float]:
    """The same of our reading, which gives pyarrow the lines that are rows."""
    return clocked(lambda: sum(map(len, raw.read_batches(raw.inspect(file)))))


def with_cleaning(file: Path, out: Path) -> tuple[float, float]:
    """The same with the census of values and classes."""
    return clocked(lambda: sum(map(len, clean.clean_batches(raw.inspect(file), None, clean.Census()))))


def with_cleaned(file: Path, out: Path) -> tuple[float, float]:
    """The same with the cleaned file."""
    return clocked(lambda: cleaned.clean(str(file), out, allow_subset=True))


def with_tlids(file: Path, out: Path) -> tuple[float, float]:
    """Seconds and CPU seconds of this project's preparation."""
    return clocked(lambda: prepare.prepare(str(file), out))


def with_pandas(file: Path, out: Path, reading: dict) -> tuple[float, float]:
    """Seconds and CPU seconds of the same split with pandas and scikit-learn; the whole file is held in memory."""
    from sklearn.model_selection import train_test_split  # not above: it would count as our memory

    def divide() -> None:
        frame = pd.read_csv(file, **reading)
        labels = frame["Attack"].cat.codes if reading.get("dtype") else frame["Attack"]
        training, test = train_test_split(frame, test_size=split.TEST_FRACTION, stratify=labels, random_state=42)
        train, validation = train_test_split(
            training, test_size=split.VALIDATION_FRACTION, stratify=labels[training.index], random_state=42
        )
        for role, rows in zip(split.ROLES, (train, validation, test), strict=True):
            rows.to_parquet(out / f"{role}.parquet")

    return clocked(divide)


def with_polars(file: Path, out: Path, reading: str) -> tuple[float, float]:
    """Seconds and CPU seconds of the same split with Polars: shuffled once, then cut by each row's place in its class.

    The ten columns alone are read, nine of them as float32. The shares of each class are those of `split`, rounded.
    """
    import polars as pl  # not above: it need not be there

    def rows() -> pl.DataFrame:
        columns = [*(pl.col(name).cast(pl.Float32) for name in NETFLOW_FEATURES), pl.col("Attack").cast(pl.Categorical)]
        if reading == "scan_csv":
            return pl.scan_csv(file).select(columns).collect(engine="streaming")
        return pl.read_csv(file, columns=COLUMNS).select(columns)

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
