"""Random numbers that nobody can foresee: the system's own. Loading numpy.random would take 2 MB and 10 ms."""

import os
from collections.abc import Callable

import numpy as np

Chance = Callable[[int], np.ndarray]  # how many numbers from 0 to 1 -> float64 [so many]


def uniform(count: int) -> np.ndarray:
    """Numbers from 0 to 1, 1 excluded."""
    return (np.frombuffer(os.urandom(8 * count), "<u8") >> np.uint64(11)) * 2.0**-53
