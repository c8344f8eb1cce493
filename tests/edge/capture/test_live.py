"""A capturing child: its drop counter, its restarts, its end, and the pipe that is read from."""

import os
import re
import stat
import sys
from pathlib import Path

import pytest
from edge_process import Until, alive, wait_for
from frames import PCAP_HEADER, T0, record, udp
from tlids_edge.capture import live
from tlids_edge.capture.packets import PacketStats, read_packets
from tlids_edge.errors import InputError

FRAME = record(T0, udp("10.0.0.1", 1, "10.0.0.2", 2))


def fake_tcpdump(folder: Path, body: str) -> str:
    """A program named tcpdump that runs a Python body."""
    path = folder / "tcpdump"
    head = f"#!{sys.executable}\nimport os, signal, sys, time\nHEADER = {PCAP_HEADER!r}\nFRAME = {FRAME!r}\n"
    path.write_text(head + body)
    path.chmod(path.stat().st_mode | stat.S_IXUSR)
    return str(path)


def read_all(child: live.LiveCapture, got: list | None = None) -> int:
    """The number of packets of all streams; each is added to `got` when it comes."""
    got = [] if got is None else got
    for stream in child.streams():
        for packet in read_packets(stream, PacketStats()):
            got.append(packet)
    return len(got)


def test_a_read_waits_for_more_only_when_no_read_has_given_much_of_late(monkeypatch):
    reading, writing = os.pipe()
    now = [100.0]
    monkeypatch.setattr(live.time, "monotonic", lambda: now[0])
    monkeypatch.setattr(live.time, "sleep", lambda _: os.write(writing, b"and more"))
    pipe = live.PolledPipe(reading, lambda: False)
    much, after, at_once = bytes(live.MUCH), live.BUSY_S * 1.5, 0.0
    for later, written, given in (
        (at_once, b"little", b"little"), (at_once, b"little ", b"little and more"), (after, much, much),
        (at_once, b"little", b"little"), (at_once, b"little", b"little"), (after, b"little", b"little"),
        (at_once, b"little ", b"little and more"),
    ):  # fmt: skip
        now[0] += later
        os.write(writing, written)
        assert pipe.read(1 << 18) == given
    os.close(reading)
    os.close(writing)


def test_drops_are_asked_for_while_it_runs_and_read_when_it_ends(tmp_path, monkeypatch):
    monkeypatch.setattr(live, "ASK_S", 0.2)
    program = fake_tcpdump(
        tmp_path,
        """
drops = [7]
def tell(*_): os.write(2, b"tcpdump: 9 packets captured, %d packets dropped by kernel\\n" % drops[0])
def end(*_):
    os.write(2, b"9 packets captured\\n12 packets dropped by kernel\\n"); os._exit(0)
signal.signal(signal.SIGUSR1, tell); signal.signal(signal.SIGTERM, end)
os.write(2, b"tcpdump: listening on eth0, link-type EN10MB\\n")
os.write(1, HEADER + FRAME)
time.sleep(600)
""",
    )
    seen = []
    enough = Until(lambda: seen.append(child.losses.dropped) or 7 in seen)
    child = live.LiveCapture([program], enough, print)
    assert read_all(child) == 1
    assert 7 in seen and child.losses.dropped == 12
    assert child.losses.gaps == 0


def test_a_child_that_dies_is_started_again_drops_add_up_and_the_gap_is_told(tmp_path):
    program = fake_tcpdump(
        tmp_path,
        """
os.write(2, b"tcpdump: listening on eth0\\n")
os.write(1, HEADER + FRAME)
os.write(2, b"tcpdump: pcap_loop: The interface disappeared\\n5 packets dropped by kernel\\n")
sys.exit(1)
""",
    )
    said = []
    child = live.LiveCapture([program], Until(lambda: len(said) >= 5), said.append)
    packets = read_all(child)
    assert packets >= 3
    assert child.losses.dropped == 5 * packets
    assert child.losses.gaps in (packets - 1, packets) and child.losses.gap_s > 0.1
    assert "The interface disappeared, exit status 1" in said[0]
    assert re.fullmatch(r"capturing again after a gap of \d+\.\d s", said[1])


def test_a_child_without_permission_is_a_sentence_and_not_a_loop(tmp_path):
    program = fake_tcpdump(
        tmp_path,
        """
sys.exit("tcpdump: eth0: You don't have permission to perform this capture on that device")
""",
    )
    with pytest.raises(InputError, match="expected the right to capture"):
        read_all(live.LiveCapture([program], Until(lambda: False), print))


def test_an_interface_that_is_down_at_the_start_is_waited_for(tmp_path):
    program = fake_tcpdump(
        tmp_path,
        """
flag = __file__ + ".up"
if not os.path.exists(flag):
    open(flag, "w"); sys.exit("tcpdump: eth0: That device is not up")
os.write(1, HEADER + FRAME); time.sleep(600)
""",
    )
    got = []
    assert read_all(live.LiveCapture([program], Until(lambda: got), print), got) == 1


@pytest.mark.parametrize("stubborn", ["True", "not grandchild"])
def test_a_child_that_ignores_sigterm_is_killed_and_its_own_children_too(tmp_path, monkeypatch, stubborn):
    monkeypatch.setattr(live, "STOP_S", 0.3)
    pids = tmp_path / "pids"
    program = fake_tcpdump(
        tmp_path,
        f"""
grandchild = os.fork()
if {stubborn}:
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
if grandchild:
    open({str(pids)!r}, "w").write(f"{{os.getpid()}} {{grandchild}}")
    os.write(1, HEADER + FRAME)
time.sleep(600)
""",
    )
    got = []
    read_all(live.LiveCapture([program], Until(lambda: got), print), got)
    both = [int(pid) for pid in pids.read_text().split()]
    assert len(both) == 2
    wait_for(lambda: not any(map(alive, both)), "child and grandchild to be gone")


def test_the_clock_ticks_while_no_packet_comes():
    reading, writing = os.pipe()
    ticks = []
    stream = live.buffered(reading, lambda: ticks.append(1) or len(ticks) > 5)
    assert stream.read1(100) == b""
    assert len(ticks) == 6
    os.close(reading)
    os.close(writing)


def test_a_packet_is_handed_over_as_soon_as_it_is_there():
    reading, writing = os.pipe()
    os.write(writing, PCAP_HEADER + FRAME)
    packets = read_packets(live.buffered(reading, lambda: False), PacketStats())
    assert next(packets).src_port == 1  # would block for ever if a full buffer were waited for
    os.write(writing, FRAME[:20])
    os.write(writing, FRAME[20:])
    assert next(packets).src_port == 1
    os.close(writing)
    assert list(packets) == []
    os.close(reading)


def test_ctrl_c_does_not_reach_the_child_before_us(tmp_path):
    program = fake_tcpdump(tmp_path, "os.write(1, HEADER + FRAME); time.sleep(600)\n")
    child = live.LiveCapture([program], Until(lambda: False), print)
    groups = []
    for stream in child.streams():
        groups.append(os.getpgid(child.pid))
        stream.read1(1000)
        child.stop()
        stream.read1(1000)
    assert groups and groups[0] != os.getpgrp()
    assert child.pid is None
