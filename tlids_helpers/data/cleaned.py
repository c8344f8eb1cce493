"""Which file stands for a dataset, and its cleaned form.

A dataset's own file if it lies in data/raw, a union's parts from their own files or from the union's file,
a user's file wherever it is, and a simulated stand-in where there is nothing.
"""

import contextlib
import json
import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from tlids_helpers.common import files
from tlids_helpers.common.errors import InputError
from tlids_helpers.data import catalog, raw, standin
from tlids_helpers.data import clean as cleaning
from tlids_helpers.data.catalog import DATASETS, Dataset
from tlids_helpers.data.clean import Census

BENIGN_WORDS = ("benign", "normal", "background")  # a user's own file may call it any of these
STAND_IN_ROWS = 8_000
OWN_SUFFIXES = (".csv", ".gz", ".zip", ".parquet")


@dataclass(frozen=True)
class Clean:
    """One cleaned source: a Parquet file of nine float32 features, Attack, and Dataset where the file has it."""

    slug: str
    family: str
    file: Path
    key: str
    path_name: str  # of the raw file
    mark: str  # "", "simulated", "subset" or "own"
    benign: str
    classes: dict[str, int]  # class -> rows kept
    census: dict = field(repr=False)
    only: str = ""  # take only the rows of this part
    merged: bool = False  # rename classes to the union's


def slug_of(dataset: str) -> str:
    """A short name for folders and tables: the slug, or the stem of a user's own file."""
    return dataset if dataset in DATASETS else Path(dataset).name.split(".")[0]


def clean(
    dataset: str, data_dir: Path, allow_subset: bool, without: str = "", progress: Callable[[int], object] | None = None
) -> list[Clean]:
    """The cleaned source of `dataset`, or of each part of a union but `without`.

    Raises InputError for a part that the union does not have, and for a file that is not what it claims to be.
    """
    if dataset not in DATASETS:
        return [_own(dataset, data_dir, progress)]
    entry = DATASETS[dataset]
    if without and without not in entry.parts:
        raise InputError(
            f"expected one of {', '.join(entry.parts) or 'no parts'} to leave out of {entry.title}, found {without!r}: "
            "correct the parameter"
        )
    if not entry.parts:
        return [_published(entry, data_dir, allow_subset, progress)]
    return [_part(DATASETS[part], entry, data_dir, allow_subset, progress) for part in entry.parts if part != without]


def split_of(dataset: str, split: str) -> str:
    """The split that is meant: a dataset with a test session of its own has no use for the paper's random one."""
    entry = DATASETS.get(dataset)
    return "session" if entry and entry.test_session and split == "paper" else split


def mark_of(parts: list[Clean], entry: Dataset | None) -> str:
    """What to print beside a result: simulated outdoes subset, and version 2 is said with either."""
    marks = {part.mark for part in parts}
    mark = next((mark for mark in ("simulated", "subset", "own") if mark in marks), "")
    return " ".join(word for word in ("v2" if entry and entry.version == 2 else "", mark) if word)


def subset_mark(mark: str) -> str:
    """`mark` of a subsample: a subset of what it was; a simulated stand-in stays simulated."""
    return mark if "simulated" in mark or "subset" in mark else f"{mark} subset".strip()


def _part(entry: Dataset, union: Dataset, data_dir: Path, allow_subset: bool, progress) -> Clean:
    """A part of a union: from its own file, else from the union's, else simulated; classes as in the union."""
    whole = raw.locate_file(union, data_dir / "raw")
    if raw.locate_file(entry, data_dir / "raw") or not whole:
        part = _published(entry, data_dir, allow_subset, progress)
        return Clean(**{**part.__dict__, "merged": True})
    source = _cached(whole, union, data_dir, allow_subset, "", progress)
    return _only(source, entry)


def _only(source: Clean, entry: Dataset) -> Clean:
    """The rows of one part in a union's cleaned file."""
    counts = _part_counts(source)
    name = next((name for name in counts if raw.normal(name) == raw.normal(entry.title)), None)
    if name is None:
        raise InputError(
            f"expected rows of {entry.title} in {source.path_name}, but its column 'Dataset' holds none: "
            f"download it again, or put {entry.file} beside it"
        )
    fields = {"slug": entry.slug, "only": name, "classes": counts[name], "merged": True}
    return Clean(**{**source.__dict__, **fields})


def _part_counts(source: Clean) -> dict[str, dict[str, int]]:
    """Part as the union's file spells it -> class -> rows, in the memory of one batch."""
    if raw.PART_COLUMN not in pq.read_schema(source.file).names:
        raise InputError(
            f"expected a column {raw.PART_COLUMN!r} in {source.path_name} that says which part a row comes from, "
            "but there is none: put the four parts' own files beside it, or download it again"
        )
    counts: dict[str, dict[str, int]] = {}
    for batch in raw.stream_parquet(source.file, columns=[raw.PART_COLUMN, "Attack"]):
        groups = pa.Table.from_batches([batch]).group_by([raw.PART_COLUMN, "Attack"]).aggregate([([], "count_all")])
        for row in groups.to_pylist():
            classes = counts.setdefault(row[raw.PART_COLUMN] or "", {})
            classes[row["Attack"]] = classes.get(row["Attack"], 0) + row["count_all"]
    return counts


def _published(entry: Dataset, data_dir: Path, allow_subset: bool, progress) -> Clean:
    folder = files.REPOSITORY / "data" / entry.folder if entry.folder else data_dir / "raw"
    path = raw.locate_file(entry, folder)
    if path:
        return _cached(path, entry, data_dir, allow_subset, "", progress)
    if entry.folder:
        raise InputError(
            f"expected the shipped {entry.slug}.parquet in {folder}, found none: restore it with git, or make it anew "
            "with `python -m tlids_helpers.testbed`"
        )
    return _cached(_stand_in(entry, data_dir), entry, data_dir, True, "simulated", progress)


def _own(dataset: str, data_dir: Path, progress) -> Clean:
    path = files.resolve(dataset)
    if not path.name.casefold().endswith(OWN_SUFFIXES) and not path.is_dir():
        raise InputError(
            f"expected a dataset of the catalog ({', '.join(DATASETS)}) or the path of a CSV or Parquet file, "
            f"found {dataset!r}: correct the parameter"
        )
    return _cached(path, None, data_dir, True, "own", progress)


def _stand_in(entry: Dataset, data_dir: Path) -> Path:
    """The simulated raw file, made once; it never lies in data/raw, so it is never taken for the real one."""
    key = files.code_key(catalog, *sorted(Path(standin.__file__).parent.glob("*.py")))
    folder = data_dir / "simulated" / f"{entry.slug}-{STAND_IN_ROWS}-{key}"
    path = folder / entry.file
    if not path.exists():
        with files.written_whole(folder, keyed=True) as scratch:
            standin.simulate(entry, STAND_IN_ROWS).to_csv(scratch / entry.file, index=False)
    return path


def _cached(path: Path, entry: Dataset | None, data_dir: Path, allow_subset: bool, mark: str, progress) -> Clean:
    """The cleaned form of one file, made once for this file, this code, this permission and what it is read as."""
    if not path.is_file():
        what = "a folder" if path.is_dir() else "a link to nothing" if path.is_symlink() else "no such file"
        raise InputError(f"expected a file of flows at {path}, found {what}: check the path")
    stat, slug = path.stat(), entry.slug if entry else ""
    code = files.code_key(catalog, raw, cleaning, sys.modules[__name__])
    key = files.key_of(
        path=str(path), slug=slug, size=stat.st_size, time=stat.st_mtime_ns, code=code, subset=allow_subset
    )
    folder = data_dir / "prepared" / f"{slug or slug_of(str(path))}-clean-{key}"
    if not (folder / "meta.json").exists():
        with files.written_whole(folder, keyed=True) as scratch:
            meta = _clean_file(path, entry, allow_subset, mark, scratch / "flows.parquet", progress)
            (scratch / "meta.json").write_text(json.dumps({**meta, "key": key}))
    return Clean(file=folder / "flows.parquet", **json.loads((folder / "meta.json").read_text()))


def _clean_file(path: Path, entry: Dataset | None, allow_subset: bool, mark: str, target: Path, progress) -> dict:
    """Stream `path` through the cleaning into `target`; returns the fields of Clean but file and key."""
    file, census, names = raw.inspect(path, entry), Census(), cleaning.class_names(entry)
    fixed = entry is not None and None not in entry.classes.values()
    kept: dict[str, int] = {}
    with contextlib.ExitStack() as stack:
        write = None
        for batch in raw.read_ahead(raw.read_batches(file)):
            batch = cleaning.clean_batch(batch, file, names, census, fixed)
            write = write or stack.enter_context(raw.parquet_writer(target, batch.schema))
            write(batch)
            for row in batch["Attack"].value_counts().to_pylist():
                kept[row["values"]] = kept.get(row["values"], 0) + row["counts"]
            if progress:
                progress(len(batch))
    cleaning.finish(census, file)
    if not kept:
        lost = {
            "rows lack a number": census.missing + census.infinite, "rows lack a label": census.unlabelled,
            "lines have another number of fields than the header": census.malformed,
        }  # fmt: skip
        why = ", ".join(f"{count:,} {what}" for what, count in lost.items() if count) or "there is only a header"
        raise InputError(f"expected flows in {path.name}, but no row of it can be used ({why}): check the file")
    if entry and mark != "simulated" and cleaning.check_census(census, entry, path.name, allow_subset):
        mark = "subset"
    benign = entry.benign if entry else next((n for n in kept if n.casefold() in BENIGN_WORDS), "Benign")
    slug = entry.slug if entry else slug_of(str(path))
    return {
        "slug": slug, "family": file.family, "path_name": path.name, "mark": mark, "benign": benign,
        "classes": kept, "census": census.as_dict(),
    }  # fmt: skip
