"""The whole thing, live: a small home, the shipped model on its bridge, a scan, a flood, a man in the middle."""

import json
import subprocess
import sys

import pytest
from inside import EDGE, need_namespaces, shutil
from scipy.stats import binom

from tlids_helpers.testbed import recordings, replay

MODEL = EDGE / "models" / "testbed"
SCANS = {"SYN scan", "Intense scan"}  # the second begins with the first: a SYN to a closed port is the same in both


@pytest.fixture(scope="module")
def session(tmp_path_factory):
    need_namespaces()
    from testbed.record import PROGRAMS

    if missing := [name for name in PROGRAMS if shutil.which(name) is None]:
        pytest.skip(f"not installed: {', '.join(missing)}; see edge/testbed/apt-packages.txt")
    folder = tmp_path_factory.mktemp("session")
    command = [sys.executable, "-m", "testbed", "record", "--small", "--seed", "77", "--subnet", "172.20.9.0/24"]
    done = subprocess.run(
        [*command, "--watch", str(MODEL), "-o", str(folder)], cwd=EDGE, capture_output=True, text=True, timeout=400
    )
    assert done.returncode == 0, done.stderr
    return folder


@pytest.fixture(scope="module")
def events(session):
    return [json.loads(line) for line in (session / "session1.eve.json").read_bytes().splitlines()]


@pytest.fixture(scope="module")
def found(session, events):
    return replay.verdicts(events, session / "session1.labels.csv")


def alerts_during(session, events, name) -> set[str]:
    """The signatures of all alerts that fell into the attacks of a class."""
    spans = [
        (a["start"], a["end"] + 16) for a in recordings.recording(session, "session1").attacks if a["name"] == name
    ]
    assert spans
    return {
        event["alert"]["signature"]
        for event in events
        if event["event_type"] == "alert"
        and any(start <= replay.since_1970(event["timestamp"]) <= end for start, end in spans)
    }


def most_alarms(flows: int) -> int:
    """What one home in a thousand would exceed at the rate that the card can vouch for (the rule of three)."""
    card = json.loads((MODEL / "card.json").read_text())
    rate = max(card["threshold_fpr"], 3 / card["metrics"]["validation"]["benign_rows"])
    return int(binom.ppf(0.999, flows, rate))


@pytest.mark.parametrize(("name", "called"), [("SYN scan", SCANS), ("SYN flood", {"SYN flood"})])
def test_scan_and_flood_raise_alerts_of_their_kind(found, name, called):
    mine = found[found["truth"] == name]
    assert len(mine) > 100
    assert mine["verdict"].isin(called).mean() > 0.5
    assert mine["anomaly"].mean() > 0.9


def test_the_scan_raises_the_fan_out_rule_and_the_man_in_the_middle_the_arp_watch(session, events):
    assert any("fan-out" in signature for signature in alerts_during(session, events, "SYN scan"))
    assert any("ARP" in signature for signature in alerts_during(session, events, "ARP MITM"))


def test_flows_of_the_man_in_the_middle_are_among_the_anomalies(found):
    mine = found[found["truth"] == "ARP MITM"]
    assert len(mine) >= 5 and mine["anomaly"].any()  # most of them look like what they relay


def test_the_benign_stretch_before_the_first_attack_raises_no_more_than_the_cards_rate(session, found):
    first = min(attack["start"] for attack in recordings.recording(session, "session1").attacks)
    calm = found[(found["time"] < first) & (found["truth"] == "Benign")]
    assert len(calm) > 50
    assert (calm["verdict"] != "Benign").sum() <= most_alarms(len(calm))
    assert (calm["verdict"].ne("Benign") == calm["anomaly"]).all()  # no rule fired either
