"""Run the two commands as a shell does: with redirections, FIFOs, closed descriptors, and as another user."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from build_pcap import ethernet, ipv4, pcap, udp

LIMIT_S = 120.0
METER = f"{sys.executable} -m tlids_edge.cli.meter"
EDGE = f"{sys.executable} -m tlids_edge.cli.edge"
REPOSITORY = Path(__file__).resolve().parents[2]
NOBODY = 65534


def capture_of(flows: int) -> bytes:
    """A capture of so many UDP flows, one a packet."""
    return pcap(*(ethernet(ipv4(udp(1000 + index, 53), 17)) for index in range(flows)))


def shell(script: str, folder: Path, **keywords) -> subprocess.CompletedProcess:
    """Run a line of bash in a folder."""
    return subprocess.run(
        ["bash", "-c", script], cwd=folder, capture_output=True, timeout=LIMIT_S, env=environment(), **keywords
    )


def environment() -> dict[str, str]:
    """Ours, with the package where a changed working folder finds it too."""
    return os.environ | {"PYTHONPATH": f"{REPOSITORY}:{REPOSITORY / 'edge'}"}


def as_nobody(module: str, folder: Path, *arguments: object) -> subprocess.CompletedProcess:
    """Run a command's `main` in a folder as somebody without privileges; its modules are read before they go."""
    if os.geteuid():
        pytest.skip("needs root, to become somebody else")
    for parent in [folder, *folder.parents]:
        if "pytest" in str(parent):  # pytest keeps others out of its folders
            parent.chmod(parent.stat().st_mode | 0o055)
    drop = f"os.setgroups([]); os.setgid({NOBODY}); os.setuid({NOBODY})"
    script = (
        f"import importlib.readers, locale, os, sys; from {module} import main; {drop}; sys.exit(main(sys.argv[1:]))"
    )
    command = [sys.executable, "-c", script, *map(str, arguments)]
    return subprocess.run(command, cwd=folder, capture_output=True, timeout=LIMIT_S, env=environment())


def open_to_others(folder: Path) -> None:
    """Let others into a folder of a test; pytest keeps them out."""
    for parent in [folder, *folder.parents]:
        if "pytest" in str(parent):
            parent.chmod(parent.stat().st_mode | 0o055)
