"""Where the shared captures lie, and small things every edge test needs."""

from pathlib import Path

import pytest
from shared_captures import shared_folder
from tiny_fixtures import compiled, model, nothing_left_running, tflite, two_hosts  # noqa: F401 - fixtures


@pytest.fixture(scope="session")
def shared() -> Path:
    folder = shared_folder()
    if not (folder / "conformance").is_dir():
        pytest.skip(f"no shared captures in {folder}; set TLIDS_SHARED to the folder that holds conformance/ and pcap/")
    return folder
