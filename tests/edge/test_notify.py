"""notify.py: what systemd hears. A socket of our own stands for systemd's."""

import os
import socket
import subprocess
import threading
from contextlib import suppress

import pytest
from edge_process import LIMIT_S, start_edge, wait_for
from tlids_edge import notify
from tlids_edge.notify import Notifier


@pytest.fixture
def systemd(tmp_path):
    """A socket that takes datagrams; it holds ten of them, or as many as the kernel was told."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listener:
        listener.bind(str(tmp_path / "notify"))
        listener.settimeout(LIMIT_S)
        yield listener


@pytest.fixture
def heard(systemd):
    """What has come to the socket; a thread takes it in at once, so that the queue does not fill."""
    words = []

    def listen() -> None:
        while words[-1:] != [b"the end"]:
            words.append(systemd.recv(100))

    listening = threading.Thread(target=listen, daemon=True)
    listening.start()
    yield words
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as ours:
        ours.sendto(b"the end", systemd.getsockname())
    listening.join(LIMIT_S)


def test_systemd_hears_that_the_service_is_ready_works_and_ends(model, systemd, heard):
    environment = os.environ | {"NOTIFY_SOCKET": systemd.getsockname(), "WATCHDOG_USEC": "400000"}
    environment.pop("WATCHDOG_PID", None)
    edge = start_edge(model, "-", stdin=subprocess.PIPE, env=environment)
    wait_for(lambda: heard[:4] == [b"READY=1", *[b"WATCHDOG=1"] * 3], "three beats while no packet comes")
    edge.terminate()
    edge.communicate(timeout=LIMIT_S)
    assert edge.returncode == 0
    wait_for(lambda: b"STOPPING=1" in heard, "the word about the end")
    assert set(heard[1:]) == {b"WATCHDOG=1", b"STOPPING=1"}


def test_a_state_waits_until_systemd_has_room_for_it_and_a_beat_does_not(systemd, monkeypatch):
    monkeypatch.setattr(notify, "PATIENCE_S", LIMIT_S)
    notifier = Notifier({"NOTIFY_SOCKET": systemd.getsockname(), "WATCHDOG_USEC": "4000000"})
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as others, suppress(BlockingIOError):
        others.setblocking(False)
        while True:  # as many services start at once
            others.sendto(b"OTHERS=1", systemd.getsockname())
    notifier.beat(1.0)
    taken = threading.Timer(0.1, systemd.recv, [100])  # while READY=1 waits
    taken.start()
    notifier.tell("READY=1")
    taken.join(LIMIT_S)
    words = []
    while words[-1:] != [b"READY=1"]:
        words.append(systemd.recv(100))
    assert b"WATCHDOG=1" not in words


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
