"""What is written is written where the user pointed, whatever stands there.

nothing, or a regular file      beside it, then renamed: the file is whole or the old one; permissions are kept
a file that must stay itself    in place: a mount point, a file with a second name or another owner
a symbolic link                 as its target
/dev/stdout, /dev/fd/N, >(...)  into that open descriptor
a FIFO, a terminal, a device    straight, as it comes
a folder, a socket              refused
"""

import contextlib
import errno
import io
import os
import re
import select
import shutil
import stat
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from tlids_edge.errors import InputError

MAX_LINKS = 40  # Linux's own limit
BUFFERED = 1 << 16
LOOK_S, PATIENCE_S = 0.05, 1.0  # between two looks for a FIFO's reader; before somebody is told that it is waited for
REMEDY = "give another file"
_closed: set[int] = set()  # of the standard descriptors: closed when the command began


@dataclass(frozen=True)
class Place:
    """Where a path leads: to one of our open descriptors, or to what `path` names once links are followed."""

    path: str
    descriptor: int = -1
    mode: int = 0  # st_mode of what is there, 0 for nothing

    @property
    def is_stream(self) -> bool:
        """Whether bytes go there as they come, and nothing can be renamed."""
        return self.descriptor >= 0 or bool(self.mode) and not stat.S_ISREG(self.mode)


def occupy_standard() -> None:
    """Put /dev/null where standard input, output or error is closed, so that no file opened later is taken for it."""
    for number in range(3):
        try:
            os.fstat(number)
        except OSError:
            _closed.add(number)
            os.open(os.devnull, os.O_RDWR)  # takes the lowest number that is free, which is this one


def find(path: str | Path, remedy: str = REMEDY) -> Place:
    """Follow links and look at what is there, without opening it; "-" is standard output.

    Raises:
        InputError: nothing can be written there: a folder, a socket, a descriptor that is not open.
    """
    name = os.fspath(path)
    if not name:
        raise InputError("expected the name of a file to write, found an empty one", remedy)
    try:
        place = _find(name)
    except OSError as error:
        raise unwritable(name, error, remedy) from error
    if stat.S_ISDIR(place.mode) or name.endswith("/"):
        raise InputError(f"expected to write {name}, found: Is a directory", f"name a file in it, or {remedy}")
    if place.descriptor < 0 and stat.S_ISSOCK(place.mode):
        raise InputError(f"expected to write {name}, found: Is a socket", remedy)
    return place


def refuse_inputs(place: Place, inputs: Iterable[str | Path | None]) -> None:
    """Raise InputError where a regular file is to be written over one that is read."""
    if not stat.S_ISREG(place.mode):
        return
    old = os.fstat(place.descriptor) if place.descriptor >= 0 else os.stat(place.path)
    for path in filter(None, inputs):
        with contextlib.suppress(OSError):
            if os.path.samestat(old, os.stat(path)):
                raise InputError(f"expected an output other than the input, found {path} as both", REMEDY)


@contextlib.contextmanager
def written(path: str | Path, remedy: str = REMEDY, say: Callable[[str], None] = lambda _: None) -> Iterator[BinaryIO]:
    """A stream of bytes into what `path` leads to; a regular file is whole when the block ends well, or as it was.

    `say` hears that a FIFO's reader is waited for.

    Raises:
        InputError: it cannot be written.
        BrokenPipeError: the reader of a pipe has seen enough.
    """
    place = find(path, remedy)
    try:
        with _straight(place, say) if place.is_stream else _whole(place.path) as stream:
            yield stream
    except BrokenPipeError:
        raise
    except OSError as error:
        raise unwritable(os.fspath(path), error, remedy) from error


def take_place(made: str | Path, place: Place) -> None:
    """Let a file that is whole become the file at `place`: renamed, or copied into what must stay itself.

    Raises:
        OSError: it cannot be written.
    """
    made = os.fspath(made)
    old = _status(place.path)
    if _may_replace(made, place.path, old):
        try:
            os.replace(made, place.path)
            return
        except OSError as error:  # a mount point, another file system, somebody else's file in /tmp
            if old is None and error.errno != errno.EXDEV:
                raise
    if old is None:
        with _whole(place.path) as target, open(made, "rb") as source:
            shutil.copyfileobj(source, target)
    else:
        _copy_into(made, place.path)
    os.unlink(made)


def unwritable(name: str, error: OSError, remedy: str = REMEDY) -> InputError:
    """The sentence about an output that cannot be written."""
    if name == "-":
        name = "standard output"
    elif error.errno in (errno.ENOENT, errno.ENOTDIR, errno.EACCES) and os.path.realpath(name) != os.path.abspath(name):
        name = f"{name}, which leads to {os.path.realpath(name)}"
    return InputError(f"expected to write {name}, found: {error.strerror or error}", remedy)


def open_stream(place: Place) -> int:
    """A descriptor of a stream that never blocks where we opened it ourselves.

    Raises:
        OSError: it cannot be opened; errno is ENXIO for a FIFO that nobody reads.
    """
    if place.descriptor >= 0:
        return os.dup(place.descriptor)
    return os.open(place.path, os.O_WRONLY | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC)


def _find(name: str) -> Place:
    """`find` for a path that is something."""
    if name == "-":
        return _descriptor(name, 1)
    path = name
    for _ in range(MAX_LINKS):
        folder, last = os.path.split(path.rstrip("/") or path)
        folder = os.path.realpath(folder or ".")
        path = os.path.join(folder, last)
        if re.fullmatch(rf"(/proc/{os.getpid()}(/task/\d+)?/fd|/dev/fd)/[0-9]{{1,9}}", os.path.join(folder, last)):
            return _descriptor(name, int(last))
        if not os.path.islink(path):
            status = _status(path)
            return Place(path, mode=status.st_mode if status else 0)
        path = os.path.join(folder, os.readlink(path))
    raise OSError(errno.ELOOP, os.strerror(errno.ELOOP))


def _descriptor(name: str, number: int) -> Place:
    """One of our own descriptors."""
    if number in _closed:
        raise OSError(errno.EBADF, "it is closed")
    return Place(name, number, os.fstat(number).st_mode)


def _status(path: str) -> os.stat_result | None:
    """What stands at a path; None for nothing."""
    try:
        return os.stat(path)
    except FileNotFoundError:
        return None


@contextlib.contextmanager
def _straight(place: Place, say: Callable[[str], None]) -> Iterator[BinaryIO]:
    """A stream into a descriptor, a FIFO or a device; a FIFO is opened once somebody reads it."""
    stream = io.BufferedWriter(_PatientWriter(_open_for_reader(place, say)), BUFFERED)
    try:
        yield stream
        stream.flush()
    finally:
        with contextlib.suppress(OSError):  # what the flush has raised already
            stream.close()


def _open_for_reader(place: Place, say: Callable[[str], None]) -> int:
    """Open a stream; wait for the reader of a FIFO."""
    began, told = time.monotonic(), False
    while True:
        try:
            return open_stream(place)
        except OSError as error:
            if error.errno != errno.ENXIO or not stat.S_ISFIFO(place.mode):
                raise
        if not told and time.monotonic() - began > PATIENCE_S:
            say(f"waiting for somebody to read {place.path}")
            told = True
        time.sleep(LOOK_S)


class _PatientWriter(io.RawIOBase):
    """The writing end of a descriptor, which may be one that does not block."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor
        self._poll = select.poll()
        self._poll.register(descriptor, select.POLLOUT)

    def writable(self) -> bool:
        """Always."""
        return True

    def write(self, data) -> int:
        """Write what the reader takes; wait for it to take something."""
        while True:
            try:
                return os.write(self._descriptor, data)
            except BlockingIOError:
                self._poll.poll()

    def close(self) -> None:
        """Close the descriptor."""
        if not self.closed:
            os.close(self._descriptor)
        super().close()


@contextlib.contextmanager
def _whole(path: str) -> Iterator[BinaryIO]:
    """A file beside `path` that takes its place when the block ends well."""
    old = _status(path)
    if old is not None:
        os.close(os.open(path, os.O_WRONLY | os.O_CLOEXEC))  # a rename would go over a file that is protected
    try:
        handle, beside = tempfile.mkstemp(dir=os.path.dirname(path), prefix=".tlids-", suffix=".part")
    except OSError as error:
        if old is None or error.errno not in (errno.EACCES, errno.EPERM, errno.EROFS):
            raise
        with open(os.open(path, os.O_WRONLY | os.O_TRUNC | os.O_CLOEXEC), "wb") as stream:
            yield stream  # a file in a folder that takes no other
        return
    try:
        with open(handle, "wb") as stream:
            yield stream
        take_place(beside, Place(path))
    finally:
        with contextlib.suppress(OSError):
            os.unlink(beside)


def _may_replace(made: str, path: str, old: os.stat_result | None) -> bool:
    """Give a file the owner and permissions that its name has, or a new one's; False when a rename would lose some."""
    if old is None:
        os.chmod(made, 0o666 & ~_umask())
        return True
    if old.st_nlink > 1 or _has_own_attributes(path):
        return False
    try:
        new = os.stat(made)
        if (new.st_uid, new.st_gid) != (old.st_uid, old.st_gid):
            os.chown(made, old.st_uid, old.st_gid)
        os.chmod(made, stat.S_IMODE(old.st_mode))
    except OSError:
        return False
    return True


def _has_own_attributes(path: str) -> bool:
    """Whether a file has an access list or attributes that its user gave it."""
    try:
        return any(name.startswith(("user.", "system.posix_acl")) for name in os.listxattr(path))
    except (OSError, AttributeError):
        return False


def _copy_into(made: str, path: str) -> None:
    """Write the content of one file into another that stays itself."""
    with open(made, "rb") as source, open(os.open(path, os.O_WRONLY | os.O_CLOEXEC), "wb") as target:
        shutil.copyfileobj(source, target)
        target.truncate()


def _umask() -> int:
    """The permissions that new files do not get; mkstemp's own would keep the file from everyone else."""
    mask = os.umask(0)
    os.umask(mask)
    return mask
