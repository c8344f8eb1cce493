"""Verdicts, alerts of rules and losses -> counts, incidents and lines.

Times of flows say when something happened; `now_us`, a monotonic clock's, says live in which order. On replay it is
None, and the flows' own times do both.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import groupby

import numpy as np

from tlids_edge.alerts import eve, eve_incidents
from tlids_edge.alerts.blindness import Blind
from tlids_edge.alerts.incident import Alarm, Incident, kind_of
from tlids_edge.alerts.incidents import OPEN, Incidents, Limits
from tlids_edge.alerts.listing import SOME, Listing
from tlids_edge.alerts.outlet import Kind, Outlet
from tlids_edge.detect.card import Card
from tlids_edge.detect.judging import Batch, names_of
from tlids_edge.detect.suspects import RuleAlert
from tlids_edge.flows.labels import Labels, label_flow
from tlids_edge.flows.rows import ended, flow, groups
from tlids_edge.status import Tally

ALIKE = 8  # flows to one host and port, of a batch, that are counted together: fewer are as fast one by one


@dataclass(frozen=True)
class Options:
    """What is told."""

    flow_alerts: str = SOME  # which single flows are listed: "all", "some", "none"
    all_flows: bool = False  # and a flow event for each, alarming or not; as many, but some at least
    limits: Limits = Limits()
    labels: Labels | None = None
    idle_timeout: float = 15.0  # how late a flow's last packet may be told, in seconds


class Reporter:
    """Counts, finds incidents, and hands lines over."""

    def __init__(self, outlet: Outlet, card: Card, options: Options | None = None, origin: dict | None = None) -> None:
        """`origin` is merged into every line: where the packets came from."""
        self.outlet, self.options = outlet, options or Options()
        self.tally = Tally()
        self._card, self._origin = card, origin
        self.incidents = Incidents(self._tell, self.options.limits, max(60.0, 2 * self.options.idle_timeout))
        self._alerts = Listing(self.options.flow_alerts)
        self._lines: list[tuple[Kind, bytes]] = []  # in the order in which they are written, however they come
        self._events = Listing(SOME if self.options.flow_alerts == "none" else self.options.flow_alerts)

    @property
    def not_listed(self) -> int:
        """Lines about single flows that were left out."""
        return self._alerts.left_out + self._events.left_out

    def take(self, batch: Batch, now_us: int | None) -> None:
        """Report flows that have been judged."""
        suspected = batch.verdicts.rows["rules"] > 0
        anomalies = batch.verdicts.alerts | suspected
        novel = np.where(anomalies, 0, batch.novel)
        self._count(batch, anomalies)
        self.tally.novel += int(np.count_nonzero(novel))
        replies = (batch.verdicts.rows["is_reply"] > 0) & ~suspected
        self.tally.replies += int(np.count_nonzero(replies & (anomalies | (novel > 0))))
        novel[replies] = 0
        alarming = anomalies & ~replies | (novel > 0)  # replies are counted, and accuse nobody
        every = self.options.all_flows or now_us is None  # on replay each flow moves the clock
        places = np.flatnonzero(alarming | every)
        if not every:
            places = self._join(batch, novel, places, now_us)
        for place, alarm in zip(places.tolist(), _alarms(batch, novel, places), strict=True):
            now = self.incidents.steady(alarm.time_us, now_us)
            incident = self._tell_of(batch, place, alarm, now) if alarming[place] else None
            if self.options.all_flows and self._events.passes(incident, now):
                line = eve.flow_line(batch.verdict(place), bool(anomalies[place]), self._origin)
                self._lines.append((Kind.FLOW, line))
        self._send()

    def take_rule_alerts(self, found: Iterable[RuleAlert], now_us: int | None) -> None:
        """Report what rules have found."""
        for alert in found:
            self.tally.rule_alerts += 1
            incident = self.incidents.see_rule(alert, now_us)
            line = eve.rule_line(alert, self._origin, incident.id if incident else None)
            self._lines.append((Kind.RULE, line))
        self._send()

    def take_unjudged(self, rows: np.ndarray) -> None:
        """Count flows for which there was no time, a ROW array, in their incidents."""
        if len(rows):
            self.incidents.note_unjudged(rows)

    def take_blind(self, spells: Iterable[Blind]) -> None:
        """Report that not everything is seen or judged, or that it is again."""
        self.outlet.send(Kind.BLIND, [eve_incidents.blind_line(spell, self._origin) for spell in spells])

    def close_silent(self, now_us: int) -> None:
        """Close the incidents that are silent, though no flow ends."""
        self.incidents.steady(0, now_us)
        self._send()

    def take_over(self, card: Card) -> None:
        """Tell of another model's verdicts from now on; the home is learned, so incidents open as was asked."""
        self._card, self.incidents.limits = card, self.options.limits

    def close(self) -> None:
        """Close the incidents at the end of a run."""
        self.incidents.close_all()
        self._send()

    def _count(self, batch: Batch, anomalies: np.ndarray) -> None:
        """Count flows by verdict and, with labels, by truth."""
        self.tally.add(batch.verdicts.labels, batch.verdicts.alerts, anomalies)
        if self.options.labels is not None:
            truth = (label_flow(self.options.labels, flow(row)) for row in batch.verdicts.rows)
            self.tally.matrix.update(zip(truth, anomalies.tolist(), strict=True))

    def _tell_of(self, batch: Batch, place: int, alarm: Alarm, now: int) -> Incident | None:
        """Find the incident of one alarming flow, and add its alert."""
        incident = self.incidents.see(alarm, now)
        if self._alerts.passes(incident, now, incident is None and self.incidents.repeats(alarm)):
            verdict, number = batch.verdict(place), incident.id if incident else None
            if alarm.novel:
                line = eve.novelty_line(verdict, alarm.novel, self._origin, number)
            else:
                line = eve.alert_line(verdict, self._card, alarm.rules, self._origin, number)
            self._lines.append((Kind.ALERT, line))
        elif incident is not None:
            incident.unlisted += 1
        return incident

    def _join(self, batch: Batch, novel: np.ndarray, places: np.ndarray, now_us: int) -> np.ndarray:
        """Let flows join the open incident of their target, or of their source, together; the other places."""
        now = self.incidents.steady(0, now_us)
        for names in (("dst", "dst_port"), ("src", "dst", "dst_port")):
            if len(places) >= ALIKE and len(self.incidents):
                places = self._join_alike(batch, novel, places, now, names)
        return places

    def _join_alike(
        self, batch: Batch, novel: np.ndarray, places: np.ndarray, now: int, names: tuple[str, ...]
    ) -> np.ndarray:
        """Those that are alike in some fields, and of whose incident no flow is listed any more; the other places."""
        _, _, labels, alerts, scores = batch.verdicts
        rows, others = batch.verdicts.rows[places], np.ones(len(places), bool)
        _, first, which, counts = np.unique(groups(rows, names), True, True, True)
        for group in np.flatnonzero(counts >= ALIKE).tolist():
            incident = self.incidents.settled(rows[first[group] :][:1], now, "src" in names)
            if incident is None or not self._alerts.is_full(incident, now):
                continue
            some = which == group
            joining = places[some].tolist()
            kinds = [kind_of(labels[place] if alerts[place] else "", novel[place]) for place in joining]
            self.incidents.join(rows[some], kinds, scores[joining], now)
            self._alerts.left_out += len(joining)
            others &= ~some
        return places[others]

    def _tell(self, state: str, time_us: int, incident: Incident, why: str) -> None:
        """Write the line of an incident."""
        if state == OPEN:
            self.tally.note_incident()
        line = eve_incidents.incident_line(state, time_us, incident, why, self._origin)
        self._lines.append((Kind.INCIDENT, line))

    def _send(self) -> None:
        """Hand over the lines."""
        lines, self._lines = self._lines, []
        for kind, run in groupby(lines, lambda each: min(each[0], Kind.ALERT)):  # what is of single flows together
            self.outlet.send(kind, [line for _, line in run])


def _alarms(batch: Batch, novel: np.ndarray, places: np.ndarray) -> Iterator[Alarm]:
    """What an incident needs to know of the flows at these places."""
    rows, _, labels, alerts, scores = batch.verdicts
    rows, alerts, scores = rows[places], alerts[places].tolist(), scores[places].tolist()
    columns = (
        ended(rows), places.tolist(), alerts, scores, rows["rules"].tolist(), rows["answered"].tolist(),
        novel[places].tolist(),
    )  # fmt: skip
    for one, place, alert, score, rules, answered, is_novel in zip(*columns, strict=True):
        src, dst, _, dst_port = one.key[:4]
        label = labels[place] if alert else ""
        yield Alarm(
            one.last_us, src, one.src_hw, dst, dst_port, label, score, names_of(rules), one.proven, is_novel,
            bool(answered),
        )  # fmt: skip
