"""mqtt.py: what Home Assistant is told, and brokers that make no sense or are away."""

import json
import os
import socket
import subprocess
import threading

import pytest
from edge_process import LIMIT_S, flow_alerts, run_edge, start_edge, wait_for
from frames import T0, pcap, udp
from mqtt_broker import Broker
from tlids_edge.alerts.broker import split_broker
from tlids_edge.alerts.eve_incidents import incident_line
from tlids_edge.alerts.incident import Alarm
from tlids_edge.alerts.incidents import Incidents
from tlids_edge.alerts.mqtt import QUEUED, MqttSink, discovery
from tlids_edge.errors import InputError

SENSORS = {"Last incident", "Open incidents", "Incidents today", "Alerts"}
TEMPLATES = ("value_template", "json_attributes_template")
T0_US = round(T0 * 1e6)


def test_mqtt_discovery_describes_the_sensors_to_home_assistant():
    topics = dict(discovery("pi"))
    last = topics["homeassistant/sensor/tlids_pi/last_incident/config"]
    assert last["state_topic"] == last["json_attributes_topic"] == "tlids/pi/incident"
    assert last["availability_topic"] == "tlids/pi/state"
    for name in ("open_incidents", "incidents_today", "alerts"):
        assert topics[f"homeassistant/sensor/tlids_pi/{name}/config"]["state_topic"] == "tlids/pi/stats"
    assert len({sensor["unique_id"] for sensor in topics.values()}) == len(SENSORS)
    assert {sensor["name"] for sensor in topics.values()} == SENSORS


def test_two_sensors_at_one_broker_share_no_topic_and_no_id():
    both = [dict(discovery(node)) for node in ("pi", "attic")]
    assert not both[0].keys() & both[1].keys()
    for key in ("unique_id", "state_topic", "availability_topic"):
        assert not {sensor[key] for sensor in both[0].values()} & {sensor[key] for sensor in both[1].values()}


def test_the_source_of_an_incident_is_an_attribute_in_home_assistant():
    jinja2 = pytest.importorskip("jinja2", reason="needs jinja2, in whose language Home Assistant's templates are")
    environment = jinja2.Environment()
    environment.filters["tojson"] = json.dumps
    last = dict(discovery("pi"))["homeassistant/sensor/tlids_pi/last_incident/config"]
    lines = []
    incidents = Incidents(lambda *event: lines.append(json.loads(incident_line(*event))))
    for port in range(5):
        incidents.see(Alarm(T0_US + port, b"\x0a\0\0\x01", b"\2\0\0\0\0\1", b"\x0a\0\0\2", port, "DoS", 0.9, (), True))
    state, told = (environment.from_string(last[key]).render(value_json=lines[0]) for key in TEMPLATES)
    assert state == "TL-IDS incident: DoS from 10.0.0.1 (proven)"
    assert json.loads(told)["source"] == "10.0.0.1" and json.loads(told)["state"] == "open"
    assert json.loads(told)["sources"] == ["10.0.0.1 02:00:00:00:00:01 proven"]


@pytest.mark.parametrize(
    ("broker", "parts"),
    [
        ("ha.local", ("ha.local", 1883, False)),
        ("10.0.0.5:8883", ("10.0.0.5", 8883, False)),
        ("[fe80::1]:1", ("fe80::1", 1, False)),
        ("mqtts://ha.local", ("ha.local", 8883, True)),
        ("mqtts://[fe80::1]:1", ("fe80::1", 1, True)),
    ],
)
def test_a_broker_is_a_host_with_or_without_a_port(broker, parts):
    assert split_broker(broker) == parts


@pytest.mark.parametrize(
    "broker",
    [
        "",
        "host:",
        "host:0",
        "host:99999",
        "ho st",
        "mqtt://host",
        "a:b:c",
        "mqtts://",
        ".",
        "a..b",
        "a" * 64,
        "h:１８８３",
    ],
)
def test_a_broker_that_makes_no_sense_is_refused(broker):
    with pytest.raises(InputError, match="expected an MQTT broker.*found .*HOST or HOST:PORT"):
        split_broker(broker)


@pytest.mark.parametrize("broker", ["me:secret@host", "mqtts://me:se%40cret@host:8883"])
def test_a_login_in_the_brokers_address_is_not_repeated_and_told_where_it_belongs(broker):
    with pytest.raises(InputError, match="TLIDS_MQTT_USER") as refusal:
        split_broker(broker)
    assert "cret" not in str(refusal.value)


def test_a_broker_that_is_away_does_not_hold_up_a_run(model, tmp_path):
    pytest.importorskip("paho.mqtt")
    (tmp_path / "c.pcap").write_bytes(pcap((T0 + n, udp("10.0.0.1", 1 + n, "10.0.0.2", 53 + n)) for n in range(30)))
    done = run_edge(model, str(tmp_path / "c.pcap"), "--mqtt", "127.0.0.1:1")
    assert done.returncode == 0 and len(flow_alerts(done.stdout)) == 30


def test_incidents_and_alerts_of_rules_reach_an_mqtt_broker_and_the_end_is_announced(model):
    pytest.importorskip("paho.mqtt")
    broker = Broker()
    port = broker.server.getsockname()[1]
    options = ("--mqtt", f"127.0.0.1:{port}", "--status", "0.3", "--eve", os.devnull)
    edge = start_edge(model, "-", *options, stdin=subprocess.PIPE)
    edge.stdin.write(pcap([(T0 + n, udp("10.0.0.1", 5000, "10.0.0.2", 100 + n)) for n in range(60)]))
    edge.stdin.flush()
    wait_for(lambda: any(topic.endswith("/stats") for topic, _ in broker.published), "the status")
    edge.communicate(timeout=LIMIT_S)
    published = broker.all_published()
    incidents = [json.loads(text) for topic, text in published if topic.endswith("/incident")]
    assert [line["alert"]["metadata"]["tlids_state"][0] for line in incidents] == ["open", "closed"]
    assert {line["src_ip"] for line in incidents} == {"10.0.0.1"}
    alerts = [json.loads(text) for topic, text in published if topic.endswith("/alert")]
    assert [alert["alert"]["signature_id"] for alert in alerts] == [9_200_011]  # the 60 flows' own are not for people
    states = [text for topic, text in published if topic.endswith("/state")]
    assert states == [b"online", b"offline"]
    assert sum(topic.startswith("homeassistant/sensor/") for topic, _ in published) == len(SENSORS)


def test_a_broker_that_comes_back_to_a_full_queue_hears_that_we_are_online():
    pytest.importorskip("paho.mqtt")
    server = socket.socket()
    server.bind(("127.0.0.1", 0))  # nobody listens yet
    sink = MqttSink(f"127.0.0.1:{server.getsockname()[1]}", "pi")
    sink.write([b"{}\n"] * (QUEUED + 5))
    assert (sink.pending, sink.unwritten) == (QUEUED, 5)
    server.listen()
    broker = Broker(server)
    wait_for(lambda: sink.push() or not sink.pending, "every alert")
    sink.close()
    assert (sink.written, sink.unwritten) == (QUEUED, 5)
    published = broker.all_published()
    assert [text for topic, text in published if topic == "tlids/pi/state"] == [b"online", b"offline"]
    assert sum(topic.startswith("homeassistant/sensor/") for topic, _ in published) == len(SENSORS)
    server.close()


def test_a_client_that_is_just_connecting_again_does_not_hold_up_the_end(monkeypatch):
    """Its thread may then be in a look-up of the host's name, or wait for an answer to its TLS, for a minute."""
    pytest.importorskip("paho.mqtt")
    broker, released = Broker(), threading.Event()
    sink = MqttSink(f"127.0.0.1:{broker.server.getsockname()[1]}", "pi")
    wait_for(sink._client.is_connected, "the connection")
    stop = sink._client.loop_stop
    monkeypatch.setattr(sink._client, "loop_stop", released.wait)
    closing = threading.Thread(target=sink.close, daemon=True)
    closing.start()
    closing.join(LIMIT_S)
    assert not closing.is_alive()
    released.set()
    stop()
