"""The C compiler for other machines, from PyPI into build/zig, once for all tests that need it."""

import fcntl
import subprocess
import sys
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parents[2]


def set_up_zig() -> None:
    """Make build/zig as the Makefile does; of two test processes one waits for the other."""
    folder = REPOSITORY / "build"
    folder.mkdir(exist_ok=True)
    with open(folder / "zig.lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        command = ["make", "-s", "-C", str(REPOSITORY), "build/zig/bin/python", f"PYTHON={sys.executable}"]
        subprocess.run(command, check=True, capture_output=True, timeout=500)
