"""Run a board's main.py in this folder under CPython, as the board does: again after every reset.

The board's own modules that CPython lacks lie beside this file. `python boot.py SEED` runs until killed.
"""

import runpy
import sys
import time
from pathlib import Path

TICKS = 1 << 30  # the counter of milliseconds wraps, as MicroPython's does


def add_ticks() -> None:
    """Give `time` MicroPython's functions; it is built in, so no module can stand in for it."""
    time.ticks_ms = lambda: time.monotonic_ns() // 1_000_000 % TICKS
    time.ticks_add = lambda ticks, delta: (ticks + delta) % TICKS
    time.ticks_diff = lambda end, start: (end - start + TICKS // 2) % TICKS - TICKS // 2
    time.sleep_ms = lambda ms: time.sleep(ms / 1000)


def main() -> None:
    """Start main.py, and start it again whenever it asks for a reset."""
    add_ticks()
    sys.path[:0] = [str(Path(__file__).parent), str(Path.cwd())]
    from machine import Reset

    while True:
        try:
            runpy.run_path("main.py", run_name="__main__")
        except Reset:
            sys.modules.pop("home_device", None)
            time.sleep(0.8)  # a board needs that long to boot


if __name__ == "__main__":
    main()
