"""Known false alarms: learned rows of the home on which even the adapted head alarms (NetFlow features only).

An alarm on a flow that is almost equal to one of them is withdrawn: the flow counts as benign. What that may hide is
bounded in three ways. Only rows that were learned are listed, at most 64 of them, and no row so near to a stored attack
that a flow like that attack could be near to it. And at most four alarms in ten minutes are withdrawn, one less than
open an incident: whatever was learned, a burst of nine still opens one. A slower attack that was learned may vanish.
The radius was chosen by `make choose-recipe`.
"""

from collections import deque
from pathlib import Path

import numpy as np

from tlids_edge.learn.novelty import WIDTH, described, nearest, read_store, write_store
from tlids_edge.learn.rehearsal import ALIKE

FILE = "false_alarms.f32"
MAX_ROWS = 64
RADIUS = 0.05  # in novelty's distance
CHUNK = 256  # flows at a time: with so few rows that is no larger a product than novelty's
LIMIT, PERIOD_US = 4, 600_000_000
NONE = np.empty((0, WIDTH), np.float32)


class Withdrawal:
    """A list of known false alarms, and the alarms that were withdrawn last."""

    def __init__(self, store: np.ndarray, radius: float = RADIUS) -> None:
        """`store` (m, 9) as `collect` gives it for that radius."""
        self._store, self._radius = store, radius
        self._last: deque[int] = deque(maxlen=LIMIT)  # times of flows

    def of(self, rows: np.ndarray, alarms: np.ndarray, times_us: np.ndarray) -> np.ndarray:
        """Which alarms are withdrawn, bool (n,), of raw rows (n, 9) that alarm or do not, bool (n,), with their times.

        Beyond LIMIT in PERIOD_US none is.
        """
        withdrawn = np.zeros(len(rows), bool)
        if not len(self._store) or not alarms.any():
            return withdrawn
        places = np.flatnonzero(alarms)
        near = places[nearest(described(rows[places]), self._store, CHUNK) < self._radius]
        for place, now in zip(near.tolist(), times_us[near].tolist(), strict=True):
            if len(self._last) < LIMIT or abs(now - self._last[0]) >= PERIOD_US:  # a clock may be set back
                self._last.append(now)
                withdrawn[place] = True
        return withdrawn


def collect(alarming: np.ndarray, attacks: np.ndarray, radius: float = RADIUS) -> np.ndarray:
    """The list (m, 9), as `described`, of learned raw rows (n, 9) that still alarm; `attacks` (k, 9) are stored ones.

    Of more than MAX_ROWS, those that were learned most often.
    """
    rows = np.round(described(alarming), 2)
    rows = rows[nearest(rows, described(attacks)) >= radius + ALIKE]
    distinct, counts = np.unique(rows, axis=0, return_counts=True)
    return distinct[np.argsort(-counts, kind="stable")[:MAX_ROWS]]


def write(store: np.ndarray, folder: Path) -> dict | None:
    """Write a list into a model's folder; what the card says of it under "false_alarms", None where there is none."""
    return write_store(store, folder / FILE) if len(store) else None


def read(folder: Path, fields: dict | None) -> np.ndarray:
    """The list of a model's folder, empty where its card has none. `fields` is the card's "false_alarms".

    Raises:
        InputError: the card or the file is damaged.
    """
    return NONE if fields is None else read_store(folder / FILE, fields, MAX_ROWS)
