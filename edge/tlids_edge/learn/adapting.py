"""`tlids-edge adapt` in a process of its own, beside the program that watches."""

import contextlib
import os
import subprocess
import sys
from pathlib import Path

from tlids_edge.errors import InputError
from tlids_edge.learn import adapt

ADAPT = ("-m", "tlids_edge.cli.start", "adapt")  # arguments of Python
ONE_THREAD = {"OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1"}  # the other cores belong to the watching
KEPT_BYTES = 1 << 16  # of what it says; its last line is what counts
STOP_S = 2.0  # how long a killed process may take to be gone


class Adaptation:
    """The process, on one thread, at the lowest priority; its own group, so that Ctrl-C reaches it only through us."""

    def __init__(self, model: Path, folder: Path, target: Path, *options: str) -> None:
        """Start to adapt `model` to the state in `folder`; the adapted model is left at `target`.

        Raises:
            InputError: no process can be started.
        """
        self._target = target
        paths = ["--model", str(model), "--state", str(folder), "-o", str(target)]
        command = [sys.executable, *ADAPT, *paths, *options]
        streams = {"stdin": subprocess.DEVNULL, "stdout": subprocess.DEVNULL, "stderr": subprocess.PIPE}
        try:
            self._child = subprocess.Popen(command, env=environment(), process_group=0, **streams)
        except OSError as error:
            raise InputError(f"expected to start `tlids-edge adapt`, found: {error.strerror}") from error
        os.set_blocking(self._child.stderr.fileno(), False)
        self._words = b""

    def has_ended(self) -> bool:
        """Whether it has. What it says is taken in meanwhile: it would wait for ever at a full pipe."""
        ended = self._child.poll() is not None  # first, so that its last words are there
        with contextlib.suppress(BlockingIOError):
            while heard := os.read(self._child.stderr.fileno(), KEPT_BYTES):
                self._words = (self._words + heard)[-KEPT_BYTES:]
        return ended

    def outcome(self) -> str:
        """The promise that it ended with; to be asked for once it has ended.

        Raises:
            InputError: nothing was adapted; says why.
        """
        self._child.stderr.close()
        words = self._words.decode(errors="replace").strip().splitlines()
        last = words[-1].removeprefix("tlids-edge: ") if words else ""
        if self._child.returncode:
            raise InputError(last or f"expected an adapted model, found exit status {self._child.returncode}")
        return last

    def stop(self) -> None:
        """End it and remove what it has begun to write: nobody would take its model into use."""
        self._child.kill()
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._child.wait(STOP_S)
        self._child.stderr.close()
        adapt.clean(self._target.parent, self._target.name)


def environment() -> dict[str, str]:
    """The environment of a process that adapts: numpy on one thread, and this very package."""
    paths = [str(Path(__file__).resolve().parents[2]), os.environ.get("PYTHONPATH", "")]
    return os.environ | ONE_THREAD | {"PYTHONPATH": os.pathsep.join(filter(None, paths))}
