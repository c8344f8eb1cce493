"""Verdicts, alerts of rules and losses -> counts, incidents and lines.

Times of flows say when something happened; `now_us`, a monotonic clock's, says live in which order. On replay it is
None, and the flows' own times do both.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from itertools import groupby
from operator import itemgetter

from tlids_edge.alerts import eve, eve_incidents
from tlids_edge.alerts.blindness import Blind
from tlids_edge.alerts.incident import Alarm, Incident
from tlids_edge.alerts.incidents import OPEN, Incidents, Limits
from tlids_edge.alerts.listing import SOME, Listing
from tlids_edge.alerts.outlet import Kind, Outlet
from tlids_edge.detect.card import Card
from tlids_edge.detect.judging import Judged
from tlids_edge.detect.suspects import RuleAlert
from tlids_edge.flows.labels import Labels, label_flow
from tlids_edge.flows.meter import Flow
from tlids_edge.status import Tally


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

    def take(self, judged: list[Judged], now_us: int | None) -> None:
        """Report flows that have been judged."""
        for one in judged:
            self._conclude(one, now_us)
        self._send()

    def take_rule_alerts(self, found: Iterable[RuleAlert], now_us: int | None) -> None:
        """Report what rules have found."""
        for alert in found:
            self.tally.rule_alerts += 1
            incident = self.incidents.see_rule(alert, now_us)
            line = eve.rule_line(alert, self._origin, incident.id if incident else None)
            self._lines.append((Kind.RULE, line))
        self._send()

    def take_unjudged(self, flows: list[Flow]) -> None:
        """Count flows for which there was no time in their incidents."""
        if flows:
            keys = [flow.key for flow in flows]
            self.incidents.note_unjudged([key[0] for key in keys], [key[1] for key in keys], [key[3] for key in keys])

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

    def _conclude(self, judged: Judged, now_us: int | None) -> None:
        """Combine the model's verdict with the rules', count it, and add its lines."""
        verdict, rules, _ = judged
        flow, anomaly = verdict.flow, verdict.is_alert or bool(rules)
        novel = judged.novel and not anomaly
        labels = self.options.labels
        self.tally.add(verdict.label, verdict.is_alert, anomaly, label_flow(labels, flow) if labels else None)
        self.tally.novel += novel
        now, incident = self.incidents.steady(flow.last_us, now_us), None
        if anomaly or novel:
            alarm = _alarm(judged)
            incident = self.incidents.see(alarm, now)
            if self._alerts.passes(incident, now, incident is None and self.incidents.repeats(alarm)):
                number = incident.id if incident else None
                if novel:
                    line = eve.novelty_line(verdict, self._origin, number)
                else:
                    line = eve.alert_line(verdict, self._card, rules, self._origin, number)
                self._lines.append((Kind.ALERT, line))
            elif incident is not None:
                incident.unlisted += 1
        if self.options.all_flows and self._events.passes(incident, now):
            self._lines.append((Kind.FLOW, eve.flow_line(verdict, anomaly, self._origin)))

    def _tell(self, state: str, time_us: int, incident: Incident, why: str) -> None:
        """Write the line of an incident."""
        if state == OPEN:
            self.tally.note_incident()
        line = eve_incidents.incident_line(state, time_us, incident, why, self._origin)
        self._lines.append((Kind.INCIDENT, line))

    def _send(self) -> None:
        """Hand over the lines."""
        lines, self._lines = self._lines, []
        for kind, run in groupby(lines, itemgetter(0)):
            self.outlet.send(kind, [line for _, line in run])


def _alarm(judged: Judged) -> Alarm:
    """What an incident needs to know of an alarming flow."""
    verdict, rules, novel = judged
    flow = verdict.flow
    src, dst, _, dst_port = flow.key[:4]
    label = verdict.label if verdict.is_alert else ""
    proven, answered = flow.proven, flow.answered
    return Alarm(flow.last_us, src, flow.src_hw, dst, dst_port, label, verdict.score, rules, proven, novel, answered)
