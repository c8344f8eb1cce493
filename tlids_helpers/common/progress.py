"""Progress bars for what takes more than two seconds: plain text, quiet under CI and where TQDM_DISABLE is set."""

import os
import sys

from tqdm import tqdm

DELAY = 1.0  # seconds before a counter shows, so that what a cache answers at once shows none


def steps(doing: str, unit: str, total: int) -> tqdm:
    """A bar over `total` steps, such as epochs: use it in a `with`, and call its `update()` after each."""
    return tqdm(desc=doing, unit=unit, total=total, file=_stream(), disable=_silent())


def counter(doing: str, unit: str) -> tqdm:
    """A count and its rate, where the end is not known: give its `update()` what was counted, in a `with`."""
    return tqdm(desc=doing, unit=f" {unit}", unit_scale=True, delay=DELAY, file=_stream(), disable=_silent())


def _stream():
    """Standard error, or in a notebook standard output: JupyterLab paints the other red, as if something had failed."""
    return sys.stdout if type(sys.stdout).__module__ == "ipykernel.iostream" else sys.stderr


def _silent() -> bool:
    """CI keeps what is printed; whoever compares outputs sets TQDM_DISABLE, which tqdm itself reads on import alone."""
    return bool(os.environ.get("CI") or os.environ.get("TQDM_DISABLE"))
