"""Delivery is what was acknowledged: FIFOs and brokers that nobody is behind, files that rotate, full disks."""

import json
import os
import re
import shutil
import signal
import socket
import subprocess
import time

import pytest
from case_commands import LIMIT_S, capture_of, open_to_others
from edge_process import STARTED, events, run_edge, start_edge, stop, wait_for, wait_until_told
from tiny_fixtures import model, nothing_left_running, tflite  # noqa: F401 - fixtures
from tlids_edge.alerts import eve_stdout
from tlids_edge.alerts.eve_file import FileSink
from tlids_edge.alerts.eve_stdout import PathSink, StdoutSink
from tlids_edge.alerts.mqtt import MqttSink, node_name
from tlids_edge.errors import InputError

FLOWS = 300


def numbered(count: int, start: int = 0, size: int = 0) -> list[bytes]:
    return [json.dumps({"n": n, "text": "x" * size}).encode() + b"\n" for n in range(start, start + count)]


def numbers(data: bytes) -> list[int]:
    return [event["n"] for event in events(data)]


def counts(said: bytes) -> tuple[int, int]:
    """Lines written and unwritten, as the summary has them."""
    found = re.search(rb"lines written (\d+), unwritten (\d+)", said)
    return int(found[1]), int(found[2])


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "a.pcap").write_bytes(capture_of(FLOWS))
    os.mkfifo(tmp_path / "pipe")
    return tmp_path


@pytest.fixture
def patience(monkeypatch):
    """Half a second instead of two for what is held at the end."""
    monkeypatch.setattr(eve_stdout, "CLOSING_S", 0.5)


# ---- a FIFO -----------------------------------------------------------------------------------------------------


def test_a_replay_into_a_fifo_that_nobody_opens_ends_and_counts_every_line(model, folder):  # noqa: F811
    done = run_edge(
        model,
        str(folder / "a.pcap"),
        "--all-flows",
        "--flow-alerts",
        "all",
        "--eve",
        str(folder / "pipe"),
        "--status",
        "0.2",
    )
    assert done.returncode == 0
    written, unwritten = counts(done.stderr)
    assert written == 0 and unwritten >= FLOWS
    assert f"not writing: nobody reads {folder / 'pipe'}".encode() in done.stderr
    assert done.stderr.count(b"not writing") == 1


@pytest.mark.parametrize("opened", [False, True])
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_fifo_that_nobody_reads_stops_neither_status_lines_nor_the_signal(model, folder, opened, number):  # noqa: F811
    reading = os.open(folder / "pipe", os.O_RDONLY | os.O_NONBLOCK) if opened else -1
    options = ("--all-flows", "--flow-alerts", "all", "--eve", str(folder / "pipe"), "--status", "0.1")
    edge = start_edge(model, "-", *options, stdin=subprocess.PIPE)
    edge.stdin.write(capture_of(FLOWS))
    edge.stdin.flush()
    for _ in range(3):
        wait_until_told(edge, "tlids-edge: packets [1-9]")
    began = time.monotonic()
    said = stop(edge, number)[1]
    assert edge.returncode == 0 and time.monotonic() - began < 15
    assert counts(said)[1] > 0
    if opened:
        os.close(reading)


def test_a_reader_that_comes_later_gets_every_line_whole(model, folder):  # noqa: F811
    options = ("--all-flows", "--flow-alerts", "all", "--eve", str(folder / "pipe"), "--status", "0.1")
    edge = start_edge(model, "-", *options, stdin=subprocess.PIPE)
    edge.stdin.write(capture_of(FLOWS))
    edge.stdin.flush()
    wait_until_told(edge, "nobody reads")
    with (folder / "got").open("wb") as got, subprocess.Popen(["cat", folder / "pipe"], stdout=got):
        wait_until_told(edge, "writing again: ")
        said = stop(edge)[1]
    data = (folder / "got").read_bytes()
    assert len(events(data, "flow")) == FLOWS
    assert counts(said) == (data.count(b"\n"), 0)


def test_a_second_reader_goes_on_where_the_first_one_left(folder):
    sink = PathSink(folder / "pipe", patient=False)
    sink.write(numbered(3))
    assert (sink.written, sink.unwritten, sink.pending) == (0, 0, 3) and "nobody reads" in sink.fault
    first = os.open(folder / "pipe", os.O_RDONLY | os.O_NONBLOCK)
    sink.push()
    assert numbers(os.read(first, 1 << 16)) == [0, 1, 2] and sink.fault == ""
    os.close(first)
    sink.write(numbered(3, 3))
    assert (sink.written, sink.pending) == (3, 3)
    second = os.open(folder / "pipe", os.O_RDONLY | os.O_NONBLOCK)
    sink.push()
    assert numbers(os.read(second, 1 << 16)) == [3, 4, 5]
    sink.close()
    os.close(second)
    assert (sink.written, sink.unwritten, sink.reader_gone) == (6, 0, False)


def test_a_hangup_neither_ends_the_reader_of_a_fifo_nor_halves_a_line_for_another(folder):
    first = os.open(folder / "pipe", os.O_RDONLY | os.O_NONBLOCK)
    sink = PathSink(folder / "pipe", patient=False)
    sink.write(numbered(1))
    sink.reopen()
    sink.write(numbered(1, 1))
    assert numbers(os.read(first, 1 << 16)) == [0, 1] and sink.written == 2
    sink.write(numbered(1, 2, size=100_000))  # the first half fills the pipe
    (folder / "pipe").rename(folder / "old")
    os.mkfifo(folder / "pipe")
    sink.reopen()
    second = os.open(folder / "pipe", os.O_RDONLY | os.O_NONBLOCK)
    data = b""
    while sink.pending:
        sink.push()
        data += os.read(second, 1 << 16)
    assert numbers(data) == [2]
    sink.close()
    os.close(first)
    os.close(second)


def test_a_hangup_looks_where_the_link_leads_now(tmp_path):
    link = tmp_path / "eve.json"
    link.symlink_to(tmp_path / "monday")
    sink = FileSink(link)
    sink.write(numbered(1))
    link.unlink()
    link.symlink_to(tmp_path / "tuesday")
    sink.reopen()
    sink.write(numbered(1, 1))
    sink.close()
    assert [numbers((tmp_path / day).read_bytes()) for day in ("monday", "tuesday")] == [[0], [1]]


def test_what_is_held_for_a_fifo_is_bounded_and_the_rest_is_counted(folder, patience):
    sink = PathSink(folder / "pipe", patient=True)
    for start in range(0, 6000, 100):
        sink.write(numbered(100, start, 1000))
    assert sink.unwritten > 0 and sink._held_bytes <= eve_stdout.HELD_BYTES
    sink.close()
    assert (sink.written, sink.unwritten) == (0, 6000)


@pytest.mark.parametrize("blocking", [True, False])
def test_lines_longer_than_a_pipe_writes_at_once_neither_block_nor_break(patience, blocking):
    reading, writing = os.pipe()
    os.set_blocking(writing, blocking)
    sink = StdoutSink(writing, patient=False)
    lines = numbered(40, size=10_000)
    sink.write(lines)  # 400 kB into a pipe of 64 kB
    assert 0 < sink.written < 40 and sink.unwritten == 0
    data = b""
    while sink.pending:
        data += os.read(reading, 1 << 16)
        sink.push()
    sink.close()
    os.close(writing)
    with open(reading, "rb") as stream:
        data += stream.read()
    assert numbers(data) == list(range(40)) and (sink.written, sink.unwritten) == (40, 0)


def test_a_reader_that_leaves_in_the_middle_of_a_long_line_leaves_no_half_to_the_next(folder):
    first = os.open(folder / "pipe", os.O_RDONLY | os.O_NONBLOCK)
    sink = PathSink(folder / "pipe", patient=False)
    sink.write(numbered(5, size=50_000))
    os.close(first)
    sink.push()
    second = os.open(folder / "pipe", os.O_RDONLY | os.O_NONBLOCK)
    data = b""
    for _ in range(100):
        sink.push()
        try:
            data += os.read(second, 1 << 16)
        except BlockingIOError:
            pass
    assert numbers(data) == list(range(5))[-len(numbers(data)) :] and len(numbers(data)) >= 3
    assert sink.written + sink.unwritten == 5
    sink.close()
    os.close(second)


def test_a_device_that_is_full_costs_counted_lines_with_the_reason(model, folder):  # noqa: F811
    for options in (("--eve", "/dev/full"), ()):
        with open("/dev/full", "wb") as full:
            edge = start_edge(
                model, str(folder / "a.pcap"), "--all-flows", "--flow-alerts", "all", *options, stdout=full
            )
            said = edge.communicate(timeout=LIMIT_S)[1]
        assert edge.returncode == 0
        assert counts(said)[0] == 0 and counts(said)[1] >= FLOWS and b"not writing: No space left" in said


def test_a_line_that_was_torn_is_ended_before_the_next(monkeypatch):
    reading, writing = os.pipe()
    sink, write, room = StdoutSink(writing), os.write, [12]

    def cramped(descriptor: int, data: bytes) -> int:
        if not room[0]:
            raise OSError(28, "No space left on device")
        done = write(descriptor, data[: room[0]])
        room[0] -= done
        return done

    monkeypatch.setattr("tlids_edge.alerts.eve_stdout.os.write", cramped)
    sink.write([b'{"n":1}\n', b'{"n":2}\n'])
    assert (sink.written, sink.unwritten) == (1, 1) and "No space left" in sink.fault
    room[0] = 1000
    sink.write([b'{"n":3}\n'])
    assert os.read(reading, 100) == b'{"n":1}\n{"n"\n{"n":3}\n'
    assert (sink.written, sink.unwritten, sink.fault) == (2, 1, "")
    os.close(reading)
    os.close(writing)


# ---- a file that rotates ----------------------------------------------------------------------------------------


def rotated(path) -> list[int]:
    """Every line of a file and of its older ones, the oldest first."""
    files = sorted(path.parent.glob(f"{path.name}.*"), key=lambda file: -int(file.suffix[1:])) + [path]
    return [number for file in files for number in numbers(file.read_bytes())]


@pytest.mark.parametrize("chain", [1, 2])
def test_the_target_of_a_link_rotates_and_the_link_stays(tmp_path, chain):
    logs = tmp_path / "logs"
    logs.mkdir()
    links = [tmp_path / f"eve{number}.json" for number in range(chain)]
    for link, target in zip(links, [*links[1:], logs / "real.json"], strict=True):
        link.symlink_to(target)
    sink = FileSink(links[0], max_bytes=1000)
    for start in range(0, 100, 5):
        sink.write(numbered(5, start))
    sink.close()
    assert all(link.is_symlink() for link in links) and len(list(tmp_path.iterdir())) == chain + 1
    assert {file.name for file in logs.iterdir()} >= {"real.json", "real.json.1", "real.json.2"}
    assert rotated(logs / "real.json") == list(range(100))


def test_a_rotated_file_keeps_its_permissions(tmp_path):
    path = tmp_path / "eve.json"
    path.touch()
    path.chmod(0o604)
    sink = FileSink(path, max_bytes=500)
    for start in range(0, 40, 5):
        sink.write(numbered(5, start))
    sink.close()
    assert {oct(file.stat().st_mode & 0o777) for file in tmp_path.iterdir()} == {oct(0o604)}


@pytest.mark.parametrize("beside", [True, False])
def test_a_file_that_may_not_be_renamed_is_emptied_or_grows_and_loses_no_line(tmp_path, monkeypatch, beside):
    path = tmp_path / "eve.json"
    sink = FileSink(path, max_bytes=500)

    def refuse(*_):
        raise OSError(16, "Device or resource busy")

    replace = type(path).replace
    monkeypatch.setattr(type(path), "replace", lambda file, target: refuse() if file == path else replace(file, target))
    if not beside:
        monkeypatch.setattr("tlids_edge.alerts.eve_file.shutil.copyfile", refuse)
    inode = path.stat().st_ino
    for start in range(0, 60, 5):
        sink.write(numbered(5, start))
    sink.close()
    assert path.stat().st_ino == inode and (sink.written, sink.unwritten) == (60, 0)
    assert rotated(path) == list(range(60)) if beside else numbers(path.read_bytes()) == list(range(60))
    assert ("cannot be rotated" in sink.fault) is not beside


def test_a_mount_point_rotates_by_copy(tmp_path):
    if os.geteuid() or not shutil.which("mount"):
        pytest.skip("needs root: it mounts")
    source, path = tmp_path / "source", tmp_path / "eve.json"
    source.touch()
    path.touch()
    if subprocess.run(["mount", "--bind", source, path], capture_output=True).returncode:
        pytest.skip("nothing can be mounted here")
    try:
        sink = FileSink(path, max_bytes=500)
        for start in range(0, 60, 5):
            sink.write(numbered(5, start))
        sink.close()
        assert rotated(path) == list(range(60)) and source.read_bytes() == path.read_bytes()
    finally:
        subprocess.run(["umount", path], check=True)


def test_lines_that_the_disk_refuses_at_the_end_are_unwritten(tmp_path, monkeypatch):
    sink = FileSink(tmp_path / "eve.json")
    sink.write(numbered(3))

    def refuse(_):
        raise OSError(5, "Input/output error")

    monkeypatch.setattr("tlids_edge.alerts.eve_file.os.fsync", refuse)
    sink.close()
    assert (sink.written, sink.unwritten, sink.fault) == (0, 3, "Input/output error")


def test_a_file_that_may_be_written_and_not_read_is_added_to(tmp_path):
    if os.geteuid():
        pytest.skip("needs root, to become somebody else")
    path = tmp_path / "eve.json"
    path.touch()
    path.chmod(0o622)
    open_to_others(tmp_path)
    os.seteuid(65534)
    try:
        sink = FileSink(path)
        sink.write(numbered(2))
        sink.close()
    finally:
        os.seteuid(0)
    assert numbers(path.read_bytes()) == [0, 1]


# ---- MQTT -------------------------------------------------------------------------------------------------------


@pytest.fixture
def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as server:
        return server.getsockname()[1]


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
        self.process.wait()


@pytest.fixture
def mosquitto(free_port, tmp_path):
    pytest.importorskip("paho.mqtt.client")
    if not (shutil.which("mosquitto") or os.path.exists("/usr/sbin/mosquitto")):
        pytest.skip("needs mosquitto, which `make system` installs")
    broker = Mosquitto(free_port, tmp_path)
    yield broker
    broker.close()


def test_what_a_broker_has_acknowledged_is_written_and_has_arrived(model, folder, mosquitto):  # noqa: F811
    done = run_edge(model, str(folder / "a.pcap"), "--mqtt", f"127.0.0.1:{mosquitto.port}", "--name", "attic")
    told = for_people(done.stdout)
    assert done.returncode == 0 and len(told) > 1
    wait_for(lambda: len(mosquitto.told("attic")) == len(told), "every incident and every alert of a rule")
    assert mosquitto.told("attic") == told
    assert counts(done.stderr) == (len(events(done.stdout)) + len(told), 0)
    assert f"MQTT: {len(told)} alerts acknowledged by the broker, 0 not".encode() in done.stderr


@pytest.mark.parametrize("broker", ["127.0.0.1:1", "no-such-host.invalid", "127.0.0.1"])
def test_alerts_for_a_broker_that_cannot_be_reached_are_unwritten_and_it_is_told_once(
    model,  # noqa: F811
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


def test_a_port_that_answers_nothing_is_no_broker(model, folder):  # noqa: F811
    pytest.importorskip("paho.mqtt.client")
    deaf = Deaf()
    done = run_edge(model, str(folder / "a.pcap"), "--mqtt", f"127.0.0.1:{deaf.port}")
    deaf.server.close()
    told = len(for_people(done.stdout))
    assert counts(done.stderr) == (done.stdout.count(b"\n"), told) and b"not writing: the MQTT broker" in done.stderr


def test_a_broker_that_comes_later_gets_what_was_kept_and_both_are_told(model, folder, free_port, tmp_path):  # noqa: F811
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


def test_a_broker_that_goes_away_is_told(model, mosquitto):  # noqa: F811
    options = ("--mqtt", f"127.0.0.1:{mosquitto.port}", "--status", "0.1", "--name", "left")
    edge = start_edge(model, "-", *options, stdin=subprocess.PIPE)
    edge.stdin.write(capture_of(0))
    edge.stdin.flush()
    wait_for(lambda: ("tlids/left/state", b"online") in mosquitto.heard, "the connection")
    mosquitto.close()
    wait_until_told(edge, "not writing: the MQTT broker .* cannot be reached")
    stop(edge)
    assert edge.returncode == 0


def test_two_instances_at_one_broker_do_not_throw_each_other_off(model, folder, mosquitto):  # noqa: F811
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
