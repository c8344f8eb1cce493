"""Where things are, and how a result gets there whole: written beside, then renamed."""

import contextlib
import errno
import hashlib
import json
import os
import secrets
import shutil
from collections.abc import Iterator
from pathlib import Path

from tlids_helpers.common.errors import InputError

REPOSITORY = Path(__file__).resolve().parent.parent.parent
END_BYTES = 64 << 10


def home() -> Path:
    """Where data/ and runs/ are: the repository, or the folder named by TLIDS_HOME."""
    return Path(os.environ.get("TLIDS_HOME") or REPOSITORY)


def resolve(path: str | Path) -> Path:
    """A path as its user means it: from where they are if it exists there, else from `home`."""
    path = Path(path).expanduser()
    return path.resolve() if path.is_absolute() or path.exists() else (home() / path).resolve()


def shipped(path: str | Path) -> Path:
    """What a path means where the repository ships it: as `resolve`, but the repository's own if there is none."""
    found = resolve(path)
    return found if found.exists() else (REPOSITORY / path).resolve()


def shown(path: Path) -> str:
    """A path as one would type it from here."""
    return os.path.relpath(path)


def key_of(**what) -> str:
    """Twelve hex digits that change when anything in `what` does."""
    return hashlib.sha256(json.dumps(what, sort_keys=True, default=str).encode()).hexdigest()[:12]


def stamp(path: Path) -> dict:
    """What tells a big file from another without reading it: name, size, time, and a hash of its two ends.

    The folder is not in it, so that a copied folder finds its caches.
    """
    stat = path.stat()
    with path.open("rb") as file:
        ends = file.read(END_BYTES)
        file.seek(max(0, stat.st_size - END_BYTES))
        ends += file.read(END_BYTES)
    return {"file": path.name, "size": stat.st_size, "time": stat.st_mtime_ns, "ends": hashlib.sha256(ends).hexdigest()}


@contextlib.contextmanager
def permitted() -> Iterator[None]:
    """Raises InputError where something that is there may not be read: it is not taken for absent."""
    try:
        yield
    except PermissionError as error:
        raise InputError(
            f"expected to read {error.filename or 'a file'}, found no permission: allow reading it, or give another "
            "folder (data_dir, runs_dir)"
        ) from None


@contextlib.contextmanager
def written_whole(folder: Path, keyed: bool = False) -> Iterator[Path]:
    """A scratch folder that becomes `folder` when the block ends well, and vanishes when it does not.

    A symbolic link stays and its target is made; a folder that may not be renamed, such as a mount point, is filled.
    `keyed`: the folder's name says all that shaped it, so one that another process has finished meanwhile is kept,
    and nobody who reads it is disturbed. Raises InputError when nothing can be written there.
    """
    folder = Path(os.path.realpath(folder))
    scratch = folder.with_name(f".{folder.name[:100]}.{os.getpid()}-{secrets.token_hex(4)}.partial")
    try:
        if folder.exists() and not folder.is_dir():
            raise NotADirectoryError(errno.ENOTDIR, f"the file {folder.name}")
        scratch = _made(scratch, folder)
        yield scratch
        if not (keyed and all((folder / file.name).exists() for file in scratch.iterdir())):
            _rename(scratch, folder)
    except OSError as error:
        raise InputError(
            f"expected to write to {folder.parent}, found {error.strerror or error}: free some space, correct the "
            "permissions, or give another folder (data_dir, runs_dir)"
        ) from None
    finally:
        shutil.rmtree(scratch, ignore_errors=True)


def _made(scratch: Path, folder: Path) -> Path:
    """The scratch folder, beside `folder`; inside it where nothing may be made beside it."""
    try:
        scratch.mkdir(parents=True)
    except OSError:
        if not folder.is_dir():
            raise
        scratch = folder / scratch.name
        scratch.mkdir()
    return scratch


def _rename(scratch: Path, folder: Path) -> None:
    """Let `scratch` replace `folder`; the older one comes back if that fails."""
    old = scratch.with_suffix(".old")
    if folder.exists():
        shutil.copymode(folder, scratch)
        try:
            folder.rename(old)
        except OSError:  # a mount point, or a folder of ours in somebody else's
            _fill(scratch, folder)
            return
    try:
        scratch.rename(folder)
    except OSError:  # another process was first: its result is as good
        if not folder.exists():
            if old.exists():
                old.rename(folder)
            raise
    shutil.rmtree(old, ignore_errors=True)


def _fill(scratch: Path, folder: Path) -> None:
    """Let the content of `scratch` replace that of a folder that stays itself."""
    for entry in list(folder.iterdir()):
        if entry != scratch:
            shutil.rmtree(entry) if entry.is_dir() and not entry.is_symlink() else entry.unlink()
    for entry in list(scratch.iterdir()):
        shutil.move(entry, folder / entry.name)
