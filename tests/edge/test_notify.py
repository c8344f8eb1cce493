"""notify.py: what systemd hears. A socket of our own stands for systemd's."""

import os
import socket
import subprocess
import time

import pytest
from edge_process import LIMIT_S, start_edge
from tlids_edge.notify import Notifier


@pytest.fixture
def systemd(tmp_path):
    """A socket that takes datagrams."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listener:
        listener.bind(str(tmp_path / "notify"))
        listener.settimeout(LIMIT_S)
        yield listener


def test_systemd_hears_that_the_service_is_ready_works_and_ends(model, systemd):
    environment = os.environ | {"NOTIFY_SOCKET": systemd.getsockname(), "WATCHDOG_USEC": "400000"}
    environment.pop("WATCHDOG_PID", None)
    edge = start_edge(model, "-", stdin=subprocess.PIPE, env=environment)
    assert [systemd.recv(100) for _ in range(4)] == [b"READY=1", *[b"WATCHDOG=1"] * 3]  # while no packet comes
    edge.terminate()
    end = time.monotonic() + LIMIT_S
    while (heard := systemd.recv(100)) != b"STOPPING=1":
        assert heard == b"WATCHDOG=1" and time.monotonic() < end
    edge.communicate(timeout=LIMIT_S)
    assert edge.returncode == 0


def test_a_beat_comes_four_times_in_the_time_that_systemd_allows(systemd):
    notifier = Notifier({"NOTIFY_SOCKET": systemd.getsockname(), "WATCHDOG_USEC": "8000000"})
    for now in range(100, 116):
        notifier.beat(float(now))
    systemd.setblocking(False)
    heard = 0
    while True:
        try:
            assert systemd.recv(100) == b"WATCHDOG=1"
        except BlockingIOError:
            break
        heard += 1
    assert heard == 8


@pytest.mark.parametrize(
    "environment", [{}, {"WATCHDOG_USEC": "1000"}, {"NOTIFY_SOCKET": "/nowhere/at/all", "WATCHDOG_USEC": "1000"}]
)
def test_without_systemd_nothing_happens(environment):
    notifier = Notifier(environment)
    notifier.tell("READY=1")
    notifier.beat(1.0)


def test_another_process_of_the_service_is_not_watched(systemd):
    notifier = Notifier({"NOTIFY_SOCKET": systemd.getsockname(), "WATCHDOG_USEC": "1000", "WATCHDOG_PID": "1"})
    notifier.beat(1.0)
    systemd.setblocking(False)
    with pytest.raises(BlockingIOError):
        systemd.recv(100)


def test_a_name_with_an_at_sign_is_in_the_abstract_name_space():
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listener:
        listener.bind(f"\0tlids-test-{os.getpid()}")
        listener.settimeout(LIMIT_S)
        Notifier({"NOTIFY_SOCKET": f"@tlids-test-{os.getpid()}"}).tell("READY=1")
        assert listener.recv(100) == b"READY=1"
