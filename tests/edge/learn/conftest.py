"""What keeps these tests quick: one thread for matrices, and no lowest priority for the processes that adapt."""

from collections.abc import Iterator

import pytest
from never_nice import never_nice
from threadpoolctl import threadpool_limits


@pytest.fixture(autouse=True, scope="session")
def one_thread() -> Iterator[None]:
    """Two threads beside other tests wait for each other, and take fifty times as long."""
    with threadpool_limits(1):
        yield


@pytest.fixture(autouse=True, scope="module")
def priority(tmp_path_factory) -> Iterator[None]:
    """Processes that adapt give way to nobody."""
    with pytest.MonkeyPatch.context() as patch:
        for name, value in never_nice(tmp_path_factory.mktemp("never_nice")).items():
            patch.setenv(name, value)
        yield
