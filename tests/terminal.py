"""A command as it is typed in a terminal: standard input, output and errors are one."""

import os
import pty
import subprocess
from pathlib import Path


def in_terminal(folder: Path, *command: str | Path, **environment: str) -> tuple[int, str]:
    """Run a command in a terminal of its own, in `folder`: its exit status, and all that the terminal shows."""
    ours, theirs = pty.openpty()
    process = subprocess.Popen(
        command, stdin=theirs, stdout=theirs, stderr=theirs, cwd=folder, env={**os.environ, **environment}
    )
    os.close(theirs)
    shown = b""
    try:
        while read := os.read(ours, 65536):
            shown += read
    except OSError:  # the end of a terminal that nobody writes to any more
        pass
    os.close(ours)
    return process.wait(), shown.decode()
