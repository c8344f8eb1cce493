"""One turn of unanswered flows on its way into the sketches: `Few` in plain Python, `Many` in numpy.

Both do the same, and leave the same behind: numpy needs about 0.2 ms for a turn of any size, Python about 0.02 ms for
each note. A note counts for up to three sources (ADDRESS, PREFIX, MAC), which are told apart by their hashes, the
keys: first all notes for their address, then for their /64, then for their MAC.
"""

from collections.abc import Callable, Iterable, Iterator
from itertools import pairwise
from typing import NamedTuple

import numpy as np

from tlids_edge.capture.packets import ICMP, ICMPV6
from tlids_edge.detect.notes import as_one
from tlids_edge.detect.sketches import (
    MASK,
    Hashes,
    Recent,
    Spread,
    mixed,
    mixed_one,
    places,
    places_of_one,
    sums,
)
from tlids_edge.flows.flow import Unanswered

FAN_WINDOW_S, SLOW_WINDOW_S = 60, 3600
ANSWER_S = 8  # an ICMP error comes this soon
SLOW_PORT = 32_768  # in the long window, lower ports count: higher ones are where late answers and replies to SSDP go
ADDRESS, PREFIX, MAC = KINDS = range(3)  # what a source is
SLOW, DOORS, HOSTS, PORTS = range(4)  # what is counted; what comes later says more

Needed = Callable[[int, int], float]  # of what is counted and a kind of source: the entries that are too many


class Hit(NamedTuple):
    """A source that is over a limit."""

    kind: int
    row: int  # of the first note that shows it
    what: int  # is too much
    key: int


class Counters:
    """The sketches: at most 5.6 MB."""

    def __init__(self, limits: dict[int, int]) -> None:
        """Nothing has been counted. `limits` says of each SLOW, DOORS, HOSTS, PORTS how many are too many."""
        self.spreads = (
            Spread(1024, SLOW_WINDOW_S, limits[SLOW]), Spread(256, FAN_WINDOW_S, limits[DOORS]),
            Spread(256, FAN_WINDOW_S, limits[HOSTS]), Spread(1024, FAN_WINDOW_S, limits[PORTS]),
        )  # fmt: skip
        self.knocked = Recent(ANSWER_S)  # who has knocked where

    @property
    def nbytes(self) -> int:
        """Memory of the sketches in bytes."""
        return sum(one.nbytes for one in (*self.spreads, self.knocked))

    def roll(self, now_us: int) -> None:
        """Let all windows move on."""
        for spread in self.spreads:
            spread.roll(now_us)
        self.knocked.roll(now_us)


class Keys:
    """The keys of the hashes, for arrays and as plain numbers."""

    def __init__(self, seed: int | None) -> None:
        """Draw them, at random without a seed."""
        hashes = Hashes(seed)
        self.src, self.dst, self.mac = hashes.keys(4), hashes.keys(4), hashes.keys(2)
        self.port, self.kind = hashes.keys(1), hashes.keys(3)
        self.src_one, self.dst_one, self.mac_one = self.src.tolist(), self.dst.tolist(), self.mac.tolist()
        self.port_one, self.kind_one = int(self.port[0]), self.kind.tolist()


class Few:
    """A turn of a few notes."""

    def __init__(self, notes: list[Unanswered], keys: Keys) -> None:
        """Hash notes of one unit of time."""
        self._notes = notes
        self.now = max([note.first_us for note in notes])
        src_keys, (mac_key, mac_key_2), (of_address, of_prefix, of_mac) = keys.src_one, keys.mac_one, keys.kind_one
        self._src, self._dst, self._keys = [], [], []
        for _, src, dst, _, _, hw in notes:
            number = int.from_bytes(hw[:8], "little")
            mac = (number & 0xFFFFFFFF) * mac_key + (number >> 32) * mac_key_2
            who, prefix = _sums_of_one(src, src_keys)
            self._src.append(who)
            self._dst.append(_sums_of_one(dst, keys.dst_one)[0])
            self._keys.append([
                who + mac + of_address & MASK,
                prefix + mac + of_prefix & MASK if len(dst) == 16 else None,
                mac + of_mac & MASK if number else None,
            ])  # fmt: skip
        self._all = keys

    def note(self, row: int) -> Unanswered:
        """One note."""
        return self._notes[row]

    def leave_out_answers(self, knocked: Recent) -> None:
        """Leave out ICMP to somebody who has knocked there of late: errors, not knocks."""
        icmp = []
        for row, note in enumerate(self._notes):
            if note.protocol in (ICMP, ICMPV6):
                icmp.append(row)
            else:
                knocked.add_one(mixed_one(self._src[row] + self._dst[row]))
        for row in icmp:
            note = self._notes[row]
            back = _sums_of_one(note.dst, self._all.src_one)[0] + _sums_of_one(note.src, self._all.dst_one)[0]
            if knocked.holds_one(mixed_one(back)):
                self._keys[row] = [None, None, None]

    def leave_out_known(self, known: Iterable[int], allowance: int) -> tuple[dict[int, int], int]:
        """As `Many.leave_out_known`."""
        heard: dict[int, int] = {}
        used = 0
        for keys in self._keys:
            address, prefix, mac = (key is not None and key in known for key in keys)
            for key, is_known in zip(keys, (address, prefix, mac), strict=True):
                if is_known:
                    heard[key] = heard.get(key, 0) + 1
            used += (prefix or mac) and not address
            if address or (prefix or mac) and used > allowance:
                keys[ADDRESS] = None
            if address or prefix or mac:
                keys[PREFIX] = keys[MAC] = None
        return heard, used

    def count(self, spreads: tuple[Spread, ...], needed: Needed) -> list[Hit]:
        """As `Many.count`."""
        slow, doors, hosts, ports = spreads
        entered = []
        targets = [self._targets(row) for row in range(len(self._notes))]
        for kind in KINDS:
            for row, keys in enumerate(self._keys):
                if (key := keys[kind]) is None:
                    continue
                port, door, host, is_slow = targets[row]
                whole, pair = places_of_one(mixed_one(key)), places_of_one(mixed_one(key + self._dst[row]))
                if is_slow:
                    slow.add_one(pair, port)
                doors.add_one(whole, door)
                hosts.add_one(whole, host)
                ports.add_one(pair, port)
                entered.append((kind, row, key, (pair if is_slow else None, whole, whole, pair)))
        hits: dict[int, Hit] = {}
        for what, spread in enumerate(spreads):
            spread.settle()
            if spread.is_quiet:
                continue
            limits = [needed(what, kind) for kind in KINDS]
            for kind, row, key, cells in reversed(entered):
                if cells[what] is not None and spread.has_reached(cells[what], limits[kind]):
                    hits[key] = Hit(kind, row, what, key)
        return sorted(hits.values())

    def _targets(self, row: int) -> tuple[int, int, int, bool]:
        """What a note is entered as, whoever its source is: port, port and host, host; and whether its port is low."""
        number, dst = self._notes[row].dst_port, self._dst[row]
        port = number * self._all.port_one
        return mixed_one(port), mixed_one(dst + port), mixed_one(dst), number < SLOW_PORT


class Many:
    """A turn of any number of notes."""

    def __init__(self, notes: np.ndarray, keys: Keys) -> None:
        """Hash notes (NOTE) of one unit of time."""
        self._notes = notes
        self.now = int(notes["first_us"].max())
        is_ipv6 = notes["size"] == 16
        words = 4 if is_ipv6.any() else 1  # the others are zeros
        self._src, self._dst = sums(notes["src"][:, :words], keys.src), sums(notes["dst"][:, :words], keys.dst)
        mac = sums(notes["src_hw"], keys.mac)
        prefix = sums(notes["src"][:, :2], keys.src) if words > 1 else self._src
        self._keys = np.stack([self._src + mac, prefix + mac, mac]) + keys.kind[:, None]
        self._there = np.stack([np.ones(len(notes), bool), is_ipv6, notes["src_hw"].any(axis=1)])
        self._all = keys

    def note(self, row: int) -> Unanswered:
        """One note."""
        return as_one(self._notes[row])

    def leave_out_answers(self, knocked: Recent) -> None:
        """Leave out ICMP to somebody who has knocked there of late: errors, not knocks."""
        notes = self._notes
        icmp = (notes["protocol"] == ICMP) | (notes["protocol"] == ICMPV6)
        if not icmp.any():
            knocked.add(mixed(self._src + self._dst))
            return
        knocked.add(mixed(self._src + self._dst)[~icmp])
        back = mixed(sums(notes["dst"][icmp], self._all.src) + sums(notes["src"][icmp], self._all.dst))
        icmp[icmp] = knocked.holds(back)
        self._there &= ~icmp

    def leave_out_known(self, known: Iterable[int], allowance: int) -> tuple[dict[int, int], int]:
        """Leave out known sources; of one known by its MAC or /64 so many notes are counted for their addresses.

        Returns:
            How many notes each has sent, and how many of the allowance were used.
        """
        all_known = np.array(sorted(known), np.uint64)
        if not all_known.size:
            return {}, 0
        place = np.minimum(all_known.searchsorted(self._keys), all_known.size - 1)
        found = (all_known[place] == self._keys) & self._there
        counts = np.bincount(place[found], minlength=all_known.size).tolist()
        heard = {int(key): count for key, count in zip(all_known, counts, strict=True) if count}
        together = found[PREFIX] | found[MAC]
        used = np.cumsum(together & ~found[ADDRESS])
        self._there[ADDRESS] &= ~(found[ADDRESS] | together & (used > allowance))
        self._there[PREFIX:] &= ~found.any(axis=0)
        return heard, int(used[-1])

    def count(self, spreads: tuple[Spread, ...], needed: Needed) -> list[Hit]:
        """Enter the notes under all their sources; which of these are over a limit now, in order, each once."""
        ports = sums(self._notes["dst_port"][:, None], self._all.port)
        kinds, rows = self._each_once(ports)
        keys, dst, ports = self._keys[kinds, rows], self._dst[rows], ports[rows]
        low = np.flatnonzero(self._notes["dst_port"][rows] < SLOW_PORT)
        whole, pair, port = places(mixed(keys)), places(mixed(keys + dst)), mixed(ports)
        entered = (
            (pair.take(low, axis=1), port[low]), (whole, mixed(dst + ports)), (whole, mixed(dst)), (pair, port),
        )  # fmt: skip
        hits: dict[int, Hit] = {}
        for what, (spread, (cells, targets)) in enumerate(zip(spreads, entered, strict=True)):
            counts = spread.add(cells, targets)
            limits = np.array([needed(what, kind) for kind in KINDS])
            if spread.is_quiet or not counts.size or counts.max() < limits.min():
                continue
            at = np.arange(len(keys)) if what != SLOW else low
            for place in at[counts >= limits[kinds[at]]][::-1].tolist():
                hit = Hit(int(kinds[place]), int(rows[place]), what, int(keys[place]))
                hits[hit.key] = hit
        return sorted(hits.values())

    def _each_once(self, ports: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Kinds and rows of what is to be entered; of equal ones the first."""
        kinds, rows = np.nonzero(self._there)
        what = self._keys[kinds, rows] + self._dst[rows] + ports[rows]
        first = np.sort(np.unique(what, return_index=True)[1])
        return kinds[first], rows[first]


def turns(notes: Iterable[Unanswered], unit_of: Callable[[int], int]) -> Iterator[list[Unanswered]]:
    """Notes that count, those of one unit of the sketches' time together; as `turns_of_many`."""
    turn: list[Unanswered] = []
    unit = None
    for note in notes:
        if _is_to_group(note.dst):
            continue
        now = unit_of(note.first_us)
        if unit is None or now > unit:
            if turn:
                yield turn
            turn, unit = [], now
        turn.append(note)
    if turn:
        yield turn


def turns_of_many(notes: np.ndarray, unit_of: Callable[[np.ndarray], np.ndarray], most: int) -> Iterator[np.ndarray]:
    """Notes that count, at most so many at a time, each turn of one unit of the sketches' time."""
    to_group = _are_to_group(notes)
    if to_group.any():
        notes = notes[~to_group]
    units = np.maximum.accumulate(unit_of(notes["first_us"]))
    edges = [0, *(np.flatnonzero(np.diff(units)) + 1).tolist(), len(notes)]
    for begin, end in pairwise(edges):
        for start in range(begin, end, most):
            yield notes[start : min(start + most, end)]


def _sums_of_one(address: bytes, keys: list[int]) -> tuple[int, int]:
    """The multilinear sum of an address, as `sums`, and that of its first 8 bytes; of these the last 64 bits count."""
    number = int.from_bytes(address, "little")
    if len(address) == 4:
        return number * keys[0], number * keys[0]
    first, second, third, fourth = (number >> bits & 0xFFFFFFFF for bits in (0, 32, 64, 96))
    prefix = first * keys[0] + second * keys[1]
    return prefix + third * keys[2] + fourth * keys[3], prefix


def _is_to_group(dst: bytes) -> bool:
    """Whether a note goes to a multicast address, or to an IPv4 broadcast address of a network of /24 or larger."""
    return dst[0] == 0xFF if len(dst) == 16 else dst[0] >= 224 or dst[3] == 255


def _are_to_group(notes: np.ndarray) -> np.ndarray:
    """As `_is_to_group`, of each."""
    dst = np.ascontiguousarray(notes["dst"]).view(np.uint8).reshape(len(notes), 16)
    return np.where(notes["size"] == 16, dst[:, 0] == 0xFF, (dst[:, 0] >= 224) | (dst[:, 3] == 255))
