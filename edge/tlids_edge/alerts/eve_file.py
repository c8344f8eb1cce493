"""EVE lines into a file that rotates and survives a full disk.

A sink takes whole lines and never leaves half a one behind. What it cannot write it counts in `unwritten` and
forgets, because the capture must go on; the next lines are tried again, so it recovers by itself.
"""

import os
from pathlib import Path

from tlids_edge.errors import InputError


class FileSink:
    """Appends lines to a file.

    The file rotates before it would pass `max_bytes` (PATH -> PATH.1 -> PATH.2 ... up to `keep`), never when
    `max_bytes` is 0. `reopen` (on SIGHUP) is for an outside logrotate.
    """

    def __init__(self, path: str | Path, max_bytes: int = 0, keep: int = 5) -> None:
        """Open the file.

        Raises:
            InputError: it cannot be opened.
        """
        self.path, self.max_bytes, self.keep = Path(path), max_bytes, keep
        self.written = self.unwritten = 0
        self.fault = ""  # why the last write failed, "" when it did not
        self._file = -1
        try:
            self._open()
        except OSError as error:
            raise InputError(
                f"expected to write EVE lines to {path}, found: {error.strerror}", "give another file with --eve"
            ) from error

    def write(self, lines: list[bytes]) -> None:
        """Append whole lines; those that do not fit are counted."""
        try:
            if self._file < 0:
                self._open()
            self._rotate(sum(map(len, lines)))
            self.fault = ""
            self._append(lines)
        except OSError as error:
            self.unwritten += len(lines)
            self.fault = error.strerror or str(error)

    def reopen(self) -> None:
        """Open the path again, after somebody moved the file away."""
        self._close_file()
        try:
            self._open()
        except OSError as error:  # the next write tries again
            self.fault = error.strerror or str(error)

    def close(self) -> None:
        """Bring the lines to the disk and close the file."""
        if self._file >= 0:
            try:
                os.fsync(self._file)
            except OSError:  # a pipe or a device as --eve cannot be synced
                pass
        self._close_file()

    def _open(self) -> None:
        """Open for appending, after ending a line that a crash left unfinished."""
        self._file = os.open(self.path, os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o640)
        size = os.fstat(self._file).st_size
        if size and os.pread(self._file, 1, size - 1) != b"\n":
            os.write(self._file, b"\n")

    def _close_file(self) -> None:
        """Close the file if it is open."""
        if self._file >= 0:
            os.close(self._file)
        self._file = -1

    def _append(self, lines: list[bytes]) -> None:
        """Write lines in one go; when the disk fills half-way, cut the file back to the last whole line."""
        data = b"".join(lines)
        size = os.fstat(self._file).st_size
        done = 0
        try:
            while done < len(data):
                done += os.write(self._file, data[done:])
        except OSError as error:
            whole = data.rfind(b"\n", 0, done) + 1
            os.ftruncate(self._file, size + whole)
            count = data.count(b"\n", 0, whole)
            self.written += count
            self.unwritten += len(lines) - count
            self.fault = error.strerror or str(error)
            return
        self.written += len(lines)

    def _rotate(self, coming: int) -> None:
        """Shift the old files by one when the coming bytes would make the file too large."""
        size = os.fstat(self._file).st_size
        if not self.max_bytes or not size or size + coming <= self.max_bytes:
            return
        for number in range(self.keep - 1, 0, -1):
            older = self._numbered(number)
            if older.exists():
                older.replace(self._numbered(number + 1))
        self.path.replace(self._numbered(1))
        self._close_file()
        self._open()

    def _numbered(self, number: int) -> Path:
        """PATH.1, PATH.2, ..."""
        return self.path.with_name(f"{self.path.name}.{number}")
