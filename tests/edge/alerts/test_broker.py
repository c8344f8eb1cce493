"""broker.py, waiting.py: hostile brokers, passwords and certificates, and what goes first when the queue is full."""

import json
import os
import random
import resource
import socket
import ssl
import subprocess
import threading

import pytest
from edge_process import LIMIT_S, need_root, run_edge, start_edge, wait_for, wait_until_told
from frames import T0, pcap, udp
from mqtt_broker import Broker
from tlids_edge.alerts.broker import Answers, UnaskedError, read_login
from tlids_edge.alerts.mqtt import QUEUED, MqttSink
from tlids_edge.alerts.outlet import Kind, Outlet
from tlids_edge.alerts.waiting import Message, Waiting
from tlids_edge.errors import InputError

CONNACK, PUBACK, PINGRESP = b"\x20\x02\0\0", b"\x40\x02\0\1", b"\xd0\0"


class Nowhere:
    """An EVE sink that takes everything."""

    def write(self, lines: list[bytes]) -> None:
        pass


def line(severity: int, number: int = 0, text: str = "") -> bytes:
    return json.dumps({"alert": {"severity": severity, "signature": text, "n": number}}, separators=(",", ":")).encode()


def nobody() -> tuple[socket.socket, str]:
    """A port on which nobody listens yet."""
    server = socket.socket()
    server.bind(("127.0.0.1", 0))
    return server, f"127.0.0.1:{server.getsockname()[1]}"


def test_a_flood_does_not_push_a_severe_alert_out_of_the_brokers_queue():
    pytest.importorskip("paho.mqtt")
    server, address = nobody()
    sink = MqttSink(address, "pi")
    outlet = Outlet(Nowhere(), sink)
    outlet.send(Kind.RULE, [line(2, n) for n in range(QUEUED)])
    outlet.send(Kind.ALERT, [line(1)] * 5)  # of single flows: not for the broker
    outlet.send(Kind.RULE, [line(1, QUEUED)])
    outlet.send(Kind.INCIDENT, [line(2, QUEUED + 1)])
    outlet.send(Kind.RULE, [line(3, QUEUED + 2, 'a text with "severity":1 in it')])
    assert (sink.pending, sink.unwritten) == (QUEUED, 3)
    server.listen()
    broker = Broker(server)
    wait_for(lambda: sink.push() or not sink.pending, "every alert")
    sink.close()
    numbers = [
        json.loads(text)["alert"]["n"]
        for topic, text in broker.all_published()
        if topic.endswith(("alert", "incident"))
    ]
    assert numbers == [*range(QUEUED - 2), QUEUED, QUEUED + 1]
    server.close()


def test_what_waits_is_what_a_sorted_list_would_keep():
    draw = random.Random(3)
    for _ in range(50):
        waiting, kept, lost = Waiting(20), [], 0
        for number in range(200):
            if draw.random() < 0.2 and kept:
                oldest = min(kept, key=lambda entry: entry[1])
                assert waiting.take() == Message("alert", b"%d" % oldest[1])
                kept.remove(oldest)
            rank = draw.randrange(4)
            lost += waiting.put(rank, Message("alert", b"%d" % number))
            kept = sorted([*kept, (rank, number)])[:20]
        assert len(waiting) == len(kept) and lost > 0


@pytest.mark.parametrize("first", [b"\x30", b"\x3d", b"\x82", b"\xf0", b"\0"])
def test_the_first_byte_of_what_is_no_answer_is_enough(first):
    answers = Answers()
    answers.see(CONNACK + PUBACK * 3 + PINGRESP)
    with pytest.raises(UnaskedError, match=f"type {first[0] >> 4}"):
        answers.see(first)


@pytest.mark.parametrize("start", [b"\x20\x03", b"\x40\xff", b"\xd0\x01"])
def test_an_answer_that_is_too_long_is_none(start):
    answers = Answers()
    for byte in CONNACK + start[:1]:
        answers.see(bytes([byte]))
    with pytest.raises(UnaskedError, match="too long"):
        answers.see(start[1:])


class Flooding(threading.Thread):
    """A broker that sends a PUBLISH of 255 MiB to whoever connects."""

    def __init__(self) -> None:
        super().__init__(daemon=True)
        self.server = socket.create_server(("127.0.0.1", 0))
        self.sent: list[int] = []  # bytes of the message that went out, by connection
        self.start()

    def run(self) -> None:
        while True:
            peer, _ = self.server.accept()
            with peer:
                peer.recv(4096)
                peer.sendall(CONNACK)
                self.sent.append(0)
                data = b"\x30" + b"\xff\xff\xff\x7f" + b"\0\1a" + bytes(1 << 20)
                try:
                    while self.sent[-1] < 255 << 20:
                        self.sent[-1] += peer.send(data)
                        data = bytes(1 << 20)
                except OSError:
                    continue


def test_a_message_of_255_mib_from_the_broker_ends_the_connection_and_takes_no_memory():
    pytest.importorskip("paho.mqtt")
    broker = Flooding()
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    sink = MqttSink(f"127.0.0.1:{broker.server.getsockname()[1]}", "pi")
    wait_for(lambda: "an MQTT packet of type 3 unasked" in sink.fault, "the word about it")
    wait_for(lambda: len(broker.sent) > 1, "the next connection")
    sink.close()
    assert broker.sent[0] < 64 << 20  # what the sockets hold
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 32 << 10  # KiB


def test_the_id_at_the_broker_has_64_random_bits_and_fits_every_broker():
    pytest.importorskip("paho.mqtt")
    sinks = [MqttSink("127.0.0.1:1", "pi") for _ in range(2)]
    names = [sink._client._client_id.decode() for sink in sinks]
    assert len(set(names)) == 2 and all(len(name) == len("tlids-") + 16 <= 23 for name in names)
    for sink in sinks:
        sink.close()


def test_the_password_is_systemds_credential_before_the_environments(tmp_path):
    (tmp_path / "mqtt-password").write_text("from-systemd\n")
    given = {"TLIDS_MQTT_USER": "pi", "TLIDS_MQTT_PASSWORD": "in-clear"}
    assert read_login({}) == ("", None)
    assert read_login(given) == ("pi", "in-clear")
    assert read_login(given | {"CREDENTIALS_DIRECTORY": str(tmp_path / "none")}) == ("pi", "in-clear")
    assert read_login(given | {"CREDENTIALS_DIRECTORY": str(tmp_path)}) == ("pi", "from-systemd")
    with pytest.raises(InputError, match="expected TLIDS_MQTT_USER beside"):
        read_login({"CREDENTIALS_DIRECTORY": str(tmp_path)})
    (tmp_path / "mqtt-password").write_bytes(b"x" * 5000)
    with pytest.raises(InputError, match="at most 4096 bytes"):
        read_login(given | {"CREDENTIALS_DIRECTORY": str(tmp_path)})


@pytest.mark.parametrize(("host", "told"), [("192.0.2.1", True), ("127.0.0.1:1", False), ("mqtts://192.0.2.1", False)])
def test_a_password_that_goes_out_in_clear_is_warned_of(monkeypatch, host, told):
    pytest.importorskip("paho.mqtt")
    monkeypatch.setattr("paho.mqtt.client.Client.loop_start", lambda _: None)
    monkeypatch.setenv("TLIDS_MQTT_USER", "pi")
    monkeypatch.setenv("TLIDS_MQTT_PASSWORD", "secret")
    sink = MqttSink(host, "pi")
    assert ("in clear" in sink.warning) == told and "secret" not in sink.warning


def test_certificates_without_tls_or_that_are_none_are_refused(tmp_path):
    pytest.importorskip("paho.mqtt")
    with pytest.raises(InputError, match="expected --mqtt mqtts://HOST with --mqtt-ca"):
        MqttSink("ha.local", "pi", "ca.pem")
    with pytest.raises(InputError, match="expected certificates in PEM form in .*none.pem, found: No such file"):
        MqttSink("mqtts://ha.local", "pi", str(tmp_path / "none.pem"))
    (tmp_path / "ca.pem").write_text("no certificate\n")
    with pytest.raises(InputError, match="expected certificates in PEM form"):
        MqttSink("mqtts://ha.local", "pi", str(tmp_path / "ca.pem"))


class SecureBroker(Broker):
    """A broker behind TLS, for one connection that is accepted."""

    def __init__(self, folder) -> None:
        self.context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self.context.load_cert_chain(folder / "cert.pem", folder / "key.pem")
        super().__init__(self.context.wrap_socket(socket.create_server(("127.0.0.1", 0)), server_side=True))

    def run(self) -> None:
        while True:
            try:
                return super().run()
            except OSError:  # the client does not trust us
                continue


@pytest.fixture
def certificate(tmp_path):
    """cert.pem and key.pem of 127.0.0.1, signed with its own key."""
    command = [
        "openssl",
        "req",
        "-x509",
        "-newkey",
        "ec",
        "-pkeyopt",
        "ec_paramgen_curve:P-256",
        "-nodes",
        "-days",
        "2",
    ]
    names = ["-subj", "/CN=tlids", "-addext", "subjectAltName=IP:127.0.0.1"]
    files = ["-keyout", str(tmp_path / "key.pem"), "-out", str(tmp_path / "cert.pem")]
    try:
        subprocess.run([*command, *names, *files], check=True, capture_output=True)
    except OSError:
        pytest.skip("needs openssl, which is not installed")
    return tmp_path


def test_an_alert_goes_over_tls_to_a_broker_that_the_given_authority_vouches_for(certificate):
    pytest.importorskip("paho.mqtt")
    broker = SecureBroker(certificate)
    address = f"mqtts://127.0.0.1:{broker.server.getsockname()[1]}"
    stranger = MqttSink(address, "stranger")  # trusts the system's authorities, none of which has signed it
    stranger.write([line(1, 7)])
    wait_for(lambda: "certificate verify failed" in stranger.fault, "the refusal")
    stranger.close()
    sink = MqttSink(address, "pi", str(certificate / "cert.pem"))
    sink.write([line(1, 8)])
    wait_for(lambda: sink.push() or sink.written == 1, "the acknowledgement")
    sink.close()
    published = broker.all_published()
    assert [json.loads(text)["alert"]["n"] for topic, text in published if topic.endswith("/alert")] == [8]


def test_a_broker_that_is_away_is_in_every_status_line(model):
    pytest.importorskip("paho.mqtt")
    edge = start_edge(model, "-", "--mqtt", "127.0.0.1:1", "--status", "0.2", stdin=subprocess.PIPE)
    for _ in range(2):
        wait_until_told(edge, r"packets 0 .* broker away")
    edge.communicate(timeout=LIMIT_S)


def test_the_figures_at_the_broker_tell_nothing_of_the_homes_traffic_and_are_not_kept(model, tmp_path):
    pytest.importorskip("paho.mqtt")
    broker = Retaining()
    options = (
        "--mqtt",
        f"127.0.0.1:{broker.server.getsockname()[1]}",
        "--status",
        "0.2",
        "--eve",
        str(tmp_path / "eve"),
    )
    edge = start_edge(model, "-", *options, stdin=subprocess.PIPE)
    edge.stdin.write(pcap([(T0 + n, udp("10.0.0.1", 5000, "10.0.0.2", 100 + n)) for n in range(9)]))
    edge.stdin.flush()
    wait_for(lambda: any(topic.endswith("/stats") for topic, _ in broker.published), "the figures")
    edge.communicate(timeout=LIMIT_S)
    figures = [json.loads(text) for topic, text in broker.all_published() if topic.endswith("/stats")]
    assert all(
        set(told) == {"alerts", "incidents", "open_incidents", "incidents_today", "troubles"} for told in figures
    )
    assert {topic.rsplit("/", 1)[1] for topic in broker.retained} == {"state", "config"}


class Retaining(Broker):
    """Notes which topics it is asked to retain."""

    def __init__(self) -> None:
        self.retained: list[str] = []
        super().__init__()

    def note(self, kind: int, topic: str) -> None:
        if kind & 1:
            self.retained.append(topic)


def test_the_capturing_child_is_not_given_the_password(model, tmp_path):
    need_root("ip")
    stub = tmp_path / "tcpdump"
    stub.write_text(f"#!/bin/sh\nenv > {tmp_path}/$$ && mv {tmp_path}/$$ {tmp_path}/environment\n")  # whole
    stub.chmod(0o755)
    environment = {"PATH": f"{tmp_path}:/usr/sbin:/usr/bin:/sbin:/bin", "TLIDS_MQTT_USER": "pi"}
    environment |= {"TLIDS_MQTT_PASSWORD": "secret", "NOTIFY_SOCKET": "/nowhere", "CREDENTIALS_DIRECTORY": "/nowhere"}
    environment["PYTHONPATH"] = os.environ.get("PYTHONPATH", "")
    edge = start_edge(model, "lo", "--capture", "tcpdump", env=environment)
    wait_for((tmp_path / "environment").exists, "the child")
    edge.terminate()
    edge.communicate(timeout=LIMIT_S)
    given = {entry.split("=")[0] for entry in (tmp_path / "environment").read_text().splitlines()}
    assert "PATH" in given
    assert not any(name.startswith(("TLIDS", "NOTIFY", "CREDENTIALS")) for name in given)


def test_an_authority_without_a_broker_is_refused(model):
    done = run_edge(model, "-", "--mqtt-ca", "ca.pem", stdin=subprocess.DEVNULL)
    assert done.returncode == 2 and b"expected --mqtt mqtts://HOST with --mqtt-ca" in done.stderr
