"""Tests and nbval run away from the user's own data and runs, without progress bars."""

import os
import tempfile
from pathlib import Path

_home = tempfile.TemporaryDirectory(prefix="tlids-")


def pytest_configure(config):
    """Before any kernel starts: where data/ and runs/ lie, and silence."""
    os.environ["TLIDS_HOME"] = _home.name
    os.environ["TQDM_DISABLE"] = "1"
    if getattr(config.option, "nbval_sanitize_with", "none here") is None:
        config.option.nbval_sanitize_with = str(Path(__file__).parent / "tests" / "nbval_sanitize.cfg")
