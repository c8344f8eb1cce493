"""In which order recordings were made: by their times where a file has them, else by their names as people number."""

import contextlib
import re
from datetime import UTC, datetime
from functools import partial

import pyarrow as pa
import pyarrow.compute as pc

from tlids_helpers.data.raw import SESSION_COLUMN, TIME_COLUMN, FlowFile

FORMATS = (
    "%d/%m/%Y %H:%M:%S", "%d/%m/%Y %I:%M:%S %p", "%d/%m/%Y %H:%M", "%d/%m/%Y %I:%M %p", "%m/%d/%Y %H:%M:%S",
    "%m/%d/%Y %I:%M:%S %p", "%m/%d/%Y %H:%M", "%m/%d/%Y %I:%M %p", "%d/%m/%Y", "%m/%d/%Y", "%d.%m.%Y %H:%M:%S",
    "%Y/%m/%d %H:%M:%S", "%d/%m/%Y %H:%M:%S.%f", "%m/%d/%Y %H:%M:%S.%f",
)  # fmt: skip
"""Of times in CICFlowMeter's files (day first) and in those of spreadsheets; ISO 8601 and numbers are known too."""


Times = dict[str, float | str | None]  # recording -> a time of it, None where it has none


def note(batch: pa.RecordBatch, file: FlowFile, found: Times) -> None:
    """Add a raw batch's recordings to `found`: each with its first time if times are numbers, else with one of them.

    One is enough, because recordings follow one another. A cell without a digit is no time.
    """
    if not file.time:
        return
    names, times = pc.cast(batch[SESSION_COLUMN], pa.string()), batch[TIME_COLUMN]
    if pa.types.is_string(times.type):
        times = pc.if_else(pc.match_substring_regex(times, "[0-9]"), times, pa.scalar(None, pa.string()))
    numbers = _numbers(times)
    column = pc.cast(times, pa.string()) if numbers is None else numbers
    groups = pa.table({"name": names, "time": column}).group_by("name", use_threads=False)
    rows = groups.aggregate([("time", "first" if numbers is None else "min")]).rename_columns(["name", "time"])
    for row in rows.to_pylist():
        name, time = row["name"] or "", row["time"]
        before = found.get(name)
        both = isinstance(before, float) and isinstance(time, float)
        found[name] = min(before, time) if both else time if before is None else before


def ordered_by(times: Times) -> str:
    """What tells the order of recordings: "time", or "name" where not every one has a time that can be read."""
    named = [time for name, time in times.items() if name]
    return "time" if named and _moments(named) else "name"


def in_order(names: list[str], times: Times) -> list[str]:
    """Recordings, the first one first: by time if every one has its time, else session2 before session10."""
    moments = _moments([times.get(name) for name in names]) or [0.0] * len(names)
    at = dict(zip(names, moments, strict=True))
    return sorted(names, key=lambda name: (at[name], _natural(name)))


def _moments(times: list) -> list[float] | None:
    """Times as numbers, all read in one way, because 01/02 is in January or in February; None if they cannot be."""
    if all(isinstance(time, float) for time in times):
        return times
    if None in times:
        return None
    with contextlib.suppress(ValueError):
        return [float(time) for time in times]  # also beside numbers from a batch where all were
    texts = [str(time).strip() for time in times]
    for read in (datetime.fromisoformat, *(partial(_parsed, form=form) for form in FORMATS)):
        with contextlib.suppress(ValueError):
            return [_utc(read(text)) for text in texts]
    return None


def _natural(name: str) -> list:
    parts = re.findall(r"0*([0-9]+)|([^0-9]+)", name)  # compared as text: int takes no more than 4,300 digits
    return [(0, len(digits), digits) if digits else (1, 0, text) for digits, text in parts]


def _numbers(times: pa.Array) -> pa.Array | None:
    """The column as float64, null where it is not finite; None if it is neither one of numbers nor of moments."""
    try:
        if pa.types.is_date(times.type):
            times = pc.cast(times, pa.timestamp("ms"))
        if pa.types.is_timestamp(times.type):
            times = pc.cast(times, pa.int64())
        numbers = pc.cast(times, pa.float64(), safe=False)
        return pc.if_else(pc.is_finite(numbers), numbers, pa.scalar(None, pa.float64()))
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError):
        return None


def _parsed(text: str, form: str) -> datetime:
    return datetime.strptime(text, form)


def _utc(moment: datetime) -> float:
    """Seconds since 1970; UTC where no zone is named."""
    return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()
