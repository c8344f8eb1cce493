"""Fixtures of the control plane's tests; a test module imports those it uses."""

import os
import re
import signal
import subprocess
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest
from edge_process import LIMIT_S, STARTED, need_root
from tiny_model import tiny_tflite, write_model
from tlids_edge.flows import core


@pytest.fixture(scope="session")
def tflite() -> bytes:
    return tiny_tflite()


@pytest.fixture(scope="session")
def model(tflite: bytes, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_model(tmp_path_factory.mktemp("tiny-model"), tflite)


@pytest.fixture
def compiled():
    """Skip where the compiled meter was not built."""
    try:
        core.load()
    except core.CoreUnavailable as reason:
        pytest.skip(str(reason))


@pytest.fixture(autouse=True)
def nothing_left_running() -> Iterator[None]:
    """End what a failing test has started and not ended."""
    yield
    while STARTED:
        process = STARTED.pop()
        if process.poll() is None:
            process.kill()
            process.wait()


@pytest.fixture
def two_hosts() -> Iterator[tuple[str, str]]:
    """Two network namespaces joined by a veth pair, 10.77.0.1 (edge0) and 10.77.0.2 (edge1)."""
    need_root("ip", "tcpdump")
    clear_up()
    names = f"tlids-a-{os.getpid()}", f"tlids-b-{os.getpid()}"
    try:
        for name in names:
            made = subprocess.run(["ip", "netns", "add", name], capture_output=True)
            if made.returncode:
                pytest.skip(f"network namespaces cannot be made here: {made.stderr.decode().strip()}")
        link(names)
        yield names
    finally:
        for name in names:
            subprocess.run(["ip", "netns", "del", name], capture_output=True)


def clear_up() -> None:
    """Remove the namespaces of test runs that were killed, and end what runs in them; those of living runs stay."""
    for name in os.listdir("/run/netns") if os.path.isdir("/run/netns") else ():
        found = re.fullmatch(r"tlids-[ab]-(\d+)", name)
        if found and not os.path.exists(f"/proc/{found[1]}"):
            running = subprocess.run(["ip", "netns", "pids", name], capture_output=True, text=True, timeout=LIMIT_S)
            for pid in map(int, running.stdout.split()):
                with suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
            subprocess.run(["ip", "netns", "del", name], capture_output=True, timeout=LIMIT_S)


def link(names: tuple[str, str]) -> None:
    """Join two namespaces by a veth pair that is up and has addresses."""
    ip = ["ip", "-n", names[0]]
    subprocess.run([*ip, "link", "add", "edge0", "type", "veth", "peer", "edge1", "netns", names[1]], check=True)
    for number, name in enumerate(names):
        # no router solicitations: every packet on the wire is one of the test's
        quiet = ["sysctl", "-qw", f"net.ipv6.conf.edge{number}.disable_ipv6=1"]
        subprocess.run(["ip", "netns", "exec", name, *quiet], check=True)
        ip = ["ip", "-n", name]
        subprocess.run([*ip, "addr", "add", f"10.77.0.{number + 1}/24", "dev", f"edge{number}"], check=True)
        subprocess.run([*ip, "link", "set", f"edge{number}", "up"], check=True)


def send_udp(namespace: str, address: str, ports: range, payload: str = "hello", source_port: int = 0) -> None:
    """Send one datagram to each port, from inside a namespace."""
    script = (
        "import socket, sys, time\n"
        "s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM); s.bind(('', int(sys.argv[5])))\n"
        "for port in range(int(sys.argv[2]), int(sys.argv[3])):\n"
        "    s.sendto(sys.argv[4].encode(), (sys.argv[1], port))\n"
    )
    arguments = [address, str(ports.start), str(ports.stop), payload, str(source_port)]
    subprocess.run(["ip", "netns", "exec", namespace, "python3", "-c", script, *arguments], check=True, timeout=LIMIT_S)
