"""The packaged service without systemd: a capture feeds a socket, tlids-edge reads it under the unit's limits."""

import ctypes.util
import os
import shlex
import shutil
import signal
import socket
import subprocess
import sys
import threading
from pathlib import Path

import pytest
import sandbox
from edge_process import LIMIT_S, STARTED, alive, children, command, events, start_edge, wait_for
from home_flows import DAY_S, MODEL, REPOSITORY, drawn, home_day, shown
from never_nice import never_nice
from tiny_fixtures import send_udp
from tlids_edge.capture import feeder
from tlids_edge.detect.card import read_card, read_fields
from tlids_edge.learn.learner import Learner, Plan

UNIT = REPOSITORY / "edge/package/tlids-edge.service"
UNDER_THE_UNIT = (sys.executable, sandbox.__file__, str(UNIT))
PORTS = range(5000, 5010)
ADAPTING = """
import sys, time
from pathlib import Path
from tlids_edge.learn.adapting import Adaptation
adaptation = Adaptation(*map(Path, sys.argv[1:]))
while not adaptation.has_ended():
    time.sleep(0.05)
print(adaptation.outcome())
"""


@pytest.fixture
def confined() -> tuple[str, ...]:
    """What runs a command under the unit's system calls and limits."""
    if not (shutil.which("systemd-analyze") and ctypes.util.find_library("seccomp")):
        pytest.skip("needs systemd-analyze and libseccomp2")
    return UNDER_THE_UNIT


class Service:
    """What tlids-capture.socket does: for each connection, a feeder in a namespace, with the socket as both ends."""

    def __init__(self, path: Path, namespace: str, runtime: Path) -> None:
        self._server = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self._server.bind(str(path))
        self._server.listen()
        self.namespace, self.runtime = namespace, runtime
        self.feeders: list[subprocess.Popen] = []
        threading.Thread(target=self._serve, daemon=True).start()

    def _serve(self) -> None:
        environment = os.environ | {"TLIDS_INTERFACE": "edge0", "RUNTIME_DIRECTORY": str(self.runtime)}
        argv = ["ip", "netns", "exec", self.namespace, sys.executable, feeder.__file__]
        while True:
            try:
                connection, _ = self._server.accept()
            except OSError:
                return
            with connection:
                self.feeders.append(subprocess.Popen(argv, stdin=connection, stdout=connection, env=environment))
                STARTED.append(self.feeders[-1])

    def close(self) -> None:
        self._server.shutdown(socket.SHUT_RDWR)
        self._server.close()

    def capturing(self) -> bool:
        """Whether a packet socket in the namespace is bound and running: field 6 of a line of /proc/net/packet."""
        argv = ["ip", "netns", "exec", self.namespace, "cat", "/proc/net/packet"]
        lines = subprocess.run(argv, capture_output=True, text=True).stdout.splitlines()
        return any(line.split()[5] == "1" for line in lines[1:])


def judged_ports(eve: Path) -> set[int | None]:
    text = eve.read_bytes()
    return {event.get("dest_port") for event in events(text[: text.rfind(b"\n") + 1], "flow")}


def test_packets_cross_the_socket_and_are_judged_and_a_killed_capture_is_a_gap(model, two_hosts, tmp_path, confined):
    eve, said = tmp_path / "eve.json", tmp_path / "said"
    service = Service(tmp_path / "capture", two_hosts[0], tmp_path)
    options = ("--all-flows", "--flow-alerts", "all", "--idle-timeout", "0.5", "--eve", str(eve))
    with open(said, "wb") as words:
        edge = start_edge(model, f"unix:{tmp_path / 'capture'}", *options, prefix=confined, stderr=words)
    wait_for(service.capturing, "the first capture")
    send_udp(two_hosts[1], "10.77.0.1", PORTS)
    wait_for(lambda: judged_ports(eve) >= set(PORTS), "verdicts by the wall clock")

    (child,) = children(service.feeders[0].pid)
    os.kill(child, signal.SIGKILL)
    wait_for(lambda: len(service.feeders) > 1 and service.capturing(), "a second capture")
    later = range(6000, 6010)
    send_udp(two_hosts[1], "10.77.0.1", later)
    wait_for(lambda: judged_ports(eve) >= set(later), "verdicts after the gap")
    assert "capturing again after a gap of" in said.read_text()

    left = children(service.feeders[-1].pid)
    edge.send_signal(signal.SIGTERM)
    assert edge.wait(LIMIT_S) == 0
    wait_for(lambda: not any(map(alive, left)), "the capture to end with its reader")
    service.close()
    assert "Traceback" not in said.read_text()
    assert not [event for event in events(eve.read_bytes(), "flow") if "in_iface" in event]


def test_a_socket_that_is_not_there_is_told_and_pyshark_cannot_read_one(model, tmp_path):
    done = subprocess.run(command(model, f"unix:{tmp_path}/none"), capture_output=True, text=True, timeout=LIMIT_S)
    assert done.returncode == 2 and "expected a capturing service at" in done.stderr
    pyshark = (*command(model, f"unix:{tmp_path}/none"), "--capture", "pyshark")
    done = subprocess.run(pyshark, capture_output=True, text=True, timeout=LIMIT_S)
    assert done.returncode == 2 and "found a socket" in done.stderr


def test_the_model_is_adapted_under_the_units_limits_at_the_lowest_priority(tmp_path, confined):
    learner = Learner(Plan(tmp_path / "state", MODEL, DAY_S, adapts=False, draw=drawn()), read_card(MODEL), print)
    shown(learner, home_day(seconds=DAY_S))
    learner.close()
    target = tmp_path / "state/models/home"
    adapting = [sys.executable, "-c", ADAPTING, str(MODEL), str(tmp_path / "state"), str(target)]
    environment = os.environ | never_nice(tmp_path)
    done = subprocess.run([*confined, *adapting], capture_output=True, text=True, timeout=LIMIT_S, env=environment)
    assert done.returncode == 0 and "later flows of this home alarmed" in done.stdout, done.stderr
    assert read_fields(target)["adapted"]["devices"] == 12
    niced = "import os; os.nice(19); print(os.nice(0))"
    assert subprocess.check_output([*confined, sys.executable, "-c", niced], text=True) == "19\n"


def test_what_the_unit_forbids_is_forbidden_in_these_tests(confined):
    for call in ("import socket; socket.socket(socket.AF_PACKET, socket.SOCK_RAW)", "import os; os.chroot('/')"):
        done = subprocess.run([*confined, sys.executable, "-c", call], capture_output=True, text=True)
        assert "Operation not permitted" in done.stderr, call


def test_the_command_line_of_the_unit_is_one_that_the_program_takes(tmp_path):
    text = UNIT.read_text()
    start = next(line for line in text.splitlines() if line.startswith("ExecStart="))
    learn = next(line for line in text.splitlines() if "TLIDS_LEARN=" in line).split("TLIDS_LEARN=")[1].rstrip('"')
    line = start.partition("/usr/bin/tlids-edge ")[2].replace("${TLIDS_MODEL}", str(MODEL))
    line = line.replace("$TLIDS_LEARN", learn.replace("/var/lib/tlids-edge", str(tmp_path / "state")))
    line = line.replace("$TLIDS_OPTIONS", "").replace("/run/tlids-edge", str(tmp_path))
    argv = shlex.split(line.replace("/var/log/tlids", str(tmp_path)))
    done = subprocess.run([sys.executable, "-m", "tlids_edge.cli.edge", *argv], capture_output=True, text=True)
    assert done.returncode == 2 and "expected a capturing service at" in done.stderr, done.stderr
    assert (tmp_path / "state/key").stat().st_mode & 0o777 == 0o600
