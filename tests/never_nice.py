"""Processes that adapt a model give way to all others; beside busy programs a test would wait an hour for one."""

import os
from pathlib import Path


def never_nice(folder: Path) -> dict[str, str]:
    """What the environment of Python processes must hold for `os.nice` to change nothing; leaves a file in `folder`."""
    (folder / "sitecustomize.py").write_text("import os\nos.nice = lambda increment: 0\n")
    return {"PYTHONPATH": os.pathsep.join([str(folder), *filter(None, [os.environ.get("PYTHONPATH")])])}
