"""Tests and nbval run away from the user's own data and runs, without progress bars, on one thread a process."""

import os
import tempfile
from pathlib import Path

from tlids_helpers.notebooks import ONE_THREAD

HERE = Path(__file__).resolve().parent
_home = tempfile.TemporaryDirectory(prefix="tlids-")


def pytest_configure(config):
    """Before any kernel starts: where data/ and runs/ lie, and silence; processes side by side share one home."""
    if "PYTEST_XDIST_WORKER" not in os.environ:
        os.environ["TLIDS_HOME"] = _home.name
    os.environ["TQDM_DISABLE"] = "1"
    os.environ.update({name: os.environ.get(name, value) for name, value in ONE_THREAD.items()})
    if getattr(config.option, "nbval_sanitize_with", "none here") is None:
        config.option.nbval_sanitize_with = str(HERE / "tests" / "nbval_sanitize.cfg")
