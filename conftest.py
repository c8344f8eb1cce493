"""Tests and nbval run away from the user's own data and runs, without progress bars, on one thread a process."""

import os
import tempfile
from pathlib import Path

import pytest

from tlids_helpers.notebooks import ONE_THREAD

HERE = Path(__file__).resolve().parent
TOGETHER = (
    "tests/edge/testbed",
    "tests/browser",
    "tests/grid",
)  # these start networks, browsers, clusters: one at a time
AUDITS = ("07", "08")
_home = tempfile.TemporaryDirectory(prefix="tlids-")


def pytest_configure(config):
    """Before any kernel starts: where data/ and runs/ lie, and silence; processes side by side share one home."""
    if "PYTEST_XDIST_WORKER" not in os.environ:
        os.environ["TLIDS_HOME"] = _home.name
    os.environ["TQDM_DISABLE"] = "1"
    os.environ.update({name: os.environ.get(name, value) for name, value in ONE_THREAD.items()})
    if getattr(config.option, "nbval_sanitize_with", "none here") is None:
        config.option.nbval_sanitize_with = str(HERE / "tests" / "nbval_sanitize.cfg")


@pytest.hookimpl(tryfirst=True)  # before xdist looks for groups
def pytest_collection_modifyitems(items):
    """What one process runs in order: a file of tests; the audits; the other notebooks, as 04 shows what 02 left."""
    for item in items:
        path = item.path.relative_to(HERE).as_posix()
        group = next((folder for folder in TOGETHER if path.startswith(folder)), path)
        if item.path.suffix == ".ipynb":
            group = "audits" if item.path.stem[:2] in AUDITS else "notebooks"
        item.add_marker(pytest.mark.xdist_group(group))
