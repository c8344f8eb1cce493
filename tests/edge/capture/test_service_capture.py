"""Capturing in another process: the stream over a socket, the drop counter, the interface of the default route."""

import contextlib
import os
import signal
import socket
import subprocess
import sys
import threading

import pytest
from edge_process import LIMIT_S, STARTED, Until, first_line, wait_for
from tlids_edge.capture import feeder
from tlids_edge.capture.service_capture import ServiceCapture
from tlids_edge.errors import InputError

from tests.edge.build_pcap import pcap

ROUTES = """Iface\tDestination\tGateway \tFlags\tRefCnt\tUse\tMetric\tMask\t\tMTU\tWindow\tIRTT
wlan0\t00000000\t0107A8C0\t0003\t0\t0\t600\t00000000\t0\t0\t0
eth0\t00000000\t0107A8C0\t0003\t0\t0\t100\t00000000\t0\t0\t0
eth0\t0007A8C0\t00000000\t0001\t0\t0\t50\t00FFFFFF\t0\t0\t0
"""
COUNT = "echo 'listening on eth0, 7 packets dropped by kernel' >&2"
TCPDUMP = """
import signal, sys, time
def say(*lines): print(*lines, sep="\\n", file=sys.stderr, flush=True)
signal.signal(signal.SIGUSR1, lambda *_: say("5 packets captured", "7 packets dropped by kernel"))
say("listening on eth0")
while True: time.sleep(0.1)
"""


def served(path: str, parts: list[bytes]) -> threading.Thread:
    """A service that hands one capture to each connection, and hangs up."""
    server = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    server.bind(path)
    server.listen()
    server.settimeout(LIMIT_S)

    def serve() -> None:
        for part in parts:
            connection, _ = server.accept()
            connection.sendall(part)
            connection.close()
        server.close()

    thread = threading.Thread(target=serve, daemon=True)
    thread.start()
    return thread


def test_a_capture_that_ends_is_taken_up_again_and_the_gap_is_counted(tmp_path):
    parts = [pcap() + b"first", pcap() + b"second"]
    thread = served(str(tmp_path / "socket"), parts)
    (tmp_path / feeder.COUNTER).write_bytes(b"7")
    told, read = [], []
    capture = ServiceCapture(str(tmp_path / "socket"), Until(lambda: len(read) == 2), told.append, tmp_path)
    for stream in capture.streams():
        read.append(stream.read())
    thread.join(LIMIT_S)
    assert read[0] == parts[0]
    assert capture.losses.gaps == 1
    assert capture.losses.dropped >= 7
    assert any("connecting again" in line for line in told)


def test_no_service_is_an_error_that_names_the_socket(tmp_path):
    with pytest.raises(InputError, match=r"expected a capturing service.*found") as caught:
        next(ServiceCapture(str(tmp_path / "none"), bool, print).streams())
    assert "tlids-capture.socket" in caught.value.remedy


def test_the_drop_counter_is_what_tcpdump_says_and_a_reader_that_hangs_up_ends_tcpdump(tmp_path, monkeypatch):
    monkeypatch.setattr(feeder, "ASK_S", 0.1)
    ours, readers = socket.socketpair()
    child = subprocess.Popen([sys.executable, "-c", TCPDUMP], stderr=subprocess.PIPE)
    STARTED.append(child)
    thread = threading.Thread(target=feeder.listen, args=(child, tmp_path / "dropped", ours.fileno()), daemon=True)
    thread.start()
    wait_for((tmp_path / "dropped").is_file, "the drop counter")
    assert (tmp_path / "dropped").read_text() == "7"
    readers.close()
    thread.join(LIMIT_S)
    assert child.wait(LIMIT_S) != 0
    assert not thread.is_alive()
    ours.close()
    child.stderr.close()


def test_a_drop_counter_that_cannot_be_written_ends_no_capture(tmp_path):
    ours, readers = socket.socketpair()
    with ours, readers, subprocess.Popen(["sh", "-c", COUNT], stderr=subprocess.PIPE) as child:
        feeder.listen(child, tmp_path / "no folder" / "dropped", ours.fileno())
        assert child.wait(LIMIT_S) == 0


def test_a_child_that_does_not_heed_the_signal_to_end_makes_room_for_the_next_capture(monkeypatch):
    monkeypatch.setattr(feeder, "STOP_S", 0.1)
    child = subprocess.Popen(["sh", "-c", "trap '' TERM; echo ready; sleep 600"], stdout=subprocess.PIPE)
    STARTED.append(child)
    assert first_line(child) == b"ready\n"
    child.terminate()
    ending = threading.Thread(target=feeder.ended, args=(child,), daemon=True)
    ending.start()
    ending.join(LIMIT_S)
    assert not ending.is_alive() and child.returncode == -signal.SIGKILL
    child.stdout.close()


def test_a_service_whose_queue_is_full_is_not_waited_for_without_end(tmp_path):
    path = str(tmp_path / "socket")
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as server, contextlib.ExitStack() as stack:
        server.bind(path)
        server.listen(0)
        with contextlib.suppress(BlockingIOError):
            while True:
                other = stack.enter_context(socket.socket(socket.AF_UNIX, socket.SOCK_STREAM))
                other.setblocking(False)
                other.connect(path)
        trial = threading.Thread(target=connect, args=(path, refused := []), daemon=True)
        trial.start()
        trial.join(LIMIT_S)
        assert "expected a capturing service at" in str(refused)


def connect(path: str, refused: list[InputError]) -> None:
    """Note why a service is refused."""
    try:
        next(ServiceCapture(path, bool, print).streams())
    except InputError as error:
        refused.append(error)


def test_the_interface_is_that_of_the_default_route_with_the_lowest_metric(tmp_path):
    (tmp_path / "route").write_text(ROUTES)
    assert feeder.default_interface(tmp_path / "route") == "eth0"
    (tmp_path / "route").write_text(ROUTES.splitlines(keepends=True)[0])
    with pytest.raises(InputError, match="default route"):
        feeder.default_interface(tmp_path / "route")


def test_the_feeder_hands_over_what_tcpdump_writes(tmp_path):
    fake = tmp_path / "tcpdump"
    fake.write_text("#!/bin/sh\nprintf stream\n")
    fake.chmod(0o755)
    ours, theirs = socket.socketpair()
    settings = {"TLIDS_INTERFACE": "lo", "TLIDS_CAPTURE": "tcpdump"}
    environment = os.environ | settings | {"PATH": str(tmp_path), "RUNTIME_DIRECTORY": str(tmp_path)}
    done = subprocess.Popen([sys.executable, feeder.__file__], stdin=theirs, stdout=theirs, env=environment)
    STARTED.append(done)
    theirs.close()
    ours.settimeout(LIMIT_S)
    heard = b""
    while part := ours.recv(100):
        heard += part
    ours.close()
    assert heard == b"stream"
    assert done.wait(LIMIT_S) == 0


def test_a_socket_whose_path_is_too_long_is_told_so():
    with pytest.raises(InputError, match="expected a capturing service at .*found: AF_UNIX path too long"):
        next(ServiceCapture("/" + "a" * 300, bool, print).streams())
