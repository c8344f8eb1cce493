"""What the Pi's program told of a recording, by incident and by attack: events of `replay.replay` beside the labels."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from tlids_edge.alerts.eve import SID_RAISED, SIDS_NOVELTY, flow_id
from tlids_edge.alerts.eve_incidents import SID_INCIDENT
from tlids_edge.alerts.incident import KINDS as NO_CLASSES
from tlids_edge.alerts.incident import RAISED
from tlids_edge.alerts.incidents import CLOSED

from tlids_helpers.testbed.new_home import Session
from tlids_helpers.testbed.recordings import Recording
from tlids_helpers.testbed.replay import RULE_SIDS, since_1970

MODEL, NEW, RULE = "model", "novelty", "rule"
KINDS = (MODEL, NEW, RULE)  # an incident is of the first of them that has a part in it
BEFORE_S, AFTER_S = 0.1, 16.0  # the flows of an attack begin within its time, or answer it; an idle one ends so late


@dataclass(frozen=True)
class Told:
    """What was told of a recording's flows, of its incidents, and by rules."""

    by: np.ndarray  # (flows,) who told of each flow of the session: one of KINDS, or ""
    incident: np.ndarray  # (flows,) the number of the incident that its alert names, 0 for none
    kinds: dict[int, str]  # number of an incident -> one of KINDS
    rules: list[tuple[float, str, int]]  # alerts of rules: seconds since 1970, MAC, incident


def told(events: Iterable[dict], session: Session) -> Told:
    """Sort the program's events: which flow of the session, which incident."""
    places = {flow_id(flow): index for index, flow in enumerate(session.flows)}
    by, incident = np.full(len(places), "", object), np.zeros(len(places), np.int64)
    kinds, rules = {}, []
    for event in events:
        if event["event_type"] != "alert":
            continue
        sid, metadata = event["alert"]["signature_id"], event["alert"].get("metadata", {})
        number = int(metadata.get("tlids_incident", ["0"])[0])
        if sid == SID_INCIDENT[CLOSED]:
            kinds[number] = _kind(metadata)
        elif sid in RULE_SIDS:
            rules.append((since_1970(event["timestamp"]), event.get("ether", {}).get("src_mac", ""), number))
        elif sid <= SID_RAISED:
            place = places[event["flow_id"]]
            by[place] = RULE if sid == SID_RAISED else NEW if sid in SIDS_NOVELTY else MODEL
            incident[place] = number
    return Told(by, incident, kinds, rules)


def _kind(metadata: dict) -> str:
    """Whose an incident is, by the counts in its last line."""
    classes = {entry.rpartition("=")[0] for entry in metadata.get("tlids_classes", [])}
    if classes.difference(NO_CLASSES.values()):
        return MODEL
    return NEW if classes - {RAISED} and "tlids_rules" not in metadata else RULE


def count(told: Told, session: Session, recording: Recording) -> pd.DataFrame:
    """Incidents of each of KINDS, those that hold no attack (`false`), and these an hour.

    An incident holds an attack where one of its flows is labelled as one, or where a rule accuses an attacker in time.
    """
    attacks = set(told.incident[~session.benign])
    for when, mac, number in told.rules:
        if any(_accuses(event, recording, when, mac) for event in recording.attacks):
            attacks.add(number)
    rows = {}
    for kind in KINDS:
        numbers = {number for number, each in told.kinds.items() if each == kind}
        false = len(numbers - attacks)
        rows[kind] = {
            "incidents": len(numbers),
            "false": false,
            "false an hour": round(3600 * false / session.seconds, 1),
        }
    return pd.DataFrame.from_dict(rows, orient="index")


def episodes(told: Told, session: Session, recording: Recording) -> pd.DataFrame:
    """Attacks as they were run, by class: how many, and the first of KINDS that made an incident of each, or `none`."""
    rows = []
    for event in recording.attacks:
        own = _during(event, session) & (told.incident != 0)
        kinds = set(told.by[own])
        if any(_accuses(event, recording, when, mac) for when, mac, _ in told.rules):
            kinds.add(RULE)
        rows.append((event["name"], next((kind for kind in KINDS if kind in kinds), "none")))
    table = pd.crosstab(*map(pd.Series, zip(*rows, strict=True)), rownames=["attack"], colnames=[None])
    table = table.reindex(columns=[*KINDS, "none"], fill_value=0)
    table.insert(0, "episodes", table.sum(axis=1))
    return table


def invisible(told: Told, session: Session) -> pd.DataFrame:
    """Flows of each attack, by who tells of them: KINDS, or `nobody`. What nobody tells of comes first."""
    table = pd.crosstab(session.truth[~session.benign], told.by[~session.benign], rownames=["attack"], colnames=[None])
    table = table.rename(columns={"": "nobody"}).reindex(columns=[*KINDS, "nobody"], fill_value=0)
    table.insert(0, "flows", table.sum(axis=1))
    share = table["nobody"] / table["flows"]
    return table.loc[share.sort_values(ascending=False, kind="stable").index]


def names(table: pd.DataFrame, wanted: Sequence[bool]) -> str:
    """The index of a table's wanted rows as words; "none"."""
    return ", ".join(table.index[np.asarray(wanted, bool)]) or "none"


def _during(event: dict, session: Session) -> np.ndarray:
    """The flows of an attack as it was run, (flows,)."""
    start, end = event["start"] - BEFORE_S, event["end"] + AFTER_S
    within = [start <= flow.first_us / 1e6 <= end for flow in session.flows]
    return (session.truth == event["name"]) & np.array(within, bool)


def _accuses(event: dict, recording: Recording, when: float, mac: str) -> bool:
    """Whether an alert of a rule is about an attack: within its time, and of its attacker's MAC."""
    macs = {host["mac"] for host in recording.hosts if host["name"] == event["attacker"]}
    return mac in macs and event["start"] <= when <= event["end"] + AFTER_S
