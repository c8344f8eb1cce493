"""How many different things each of many sources did of late, in memory that never grows.

`Spread` answers two questions at once, roughly, for any number of keys: how many distinct targets has this key
had within the window? It is a count-min sketch whose counters are bitmaps (linear counting, Whang et al. 1990;
as in SpreadSketch, Tang et al. 2020): ROWS rows of CELLS cells of `bits` entries. A key has one cell in each row,
a target one entry in a cell; the count is that of the row where the fewest entries are set. Entries wear out:
each is set to UNITS lives and loses one each `window_s / UNITS` seconds, so an entry lasts between 14/15 of the
window and the whole.

**Memory**: ROWS * CELLS * (bits + 8) bytes: 278,528 with 128 entries, 540,672 with 256.

**How exact**: n distinct targets set b (1 - (1 - 1/b)^n) of b entries: 50 set 41.5 +- 2.3 of 128, 100 set 82.9 +- 3.2
of 256 (standard deviations). So "50" means 43 to 57 in 19 of 20 cases, "100" means 91 to 109.

**False alarms**, on paper. A key that did nothing is blamed for others when its cell is full in every row.
1. Few busy keys, k of them over their threshold: one row is shared with probability at most k / CELLS, all four with
   (k / 512)^4: 1.5e-7 for 10 scanners at once, 9e-5 for 50. Who is known as a scanner is no longer
   entered (`fan_out`), so k is the number of scanners within a window, not of what they did.
2. Many keys of a few targets each: N entries in all spread as N / CELLS to a cell. In a home of 1,000
   unanswered flows a minute, each under 3 keys, that is 6; a Poisson count of mean 6 reaches 42 with
   probability 2e-21, all four rows never.
3. A flood of forged sources at one host and port sets one and the same entry in every cell: its size does not
   matter. One at random ports and hosts fills all cells. So a count is held against the median cell: with a
   share f of it set, a key must have set n targets' worth of the entries that are left, and three standard
   deviations more. Beyond f of about 0.7 nothing can be told any more, and `blind` says so.

Hashes are multilinear, with 64-bit keys that are drawn at the start, then mixed: whoever does not know the keys
cannot choose addresses that share cells. A file is replayed with fixed keys, so that each replay gives the same alerts.
"""

import os

import numpy as np

ROWS, CELLS = 4, 512
UNITS = 15
SURE = 3.0  # standard deviations above what others left in a cell
_SHIFTS = np.arange(ROWS, dtype=np.uint64)[:, None] * np.uint64(9)  # nine bits of a hash choose one of 512 cells
_FIRST = np.arange(ROWS)[:, None] * CELLS
_FEW = 64  # entries newly set, from which on the median is looked at again


class Spread:
    """Counts the distinct targets of every key within a window; memory is fixed."""

    def __init__(self, bits: int, window_s: float) -> None:
        """`bits` entries a cell, a power of two that is at least the count one asks for."""
        self._bits = bits
        self._unit_us = int(window_s * 1e6 / UNITS)
        self._unit: int | None = None
        self._lives = np.zeros(ROWS * CELLS * bits, np.uint8)
        self._filled = np.zeros(ROWS * CELLS, np.int64)
        self._median = 0.0

    @property
    def nbytes(self) -> int:
        """Memory in bytes."""
        return self._lives.nbytes + self._filled.nbytes

    @property
    def blind(self) -> bool:
        """Whether others have filled the cells so far that fifty targets of one key would not be noticed."""
        return self.needed(50) > self._bits

    def unit(self, time_us: np.ndarray) -> np.ndarray:
        """The unit of time of each moment; notes are added a unit at a time."""
        return time_us // self._unit_us

    def roll(self, time_us: int) -> None:
        """Let the window move on to `time_us`. What is slightly late counts as now; a clock set back clears all."""
        unit = time_us // self._unit_us
        passed = unit - (unit if self._unit is None else self._unit)
        if self._unit is not None and -UNITS < passed <= 0:
            return
        self._unit = unit
        if not 0 <= passed < UNITS:
            self._lives[:] = 0
            self._filled[:] = 0
        elif passed and self._filled.any():
            self._wear_out(passed)
        self._median = self._middle()

    def _wear_out(self, passed: int) -> None:
        """Take lives from every entry that has some: they are in cells that are counted as filled."""
        cells = self._lives.reshape(ROWS * CELLS, self._bits)
        filled = np.flatnonzero(self._filled)
        lives = np.maximum(cells[filled], passed) - np.uint8(passed)
        cells[filled] = lives
        self._filled[filled] = np.count_nonzero(lives, axis=1)

    def _middle(self) -> float:
        """The median of `_filled`. For so few numbers `np.median` takes longer to begin than to count."""
        half = ROWS * CELLS // 2
        low, high = np.partition(self._filled, (half - 1, half))[half - 1 : half + 1].tolist()
        return (low + high) / 2

    def add(self, keys: np.ndarray, targets: np.ndarray) -> np.ndarray:
        """Note one target of each key, all hashes of 64 bits; the entries that each key has set by now."""
        cells, entries = self._places(keys, targets)
        new = entries[self._lives[entries] == 0]
        self._lives[entries] = UNITS
        if new.size:
            new.sort()
            once = new[np.flatnonzero(np.diff(new, prepend=-1))]
            self._filled += np.bincount(once // self._bits, minlength=ROWS * CELLS)
            if new.size >= _FEW:
                self._median = self._middle()
        return self._filled[cells].min(axis=0)

    def holds(self, keys: np.ndarray, targets: np.ndarray) -> np.ndarray:
        """Whether each key may have had its target; if it has, this is True."""
        return (self._lives[self._places(keys, targets)[1]] > 0).all(axis=0)

    def needed(self, count: int) -> float:
        """How many entries `count` targets of one key set, over what others have set in a cell."""
        bits, others = self._bits, self._median
        return others + (bits - others) * (1 - (1 - 1 / bits) ** count) + SURE * np.sqrt(others * (1 - others / bits))

    def _places(self, keys: np.ndarray, targets: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """The cell and the entry of each key and target, one row of the sketch a row."""
        cells = ((keys >> _SHIFTS) & np.uint64(CELLS - 1)).astype(np.intp) + _FIRST
        return cells, cells * self._bits + (targets & np.uint64(self._bits - 1)).astype(np.intp)


def hash_seed(secret: bool) -> int | None:
    """The seed of the keys: None, so drawn at random, where packets come in that nobody has seen before; else fixed.

    TLIDS_HASH_SEED fixes it even then: for comparing two runs, not for a sensor.
    """
    seed = os.environ.get("TLIDS_HASH_SEED", "")
    return int(seed) if seed.isdecimal() else None if secret else 0


class Hashes:
    """Hashes of rows of 32-bit words, with keys drawn at random or from a seed."""

    def __init__(self, seed: int | None = None) -> None:
        """Draw the keys."""
        self._random = np.random.default_rng(seed)

    def keys(self, words: int) -> np.ndarray:
        """Keys for one column of words; different columns have different ones."""
        return self._random.integers(0, 2**64, words, np.uint64) | np.uint64(1)


def sums(words: np.ndarray, keys: np.ndarray) -> np.ndarray:
    """The multilinear sum of each row of 32-bit words; sums of several columns may be added, then `mixed`."""
    return words.astype(np.uint64) @ keys


def mixed(values: np.ndarray) -> np.ndarray:
    """Every bit of a sum into every bit of a hash (the finaliser of MurmurHash3, Appleby 2011)."""
    values = (values ^ (values >> np.uint64(33))) * np.uint64(0xFF51AFD7ED558CCD)
    values = (values ^ (values >> np.uint64(33))) * np.uint64(0xC4CEB9FE1A85EC53)
    return values ^ (values >> np.uint64(33))
