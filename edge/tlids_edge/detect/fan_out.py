"""One source that knocks on many doors, and gets no answer.

Fed with the meter's notes of unanswered flows, many at a time. A source is an address and the MAC address of its
frames. Beside it two larger ones are watched, at twice the threshold: all addresses of an IPv6 /64 behind one MAC,
and all addresses of one MAC, so that a thousand forged sources of one machine are still one machine. All counts are
those of `sketches`: about 1.9 MB, whatever arrives. The alerts, and what they do to the source's flows, are those of
`suspects`.
"""

from collections import OrderedDict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from tlids_edge.capture.packets import ICMP, ICMPV6, address_text, mac_text
from tlids_edge.detect.notes import address, as_matrix
from tlids_edge.detect.sketches import Hashes, Spread, mixed, sums
from tlids_edge.detect.sources import ProvenSources
from tlids_edge.detect.suspects import ACTIVE_S, Pace, RuleAlert, Suspects, remember, within
from tlids_edge.flows.flow import Flow
from tlids_edge.flows.meter import Unanswered

FAN_WINDOW_S, SLOW_WINDOW_S = 60, 3600
FAN_PORTS = 50  # unanswered ports of one host
FAN_HOSTS = 100  # unanswered hosts
FAN_DOORS = 200  # unanswered ports of whatever hosts
TOGETHER = 2  # times as much for many addresses together
SLOW_PORT = 32_768  # in the long window, lower ports count: higher ones are where late answers and replies to SSDP go
ANSWER_S = 8  # an ICMP error comes this soon
TURN = 1024  # notes at a time; a scanner adds at most so many to the sketches before it is known
ALLOWANCE = 256  # notes of a MAC that is known under many addresses, whose addresses are looked at one by one: in 4 s
MAX_KNOWN, MAX_TOLD = 256, 1024  # scanners that are under an alert, and that were within the hour
MAX_ALERTS = 32  # in one turn
SID_FAN_PORTS, SID_FAN_HOSTS, SID_FAN_DOORS, SID_FAN_SLOW = 9_200_011, 9_200_012, 9_200_013, 9_200_014
WHAT = {
    SID_FAN_PORTS: "many ports of one host",
    SID_FAN_HOSTS: "many hosts",
    SID_FAN_DOORS: "many ports of several hosts",
    SID_FAN_SLOW: "many ports of one host within an hour",
}
ADDRESS, PREFIX, MAC = range(3)  # what a source is
_OTHER_BITS = np.uint64(40)  # of a hash, beside those that choose its cells
WHO = ("one source", "one IPv6 /64", "one MAC address under many addresses")


class _Source(NamedTuple):
    """A source of one of the three kinds."""

    kind: int
    address: bytes  # of a /64 its first 8 bytes, b"" for all of a MAC's
    mac: bytes


@dataclass(slots=True)
class _Known:
    """A scanner that is under an alert."""

    source: _Source
    sid: int
    since: int
    notes: int = 0  # since it was last found


class FanOut:
    """Watches for one source that tries many ports of a host, or many hosts, and gets no answer.

    What counts is a flow that is unanswered after a second, or refused: so a browser that opens thirty, or three
    hundred, connections is no scan. Multicast and broadcast do not count, nor ICMP errors to who has just knocked.
    """

    def __init__(
        self, ports: int = FAN_PORTS, hosts: int = FAN_HOSTS,
        sources: ProvenSources | None = None, seed: int | None = None,
    ) -> None:  # fmt: skip
        """Alert at about `ports` unanswered ports of one host or `hosts` unanswered hosts within FAN_WINDOW_S.

        `seed` fixes the keys of the hashes, for tests.
        """
        self.suspects = Suspects()
        self.sources = ProvenSources() if sources is None else sources
        self._limits = {SID_FAN_PORTS: ports, SID_FAN_HOSTS: hosts, SID_FAN_DOORS: FAN_DOORS, SID_FAN_SLOW: ports}
        self._spreads = {
            SID_FAN_PORTS: Spread(128, FAN_WINDOW_S), SID_FAN_HOSTS: Spread(256, FAN_WINDOW_S),
            SID_FAN_DOORS: Spread(256, FAN_WINDOW_S), SID_FAN_SLOW: Spread(128, SLOW_WINDOW_S),
        }  # fmt: skip
        self._knocked = Spread(128, ANSWER_S)
        hashes = Hashes(seed)
        self._src_keys, self._dst_keys, self._mac_keys = hashes.keys(4), hashes.keys(4), hashes.keys(2)
        self._port_keys, self._kind_keys = hashes.keys(1), hashes.keys(3)
        self._known: dict[int, _Known] = {}
        self._allowance, self._allowance_unit = ALLOWANCE, 0
        self._told: OrderedDict[tuple, int] = OrderedDict()  # sources and MACs -> their last alert
        self._pace = Pace()

    @property
    def nbytes(self) -> int:
        """Memory of the sketches in bytes."""
        return sum(spread.nbytes for spread in (*self._spreads.values(), self._knocked))

    @property
    def blind(self) -> bool:
        """Whether a flood has filled the sketches so far that a scan beside it would not be noticed."""
        return self._spreads[SID_FAN_PORTS].blind

    def see(self, notes: Sequence[Unanswered] | np.ndarray) -> list[RuleAlert]:
        """Take note of unanswered flows, in the meter's order; the alerts they give rise to."""
        return [alert for turn in self._turns(as_matrix(notes)) for alert in self._take(turn)]

    def accuses(self, flow: Flow) -> bool:
        """Whether the source of a flow stood under this rule's alert when the flow ended.

        An alert for all addresses of a MAC leaves proven flows alone: a router's MAC is that of the whole internet.
        """
        if not len(self.suspects):
            return False
        src, mac, when = flow.key[0], flow.src_hw, flow.last_us
        return (
            ((src, mac), when) in self.suspects
            or len(src) == 16 and ((src[:8], mac), when) in self.suspects
            or bool(mac) and not flow.proven and ((b"", mac), when) in self.suspects
        )  # fmt: skip

    def _limit(self, sid: int, kind: int) -> int:
        """How many are too many for a source of a kind."""
        return self._limits[sid] * (1 if kind == ADDRESS else TOGETHER)

    def _turns(self, notes: np.ndarray) -> Iterator[np.ndarray]:
        """Notes that count, at most TURN at a time, each turn of one unit of the sketches' time."""
        notes = notes[~_to_group(notes)]
        if not len(notes):
            return
        units = np.maximum.accumulate(self._spreads[SID_FAN_PORTS].unit(notes["first_us"]))
        starts = np.flatnonzero(np.diff(units)) + 1
        for part in np.split(notes, starts):
            for start in range(0, len(part), TURN):
                yield part[start : start + TURN]

    def _take(self, notes: np.ndarray) -> list[RuleAlert]:
        """One turn: leave out what answers knocks and what known scanners do, count the rest."""
        now = int(notes["first_us"].max())
        for spread in (*self._spreads.values(), self._knocked):
            spread.roll(now)
        src, dst = sums(notes["src"], self._src_keys), sums(notes["dst"], self._dst_keys)
        mac = sums(notes["src_hw"], self._mac_keys)
        prefix = sums(notes["src"][:, :2], self._src_keys[:2])
        keys = np.stack([src + mac, prefix + mac, mac]) + self._kind_keys[:, None]
        has_mac = notes["src_hw"].any(axis=1)
        there = np.stack([np.ones(len(notes), bool), notes["size"] == 16, has_mac])
        there &= ~self._answers(notes, src, dst)
        alerts = self._hear_known(keys, there, now)
        self._leave_out_known(keys, there, now)
        ports = sums(notes["dst_port"][:, None], self._port_keys)
        kinds, rows = np.nonzero(there)
        hits = self._count(notes["dst_port"][rows], keys[kinds, rows], dst[rows], ports[rows], kinds)
        found = [(int(kinds[at]), int(rows[at]), sid) for at, sid in hits]
        return alerts + self._tell(notes, keys, found, now)

    def _count(
        self, numbers: np.ndarray, keys: np.ndarray, dst: np.ndarray, ports: np.ndarray, kinds: np.ndarray
    ) -> list[tuple[int, int]]:
        """Enter notes of sources of all kinds, addresses first; (row, what) for those over a limit, each source once.

        `numbers` are those of the ports, all else are hashes.
        """
        slow = np.flatnonzero(numbers < SLOW_PORT)
        alone = kinds == ADDRESS
        host, port, door = mixed(dst), mixed(ports), mixed(dst + ports)
        pair = mixed(keys + dst)
        whole = slice(None)
        hits: dict[int, tuple[int, int]] = {}
        for sid, rows, key, target in (
            (SID_FAN_SLOW, slow, pair, port), (SID_FAN_DOORS, whole, mixed(keys), door),
            (SID_FAN_HOSTS, whole, mixed(keys), host), (SID_FAN_PORTS, whole, pair, port),
        ):  # fmt: skip
            spread = self._spreads[sid]
            counts = spread.add(key[rows], target[rows])
            needed = [spread.needed(self._limit(sid, kind)) for kind in (ADDRESS, MAC)]
            over = counts >= np.where(alone[rows], *needed)
            if over.any():
                at = np.flatnonzero(over) if rows is whole else slow[over]
                hits |= {int(keys[row]): (int(row), sid) for row in at}  # what comes later says more
        return sorted(hits.values())

    def _answers(self, notes: np.ndarray, src: np.ndarray, dst: np.ndarray) -> np.ndarray:
        """Which notes are ICMP to somebody who has knocked there within ANSWER_S: errors, not knocks."""
        icmp = (notes["protocol"] == ICMP) | (notes["protocol"] == ICMPV6)
        if not icmp.all():
            there = mixed(src + dst)[~icmp]
            self._knocked.add(there, there >> _OTHER_BITS)
        if icmp.any():
            back = mixed(sums(notes["dst"][icmp], self._src_keys) + sums(notes["src"][icmp], self._dst_keys))
            icmp[icmp] = self._knocked.holds(back, back >> _OTHER_BITS)
        return icmp

    def _hear_known(self, keys: np.ndarray, there: np.ndarray, now: int) -> list[RuleAlert]:
        """Forget whose alert has ended; each as many notes again as made the alert prolong it."""
        alerts = []
        for key, known in list(self._known.items()):
            if not within(now, known.since, ACTIVE_S):
                del self._known[key]
                continue
            kind = known.source.kind
            known.notes += int(np.count_nonzero((keys[kind] == np.uint64(key)) & there[kind]))
            if known.notes >= self._limit(known.sid, kind):
                alerts += self._alert(known, now, "")
        return alerts

    def _leave_out_known(self, keys: np.ndarray, there: np.ndarray, now: int) -> None:
        """Who is known is not counted again; of a known MAC a few notes are, address by address."""
        if not self._known:
            return
        known = np.isin(keys, np.array(list(self._known), np.uint64)) & there
        unit = int(self._spreads[SID_FAN_PORTS].unit(now))
        if unit != self._allowance_unit:
            self._allowance, self._allowance_unit = ALLOWANCE, unit
        together = known[PREFIX] | known[MAC]
        excess = together & (np.cumsum(together & ~known[ADDRESS]) > self._allowance)
        self._allowance = max(0, self._allowance - int(np.count_nonzero(together & ~known[ADDRESS])))
        there[ADDRESS] &= ~(known[ADDRESS] | excess)
        there[PREFIX:] &= ~known.any(axis=0)

    def _tell(
        self, notes: np.ndarray, keys: np.ndarray, found: list[tuple[int, int, int]], now: int
    ) -> list[RuleAlert]:
        """Suspect who is over a limit: an address before its /64, and that before its MAC."""
        alerts: list[RuleAlert] = []
        named: set[bytes] = set()  # MACs under which an address or a /64 has been found
        for kind, row, sid in found[:MAX_ALERTS]:
            note = notes[row]
            size, mac = int(note["size"]), address(note["src_hw"], 6) if note["src_hw"].any() else b""
            if kind != ADDRESS and mac in named:
                continue
            source = _Source(kind, (address(note["src"], size), address(note["src"], 8), b"")[kind], mac)
            known = _Known(source, sid, now)
            if sid == SID_FAN_SLOW:  # who has been told of lately is no slow scanner
                if within(now, self._told.get(source if kind == ADDRESS else (mac,)), SLOW_WINDOW_S):
                    continue
            else:
                self._known[int(keys[kind, row])] = known
                if len(self._known) > MAX_KNOWN:
                    del self._known[next(iter(self._known))]
            named.add(mac)
            dst = address_text(address(note["dst"], size)) if sid in (SID_FAN_PORTS, SID_FAN_SLOW) else ""
            alerts += self._alert(known, now, dst)
        return alerts

    def _alert(self, known: _Known, now: int, dst: str) -> list[RuleAlert]:
        """Suspect a scanner from now on."""
        kind, src, mac = known.source
        known.since, known.notes = now, 0
        self.suspects.add((src, mac), now)
        remember(self._told, known.source, now, MAX_TOLD)
        remember(self._told, (mac,), now, MAX_TOLD)
        if not self._pace.allows((known.sid, known.source), now):
            return []
        text = f"TL-IDS fan-out: {WHO[kind]} tries {WHAT[known.sid]}"
        window = SLOW_WINDOW_S if known.sid == SID_FAN_SLOW else FAN_WINDOW_S
        details = {"unanswered_about": str(self._limit(known.sid, kind)), "window_s": str(window)}
        if kind == PREFIX:
            details["network"] = f"{address_text(src + bytes(8))}/64"
        proven = kind == ADDRESS and self.sources.is_proven(src, mac, now)
        name = address_text(src) if kind == ADDRESS else ""
        return [RuleAlert(now, known.sid, text, "Network scan", 2, name, dst, mac_text(mac), details, proven)]


def _to_group(notes: np.ndarray) -> np.ndarray:
    """Which notes go to a multicast address, or to an IPv4 broadcast address of a network of /24 or larger."""
    dst = np.ascontiguousarray(notes["dst"]).view(np.uint8).reshape(len(notes), 16)
    return np.where(notes["size"] == 16, dst[:, 0] == 0xFF, (dst[:, 0] >= 224) | (dst[:, 3] == 255))
