"""EVE lines into a file that rotates and survives a full disk.

A sink takes whole lines and never leaves half a one behind. What it cannot write it counts in `unwritten` and
forgets, because the capture must go on; the next lines are tried again, so it recovers. The file is the one that
a symbolic link leads to, and that one rotates; the link stays.

What is kept is bounded in size and, where `max_age_s` is given, in time: a file holds lines of one span of
`max_age_s / (keep + 1)` at most, and an older one is removed before its first line is older than `max_age_s`.
"""

import contextlib
import errno
import os
import re
import shutil
import stat
import tempfile
import time
from collections.abc import Callable
from datetime import datetime
from pathlib import Path

from tlids_edge import outputs

REMEDY = "give another file with --eve"
NEW_MODE = 0o640
KEEP = 5  # old files
CANNOT_SYNC = (errno.EINVAL, errno.ENOTSUP, errno.EROFS)
SWEEP_S = 60.0  # between two looks for what is too old
WORTH_BYTES = 1 << 16  # a smaller file is not emptied to make room on a disk: others fill it
_TIME = re.compile(rb'"timestamp":"([0-9T:.+-]{19,40})"')


class FileSink:
    """Appends lines to a file.

    The file rotates before it would pass `max_bytes` (PATH -> PATH.1 -> PATH.2 ... up to `keep`), never when
    `max_bytes` is 0. A file that may not be renamed, such as a mount point, is copied to PATH.1 and emptied; one that
    cannot be rotated at all grows until it has the size that all files would have together, and `fault` says so. A file
    that somebody moved away or removed is made again by the next lines; `reopen` (on SIGHUP) is for an outside
    logrotate that will not wait for them. `make_room` is asked to free some of a full disk, True: it has.
    """

    def __init__(
        self, path: str | Path, max_bytes: int = 0, keep: int = KEEP, max_age_s: float = 0.0, later: bool = False
    ) -> None:
        """Open the file; `later`, only if it is there, else with the first line. No age is too old when that is 0.

        Raises:
            InputError: it cannot be opened.
        """
        self.path, self.max_bytes, self.keep, self.max_age_s = Path(path), max_bytes, keep, max_age_s
        self.make_room: Callable[[], bool] = lambda: False
        self._sweep_at = self._born = 0.0  # monotonic; when the first line of the open file was written, since 1970
        self.name = str(path)
        self.written = self.unwritten = 0
        self.fault = ""  # why the last write failed, "" when it did not
        self._file, self._target = -1, self.path
        self._unsynced = 0  # lines of this file that the disk has not confirmed
        self._rotate_at, self._stuck = max_bytes, ""  # a later size, and why, when rotating failed
        try:
            place = outputs.find(self.path, REMEDY)
            if place.mode or not later:
                self._open()
        except OSError as error:
            raise outputs.unwritable(str(path), error, REMEDY) from error

    @property
    def pending(self) -> int:
        """Lines that are neither written nor given up: none."""
        return 0

    def write(self, lines: list[bytes]) -> None:
        """Append whole lines; those that do not fit are counted."""
        try:
            if self._file >= 0 and self._has_gone():
                self._close_file()
            if self._file < 0:
                self._open()
            self._rotate(sum(map(len, lines)))
            self.fault = self._stuck
            if self._stuck and os.fstat(self._file).st_size > self.max_bytes * (self.keep + 1):
                raise OSError(errno.EFBIG, f"{self._target} cannot be rotated and is full")
            self._append(lines)
        except OSError as error:
            self.unwritten += len(lines)
            self.fault = error.strerror or str(error)

    def push(self) -> None:
        """Nothing is held; what has become too old is removed."""
        now = time.monotonic()
        if self.max_age_s and now >= self._sweep_at:
            self._sweep_at = now + SWEEP_S
            with contextlib.suppress(OSError):  # the next look tries again
                self._sweep(time.time())

    def drop_oldest(self) -> bool:
        """Remove the oldest file, or empty the only one; True when that has freed something."""
        for number in range(self.keep, 0, -1):
            with contextlib.suppress(OSError):
                self._numbered(number).unlink()
                return True
        if self._file < 0 or os.fstat(self._file).st_size < WORTH_BYTES:
            return False
        os.ftruncate(self._file, 0)
        return True

    def reopen(self) -> None:
        """Open the path again, after somebody moved the file away."""
        self._close_file()
        try:
            self._open()
        except OSError as error:  # the next write tries again
            self.fault = error.strerror or str(error)

    def close(self) -> None:
        """Bring the lines to the disk and close the file; lines that the disk refuses then are not written."""
        if self._file >= 0:
            try:
                _sync(self._file)
            except OSError as error:
                self.fault = error.strerror or str(error)
                self.written -= self._unsynced
                self.unwritten += self._unsynced
        self._close_file()

    def _open(self) -> None:
        """Open for appending, after ending a line that a crash left unfinished."""
        self._target = Path(os.path.realpath(self.path))
        flags = os.O_APPEND | os.O_CREAT | os.O_CLOEXEC | os.O_NONBLOCK
        try:
            self._file = os.open(self._target, os.O_RDWR | flags, NEW_MODE)
        except PermissionError:  # a file that one may add to and not read
            self._file = os.open(self._target, os.O_WRONLY | flags, NEW_MODE)
            self._born = os.fstat(self._file).st_mtime
            return
        status = os.fstat(self._file)
        self._born = _time_of(os.pread(self._file, 4096, 0)) or status.st_mtime if self.max_age_s else 0.0
        if status.st_size and os.pread(self._file, 1, status.st_size - 1) != b"\n":
            os.write(self._file, b"\n")

    def _close_file(self) -> None:
        """Close the file if it is open."""
        if self._file >= 0:
            os.close(self._file)
        self._file, self._unsynced = -1, 0
        self._rotate_at, self._stuck = self.max_bytes, ""

    def _has_gone(self) -> bool:
        """Whether the open file is no longer the one of its name; when that cannot be told, it is."""
        try:
            return not os.path.samestat(os.stat(self._target), os.fstat(self._file))
        except (FileNotFoundError, NotADirectoryError):
            return True
        except OSError:
            return False

    def _append(self, lines: list[bytes]) -> None:
        """Write lines in one go; when the disk fills half-way, cut the file back to the last whole line."""
        data = b"".join(lines)
        size = os.fstat(self._file).st_size
        done, count = 0, len(lines)
        self._born = self._born if size else time.time()
        while done < len(data):
            try:
                done += os.write(self._file, data[done:])
            except OSError as error:
                if error.errno == errno.ENOSPC and self.make_room():
                    continue
                whole = data.rfind(b"\n", 0, done) + 1
                os.ftruncate(self._file, size + whole)
                count = data.count(b"\n", 0, whole)
                self.unwritten += len(lines) - count
                self.fault = error.strerror or str(error)
                break
        self.written += count
        self._unsynced += count

    def _rotate(self, coming: int) -> None:
        """Shift the old files by one when the coming bytes would make the file too large."""
        status = os.fstat(self._file)
        size = status.st_size
        if not self.max_bytes or not size or size + coming <= self._rotate_at or not stat.S_ISREG(status.st_mode):
            return
        self._turn_over(status)

    def _sweep(self, now: float) -> None:
        """Begin another file when this one has lasted its span, and remove those that are too old; `now` since 1970."""
        span = self.max_age_s / (self.keep + 1)
        status = os.fstat(self._file) if self._file >= 0 else None
        if status and status.st_size and now - self._born > span and stat.S_ISREG(status.st_mode):
            self._turn_over(status)
        for number in range(1, self.keep + 1):
            with contextlib.suppress(FileNotFoundError):
                if self._numbered(number).stat().st_mtime < now - (self.max_age_s - span):
                    self._numbered(number).unlink()

    def _turn_over(self, status: os.stat_result) -> None:
        """Make the file PATH.1 and begin another; `status` is the file's."""
        try:
            self._shift()
            emptied = self._set_aside()
        except OSError as error:  # better a file that grows than lines that are lost
            if self._has_gone():
                self._close_file()
                self._open()
                return
            self._rotate_at = status.st_size + self.max_bytes
            self._stuck = f"{self._target} cannot be rotated ({error.strerror or error}) and grows"
            return
        if not emptied:
            self._close_file()
            self._open()
            self._share(self._file, status)

    def _shift(self) -> None:
        """Shift PATH.1, PATH.2, ... by one up to the first gap; without a gap the oldest goes."""
        taken = 0
        while taken < self.keep and self._numbered(taken + 1).exists():
            taken += 1
        for number in range(min(taken, self.keep - 1), 0, -1):
            self._numbered(number).replace(self._numbered(number + 1))

    def _set_aside(self) -> bool:
        """Rename the file to PATH.1, or copy it there and empty it (True)."""
        with contextlib.suppress(OSError):
            self._target.replace(self._numbered(1))
            return False
        handle, name = tempfile.mkstemp(dir=self._target.parent, prefix=".tlids-", suffix=".part")
        os.close(handle)
        copy = Path(name)
        try:
            shutil.copyfile(self._target, copy)
            with open(copy, "rb") as file:
                _sync(file.fileno())  # before the original is emptied
            self._share(copy, os.fstat(self._file))
            copy.replace(self._numbered(1))
        finally:
            copy.unlink(missing_ok=True)
        os.ftruncate(self._file, 0)
        return True

    def _share(self, file: int | Path, status: os.stat_result) -> None:
        """Give a file the owner and permissions of another, whose readers read it too."""
        with contextlib.suppress(OSError):
            os.chown(file, status.st_uid, status.st_gid)
            os.chmod(file, stat.S_IMODE(status.st_mode))

    def _numbered(self, number: int) -> Path:
        """PATH.1, PATH.2, ..., the newest first."""
        return self._target.with_name(f"{self._target.name}.{number}")


def is_rotated(path: str | Path, other: str | Path) -> bool:
    """Whether old lines of the file at `other` come to be at `path`, or where a link at `path` leads."""
    folder, name = os.path.split(path)
    names = {os.path.realpath(path), os.path.join(os.path.realpath(folder), name)}
    return not names.isdisjoint(f"{os.path.realpath(other)}.{number}" for number in range(1, KEEP + 1))


def _sync(file: int) -> None:
    """Bring a file to the disk, where its file system can tell.

    Raises:
        OSError: the disk refuses.
    """
    try:
        os.fsync(file)
    except OSError as error:
        if error.errno not in CANNOT_SYNC:
            raise


def _time_of(text: bytes) -> float | None:
    """The time of the first line that has one, in seconds since 1970."""
    found = _TIME.search(text)
    try:
        return datetime.fromisoformat(found[1].decode()).timestamp() if found else None
    except ValueError:
        return None
