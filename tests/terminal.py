"""A command as it is typed in a terminal: standard input, output and errors are one."""

import os
import pty
import subprocess
from contextlib import suppress
from pathlib import Path

from edge_process import LIMIT_S, ended_in_time

NOTEBOOK_S = 600.0  # more than a notebook takes on a busy machine


def in_terminal(folder: Path, *command: str | Path, **environment: str) -> tuple[int, str]:
    """Run a command in a terminal of its own, in `folder`: its exit status, and all that the terminal shows."""
    ours, theirs = pty.openpty()
    process = subprocess.Popen(
        command, stdin=theirs, stdout=theirs, stderr=theirs, cwd=folder, env={**os.environ, **environment}
    )
    os.close(theirs)
    shown = b""
    with ended_in_time(process, NOTEBOOK_S), suppress(OSError):  # the end of a terminal that nobody writes to any more
        while read := os.read(ours, 65536):
            shown += read
    os.close(ours)
    return process.wait(LIMIT_S), shown.decode()
