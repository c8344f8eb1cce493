"""chance.py: random numbers without numpy.random, which the watching program does not load."""

import subprocess
import sys

import numpy as np
import pytest
from tlids_edge.chance import uniform


def test_numbers_are_spread_evenly_from_0_to_1_and_are_others_each_time():
    numbers = uniform(20_000)
    assert numbers.min() >= 0 and numbers.max() < 1
    assert np.histogram(numbers, 10, (0, 1))[0] == pytest.approx(2000, abs=250)  # six standard deviations
    assert not np.array_equal(numbers, uniform(20_000)) and len(uniform(0)) == 0


def test_the_watching_program_does_not_load_numpys_random_numbers():
    told = "import sys, tlids_edge.cli.edge; print([name for name in sys.modules if name.startswith('numpy.random')])"
    assert subprocess.check_output([sys.executable, "-c", told], text=True) == "[]\n"
