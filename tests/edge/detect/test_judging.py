"""judging.py: every flow is judged or counted as left out."""

import numpy as np
import pytest
from frames import T0, conversation, udp
from home_traffic import packets
from tlids_edge.detect.detector import Detector
from tlids_edge.detect.judging import RULES, Judging, names_of
from tlids_edge.flows.meter import Meter
from tlids_edge.flows.rows import of_flows

FAN_OUT = 1 << RULES.index("fan-out")


def ended(frames):
    """The rows of all flows."""
    meter = Meter()
    for packet in packets(frames):
        meter.add(packet)
    meter.close_all()
    return of_flows(meter.take())


def sources(batches):
    """Source addresses of judged flows, in their order."""
    return [row["src"].tobytes()[:4] for batch in batches for row in batch.verdicts.rows]


@pytest.fixture
def flood():
    return ended([(T0 + n / 1e6, udp(f"10.{n >> 8}.{n & 255}.1", 1, "10.0.0.2", 53)) for n in range(3000)])


def test_on_replay_every_flow_is_judged_with_the_rules_of_its_source(model, flood):
    third = np.array([row["src"].tobytes()[2] for row in flood])
    flood["rules"] = np.where(third == 7, FAN_OUT, 0)
    judging = Judging(Detector(model))
    judging.note(flood)
    batches = [*judging.turn(0), *judging.finish()]
    assert sources(batches) == [row["src"].tobytes()[:4] for row in flood]
    rules = [names_of(bits) for batch in batches for bits in batch.verdicts.rows["rules"].tolist()]
    assert rules == [("fan-out",) if number == 7 else () for number in third]
    assert judging.unjudged == 0 and len(judging.take_left_out()) == 0


def test_a_batch_says_of_each_flow_what_the_model_says_of_it_alone(model):
    rows = ended([f for n in range(70) for f in conversation("10.9.9.9", 1000 + n, "10.0.0.2", n, T0 + n / 100)])
    judging, alone = Judging(Detector(model)), Detector(model)
    judging.note(rows)
    judged = [batch.verdict(place) for batch in judging.finish() for place in range(len(batch.novel))]
    for verdict in judged:
        (expected,) = alone.judge([verdict.flow])
        assert verdict[2:4] == expected[2:4] and verdict.score == pytest.approx(expected.score, abs=1e-6)
    assert len(judged) == len(rows) == 70


def test_each_set_of_rules_has_a_number_of_its_own():
    assert names_of(0) == () and names_of(FAN_OUT | 1) == ("arp", "fan-out")
    assert len({names_of(bits) for bits in range(1 << len(RULES))}) == 1 << len(RULES)


def test_live_what_there_is_no_time_for_is_left_out_and_counted_and_answered_flows_are_judged(model, flood):
    clients = ended([f for n in range(40) for f in conversation("10.9.9.9", 1000 + n, "10.0.0.2", 53, T0 + n / 100)])
    judging = Judging(Detector(model), in_time=True)
    judging._pace.allowed = lambda: 100  # as if a verdict took this long
    judging._pace.a_second = 1000
    judging.note(np.concatenate([flood[:1500], clients, flood[1500:]]))
    judged = sources(batch for turn in range(200) for batch in judging.turn(turn * 0.05))
    left_out = [row["src"].tobytes()[:4] for rows in judging.take_left_out() for row in rows]
    assert judged.count(b"\x0a\x09\x09\x09") == len(clients) == 40
    assert len(judged) + len(left_out) == 3040 and judging.no_time == judging.unjudged == len(left_out) == 2000
    assert not set(judged) & set(left_out)


def test_at_the_end_of_a_live_run_all_that_waits_is_judged(model, flood):
    judging = Judging(Detector(model), in_time=True)
    judging._pace.allowed = lambda: 0
    judging._pace.a_second = 2000
    judging.note(flood[:2000])
    assert sources(judging.turn(0)) == []
    judging.note(flood[2000:])  # ended with the run
    assert len(sources(judging.finish())) == 3000
