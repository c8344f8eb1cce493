"""Live capture by another process: a pcap stream from a Unix socket, connected again when it ends.

The packaged service captures this way, so that the process that decodes packets has no right to capture
(edge/package/tlids-capture.socket, `feeder`).
"""

import contextlib
import socket
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import BinaryIO

from tlids_edge.capture.feeder import COUNTER
from tlids_edge.capture.live import DRAIN_S, RETRY_S, Losses, buffered, wait
from tlids_edge.errors import InputError

PREFIX = "unix:"
CONNECT_S = 5.0  # how long the service may take to accept
RUNTIME = Path("/run/tlids-capture")  # where the capturing service leaves its drop counter


class ServiceCapture:
    """Reads from a socket, again and again until stopped."""

    def __init__(
        self, path: str, tick: Callable[[], bool], say: Callable[[str], None], runtime: Path = RUNTIME
    ) -> None:
        """`tick` is called every POLL_S at least and ends the capture by True; `say` reports gaps to people."""
        self.losses = Losses()
        self._path, self._tick, self._say = path, tick, say
        self._counter = runtime / COUNTER
        self._dropped_before = 0
        self._stop_by = 0.0

    def streams(self) -> Iterator[BinaryIO]:
        """Yield one pcap stream for each connection.

        Raises:
            InputError: there is no such socket, or it may not be used; said of the first connection alone.
        """
        failures, ended_at = 0, 0.0
        while not self._tick():
            started_at = time.monotonic()
            try:
                connection = self._connected()
            except InputError:
                if not ended_at:
                    raise
                connection = contextlib.nullcontext()  # the socket's unit is started again, as in an upgrade
            with connection as connected:
                stream = connected and buffered(connected.fileno(), self._watch, self._path)
                if stream and stream.peek(1):
                    if ended_at:
                        self.losses.note_gap(started_at - ended_at, self._say)
                    failures = 0
                    yield stream
                    ended_at = time.monotonic()
                    if not self._stop_by:
                        self._say("the capturing service ended; connecting again")
            self._dropped_before = self.losses.dropped or 0
            if wait(RETRY_S[min(failures, len(RETRY_S) - 1)], self._tick):
                return
            failures += 1

    def _connected(self) -> socket.socket:
        """A connection to the service."""
        connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            connection.settimeout(CONNECT_S)  # a service with a full queue would keep us, and a signal to end, waiting
            connection.connect(self._path)
            connection.settimeout(None)
        except OSError as error:
            connection.close()
            raise InputError(
                f"expected a capturing service at {self._path}, found: {error.strerror or error}",
                "systemctl status tlids-capture.socket",
            ) from error
        return connection

    def _watch(self) -> bool:
        """The stream's tick: the caller's, DRAIN_S late, so that packets on their way count; and the drop counter."""
        try:
            self.losses.dropped = self._dropped_before + int(self._counter.read_bytes()[:20])
        except (OSError, ValueError):
            self.losses.dropped = self.losses.dropped or None
        now = time.monotonic()
        if self._tick() and not self._stop_by:
            self._stop_by = now + DRAIN_S
        return bool(self._stop_by) and now >= self._stop_by
