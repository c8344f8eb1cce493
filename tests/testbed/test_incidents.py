"""Events of the program beside labels: flows, incidents and attacks counted by hand."""

import numpy as np
from tlids_edge.alerts.eve import SID_MODEL, SID_NOVELTY, SID_NUMBER, SID_RAISED, SID_USE, flow_id, timestamp
from tlids_edge.alerts.eve_incidents import SID_INCIDENT
from tlids_edge.flows.meter import Flow

from tlids_helpers.testbed import incidents
from tlids_helpers.testbed.incidents import MODEL, NEW, RULE
from tlids_helpers.testbed.new_home import Session
from tlids_helpers.testbed.recordings import Recording

ATTACKER = "02:00:00:00:00:09"
RECORDING = Recording(
    "one", "10.0.0.0/24", 0, [{"name": "attacker", "mac": ATTACKER}],
    [{"name": "Scan", "start": 10.0, "end": 20.0, "attacker": "attacker"},
     {"name": "Scan", "start": 50.0, "end": 60.0, "attacker": "attacker"},
     {"name": "ARP MITM", "start": 100.0, "end": 110.0, "attacker": "attacker"},
     {"name": "Beacon", "start": 200.0, "end": 210.0, "attacker": "attacker"}],
)  # fmt: skip
TRUTH = ["Benign", "Scan", "Scan", "Scan", "Beacon", "Benign", "Benign", "Benign"]
BEGAN = [5, 11, 12, 55, 201, 300, 301, 3600]


def flow(number: int, second: int) -> Flow:
    made = object.__new__(Flow)
    made.key, made.first_us, made.last_us = (bytes(4), bytes(4), number, 80, 6, 0), second * 10**6, second * 10**6
    return made


SESSION = Session([flow(*each) for each in enumerate(BEGAN)], np.array(TRUTH), np.array(["hub"] * 8))


def alert(index: int, sid: int, number: int = 0) -> dict:
    metadata = {"tlids_incident": [str(number)]} if number else {}
    return {"event_type": "alert", "flow_id": flow_id(SESSION.flows[index]),
            "alert": {"signature_id": sid, "metadata": metadata}}  # fmt: skip


def closed(number: int, *classes: str, rules: bool = False) -> dict:
    metadata = {"tlids_incident": [str(number)], "tlids_classes": [f"{name}=5" for name in classes]}
    metadata |= {"tlids_rules": ["arp=1"]} if rules else {}
    return {"event_type": "alert", "alert": {"signature_id": SID_INCIDENT["closed"], "metadata": metadata}}


def rule(second: int, mac: str, number: int) -> dict:
    return {"event_type": "alert", "timestamp": timestamp(second * 10**6), "ether": {"src_mac": mac},
            "alert": {"signature_id": 9_200_001, "metadata": {"tlids_incident": [str(number)]}}}  # fmt: skip


EVENTS = [
    {"event_type": "flow", "flow_id": 1},
    alert(0, SID_MODEL + 3, 71), alert(1, SID_MODEL + 1), alert(2, SID_MODEL + 1, 72), alert(3, SID_RAISED, 73),
    alert(4, SID_NOVELTY), alert(5, SID_NUMBER, 74), alert(6, SID_USE),
    rule(105, ATTACKER, 75), rule(400, "02:00:00:00:00:01", 76),
    closed(71, "Flood"), closed(72, "Scan", "novelty", rules=True), closed(73, "raised by a rule", rules=True),
    closed(74, "unusual number of flows"), closed(75, rules=True), closed(76, rules=True),
]  # fmt: skip
TOLD = incidents.told(EVENTS, SESSION)


def test_each_flow_is_told_of_by_the_model_by_novelty_by_a_rule_or_by_nobody():
    assert TOLD.by.tolist() == [MODEL, MODEL, MODEL, RULE, NEW, NEW, NEW, ""]
    assert TOLD.incident.tolist() == [71, 0, 72, 73, 0, 74, 0, 0]


def test_an_incident_is_the_models_before_it_is_noveltys_or_a_rules():
    assert TOLD.kinds == {71: MODEL, 72: MODEL, 73: RULE, 74: NEW, 75: RULE, 76: RULE}


def test_an_incident_is_false_that_holds_no_attack_and_accuses_no_attacker_in_time():
    table = incidents.count(TOLD, SESSION, RECORDING)
    assert table["incidents"].to_dict() == {MODEL: 2, NEW: 1, RULE: 3}
    assert table["false"].to_dict() == {MODEL: 1, NEW: 1, RULE: 1}  # 71, 74 and 76
    assert (table["false an hour"] == 1.0).all()  # from second 5 to 3600


def test_an_episode_is_found_by_the_first_kind_that_makes_an_incident_of_it():
    table = incidents.episodes(TOLD, SESSION, RECORDING)
    columns = ["episodes", MODEL, NEW, RULE, "none"]
    assert list(table.columns) == columns
    assert table.loc["Scan"].tolist() == [2, 1, 0, 1, 0]
    assert table.loc["ARP MITM"].tolist() == [1, 0, 0, 1, 0]  # without a flow of its own
    assert table.loc["Beacon"].tolist() == [1, 0, 0, 0, 1]  # new, but no incident
    assert incidents.names(table, table["none"] > 0) == "Beacon"
    assert incidents.names(table, table["episodes"] > 9) == "none"


def test_what_nobody_tells_of_comes_first():
    silent = incidents.told(EVENTS[:4], SESSION)
    table = incidents.invisible(silent, SESSION)
    assert list(table.index) == ["Beacon", "Scan"]
    assert table.loc["Scan"].to_dict() == {"flows": 3, MODEL: 2, NEW: 0, RULE: 0, "nobody": 1}
