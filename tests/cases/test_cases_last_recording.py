"""The last recording is the latest by time, else the last by number."""

import datetime

import case_rows as made
import pytest

from tlids_helpers.data import prepare, raw, show


@pytest.mark.parametrize(("names", "last"), [
    ([f"session{n}" for n in range(1, 12)], "session11"), (["9", "10", "8"], "10"), (["day 2", "day 10"], "day 10"),
    (["s2b", "s10a", "s2a"], "s10a"), (["2026-01-09", "2026-01-10"], "2026-01-10"), (["A2", "a10"], "a10"),
])  # fmt: skip
def test_the_last_recording_is_the_last_number(names, last, put, data_dir, rows_of):
    frame = made.flows(330)
    frame["Session"] = [names[row % len(names)] for row in range(330)]
    prepared = prepare.prepare(str(put(frame, "own.csv")), data_dir, "session")
    assert rows_of(prepared, "test") == sorted(frame.loc[frame["Session"] == last, "IN_BYTES"])


TIMES = {
    "FIRST_SWITCHED_MS": (1000, 2000, 3000), "FLOW_START_MILLISECONDS": (9, 10, 11),
    "Timestamp": ("03/07/2017 08:55:58", "04/07/2017 08:00:00", "01/08/2017 08:00:00"),
    "timestamp": ("2026-01-31T10:00:00Z", "2026-02-01 09:00:00", "2026-02-01T10:00:00"),
    "Stime": ("1.4e9", "1400000001.5", "1400000002"),
    "Time": ("12/31/2026 10:00", "01/05/2027 10:00", "02/01/2027 10:00"),
    "StartTime": ("03/07/2017 08:55:58.25", "03/07/2017 08:55:58.5", "03/07/2017 09:55:58.0"),
    "ts": ("14/02/2018 08:31:01 AM", "14/02/2018 01:31:01 PM", "15/02/2018 01:00:00 AM"),
}  # fmt: skip


@pytest.mark.parametrize("name", TIMES)
@pytest.mark.parametrize("kind", ["csv", "parquet"])
def test_the_last_recording_is_the_latest_where_there_is_a_time(name, kind, put, data_dir, rows_of):
    frame, names = made.flows(300), ("wednesday", "thursday", "friday")
    frame["Session"] = [names[row % 3] for row in range(300)]
    frame[name] = [TIMES[name][row % 3] for row in range(300)]
    prepared = prepare.prepare(str(put(frame, f"own.{kind}")), data_dir, "session")
    assert rows_of(prepared, "test") == list(range(2, 300, 3))


@pytest.mark.parametrize(("cell", "row", "block"), [
    ("", 0, raw.BLOCK_BYTES), ("", 2, 500), (None, 150, 500), ("NaT", 0, 500), ("unknown", 2, raw.BLOCK_BYTES),
    ("inf", 0, raw.BLOCK_BYTES),
])  # fmt: skip
@pytest.mark.parametrize("kind", ["csv", "parquet"])
@pytest.mark.parametrize("name", TIMES)
def test_a_missing_time_changes_no_order(name, kind, cell, row, block, put, data_dir, rows_of, monkeypatch):
    monkeypatch.setattr(raw, "BLOCK_BYTES", block)
    frame, names = made.flows(300), ("wednesday", "thursday", "friday")
    frame["Session"] = [names[row % 3] for row in range(300)]
    frame[name] = [TIMES[name][row % 3] for row in range(300)]
    frame[name] = frame[name].astype(object if kind == "csv" or isinstance(frame[name][0], str) else float)
    frame.loc[row, name] = cell if frame[name].dtype == object else float("inf" if cell == "inf" else "nan")
    prepared = prepare.prepare(str(put(frame, f"own.{kind}")), data_dir, "session")
    assert rows_of(prepared, "test") == list(range(2, 300, 3))
    assert "The test is the last recording by time." in show.provenance(prepared)


@pytest.mark.parametrize("times", [("", 2, 1), ("soon", "2", "1"), ("03/07/2017 08:00", "2026-01-01", "5"), None])
def test_a_recording_without_a_time_leaves_the_names_to_tell_and_that_is_said(times, put, data_dir, rows_of):
    frame = made.flows(300)
    frame["Session"] = [f"s{row % 3 + 8}" for row in range(300)]
    if times:
        frame["Time"] = [times[row % 3] for row in range(300)]
    prepared = prepare.prepare(str(put(frame, "own.csv")), data_dir, "session")
    assert rows_of(prepared, "test") == list(range(2, 300, 3))
    assert "The test is the last recording by name." in show.provenance(prepared)


def test_days_in_parquet_tell_the_order(put, data_dir, rows_of):
    frame = made.flows(300)
    frame["Session"] = [("b", "a")[row % 2] for row in range(300)]
    frame["Time"] = [(datetime.date(2026, 1, 9), datetime.date(2026, 1, 10))[row % 2] for row in range(300)]
    prepared = prepare.prepare(str(put(frame, "own.parquet")), data_dir, "session")
    assert rows_of(prepared, "test") == list(range(1, 300, 2))


def test_times_that_cannot_be_read_leave_the_numbers_to_tell(put, data_dir, rows_of):
    frame = made.flows(300).assign(Timestamp="soon")
    frame["Session"] = [("session9", "session10")[row % 2] for row in range(300)]
    prepared = prepare.prepare(str(put(frame, "own.csv")), data_dir, "session")
    assert rows_of(prepared, "test") == list(range(1, 300, 2))
