"""EVE lines into a stream whose reader may be slow, go away or come late: standard output, a FIFO, a device.

Sinks like the one of `eve_file`: whole lines, and what cannot be written is counted in `unwritten`.
"""

import errno
import os
import select
import stat
import time
from collections import deque
from collections.abc import Callable
from pathlib import Path

from tlids_edge import outputs
from tlids_edge.errors import InputError

REMEDY = "give another file with --eve"
PIPE_CHUNK = 4096  # PIPE_BUF on Linux: a write of this size is all or nothing, and fits when poll says writable
HELD_BYTES = 4 << 20  # lines held for a slow reader when live, or while a FIFO has none
CLOSING_S = 2.0  # how long the last lines wait for a slow reader
LOOK_MS = 50


class StdoutSink:
    """Writes lines to a descriptor, normally standard output, whose reader may be slow or go away.

    A replay (`patient`) waits for the reader: nothing is lost, the file can wait. Live, up to HELD_BYTES of
    lines are held and later ones counted as unwritten, because the network does not wait.
    """

    def __init__(self, descriptor: int = 1, patient: bool = True, stopped: Callable[[], bool] = lambda: False) -> None:
        """`stopped` is asked while the reader is waited for; by True it tells to wait no longer than CLOSING_S."""
        self.name = "standard output"
        self.written = self.unwritten = 0
        self.fault = ""
        self.reader_gone = False
        self._descriptor, self._patient, self.stopped = descriptor, patient, stopped
        self._held: deque[bytes] = deque()
        self._held_bytes = 0
        self._chunk: list[bytes] = []  # the lines that are on their way
        self._data, self._done = b"", 0  # their bytes, and how many have gone out
        self._torn = False  # half a line has gone out and its end was lost
        self._give_up_at = 0.0  # once somebody asked to stop: how long the reader is waited for
        self._poll = select.poll()
        if descriptor >= 0:
            self._poll.register(descriptor, select.POLLOUT)

    @property
    def pending(self) -> int:
        """Lines that are neither written nor given up."""
        return len(self._held) + len(self._chunk)

    def write(self, lines: list[bytes]) -> None:
        """Pass lines on, or hold them while the reader is slow."""
        for line in lines:
            if self.reader_gone or self._held_bytes + len(line) > HELD_BYTES and not self._waits():
                self.unwritten += 1
                self.fault = self.fault or f"the reader of {self.name} is too slow or gone"
                continue
            self._held.append(line)
            self._held_bytes += len(line)
        self.push()

    def push(self) -> None:
        """Write what is held as far as the reader takes it; a patient sink waits for the rest."""
        while self.pending:
            waits = self._waits()
            if self._ready(LOOK_MS if waits else 0) and self._write_some():
                continue
            if not waits or self.stopped() and self._out_of_time():
                return

    def reopen(self) -> None:
        """Standard output cannot be reopened."""

    def close(self) -> None:
        """Give the reader CLOSING_S for what is held; count the rest."""
        while self.pending and not self._out_of_time():
            if not (self._ready(LOOK_MS) and self._write_some()):
                time.sleep(LOOK_MS / 10_000)
        if self.pending:
            self.fault = self.fault or f"the reader of {self.name} is too slow or gone"
        self._give_up()

    def _waits(self) -> bool:
        """Whether the reader is waited for as long as it takes."""
        return self._patient

    def _ready(self, milliseconds: int) -> bool:
        """Whether something can be written, waited for so long at most."""
        return bool(self._poll.poll(milliseconds))

    def _out_of_time(self) -> bool:
        """Whether CLOSING_S have passed since this was first asked."""
        now = time.monotonic()
        self._give_up_at = self._give_up_at or now + CLOSING_S
        return now > self._give_up_at

    def _write_some(self) -> bool:
        """Write as many whole lines as one atomic write takes, or a part of a longer one; False: not now."""
        if not self._chunk:
            self._take_chunk()
        try:
            self._done += os.write(self._descriptor, self._data[self._done : self._done + PIPE_CHUNK])
        except BlockingIOError:
            return False
        except OSError as error:
            self._fail(error)
            return True
        if self._done == len(self._data):
            self.written += len(self._chunk)
            self._chunk, self._torn = [], False
            if not self._held:
                self.fault = ""
        return True

    def _take_chunk(self) -> None:
        """Take the next lines from those that are held."""
        size = int(self._torn)
        while self._held and (not self._chunk or size + len(self._held[0]) <= PIPE_CHUNK):
            self._chunk.append(self._held.popleft())
            size += len(self._chunk[-1])
            self._held_bytes -= len(self._chunk[-1])
        self._data, self._done = b"\n" * self._torn + b"".join(self._chunk), 0  # a torn line is ended first

    def _fail(self, error: OSError) -> None:
        """Count the lines that were on their way."""
        sent = self._data[: self._done]
        whole = max(sent.count(b"\n") - self._torn, 0)
        self.written += whole
        self.unwritten += len(self._chunk) - whole
        self._torn = not sent.endswith(b"\n") if sent else self._torn
        self._chunk = []
        self.fault = error.strerror or str(error)
        if isinstance(error, BrokenPipeError):
            self._lose_reader()

    def _lose_reader(self) -> None:
        """Nobody can come back to an inherited descriptor."""
        self.reader_gone = True
        self._give_up()

    def _give_up(self) -> None:
        """Count what is held as unwritten."""
        self.unwritten += self.pending
        self._held.clear()
        self._chunk, self._held_bytes = [], 0


class PathSink(StdoutSink):
    """Writes lines into a FIFO or a device by its path; a FIFO's reader may come late, go away, and come again.

    Nobody is waited for before there is a reader: up to HELD_BYTES are held for the first one.
    """

    def __init__(self, path: str | Path, patient: bool = True) -> None:
        """Open it, if somebody reads it.

        Raises:
            InputError: it cannot be opened, for another reason than that nobody reads it.
        """
        super().__init__(-1, patient)
        self.name = str(path)
        if not self._connect() and not self._awaited:
            raise InputError(f"expected to write EVE lines to {path}, found: {self.fault}", REMEDY)

    def reopen(self) -> None:
        """Look at the path again: something else may be there now, and gets whole lines."""
        try:
            if self._descriptor >= 0 and os.path.samestat(os.fstat(self._descriptor), os.stat(self.name)):
                return  # its reader would be told that this is the end
        except OSError:
            pass
        self._hold_again()
        self._disconnect()

    def close(self) -> None:
        """Give the reader, if there is one, CLOSING_S for what is held."""
        super().close()
        self._disconnect()

    def _waits(self) -> bool:
        return self._patient and self._descriptor >= 0

    def _ready(self, milliseconds: int) -> bool:
        return (self._descriptor >= 0 or self._connect()) and super()._ready(milliseconds)

    def _out_of_time(self) -> bool:
        return self._descriptor < 0 and not self._connect() or super()._out_of_time()

    def _connect(self) -> bool:
        """Open what is at the path; False, with the reason, where that cannot be now."""
        self._awaited = False
        try:
            place = outputs.find(self.name, REMEDY)
            if not place.is_stream:
                raise OSError(errno.ENOENT, "a FIFO or device no longer")
            self._descriptor = outputs.open_stream(place)
        except InputError as error:
            self.fault = error.fault
            return False
        except OSError as error:
            self._awaited = error.errno == errno.ENXIO and stat.S_ISFIFO(place.mode)
            self.fault = f"nobody reads {self.name}" if self._awaited else error.strerror or str(error)
            return False
        self.fault = ""
        self._poll = select.poll()
        self._poll.register(self._descriptor, select.POLLOUT)
        return True

    def _disconnect(self) -> None:
        """Close it; a line that was cut is no matter to the next reader."""
        if self._descriptor >= 0:
            os.close(self._descriptor)
        self._descriptor, self._torn = -1, False

    def _fail(self, error: OSError) -> None:
        if isinstance(error, BrokenPipeError) and not self._done:  # the next reader gets what this one did not
            self._hold_again()
            self._disconnect()
        else:
            super()._fail(error)

    def _hold_again(self) -> None:
        """Take back the lines that were on their way."""
        self._held.extendleft(reversed(self._chunk))
        self._held_bytes += sum(map(len, self._chunk))
        self._chunk = []

    def _lose_reader(self) -> None:
        self._disconnect()
