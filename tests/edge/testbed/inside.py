"""Run Python in namespaces that the testbed made, and hand back what it printed."""

import os
import shutil
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path

import pytest

EDGE = Path(__file__).resolve().parents[3] / "edge"
sys.path.insert(0, str(EDGE))


def run_inside(body: str, timeout: float = 120) -> subprocess.CompletedProcess:
    """Run a program that finds `lab` (testbed.network) imported; skip where namespaces cannot be made."""
    need_namespaces()
    from testbed.network import isolated

    argv, environment = isolated([sys.executable, "-c", f"from testbed import network as lab\n{body}"])
    environment["PYTHONPATH"] = str(EDGE)
    return subprocess.run(argv, env=environment, capture_output=True, text=True, timeout=timeout)


def need_namespaces(programs: Iterable[str] | None = None) -> None:
    """Skip without root, `programs` (by default those of a home without life) or namespaces, saying which."""
    if os.geteuid() != 0:
        pytest.skip("network namespaces need root")
    from testbed.network import PROGRAMS

    missing = [name for name in programs or (*PROGRAMS, "ping") if shutil.which(name) is None]
    if missing:
        pytest.skip(f"not installed: {', '.join(missing)}; see edge/testbed/apt-packages.txt")
    probe = ["unshare", "--net", "--mount", "--pid", "--fork", "--mount-proc", "true"]
    made = subprocess.run(probe, capture_output=True, text=True)
    if made.returncode:
        pytest.skip(f"network namespaces cannot be made here: {made.stderr.strip()}")
