"""EVE lines into a file that rotates and survives a full disk.

A sink takes whole lines and never leaves half a one behind. What it cannot write it counts in `unwritten` and
forgets, because the capture must go on; the next lines are tried again, so it recovers by itself. The file is
the one that a symbolic link leads to, and that one rotates; the link stays.
"""

import contextlib
import errno
import os
import shutil
import stat
import tempfile
from pathlib import Path

from tlids_edge import outputs

REMEDY = "give another file with --eve"
NEW_MODE = 0o640
CANNOT_SYNC = (errno.EINVAL, errno.ENOTSUP, errno.EROFS)


class FileSink:
    """Appends lines to a file.

    The file rotates before it would pass `max_bytes` (PATH -> PATH.1 -> PATH.2 ... up to `keep`), never when
    `max_bytes` is 0. A file that may not be renamed, such as a mount point, is copied to PATH.1 and emptied; one that
    cannot be rotated at all grows, and `fault` says so. A file that somebody moved away or removed is made again by the
    next lines; `reopen` (on SIGHUP) is for an outside logrotate that will not wait for them.
    """

    def __init__(self, path: str | Path, max_bytes: int = 0, keep: int = 5) -> None:
        """Open the file.

        Raises:
            InputError: it cannot be opened.
        """
        self.path, self.max_bytes, self.keep = Path(path), max_bytes, keep
        self.name = str(path)
        self.written = self.unwritten = 0
        self.fault = ""  # why the last write failed, "" when it did not
        self._file, self._target = -1, self.path
        self._unsynced = 0  # lines of this file that the disk has not confirmed
        self._rotate_at, self._stuck = max_bytes, ""  # a later size, and why, when rotating failed
        try:
            outputs.find(self.path, REMEDY)
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
            self._append(lines)
        except OSError as error:
            self.unwritten += len(lines)
            self.fault = error.strerror or str(error)

    def push(self) -> None:
        """Nothing is held."""

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
                os.fsync(self._file)
            except OSError as error:
                if error.errno not in CANNOT_SYNC:
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
            return
        size = os.fstat(self._file).st_size
        if size and os.pread(self._file, 1, size - 1) != b"\n":
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
        try:
            while done < len(data):
                done += os.write(self._file, data[done:])
        except OSError as error:
            whole = data.rfind(b"\n", 0, done) + 1
            os.ftruncate(self._file, size + whole)
            count = data.count(b"\n", 0, whole)
            self.unwritten += len(lines) - count
            self.fault = error.strerror or str(error)
        self.written += count
        self._unsynced += count

    def _rotate(self, coming: int) -> None:
        """Shift the old files by one when the coming bytes would make the file too large."""
        status = os.fstat(self._file)
        size = status.st_size
        if not self.max_bytes or not size or size + coming <= self._rotate_at or not stat.S_ISREG(status.st_mode):
            return
        try:
            self._make_room()
            emptied = self._set_aside()
        except OSError as error:  # better a file that grows than lines that are lost
            if self._has_gone():
                self._close_file()
                self._open()
                return
            self._rotate_at = size + self.max_bytes
            self._stuck = f"{self._target} cannot be rotated ({error.strerror or error}) and grows"
            return
        if not emptied:
            self._close_file()
            self._open()
            self._share(self._file, status)

    def _make_room(self) -> None:
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
