"""reporter.py: flows told of together and one by one give the same lines, counts and incidents."""

import json
from collections import Counter
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from tlids_edge.alerts.incident import FEW, Several
from tlids_edge.alerts.incidents import Incidents
from tlids_edge.alerts.listing import ALL, NONE, SOME
from tlids_edge.alerts.reporter import ALIKE, Options, Reporter
from tlids_edge.detect.card import read_card
from tlids_edge.detect.detector import Verdicts
from tlids_edge.detect.judging import RULES, Batch
from tlids_edge.flows.rows import ROW

CARD = read_card(Path(__file__).resolve().parents[3] / "edge" / "models" / "testbed")
ATTACKS = [name for name in CARD.classes if name != CARD.benign]
S = 1_000_000


def batch(chance: np.random.Generator, count: int, begun_us: int) -> Batch:
    """Flows of a flood at two ports of a host, of a busy attacker, of a home, and of a scan, in any order."""
    rows = np.zeros(count, ROW)
    rows["address_bytes"], rows["src_mac_bytes"], rows["protocol"] = 4, 6, 6
    kind = chance.choice(4, count, p=[0.7, 0.1, 0.15, 0.05])
    source = np.select([kind == 0, kind == 1], [chance.integers(100, 2**31, count), 7], chance.integers(8, 12, count))
    port = np.select([kind == 0, kind == 3], [chance.choice([80, 443], count), chance.integers(1, 9999, count)], 1883)
    rows["src"] = np.array([int(number).to_bytes(4) for number in source], "S16").view("V16")
    rows["dst"] = np.array([bytes([10, 0, 0, 2 + int(one == 2)]) for one in kind], "S16").view("V16")
    rows["src_mac"] = np.array([bytes([2, 0, 0, 0, 0, int(one)]) for one in kind % 3 + 1], "S6").view("V6")
    rows["dst_port"], rows["src_port"] = port, chance.integers(1024, 65_536, count)
    rows["first_us"] = rows["last_us"] = begun_us + chance.integers(0, S, count)
    rows["proven"] = rows["answered"] = (kind == 1) | (kind == 2)
    rows["rules"] = np.where((kind == 3) | (chance.random(count) < 0.05), 1 << RULES.index("fan-out"), 0)
    alerts = (kind < 2) & (chance.random(count) < 0.8)
    scores = np.where(alerts, chance.uniform(0.6, 1, count), chance.uniform(0, 0.4, count))
    named = [chance.choice(ATTACKS[:3]) if alert else CARD.benign for alert in alerts]
    probabilities = np.zeros((count, len(CARD.classes)), np.float32)
    novel = chance.choice(4, count, p=[0.88, 0.04, 0.04, 0.04])
    return Batch(Verdicts(rows, probabilities, list(map(str, named)), alerts, scores), novel)


def part(whole: Batch, some: slice) -> Batch:
    rows, probabilities, labels, alerts, scores = whole.verdicts
    return Batch(Verdicts(rows[some], probabilities[some], labels[some], alerts[some], scores[some]), whole.novel[some])


def told(size: int, listing: str, seconds: int) -> tuple[list, Reporter]:
    """What is told of the same flows, `size` of them at a time."""
    lines = []
    outlet = SimpleNamespace(send=lambda kind, some: lines.extend((kind, json.loads(line)) for line in some))
    reporter = Reporter(outlet, CARD, Options(listing))
    chance = np.random.default_rng(3)
    for second in range(0, seconds, 7):
        for turn in range(2):
            whole, now = batch(chance, 250, 1_769_860_800 * S + second * S), second * S + turn * 50_000
            for start in range(0, len(whole.novel), size):
                reporter.take(part(whole, slice(start, start + size)), now)
    reporter.close()
    for _, line in lines:  # the moment at which it was written
        line.pop("timestamp_written", None)
    return lines, reporter


@pytest.mark.parametrize(("listing", "seconds"), [(SOME, 70), (NONE, 70), (ALL, 14)])
def test_flows_that_are_told_of_together_are_told_of_as_one_by_one(listing, seconds):
    alone, reporter = told(1, listing, seconds)
    together, other = told(250, listing, seconds)
    assert together == alone
    assert other.tally == reporter.tally and other.not_listed == reporter.not_listed
    metadata = [line["alert"]["metadata"] for kind, line in together if "tlids_flows" in line["alert"]["metadata"]]
    assert max(int(one["tlids_flows"][0]) for one in metadata) > 20 * ALIKE
    assert {one["tlids_state"][0] for one in metadata} >= {"open", "closed"} | ({"update"} if seconds > 60 else set())


def test_of_a_flood_and_of_a_busy_source_most_flows_join_their_incident_together(monkeypatch):
    joined, join = [], Incidents.join
    monkeypatch.setattr(Incidents, "join", lambda self, rows, *others: joined.append(rows) or join(self, rows, *others))
    _, reporter = told(250, NONE, seconds=35)
    ports = Counter(np.concatenate(joined)["dst_port"].tolist())
    assert ports.total() > 0.5 * reporter.tally.anomalies and ports[1883] > 50 < min(ports[80], ports[443])


def test_many_values_are_estimated_as_one_by_one():
    alone, together = Several(), Several()
    values = [int(number).to_bytes(4) for number in np.random.default_rng(0).integers(0, 5000, 3000)]
    for value in values:
        alone.add(value, value)
    for start in range(0, len(values), 100):
        together.add_many(values[start:][:100], values[start:][:100], [False] * len(values[start:][:100]))
    assert (together.first, together.more) == (alone.first, alone.more)
    assert FEW < 100 and alone.more == pytest.approx(len(set(values)) - 10, rel=0.2)
