"""What a broker has acknowledged is written; brokers that are gone, late, deaf or shared."""

import json
import os
import re
import shutil
import socket
import subprocess
from collections.abc import Iterator

import pytest
from case_commands import LIMIT_S, capture_of
from case_lines import FLOWS, counts, numbered
from edge_process import STARTED, events, run_edge, start_edge, stop, wait_for, wait_until_told
from tlids_edge.alerts.mqtt import MqttSink, node_name
from tlids_edge.errors import InputError


@pytest.fixture
def free_port() -> Iterator[int]:
    """A port on which nobody listens. It is ours for the whole test; mosquitto may listen there all the same."""
    with socket.socket() as ours:
        ours.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        ours.bind(("127.0.0.1", 0))
        yield ours.getsockname()[1]


def for_people(text: bytes) -> list[dict]:
    """What a broker is told: incidents and alerts of rules, not those of single flows."""
    return [event for event in events(text, "alert") if "flow" not in event]


class Mosquitto:
    """A broker of its own, and what a subscriber to everything hears."""

    def __init__(self, port: int, folder) -> None:
        self.port = port
        (folder / "mosquitto.conf").write_text(f"listener {port} 127.0.0.1\nallow_anonymous true\nuser root\n")
        command = [shutil.which("mosquitto") or "/usr/sbin/mosquitto", "-v", "-c", str(folder / "mosquitto.conf")]
        self.log = folder / "mosquitto.log"
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(command, stdout=log, stderr=log)
        STARTED.append(self.process)
        wait_for(self.answers, "mosquitto to listen")
        paho = pytest.importorskip("paho.mqtt.client")
        self.heard: list[tuple[str, bytes]] = []
        self.client = paho.Client(paho.CallbackAPIVersion.VERSION2)
        self.client.on_message = lambda _client, _data, message: self.heard.append((message.topic, message.payload))
        self.client.connect("127.0.0.1", port)
        self.client.subscribe("#", qos=1)
        self.client.loop_start()
        wait_for(lambda: b"SUBACK" in self.log.read_bytes(), "the subscriber")

    def answers(self) -> bool:
        try:
            socket.create_connection(("127.0.0.1", self.port), 1).close()
            return True
        except OSError:
            return False

    def told(self, name: str) -> list[dict]:
        topics = f"tlids/{name}/alert", f"tlids/{name}/incident"
        return [json.loads(text) for topic, text in self.heard if topic in topics]

    def close(self) -> None:
        self.client.loop_stop()
        self.process.terminate()
        self.process.wait(LIMIT_S)


@pytest.fixture
def mosquitto(free_port, tmp_path):
    pytest.importorskip("paho.mqtt.client")
    if not (shutil.which("mosquitto") or os.path.exists("/usr/sbin/mosquitto")):
        pytest.skip("needs mosquitto, which `make system` installs")
    broker = Mosquitto(free_port, tmp_path)
    yield broker
    broker.close()


def test_what_a_broker_has_acknowledged_is_written_and_has_arrived(model, folder, mosquitto):
    done = run_edge(model, str(folder / "a.pcap"), "--mqtt", f"127.0.0.1:{mosquitto.port}", "--name", "attic")
    told = for_people(done.stdout)
    assert done.returncode == 0 and len(told) > 1
    wait_for(lambda: len(mosquitto.told("attic")) == len(told), "every incident and every alert of a rule")
    assert mosquitto.told("attic") == told
    assert counts(done.stderr) == (len(events(done.stdout)) + len(told), 0)
    assert f"MQTT: {len(told)} alerts acknowledged by the broker, 0 not".encode() in done.stderr


@pytest.mark.parametrize("broker", ["127.0.0.1:1", "no-such-host.invalid", "127.0.0.1"])
def test_alerts_for_a_broker_that_cannot_be_reached_are_unwritten_and_it_is_told_once(
    model,
    folder,
    broker,
    free_port,
):
    pytest.importorskip("paho.mqtt.client")
    broker = f"127.0.0.1:{free_port}" if broker == "127.0.0.1" else broker
    done = run_edge(model, str(folder / "a.pcap"), "--mqtt", broker, "--status", "0.5")
    told = len(for_people(done.stdout))
    assert done.returncode == 0 and counts(done.stderr) == (done.stdout.count(b"\n"), told) and told > 1
    assert len(re.findall(rb"not writing: the MQTT broker \S+ cannot be reached", done.stderr)) == 1


class Deaf:
    """A broker that takes a connection, and acknowledges no alert."""

    def __init__(self) -> None:
        self.server = socket.create_server(("127.0.0.1", 0))
        self.port = self.server.getsockname()[1]


def test_a_port_that_answers_nothing_is_no_broker(model, folder):
    pytest.importorskip("paho.mqtt.client")
    deaf = Deaf()
    done = run_edge(model, str(folder / "a.pcap"), "--mqtt", f"127.0.0.1:{deaf.port}")
    deaf.server.close()
    told = len(for_people(done.stdout))
    assert counts(done.stderr) == (done.stdout.count(b"\n"), told) and b"not writing: the MQTT broker" in done.stderr


def test_a_broker_that_comes_later_gets_what_was_kept_and_both_are_told(model, folder, free_port, tmp_path):
    pytest.importorskip("paho.mqtt.client")
    if not (shutil.which("mosquitto") or os.path.exists("/usr/sbin/mosquitto")):
        pytest.skip("needs mosquitto")
    options = ("--mqtt", f"127.0.0.1:{free_port}", "--name", "late", "--status", "0.1", "--eve", os.devnull)
    edge = start_edge(model, "-", *options, stdin=subprocess.PIPE)
    edge.stdin.write(capture_of(FLOWS))
    edge.stdin.flush()
    wait_until_told(edge, "not writing: the MQTT broker .* cannot be reached")
    broker = Mosquitto(free_port, tmp_path)
    try:
        wait_until_told(edge, "writing again: the MQTT broker")
        said = edge.communicate(timeout=LIMIT_S)[1]
        acknowledged = int(re.search(rb"MQTT: (\d+) alerts acknowledged by the broker, 0 not", said)[1])
        wait_for(lambda: len(broker.told("late")) >= acknowledged, "what was kept")
    finally:
        broker.close()
    assert edge.returncode == 0 and acknowledged == len(for_people(run_edge(model, str(folder / "a.pcap")).stdout))


def test_a_broker_that_goes_away_is_told(model, mosquitto):
    options = ("--mqtt", f"127.0.0.1:{mosquitto.port}", "--status", "0.1", "--name", "left")
    edge = start_edge(model, "-", *options, stdin=subprocess.PIPE)
    edge.stdin.write(capture_of(0))
    edge.stdin.flush()
    wait_for(lambda: ("tlids/left/state", b"online") in mosquitto.heard, "the connection")
    mosquitto.close()
    wait_until_told(edge, "not writing: the MQTT broker .* cannot be reached")
    stop(edge)
    assert edge.returncode == 0


def test_two_instances_at_one_broker_do_not_throw_each_other_off(model, folder, mosquitto):
    options = ("--mqtt", f"127.0.0.1:{mosquitto.port}", "--status", "0.2", "--eve", os.devnull)
    named = [("--name", "attic"), ("--name", "cellar"), (), ()]
    count = len(for_people(run_edge(model, str(folder / "a.pcap")).stdout))
    edges = [start_edge(model, "-", *options, *name, stdin=subprocess.PIPE) for name in named]
    for edge in edges:
        edge.stdin.write(capture_of(FLOWS))
        edge.stdin.flush()
    for edge in edges:
        wait_until_told(edge, "tlids-edge: packets [1-9]")
        said = edge.communicate(timeout=LIMIT_S)[1]
        assert f"MQTT: {count} alerts acknowledged by the broker, 0 not".encode() in said
    for name in ("attic", "cellar"):
        wait_for(lambda name=name: len(mosquitto.told(name)) == count, name)
        assert any(topic == f"homeassistant/sensor/tlids_{name}/alerts/config" for topic, _ in mosquitto.heard)
        states = [text for topic, text in mosquitto.heard if topic == f"tlids/{name}/state"]
        assert states == [b"online", b"offline"]
    log = mosquitto.log.read_text()
    identities = re.findall(r"New client connected from \S+ as (tlids-\S+)", log)
    assert len(set(identities)) == len(identities) == 4 and max(map(len, identities)) <= 23
    assert "already connected" not in log


@pytest.mark.parametrize("name", ["", "a/b", "a b", "+", "#", "küche", "x" * 65, "a\n"])
def test_a_name_that_topics_cannot_hold_is_refused(name):
    with pytest.raises(InputError, match="expected 1 to 64 letters.*found"):
        node_name(name)


def test_alerts_beyond_what_is_kept_for_a_broker_are_counted_at_once(free_port):
    pytest.importorskip("paho.mqtt.client")
    sink = MqttSink(f"127.0.0.1:{free_port}")
    sink.write(numbered(1200))
    assert (sink.written, sink.unwritten, sink.pending) == (0, 200, 1000)
    sink.close()
    assert (sink.written, sink.unwritten, sink.pending) == (0, 1200, 0)
