"""Fetch one dataset's file over HTTP: with progress, from where a broken download stopped, checked before it counts.

pooch fetches; it knows no resumption, so its downloader is ours. A partial file and what its server called it
lie in data/raw/.partial until the download is whole. The checksum is for `verify` to compare: what is known is that of
the CSV, and a publisher may send it packed.
"""

import contextlib
import dataclasses
import fcntl
import functools
import json
import os
import re
import shutil
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from urllib.parse import urlsplit

import pooch
import requests
from urllib3.exceptions import HTTPError, ProtocolError, ReadTimeoutError

from tlids_helpers.common.errors import InputError
from tlids_helpers.data import check
from tlids_helpers.data import raw as flows
from tlids_helpers.data.catalog import Dataset

Progress = Callable[[int, int | None], object]  # bytes so far, bytes in all where the server says so

TIMEOUT_S = (10, 60)  # to connect; between two pieces
TRIES, WAIT_S = 3, 2.0  # a connection that breaks is taken up again so often, after so many seconds
CHUNK_BYTES = 64 << 10
MAGIC = {b"\x1f\x8b": ".csv.gz", b"PK\x03\x04": ".zip", b"PAR1": ".parquet"}
"""First bytes of a file -> its ending; anything else is CSV."""


def obtain(
    entry: Dataset,
    raw: Path,
    url: str,
    allow_subset: bool = False,
    replace: bool = False,
    progress: Progress | None = None,
    tries: int = TRIES,
    wait_s: float = WAIT_S,
) -> check.Finding:
    """Fetch `entry`'s file from `url` into the folder `raw`; it gets its name when it is what it claims to be.

    It keeps the form it comes in (.csv, .csv.gz, .zip, .parquet). A file that is there already is kept, unless
    `replace`; it gives way only to one that has been checked. `progress` gets bytes so far and in all.
    Raises InputError when nothing could be fetched, when it is something else, or when a file is in the way.
    """
    old = flows.locate_file(entry, raw)
    if old and not replace:
        raise InputError(f"expected no file of {entry.title} in {raw}, found {old.name}: add --replace if it may go")
    folder = raw / ".partial" / entry.slug
    with _alone(folder):
        try:
            fetched = fetch(url, folder, progress, tries, wait_s)
            named = fetched.rename(folder / f"{entry.file.removesuffix('.csv')}{_ending(fetched)}")
            finding = check.settle(named, entry, allow_subset)
            os.replace(named, raw / named.name)
        finally:
            _tidy(folder)
        if old and old != raw / named.name:
            old.unlink()
    return dataclasses.replace(finding, path=raw / named.name)


def _tidy(folder: Path) -> None:
    """Leave nothing but a part that can be gone on with."""
    if not (folder / "part").exists():
        shutil.rmtree(folder, ignore_errors=True)
        with contextlib.suppress(OSError):  # another dataset's part is there
            folder.parent.rmdir()


def fetch(url: str, folder: Path, progress: Progress | None = None, tries: int = TRIES, wait_s: float = WAIT_S) -> Path:
    """Download `url` into `folder`, going on with what a broken download of the same file has left there.

    It goes on only when the server vouches that the file is still the same (ETag or Last-Modified, sent as If-Range);
    otherwise it starts over. Raises InputError when the address is no web address, the server refuses or is silent,
    or the connection breaks `tries` times; what has come by then is kept. Raises OSError when the disk is full.
    """
    if not _is_web(url):
        raise InputError(f"expected an address that begins with http:// or https://, found {url!r}: correct it")
    pooch.get_logger().setLevel("WARNING")
    part = folder / "part"
    downloader = functools.partial(_download, part=part, progress=progress, tries=tries, wait_s=wait_s)
    (folder / "whole").unlink(missing_ok=True)  # of a run that was killed before it checked it
    try:
        return Path(pooch.retrieve(url, known_hash=None, fname="whole", path=folder, downloader=downloader))
    except (HTTPError, requests.RequestException) as error:
        raise _no_file(url, part, error) from None


def _is_web(url: str) -> bool:
    try:
        return urlsplit(url).scheme in ("http", "https") and bool(urlsplit(url).hostname)
    except ValueError:  # such as a bracket that is never closed
        return False


def _ending(file: Path) -> str:
    with file.open("rb") as stream:
        start = stream.read(4)
    return next((ending for magic, ending in MAGIC.items() if start.startswith(magic)), ".csv")


@contextlib.contextmanager
def _alone(folder: Path) -> Iterator[None]:
    """Make `folder`, and keep other downloads out of it: two must not write into one partial file."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with (folder / "lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            yield
    except BlockingIOError:
        raise InputError(f"expected one download of {folder.name} at a time, found another: wait for it") from None
    except OSError as error:
        raise InputError(
            f"expected to write to {folder.parent.parent}, but {error.strerror or error}: free some space or mend the "
            "permissions, then run the command again"
        ) from None


def _download(url: str, output: str, _pooch, part: Path, progress, tries: int, wait_s: float) -> None:
    """The downloader that pooch calls: leaves the whole file at `output`."""
    for left in reversed(range(tries)):
        try:
            _request(url, part, progress)
            break
        except (ProtocolError, ReadTimeoutError):
            if not left:
                raise
            time.sleep(wait_s)
    os.replace(part, output)


def _request(url: str, part: Path, progress: Progress | None) -> None:
    """One request: for the rest of the file if a part of the very same file is there, else for all of it."""
    known = _remembered(part, url)
    have = part.stat().st_size if known else 0
    headers = {"Accept-Encoding": "identity"}  # the file's own bytes, so that they can be counted and gone on with
    if have:
        headers |= {"Range": f"bytes={have}-", "If-Range": known["validator"]}
    with requests.get(url, headers=headers, stream=True, timeout=TIMEOUT_S) as response:
        goes_on = bool(have) and _goes_on(response, have, known)
        if not goes_on and response.status_code in (206, 416) and have:  # an answer about some other file
            part.unlink()
        elif not goes_on and response.status_code != 200:
            raise _refused(url, response)
        else:
            _receive(response, url, part, have if goes_on else 0, progress)
            return
    _request(url, part, progress)  # once: there is no part now


def _goes_on(response: requests.Response, have: int, known: dict) -> bool:
    """Whether the answer is the rest, from byte `have` on, of the file the part is of."""
    says = re.fullmatch(r"bytes (\d+)-\d+/(\d+|\*)", response.headers.get("Content-Range", ""))
    if response.status_code != 206 or not says or int(says[1]) != have:
        return False
    same_size = says[2] == "*" or known.get("total") in (None, int(says[2]))
    return same_size and _validator(response) in ("", known["validator"])


def _validator(response: requests.Response) -> str:
    """What the server calls this very version of the file, or "". A weak ETag does not speak for bytes."""
    etag = response.headers.get("ETag", "")
    return etag if etag and not etag.startswith("W/") else response.headers.get("Last-Modified", "")


def _receive(response: requests.Response, url: str, part: Path, have: int, progress: Progress | None) -> None:
    length = response.headers.get("Content-Length", "")
    total = have + int(length) if length.isdecimal() else None
    if not have:
        part.unlink(missing_ok=True)  # before the note, so that an old part never bears a new name
        note = {"url": url, "validator": _validator(response), "total": total}
        part.with_suffix(".json").write_text(json.dumps(note))
    with part.open("ab") as file:
        if progress:
            progress(have, total)
        for chunk in response.raw.stream(CHUNK_BYTES, decode_content=False):
            file.write(chunk)
            have += len(chunk)
            if progress:
                progress(have, total)
    if total is not None and have < total:
        raise ProtocolError(f"{have} of {total} bytes")


def _remembered(part: Path, url: str) -> dict:
    """What is known of the file a part is of; nothing if it cannot be gone on with."""
    try:
        known = json.loads(part.with_suffix(".json").read_text())
        return known if part.exists() and known["url"] == url and known["validator"] else {}
    except (OSError, ValueError, KeyError, TypeError):
        return {}


def _refused(url: str, response: requests.Response) -> InputError:
    answer = f"{response.status_code} {response.reason or ''}".strip()
    later = "try again later" if response.status_code >= 500 else "check the link on the publisher's page"
    return InputError(f"expected a file at {url}, but the server answered {answer}: {later}")


def _no_file(url: str, part: Path, error: Exception) -> InputError:
    """Why a server gave no file, or only a part of it."""
    host = urlsplit(url).hostname
    if isinstance(error, (ProtocolError, ReadTimeoutError)) and part.exists():
        goes_on = "it goes on from there" if _remembered(part, url) else "this server's files can only be fetched whole"
        return InputError(
            f"expected a whole file from {host}, but the connection broke after {part.stat().st_size:,} bytes: "
            f"run the same command again ({goes_on})"
        )
    while error.__context__:
        error = error.__context__
    why = getattr(error, "strerror", None) or str(error) or type(error).__name__
    return InputError(f"expected an answer from {host}, found none ({why}): check the address and the connection")
