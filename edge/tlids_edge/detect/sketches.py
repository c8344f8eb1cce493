"""How many different things each of many sources did of late, in memory that never grows.

`Spread` answers two questions at once, roughly, for any number of keys: how many distinct targets has this key
had within the window? It is a count-min sketch whose counters are bitmaps (linear counting, Whang et al. 1990;
as in SpreadSketch, Tang et al. 2020): ROWS rows of CELLS cells of `bits` entries. A key has one cell in each row,
a target one entry in a cell; the count is that of the row where the fewest entries are set. Entries wear out:
each is set to UNITS lives and loses one each `window_s / UNITS` seconds, so an entry lasts between 14/15 of the
window and the whole. While fewer are set in all than would make one key's count too high, they wear out later, all at
once: a quiet home costs next to nothing. Many keys are entered by `add`, one by `add_one`; both leave the same behind.

**Memory**: at most ROWS * CELLS * (bits + 8) bytes: 540,672 with 256 entries, 2,113,536 with 1,024. The same entry of
all cells is stored together, so that a flood at one port, whatever its sources, takes up one page of memory. The system
provides a page when it is first written to.

**How exact**: n distinct targets set b (1 - (1 - 1/b)^n) of b entries, give or take a standard deviation:

| asked for | entries | set | in 19 of 20 cases that means |
|---|---|---|---|
| 50 | 1,024 | 48.8 +- 1.1 | 49 to 52 |
| 100 | 1,024 | 95.3 +- 2.0 | 97 to 105 |
| 100 | 256 | 82.9 +- 3.2 | 92 to 109 |
| 200 | 256 | 139.0 +- 4.7 | 181 to 220 |

n targets set n entries at most, whatever the keys are: 48 targets never set 48.8 of 1,024 entries, 95 never 95.3. So
whether 95 forged sources are found does not depend on the keys that were drawn; at ten in a hundred more than asked
for, less than one draw in 2,000 misses.

**False alarms**, on paper. A key that did nothing is blamed for others when its cell is full in every row.
1. Few busy keys, k of them over their threshold: one row is shared with probability at most k / CELLS, all four with
   (k / 512)^4: 1.5e-7 for 10 scanners at once, 9e-5 for 50. Who is known as a scanner is no longer
   entered (`fan_out`), so k is the number of scanners within a window, not of what they did.
2. Many keys of a few targets each: N entries in all spread as N / CELLS to a cell. In a home of 1,000
   unanswered flows a minute, each under 3 keys, that is 6; a Poisson count of mean 6 reaches 49 with
   probability 6e-28, all four rows never.
3. A flood of forged sources at one host and port sets one and the same entry in every cell: its size does not
   matter. One at random ports and hosts fills all cells. So a count is held against the median cell: with a
   share f of it set, a key must have set n targets' worth of the entries that are left, and three standard
   deviations more. Beyond f of about 0.7 four times n would not be enough, and `blind` says so: of 256 entries after
   160,000 such knocks within a window, of 1,024 after 600,000. The median is looked at again after LOOK new entries, a
   quarter of an entry a cell.

Hashes are multilinear, with 64-bit keys that are drawn at the start, then mixed: whoever does not know the keys
cannot choose addresses that share cells. A file is replayed with fixed keys, so that each replay gives the same alerts.
"""

import os
import random
from array import array
from math import sqrt

import numpy as np

ROWS, CELLS = 4, 512
ALL_CELLS = ROWS * CELLS
TOGETHER = 32  # entries of each cell that are worn out at once: 64 kB
FEW_SET = 16_384  # entries: up to so many are looked for, and worn out alone
UNITS = 15
SURE = 3.0  # standard deviations above what others left in a cell
LOOK = 512
MOST_LATE = 255 - UNITS - UNITS  # lives are bytes
MASK = 2**64 - 1
_HALF = ALL_CELLS // 2
_SHIFTS = np.arange(ROWS, dtype=np.uint64)[:, None] * np.uint64(9)  # nine bits of a hash choose one of 512 cells
_FIRST = np.arange(ROWS)[:, None] * CELLS
_ROW_OF, _FIFTEEN = np.arange(ROWS), np.arange(ROWS, dtype=np.uint64)[:, None] * np.uint64(15)
_33, _TIMES, _AGAIN = np.uint64(33), 0xFF51AFD7ED558CCD, 0xC4CEB9FE1A85EC53

Cells = tuple[int, int, int, int]  # of one key, one in each row


class Spread:
    """Counts the distinct targets of every key within a window; memory is fixed."""

    def __init__(self, bits: int, window_s: float, least: int = 0) -> None:
        """`bits` entries a cell, a power of two that is at least the count one asks for, which is `least` or more."""
        self._bits = bits
        self._unit_us = int(window_s * 1e6 / UNITS)
        self._unit: int | None = None
        # each twice, of one memory: numpy is fast for many entries, Python's own types are for one
        self._lives = np.zeros(bits * ALL_CELLS, np.uint8)  # not written to, as a bytearray would be
        self._lives_of_one, self._filled_of_one = memoryview(self._lives), array("q", bytes(ALL_CELLS * 8))
        self._filled = np.frombuffer(self._filled_of_one, np.int64)
        self._entries, self._unlooked = 0, 0  # that are set, and that were set since the median was looked at
        self._late = 0  # units by which entries have not been worn out yet: set ones have so many lives more
        self._median = 0.0
        self._needed: dict[int, float] = {}  # at this median
        self._few = ROWS * self.needed(least)

    @property
    def nbytes(self) -> int:
        """Memory in bytes."""
        return self._lives.nbytes + self._filled.nbytes

    @property
    def blind(self) -> bool:
        """Whether others have filled the cells so far that a key with four times fifty targets would not be noticed."""
        left = self._bits - self._median
        return self.needed(50) > self._median + left * (1 - (1 - 1 / self._bits) ** 200)

    @property
    def is_quiet(self) -> bool:
        """Whether so few entries are set that no key can have reached the least count: the mean of its rows is less."""
        return self._entries < self._few

    def unit(self, time_us: np.ndarray | int) -> np.ndarray | int:
        """The unit of time of each moment; notes are added a unit at a time."""
        return time_us // self._unit_us

    def roll(self, time_us: int) -> None:
        """Let the window move on to `time_us`. What is slightly late counts as now; a clock set back clears all."""
        unit = time_us // self._unit_us
        if self._unit is None:
            self._unit = unit
        passed = unit - self._unit
        if -UNITS < passed <= 0:
            return
        self._unit = unit
        if not self._entries:
            return
        if 0 < passed < UNITS:
            self._late += passed
            if self._late > MOST_LATE or not self.is_quiet:
                self._wear_out(self._late)
        else:
            self._wear_out(255)

    def _wear_out(self, lives: int) -> None:
        """Take so many lives from every entry, or what it has left. Memory that was never written to stays so."""
        self._filled[:] = self._wear_out_few(lives) if self._entries <= FEW_SET else self._wear_out_all(lives)
        self._entries, self._late = int(self._filled.sum()), 0
        self._look()

    def _wear_out_few(self, lives: int) -> np.ndarray:
        """The same where few entries are set; how many still are, of each cell."""
        words = self._lives.view(np.uint64)
        places = np.flatnonzero(words.astype(bool))  # of integers it is eight times as slow
        some = np.maximum(words[places].view(np.uint8), lives) - np.uint8(lives)
        words[places] = some.view(np.uint64)
        still = np.flatnonzero(some)
        return np.bincount((8 * places[still // 8] + still % 8) % ALL_CELLS, minlength=ALL_CELLS)

    def _wear_out_all(self, lives: int) -> np.ndarray:
        """The same, part by part."""
        counts = np.zeros(ALL_CELLS, np.int64)
        for first in range(0, len(self._lives), TOGETHER * ALL_CELLS):
            part = self._lives[first : first + TOGETHER * ALL_CELLS].reshape(-1, ALL_CELLS)
            if part.any():
                np.maximum(part, lives, out=part)
                part -= np.uint8(lives)
                counts += np.add.reduce(part > 0, axis=0, dtype=np.uint8)
        return counts

    def _look(self) -> None:
        """Look at the median again. It is 0 while fewer entries are set than half the cells."""
        self._unlooked = 0
        median = 0.0
        if self._entries >= _HALF:
            counted = np.cumsum(np.bincount(self._filled))
            low, high = counted.searchsorted((_HALF, _HALF + 1)).tolist()
            median = (low + high) / 2
        if median != self._median:
            self._median = median
            self._needed.clear()

    def add(self, cells: np.ndarray, targets: np.ndarray) -> np.ndarray:
        """Note one target of each key, a hash; how many entries each key has set by now. `cells` are those of `places`.

        Keys and targets are the same number, and `cells` has ROWS rows of it.
        """
        entries = (targets & np.uint64(self._bits - 1)).view(np.int64) * ALL_CELLS + cells
        new = entries[self._lives[entries] == 0]
        self._lives[entries] = UNITS + self._late
        if new.size:
            new.sort()
            once = new[np.flatnonzero(np.diff(new, prepend=-1))]
            self._filled += np.bincount(once % ALL_CELLS, minlength=ALL_CELLS)
            self._entries += once.size
            self._unlooked += once.size
        self.settle()
        return self._filled[cells].min(axis=0)

    def add_one(self, cells: Cells, target: int) -> None:
        """Note one target of one key, as `add`; when all of a turn's are noted, `settle`."""
        lives, first, fresh = self._lives_of_one, (target & self._bits - 1) * ALL_CELLS, UNITS + self._late
        for cell in cells:
            at = first + cell
            if not lives[at]:
                self._filled_of_one[cell] += 1
                self._entries += 1
                self._unlooked += 1
            lives[at] = fresh

    def settle(self) -> None:
        """Wear out what should have been, and look at the median, when enough entries were set."""
        if self._late and not self.is_quiet:
            self._wear_out(self._late)
        if self._unlooked >= LOOK:
            self._look()

    def has_reached(self, cells: Cells, needed: float) -> bool:
        """Whether one key has set so many entries."""
        filled = self._filled_of_one
        for cell in cells:  # most often the first is enough
            if filled[cell] < needed:
                return False
        return True

    def needed(self, count: int) -> float:
        """How many entries `count` targets of one key set, over what others have set in a cell."""
        if count not in self._needed:
            bits, others = self._bits, self._median
            theirs = SURE * sqrt(others * (1 - others / bits))
            self._needed[count] = others + (bits - others) * (1 - (1 - 1 / bits) ** count) + theirs
        return self._needed[count]


class Recent:
    """Whether something was noted within a window, or up to twice as long ago; memory is fixed.

    Two generations of a Bloom filter of ROWS hashes, of ROWS * PLACES bytes each: 262,144 bytes in all. What was not
    noted seems to have been with probability (n / PLACES)^ROWS at most after n others: 8.7e-7 after 1,000.
    """

    PLACES = 1 << 15

    def __init__(self, window_s: float) -> None:
        """Nothing has been noted."""
        self._window_us = int(window_s * 1e6)
        self._generation = 0
        self._young, self._old = bytearray(ROWS * self.PLACES), bytearray(ROWS * self.PLACES)
        self._empty = True

    @property
    def nbytes(self) -> int:
        """Memory in bytes."""
        return len(self._young) + len(self._old)

    def roll(self, time_us: int) -> None:
        """Let the window move on to `time_us`. What is late counts as now; a clock set back clears all."""
        generation = time_us // self._window_us
        passed = generation - self._generation
        if passed in (0, -1):
            return
        self._generation = generation
        if self._empty:
            return
        self._young, self._old = self._old, self._young
        self._young[:] = bytes(self.nbytes // 2)
        if passed != 1:
            self._old[:] = bytes(self.nbytes // 2)
            self._empty = True

    def add(self, hashes: np.ndarray) -> None:
        """Note what has these hashes."""
        self._empty = False
        np.frombuffer(self._young, np.uint8)[self._places(hashes)] = 1

    def holds(self, hashes: np.ndarray) -> np.ndarray:
        """Whether each may have been noted; if it was, this is True."""
        places = self._places(hashes)
        young, old = (np.frombuffer(one, np.uint8)[places].all(axis=0) for one in (self._young, self._old))
        return young | old

    def add_one(self, value: int) -> None:
        """Note what has this hash."""
        self._empty = False
        for place in self._places_of_one(value):
            self._young[place] = 1

    def holds_one(self, value: int) -> bool:
        """As `holds`, for one hash."""
        places = self._places_of_one(value)
        return all(self._young[place] for place in places) or all(self._old[place] for place in places)

    def _places(self, hashes: np.ndarray) -> np.ndarray:
        """The place of each hash in each row; 15 bits choose one."""
        return ((hashes >> _FIFTEEN) & np.uint64(self.PLACES - 1)).view(np.int64) + _ROW_OF[:, None] * self.PLACES

    def _places_of_one(self, value: int) -> list[int]:
        """As `_places`, for one hash."""
        return [row * self.PLACES + (value >> 15 * row) % self.PLACES for row in range(ROWS)]


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
        self._random = random.SystemRandom() if seed is None else random.Random(seed)

    def keys(self, words: int) -> np.ndarray:
        """Keys for one column of words; different columns have different ones."""
        return np.array([self._random.getrandbits(64) | 1 for _ in range(words)], np.uint64)


def sums(words: np.ndarray, keys: np.ndarray) -> np.ndarray:
    """The multilinear sum of each row of 32-bit words; sums of several columns may be added, then `mixed`.

    `words` is [rows, n], with at least n keys.
    """
    found = words[:, 0] * keys[0]
    for column in range(1, words.shape[1]):
        found += words[:, column] * keys[column]
    return found


def mixed(values: np.ndarray) -> np.ndarray:
    """Every bit of a sum into every bit of a hash (the finaliser of MurmurHash3, Appleby 2011)."""
    values = values ^ (values >> _33)
    values *= np.uint64(_TIMES)
    values ^= values >> _33
    values *= np.uint64(_AGAIN)
    values ^= values >> _33
    return values


def mixed_one(value: int) -> int:
    """As `mixed`, for one sum; of a larger one the last 64 bits count."""
    value &= MASK
    value = (value ^ value >> 33) * _TIMES & MASK
    value = (value ^ value >> 33) * _AGAIN & MASK
    return value ^ value >> 33


def places(keys: np.ndarray) -> np.ndarray:
    """The cells of keys, all hashes of 64 bits: int64 [ROWS, keys], the same in every Spread."""
    return ((keys >> _SHIFTS) & np.uint64(CELLS - 1)).view(np.int64) + _FIRST


def places_of_one(key: int) -> Cells:
    """As `places`, for one key."""
    return key & 511, 512 + (key >> 9 & 511), 1024 + (key >> 18 & 511), 1536 + (key >> 27 & 511)
