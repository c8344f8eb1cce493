"""rows.py: flows as a matrix say what the flows said."""

import numpy as np
import pytest
from home_traffic import ATTACKER_MAC, packets, scan
from test_compiled import encounters
from tlids_edge.capture.packets import PacketStats
from tlids_edge.detect.fan_out import FanOut
from tlids_edge.detect.judging import names_of
from tlids_edge.detect.rules import Rules
from tlids_edge.flows.compiled import CompiledMeter
from tlids_edge.flows.meter import Meter
from tlids_edge.flows.ndpi import application_id, numbers_of
from tlids_edge.flows.rows import ROW, features, groups, of_flows, pieces

SHORT = {"family": "both", "idle_timeout": 0.5, "active_timeout": 5.0, "max_flows": 50}


def metered(meter, given):
    for packet in given:
        meter.add(packet)
    meter.close_all()
    return meter


@pytest.mark.usefixtures("compiled")
@pytest.mark.parametrize("seed", range(3))
def test_flows_of_pythons_meter_become_the_rows_of_the_compiled_one(seed):
    given = list(encounters(seed))
    expected = metered(CompiledMeter(**SHORT), given).take_rows()
    found = of_flows(metered(Meter(**SHORT), given).take())
    assert len(found) > 200
    for name in set(ROW.names) - {"order"}:
        assert np.array_equal(found[name], expected[name]), name


def test_a_matrix_has_the_features_of_its_flows():
    flows = metered(Meter(**SHORT), encounters(5)).take()
    for number, flow in enumerate(flows):
        flow.l7 = application_id(number % 300, number % 7)
    for family in ("netflow", "cicflow"):
        expected = np.array([flow.features(family) for flow in flows], np.float32)
        assert np.array_equal(features(of_flows(flows), family), expected)


def test_each_application_that_ndpi_names_is_found_again():
    for master in range(400):
        for app in range(400):
            assert application_id(*numbers_of(application_id(master, app))) == application_id(master, app)


@pytest.mark.parametrize("sizes", [[], [0], [7], [8], [8, 0], [3, 20, 0, 1, 16], [1] * 20])
def test_arrays_are_cut_as_if_they_were_one(sizes):
    rows = np.zeros(sum(sizes), ROW)
    rows["order"] = np.arange(len(rows))
    parts = np.split(rows, np.cumsum(sizes)[:-1]) if sizes else []
    cut = [piece["order"].tolist() for piece in pieces(list(parts), 8)]
    assert [piece for piece in cut if piece] == [rows["order"][k : k + 8].tolist() for k in range(0, len(rows), 8)]
    assert cut


def test_groups_are_those_of_the_fields():
    rows = np.zeros(2000, ROW)
    chance = np.random.default_rng(1)
    rows["src"] = chance.integers(0, 3, (2000, 16), dtype=np.uint8).view("V16")[:, 0]
    rows["src"][:1000] = rows["src"][1000:]
    rows["dst_port"] = chance.integers(0, 3, 2000)
    expected = [(row["src"].tobytes(), int(row["dst_port"])) for row in rows]
    numbers = groups(rows, ("src", "dst_port")).tolist()
    assert len(set(expected)) == len(set(numbers)) == len(set(zip(expected, numbers, strict=True))) > 1000


def test_rows_are_marked_as_the_rules_say_of_each_flow():
    """The oracle asks flow by flow."""
    rules, meter = Rules(None, FanOut(seed=1)), Meter(idle_timeout=5)
    metered(meter, packets(scan(60)))
    assert rules.hear(meter, PacketStats())
    flows = meter.take()
    flows[3].src_hw = bytes.fromhex(ATTACKER_MAC.replace(":", ""))
    flows[7].src_hw = b""
    flows[9].key = (b"\x0a\0\0\x09", *flows[9].key[1:])
    flows[11].proven = True
    flows[13].last_us += 3_600_000_000
    rows = of_flows(flows)
    rules.note_rows(rows)
    assert [names_of(row["rules"]) for row in rows] == [rules.against(flow) for flow in flows]
    assert {names_of(row["rules"]) for row in rows} == {(), ("fan-out",)}
    known = [rules.sources.is_proven(flow.key[0], flow.src_hw, flow.last_us) for flow in flows]
    assert (rows["proven"] > 0).tolist() == known and set(known) == {True, False}
