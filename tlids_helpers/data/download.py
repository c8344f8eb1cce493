"""Fetch one dataset's file over HTTP: from where a broken download stopped, and checked before it gets its name.

pooch fetches. What it does not do is ours: the files are gigabytes, so a broken download goes on. Until a download is
whole, its partial file and what its server called it are in data/raw/.partial.
"""

import contextlib
import dataclasses
import fcntl
import functools
import json
import re
import shutil
import time
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO
from urllib.parse import urlsplit

import pooch
import requests
from tlids_edge import outputs
from tqdm import tqdm
from tqdm.utils import CallbackIOWrapper

from tlids_helpers.common import progress
from tlids_helpers.common.errors import InputError, quoted
from tlids_helpers.data import check, raw
from tlids_helpers.data.catalog import Dataset

TIMEOUT_S = (10, 60)  # to connect; between two pieces
TRIES, WAIT_S = 3, 2.0  # how often a connection that breaks is taken up again, after how many seconds
CHUNK_BYTES = 64 << 10
MAGIC = {b"\x1f\x8b": ".csv.gz", b"PK\x03\x04": ".zip", b"PAR1": ".parquet"}
"""First bytes of a file -> its ending; anything else is CSV."""


def obtain(entry: Dataset, folder: Path, url: str, allow_subset: bool = False, replace: bool = False) -> check.Finding:
    """Fetch `entry`'s file from `url` into `folder`; it gets its name when it is what it claims to be.

    It keeps the form it comes in (.csv, .csv.gz, .zip, .parquet). A file that is there already is kept, unless
    `replace`; it gives way only to one that has been checked.
    Raises InputError when nothing could be fetched, when it is something else, or when a file is in the way.
    """
    old = raw.locate_file(entry, folder)
    if old and not replace:
        raise InputError(f"expected no file of {entry.title} in {folder}, found {old.name}: add --replace if it may go")
    partial = folder / ".partial" / entry.slug
    with _alone(partial):
        fetched = fetch(url, partial, entry.file)
        named = fetched.rename(partial / f"{entry.file.removesuffix('.csv')}{_ending(fetched)}")
        finding = settled(named, entry, allow_subset)
        outputs.take_place(named, outputs.find(folder / named.name))  # a link stays, and its target is the new file
        if old and old != folder / named.name:
            old.unlink()
    return dataclasses.replace(finding, path=folder / named.name)


def settled(path: Path, entry: Dataset, allow_subset: bool) -> check.Finding:
    """`check` with as much reading as an answer takes: rows are counted where there is no known SHA-256.

    Raises InputError for a file that is not what it claims to be, one with another SHA-256 included.
    """
    finding = check.check(path, entry, False, allow_subset)
    return finding if finding.verdict == check.WHOLE else check.check(path, entry, True, allow_subset)


def fetch(url: str, folder: Path, title: str = "") -> Path:
    """Download `url` into `folder`, going on with what a broken download of the same file has left there.

    It goes on only when the server says that the file is still the same (ETag or Last-Modified, sent as If-Range);
    otherwise it starts over. Raises InputError when the address is no web address, the server refuses or is silent,
    or the connection breaks `TRIES` times; what has come by then is kept. Raises OSError when the disk is full.
    """
    if not _is_web(url):
        raise InputError(f"expected an address that begins with http:// or https://, found {quoted(url)}: correct it")
    part = folder / "part"
    with progress.counter(title, "B") as bar:
        for left in reversed(range(TRIES)):
            try:
                _request(url, part, bar)
                break
            except requests.RequestException as error:
                if error.response is not None or not _size(part) or not left:
                    raise _fault(url, part, error) from None
                time.sleep(WAIT_S)
    return part.replace(folder / "whole")


def _request(url: str, part: Path, bar: tqdm) -> None:
    """One request: for the rest of the file if a part of the same file is there, else for all of it."""
    known = _remembered(part, url)
    headers = {"Accept-Encoding": "identity"}  # the file's own bytes, so that they can be counted and gone on with
    if known:
        headers |= {"Range": f"bytes={_size(part)}-", "If-Range": known["validator"]}
    try:
        with part.open("ab") as file:
            begin = functools.partial(_begin, known=known or {"url": url}, file=file, bar=bar)
            download = pooch.HTTPDownloader(
                chunk_size=CHUNK_BYTES, headers=headers, timeout=TIMEOUT_S, hooks={"response": begin}
            )
            download(url, CallbackIOWrapper(bar.update, file, "write"), None)
    except requests.HTTPError as error:
        if not known or error.response.status_code not in (206, 416):
            raise
        part.unlink()  # the answer was about another file than the part is of: once more, for all of it
        _request(url, part, bar)


def _begin(response: requests.Response, known: dict, file: BinaryIO, bar: tqdm, **_) -> None:
    """What requests calls with each answer before its content is read: get the part and the bar ready for it."""
    if response.is_redirect or response.status_code not in (200, 206):
        return  # the first is followed; pooch raises the others
    length = response.headers.get("Content-Length", "")
    size = int(length) if length.isdecimal() else None
    if response.status_code == 200:
        file.truncate(0)  # before the note, so that an old part never has a new note
        note = {"url": known["url"], "validator": _validator(response), "size": size}
        Path(file.name).with_suffix(".json").write_text(json.dumps(note))
    elif not _goes_on(response, _size(Path(file.name)), known):
        response.close()
        raise requests.HTTPError(response=response)
    response.raw.headers.pop("Content-Encoding", None)  # a .csv.gz stays one
    have = _size(Path(file.name))
    bar.total, bar.n, bar.initial = None if size is None else have + size, have, have
    bar.refresh()


def _goes_on(response: requests.Response, have: int, known: dict) -> bool:
    """Whether a partial answer is the rest, from byte `have` on, of the file that is `known`."""
    span = re.fullmatch(r"bytes (\d+)-\d+/(\d+|\*)", response.headers.get("Content-Range", ""))
    if not span or int(span[1]) != have or not known.get("validator"):
        return False
    same_size = span[2] == "*" or known["size"] in (None, int(span[2]))
    return same_size and _validator(response) in ("", known["validator"])


def _validator(response: requests.Response) -> str:
    """What the server calls this very version of the file, or "". A weak ETag does not stand for bytes."""
    etag = response.headers.get("ETag", "")
    return etag if etag and not etag.startswith("W/") else response.headers.get("Last-Modified", "")


def _remembered(part: Path, url: str) -> dict:
    """What is known of the file that a part is of; nothing if it cannot be gone on with."""
    try:
        known = json.loads(part.with_suffix(".json").read_text())
        return known if _size(part) and known["url"] == url and known["validator"] and "size" in known else {}
    except (OSError, ValueError, KeyError, TypeError):
        return {}


def _size(part: Path) -> int:
    return part.stat().st_size if part.exists() else 0


def _is_web(url: str) -> bool:
    try:
        host = urlsplit(url).hostname or ""
        return urlsplit(url).scheme in ("http", "https") and bool(host.encode("idna"))
    except ValueError:  # such as a bracket that is never closed, or two dots in a row
        return False


def _ending(file: Path) -> str:
    with file.open("rb") as stream:
        start = stream.read(4)
    return next((ending for magic, ending in MAGIC.items() if start.startswith(magic)), ".csv")


@contextlib.contextmanager
def _alone(folder: Path) -> Iterator[None]:
    """Make `folder`, and keep other downloads out: two must not write into one part. Only a part is left in it."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with (folder / "lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            try:
                yield
            finally:
                if not _size(folder / "part"):
                    shutil.rmtree(folder, ignore_errors=True)
                    with contextlib.suppress(OSError):  # another dataset's part is there
                        folder.parent.rmdir()
    except BlockingIOError:
        raise InputError(f"expected one download of {folder.name} at a time, found another: wait for it") from None
    except OSError as error:
        raise InputError(
            f"expected to write to {folder.parent.parent}, found {error.strerror or error}: free some space or correct "
            "the permissions, then run the command again"
        ) from None


def _fault(url: str, part: Path, error: requests.RequestException) -> InputError:
    """Why a server gave no file, or only a part of it."""
    host, response, come = urlsplit(url).hostname, error.response, _size(part)
    if response is not None:
        found = f"found that the server answered {response.status_code} {response.reason or ''}".strip()
        remedy = "try again later" if response.status_code >= 500 else "check the link on the publisher's page"
        return InputError(f"expected a file at {url}, {found}: {remedy}")
    if come:
        goes_on = "it resumes there" if _remembered(part, url) else "this server's files can only be fetched whole"
        found = f"found that the connection broke after {come:,} bytes"
        return InputError(f"expected a whole file from {host}, {found}: run the same command again ({goes_on})")
    cause = error
    while cause.__context__:
        cause = cause.__context__
    found = getattr(cause, "strerror", None) or str(cause) or type(cause).__name__
    return InputError(f"expected an answer from {host}, found none ({found}): check the address and the connection")
