"""The real captures beside the repository, which tests take as parameters."""

import os
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).resolve().parents[2]


def shared_folder() -> Path:
    """The folder of shared material: TLIDS_SHARED, or `shared` beside the repository."""
    return Path(os.environ.get("TLIDS_SHARED", REPOSITORY.parent / "shared"))


def captures(folder: str) -> list:
    """Every capture below a shared folder, as parameters of a test; a skipped one when there are none."""
    root = shared_folder()
    found = sorted(path for path in (root / folder).rglob("*") if path.suffix in (".pcap", ".pcapng", ".cap"))
    if not found:
        return [pytest.param(None, id="none", marks=pytest.mark.skip(reason=f"no captures in {root / folder}"))]
    return [pytest.param(path, id=path.name) for path in found]
