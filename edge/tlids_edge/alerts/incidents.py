"""Alarms -> incidents: what people are told of, instead of flows.

An incident is known by its source, or, where many sources attack one service, by its target: host and port. It opens
when `Limits` are reached, gives a line at most once a minute while alarms come, and closes after a minute of silence.
A flow belongs to one incident, its target's if there is one. Alerts of rules join the incident of their source.

What a forger can do is bounded. At most MAX_OPEN are open; then the smallest goes first, of equals the longest silent,
and what is open is never closed for something smaller. Sources that are only claimed, and targets, share places by
whom they count against (`kin`: the MAC that sends, the host that is aimed at): from KIN open ones on, further bursts
join one incident of that MAC or host; from FORGEABLE such incidents on, one incident for all the rest. So a million
forged sources are one incident of a target, or at most KIN + 1 incidents of one MAC.

Windows are measured on a steady clock. Live that is the caller's monotonic one. On replay it is the newest time of an
alarm; when alarms fall behind it by more than `lag_s` the capture's clock was set back, and the steady clock goes on.
"""

import socket
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from tlids_edge.alerts.candidates import SLOW_PIECES, Held, SizedTable, Source, Target
from tlids_edge.alerts.incident import Alarm, Incident
from tlids_edge.detect.suspects import RuleAlert
from tlids_edge.flows.rows import ROW, ended, groups

MAX_OPEN = 10_000
CANDIDATES = 4096  # in each of three tables: proven sources, claimed sources, targets
KIN, FORGEABLE = 20, 1000  # open incidents that one MAC or host, and all of them, may have where sources can be forged
SECOND_US = 1_000_000
SOURCE, TARGET, MAC, SOURCES, PORTS, MANY = "source", "target", "mac", "sources", "ports", "many"
OPEN, UPDATE, CLOSED = "open", "update", "closed"
Tell = Callable[[str, int, Incident, str], None]  # state, time in us since 1970, the incident, why


@dataclass(frozen=True)
class Limits:
    """When an incident opens, when it is told again, when it closes; times in seconds."""

    flows: int = 5  # of one source,
    window_s: float = 60  # within this,
    novel_flows: int = 3  # or so many that are only new; or
    slow_flows: int = 60  # so many
    slow_window_s: float = 3600  # within this; or
    target_flows: int = 20  # to one host and port,
    target_sources: int = 10  # from so many sources,
    target_window_s: float = 10  # within this
    silence_s: float = 60  # without an alarm: it closes
    slow_silence_s: float = 600  # and one that the long window opened
    update_s: float = 60  # between two lines of one incident at least


class Incidents:
    """Open incidents, and what may become one. `tell` is called with each line that is due."""

    def __init__(self, tell: Tell, limits: Limits | None = None, lag_s: float = 60.0, max_open: int = MAX_OPEN) -> None:
        """Hold nothing; `lag_s` is how far alarms may be out of the order of time, an idle timeout at least."""
        self.limits = limits or Limits()
        self.opened = self.evicted = self.refused = 0  # refused: the table was full of larger ones
        self._tell, self._lag_us = tell, int(lag_s * SECOND_US)
        self._open = SizedTable(max_open)
        self._sources = {proven: SizedTable(CANDIDATES, CANDIDATES // 2) for proven in (True, False)}
        self._targets = SizedTable(CANDIDATES, CANDIDATES // 2)
        self._kin: Counter[tuple] = Counter()
        self._macs: dict[bytes, set[tuple]] = {}  # MAC -> keys of the open incidents of its addresses
        self._newest = self._shift = self._looked = 0
        self._piece_us = max(int(self.limits.slow_window_s * SECOND_US) // SLOW_PIECES, 1)

    def __len__(self) -> int:
        """Number of open incidents."""
        return len(self._open)

    def see(self, alarm: Alarm, now_us: int | None = None) -> Incident | None:
        """Take in an alarming flow; the incident that it belongs to, None while it belongs to none.

        `now_us` is a monotonic clock's, and is left out on replay.
        """
        now = self.steady(alarm.time_us, now_us)
        incident = self._alive((TARGET, alarm.dst, alarm.dst_port), now)
        if incident is None:
            held = Held(alarm, now)
            incident = self._weigh_target(held)
            if incident is not None:
                return incident  # which has counted the alarm
            incident = self._of_source(alarm, now)
            if incident is None:
                return self._weigh_source(held)
            held.taken = True
        incident.add(alarm)
        self._go_on(incident, alarm.time_us, now)
        return incident

    def join(self, rows: np.ndarray, kinds: Sequence[str], scores: np.ndarray, now: int) -> None:
        """Let flows of one source or target, a ROW array, join the incident that is `settled` for them."""
        src, dst, _, port, *_ = next(ended(rows[:1])).key
        incident = self._open.get((TARGET, dst, port))
        if incident is None:
            incident, target = self._open.get((SOURCE, src)), self._targets.get((dst, port))
            target.add_taken(src, now, len(rows), self.limits.target_flows)
            self._keep(self._targets, target, target.count)
        incident.add_many(rows, kinds, scores)
        incident.unlisted += len(rows)
        self._go_on(incident, incident.last_us, now)

    def settled(self, row: np.ndarray, now: int, of_source: bool) -> Incident | None:
        """The open incident of a flow's target or source, a ROW array of one, when such flows change only its counts.

        `now` is a steady time.
        """
        src, dst, _, port, *_ = next(ended(row)).key
        incident, target = self._open.get((TARGET, dst, port)), self._targets.get((dst, port))
        if incident is None and of_source and target is not None and target.is_far(src, self.limits.target_sources):
            incident = self._open.get((SOURCE, src))
        if incident is None or now - incident.seen > self._silence_us(incident) or self._is_due(incident, now):
            return None
        return incident

    def see_rule(self, alert: RuleAlert, now_us: int | None = None) -> Incident | None:
        """Take in the alert of a rule: it joins the incident of its source, or opens it; None if it accuses nobody."""
        now = self.steady(alert.time_us, now_us)
        address, mac = _address_bytes(alert.src), _mac_bytes(alert.src_mac)
        proven = bool(getattr(alert, "proven", False))
        source = (address, mac) if _names_sender(alert) else (b"", mac)
        if source == (b"", b""):
            return None
        key = (SOURCE, address) if source[0] else (MAC, mac)
        incident = self._alive(key, now) or self._alive(self._of_mac(key), now)
        if incident is None:
            incident = self._begin(key, () if proven else (SOURCES, mac), alert.time_us, now)
        if incident is not None:
            incident.add_rule(alert, source, proven)
            self._go_on(incident, alert.time_us, now)
        return incident

    def repeats(self, alarm: Alarm) -> bool:
        """Whether an alarm without an incident says nothing new: its source asked that host and port before in vain."""
        source = self._sources[alarm.proven].get(alarm.src)
        return source is not None and source.repeats(alarm)

    def note_unjudged(self, rows: np.ndarray) -> None:
        """Count flows for which there was no time, a ROW array, in the open incidents that they would belong to."""
        for kind, names in ((TARGET, ("dst", "dst_port")), (SOURCE, ("src",))):
            incidents = [incident for incident in self._open if incident.key[0] == kind]
            if incidents and len(rows):
                rows = rows[~_count_unjudged(incidents, rows, names)]

    def steady(self, time_us: int, now_us: int | None) -> int:
        """The steady time of something that has a time of its own and happens now; what was silent until then closes.

        Every flow should be told so, in the order of judgement: on replay nothing else moves the clock.
        """
        moment = time_us + self._shift if now_us is None else now_us
        if now_us is None and moment < self._newest - self._lag_us:
            self._shift += self._newest - moment
        self._newest = max(self._newest, moment)
        self._close_silent(self._newest)
        return self._newest

    def close_all(self, why: str = "shutdown") -> None:
        """Close every open incident, as at the end of a run."""
        for incident in sorted(self._open, key=_in_order):
            self._close(incident, incident.last_us, why)

    def open_incidents(self) -> Iterable[Incident]:
        """All that are open, the smaller ones first."""
        return iter(self._open)

    def _alive(self, key: tuple, now: int) -> Incident | None:
        """The open incident of a key; one that has been silent for too long is closed first."""
        incident = self._open.get(key)
        if incident is not None and now - incident.seen > self._silence_us(incident):
            self._close_silent_one(incident)
            return None
        return incident

    def _of_source(self, alarm: Alarm, now: int) -> Incident | None:
        """The open incident of an alarm's source: of its address, or of its MAC while a rule suspects that."""
        incident = self._alive((SOURCE, alarm.src), now)
        if incident is None and alarm.rules:
            incident = self._alive((MAC, alarm.src_mac), now)
        return incident

    def _of_mac(self, key: tuple) -> tuple:
        """The incident of the one address that a suspected MAC alarms under, if there is one such address."""
        known = self._macs.get(key[1], ()) if key[0] == MAC else ()
        return next(iter(known)) if len(known) == 1 else key

    def _weigh_target(self, held: Held) -> Incident | None:
        """Whether this alarm makes an incident of its target."""
        limits, alarm = self.limits, held.alarm
        window_us = int(limits.target_window_s * SECOND_US)
        key = alarm.dst, alarm.dst_port
        target = self._targets.get(key) or Target(key)
        target.add(held, limits.target_flows, limits.target_sources)
        self._keep(self._targets, target, target.count)
        if not target.is_reached(limits.target_flows, limits.target_sources, window_us):
            return None
        incident = self._fill((TARGET, *key), (PORTS, alarm.dst), target.waiting(window_us))
        if incident is not None and incident.key[0] == TARGET:
            self._targets.pop(key)
        return incident

    def _weigh_source(self, held: Held) -> Incident | None:
        """Whether this alarm makes an incident of its source."""
        limits, alarm = self.limits, held.alarm
        table = self._sources[alarm.proven]
        source = table.get(alarm.src) or Source(alarm.src)
        source.add(held, int(limits.window_s * SECOND_US), self._piece_us)
        self._keep(table, source, source.size)
        slow = source.within_long_window(self._piece_us) >= limits.slow_flows
        if not slow and len(source.held) < min(limits.flows, limits.novel_flows):
            return None
        burst = source.weight() >= limits.flows or source.weight(novel=True) >= limits.novel_flows
        if not (burst or slow):
            return None
        waiting = source.waiting()
        table.pop(alarm.src)
        earlier = source.slow if not burst else None
        return self._fill((SOURCE, alarm.src), () if alarm.proven else (SOURCES, alarm.src_mac), waiting, earlier)

    def _fill(self, key: tuple, kin: tuple, waiting: list[Held], earlier=None) -> Incident | None:
        """Give the alarms that have waited to the incident of a key, which opens if need be."""
        now, time_us = waiting[-1].at, waiting[-1].alarm.time_us
        incident = self._begin(key, kin, time_us, now, earlier is not None)
        if incident is None:
            return None
        if earlier is not None:
            incident.add_earlier(earlier.classes, earlier.first_us)
        for held in waiting:
            held.taken = True
            incident.add(held.alarm)
        self._go_on(incident, time_us, now)
        return incident

    def _begin(self, key: tuple, kin: tuple, time_us: int, now: int, slow: bool = False) -> Incident | None:
        """A new incident, or the one that takes in what forgers would open too many of; None when there is no room."""
        if kin and self._kin[kin] >= KIN:
            key = kin
        elif kin and self._kin[()] >= FORGEABLE:
            key = (MANY,)
        incident = self._alive(key, now)
        if incident is not None:
            return incident
        smallest = self._open.smallest() if len(self._open) >= self._open.limit else None
        if smallest is not None:
            if smallest.size.bit_length() > self.limits.flows.bit_length():
                self.refused += 1
                return None
            self.evicted += 1
            self._close(smallest, smallest.last_us, "table full")
        incident = Incident(key, kin, time_us, slow)
        for whom in {kin, ()} if kin else ():
            self._kin[whom] += 1
        return incident

    def _go_on(self, incident: Incident, time_us: int, now: int) -> None:
        """An incident has taken something in: enter it, and say so when it is new or it is time to."""
        incident.seen = now
        self._open.put(incident.key, incident, incident.size)
        if incident.told < 0:
            self.opened += 1
            incident.told = now
            if incident.key[0] == SOURCE:
                self._macs.setdefault(_mac_of(incident), set()).add(incident.key)
            self._say(OPEN, time_us, incident)
        elif self._is_due(incident, now):
            incident.told = now
            self._say(UPDATE, time_us, incident)

    def _is_due(self, incident: Incident, now: int) -> bool:
        """Whether it is time for another line of an open incident."""
        return now - incident.told >= self.limits.update_s * SECOND_US

    def _keep(self, table: SizedTable, entry: Source | Target, size: int) -> None:
        """Enter a candidate into its table, at the price of the smallest."""
        table.put(entry.key, entry, size)
        if len(table) > table.limit:
            table.pop(table.smallest().key)

    def _close_silent(self, now: int) -> None:
        """Close what has been silent for long enough; looked at once a second."""
        if now - self._looked < SECOND_US:
            return
        self._looked, silent, soonest = now, [], now - int(self.limits.silence_s * SECOND_US)
        for level in self._open.longest_silent():
            for incident in level:
                if incident.seen >= soonest:
                    break
                if now - incident.seen > self._silence_us(incident):
                    silent.append(incident)
        for incident in sorted(silent, key=_in_order):
            self._close_silent_one(incident)

    def _close_silent_one(self, incident: Incident) -> None:
        """Close an incident at the end of its silence."""
        self._close(incident, incident.last_us + self._silence_us(incident), "silence")

    def _close(self, incident: Incident, time_us: int, why: str) -> None:
        """Take an incident off the table and say so."""
        self._open.pop(incident.key)
        for whom in {incident.kin, ()} if incident.kin else ():
            self._kin[whom] -= 1
            if not self._kin[whom]:
                del self._kin[whom]
        if incident.key[0] == SOURCE and (known := self._macs.get(_mac_of(incident))):
            known.discard(incident.key)
            if not known:
                del self._macs[_mac_of(incident)]
        self._say(CLOSED, time_us, incident, why)

    def _silence_us(self, incident: Incident) -> int:
        """How long an incident may be silent."""
        return int((self.limits.slow_silence_s if incident.slow else self.limits.silence_s) * SECOND_US)

    def _say(self, state: str, time_us: int, incident: Incident, why: str = "") -> None:
        """Hand a line over; what was left out before it is told by it."""
        self._tell(state, time_us, incident, why)
        incident.unlisted = 0


def _in_order(incident: Incident) -> tuple:
    """What incidents that close together are sorted by."""
    return incident.seen, incident.opened_us, incident.id


def _count_unjudged(incidents: list[Incident], rows: np.ndarray, names: tuple[str, ...]) -> np.ndarray:
    """Count rows in the incident that has their values in these fields as its key; which rows were: bool [n]."""
    keys = np.zeros(len(incidents), ROW)
    for name, values in zip(names, zip(*[incident.key[1:] for incident in incidents], strict=True), strict=True):
        keys[name] = np.array(values, "S16").view("V16") if ROW[name].kind == "V" else values
    sought = groups(keys, names)
    order = np.argsort(sought)
    numbers = groups(rows, names)
    place = order[np.minimum(sought[order].searchsorted(numbers), len(order) - 1)]
    counted = sought[place] == numbers
    for incident, count in zip(incidents, np.bincount(place[counted], minlength=len(order)).tolist(), strict=True):
        incident.unjudged += count
    return counted


def _mac_of(incident: Incident) -> bytes:
    """The MAC under which an incident's source was first seen."""
    return next(iter(incident.sources.first))[1]


def _names_sender(alert: RuleAlert) -> bool:
    """Whether an alert's address is its sender's; rules for ARP and IPv6 neighbours name one that is claimed."""
    return "spoofing" not in alert.category


def _address_bytes(text: str) -> bytes:
    """An address as packets have it; b"" for none."""
    return socket.inet_pton(socket.AF_INET6 if ":" in text else socket.AF_INET, text) if text else b""


def _mac_bytes(text: str) -> bytes:
    """A MAC address as frames have it; b"" for none."""
    return bytes.fromhex(text.replace(":", ""))
