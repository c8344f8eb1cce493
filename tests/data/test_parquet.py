"""Parquet in the memory of one batch: read ahead and written behind, every batch once and in its order."""

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tlids_helpers.common.errors import InputError
from tlids_helpers.data import parquet


def batch_of(*values: float) -> pa.RecordBatch:
    return pa.record_batch({"IN_BYTES": pa.array(values, pa.float32()), "Attack": ["DoS"] * len(values)})


def test_batches_read_ahead_are_the_same_in_the_same_order_and_one_ahead_at_most():
    batches, begun = [batch_of(n) for n in range(20)], []
    for number, batch in enumerate(parquet.read_ahead(begun.append(b) or b for b in batches)):
        assert batch is batches[number] and len(begun) <= number + 2
    assert begun == batches


def test_what_goes_wrong_while_reading_ahead_is_raised_where_that_batch_would_be_used():
    def batches():
        yield batch_of(1)
        raise InputError("expected more")

    reading = parquet.read_ahead(batches())
    assert len(next(reading)) == 1
    with pytest.raises(InputError, match="expected more"):
        next(reading)


def test_batches_written_behind_are_in_the_file_in_their_order_when_it_is_closed(tmp_path):
    batches = [batch_of(n, n + 0.5, -n) for n in range(20)]
    with parquet.parquet_writer(tmp_path / "x.parquet", batches[0].schema) as write:
        for batch in batches:
            write(batch)
    assert pq.read_table(tmp_path / "x.parquet").equals(pa.Table.from_batches(batches))


@pytest.mark.parametrize("after", [0, 1])
def test_a_batch_that_cannot_be_written_is_told_by_the_next_one_or_by_the_end(after, tmp_path):
    good = batch_of(1)
    with (
        pytest.raises(ValueError, match="schema"),
        parquet.parquet_writer(tmp_path / "x.parquet", good.schema) as write,
    ):
        write(pa.record_batch({"other": [1]}))
        for _ in range(after):
            write(good)
            pytest.fail("the batch before was taken for written")
