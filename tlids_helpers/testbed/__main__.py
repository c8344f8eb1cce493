"""`python -m tlids_helpers.testbed`: the testbed's captures become its flows."""

import sys

from tlids_helpers.testbed.recordings import main

sys.exit(main())
