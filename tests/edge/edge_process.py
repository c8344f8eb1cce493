"""Run `tlids-edge` as its users do: as a process of its own, fed by files, pipes and signals."""

import fcntl
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import termios
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

LIMIT_S = 120.0  # generous: whatever waits, waits for a condition, and a busy machine is no fault
STARTED: list[subprocess.Popen] = []  # so that a failing test leaves nothing behind; see `nothing_left_running`


def command(model: Path, source: str, *options: str) -> list[str]:
    return [sys.executable, "-m", "tlids_edge.cli.edge", "--model", str(model), "--source", source, *options]


def run_edge(model: Path, source: str, *options: str, **keywords) -> subprocess.CompletedProcess:
    """Run to the end; output as bytes."""
    return subprocess.run(command(model, source, *options), capture_output=True, timeout=LIMIT_S, **keywords)


def run_command(*arguments: object) -> subprocess.CompletedProcess:
    """Run `tlids-edge` with any arguments to the end; output as text."""
    argv = [sys.executable, "-m", "tlids_edge.cli.edge", *map(str, arguments)]
    return subprocess.run(argv, capture_output=True, text=True, timeout=LIMIT_S)


def said(*arguments: object) -> str:
    """What `tlids-edge` says on standard error, run to a good end."""
    done = run_command(*arguments)
    assert done.returncode == 0, done.stderr
    return done.stderr


def start_edge(model: Path, source: str, *options: str, prefix: tuple[str, ...] = (), **keywords) -> subprocess.Popen:
    """Start in the background, with pipes unless told otherwise."""
    pipes = {"stdin": subprocess.DEVNULL, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE} | keywords
    STARTED.append(subprocess.Popen([*prefix, *command(model, source, *options)], **pipes))
    return STARTED[-1]


def wait_until_watching(edge: subprocess.Popen) -> None:
    """Read standard error up to the line that says the model is loaded and signals are caught."""
    wait_until_told(edge, r"tlids-edge: watching")


def wait_until_told(edge: subprocess.Popen, words: str) -> str:
    """Read standard error up to a line with a match of `words`; that line."""
    with ended_in_time(edge):
        for line in edge.stderr:
            if re.search(words, text := line.decode()):
                return text
    raise AssertionError(f"it ended, or was ended after {LIMIT_S} s, before it told {words!r}")


@contextmanager
def ended_in_time(process: subprocess.Popen, seconds: float = LIMIT_S) -> Iterator[None]:
    """Kill a process that takes longer than this, so that whoever reads its pipes or waits for it comes to an end."""
    timer = threading.Timer(seconds, process.kill)
    timer.daemon = True
    timer.start()
    try:
        yield
    finally:
        timer.cancel()


def wait_until_filled(pipe) -> None:
    """Wait until three quarters of a pipe are taken; the rest is soon, or can never be: lines do not share pages."""
    size = fcntl.fcntl(pipe, fcntl.F_GETPIPE_SZ)
    wait_for(lambda: unread(pipe) >= size * 3 // 4, "the pipe to fill")


def unread(pipe) -> int:
    """The bytes that wait in a pipe."""
    return int.from_bytes(fcntl.ioctl(pipe, termios.FIONREAD, bytes(4)), sys.byteorder)


def stop(edge: subprocess.Popen, number: int = signal.SIGTERM) -> tuple[bytes, bytes]:
    """Stop it by a signal; what is left of standard output and error."""
    edge.send_signal(number)
    return edge.communicate(timeout=LIMIT_S)


def first_line(edge: subprocess.Popen) -> bytes:
    """The first line on standard output."""
    with ended_in_time(edge):
        line = edge.stdout.readline()
    assert line, f"it ended, or was ended after {LIMIT_S} s, before its first line"
    return line


def events(text: bytes, kind: str | None = None) -> list[dict]:
    """EVE lines as objects; each must be whole."""
    lines = text.split(b"\n")
    assert lines[-1] == b"", "the last line is cut"
    found = [json.loads(line) for line in lines[:-1]]
    return [event for event in found if kind in (None, event.get("event_type"))]


def flow_alerts(text: bytes) -> list[dict]:
    """The alerts of single flows; those of incidents and rules belong to no flow."""
    return [event for event in events(text, "alert") if "flow" in event]


def wait_for(condition: Callable[[], bool], what: str, seconds: float = LIMIT_S) -> None:
    """Wait until a condition holds."""
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, f"waited {seconds} s for {what}"
        time.sleep(0.02)


class Until:
    """A tick that says stop when a condition holds, or when it has not come to hold for LIMIT_S."""

    def __init__(self, condition: Callable[[], object]) -> None:
        self.condition, self.end = condition, time.monotonic() + LIMIT_S

    def __call__(self) -> bool:
        return bool(self.condition()) or time.monotonic() > self.end


def children(pid: int) -> list[int]:
    """The processes that a process has started and that still run."""
    found = []
    for task in Path("/proc", str(pid), "task").glob("*/children"):
        with suppress(OSError):  # it has ended since it was listed
            found += [int(child) for child in task.read_text().split()]
    return found


def alive(pid: int) -> bool:
    """Whether a process still runs (a zombie does not)."""
    try:
        return Path("/proc", str(pid), "stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except OSError:
        return False


def need_root(*tools: str) -> None:
    """Skip a test that needs root and some system tools."""
    if os.geteuid() != 0:
        pytest.skip("needs root: it makes network namespaces or mounts")
    for tool in tools:
        if shutil.which(tool) is None:
            pytest.skip(f"needs {tool}, which is not installed")
