"""Rows, columns and classes of the file, held against what its publisher says of it."""

from pathlib import Path

import pandas as pd

from tlids_helpers import tables
from tlids_helpers.common import files as folders
from tlids_helpers.data import raw
from tlids_helpers.data.catalog import DATASETS, Dataset
from tlids_helpers.data.prepare import Prepared


def table(prepared: Prepared, dataset: str, data_dir: str | Path = "data") -> pd.DataFrame:
    """What was published, what is here, and the difference: quantity, published, here, difference, note.

    `dataset` and `data_dir` as for `prepare`. Quantities: rows of the file(s) with a label, rows kept in the split,
    columns of the file and classes; <NA> where nobody published it, or where no single file stands for the dataset
    (a union of files, a simulated stand-in). Rows per class are `tables.classes`. Raises InputError for a file that
    cannot be read.
    """
    entry = DATASETS.get(dataset)
    columns = file_columns(dataset, data_dir)
    absent, added = _column_differences(columns, entry)
    named = set(entry.classes) if entry else set(prepared.classes)
    missing, unknown = sorted(named - set(prepared.classes)), sorted(set(prepared.classes) - named)
    kept = sum(map(prepared.size, prepared.counts))
    rows = [
        ("rows in the file", entry and entry.total, _rows(prepared), ""),
        ("rows kept in the split", entry and entry.total, kept, ""),
        ("columns", entry and len(entry.columns), len(columns) or None, _note(absent, added)),
        ("classes", entry and len(entry.classes), len(prepared.classes), _note(missing, unknown)),
    ]
    frame = pd.DataFrame(rows, columns=["quantity", "published", "here", "note"])
    frame[["published", "here"]] = frame[["published", "here"]].astype("Int64")
    frame.insert(3, "difference", frame["here"] - frame["published"])
    return tables.marked(frame, prepared.mark)


def sentence(frame: pd.DataFrame) -> str:
    """The table in counts."""
    said = []
    for row in frame.itertuples():
        of = "" if pd.isna(row.published) else f" ({row.published:,} published)"
        said.append(f"{row.quantity}: {'unknown' if pd.isna(row.here) else f'{row.here:,}'}{of}")
    return f"{'; '.join(said)}."


def file_columns(dataset: str, data_dir: str | Path = "data") -> list[str]:
    """The columns of the one file that stands for `dataset`, as it spells them; [] where there is no such file."""
    entry = DATASETS.get(dataset)
    if entry is None:
        return raw.inspect(folders.resolve(dataset)).columns
    shipped = folders.REPOSITORY / "data" / entry.folder
    path = raw.locate_file(entry, shipped if entry.folder else folders.resolve(data_dir) / "raw")
    return raw.inspect(path, entry).columns if path else []


def _rows(prepared: Prepared) -> int:
    """Rows with a label in the files that were read; a union's own file counts once, however many parts it holds."""
    files = {part["file"]: part["census"]["rows"] for part in prepared.parts.values()}
    return sum(files.values())


def _column_differences(columns: list[str], entry: Dataset | None) -> tuple[list[str], list[str]]:
    """Published columns that the file lacks under any known spelling, and columns of the file nobody published."""
    if entry is None or not columns:
        return [], []
    found = {name: raw.find_column(name, columns) for name in entry.columns}
    return [name for name, spelled in found.items() if not spelled], [c for c in columns if c not in found.values()]


def _note(absent: list[str], added: list[str]) -> str:
    said = (("not here", absent), ("not published", added))
    return "; ".join(f"{what}: {', '.join(repr(name) for name in names)}" for what, names in said if names)
