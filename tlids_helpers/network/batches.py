"""Which rows come in which batch, as row numbers: the same for a network trained alone or beside others."""

import numpy as np


class Batches:
    """The row numbers of one network's training rows, in an order of its own that `seed` repeats."""

    def __init__(self, rows: np.ndarray, seed: int, codes: np.ndarray | None = None) -> None:
        """Give the class codes (n,) of the rows (n,) to draw every class equally often; else each row comes in turn."""
        self._rows = np.asarray(rows, dtype=np.int32)
        self._rng = np.random.default_rng(seed)
        self._left = self._rows[:0]
        self._classes = [] if codes is None else [self._rows[codes == code] for code in np.unique(codes)]

    def epoch(self) -> np.ndarray:
        """As many row numbers as there are rows (n,): each once, or drawn class by class."""
        return self.some(len(self._rows)) if self._classes else self._rng.permutation(self._rows)

    def some(self, count: int) -> np.ndarray:
        """The next `count` row numbers: no row comes again before all have come, unless drawn class by class."""
        if self._classes:
            return self._drawn(count)
        taken = [self._left[:count]]
        self._left = self._left[count:]
        while (missing := count - sum(map(len, taken))) > 0:
            self._left = self._rng.permutation(self._rows)
            taken.append(self._left[:missing])
            self._left = self._left[missing:]
        return np.concatenate(taken)

    def _drawn(self, count: int) -> np.ndarray:
        chosen = self._rng.integers(len(self._classes), size=count)
        found = np.empty(count, dtype=np.int32)
        for number, rows in enumerate(self._classes):
            here = np.flatnonzero(chosen == number)
            found[here] = rows[self._rng.integers(len(rows), size=len(here))]
        return found
