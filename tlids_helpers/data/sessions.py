"""In which order recordings were made: by their times where a file has them, else by their names as people number."""

import re
from datetime import UTC, datetime

import pyarrow as pa
import pyarrow.compute as pc

from tlids_helpers.data.raw import SESSION_COLUMN, TIME_COLUMN, FlowFile

FORMATS = (
    "%d/%m/%Y %H:%M:%S", "%d/%m/%Y %I:%M:%S %p", "%d/%m/%Y %H:%M", "%d/%m/%Y %I:%M %p", "%m/%d/%Y %H:%M:%S",
    "%m/%d/%Y %I:%M:%S %p", "%m/%d/%Y %H:%M", "%d/%m/%Y", "%d.%m.%Y %H:%M:%S", "%Y/%m/%d %H:%M:%S",
)  # fmt: skip
"""Of times in CICFlowMeter's files (day first) and in those of spreadsheets; ISO 8601 and numbers are known too."""


def note(batch: pa.RecordBatch, file: FlowFile, found: dict[str, float | None]) -> None:
    """Add a raw batch's recordings to `found`, each with its first time in whatever unit the file has; None without.

    Of times that are text, one a recording and batch is looked at: recordings do not overlap.
    """
    if not file.time:
        return
    names, numbers = pc.cast(batch[SESSION_COLUMN], pa.string()), _numbers(batch[TIME_COLUMN])
    column = batch[TIME_COLUMN] if numbers is None else numbers
    groups = pa.table({"name": names, "time": column}).group_by("name", use_threads=False)
    rows = groups.aggregate([("time", "first" if numbers is None else "min")]).rename_columns(["name", "time"])
    for row in rows.to_pylist():
        name, time = row["name"], row["time"]
        time = _seconds(time) if isinstance(time, str) else time
        before = found.get(name, time)
        found[name] = None if time is None or before is None else min(before, time)


def in_order(names: list[str], times: dict[str, float | None]) -> list[str]:
    """Recordings, the first one first: by time if every one has its time, else session2 before session10."""
    known = all(times.get(name) is not None for name in names)
    return sorted(names, key=lambda name: (times[name] if known else 0, _natural(name)))


def _natural(name: str) -> list:
    return [(0, int(part), "") if part.isdecimal() else (1, 0, part) for part in re.split(r"(\d+)", name) if part]


def _numbers(times: pa.Array) -> pa.Array | None:
    """The column as numbers, None if it is neither one of numbers nor of moments."""
    try:
        if pa.types.is_timestamp(times.type):
            return pc.cast(times, pa.int64())
        return pc.cast(times, pa.float64())
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError):
        return None


def _seconds(text: str) -> float | None:
    """Seconds since 1970 of a time as text, None where it cannot be read."""
    text = text.strip()
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        moment = next(filter(None, (_parsed(text, form) for form in FORMATS)), None)
    if moment is None:
        return None
    return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()


def _parsed(text: str, form: str) -> datetime | None:
    try:
        return datetime.strptime(text, form)
    except ValueError:
        return None
