"""Where EVE lines go: a file that rotates and survives a full disk, or standard output.

A sink takes whole lines and never leaves half a one behind. What it cannot write it counts in `unwritten` and
forgets, because the capture must go on; the next lines are tried again, so it recovers by itself.
"""

import os
import select
import time
from collections import deque
from collections.abc import Callable
from pathlib import Path

from tlids_edge.errors import InputError

PIPE_CHUNK = 4096  # PIPE_BUF on Linux: a write of this size is all or nothing, and fits when poll says writable
HELD_BYTES = 4 << 20  # lines held for a slow reader when live
CLOSING_S = 2.0  # how long the last lines wait for a slow reader


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
            raise InputError(f"Cannot write EVE lines to {path}: {error.strerror}.") from error

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
        """Open the path anew, after somebody moved the file away."""
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


class StdoutSink:
    """Writes lines to a descriptor, normally standard output, whose reader may be slow or go away.

    A replay (`patient`) waits for the reader: nothing is lost, the file can wait. Live, up to HELD_BYTES of
    lines are held and later ones counted as unwritten, because the network does not wait.
    """

    def __init__(self, descriptor: int = 1, patient: bool = True, stopped: Callable[[], bool] = lambda: False) -> None:
        """`stopped` tells a patient sink to wait no longer than CLOSING_S for its reader."""
        self.written = self.unwritten = 0
        self.fault = ""
        self.reader_gone = False
        self._descriptor, self._patient, self.stopped = descriptor, patient, stopped
        self._held: deque[bytes] = deque()
        self._held_bytes = 0
        self._give_up_at = 0.0  # once somebody asked to stop: how long the reader is waited for
        self._poll = select.poll()
        self._poll.register(descriptor, select.POLLOUT)

    def write(self, lines: list[bytes]) -> None:
        """Pass lines on, or hold them while the reader is slow."""
        for line in lines:
            if self.reader_gone or self._held_bytes + len(line) > HELD_BYTES and not self._patient:
                self.unwritten += 1
                self.fault = "the reader of the EVE lines is too slow or gone"
                continue
            self._held.append(line)
            self._held_bytes += len(line)
        self.push()

    def push(self) -> None:
        """Write what is held as far as the reader takes it; a patient sink waits for the rest."""
        while self._held:
            if self._poll.poll(50 if self._patient else 0):
                self._write_chunk()
            elif not self._patient or self.stopped() and self._out_of_time():
                return
        if not self.reader_gone:
            self.fault = ""

    def reopen(self) -> None:
        """Standard output cannot be reopened."""

    def close(self) -> None:
        """Give the reader CLOSING_S for what is held; count the rest."""
        while self._held and not self._out_of_time():
            if self._poll.poll(50):
                self._write_chunk()
        self.unwritten += len(self._held)
        self._held.clear()

    def _out_of_time(self) -> bool:
        """Whether CLOSING_S have passed since this was first asked."""
        now = time.monotonic()
        self._give_up_at = self._give_up_at or now + CLOSING_S
        return now > self._give_up_at

    def _write_chunk(self) -> None:
        """Write as many whole lines as one atomic write takes, one at least."""
        chunk = [self._held.popleft()]
        size = len(chunk[0])
        while self._held and size + len(self._held[0]) <= PIPE_CHUNK:
            chunk.append(self._held.popleft())
            size += len(chunk[-1])
        self._held_bytes -= size
        data = b"".join(chunk)
        try:
            while data:
                data = data[os.write(self._descriptor, data) :]
            self.written += len(chunk)
        except OSError as error:
            self.fault = error.strerror or str(error)
            self.unwritten += len(chunk)
            if isinstance(error, BrokenPipeError):
                self.reader_gone = True
                self.unwritten += len(self._held)
                self._held.clear()
                self._held_bytes = 0
