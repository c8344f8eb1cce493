"""The testbed is run from edge/, and its tests build frames as those of edge/ do."""

import sys
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parents[3]
sys.path[:0] = [str(REPOSITORY / "edge"), str(REPOSITORY / "tests" / "edge"), str(Path(__file__).parent)]

from live_attacks import attacked_home  # noqa: E402, F401 - a fixture
from live_second_home import attacked_second_home  # noqa: E402, F401 - a fixture
