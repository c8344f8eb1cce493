"""One source that knocks on many doors, and gets no answer.

Fed with the meter's notes of unanswered flows, which `knocks` enters in the sketches. A source is an address and the
MAC address of its frames. Beside it two larger ones are watched, at twice the threshold: all addresses of an IPv6 /64
behind one MAC, and all addresses of one MAC, so that a thousand forged sources of one machine are still one machine.
All counts are those of `sketches`: at most 5.6 MB, whatever arrives. The alerts, and what they do to the source's
flows, are those of `suspects`.
"""

from collections import OrderedDict
from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple

from tlids_edge.capture.packets import address_text, mac_text
from tlids_edge.detect import knocks
from tlids_edge.detect.knocks import ADDRESS, DOORS, FAN_WINDOW_S, HOSTS, PORTS, PREFIX, SLOW, SLOW_WINDOW_S
from tlids_edge.detect.notes import Notes, as_list, as_matrix
from tlids_edge.detect.sources import ProvenSources
from tlids_edge.detect.suspects import ACTIVE_S, Pace, RuleAlert, Suspects, remember, within
from tlids_edge.flows.flow import Flow

FAN_PORTS = 50  # unanswered ports of one host
FAN_HOSTS = 100  # unanswered hosts
FAN_DOORS = 200  # unanswered ports of whatever hosts
TOGETHER = 2  # times as much for many addresses together
FEW = 12  # notes: up to so many are taken one by one
TURN = 1024  # notes at a time; a scanner adds at most so many to the sketches before it is known
ALLOWANCE = 256  # notes of a MAC that is known under many addresses, whose addresses are looked at one by one: in 4 s
MAX_KNOWN, MAX_TOLD = 256, 1024  # scanners that are under an alert, and that were within the hour
MAX_ALERTS = 32  # in one turn
SID_FAN_PORTS, SID_FAN_HOSTS, SID_FAN_DOORS, SID_FAN_SLOW = 9_200_011, 9_200_012, 9_200_013, 9_200_014
SIDS = {SLOW: SID_FAN_SLOW, DOORS: SID_FAN_DOORS, HOSTS: SID_FAN_HOSTS, PORTS: SID_FAN_PORTS}
WHAT = {
    PORTS: "many ports of one host",
    HOSTS: "many hosts",
    DOORS: "many ports of several hosts",
    SLOW: "many ports of one host within an hour",
}
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
    what: int  # was too much
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
        self._limits = {PORTS: ports, HOSTS: hosts, DOORS: FAN_DOORS, SLOW: ports}
        self._counters, self._keys = knocks.Counters(self._limits), knocks.Keys(seed)
        self._known: dict[int, _Known] = {}
        self._allowance, self._allowance_unit = ALLOWANCE, 0
        self._told: OrderedDict[tuple, int] = OrderedDict()  # sources and MACs -> their last alert
        self._pace = Pace()

    @property
    def nbytes(self) -> int:
        """Memory of the sketches in bytes."""
        return self._counters.nbytes

    @property
    def blind(self) -> bool:
        """Whether a flood has filled the sketches so far that a scan beside it would not be noticed."""
        return any(self._counters.spreads[what].blind for what in (HOSTS, PORTS))

    def see(self, notes: Notes) -> list[RuleAlert]:
        """Take note of unanswered flows, in the meter's order; the alerts they give rise to."""
        return [alert for turn in self._turns(notes) for alert in self._take(turn)]

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

    def _limit(self, what: int, kind: int) -> int:
        """How many are too many for a source of a kind."""
        return self._limits[what] * (1 if kind == ADDRESS else TOGETHER)

    def _needed(self, what: int, kind: int) -> float:
        """How many entries of the sketch that is."""
        return self._counters.spreads[what].needed(self._limit(what, kind))

    def _turns(self, notes: Notes) -> Iterator[knocks.Few | knocks.Many]:
        """Notes that count, in turns; see `knocks`."""
        unit = self._counters.spreads[PORTS].unit
        if len(notes) <= FEW:
            for turn in knocks.turns(as_list(notes), unit):
                yield knocks.Few(turn, self._keys)
        else:
            for turn in knocks.turns_of_many(as_matrix(notes), unit, TURN):
                yield knocks.Many(turn, self._keys)

    def _take(self, turn: knocks.Few | knocks.Many) -> list[RuleAlert]:
        """One turn: leave out what answers knocks and what known scanners do, count the rest."""
        self._counters.roll(turn.now)
        turn.leave_out_answers(self._counters.knocked)
        alerts = self._hear_known(turn) if self._known else []
        return alerts + self._tell(turn, turn.count(self._counters.spreads, self._needed))

    def _hear_known(self, turn: knocks.Few | knocks.Many) -> list[RuleAlert]:
        """Forget whose alert has ended; each as many notes again as made the alert prolong it.

        Who is known is not counted again; of a known MAC a few notes are, address by address.
        """
        now = turn.now
        self._known = {key: one for key, one in self._known.items() if within(now, one.since, ACTIVE_S)}
        unit = self._counters.spreads[PORTS].unit(now)
        if unit != self._allowance_unit:
            self._allowance, self._allowance_unit = ALLOWANCE, unit
        heard, used = turn.leave_out_known(self._known, self._allowance)
        self._allowance = max(0, self._allowance - used)
        alerts = []
        for key, known in self._known.items():
            known.notes += heard.get(key, 0)
            if known.notes >= self._limit(known.what, known.source.kind):
                alerts += self._alert(known, now, "")
        return alerts

    def _tell(self, turn: knocks.Few | knocks.Many, hits: list[knocks.Hit]) -> list[RuleAlert]:
        """Suspect who is over a limit: an address before its /64, and that before its MAC."""
        now = turn.now
        alerts: list[RuleAlert] = []
        named: set[bytes] = set()  # MACs under which an address or a /64 has been found
        for kind, row, what, key in hits[:MAX_ALERTS]:
            _, src, dst, _, _, mac = turn.note(row)
            mac = mac[:6] if any(mac) else b""
            if kind != ADDRESS and mac in named:
                continue
            source = _Source(kind, (src, src[:8], b"")[kind], mac)
            known = _Known(source, what, now)
            if what == SLOW:  # who has been told of lately is no slow scanner
                if within(now, self._told.get(source if kind == ADDRESS else (mac,)), SLOW_WINDOW_S):
                    continue
            else:
                self._known[key] = known
                if len(self._known) > MAX_KNOWN:
                    del self._known[next(iter(self._known))]
            named.add(mac)
            alerts += self._alert(known, now, address_text(dst) if what in (PORTS, SLOW) else "")
        return alerts

    def _alert(self, known: _Known, now: int, dst: str) -> list[RuleAlert]:
        """Suspect a scanner from now on."""
        kind, src, mac = known.source
        known.since, known.notes = now, 0
        self.suspects.add((src, mac), now)
        remember(self._told, known.source, now, MAX_TOLD)
        remember(self._told, (mac,), now, MAX_TOLD)
        if not self._pace.allows((known.what, known.source), now):
            return []
        text = f"TL-IDS fan-out: {WHO[kind]} tries {WHAT[known.what]}"
        window = SLOW_WINDOW_S if known.what == SLOW else FAN_WINDOW_S
        details = {"unanswered_about": str(self._limit(known.what, kind)), "window_s": str(window)}
        if kind == PREFIX:
            details["network"] = f"{address_text(src + bytes(8))}/64"
        proven = kind == ADDRESS and self.sources.is_proven(src, mac, now)
        name = address_text(src) if kind == ADDRESS else ""
        return [RuleAlert(now, SIDS[known.what], text, "Network scan", 2, name, dst, mac_text(mac), details, proven)]
