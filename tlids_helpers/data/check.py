"""Is a raw file what its name claims to be: header, version, size, SHA-256, class counts. Nothing is changed."""

import dataclasses
import difflib
import gzip
import hashlib
import zipfile
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from tlids_helpers.common import progress
from tlids_helpers.common.errors import InputError
from tlids_helpers.data import clean, raw
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
    fault: str = ""  # of a file that is WRONG: the sentence that says why


def check(path: Path | None, entry: Dataset, full: bool = False, allow_subset: bool = False) -> Finding:
    """Hold a file against the catalog: header and version, size and SHA-256 where known, with `full` its classes.

    `path` is None where there is no file. A file with another SHA-256 is right if its classes are counted and agree:
    line ends and a stray line differ from download to download. Raises InputError for a file that is not what it
    claims to be.
    """
    if path is None:
        return Finding(entry.slug, ABSENT)
    if not path.is_file():
        raise InputError(f"expected a file at {path}, found a folder or a link to nothing: remove it")
    file = raw.inspect(path, entry)
    sha256 = _compare(file, entry, refuse=not (full or allow_subset))
    verdict, rows = WHOLE if sha256 == "known" else FITS, None
    if full:
        census = _count(file, entry)
        verdict = SUBSET if clean.check_census(census, entry, path.name, allow_subset) else WHOLE
        rows = census.rows
    return Finding(entry.slug, verdict, path, path.stat().st_size, len(file.columns), sha256, rows)


def from_parts(entry: Dataset, folder: Path) -> bool:
    """Whether `entry` is a union whose every part has a file of its own in `folder`."""
    return bool(entry.parts) and all(raw.locate_file(DATASETS[part], folder) for part in entry.parts)


def unclaimed(folder: Path) -> dict[str, str]:
    """Files in `folder` under no published name -> the published name that is nearest, or ""."""
    names = [entry.file for entry in DATASETS.values() if not entry.folder]
    claimed = {raw.locate_file(entry, folder) for entry in DATASETS.values()}
    strange = sorted(p.name for p in folder.glob("[!.]*") if p not in claimed) if folder.is_dir() else []
    return {name: next(iter(difflib.get_close_matches(name, names, 1, cutoff=0.7)), "") for name in strange}


def _count(file: raw.FlowFile, entry: Dataset) -> Census:
    """Rows and classes of a whole file, in the memory of one batch."""
    census = Census()
    with progress.counter(f"counting {entry.slug}", "rows") as bar:
        for batch in clean.clean_batches(dataclasses.replace(file, extras=()), entry, census):
            bar.update(len(batch))
    if not census.rows:
        raise InputError(f"expected flows in {file.path.name}, found only a header: download it again")
    return census


def _compare(file: raw.FlowFile, entry: Dataset, refuse: bool) -> str:
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
    except raw.READ_ERRORS as error:
        found = str(error) or type(error).__name__
        raise InputError(
            f"expected {path.name} whole, found that it ends too early ({found}): download it again"
        ) from None
    return size, digest.hexdigest()


def _unpacked(path: Path, member: str) -> BinaryIO:
    if member:
        return zipfile.ZipFile(path).open(member)
    return gzip.open(path) if path.suffix.casefold() == ".gz" else path.open("rb")
