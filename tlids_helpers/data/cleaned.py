"""Which file stands for a dataset, and its cleaned form.

A dataset's own file if it is in data/raw, a part of a union else from the union's file (with the union's classes),
a user's file wherever it is, and a simulated stand-in where there is nothing.
"""

import contextlib
import json
from collections import Counter
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from tlids_helpers.common import files, progress
from tlids_helpers.common.errors import InputError, listed, quoted
from tlids_helpers.data import benign, raw, standin
from tlids_helpers.data import clean as cleaning
from tlids_helpers.data.catalog import DATASETS, Dataset
from tlids_helpers.data.clean import Census
from tlids_helpers.data.parquet import is_cached, parquet_writer, stream_parquet
from tlids_helpers.data.raw import Allowed

PREPARATION = 1
"""In the key of every cache. Raise it when cleaning, splitting or the stand-ins give other rows than before."""
READING = 6  # in the key too: raised when a census counts more than before, or damaged files are read otherwise
STAND_IN_ROWS = 8_000
OWN_SUFFIXES = (".csv", ".gz", ".zip", ".parquet")
WITHOUT = "-without-"


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


def check_loss(part: Clean, allowed: Allowed) -> None:
    """Raises InputError, with the reasons, when a larger share of a file's lines was dropped than is allowed."""
    census = Census(**part.census)
    if part.mark == "simulated" or census.share_lost <= allowed.loss:
        return
    reasons = ", ".join(f"{count:,} for {reason}" for reason, count in census.lost.items())
    lost = sum(census.lost.values())
    raise InputError(
        f"expected at most {allowed.loss:.2%} of the lines of {part.path_name} to be dropped, found {lost:,} of "
        f"{lost + census.kept:,} ({census.share_lost:.1%}: {reasons})",
        f"correct the file, or set allow_loss={_above(census.share_lost)} to use the rest of it",
    )


def _above(share: float) -> float:
    """The next two digits."""
    return min(1.0, round(share + 0.005, 2))


def slug_of(dataset: str) -> str:
    """A short name for folders and tables: the slug, or the stem of a user's own file."""
    return dataset if dataset in DATASETS else Path(dataset).name.split(".")[0]


def left_out(dataset: str) -> tuple[str, str]:
    """A union and the part that is left out of it; `dataset` and "" for anything but a union without a part.

    "nf-uq-nids-without-nf-ton-iot" -> ("nf-uq-nids", "nf-ton-iot"). Raises InputError for a part that the union does
    not have.
    """
    union, _, part = dataset.partition(WITHOUT)
    if not part or union not in DATASETS:
        return dataset, ""
    if part not in DATASETS[union].parts:
        raise InputError(
            f"expected one of {', '.join(DATASETS[union].parts) or 'no parts'} to leave out of "
            f"{DATASETS[union].title}, found {quoted(part)}: correct the parameter"
        )
    return union, part


def clean(dataset: str, data_dir: Path, allow_subset: bool) -> list[Clean]:
    """The cleaned source of `dataset`, or of each part of a union.

    Raises InputError for a part that the union does not have, and for a file that is not what it claims to be.
    """
    slug, without = left_out(dataset)
    entry = DATASETS.get(slug)
    if entry is None:
        return [_own(dataset, data_dir)]
    if not entry.parts:
        union = next((union for union in DATASETS.values() if slug in union.parts), None)
        if union and _stands_in_for(union, entry, data_dir):
            return [_part(entry, union, data_dir, allow_subset)]
        return [_published(entry, data_dir, allow_subset)]
    return [_part(DATASETS[part], entry, data_dir, allow_subset) for part in entry.parts if part != without]


def split_of(dataset: str, split: str) -> str:
    """The split that is meant: a dataset with a test session of its own has no use for the paper's random one."""
    entry = DATASETS.get(dataset)
    return "session" if entry and entry.test_session and split == "paper" else split


def mark_of(parts: list[Clean], entry: Dataset | None) -> str:
    """What to print beside a result: simulated outdoes subset, and a later version is named with either."""
    marks = {part.mark for part in parts}
    mark = next((mark for mark in ("simulated", "subset", "own") if mark in marks), "")
    version = f"v{entry.version}" if entry and entry.version > 1 else ""
    return " ".join(word for word in (version, mark) if word)


def subset_mark(mark: str) -> str:
    """`mark` of a subsample: a subset of what it was; a simulated stand-in stays simulated."""
    return mark if "simulated" in mark or "subset" in mark else f"{mark} subset".strip()


def _part(entry: Dataset, union: Dataset, data_dir: Path, allow_subset: bool) -> Clean:
    """A part of a union: from its own file, else from the union's, else simulated; classes as in the union."""
    if not _stands_in_for(union, entry, data_dir):
        return replace(_published(entry, data_dir, allow_subset), merged=True)
    whole = raw.locate_file(union, data_dir / "raw")
    return _only(_cached(whole, union, data_dir, allow_subset, ""), entry, union)


def _stands_in_for(union: Dataset, entry: Dataset, data_dir: Path) -> bool:
    """Whether the union's file is there and that of `entry`, one of its parts, is not."""
    folder = data_dir / "raw"
    return not raw.locate_file(entry, folder) and raw.locate_file(union, folder) is not None


def _only(source: Clean, entry: Dataset, union: Dataset) -> Clean:
    """The rows of one part in a union's cleaned file. Raises InputError for rows of what is no part of it."""
    counts = _part_counts(source)
    spelled = {raw.normal(name): part for part in map(DATASETS.get, union.parts) for name in (part.title, *part.also)}
    if strange := [name for name in counts if raw.normal(name) not in spelled]:
        raise InputError(
            f"expected the parts {listed(DATASETS[part].title for part in union.parts)} in the column "
            f"{raw.PART_COLUMN!r} of {source.path_name}, found {quoted(strange[0])}: correct the column"
        )
    name = next((name for name in counts if spelled[raw.normal(name)] is entry), None)
    if name is None:
        raise InputError(
            f"expected rows of {entry.title} in {source.path_name}, found none in its column {raw.PART_COLUMN!r}: "
            f"download it again, or put {entry.file} beside it"
        )
    return replace(source, slug=entry.slug, only=name, classes=counts[name], merged=True)


def _part_counts(source: Clean) -> dict[str, dict[str, int]]:
    """Part as the union's file spells it -> class -> rows, in the memory of one batch."""
    if raw.PART_COLUMN not in pq.read_schema(source.file).names:
        raise InputError(
            f"expected a column {raw.PART_COLUMN!r} in {source.path_name} that says which part a row comes from, "
            "found none: put the four parts' own files beside it, or download it again"
        )
    counts: dict[str, dict[str, int]] = {}
    for batch in stream_parquet(source.file, columns=[raw.PART_COLUMN, "Attack"]):
        groups = pa.Table.from_batches([batch]).group_by([raw.PART_COLUMN, "Attack"]).aggregate([([], "count_all")])
        for row in groups.to_pylist():
            classes = counts.setdefault(row[raw.PART_COLUMN] or "", {})
            classes[row["Attack"]] = classes.get(row["Attack"], 0) + row["count_all"]
    return counts


def _published(entry: Dataset, data_dir: Path, allow_subset: bool) -> Clean:
    folder = raw.folder_of(entry, data_dir)
    if path := raw.locate_file(entry, folder):
        return _cached(path, entry, data_dir, allow_subset, "")
    if entry.folder:
        raise InputError(
            f"expected the shipped {entry.slug}.parquet in {folder}, found none: restore it with git, or make it again "
            "with `python -m tlids_helpers.testbed`"
        )
    return _cached(_stand_in(entry, data_dir), entry, data_dir, True, "simulated")


def _own(dataset: str, data_dir: Path) -> Clean:
    path = files.resolve(dataset)
    if not path.name.casefold().endswith(OWN_SUFFIXES) and not path.is_dir():
        raise InputError(
            f"expected a dataset of the catalog ({', '.join(DATASETS)}) or the path of a CSV or Parquet file, "
            f"found {quoted(dataset if len(dataset) < 60 else Path(dataset).name)}: correct"
        )
    return _cached(path, None, data_dir, True, "own")


def _stand_in(entry: Dataset, data_dir: Path) -> Path:
    """The simulated raw file, made once; it is never in data/raw, so it is never taken for the real one."""
    folder = data_dir / "simulated" / f"{entry.slug}-{STAND_IN_ROWS}-{PREPARATION}"
    path = folder / entry.file
    if not path.exists():
        with files.written_whole(folder, keyed=True) as scratch:
            standin.simulate(entry, STAND_IN_ROWS).to_csv(scratch / entry.file, index=False)
    return path


def _cached(path: Path, entry: Dataset | None, data_dir: Path, allow_subset: bool, mark: str) -> Clean:
    """The cleaned form of one file, made once for this file, this permission and what it is read as."""
    if not path.is_file():
        what = "a folder" if path.is_dir() else "a link to nothing" if path.is_symlink() else "no such file"
        raise InputError(f"expected a file of flows at {path}, found {what}: check the path")
    raw.check_permission(path)
    slug = entry.slug if entry else ""
    key = files.key_of(**files.stamp(path), slug=slug, subset=allow_subset, preparation=PREPARATION, reading=READING)
    folder = data_dir / "prepared" / f"{slug or slug_of(str(path))}-clean-{key}"
    if not is_cached(folder):
        with files.written_whole(folder, keyed=True) as scratch:
            meta = _clean_file(path, entry, allow_subset, mark, scratch / "flows.parquet")
            (scratch / "meta.json").write_text(json.dumps({**meta, "key": key}))
    return Clean(file=folder / "flows.parquet", **json.loads((folder / "meta.json").read_text()))


def _clean_file(path: Path, entry: Dataset | None, allow_subset: bool, mark: str, target: Path) -> dict:
    """Stream `path` through the cleaning into `target`; returns the fields of Clean but file and key."""
    file, census, kept = raw.inspect(path, entry), Census(), Counter()
    with contextlib.ExitStack() as stack:
        bar, write = stack.enter_context(progress.counter(f"reading {path.name}", "rows")), None
        for batch in cleaning.clean_batches(file, entry, census):
            write = write or stack.enter_context(parquet_writer(target, batch.schema))
            write(batch)
            kept.update({row["values"]: row["counts"] for row in batch["Attack"].value_counts().to_pylist()})
            bar.update(len(batch))
    if entry is None and (renamed := cleaning.settle_benign(census)):
        kept = _renamed(target, renamed)
    if not kept:
        raise _no_rows(path, census)
    if entry and mark != "simulated" and cleaning.check_census(census, entry, path.name, allow_subset):
        mark = "subset"
    named = entry.benign if entry else next((name for name in kept if benign.is_benign(name)), benign.NAME)
    slug = entry.slug if entry else slug_of(str(path))
    return {
        "slug": slug, "family": file.family, "path_name": path.name, "mark": mark, "benign": named,
        "classes": kept, "census": asdict(census),
    }  # fmt: skip


def _renamed(cleaned: Path, renamed: dict[str, str | None]) -> Counter:
    """Write a cleaned file again with other class names, without the rows of None; returns the rows of each class."""
    old, kept = cleaned.rename(cleaned.with_suffix(".old")), Counter()
    batches = stream_parquet(old)
    with parquet_writer(cleaned, pq.read_schema(old)) as write:
        for batch in batches:
            encoded = batch["Attack"].dictionary_encode()
            names = [renamed.get(name, name) for name in encoded.dictionary.to_pylist()]
            labels = pa.array(names, pa.string()).take(encoded.indices)
            place = batch.schema.get_field_index("Attack")
            batch = batch.set_column(place, "Attack", labels).filter(labels.is_valid())
            write(batch)
            kept.update({row["values"]: row["counts"] for row in batch["Attack"].value_counts().to_pylist()})
    old.unlink()
    return kept


def _no_rows(path: Path, census: Census) -> InputError:
    """Why no row of a file was kept."""
    lost = {
        "rows lack a number": census.missing + census.infinite, "rows lack a label": census.unlabelled,
        "lines have another number of fields than the header": census.malformed,
        "lines have a quote that is not closed": census.unclosed_quotes, "lines have zero bytes": census.nul_lines,
    }  # fmt: skip
    found = ", ".join(f"{count:,} {what}" for what, count in lost.items() if count) or "there is only a header"
    return InputError(f"expected flows in {path.name}, found no row that can be used ({found}): check the file")
