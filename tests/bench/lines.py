"""What the benchmarks share: the lines they print, and how a function is measured.

A benchmark prints one JSON object a line on standard output, everything else on standard error. Three kinds of line:
    a comparison   {"part", "what", "against", "value", "other", "unit", "ratio", "note"}, and "wanted" if a ratio was
    a figure       {"part", "what", "value", "unit", "note"}
    growth         {"growth", "rows" (or "packets", "flows", "workers"), "seconds", "peak_mb", ...}
A ratio above 1 always says that this project's way is better.
"""

import argparse
import json
import statistics
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path
from typing import Any, NamedTuple

from tlids_edge.status import peak_memory_mb

REPOSITORY = Path(__file__).resolve().parents[2]
HOME = REPOSITORY / "build" / "bench"  # what benchmarks leave behind, out of git
MORE_IS_BETTER = ("/s", "/min", "of 1")  # how the unit of a rate, or of a share, ends


class Measured(NamedTuple):
    """What a function gave and took in a process of its own."""

    result: Any
    seconds: float  # wall clock, of the function alone
    peak_mb: float  # MB (10^6 bytes), of the whole process with Python and all it imported


def emit(**line) -> None:
    """Print one line of the protocol."""
    print(json.dumps(line), flush=True)


def compare(
    part: str, what: str, against: str, value: float, other: float, unit: str, note: str = "",
    wanted: float | None = None,
) -> None:  # fmt: skip
    """Print a comparison: `value` is what ours takes or makes, `other` what the other way does, in the same unit."""
    wish = {} if wanted is None else {"wanted": wanted}
    emit(part=part, what=what, against=against, value=value, other=other, unit=unit,
         ratio=ratio(value, other, unit), note=note, **wish)  # fmt: skip


def ratio(value: float, other: float, unit: str) -> float:
    """How many times better `value` is than `other`: more of a rate or a share is better, less of anything else."""
    return value / other if unit.endswith(MORE_IS_BETTER) else other / value


def alone(function: Callable, *arguments) -> Measured:
    """Call a module's function in a fresh process. Raises what it raises, or BrokenProcessPool when it is killed."""
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as process:
        return process.submit(_measured, function, arguments).result()


def _measured(function: Callable, arguments: tuple) -> Measured:
    began = time.perf_counter()
    result = function(*arguments)
    return Measured(result, time.perf_counter() - began, peak_memory_mb())


def alternately(*works: Callable[[], object], times: int = 3, warm_up: int = 1) -> list[float]:
    """Median seconds of each of `works`, called in turn, so that a busy moment of the machine meets them all.

    The first `warm_up` calls of each do not count: they compile and fill caches.
    """
    taken = [[seconds(work) for work in works] for _ in range(warm_up + times)][warm_up:]
    return [statistics.median(column) for column in zip(*taken, strict=True)]


def seconds(work: Callable[[], object]) -> float:
    """Wall-clock seconds of one call."""
    began = time.perf_counter()
    work()
    return time.perf_counter() - began


def is_quick(description: str) -> bool:
    """The one option of a benchmark's command line."""
    parser = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="a smoke run: its figures mean nothing")
    return parser.parse_args().quick
