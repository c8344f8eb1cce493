"""EVE lines onto standard output, whose reader may be slow or go away.

A sink like the one of `eve_file`: whole lines, and what cannot be written is counted in `unwritten`.
"""

import os
import select
import time
from collections import deque
from collections.abc import Callable

PIPE_CHUNK = 4096  # PIPE_BUF on Linux: a write of this size is all or nothing, and fits when poll says writable
HELD_BYTES = 4 << 20  # lines held for a slow reader when live
CLOSING_S = 2.0  # how long the last lines wait for a slow reader


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
