"""Where the shared captures lie, and small things every edge test needs."""

import os
from pathlib import Path

import pytest
from tiny_fixtures import model, nothing_left_running, tflite, two_hosts  # noqa: F401 - fixtures

REPOSITORY = Path(__file__).resolve().parents[2]


def shared_folder() -> Path:
    """The folder of shared material: TLIDS_SHARED, or `shared` beside the repository."""
    return Path(os.environ.get("TLIDS_SHARED", REPOSITORY.parent / "shared"))


@pytest.fixture(scope="session")
def shared() -> Path:
    folder = shared_folder()
    if not (folder / "conformance").is_dir():
        pytest.skip(f"no shared captures in {folder}; set TLIDS_SHARED to the folder that holds conformance/ and pcap/")
    return folder


def captures(folder: str) -> list:
    """Every capture below a shared folder, as parameters of a test; a skipped one when there are none."""
    root = shared_folder()
    found = sorted(path for path in (root / folder).rglob("*") if path.suffix in (".pcap", ".pcapng", ".cap"))
    if not found:
        return [pytest.param(None, id="none", marks=pytest.mark.skip(reason=f"no captures in {root / folder}"))]
    return [pytest.param(path, id=path.name) for path in found]
