"""Every process that a test of the grid started ends with it."""

import grid_process
import pytest


@pytest.fixture(autouse=True)
def nothing_left_running():
    yield
    for process in grid_process.STARTED:
        process.kill()  # without effect on one that has ended
        process.wait()
    grid_process.STARTED.clear()
