"""Lines for a FIFO that nobody reads, reads late or leaves; devices that are full."""

import os
import signal
import subprocess

import pytest
from case_commands import LIMIT_S, capture_of
from case_lines import FLOWS, counts, numbered, numbers
from edge_process import events, run_edge, start_edge, stop, wait_until_told
from full_disk import leave_room
from tlids_edge.alerts import eve_stdout
from tlids_edge.alerts.eve_file import FileSink
from tlids_edge.alerts.eve_stdout import PathSink, StdoutSink


@pytest.fixture
def patience(monkeypatch):
    """Half a second instead of two for what is held at the end."""
    monkeypatch.setattr(eve_stdout, "CLOSING_S", 0.5)


# ---- a FIFO -----------------------------------------------------------------------------------------------------


def test_a_replay_into_a_fifo_that_nobody_opens_ends_and_counts_every_line(model, folder):
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
def test_a_fifo_that_nobody_reads_stops_neither_status_lines_nor_the_signal(model, folder, opened, number):
    reading = os.open(folder / "pipe", os.O_RDONLY | os.O_NONBLOCK) if opened else -1
    options = ("--all-flows", "--flow-alerts", "all", "--eve", str(folder / "pipe"), "--status", "0.1")
    edge = start_edge(model, "-", *options, stdin=subprocess.PIPE)
    edge.stdin.write(capture_of(FLOWS))
    edge.stdin.flush()
    for _ in range(3):
        wait_until_told(edge, "tlids-edge: packets [1-9]")
    said = stop(edge, number)[1]
    assert edge.returncode == 0
    assert counts(said)[1] > 0
    if opened:
        os.close(reading)


def test_a_reader_that_comes_later_gets_every_line_whole(model, folder):
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


def test_a_device_that_is_full_costs_counted_lines_with_the_reason(model, folder):
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
    sink, room = StdoutSink(writing), leave_room(monkeypatch, 12)
    sink.write([b'{"n":1}\n', b'{"n":2}\n'])
    assert (sink.written, sink.unwritten) == (1, 1) and "No space left" in sink.fault
    room[0] = 1000
    sink.write([b'{"n":3}\n'])
    assert os.read(reading, 100) == b'{"n":1}\n{"n"\n{"n":3}\n'
    assert (sink.written, sink.unwritten, sink.fault) == (2, 1, "")
    os.close(reading)
    os.close(writing)
