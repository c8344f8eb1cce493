"""Parquet files in the memory of one batch: streamed in, read ahead of their use, written behind it."""

import contextlib
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

BATCH_ROWS = 131_072


def stream_parquet(path: Path, rows: int = BATCH_ROWS, columns: list[str] | None = None) -> Iterator[pa.RecordBatch]:
    """A Parquet file in batches of at most `rows`. pyarrow's default would hold the whole file in memory."""
    yield from pq.ParquetFile(path, pre_buffer=False, buffer_size=1 << 20).iter_batches(rows, columns=columns)


def read_ahead(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
    """The same batches; the next one is read in a thread while this one is used."""
    with ThreadPoolExecutor(1) as thread:
        coming = thread.submit(next, batches, None)
        while (batch := coming.result()) is not None:
            coming = thread.submit(next, batches, None)
            yield batch


@contextlib.contextmanager
def parquet_writer(path: Path, schema: pa.Schema) -> Iterator[Callable[[pa.RecordBatch], None]]:
    """A new Parquet file, as the function that appends a batch to it.

    A thread encodes a batch while the next one is made; what it raises, the next call raises, or the end.
    """
    words = [field.name for field in schema if pa.types.is_string(field.type)]
    numbers = [name for name in schema.names if name not in words]
    # as byte planes, numbers that seldom repeat take the space of a dictionary and two thirds of its time
    encoding = {"compression": "zstd", "use_dictionary": words, "use_byte_stream_split": numbers}
    with pq.ParquetWriter(path, schema, **encoding) as writer, ThreadPoolExecutor(1) as thread:
        before = thread.submit(int)  # nothing to wait for yet

        def write(batch: pa.RecordBatch) -> None:
            nonlocal before
            before.result()
            before = thread.submit(writer.write_batch, batch)

        yield write
        before.result()
