"""Is a raw file what its name claims to be: header, version, size, SHA-256, class counts. Nothing is changed."""

import dataclasses
import difflib
import gzip
import hashlib
import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from tlids_helpers.common import files
from tlids_helpers.common.errors import InputError
from tlids_helpers.data import clean
from tlids_helpers.data import raw as flows
from tlids_helpers.data.catalog import DATASETS, Dataset
from tlids_helpers.data.clean import Census

ABSENT, PARTS, FITS, WHOLE, SUBSET, WRONG = "not here", "from its parts", "header fits", "whole", "subset", "WRONG"
"""The verdicts. `header fits`: right columns and version, but neither a known SHA-256 nor counted rows."""
READ_BYTES = 1 << 20


@dataclass(frozen=True)
class Finding:
    """What was found where a dataset's file belongs."""

    slug: str
    verdict: str  # one of those above
    path: Path | None = None
    size: int | None = None  # bytes on disk, packed or not
    columns: int | None = None
    sha256: str = ""  # "known", "other", or "" where the catalog has none for this form of the file
    rows: int | None = None  # counted, not published
    fault: str = ""  # the sentence that says what is wrong


def place_of(entry: Dataset, data_dir: Path) -> Path:
    """The folder a dataset's file belongs in: data/raw, or the repository's own for what is shipped."""
    return files.REPOSITORY / "data" / entry.folder if entry.folder else data_dir / "raw"


def examine(
    entry: Dataset,
    data_dir: Path,
    full: bool = False,
    allow_subset: bool = False,
    progress: Callable[[int], object] | None = None,
) -> Finding:
    """What lies where `entry`'s file belongs; a fault is told in the result, not raised.

    `full` counts the classes (what the repository ships is always counted). `progress` gets the rows of each batch.
    """
    path = flows.locate_file(entry, place_of(entry, data_dir))
    if path is None and entry.folder:
        return Finding(
            entry.slug, WRONG, fault=f"expected the shipped {entry.slug}.parquet, found none: restore it with git"
        )
    if path is None:
        here = bool(entry.parts) and all(flows.locate_file(DATASETS[p], data_dir / "raw") for p in entry.parts)
        return Finding(entry.slug, PARTS if here else ABSENT)
    try:
        return verify(path, entry, full or bool(entry.folder), allow_subset, progress)
    except InputError as error:
        return Finding(entry.slug, WRONG, path, path.stat().st_size if path.is_file() else None, fault=str(error))


def verify(
    path: Path,
    entry: Dataset,
    full: bool = False,
    allow_subset: bool = False,
    progress: Callable[[int], object] | None = None,
) -> Finding:
    """Hold one file against the catalog: header and version, size and SHA-256 where known, with `full` the classes.

    A file with another SHA-256 is right if its classes are counted and agree (line ends and a stray line differ from
    download to download). Raises InputError for a file that is not what it claims.
    """
    if not path.is_file():
        raise InputError(f"expected a file at {path}, found a folder or a link to nothing: remove it")
    file = flows.inspect(path, entry)
    sha256 = _compare(file, entry, refuse=not (full or allow_subset))
    verdict, rows = WHOLE if sha256 == "known" else FITS, None
    if full:
        census = count(file, entry, progress)
        verdict, rows = _judged(census, entry, path, allow_subset), census.rows
    return Finding(entry.slug, verdict, path, path.stat().st_size, len(file.columns), sha256, rows)


def settle(
    path: Path, entry: Dataset, allow_subset: bool = False, progress: Callable[[int], object] | None = None
) -> Finding:
    """`verify` with as much reading as an answer takes: classes are counted where no SHA-256 vouches for them.

    Raises InputError for a file that is not what it claims, one with another SHA-256 included.
    """
    finding = verify(path, entry, False, allow_subset)
    return finding if finding.verdict == WHOLE else verify(path, entry, True, allow_subset, progress)


def count(file: flows.FlowFile, entry: Dataset, progress: Callable[[int], object] | None = None) -> Census:
    """Read a file to its end and count its rows and classes, in the memory of one batch.

    Raises InputError for a file that ends too early, a word where a number belongs, or an unknown class.
    """
    file, census, names = dataclasses.replace(file, extras=()), Census(), clean.class_names(entry)
    fixed = None not in entry.classes.values()
    for batch in flows.read_batches(file):
        clean.clean_batch(batch, file, names, census, fixed)
        if progress:
            progress(len(batch))
    return clean.finish(census, file)


def unclaimed(raw: Path) -> dict[str, str]:
    """Files in `raw` under no published name -> the published name that is nearest, or ""."""
    names = [entry.file for entry in DATASETS.values() if not entry.folder]
    claimed = {flows.locate_file(entry, raw) for entry in DATASETS.values()}
    strange = sorted(p.name for p in raw.glob("[!.]*") if p not in claimed) if raw.is_dir() else []
    return {name: next(iter(difflib.get_close_matches(name, names, 1, cutoff=0.7)), "") for name in strange}


def _judged(census: Census, entry: Dataset, path: Path, allow_subset: bool) -> str:
    if not census.rows:
        raise InputError(f"expected flows in {path.name}, but there is only a header: download it again")
    return SUBSET if clean.check_census(census, entry, path.name, allow_subset) else WHOLE


def _compare(file: flows.FlowFile, entry: Dataset, refuse: bool) -> str:
    """Finding.sha256 of the CSV (inside); with `refuse`, another one than the known is an error."""
    if not entry.sha256 or file.path.suffix.casefold() == ".parquet":
        return ""
    size, found = fingerprint(file.path, file.member)
    if found == entry.sha256:
        return "known"
    if refuse:
        raise InputError(
            f"expected {entry.size:,} bytes with SHA-256 {entry.sha256[:12]}... as {entry.file}, found {size:,} bytes "
            f"with {found[:12]}... in {file.path.name}: download it again, or count its rows with `check --full`"
        )
    return "other"


def fingerprint(path: Path, member: str = "") -> tuple[int, str]:
    """Size in bytes and SHA-256 (hex) of a file's content, unpacked: `member` of a zip, what a .gz holds.

    Raises InputError when it cannot be read to its end.
    """
    digest, size = hashlib.sha256(), 0
    try:
        with _unpacked(path, member) as stream:
            while block := stream.read(READ_BYTES):
                digest.update(block)
                size += len(block)
    except flows.READ_ERRORS as error:
        why = str(error) or type(error).__name__
        raise InputError(f"expected {path.name} whole, but it ends too early ({why}): download it again") from None
    return size, digest.hexdigest()


def _unpacked(path: Path, member: str) -> BinaryIO:
    if member:
        return zipfile.ZipFile(path).open(member)
    return gzip.open(path) if path.suffix.casefold() == ".gz" else path.open("rb")
