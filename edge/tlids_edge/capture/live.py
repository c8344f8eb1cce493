"""Live capture: a child process that writes a pcap stream, watched, restarted and counted.

`programs` says which programs can be the child. Only the child needs the right to capture. tcpdump and ours say how
many packets the kernel dropped when they end and, on SIGUSR1, while they run. When the child dies (killed, the
interface went away) it is started again and the gap is reported.
"""

import io
import os
import select
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import BinaryIO

from tlids_edge.capture.programs import DROPPED, child_environment, counts_drops
from tlids_edge.errors import InputError, unreadable

POLL_S = 0.1  # how often the caller's clock ticks while no packet comes
GATHER_S = 0.005  # no read for so long after one that gave little, since tcpdump writes each packet at once
MUCH, BUSY_S = 4 << 10, 0.1  # a read of so many bytes, and no waiting for so long after it: a socket holds but 16 KB
ASK_S = 2.0  # how often the child is asked for its drop counter
STOP_S = 2.0  # how long the child may take to hand over its last packets
RETRY_S = (0.2, 0.5, 1.0, 2.0, 5.0)  # waits before the next start; the last one is repeated
DRAIN_S = 0.5  # how long it goes on first, so that what the kernel holds gets through
_DISK = "check the disk or the connection that it comes from"


class PolledPipe(io.RawIOBase):
    """The reading end of a pipe or a file that lets the caller's clock tick while it waits."""

    def __init__(self, descriptor: int, tick: Callable[[], bool], name: str = "") -> None:
        """`tick` is called before every read and every POLL_S while waiting; True ends the stream. `name` is told."""
        self.name = name
        self._descriptor, self._tick = descriptor, tick
        self._poll = select.poll()
        self._poll.register(descriptor, select.POLLIN)
        self._not_before = self._busy_until = 0.0

    def readable(self) -> bool:
        """Always."""
        return True

    def readinto(self, buffer) -> int:
        """Wait for bytes; 0 at the end of the stream."""
        while not self._tick():
            if self._poll.poll(POLL_S * 1000):
                if (early_s := self._not_before - time.monotonic()) > 0:
                    time.sleep(early_s)
                try:
                    count = os.readv(self._descriptor, [buffer])
                except BlockingIOError:  # somebody else who reads this pipe was faster
                    continue
                except OSError as error:
                    raise unreadable(f"a capture {self.name}".rstrip(), error, _DISK) from error
                now = time.monotonic()
                if count >= MUCH:
                    self._busy_until = now + BUSY_S
                self._not_before = now + GATHER_S if now >= self._busy_until else 0.0
                return count
        return 0


def buffered(descriptor: int, tick: Callable[[], bool], name: str = "") -> BinaryIO:
    """A `PolledPipe` with a buffer."""
    return io.BufferedReader(PolledPipe(descriptor, tick, name), 1 << 18)


@dataclass(slots=True)
class Losses:
    """What was not captured."""

    dropped: int | None = None  # by the kernel, in all children; None when the child cannot say
    gaps: int = 0
    gap_s: float = 0.0

    def note_gap(self, seconds: float, say: Callable[[str], None]) -> None:
        """Count and tell how long nothing was captured."""
        self.gaps += 1
        self.gap_s += seconds
        say(f"capturing again after a gap of {seconds:.1f} s")


def wait(seconds: float, tick: Callable[[], bool]) -> bool:
    """Let the clock tick for a while; True when it is time to stop."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if tick():
            return True
        time.sleep(min(POLL_S, seconds))
    return False


class LiveCapture:
    """Runs the capturing child, again and again until stopped."""

    def __init__(
        self, command: list[str], tick: Callable[[], bool], say: Callable[[str], None], again: bool = True
    ) -> None:
        """`tick` is called every POLL_S at least and ends the capture by True; `say` reports gaps to people.

        A child that reads a file is not started `again` when it ends.
        """
        self.losses = Losses()
        self._command, self._tick, self._say, self._again = command, tick, say, again
        self._child: subprocess.Popen | None = None
        self._counts_drops = counts_drops(command)
        self._dropped_before = self._dropped_now = 0  # by earlier children, by this one
        self._words = b""  # what the child said on standard error, the end of it
        self._listening = self._has_captured = self._told = False
        self._ask_at = self._stop_by = 0.0
        self._last_words = ""

    @property
    def pid(self) -> int | None:
        """The child's process id while it runs."""
        return self._child.pid if self._child else None

    def streams(self) -> Iterator[BinaryIO]:
        """Yield one pcap stream for each life of the child.

        Raises:
            InputError: the very first child could not capture, for a reason that waiting does not cure.
        """
        failures, ended_at = 0, 0.0
        while True:
            started_at = time.monotonic()
            self._start()
            stream = buffered(self._child.stdout.fileno(), self._watch)
            try:
                if stream.peek(1):
                    if ended_at:
                        self.losses.note_gap(started_at - ended_at, self._say)
                    failures, self._has_captured = 0, True
                    yield stream
            finally:
                self._finish()
            if self._stop_by or self._tick():
                return
            self._refuse_hopeless()
            if not self._again:
                return
            if not failures:
                ended_at = time.monotonic()
                self._say(f"capture ended ({self._last_words}); starting it again")
            if wait(RETRY_S[min(failures, len(RETRY_S) - 1)], self._tick):
                return
            failures += 1

    def stop(self) -> None:
        """End the child after DRAIN_S; what it has captured is still handed over, for STOP_S at most."""
        now = time.monotonic()
        self._stop_by = self._stop_by or now + DRAIN_S + STOP_S
        if not self._told and now >= self._stop_by - STOP_S:
            self._told = True
            self._signal(signal.SIGTERM)

    def _start(self) -> None:
        """Start the child in a process group of its own, so that Ctrl-C reaches it only through us."""
        try:
            self._child = subprocess.Popen(
                self._command,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                process_group=0,
                env=child_environment(),
            )
        except OSError as error:
            raise InputError(
                f"expected to run {self._command[0]}, found: {error.strerror}", "check that it is installed"
            ) from error
        os.set_blocking(self._child.stderr.fileno(), False)
        self._words, self._listening, self._dropped_now = b"", False, 0
        self._ask_at = time.monotonic() + ASK_S

    def _watch(self) -> bool:
        """The stream's tick: the caller's, and the child's counters. True ends the stream."""
        if self._tick():
            self.stop()
        self._listen()
        now = time.monotonic()
        if self._counts_drops and self._listening and now >= self._ask_at and not self._stop_by:
            self._ask_at = now + ASK_S
            self._child.send_signal(signal.SIGUSR1)
        return bool(self._stop_by) and now > self._stop_by

    def _listen(self) -> None:
        """Take in what the child said: that it is ready to be asked, its drop counter, its last words."""
        try:
            heard = os.read(self._child.stderr.fileno(), 65536)
        except BlockingIOError:
            return
        self._words = (self._words + heard)[-65536:]
        self._listening = self._listening or b"listening on" in self._words
        counts = DROPPED.findall(self._words)
        if counts:
            self._dropped_now = int(counts[-1])
        if self._counts_drops:
            self.losses.dropped = self._dropped_before + self._dropped_now

    def _finish(self) -> None:
        """See the child and whatever it started to their end, and take in its closing statistics."""
        child = self._child
        self._signal(signal.SIGTERM)
        try:
            child.wait(STOP_S)
        except subprocess.TimeoutExpired:
            self._signal(signal.SIGKILL)
            child.wait()
        self._signal(signal.SIGKILL)  # tshark below pyshark, should it have outlived it
        self._listen()
        self._dropped_before += self._dropped_now
        self._last_words = self._why()
        child.stdout.close()
        child.stderr.close()
        self._child = None

    def _why(self) -> str:
        """Why the child ended: its last complaint, or its exit status."""
        lines = [line for line in self._words.decode(errors="replace").splitlines() if line.strip()]
        chatter = ("listening on", "packets captured", "packet captured", "received by filter", "dropped by")
        complaints = [line.strip() for line in lines if not any(word in line for word in chatter)]
        code = self._child.returncode
        status = f"killed by signal {-code}" if code < 0 else f"exit status {code}"
        return f"{complaints[-1]}, {status}" if complaints else status

    def _refuse_hopeless(self) -> None:
        """Raise an InputError when the first child never captured and trying again cannot help."""
        if self._has_captured:
            return
        text = self._words.decode(errors="replace")
        if "permission" in text or "not permitted" in text:
            raise InputError(
                "expected the right to capture packets, found that the capturing program does not have it",
                "run with sudo, or give tcpdump cap_net_raw as edge/MANUAL.md shows",
            )
        if not self._counts_drops and "InputError" in text:
            raise InputError(text.split("InputError: ")[-1].strip())

    def _signal(self, number: int) -> None:
        """Send a signal to the child's process group, if there is still one."""
        if self._child is not None:
            try:
                os.killpg(self._child.pid, number)
            except (ProcessLookupError, PermissionError):
                pass
