"""The generated files that preparation is timed on hold what the benchmark says of them. No clock is looked at."""

import importlib
from collections import Counter
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from tlids_helpers.data.catalog import DATASETS

PUBLISHED = DATASETS["nf-cse-cic-ids2018"]


@pytest.fixture
def big_flows(monkeypatch):
    """The module, with files of a few hundred rows for big: chunks of 200, repeated after 500."""
    monkeypatch.syspath_prepend(str(Path(__file__).parent / "bench"))
    module = importlib.import_module("big_flows")
    monkeypatch.setattr(module, "CHUNK_ROWS", 200)
    monkeypatch.setattr(module, "COPIED_BYTES", 1000)
    return module


@pytest.fixture
def of_500(big_flows, monkeypatch):
    """A dataset that is published with 500 rows."""
    small = type(PUBLISHED)(**{**PUBLISHED.__dict__, "total": 500, "classes": {"Benign": 440, "Bot": 57, "SQL": 3}})
    monkeypatch.setattr(big_flows, "DATASET", small)
    monkeypatch.setattr(big_flows, "_chunk", lambda counts, seed: rows_of(counts, seed, small.columns))
    return small


def rows_of(counts: dict[str, int], seed: int, columns: tuple[str, ...]) -> pd.DataFrame:
    frame = pd.DataFrame({name: seed for name in columns}, index=range(sum(counts.values())))
    return frame.assign(IN_BYTES=range(len(frame)), Attack=np.repeat(list(counts), list(counts.values())))


@pytest.mark.parametrize("rows", [1, 199, 1000, PUBLISHED.total])
def test_the_classes_of_all_chunks_add_up_to_the_rows_and_the_published_shares(rows, big_flows, monkeypatch):
    monkeypatch.setattr(big_flows, "CHUNK_ROWS", max(1, rows // 3))
    sums = sum((Counter(counts) for counts in big_flows.chunk_counts(rows)), Counter())
    assert sum(sums.values()) == rows
    for name, published in PUBLISHED.classes.items():
        assert abs(sums[name] - published * rows / PUBLISHED.total) < 1
    assert rows < PUBLISHED.total or sums == PUBLISHED.classes


def test_a_file_has_the_published_columns_its_number_of_rows_and_the_same_bytes_again(big_flows, tmp_path):
    path = big_flows.write_flows(tmp_path / "new" / "flows.csv", 700)
    frame = pd.read_csv(path)
    assert tuple(frame.columns) == PUBLISHED.columns and len(frame) == 700
    expected = sum((Counter(counts) for counts in big_flows.chunk_counts(700)), Counter())
    assert frame["Attack"].value_counts().to_dict() == +expected
    assert len(frame.drop_duplicates()) > 500  # its chunks are not one chunk again and again
    assert big_flows.write_flows(tmp_path / "again.csv", 700).read_bytes() == path.read_bytes()
    assert sorted(file.name for file in path.parent.iterdir()) == ["flows.csv"]


@pytest.mark.parametrize("rows", [500, 1000, 1750])
def test_more_rows_than_published_are_the_published_ones_again(rows, of_500, big_flows, tmp_path):
    frame = pd.read_csv(big_flows.write_flows(tmp_path / "flows.csv", rows))
    assert len(frame) == rows
    assert frame["Attack"][:500].value_counts().to_dict() == of_500.classes
    for start in range(500, rows - 499, 500):
        pd.testing.assert_frame_equal(frame[start : start + 500].reset_index(drop=True), frame[:500])
