"""eve.py: lines that Suricata's schema accepts."""

import json
from dataclasses import replace

import jsonschema
import pytest
from edge_process import events, run_edge
from frames import T0, conversation, ethernet, ipv4, udp
from home_traffic import GATEWAY, ORDINARY, PHONE, packets, scan, spoof
from tlids_edge.alerts import eve
from tlids_edge.detect.arp import ArpWatch
from tlids_edge.detect.detector import Detector
from tlids_edge.detect.fan_out import FanOut
from tlids_edge.flows.meter import Meter


@pytest.fixture(scope="session")
def validator(shared):
    schema = json.loads((shared / "conformance" / "eve" / "suricata-eve.schema.json").read_text())
    return jsonschema.Draft202012Validator(schema)


def judged(model, frames):
    """Verdicts on the flows of some frames, and the card."""
    detector, meter = Detector(model), Meter()
    for packet in packets(frames):
        meter.add(packet)
    meter.close_all()
    return detector.judge(meter.take()), detector.card


def ipv6_udp() -> bytes:
    header = bytes.fromhex("600000000009 1140".replace(" ", "")) + bytes(15) + b"\x01" + bytes(15) + b"\x02"
    return ethernet(
        header + bytes.fromhex("1388 0035 0009 0000 78".replace(" ", "")),
        0x86DD,
    )


def icmp_echo() -> bytes:
    return ipv4(PHONE, GATEWAY, 1, b"\x08\x00\x00\x00\x00\x01\x00\x01")


FRAMES = [
    *conversation("10.0.0.1", 1234, "10.0.0.2", 80),
    (T0 + 1, udp("10.0.0.1", 5000, "10.0.0.2", 53)),
    (T0 + 2, ipv6_udp()),
    (T0 + 3, icmp_echo()),
]


@pytest.mark.parametrize("place", [None, {"in_iface": "eth0"}, {"pcap_filename": "home.pcap"}])
@pytest.mark.parametrize("rules", [(), ("arp",), ("arp", "fan-out")])
def test_alert_and_flow_lines_validate_against_suricatas_schema(model, validator, place, rules):
    verdicts, card = judged(model, FRAMES)
    assert len(verdicts) == 4
    for verdict in verdicts:
        for line in (eve.alert_line(verdict, card, rules, place), eve.flow_line(verdict, bool(rules), place)):
            assert line.endswith(b"\n") and line.count(b"\n") == 1
            validator.validate(json.loads(line))


def test_rule_alerts_validate_against_suricatas_schema(validator):
    watch, fan = ArpWatch(), FanOut()
    frames = [*ORDINARY, *(spoof(5 + n) for n in range(10))]
    alerts = [alert for packet in packets(frames) for alert in watch.see(packet)]
    meter = Meter()
    for packet in packets(scan(60, refused=False)):
        meter.add(packet)
    meter.close_all()
    alerts += fan.see(meter.take_unanswered())
    alerts += [alerts[-1]._replace(proven=True), alerts[0]._replace(src="", src_mac="", dst="10.0.0.1", protocol="")]
    assert len({alert.signature_id for alert in alerts}) == 3
    for alert in alerts:
        event = json.loads(eve.rule_line(alert, {"in_iface": "eth0"}))
        validator.validate(event)
        assert event["alert"]["signature_id"] == alert.signature_id
        assert event["alert"]["metadata"]["tlids_source"] == ["proven" if alert.proven else "claimed"]
        assert event.get("ether", {}).get("src_mac", "") == alert.src_mac
        assert event.get("proto") == ("ARP" if alert.protocol else None)


def test_every_line_of_a_real_capture_validates(model, validator, shared, tmp_path):
    capture = shared / "pcap" / "mqttset" / "bruteforce" / "bruteforce-test.pcapng"
    found = events(run_edge(model, str(capture), "--all-flows", "--flow-alerts", "all").stdout)
    assert len(found) > 100
    for event in found:
        validator.validate(event)


def test_timestamps_have_microseconds_and_end_in_plus_0000():
    assert eve.timestamp(1_769_860_800_123_456) == "2026-01-31T12:00:00.123456+0000"
    assert eve.timestamp(0) == "1970-01-01T00:00:00.000000+0000"
    assert eve.timestamp(4_294_967_295_999_999) == "2106-02-07T06:28:15.999999+0000"


def test_counters_are_those_of_the_flow(model):
    verdicts, _ = judged(model, conversation("10.0.0.1", 1234, "10.0.0.2", 80))
    event = json.loads(eve.flow_line(verdicts[0], False))
    assert (event["src_ip"], event["src_port"], event["dest_ip"], event["dest_port"]) == (
        "10.0.0.1",
        1234,
        "10.0.0.2",
        80,
    )
    flow = event["flow"]
    assert (flow["pkts_toserver"], flow["pkts_toclient"]) == (5, 3)
    assert (flow["bytes_toserver"], flow["bytes_toclient"]) == (200, 120)
    assert (flow["state"], flow["reason"], flow["age"]) == ("closed", "fin", 0)


def test_flow_ids_are_stable_differ_between_flows_and_fit_53_bits(model):
    frames = [(T0 + n, udp("10.0.0.1", 1 + n, "10.0.0.2", 53)) for n in range(200)]
    first = [eve.flow_id(verdict.flow) for verdict in judged(model, frames)[0]]
    again = [eve.flow_id(verdict.flow) for verdict in judged(model, frames)[0]]
    assert first == again and len(set(first)) == 200 and max(first) < 1 << 53
    later = judged(model, [(T0 + 9, udp("10.0.0.1", 1, "10.0.0.2", 53))])[0][0]
    assert eve.flow_id(later.flow) not in first


def test_severity_tells_model_and_rule_apart(model):
    verdicts, card = judged(model, [(T0, udp("10.0.0.1", 1, "10.0.0.2", 53))])
    attack = verdicts[0]
    benign = judged(model, conversation("10.0.0.1", 1234, "10.0.0.2", 80))[0][0]
    cases = ((attack, ()), (attack, ("arp",)), (benign, ("arp",)))
    alerts = [json.loads(eve.alert_line(verdict, card, rules))["alert"] for verdict, rules in cases]
    assert [alert["severity"] for alert in alerts] == [2, 1, 3]
    assert [alert["signature_id"] for alert in alerts] == [9_100_002, 9_100_002, 9_190_000]
    scores = alerts[0]["metadata"]
    assert scores["tlids_class"] == ["Reconnaissance"] and float(scores["tlids_score"][0]) > 0.99


def test_a_class_name_with_a_line_break_stays_on_one_line(model):
    verdicts, card = judged(model, [(T0, udp("10.0.0.1", 1, "10.0.0.2", 53))])
    odd = replace(card, classes=("Benign", "DoS", 'a\n"b\u2028'))
    line = eve.alert_line(verdicts[0]._replace(label='a\n"b\u2028'), odd)
    assert line.count(b"\n") == 1 and json.loads(line)["alert"]["signature"].endswith('a\n"b\u2028')
