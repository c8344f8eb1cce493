"""blindness.py and listing.py: what is told of losses, and which single flows are listed."""

import json
import time
import types

import jsonschema
import pytest
from tlids_edge.alerts.blindness import CALM_S, CAUSES, Blindness
from tlids_edge.alerts.eve_incidents import blind_line
from tlids_edge.alerts.incident import Incident
from tlids_edge.alerts.listing import AN_INCIDENT, IN_ALL, Listing
from tlids_edge.alerts.outlet import Outlet
from tlids_edge.alerts.reporter import Reporter
from tlids_edge.detect.detector import Detector
from tlids_edge.detect.fan_out import FanOut
from tlids_edge.detect.rules import Rules
from tlids_edge.flows.meter import Meter
from tlids_edge.monitor import Watch

S = 1_000_000
NONE = dict.fromkeys(CAUSES, 0)


def look(blindness: Blindness, second: float, lasted_s: float = 0.0, **counts) -> list:
    return blindness.look(NONE | counts, second, round(second * S), lasted_s)


def test_a_spell_of_losses_gives_a_line_at_its_beginning_and_one_at_its_end():
    blindness = Blindness()
    assert look(blindness, 0) == []
    (first,) = look(blindness, 1, evicted=3)
    assert (first.cause, first.count, first.since_us, first.until_us) == ("evicted", 3, 1 * S, None)
    assert look(blindness, 5, evicted=10) == look(blindness, 14, evicted=10) == []
    (last,) = look(blindness, 5 + CALM_S + 0.1, evicted=10)
    assert (last.count, last.since_us, last.until_us) == (10, 1 * S, 5 * S)
    (again,) = look(blindness, 100, evicted=11)
    assert again.count == 1 and again.until_us is None


def test_each_cause_is_told_for_itself_and_a_run_that_ends_blind_says_so():
    blindness = Blindness()
    begun = look(blindness, 10, drops=5, unjudged=7, gaps=1, lasted_s=4.5)
    assert {(line.cause, line.since_us) for line in begun} == {
        ("drops", 8 * S), ("unjudged", 9 * S), ("gaps", round(5.5 * S)),
    }  # fmt: skip
    ended = blindness.finish(12 * S)
    assert {(line.cause, line.count, line.until_us) for line in ended} == {
        ("drops", 5, 10 * S), ("unjudged", 7, 10 * S), ("gaps", 1, 10 * S),
    }  # fmt: skip
    assert blindness.finish(12 * S) == []


def test_lines_of_blindness_validate_against_suricatas_schema(shared):
    schema = json.loads((shared / "conformance" / "eve" / "suricata-eve.schema.json").read_text())
    validator = jsonschema.Draft202012Validator(schema)
    blindness = Blindness()
    spells = look(blindness, 10, drops=5, unjudged=7, gaps=1, evicted=2) + blindness.finish(12 * S)
    assert len(spells) == 8
    for spell in spells:
        line = json.loads(blind_line(spell, {"in_iface": "eth0"}))
        validator.validate(line)
        assert line["alert"]["metadata"]["tlids_because"] == [spell.cause]


@pytest.mark.parametrize(("which", "passed"), [("all", 3000), ("some", 3 * AN_INCIDENT), ("none", 0)])
def test_twenty_flows_a_second_of_an_incident_are_listed_and_the_rest_is_counted(which, passed):
    listing, incident = Listing(which), Incident(("source", b"\n\0\0\1"), (), 0)
    assert sum(listing.passes(incident, number * 1000) for number in range(3000)) == passed
    assert listing.left_out == 3000 - passed


def test_two_incidents_share_no_places_and_flows_of_none_are_bounded_too():
    incidents = [Incident(("source", bytes([number])), (), 0) for number in range(30)]
    listing = Listing()
    two = [listing.passes(incident, 0) for _ in range(100) for incident in incidents[:2]]
    assert sum(two) == 2 * AN_INCIDENT
    assert sum(listing.passes(None, 5) for _ in range(1000)) == IN_ALL - 2 * AN_INCIDENT
    assert sum(listing.passes(incident, S) for _ in range(100) for incident in incidents) == IN_ALL


def test_a_flood_that_hides_scans_from_the_rules_is_an_alert_when_live(model, monkeypatch):
    said: list[bytes] = []
    detector, sink = Detector(model), types.SimpleNamespace(write=said.extend)
    watch = Watch(Meter("netflow"), detector, Reporter(Outlet(sink), detector.card), fan_out=FanOut(), live=True)
    now = time.monotonic()
    watch._look_for_blindness(now)
    assert said == []
    monkeypatch.setattr(Rules, "blind", True)
    for second in range(1, 6):
        watch._look_for_blindness(now + second)
    monkeypatch.setattr(Rules, "blind", False)
    watch._look_for_blindness(now + 5 + CALM_S + 2)
    begun, ended = (json.loads(line)["alert"] for line in said)
    assert begun["signature_id"] == ended["signature_id"] == 9_400_005
    assert begun["metadata"]["tlids_because"] == ["rules"] and ended["metadata"]["tlids_lost"] == ["5"]
