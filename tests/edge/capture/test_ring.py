"""The capture program of ours, live over veth: frames byte for byte, its rights, its end. Skipped without root."""

import os
import random
import signal
import struct
import subprocess
import sys
import threading
from contextlib import contextmanager
from pathlib import Path
from typing import IO

import pytest
from edge_process import LIMIT_S, STARTED, wait_for
from frames import arp, ethernet, udp
from tiny_fixtures import send_udp
from tlids_edge.capture import programs

STRICT = ["-std=c11", "-g", "-O1", "-Wall", "-Wextra", "-Werror"]
SANITIZED = ["-fsanitize=address,undefined", "-fno-sanitize-recover=all"]
SEND = """
import os, socket, sys
out = socket.socket(socket.AF_PACKET, socket.SOCK_RAW)
out.bind(("edge1", 0))
while size := sys.stdin.buffer.read(4):
    out.send(sys.stdin.buffer.read(int.from_bytes(size, "big")))
if sys.argv[1:]:
    os.execvp(sys.argv[1], sys.argv[1:])
"""
FLOOD = """
import socket
out = socket.socket(socket.AF_PACKET, socket.SOCK_RAW)
out.bind(("edge1", 0))
for _ in range(14_000):
    out.send(bytes(1400))
print("full", flush=True)
while True:
    out.send(bytes(1400))
"""
TAGS = struct.pack("!HHH", 3, 0x8100, 0x2005)  # what comes after the outer 0x88a8: its VLAN, and a whole tag within


@pytest.fixture
def ring(two_hosts) -> tuple[str, ...]:
    """The start of its command line, in the first host."""
    if not programs.RING.exists():
        pytest.skip(programs.ring_fails("lo"))
    assert programs.ring_fails("lo") == ""
    return "ip", "netns", "exec", two_hosts[0], str(programs.RING)


@pytest.fixture
def sanitized(two_hosts, tmp_path) -> tuple[str, ...]:
    """The same of one that was built with sanitizers."""
    program, source = tmp_path / "tlids-ring", programs.RING.with_name("ring.c")
    built = subprocess.run(["cc", *STRICT, *SANITIZED, "-o", program, source], capture_output=True, text=True)
    if "cannot find" in built.stderr:
        pytest.skip("needs a C compiler with sanitizers")
    assert built.returncode == 0, built.stderr
    return "ip", "netns", "exec", two_hosts[0], str(program)


@contextmanager
def listening(command: tuple[str, ...], interface: str = "edge0", into: int | IO = subprocess.PIPE):
    """A capture that nobody reads yet, from when it listens; whatever is left of it at the end is killed."""
    process = subprocess.Popen([*command, interface], stdout=into, stderr=subprocess.PIPE)
    STARTED.append(process)
    with process:
        try:
            assert b"listening on" in process.stderr.readline()
            yield process
        finally:
            process.kill()


@contextmanager
def capturing(command: tuple[str, ...], into: Path, interface: str = "edge0"):
    """A capture into a file, from when it listens; it is ended by SIGTERM."""
    with open(into, "wb") as file, listening(command, interface, file) as process:
        yield process
        process.send_signal(signal.SIGTERM)
        process.said = process.communicate(timeout=LIMIT_S)[1].decode()
        assert process.returncode == 0, process.said


def send(namespace: str, frames: list[bytes], then: tuple[str, ...] = ()) -> None:
    """Send frames as they are, from the second host, and run a command at once."""
    stream = b"".join(struct.pack("!I", len(frame)) + frame for frame in frames)
    inside = ["ip", "netns", "exec", namespace, sys.executable, "-c", SEND, *then]
    subprocess.run(inside, input=stream, check=True, timeout=LIMIT_S)


def records(capture: Path | bytes) -> list[tuple[int, bytes]]:
    """The length on the wire and the captured bytes of each packet of a pcap file, the last of which may be cut."""
    data = capture if isinstance(capture, bytes) else capture.read_bytes()
    found, at = [], 24
    while at + 16 <= len(data):
        seconds, microseconds, captured, length = struct.unpack_from("<IIII", data, at)
        assert microseconds < 1_000_000
        found.append((length, data[at + 16 : at + 16 + captured]))
        at += 16 + captured
    return found


def made_up(count: int) -> list[bytes]:
    """Frames of all sizes, every fourth with a VLAN tag."""
    rng = random.Random(5)
    kinds = (0x0800, 0x86DD, 0x88CC, 0x8100)
    return [ethernet(rng.randbytes(rng.randint(46, 1500)), kinds[number % len(kinds)]) for number in range(count)]


def test_frames_are_those_that_were_sent_and_that_tcpdump_captures(sanitized, two_hosts, tmp_path):
    own = [udp("10.9.9.9", 1, "10.77.0.1", port) for port in (5000, 5001)]
    tagged = ethernet(TAGS + udp("10.9.9.9", 1, "10.9.9.8", 53)[12:], 0x88A8)
    frames = [*own, tagged, arp(1, "02:00:00:00:00:09", "1.1.1.1", "2.2.2.2"), *made_up(2_000)]
    options = "-U", "--immediate-mode", "-B32768", "-s2048", "-w-", "-i"
    with (
        capturing((*sanitized[:-1], "tcpdump", *options), tmp_path / "tcpdump"),
        capturing(sanitized, tmp_path / "ring"),
    ):
        send(two_hosts[1], frames)
        wait_for(lambda: len(records(tmp_path / "ring")) >= len(frames), "the frames in the ring's file")
        wait_for(lambda: len(records(tmp_path / "tcpdump")) >= len(frames), "the frames in tcpdump's file")
    assert records(tmp_path / "ring") == records(tmp_path / "tcpdump")
    ours = set(frames)  # the hosts may have asked for addresses
    assert [frame for _, frame in records(tmp_path / "ring") if frame in ours] == frames


def test_a_longer_frame_is_cut_and_its_length_is_told(sanitized, two_hosts, tmp_path):
    for name, interface in zip(two_hosts, ("edge0", "edge1"), strict=True):
        subprocess.run(["ip", "-n", name, "link", "set", interface, "mtu", "9000"], check=True)
    frames = [ethernet(bytes(range(250)) * 12), ethernet(bytes(range(250)) * 12, 0x8100)]
    with capturing(sanitized, tmp_path / "ring"):
        send(two_hosts[1], frames)
        wait_for(lambda: len(records(tmp_path / "ring")) >= 2, "the frames")
    assert records(tmp_path / "ring")[:2] == [(len(frame), frame[: programs.SNAP_LENGTH]) for frame in frames]


def test_a_signal_right_after_the_packets_loses_none_of_them(ring, two_hosts, tmp_path):
    frames = made_up(300)
    with capturing(ring, tmp_path / "ring") as process:
        send(two_hosts[1], frames)
    assert [frame for _, frame in records(tmp_path / "ring")] == frames
    assert process.said == "0 packets dropped by kernel\n"


def test_what_nobody_reads_in_time_is_dropped_and_counted_to_the_last_packet(ring, two_hosts):
    sent = [ethernet(bytes(1400))] * 14_000  # 20 MB; the ring has room for 16 MiB
    with listening(ring) as process:
        send(two_hosts[1], sent)
        process.send_signal(signal.SIGUSR1)
        assert int(process.stderr.readline().split()[0]) > 0
        process.send_signal(signal.SIGTERM)
        stream, said = process.communicate(timeout=LIMIT_S)
    dropped = int(said.split()[0])
    assert dropped > 0 and len(records(stream)) + dropped == len(sent)


def test_a_signal_ends_it_though_nobody_reads(ring, two_hosts):
    with listening(ring) as process:
        send(two_hosts[1], [ethernet(bytes(1400))] * 2_000)  # more than a pipe holds
        process.send_signal(signal.SIGTERM)
        assert process.wait(LIMIT_S) == 1
        assert b"nobody reads it" in process.stderr.read()


def test_a_signal_ends_it_in_a_flood_that_its_reader_cannot_follow(ring, two_hosts):
    argv = ["ip", "netns", "exec", two_hosts[1], sys.executable, "-c", FLOOD]
    with listening(ring) as process, subprocess.Popen(argv, stdout=subprocess.PIPE) as flood:
        STARTED.append(flood)
        assert flood.stdout.readline() == b"full\n"  # more than the ring holds
        reader = threading.Thread(target=read_slowly, args=(process.stdout,), daemon=True)
        reader.start()
        process.send_signal(signal.SIGTERM)
        try:
            code = process.wait(LIMIT_S)
        finally:
            flood.kill()
            process.kill()
        reader.join(LIMIT_S)
    assert code == 0 and not reader.is_alive()


def read_slowly(pipe) -> None:
    """Read to the end, more slowly than the flood comes."""
    never = threading.Event()
    while pipe.read1(1 << 16):
        never.wait(0.004)


def test_frames_right_before_the_interface_goes_down_are_kept(ring, two_hosts, tmp_path):
    frames = made_up(300)
    with open(tmp_path / "ring", "wb") as file, listening(ring, into=file) as process:
        send(two_hosts[1], frames, ("ip", "-n", two_hosts[0], "link", "set", "edge0", "down"))
        assert process.wait(LIMIT_S) == 1
        assert process.stderr.read() == b"0 packets dropped by kernel\nedge0: Network is down\n"
    assert [frame for _, frame in records(tmp_path / "ring")] == frames


def test_an_interface_that_is_down_gives_no_stream_but_passes_the_trial(ring, two_hosts):
    subprocess.run(["ip", "-n", two_hosts[0], "link", "set", "edge0", "down"], check=True)
    done = subprocess.run([*ring, "edge0"], capture_output=True, timeout=LIMIT_S)
    assert (done.returncode, done.stdout, done.stderr) == (1, b"", b"edge0: Network is down\n")
    assert subprocess.run([*ring, "edge0", "--check"], timeout=LIMIT_S).returncode == 0


def test_closed_standard_descriptors_are_opened_before_the_packet_socket(ring):
    argv = [*ring[:-1], "sh", "-c", f"exec {ring[-1]} edge0 <&- >&- 2>&-"]
    process = subprocess.Popen(argv)
    STARTED.append(process)
    folder = Path(f"/proc/{process.pid}/fd")
    wait_for(lambda: has_packet_socket(folder.parent), "the packet socket")
    assert [os.readlink(folder / number) for number in "012"] == ["/dev/null"] * 3
    process.send_signal(signal.SIGTERM)
    assert process.wait(LIMIT_S) == 0


def has_packet_socket(process: Path) -> bool:
    """Whether a process, of /proc, runs the ring by now and has a socket as its first descriptor of its own."""
    try:
        program, first = os.readlink(process / "exe"), os.readlink(process / "fd/3")
    except OSError:
        return False
    return program == str(programs.RING) and first.startswith("socket:")


def test_it_keeps_no_right(ring, tmp_path):
    with capturing(ring, tmp_path / "ring") as process:
        status = dict(line.split(":", 1) for line in Path(f"/proc/{process.pid}/status").read_text().splitlines())
    assert {name: int(status[name], 16) for name in ("CapInh", "CapPrm", "CapEff", "CapAmb")} == dict.fromkeys(
        ("CapInh", "CapPrm", "CapEff", "CapAmb"), 0
    )
    assert set(status["Uid"].split()) == set(status["Gid"].split()) == {"65534"}
    assert status["Groups"].split() == [] and status["NoNewPrivs"].strip() == "1"


def test_a_reader_that_goes_ends_it_though_no_packet_comes(ring):
    with listening(ring) as process:
        process.stdout.close()
        assert process.wait(LIMIT_S) == 1


def test_an_interface_that_goes_down_ends_it_with_the_reason(ring, two_hosts):
    with listening(ring) as process:
        subprocess.run(["ip", "-n", two_hosts[0], "link", "set", "edge0", "down"], check=True)
        assert process.wait(LIMIT_S) == 1
        assert b"edge0: Network is down" in process.stderr.read()


def test_a_packet_to_oneself_is_captured_once(ring, two_hosts, tmp_path):
    subprocess.run(["ip", "-n", two_hosts[0], "link", "set", "lo", "up"], check=True)
    with capturing(ring, tmp_path / "ring", "lo"):
        send_udp(two_hosts[0], "127.0.0.1", range(5000, 5005))
    to = [frame[36:38] for _, frame in records(tmp_path / "ring") if frame[12:14] == b"\x08\x00" and frame[23] == 17]
    assert to == [port.to_bytes(2, "big") for port in range(5000, 5005)]


@pytest.mark.parametrize(
    "arguments", [[], ["nosuchif0"], ["a" * 30], ["edge0", "edge1"], ["nosuchif0", "--check"], ["tun0", "--check"]]
)
def test_what_it_cannot_capture_is_told_and_ends_it(ring, two_hosts, arguments):
    if "tun0" in arguments:
        made = ["ip", "-n", two_hosts[0], "tuntap", "add", "tun0", "mode", "tun"]
        if subprocess.run(made, capture_output=True).returncode:
            pytest.skip("tun devices cannot be made here")
    done = subprocess.run([*ring, *arguments], capture_output=True, text=True, timeout=LIMIT_S)
    assert done.returncode == 1 and done.stdout == "" and len(done.stderr.splitlines()) == 1


def test_a_trial_captures_nothing(ring):
    done = subprocess.run([*ring, "edge0", "--check"], capture_output=True, timeout=LIMIT_S)
    assert (done.returncode, done.stdout, done.stderr) == (0, b"", b"")


def test_without_the_right_to_capture_it_says_so(ring):
    argv = ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups", "--bounding-set=-all", ring[-1], "lo"]
    done = subprocess.run(argv, capture_output=True, text=True, timeout=LIMIT_S, cwd="/")
    if "Permission denied" in done.stderr:
        pytest.skip("another user cannot reach the program here")
    assert done.returncode == 1 and "permission to capture" in done.stderr
