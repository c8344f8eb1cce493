"""Novelty by device: a service or network that a device did not use while the home was learned.

Devices of the Internet of Things use few services and few networks; RFC 8520 (Lear et al. 2019) rests on that. While
learning, each device that initiates flows has a set of services (protocol and port) and one of networks (24 bits of an
IPv4 destination, 32 of an IPv6 one, as providers change the rest). Later a flow outside a set of its device is novel. A
device is a link-layer address, or an address where there is none. A use that stays is not reported for ever: of each
new service or network REPORTED flows a day are, proven ones and others counted apart, as a forger could use them up.

A device begins to have sets with its first proven flow, so that forged link-layer addresses fill nothing; a host with
many addresses of its own that all exchange traffic can take every place. A device that was seen in fewer windows than
`Limits.windows` has no profile, and one with more services or networks than the limit has none in that respect: it
*roams*. Screened flows teach nothing, and a burst takes back what it covers of the minute before; fewer alarms than a
burst teach. After its first proven flow, who forges a device's address can teach it a network, or have it roam.
`make choose-recipe` compares limits. What is kept, also in the card of an adapted model, are numbers; see `codes`.
"""

import os
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import chain, pairwise
from typing import NamedTuple

import numpy as np

from tlids_edge.errors import InputError
from tlids_edge.flows.rows import are_among
from tlids_edge.learn import codes
from tlids_edge.learn.codes import BITS, CODES, KINDS, NETWORKS, SALT_BYTES, SERVICES, Codes
from tlids_edge.learn.rates import BACK_US, is_count
from tlids_edge.learn.screen import BURST_S, Burst

MAX_DEVICES = 256
MAX_NEW = 4_096  # uses outside profiles that are remembered
REPORTED = 20  # flows of a new use in a day
DAY_US = 86_400_000_000
MAX_WINDOWS = 1 << 40


@dataclass(frozen=True)
class Limits:
    """Which devices have a profile."""

    services: int = 16  # with more it roams
    networks: int = 16
    windows: int = 36  # of the learning period's 144, in which it was seen at least


LIMITS = Limits()


class Uses:
    """What devices use while a home is learned; times are learned seconds, as in `keep`."""

    def __init__(self, window_s: float, limits: Limits = LIMITS, salt: bytes | None = None) -> None:
        """Know nothing; `window_s` is how long a window lasts, `salt` is drawn unless it is given."""
        self._window_s, self._limits = window_s, limits
        self._take_salt(os.urandom(SALT_BYTES) if salt is None else salt)
        self._windows: dict[int, tuple[int, int]] = {}  # device -> windows in which it was seen, the last of them
        self._entered = np.empty(0, np.int64)  # devices, sorted
        self._sets = {SERVICES: _Sets(limits.services), NETWORKS: _Sets(limits.networks)}

    def add(self, flows: np.ndarray, elapsed: np.ndarray) -> None:
        """Take note of flows (`keep.SEEN`) that ended at `elapsed`, in order of time."""
        owners, place = np.unique(flows["owner"], return_inverse=True)
        devices = np.where(owners == 0, -1, self._codes.devices(owners))[place]
        ours = self._of_entered(devices, flows["proven"])
        if not ours.any():
            return
        flows, elapsed, devices = flows[ours], elapsed[ours], devices[ours]
        windows = (elapsed // self._window_s).astype(np.int64)
        for key in np.unique(windows << BITS | devices).tolist():
            window, device = divmod(key, CODES)
            count, last = self._windows[device]
            if window > last:
                self._windows[device] = count + 1, window
        for kind, things in ((SERVICES, flows["used"]), (NETWORKS, flows["network"])):
            self._sets[kind].add(self._codes.pairs(kind, devices, flows["owner"], things), flows, elapsed)

    def take_back(self, burst: Burst) -> None:
        """Forget what a burst covers; flows of others that used the same in that minute teach it when they come again.

        The windows in which the device was seen stay.
        """
        for sets in self._sets.values():
            sets.take_back(burst)

    def learned(self, kind: str) -> list[int]:
        """Pairs of device and what it uses (`Codes.pairs`), sorted, of the devices that have a profile."""
        enough = {device for device, (count, _) in self._windows.items() if count >= self._limits.windows}
        used = self._sets[kind].found().items()
        return sorted(chain.from_iterable(pairs for device, pairs in used if pairs is not None and device in enough))

    def card(self) -> dict:
        """What the card of an adapted model says under "profiles"."""
        return {"salt": self._salt.hex()} | {kind: self.learned(kind) for kind in KINDS}

    def saved(self) -> dict:
        """What is known, as JSON holds it: of each device its number, windows, last window, services and networks.

        Without what a burst may still take back: a restart would make it stay.
        """
        used = [self._sets[kind].settled() for kind in KINDS]
        devices = [[device, *windows, *(_codes_of(each.get(device, ())) for each in used)]
                   for device, windows in self._windows.items()]  # fmt: skip
        return {"salt": self._salt.hex(), "devices": devices}

    def restore(self, saved: object) -> None:
        """Take over what `saved` gave; nothing is known yet.

        Raises:
            ValueError, TypeError: it is something else.
        """
        if not isinstance(saved, dict) or not _is_salt(saved.get("salt")):
            raise ValueError("profiles of devices without a salt")
        if not isinstance(saved.get("devices"), list) or len(saved["devices"]) > MAX_DEVICES:
            raise ValueError(f"profiles that are not those of at most {MAX_DEVICES} devices")
        self._take_salt(bytes.fromhex(saved["salt"]))
        for device, count, last, *used in saved["devices"]:
            if not _is_code(device) or device in self._windows:
                raise ValueError("profiles of no device, or of one twice")
            if not (is_count(last, -1, MAX_WINDOWS) and is_count(count, 0, MAX_WINDOWS) and count <= last + 1):
                raise ValueError("profiles with windows that are not counts")
            self._windows[device] = count, last
            for sets, each in zip(self._sets.values(), used, strict=True):
                sets.restore(device, each)
        self._entered = np.array(sorted(self._windows), np.int64)
        for sets in self._sets.values():
            sets.renew()

    def _take_salt(self, salt: bytes) -> None:
        """Stand for devices and what they use by numbers under this salt."""
        self._salt, self._codes = salt, Codes(salt)

    def _of_entered(self, devices: np.ndarray, proven: np.ndarray) -> np.ndarray:
        """Which flows are of devices that have proved themselves, by then; by their devices (-1: none), bool (n,)."""
        known = are_among(devices, self._entered)
        fresh = np.flatnonzero(proven & ~known & (devices >= 0)) if len(self._windows) < MAX_DEVICES else ()
        if len(fresh):
            first = np.sort(fresh[np.unique(devices[fresh], return_index=True)[1]])
            for place in first[: MAX_DEVICES - len(self._windows)].tolist():
                self._windows[int(devices[place])] = 0, -1
                known[place:] |= devices[place:] == devices[place]
            self._entered = np.array(sorted(self._windows), np.int64)
        return known


class _Taught(NamedTuple):
    """The flow that taught something."""

    time: float
    source: int
    service: int
    alarm: bool
    proven: bool


class _Sets:
    """What each device uses, of one kind."""

    def __init__(self, limit: int) -> None:
        """Know nothing; with more than `limit` a device roams."""
        self._limit = limit
        self._used: dict[int, set[int] | None] = {}  # device -> pairs that stay; None: it roams
        self._waiting: dict[int, _Taught] = {}  # pair -> who taught it, in order of time; a burst may take it back
        self._pairs = self._closed = np.empty(0, np.int64)  # known pairs; devices of which no more are noted; sorted

    def add(self, pairs: np.ndarray, flows: np.ndarray, elapsed: np.ndarray) -> None:
        """Note pairs of device and what it uses (n,), each of one of `flows`, that ended at `elapsed`."""
        self._settle_until(float(elapsed[0]))
        fresh = np.flatnonzero(~(are_among(pairs, self._pairs) | are_among(pairs >> BITS, self._closed)))
        if not len(fresh):
            return
        fresh = np.sort(fresh[np.unique(pairs[fresh], return_index=True)[1]])
        room = Counter()
        columns = (flows[name][fresh].tolist() for name in ("source", "service", "alarm", "proven"))
        for pair, *taught in zip(pairs[fresh].tolist(), elapsed[fresh].tolist(), *columns, strict=True):
            room[pair >> BITS] += 1
            if room[pair >> BITS] <= self._limit + 1:  # with so many it roams already
                self._waiting[pair] = _Taught(*taught)
        self.renew()

    def take_back(self, burst: Burst) -> None:
        """Forget what a burst covers."""
        own = [(pair, each) for pair, each in self._waiting.items() if each.source == burst.source]
        for pair, (time, _, service, alarm, proven) in own:
            if time >= burst.since and burst.covers(alarm, proven, service):
                del self._waiting[pair]
        if own:
            self.renew()

    def found(self) -> dict[int, set[int] | None]:
        """Device -> its pairs as if nothing were taken back any more; None: it roams."""
        found = {device: None if pairs is None else set(pairs) for device, pairs in self._used.items()}
        for pair in self._waiting:
            self._fold(found, pair)
        return found

    def settled(self) -> dict[int, set[int] | None]:
        """Device -> its pairs that no burst takes back any more; None: it roams."""
        return self._used

    def restore(self, device: int, used: object) -> None:
        """Take over the codes of what a device used, None where it roams; `renew` is to follow."""
        if used is not None and not _are_codes(used, self._limit):
            raise ValueError(f"profiles with other than {self._limit} codes of {BITS} bits at most")
        self._used[device] = None if used is None else {device << BITS | code for code in used}

    def _settle_until(self, now: float) -> None:
        """Let what no burst takes back any more stay."""
        settled = []
        for pair, taught in self._waiting.items():
            if taught.time >= now - BURST_S:
                break
            settled.append(pair)
        for pair in settled:
            del self._waiting[pair]
            self._fold(self._used, pair)
        if settled:
            self.renew()

    def _fold(self, used: dict[int, set[int] | None], pair: int) -> None:
        """Add a pair to its device's, which roams when it has too many."""
        pairs = used.setdefault(pair >> BITS, set())
        if pairs is not None:
            pairs.add(pair)
            if len(pairs) > self._limit:
                used[pair >> BITS] = None

    def renew(self) -> None:
        """Have the arrays say what the sets say."""
        counts = Counter(pair >> BITS for pair in self._waiting)
        for device, pairs in self._used.items():
            counts[device] += self._limit + 1 if pairs is None else len(pairs)
        pairs = chain(self._waiting, *(pairs for pairs in self._used.values() if pairs))
        self._pairs = np.array(sorted(pairs), np.int64)
        self._closed = np.array(sorted(device for device, count in counts.items() if count > self._limit), np.int64)


class Profiles:
    """What devices of a learned home use."""

    def __init__(self, salt: bytes, pairs: dict[str, Sequence[int]]) -> None:
        """`pairs` of each of KINDS as `Uses.learned` has them, with the same salt."""
        self._codes = Codes(salt)
        self._pairs = {kind: np.array(pairs[kind], np.int64) for kind in KINDS}
        self._devices = {kind: np.unique(each >> BITS) for kind, each in self._pairs.items()}
        self._reported: dict[str, dict[int, tuple[int, int]]] = {kind: {} for kind in KINDS}
        """New use, and whether proven -> when its day began, and its flows since."""

    def are_new(self, rows: np.ndarray) -> np.ndarray:
        """Which ended flows, a ROW array, are to be reported for being outside their devices' profiles: bool (n,)."""
        new = np.zeros(len(rows), bool)
        owners, place = np.unique(codes.owners_of(rows), return_inverse=True)
        devices = self._codes.devices(owners)
        for kind, things_of in ((SERVICES, codes.used_services_of), (NETWORKS, codes.networks_of)):
            some = np.flatnonzero(are_among(devices, self._devices[kind])[place])
            if len(some):
                of = place[some]
                pairs = self._codes.pairs(kind, devices[of], owners[of], things_of(rows)[some])
                outside = ~are_among(pairs, self._pairs[kind])
                some, pairs = some[outside], pairs[outside]
                uses = pairs << 1 | (rows["proven"][some] > 0)
                new[some] |= self._are_first(self._reported[kind], uses, rows["last_us"][some])
        return new

    def _are_first(self, reported: dict[int, tuple[int, int]], uses: np.ndarray, times_us: np.ndarray) -> np.ndarray:
        """Which of these new uses, in order of time, are among the first of a day: bool (n,)."""
        first = []
        for use, now in zip(uses.tolist(), times_us.tolist(), strict=True):
            began, count = reported.get(use, (now, 0))
            if not -BACK_US <= now - began < DAY_US:
                began, count = now, 0
            if len(reported) >= MAX_NEW and use not in reported:
                reported.clear()  # whoever makes so many new uses has old ones reported again
            reported[use] = began, count + 1
            first.append(count < REPORTED)
        return np.array(first, bool)


def card_of(uses: Uses | None) -> dict | None:
    """What the card of an adapted model says under "profiles"; None where nothing was noted."""
    return None if uses is None else uses.card()


def read(fields: object) -> Profiles | None:
    """What a model's card says under "profiles"; None where it says nothing.

    Raises:
        InputError: it says something else.
    """
    if fields is None:
        return None
    limits = {SERVICES: LIMITS.services, NETWORKS: LIMITS.networks}
    if not (isinstance(fields, dict) and _is_salt(fields.get("salt"))
            and all(_are_pairs(fields.get(kind), limit) for kind, limit in limits.items())):  # fmt: skip
        raise InputError(
            f"expected profiles of at most {MAX_DEVICES} devices in the model's card, found {str(fields)[:80]}",
            "adapt again",
        )
    return Profiles(bytes.fromhex(fields["salt"]), fields)


def _codes_of(pairs: set[int] | None) -> list[int] | None:
    """What a device uses, without the device; None where it roams."""
    return None if pairs is None else sorted(pair % CODES for pair in pairs)


def _are_pairs(pairs: object, limit: int) -> bool:
    """Whether these are pairs of MAX_DEVICES devices at most, sorted, and at most `limit` of each."""
    if not isinstance(pairs, list) or not all(is_count(pair, 0, CODES << BITS) for pair in pairs):
        return False
    counts = Counter(pair >> BITS for pair in pairs)
    rising = all(one < other for one, other in pairwise(pairs))
    return rising and len(counts) <= MAX_DEVICES and max(counts.values(), default=0) <= limit


def _is_salt(salt: object) -> bool:
    """Whether this is a salt in hexadecimal digits."""
    return isinstance(salt, str) and len(salt) == 2 * SALT_BYTES and set(salt) <= set("0123456789abcdef")


def _are_codes(used: object, limit: int) -> bool:
    """Whether these are at most `limit` numbers of 20 bits, sorted."""
    return isinstance(used, list) and len(used) <= limit and all(map(_is_code, used)) and used == sorted({*used})


def _is_code(value: object) -> bool:
    """Whether this is a number of 20 bits."""
    return is_count(value, 0, CODES)
