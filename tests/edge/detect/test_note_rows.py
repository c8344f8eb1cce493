"""Rules.note_rows: few flows, taken one by one, are marked as many are, taken by numpy."""

import numpy as np
import pytest
from tlids_edge.detect import rules as rules_module
from tlids_edge.detect.arp import ArpWatch
from tlids_edge.detect.fan_out import FanOut
from tlids_edge.detect.rules import Rules
from tlids_edge.flows.rows import ROW

START_US = 1_700_000_000_000_000


def drawn(seed: int, count: int) -> np.ndarray:
    """Flows of a few sources, IPv4 and IPv6, some with no link-layer address, a third of them proven."""
    random, rows = np.random.default_rng(seed), np.zeros(count, ROW)
    for row in range(count):
        size, mac = int(random.choice([4, 16])), int(random.choice([0, 6, 6]))
        rows["src"][row] = (bytes([int(random.integers(4))]) * size).ljust(16, b"\0")
        rows["src_mac"][row] = (bytes([2, int(random.integers(3))]) * 3)[:mac].ljust(6, b"\0")
        rows["address_bytes"][row], rows["src_mac_bytes"][row] = size, mac
    rows["proven"] = random.random(count) < 0.3
    rows["last_us"] = START_US + random.integers(0, 100_000_000, count)
    return rows


def marked(seed: int) -> tuple:
    """What is known and marked after ten batches, of which some rules suspect sources."""
    fan, arp = FanOut(seed=1), ArpWatch()
    rules = Rules(arp, fan)
    for n in range(4):
        fan.suspects.add((bytes([n]) * 4, bytes([2, n % 3]) * 3), START_US + n * 20_000_000)
        arp.claims.suspects.add((b"", bytes([2, n % 3]) * 3), START_US + n * 30_000_000)
    found = []
    for batch in range(10):
        rows = drawn(seed * 100 + batch, 1 + batch * 5)
        rules.note_rows(rows)
        found.append((rows["proven"].tolist(), rows["rules"].tolist()))
    return found, len(rules.sources)


@pytest.mark.parametrize("seed", range(4))
def test_few_flows_are_marked_as_many_are(seed, monkeypatch):
    monkeypatch.setattr(rules_module, "FEW", 0)
    by_numpy = marked(seed)
    monkeypatch.setattr(rules_module, "FEW", 10_000)
    assert marked(seed) == by_numpy
    proven, suspected = (np.concatenate([one[part] for one in by_numpy[0]]) for part in (0, 1))
    assert 0 < proven.mean() < 1 and 0 < np.count_nonzero(suspected) < len(suspected)
