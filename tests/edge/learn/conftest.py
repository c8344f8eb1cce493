"""What keeps these tests quick: one thread for matrices, and no lowest priority for the processes that adapt."""

import os
from collections.abc import Iterator

import pytest
from threadpoolctl import threadpool_limits


@pytest.fixture(autouse=True, scope="session")
def one_thread() -> Iterator[None]:
    """Two threads beside other tests wait for each other, and take fifty times as long."""
    with threadpool_limits(1):
        yield


@pytest.fixture(autouse=True, scope="module")
def never_nice(tmp_path_factory) -> Iterator[None]:
    """A process that adapts gives way to all others: beside busy programs it would need an hour."""
    folder = tmp_path_factory.mktemp("never_nice")
    (folder / "sitecustomize.py").write_text("import os\nos.nice = lambda increment: 0\n")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYTHONPATH", str(folder), prepend=os.pathsep)
        yield
