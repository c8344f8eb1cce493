"""Parquet files in the memory of one batch: streamed in, read ahead of their use, written behind it."""

import contextlib
import json
import os
import shutil
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from tlids_helpers.common.errors import InputError

BATCH_ROWS = 131_072
MAGIC = b"PAR1"  # at both ends of a Parquet file
META = "meta.json"  # what a cache folder says of its Parquet files


def stream_parquet(path: Path, rows: int = BATCH_ROWS, columns: list[str] | None = None) -> Iterator[pa.RecordBatch]:
    """A Parquet file in batches of at most `rows`. pyarrow's default would hold the whole file in memory."""
    yield from pq.ParquetFile(path, pre_buffer=False, buffer_size=1 << 20).iter_batches(rows, columns=columns)


def is_cached(folder: Path) -> bool:
    """Whether a cache folder is there and whole. One that a loss of power has emptied is removed, to be made again."""
    if not (folder / META).exists():
        return False
    with contextlib.suppress(ValueError):
        json.loads((folder / META).read_text())
        if all(map(_is_whole, folder.glob("*.parquet"))):
            return True
    shutil.rmtree(folder, ignore_errors=True)
    return False


def _is_whole(path: Path) -> bool:
    """Whether a Parquet file ends as one does: what was never brought to the disk is empty, or zeros."""
    with path.open("rb") as file:
        return file.seek(0, os.SEEK_END) > 4 and file.seek(-4, os.SEEK_END) > 0 and file.read() == MAGIC


def plain(column: pa.Array, name: str, where: str, is_label: bool) -> pa.Array:
    """A column as numbers or as the one type of text that the cleaning knows. Labels may be bytes of any encoding.

    Raises InputError, which says in which file the column `name` is (`where`), for values that hold other values, and
    for bytes that are no text.
    """
    kind = column.type
    if pa.types.is_nested(kind):
        raise InputError(f"expected numbers or text in column {name!r} of {where}, found {kind}: convert them")
    text = pa.types.is_large_string(kind) or pa.types.is_string_view(kind)
    words = pa.types.is_dictionary(kind) and not pa.types.is_primitive(kind.value_type)
    if not (text or words or pa.types.is_binary(kind) and not is_label):
        return column
    try:
        return column.cast(pa.string())
    except pa.ArrowInvalid:
        raise InputError(
            f"expected UTF-8 text in column {name!r} of {where}, found other bytes: convert them"
        ) from None


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
