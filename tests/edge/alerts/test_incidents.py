"""incidents.py: when an incident opens, goes on and closes, and what a forger of sources can do to it."""

import json
import random
import tracemalloc
from collections import Counter

import jsonschema
import numpy as np
import pytest
from tlids_edge.alerts.eve import timestamp
from tlids_edge.alerts.eve_incidents import incident_line
from tlids_edge.alerts.incident import SHOWN, Alarm, Several
from tlids_edge.alerts.incidents import CLOSED, FORGEABLE, KIN, OPEN, UPDATE, Incidents, Limits
from tlids_edge.detect.suspects import RuleAlert
from tlids_edge.flows.rows import ROW

T0 = 1_769_860_800_000_000
S = 1_000_000
ROUTER, PHONE = b"\x02\0\0\0\0\x01", b"\x02\0\0\0\0\x09"
VICTIM = bytes([10, 0, 0, 2])


def address(number: int) -> bytes:
    return (0x0B000000 + number).to_bytes(4)


def alarm(seconds: float, src: int = 1, **given) -> Alarm:
    values = {
        "time_us": T0 + round(seconds * S), "src": address(src), "src_mac": PHONE, "dst": VICTIM, "dst_port": 80,
        "label": "DoS", "score": 0.9, "rules": (), "proven": True,
    }  # fmt: skip
    return Alarm(**values | given)


def eve_time(one: Alarm) -> str:
    return timestamp(one.time_us)


def spread(count: int, every: float = 1.0, **given) -> list[Alarm]:
    """Alarms of one source at as many ports."""
    return [alarm(index * every, dst_port=1000 + index, **given) for index in range(count)]


class Told(list):
    """What was told: (state, second, id, size, why)."""

    def __call__(self, state, time_us, incident, why):
        self.append((state, (time_us - T0) / S, incident.id, incident.flows, why))
        self.lines = [*getattr(self, "lines", ()), json.loads(incident_line(state, time_us, incident, why))]

    @property
    def states(self) -> list[str]:
        return [state for state, *_ in self]


def seen(alarms, limits=None, **given) -> tuple[Incidents, Told]:
    told = Told()
    incidents = Incidents(told, limits, **given)
    for one in alarms:
        incidents.see(one)
    return incidents, told


@pytest.mark.parametrize(
    ("alarms", "opens"),
    [
        (spread(4), False),
        (spread(5), True),
        (spread(5, every=15), True),  # the last 60 s after the first
        (spread(5, every=15.1), False),
        ([*spread(3), *spread(2, src=2)], False),
    ],
)
def test_five_alarms_of_one_source_within_a_minute_open_an_incident(alarms, opens):
    assert seen(alarms)[1].states == [OPEN] * opens


@pytest.mark.parametrize("seed", range(6))
def test_an_incident_of_a_source_opens_where_counting_every_window_says(seed):
    chance = random.Random(seed)
    moments, now = [], 0.0
    for _ in range(200):
        now += chance.choice((0.3, 5, 20, 40))
        moments.append(round(now, 1))
    expected = next(
        index for index, end in enumerate(moments)
        if sum(end - 60 <= moment <= end for moment in moments[: index + 1]) == 5
    )  # fmt: skip
    _, told = seen(alarm(moment, dst_port=index) for index, moment in enumerate(moments))
    assert told[0][:2] == (OPEN, moments[expected]) and told[0][3] == 5


def many_sources(flows: int, sources: int, seconds: float) -> list[Alarm]:
    return [alarm(index * seconds / (flows - 1), src=index % sources, proven=False) for index in range(flows)]


@pytest.mark.parametrize(
    ("flows", "sources", "seconds", "opens"),
    [(20, 10, 10, True), (19, 10, 10, False), (20, 10, 10.1, False), (20, 20, 0, True), (36, 9, 9, False)],
)
def test_twenty_alarms_of_ten_sources_to_one_port_within_ten_seconds_open_an_incident(flows, sources, seconds, opens):
    _, told = seen(many_sources(flows, sources, seconds))
    assert told.states == [OPEN] * opens
    if opens:
        assert told.lines[0]["dest_ip"] == "10.0.0.2" and told.lines[0]["dest_port"] == 80
        assert "src_ip" not in told.lines[0] and told[0][3] == 20


@pytest.mark.parametrize("seed", range(3))
def test_every_alarm_of_an_incident_is_counted_in_one_incident(seed):
    chance = random.Random(seed)
    ports = [chance.choice((80, 80, 80, index)) for index in range(2000)]
    alarms = [alarm(index * 0.2, src=chance.randrange(11), dst_port=port) for index, port in enumerate(ports)]
    incidents, told = seen(alarms)
    incidents.close_all()
    closed = [line for line in told if line[0] == CLOSED]
    assert 0.9 * len(alarms) < sum(flows for _, _, _, flows, _ in closed) <= len(alarms)
    assert len({number for _, _, number, _, _ in closed}) == len(closed) == incidents.opened
    at_port_80 = [line for line in told.lines if line.get("dest_port") == 80][-1]
    opened = next(line for line in told.lines if line["flow_id"] == at_port_80["flow_id"])
    later = sum(port == 80 for port, one in zip(ports, alarms, strict=True) if eve_time(one) > opened["timestamp"])
    at_opening, at_end = (int(line["alert"]["metadata"]["tlids_flows"][0]) for line in (opened, at_port_80))
    assert at_end - at_opening == later  # all of them, whoever sent them


def test_an_incident_gives_a_line_a_minute_and_closes_after_a_minute_of_silence():
    alarms = [alarm(index * 0.5, label="DoS" if index % 3 else "Scan") for index in range(361)]  # three minutes
    incidents, told = seen([*alarms, alarm(900, src=7)])
    assert [line[:2] for line in told] == [(OPEN, 2), (UPDATE, 62), (UPDATE, 122), (CLOSED, 240)]
    assert len({line[2] for line in told}) == 1 and told[-1][3:] == (361, "silence")
    last = told.lines[-1]["alert"]["metadata"]
    assert last["tlids_classes"] == ["DoS=240", "Scan=121"]
    assert last["tlids_first"] == ["2026-01-31T12:00:00.000000+0000"]
    assert last["tlids_last"] == ["2026-01-31T12:03:00.000000+0000"]
    assert not len(incidents)


def test_an_incident_shows_its_first_ten_hosts_and_ports_and_how_many_more():
    alarms = [alarm(index * 0.01, dst=address(index % 13), dst_port=index, score=index / 1000) for index in range(1000)]
    incidents, told = seen(alarms)
    incidents.close_all()
    last = told.lines[-1]["alert"]["metadata"]
    assert last["tlids_ports"] == [str(port) for port in range(10)]
    assert int(last["tlids_more_ports"][0]) == pytest.approx(990, rel=0.2)
    assert len(last["tlids_hosts"]) == SHOWN and last["tlids_more_hosts"] == ["3"]
    assert last["tlids_sources"] == ["11.0.0.1 02:00:00:00:00:09 proven"] and "tlids_more_sources" not in last
    assert last["tlids_score"] == ["0.999000"] and told[-1][4] == "shutdown"


@pytest.mark.parametrize("count", [11, 30, 200, 5_000, 300_000])
def test_about_how_many_others_there_were_is_known_within_a_fifth(count):
    several = Several()
    for _ in range(2 if count < 10_000 else 1):  # seeing them again changes nothing
        for number in range(count):
            several.add(number, address(number))
    assert several.more == pytest.approx(count - SHOWN, rel=0.2)


def test_four_alarms_a_minute_for_an_hour_are_one_incident():
    slow = [alarm(index * 15 + 0.1 * (index % 7), dst_port=index) for index in range(240)]
    fast_enough = Limits(flows=6)  # so that the short window never sees enough
    incidents, told = seen(slow, fast_enough)
    assert told.states[0] == OPEN and CLOSED not in told.states
    assert told[0][1] < 20 * 60 and told[0][3] == 60
    incidents.close_all()
    assert told[-1][3] == 240 and incidents.opened == 1


def test_an_alarm_in_two_minutes_for_a_day_opens_nothing():
    assert seen(alarm(index * 120, dst_port=index % 50) for index in range(720))[1] == []


def test_three_alarms_of_novelty_are_enough_and_have_a_lower_severity():
    _, told = seen(spread(3, label="", novel=True))
    assert told.states == [OPEN] and told.lines[0]["alert"]["severity"] == 4
    assert seen(spread(2, label="", novel=True))[1] == []
    assert seen([*spread(2, label="", novel=True), alarm(3)])[1] == []


def fan_out(seconds: float, src: str = "11.0.0.1") -> RuleAlert:
    text = "TL-IDS fan-out: one source tries many ports of one host"
    return RuleAlert(T0 + round(seconds * S), 9_200_011, text, "Network scan", 2, src, "10.0.0.2", "", {})


def arp(seconds: float, severity: int = 1) -> RuleAlert:
    text = "TL-IDS ARP: address claimed by a second MAC address"
    mac = PHONE.hex(":")
    return RuleAlert(T0 + round(seconds * S), 9_200_001, text, "ARP spoofing", severity, "10.0.0.2", "", mac, {})


@pytest.mark.parametrize(
    ("labels", "rules", "severity"),
    [("DoS", (), 2), ("DoS", ("fan-out",), 1), ("", ("fan-out",), 3)],
)
def test_an_incident_is_as_severe_as_its_flows(labels, rules, severity):
    _, told = seen(spread(5, label=labels, rules=rules))
    assert told.lines[0]["alert"]["severity"] == severity


def test_the_alert_of_a_rule_opens_an_incident_which_flows_of_its_source_join():
    told = Told()
    incidents = Incidents(told)
    incidents.see_rule(fan_out(0))
    for one in spread(3, rules=("fan-out",)):
        incidents.see(one)
    incidents.close_all()
    assert told.states == [OPEN, CLOSED] and told[-1][3] == 3
    assert [line["alert"]["severity"] for line in told.lines] == [2, 1]
    assert told.lines[0]["src_ip"] == "11.0.0.1"


def test_an_arp_alert_joins_the_incident_of_the_address_that_uses_its_mac():
    told = Told()
    incidents = Incidents(told)
    for one in spread(5):
        incidents.see(one)
    incidents.see_rule(arp(6))
    incidents.close_all()
    assert told.states == [OPEN, CLOSED]
    assert [line["alert"]["severity"] for line in told.lines] == [2, 1]
    assert told.lines[1]["alert"]["metadata"]["tlids_rules"] == [
        "TL-IDS ARP: address claimed by a second MAC address=1"
    ]


def test_an_arp_alert_without_flows_opens_an_incident_of_its_mac_which_suspected_flows_join():
    told = Told()
    incidents = Incidents(told)
    incidents.see_rule(arp(0))
    for number in range(3):
        incidents.see(alarm(1 + number, src=number, label="", rules=("arp",)))
    incidents.close_all()
    assert told.states == [OPEN, CLOSED] and told[-1][3] == 3
    assert told.lines[0]["ether"] == {"src_mac": PHONE.hex(":")} and "src_ip" not in told.lines[0]


def test_a_rules_alert_that_accuses_nobody_is_no_incident():
    incidents = Incidents(told := Told())
    assert incidents.see_rule(arp(0)._replace(src="", src_mac="")) is None and told == []


def test_a_million_forged_sources_at_one_port_are_one_incident():
    incidents = Incidents(told := Told())
    for index in range(1_000_000):
        incidents.see(Alarm(T0 + index * 50, address(index), ROUTER, VICTIM, 80, "DoS", 0.9, (), False))
    incidents.close_all()
    assert told.states == [OPEN, CLOSED] and told[-1][3] == 1_000_000
    assert int(told.lines[-1]["alert"]["metadata"]["tlids_more_sources"][0]) == pytest.approx(1_000_000, rel=0.25)
    assert told.lines[-1]["alert"]["metadata"]["tlids_source"] == ["claimed"]


def test_forged_sources_and_macs_at_forged_ports_stay_few_incidents_and_few_megabytes():
    chance = random.Random(5)
    tracemalloc.start()
    try:
        incidents = Incidents(lambda *_: None)
        for index in range(3 * FORGEABLE):
            src, mac = address(index), chance.randbytes(6)
            for again in range(5):  # so that each source would be an incident of its own
                dst, port = chance.randbytes(4), chance.randrange(65536)
                incidents.see(Alarm(T0 + index * 1000 + again, src, mac, dst, port, "DoS", 0.9, (), False))
        assert len(incidents) == incidents.opened == FORGEABLE + 1
        assert tracemalloc.get_traced_memory()[0] < 25e6
    finally:
        tracemalloc.stop()


def test_forged_sources_behind_one_mac_share_one_incident_and_a_proven_source_keeps_its_own():
    alarms = [
        alarm(index / 100, src=100 + index // 5, dst_port=index, src_mac=ROUTER, proven=False) for index in range(5000)
    ]
    alarms += spread(5, src=1, every=0.1)
    incidents, told = seen(alarms, lag_s=120)
    assert len(incidents) == KIN + 2
    own = [line for line in told.lines if line.get("src_ip") == "11.0.0.1"]
    assert len(own) == 1 and own[0]["alert"]["metadata"]["tlids_source"] == ["proven"]
    incidents.close_all()
    shared = max(told, key=lambda line: line[3])
    assert shared[3] == 5000 - KIN * 5


def test_the_longest_silent_of_the_smallest_incidents_gives_way_and_is_said():
    alarms = [one for src in range(4) for one in spread(9 if src == 0 else 5, every=0.01, src=src)]
    alarms.sort(key=lambda one: (one.src, one.time_us))
    incidents, told = seen(alarms, max_open=3)
    assert incidents.opened == 4 and incidents.evicted == 1 and len(incidents) == 3
    gone = [line for line in told.lines if line["alert"]["metadata"]["tlids_state"] == [CLOSED]]
    assert [line["src_ip"] for line in gone] == ["11.0.0.1"]
    assert gone[0]["alert"]["metadata"]["tlids_closed_by"] == ["table full"]


def test_no_open_incident_gives_way_to_a_smaller_one():
    large = [one for src in range(3) for one in spread(40, every=0.1, src=src)]
    incidents, told = seen(
        [*large, *(one for src in range(10, 40) for one in spread(5, every=0.1, src=src))], max_open=3
    )
    assert told.states == [OPEN] * 3 and incidents.refused >= 30


def test_fifty_thousand_sources_at_once_leave_a_slow_attackers_count_alone():
    incidents = Incidents(told := Told())
    attack, flood = iter(spread(5, every=10, src=1)), iter(range(1, 50_001))
    for second in range(5):
        incidents.see(next(attack))
        for _ in range(10_000):
            number = next(flood)
            forged = alarm(second * 10, src=number + 100, src_mac=ROUTER, proven=False, dst=address(number))
            incidents.see(forged._replace(dst_port=number % 65536))
    assert [line["src_ip"] for line in told.lines] == ["11.0.0.1"]


@pytest.mark.parametrize("back", [3600, 400 * 86400])
def test_a_capture_whose_clock_is_set_back_during_an_incident_keeps_it_open_and_it_closes_in_time(back):
    before = [alarm(index) for index in range(30)]
    after = [alarm(30 - back + index) for index in range(50)]
    incidents, told = seen([*before, *after])
    assert told.states == [OPEN, UPDATE] and len(incidents) == 1
    incidents.see(alarm(30 - back + 49 + 100, src=2))
    assert told.states == [OPEN, UPDATE, CLOSED] and told[-1][3] == 80


@pytest.mark.parametrize("jump", [-3600, 3600, 400 * 86400])
def test_a_wall_clock_that_is_set_during_an_incident_changes_nothing_when_live(jump):
    incidents = Incidents(told := Told())
    for index in range(50):
        incidents.see(alarm(index + (jump if index > 20 else 0)), 7_000_000 + index * S)
    assert told.states == [OPEN]
    incidents.steady(0, 7_000_000 + 109 * S)
    assert told.states == [OPEN]
    incidents.steady(0, 7_000_000 + 111 * S)
    assert told.states == [OPEN, CLOSED] and told[-1][3] == 50


def test_unjudged_flows_are_counted_where_they_belong():
    incidents = Incidents(told := Told())
    for one in [*spread(5, src=50), *many_sources(40, 20, 1)]:
        incidents.see(one._replace(dst=address(9)) if one.proven else one)
    left_out = Counter({(address(50), address(9), 5): 7, (address(3), VICTIM, 80): 100, (address(77), VICTIM, 81): 9})
    rows = np.zeros(left_out.total(), ROW)
    rows["address_bytes"] = 4
    for row, (src, dst, port) in zip(rows, left_out.elements(), strict=True):
        row["src"], row["dst"], row["dst_port"] = np.void(src.ljust(16, b"\0")), np.void(dst.ljust(16, b"\0")), port
    incidents.note_unjudged(np.random.default_rng(1).permutation(rows))
    incidents.close_all()
    unjudged = {line["dest_ip"]: line["alert"]["metadata"]["tlids_unjudged"][0] for line in told.lines[2:]}
    assert unjudged == {"11.0.0.9": "7", "10.0.0.2": "100"}


@pytest.fixture(scope="session")
def validator(shared):
    schema = json.loads((shared / "conformance" / "eve" / "suricata-eve.schema.json").read_text())
    return jsonschema.Draft202012Validator(schema)


@pytest.mark.parametrize("place", [None, {"in_iface": "eth0"}, {"pcap_filename": "home.pcap"}])
def test_lines_of_incidents_validate_against_suricatas_schema(validator, place):
    lines = []
    incidents = Incidents(lambda *event: lines.append(json.loads(incident_line(*event, place))))
    ipv6 = [one._replace(src=bytes(15) + b"\x07", dst=bytes(15) + b"\x08", src_mac=b"") for one in spread(5)]
    forged = [one for index in range(30) for one in spread(5, every=0.01, src=index, src_mac=ROUTER, proven=False)]
    for one in [*spread(5, rules=("fan-out", "arp")), *ipv6, *many_sources(30, 30, 1), *forged]:
        incidents.see(one)
    incidents.see_rule(arp(2))
    incidents.see_rule(fan_out(2, "11.0.7.7"))
    incidents.see(alarm(70))
    incidents.close_all()
    kinds = {line["alert"]["metadata"]["tlids_state"][0] for line in lines}
    assert kinds == {OPEN, UPDATE, CLOSED} or kinds == {OPEN, CLOSED}
    for line in lines:
        validator.validate(line)
