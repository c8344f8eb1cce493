"""Fixtures that several kinds of fault share."""

import io
import os

import case_rows as made
import pyarrow.parquet as pq
import pytest
from case_commands import capture_of
from case_lines import FLOWS
from tiny_fixtures import compiled, model, nothing_left_running, tflite  # noqa: F401 - fixtures

from tlids_helpers.data import cleaned


@pytest.fixture
def folder(tmp_path):
    """A capture of FLOWS flows and a FIFO."""
    (tmp_path / "a.pcap").write_bytes(capture_of(FLOWS))
    os.mkfifo(tmp_path / "pipe")
    return tmp_path


@pytest.fixture
def read(put, data_dir):
    """A file's content -> its census, which must have all its lines, and the numbers of the rows that were kept."""

    def count(content: str | bytes, name: str = "own.csv", lines: int | None = None) -> tuple[dict, list[int]]:
        clean = cleaned.clean(str(put(content, name)), data_dir, True)[0]
        census = clean.census
        accounted = sum(census[reason] for reason in (*made.NO_ROWS, *made.DROPPED, "kept"))
        if name == "own.csv":
            content = content.encode() if isinstance(content, str) else content
            lines = len(io.BytesIO(content.replace(b"\r\n", b"\n").replace(b"\r", b"\n")).readlines())
        assert census["lines"] == lines == accounted
        return census, [int(n) for n in pq.read_table(clean.file)["IN_BYTES"].to_pylist()]

    return count
