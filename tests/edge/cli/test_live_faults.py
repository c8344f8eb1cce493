"""Live capture over a veth pair between two network namespaces: what it sees, and the faults it survives."""

import json
import os
import re
import signal
import subprocess
from itertools import count
from pathlib import Path

import pytest
from edge_process import (
    LIMIT_S,
    STARTED,
    alive,
    children,
    events,
    need_root,
    run_edge,
    start_edge,
    wait_for,
    wait_until_told,
)
from tiny_fixtures import clear_up, link, send_udp


class Live:
    """`tlids-edge` on edge0 of a namespace; what it says goes to a file that can be read while it runs."""

    def __init__(self, model: Path, namespace: str, folder: Path, *options: str) -> None:
        self.namespace, self.said = namespace, folder / "said"
        with open(self.said, "wb") as said:
            self.process = start_edge(
                model, "edge0", "--status", "0.1", *options, prefix=("ip", "netns", "exec", namespace), stderr=said
            )
        wait_for(lambda: "watching" in self.words(), "the model to be loaded")
        self.listen()

    def listen(self) -> None:
        """Wait until a child captures; packets on the wire count from here."""
        wait_for(self.listening, "a packet socket")
        self.before = self.seen() - self.on_wire()

    def listening(self) -> bool:
        """Whether a packet socket in the namespace is bound and running: field 6 of a line of /proc/net/packet."""
        return any(line.split()[5] == "1" for line in inside(self.namespace, "/proc/net/packet").splitlines()[1:])

    def on_wire(self) -> int:
        """The packets that edge0 has sent and received."""
        counters = "/sys/class/net/edge0/statistics/"
        return sum(map(int, inside(self.namespace, f"{counters}rx_packets", f"{counters}tx_packets").split()))

    def seen(self) -> int:
        """The packets that have been read, as the latest status line has it."""
        return int((re.findall(r"packets (\d+) drops", self.words()) or [0])[-1])

    def catch_up(self) -> None:
        """Wait until every packet on the wire has been read."""
        wait_for(lambda: self.seen() >= self.before + self.on_wire(), "every packet on the wire to be read")

    def words(self) -> str:
        return self.said.read_text()

    def finish(self, number: int = signal.SIGTERM) -> tuple[bytes, str]:
        """Stop it; standard output and error."""
        self.process.send_signal(number)
        text, _ = self.process.communicate(timeout=LIMIT_S)
        return text, self.words()


def inside(namespace: str, *files: str) -> str:
    """The contents of files as a namespace sees them."""
    return subprocess.run(["ip", "netns", "exec", namespace, "cat", *files], capture_output=True, text=True).stdout


def ports(text: bytes) -> set[int | None]:
    """The destination ports of EVE lines; a line that is being written is left out."""
    return {event.get("dest_port") for event in events(text[: text.rfind(b"\n") + 1])}


def send_until_judged(sender: str, eve: Path, first_port: int) -> None:
    """Send datagrams, each to a port of its own, until a flow of theirs is in the EVE file."""
    port = count(first_port)

    def sent_and_judged() -> bool:
        number = next(port)
        send_udp(sender, "10.77.0.1", range(number, number + 1))
        return any((found or 0) >= first_port for found in ports(eve.read_bytes()))

    wait_for(sent_and_judged, f"a flow to port {first_port} or above")


def test_namespaces_of_a_killed_test_run_are_removed_with_what_runs_there_and_those_of_a_living_run_stay():
    need_root("ip")
    with subprocess.Popen(["true"]) as dead:
        pass
    names = f"tlids-a-{dead.pid}", f"tlids-b-{os.getpid()}"
    try:
        for name in names:
            if subprocess.run(["ip", "netns", "add", name], capture_output=True).returncode:
                pytest.skip("network namespaces cannot be made here")
        left = subprocess.Popen(["ip", "netns", "exec", names[0], "sleep", "600"])
        STARTED.append(left)
        pids = ["ip", "netns", "pids", names[0]]
        wait_for(lambda: f"{left.pid}\n" in subprocess.check_output(pids, text=True), "a process in the namespace")
        clear_up()
        assert left.wait(LIMIT_S) == -signal.SIGKILL
        assert [Path("/run/netns", name).exists() for name in names] == [False, True]
    finally:
        for name in names:
            subprocess.run(["ip", "netns", "del", name], capture_output=True)


def test_live_flows_are_judged_and_no_child_is_left(model, two_hosts, tmp_path):
    live = Live(model, two_hosts[0], tmp_path, "--all-flows", "--flow-alerts", "all")
    offspring = children(live.process.pid)
    assert len(offspring) == 1
    send_udp(two_hosts[1], "10.77.0.1", range(5000, 5010))
    live.catch_up()
    text, said = live.finish()
    assert live.process.returncode == 0
    flows = [event for event in events(text, "flow") if event["proto"] == "UDP"]
    assert sorted(event["dest_port"] for event in flows) == list(range(5000, 5010))
    assert {event["in_iface"] for event in flows} == {"edge0"}
    assert "0 dropped by the kernel" in said
    assert not any(map(alive, offspring))


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_soon_after_the_packets_loses_none_of_them(model, two_hosts, tmp_path, number):
    live = Live(model, two_hosts[0], tmp_path, "--all-flows", "--flow-alerts", "all")
    send_udp(two_hosts[1], "10.77.0.1", range(5000, 5100))
    live.catch_up()  # the flows are open for fifteen seconds yet
    text, _ = live.finish(number)
    found = {event["dest_port"] for event in events(text, "flow") if event["proto"] == "UDP"}
    assert live.process.returncode == 0 and found == set(range(5000, 5100))


def test_idle_flows_are_judged_by_the_wall_clock_though_no_packet_comes(model, two_hosts, tmp_path):
    eve = tmp_path / "eve.json"
    live = Live(model, two_hosts[0], tmp_path, "--idle-timeout", "0.5", "--eve", str(eve))
    send_udp(two_hosts[1], "10.77.0.1", range(5000, 5001))
    wait_for(lambda: 5000 in ports(eve.read_bytes()), "the verdict on the only packet")
    live.finish()
    assert events(eve.read_bytes())[0]["flow"]["reason"] == "idle"


def runs(pid: int) -> str:
    """The name of a process's program."""
    return Path(f"/proc/{pid}/exe").resolve().name


@pytest.mark.parametrize("program", ["tlids-ring", "tcpdump"])
def test_a_killed_capture_is_started_again_and_the_gap_reported(model, two_hosts, tmp_path, program):
    which = ("--capture", program.removeprefix("tlids-"))
    live = Live(model, two_hosts[0], tmp_path, "--all-flows", "--flow-alerts", "all", *which)
    first = children(live.process.pid)[0]
    assert runs(first) == program
    os.kill(first, signal.SIGKILL)
    wait_for(lambda: children(live.process.pid) not in ([], [first]), "another child")
    live.listen()
    send_udp(two_hosts[1], "10.77.0.1", range(5000, 5003))
    live.catch_up()
    text, said = live.finish()
    assert live.process.returncode == 0
    assert {5000, 5001, 5002} <= ports(text)
    assert "capture ended (killed by signal 9)" in said
    assert "capturing again after a gap of" in said and "1 gaps" in said


def test_the_interface_may_go_down_and_come_back(model, two_hosts, tmp_path):
    eve = tmp_path / "eve.json"
    live = Live(
        model, two_hosts[0], tmp_path, "--all-flows", "--flow-alerts", "all", "--idle-timeout", "0.5", "--eve", str(eve)
    )
    send_until_judged(two_hosts[1], eve, 5000)
    subprocess.run(["ip", "-n", two_hosts[0], "link", "set", "edge0", "down"], check=True)
    wait_for(lambda: not live.listening(), "the packet socket to notice")
    assert live.process.poll() is None
    subprocess.run(["ip", "-n", two_hosts[0], "link", "set", "edge0", "up"], check=True)
    send_until_judged(two_hosts[1], eve, 20_000)
    live.finish()
    assert live.process.returncode == 0


def test_an_interface_that_vanishes_is_waited_for(model, two_hosts, tmp_path):
    eve = tmp_path / "eve.json"
    live = Live(
        model, two_hosts[0], tmp_path, "--all-flows", "--flow-alerts", "all", "--idle-timeout", "0.5", "--eve", str(eve)
    )
    subprocess.run(["ip", "-n", two_hosts[0], "link", "del", "edge0"], check=True)
    wait_for(lambda: "capture ended" in live.words(), "the capture to end")
    assert live.process.poll() is None
    link(two_hosts)
    send_until_judged(two_hosts[1], eve, 5000)
    _, said = live.finish()
    assert live.process.returncode == 0 and "capturing again after a gap" in said


@pytest.mark.parametrize("program", ["ring", "tcpdump"])
def test_a_stopped_consumer_makes_the_kernel_count_drops_and_the_run_goes_on(model, two_hosts, tmp_path, program):
    eve = tmp_path / "eve.json"
    live = Live(model, two_hosts[0], tmp_path, "--idle-timeout", "0.5", "--eve", str(eve), "--capture", program)
    live.process.send_signal(signal.SIGSTOP)  # nobody reads the child's pipe now
    for _ in range(8):
        send_udp(two_hosts[1], "10.77.0.1", range(2000, 6000), "x" * 1400)
    live.process.send_signal(signal.SIGCONT)
    send_until_judged(two_hosts[1], eve, 7000)
    _, said = live.finish()
    assert live.process.returncode == 0
    assert int(said.split(" dropped by the kernel")[0].split()[-1]) > 0


def test_a_live_run_equals_the_replay_of_what_was_on_the_wire(model, two_hosts, tmp_path):
    recording = tmp_path / "wire.pcap"
    recorder = subprocess.Popen(
        ["ip", "netns", "exec", two_hosts[0], "tcpdump", "-i", "edge0", "-U", "-w", str(recording)],
        stderr=subprocess.PIPE,
    )
    STARTED.append(recorder)
    wait_until_told(recorder, "listening")
    options = ("--all-flows", "--flow-alerts", "all", "--idle-timeout", "1", "--active-timeout", "3")
    live = Live(model, two_hosts[0], tmp_path, *options)
    speak(two_hosts)
    live.catch_up()
    wait_for(lambda: packets_in(recording) >= live.seen(), "the recorder to write all it saw")
    recorder.send_signal(signal.SIGTERM)
    recorder.communicate(timeout=LIMIT_S)
    text, said = live.finish()
    assert "0 dropped by the kernel" in said
    replay = run_edge(model, str(recording), *options)
    found, again = comparable(text), comparable(replay.stdout)
    assert len(found) > 40
    assert found == again


def packets_in(recording: Path) -> int:
    """The whole packets of a pcap file that is being written."""
    data, at, found = recording.read_bytes(), 24, 0
    while at + 16 <= len(data) and (at := at + 16 + int.from_bytes(data[at + 8 : at + 12], "little")) <= len(data):
        found += 1
    return found


def speak(hosts: tuple[str, str]) -> None:
    """TCP and UDP both ways, pauses longer than the idle timeout, a flow older than the active one."""
    script = (
        "import socket\n"
        "server = socket.create_server(('10.77.0.1', 8080))\n"
        "while True:\n"
        "    peer, _ = server.accept()\n"
        "    data = peer.recv(100)\n"
        "    peer.sendall(data * 30); peer.close()\n"
    )
    listener = subprocess.Popen(["ip", "netns", "exec", hosts[0], "python3", "-c", script])
    try:
        wait_for(lambda: ":1F90" in inside(hosts[0], "/proc/net/tcp"), "the server")
        client = (
            "import socket, time\n"
            "u = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)\n"
            "for n in range(20):\n"
            "    s = socket.create_connection(('10.77.0.1', 8080)); s.sendall(b'hello %d' % n)\n"
            "    while s.recv(4096): pass\n"
            "    s.close()\n"
            "    u.sendto(b'tick', ('10.77.0.1', 9000)); u.sendto(b'once', ('10.77.0.1', 9100 + n))\n"
            "    time.sleep(1.4 if n in (5, 10) else 0.1)\n"
        )
        subprocess.run(["ip", "netns", "exec", hosts[1], "python3", "-c", client], check=True, timeout=LIMIT_S)
    finally:
        listener.kill()
        listener.wait()


def comparable(text: bytes) -> list[str]:
    """Events of flows and alerts of flows as text, sorted.

    Left out: the name of the source; the end reason, because the last flows end by the clock when live and
    with the file on replay; and times, because two captures of one packet differ by a microsecond, with the
    incident's number, which is made of its time.
    """
    found = []
    for event in events(text):
        if "flow" not in event:
            continue
        event.get("alert", {}).get("metadata", {}).pop("tlids_incident", None)
        for name in ("in_iface", "pcap_filename", "timestamp", "flow_id"):
            event.pop(name, None)
        for name in ("reason", "start", "end", "age"):
            event.get("flow", {}).pop(name, None)
        found.append(json.dumps(event, sort_keys=True))
    return sorted(found)


def test_the_papers_pyshark_capture_sees_the_same_packets(model, two_hosts, tmp_path):
    pytest.importorskip("pyshark")
    live = Live(model, two_hosts[0], tmp_path, "--all-flows", "--flow-alerts", "all", "--capture", "pyshark")
    offspring = children(live.process.pid)

    def sent_and_seen() -> bool:  # again and again: tshark begins some time after dumpcap's socket is there
        send_udp(two_hosts[1], "10.77.0.1", range(5000, 5005))
        return live.seen() >= 30

    wait_for(sent_and_seen, "thirty packets through pyshark")
    text, said = live.finish()
    assert live.process.returncode == 0 and "an unknown number dropped" in said
    assert set(range(5000, 5005)) <= ports(text)
    assert not any(map(alive, offspring))
    wait_for(lambda: not live.listening(), "dumpcap to be gone")
