"""judging.py: every flow is judged or counted as left out."""

import pytest
from frames import T0, conversation, udp
from home_traffic import packets
from tlids_edge.detect.detector import Detector
from tlids_edge.detect.judging import Judging
from tlids_edge.flows.meter import Meter


def flows(frames):
    meter = Meter()
    for packet in packets(frames):
        meter.add(packet)
    meter.close_all()
    return meter.take()


@pytest.fixture
def flood():
    return flows([(T0 + n / 1e6, udp(f"10.{n >> 8}.{n & 255}.1", 1, "10.0.0.2", 53)) for n in range(3000)])


def test_on_replay_every_flow_is_judged_with_the_rules_of_its_source(model, flood):
    judging = Judging(Detector(model), lambda flow: ("fan-out",) if flow.key[0][2] == 7 else ())
    judging.note(flood)
    judged = [one for part in judging.turn(0) for one in part] + [one for part in judging.finish() for one in part]
    assert [one.verdict.flow for one in judged] == flood
    assert all((one.rules == ("fan-out",)) == (one.verdict.flow.key[0][2] == 7) for one in judged)
    assert judging.unjudged == 0 and judging.take_left_out() == []


def test_live_what_there_is_no_time_for_is_left_out_and_counted_and_answered_flows_are_judged(model, flood):
    clients = flows([f for n in range(40) for f in conversation("10.9.9.9", 1000 + n, "10.0.0.2", 53, T0 + n / 100)])
    judging = Judging(Detector(model), lambda flow: ("fan-out",), in_time=True)
    judging._pace.allowed = lambda: 100  # as if a verdict took this long
    judging._pace.a_second = 1000
    judging.note(flood[:1500] + clients + flood[1500:])
    judged = [one for turn in range(200) for part in judging.turn(turn * 0.05) for one in part]
    left_out = judging.take_left_out()
    seen = {id(one.verdict.flow) for one in judged}
    assert all(id(flow) in seen for flow in clients)
    assert len(judged) + len(left_out) == 3040 and judging.no_time == judging.unjudged == len(left_out) == 2000
    assert not seen & {id(flow) for flow in left_out} and not judging._under_rule
    assert len(clients) == 40


def test_at_the_end_of_a_live_run_all_that_waits_is_judged(model, flood):
    judging = Judging(Detector(model), lambda flow: (), in_time=True)
    judging._pace.allowed = lambda: 0
    judging._pace.a_second = 2000
    judging.note(flood[:2000])
    assert [one for part in judging.turn(0) for one in part] == []
    judging.note(flood[2000:])  # ended with the run
    assert len([one for part in judging.finish() for one in part]) == 3000
