"""Tests and nbval run away from the user's own data and runs, without progress bars, on one thread a process."""

import os
import tempfile
from collections import Counter
from pathlib import Path

import pytest
from xdist.scheduler import LoadFileScheduling

from tlids_helpers.notebooks import ONE_THREAD

HERE = Path(__file__).resolve().parent
SHARE_RUNS = ("02", "03", "04", "05", "09")  # notebooks that show or take runs of those before them


def pytest_configure(config):
    """Before any kernel starts: where data/ and runs/ lie, and silence; processes side by side share one home."""
    if "PYTEST_XDIST_WORKER" not in os.environ:
        home = tempfile.TemporaryDirectory(prefix="tlids-", ignore_cleanup_errors=True)
        config.add_cleanup(home.cleanup)
        os.environ["TLIDS_HOME"] = home.name
    os.environ["TQDM_DISABLE"] = "1"
    os.environ.update({name: os.environ.get(name, value) for name, value in ONE_THREAD.items()})
    if getattr(config.option, "nbval_sanitize_with", "none here") is None:
        config.option.nbval_sanitize_with = str(HERE / "tests" / "nbval_sanitize.cfg")


class ByFile(LoadFileScheduling):
    """A file of tests goes to one process, and all notebooks that share runs to the same one, in their order."""

    def _split_scope(self, nodeid: str) -> str:
        path = super()._split_scope(nodeid)
        return _group(path) if path.endswith(".ipynb") else path


def pytest_xdist_make_scheduler(config, log):
    """With `--dist loadfile`; tests go out in the order of collection, and notebooks that share runs before others."""
    if config.getvalue("dist") != "loadfile":
        return None
    config.option.loadscopereorder = config.getoption("nbval", False)  # the most tests first
    return ByFile(config, log)


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(config, items):
    """Side by side, files with few tests come first: those take long, and the last one leaves a process idle."""
    if "PYTEST_XDIST_WORKER" in os.environ and not config.getoption("nbval", False):
        tests = Counter(item.path for item in items)
        items.sort(key=lambda item: tests[item.path])


@pytest.hookimpl(wrapper=True)
def pytest_runtest_setup(item):
    """A notebook's kernel starts in a home for itself, or for all that share runs: no other adds runs to it."""
    if item.path.suffix != ".ipynb":
        return (yield)
    with pytest.MonkeyPatch.context() as patch:
        home = Path(os.environ["TLIDS_HOME"]) / _group(item.path)
        home.mkdir(exist_ok=True)
        patch.setenv("TLIDS_HOME", str(home))
        return (yield)


def _group(notebook: str | Path) -> str:
    """What notebooks have in common that go together."""
    name = Path(notebook).stem
    return "runs" if name.startswith(SHARE_RUNS) else name
