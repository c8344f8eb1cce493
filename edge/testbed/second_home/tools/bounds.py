"""What every tool of ours starts with: a check of where it is, and bounds that it keeps."""

import argparse
import time
from collections.abc import Iterator
from random import Random

from testbed.network import refuse_outside_host

MOST = 2000  # repetitions of any tool
LONGEST_S = 600.0


def arguments(what: str, *names: str) -> argparse.Namespace:
    """The options of a tool: the target, how often, the pause, how long at most, a seed, and further texts.

    Raises:
        InputError: it was not started in the testbed's namespaces.
    """
    refuse_outside_host()
    parser = argparse.ArgumentParser(description=what)
    parser.add_argument("target")
    parser.add_argument("--count", type=int, required=True)
    parser.add_argument("--pause", type=float, default=0.0, help="seconds on average")
    parser.add_argument("--seconds", type=float, default=60.0)
    parser.add_argument("--seed", default="1")
    for name in names:
        parser.add_argument(f"--{name}", default="")
    return parser.parse_args()


def rounds(options: argparse.Namespace) -> Iterator[Random]:
    """So many rounds with pauses between, within the time; each hands over the tool's generator."""
    draw = Random(options.seed)
    end = time.monotonic() + min(options.seconds, LONGEST_S)
    for number in range(min(options.count, MOST)):
        if time.monotonic() > end:
            return
        yield draw
        if options.pause and number + 1 < options.count:
            time.sleep(options.pause * draw.uniform(0.6, 1.4))
