"""Faults that `tlids-edge` survives (live ones: test_live_faults.py)."""

import io
import os
import random
import re
import signal
import struct
import subprocess
import threading
import time
import types
from pathlib import Path

import pytest
from edge_process import (
    LIMIT_S,
    ended_in_time,
    events,
    flow_alerts,
    run_edge,
    start_edge,
    stop,
    wait_for,
    wait_until_filled,
    wait_until_told,
    wait_until_watching,
)
from frames import ACK, PCAP_HEADER, SYN, T0, conversation, pcap, record, tcp, udp
from tiny_model import write_model
from tlids_edge.alerts.eve_file import FileSink
from tlids_edge.alerts.outlet import Outlet
from tlids_edge.alerts.reporter import Options, Reporter
from tlids_edge.capture.packets import PacketStats, read_packets
from tlids_edge.detect.detector import Detector
from tlids_edge.flows.meter import Meter
from tlids_edge.learn.home import Home
from tlids_edge.monitor import Watch


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_gives_every_open_flow_its_verdict_and_exit_status_0(model, tmp_path, number):
    path = tmp_path / "eve.json"
    edge = start_edge(
        model, "-", "--eve", str(path), "--all-flows", "--flow-alerts", "all", "--status", "0.1", stdin=subprocess.PIPE
    )
    frames = [(T0 + index / 1000, udp("10.0.0.1", 1000 + index, "10.0.0.2", 53)) for index in range(40)]
    edge.stdin.write(pcap(frames))
    edge.stdin.flush()
    wait_until_told(edge, "packets 40 ")  # they are in the meter, the pipe stays open
    _, said = stop(edge, number)
    assert edge.returncode == 0
    flows = events(path.read_bytes(), "flow")
    assert len(flows) == 40
    assert {event["flow"]["reason"] for event in flows} == {"shutdown"}
    assert b"40 flows" in said


def test_a_signal_at_any_moment_of_a_turn_is_not_lost(model, monkeypatch):
    """A turn looks whether the reader of its lines has gone; a signal that came at that moment was once overwritten."""
    detector, sink = Detector(model), types.SimpleNamespace(push=lambda: None)
    watch = Watch(Meter(), detector, Reporter(Outlet(sink), detector.card))
    before = [signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)]
    watch.catch_signals()
    try:
        monkeypatch.setattr(Outlet, "reader_gone", property(lambda _: signal.raise_signal(signal.SIGTERM)))
        assert watch.tick()
    finally:
        for number, handler in zip((signal.SIGTERM, signal.SIGINT, signal.SIGHUP), before, strict=True):
            signal.signal(number, handler)


def test_what_was_learned_is_on_the_disk_before_the_sinks_take_their_time(model, tmp_path, monkeypatch):
    """systemd kills what has not ended in fifteen seconds; a broker or a disk may take most of them."""
    detector, order = Detector(model), []
    watch = Watch(Meter(), detector, Reporter(Outlet(FileSink(tmp_path / "eve.json")), detector.card))
    monkeypatch.setattr(Home, "close", lambda _: order.append("learned"))
    monkeypatch.setattr(Outlet, "close", lambda _: order.append("sinks"))
    watch.close()
    assert order == ["learned", "sinks"]


def test_sighup_reopens_the_eve_file_after_logrotate_moved_it(model, tmp_path):
    path, moved = tmp_path / "eve.json", tmp_path / "eve.json.old"
    edge = start_edge(model, "-", "--eve", str(path), "--flow-alerts", "all", stdin=subprocess.PIPE)
    edge.stdin.write(pcap([(T0, udp("10.0.0.1", 1, "10.0.0.2", 53)), (T0 + 60, udp("10.0.0.1", 2, "10.0.0.2", 53))]))
    edge.stdin.flush()
    wait_for(lambda: path.exists() and path.stat().st_size > 0, "the first alert")
    path.rename(moved)
    edge.send_signal(signal.SIGHUP)
    wait_for(path.exists, "the new file")
    edge.stdin.write(record(T0 + 120, udp("10.0.0.1", 3, "10.0.0.2", 53)))
    edge.communicate(timeout=LIMIT_S)
    assert edge.returncode == 0
    assert [event["src_port"] for event in events(moved.read_bytes())] == [1]
    assert [event["src_port"] for event in events(path.read_bytes())] == [2, 3]


def test_the_whole_program_goes_on_with_a_full_disk(model, tmp_path):
    if not Path("/dev/full").exists():
        pytest.skip("needs /dev/full")
    (tmp_path / "c.pcap").write_bytes(pcap((T0 + n, udp("10.0.0.1", 1 + n, "10.0.0.2", 53)) for n in range(30)))
    done = run_edge(model, str(tmp_path / "c.pcap"), "--eve", "/dev/full", "--flow-alerts", "all")
    assert done.returncode == 0
    assert b"30 anomaly" in done.stderr and b"unwritten 32" in done.stderr  # and the incident's beginning and end


def test_a_slow_reader_of_a_replay_gets_every_line(model, tmp_path):
    (tmp_path / "c.pcap").write_bytes(pcap((T0 + n, udp("10.0.0.1", 1 + n, "10.0.0.2", 53)) for n in range(400)))
    edge = start_edge(model, str(tmp_path / "c.pcap"), "--flow-alerts", "all")
    wait_until_watching(edge)
    wait_until_filled(edge.stdout)
    text, said = edge.communicate(timeout=LIMIT_S)
    assert len(flow_alerts(text)) == 400 and edge.returncode == 0
    assert b"unwritten 0" in said


def test_sigterm_ends_a_replay_whose_reader_has_stopped_reading(model, tmp_path):
    (tmp_path / "c.pcap").write_bytes(pcap((T0 + n, udp("10.0.0.1", 1 + n, "10.0.0.2", 53)) for n in range(400)))
    edge = start_edge(model, str(tmp_path / "c.pcap"))
    wait_until_watching(edge)
    wait_until_filled(edge.stdout)
    edge.send_signal(signal.SIGTERM)
    assert edge.wait(LIMIT_S) == 0
    edge.communicate(timeout=LIMIT_S)


def test_a_reader_that_goes_away_ends_the_run(model):
    edge = start_edge(model, "-", stdin=subprocess.PIPE)
    edge.stdout.close()
    edge.stdin.write(pcap([(T0, udp("10.0.0.1", 1, "10.0.0.2", 53)), (T0 + 60, udp("10.0.0.1", 2, "10.0.0.2", 53))]))
    edge.stdin.flush()
    assert edge.wait(LIMIT_S) == 0
    with ended_in_time(edge):
        assert b"Traceback" not in edge.stderr.read()
    edge.stdin.close()
    edge.stderr.close()


def test_a_clock_that_jumps_back_a_year_leaves_no_flow_without_verdict(model, tmp_path):
    year = 365 * 86400
    frames = [(T0 + n, udp("10.0.0.1", 1 + n, "10.0.0.2", 53)) for n in range(5)]
    frames += [(T0 - year + n, udp("10.0.0.1", 100 + n, "10.0.0.2", 53)) for n in range(5)]
    frames += [(T0 + year + n, udp("10.0.0.1", 200 + n, "10.0.0.2", 53)) for n in range(5)]
    (tmp_path / "c.pcap").write_bytes(pcap(frames))
    done = run_edge(model, str(tmp_path / "c.pcap"), "--all-flows", "--flow-alerts", "all")
    assert done.returncode == 0 and len(events(done.stdout, "flow")) == 15


@pytest.mark.parametrize("jump", [400 * 86400, -400 * 86400])
def test_a_wall_clock_that_is_set_while_live_is_told_and_the_flows_are_judged(
    model, tmp_path, monkeypatch, jump, capsys
):
    outlet, detector = Outlet(FileSink(tmp_path / "eve.json")), Detector(model)
    watch = Watch(Meter(), detector, Reporter(outlet, detector.card, Options(all_flows=True)), live=True)
    wall, real = [time.time()], time.monotonic()
    monkeypatch.setattr("tlids_edge.monitor.time.time", lambda: wall[0] + time.monotonic() - real)
    watch._offset = wall[0] - real
    first = next(iter(read_packets(io.BytesIO(pcap([(wall[0], udp("10.0.0.1", 1, "10.0.0.2", 53))])), PacketStats())))
    watch.meter.add(first)
    watch.tick()
    assert len(watch.meter) == 1 and "jumped" not in capsys.readouterr().err
    wall[0] += jump
    watch._due = 0
    watch.tick()
    said = capsys.readouterr().err
    assert f"the clock jumped by {jump:+d} s" in said
    watch.meter.add(first._replace(time_us=int(wall[0] * 1e6), src_port=2))
    watch.run([])
    flows = events((tmp_path / "eve.json").read_bytes(), "flow")
    assert sorted((event["src_port"], event["flow"]["reason"]) for event in flows) == [
        (1, "idle"),
        (2, "shutdown"),
    ]


def syn_flood(flows: int, every: int):
    """A capture in pieces: SYNs from random sources, and a legitimate conversation after every so many."""
    chance = random.Random(7)
    knock = tcp("9.9.9.9", 1024, "10.0.0.2", 80, SYN)
    before, after = (
        knock[:26],
        knock[30:34] + struct.pack("!H", 1024) + knock[36:],
    )  # around the source address
    yield PCAP_HEADER
    for start in range(0, flows, every):
        block = []
        for index in range(start, start + every):
            seconds, micros = divmod(round(T0 * 1e6) + index * 100, 1_000_000)
            source = struct.pack("!I", chance.randrange(1 << 24, 223 << 24))
            block.append(struct.pack("<IIII", seconds, micros, len(knock), len(knock)) + before + source + after)
        there = ("10.0.0.9", 20_000 + start // every, "10.0.0.2", 443)
        back = (there[2], there[3], there[0], there[1])
        for ends, flags in ((there, SYN), (back, SYN | ACK), (there, ACK), (there, 0x11), (back, 0x11)):
            block.append(record(T0 + (start + every) * 0.0001, tcp(*ends, flags)))
        yield b"".join(block)


def test_a_syn_flood_of_200000_flows_costs_bounded_memory_and_legitimate_flows_are_judged(model, tmp_path):
    path = tmp_path / "eve.json"
    options = ("--eve", str(path), "--max-flows", "2000", "--eve-max-mb", "0")
    edge = start_edge(model, "-", *options, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL)
    feeder = threading.Thread(target=feed, args=(edge.stdin, syn_flood(200_000, 2000)), daemon=True)
    feeder.start()
    with ended_in_time(edge):
        said = edge.stderr.read().decode()
    feeder.join(LIMIT_S)
    assert edge.wait(LIMIT_S) == 0
    assert int(re.search(r"peak memory (\d+) MB", said)[1]) < 100
    assert "200100 flows" in said
    assert "table-full 19" in said and "evicted 19" in said
    assert "Reconnaissance 200000, Benign 100" in said
    assert b'"src_ip":"10.0.0.9"' not in path.read_bytes()


def feed(pipe, chunks) -> None:
    with pipe:
        for chunk in chunks:
            pipe.write(chunk)


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        (b"", "nothing"),
        (b"<!DOCTYPE html><html>", "text that begins with"),
        (b"\x28\xb5\x2f\xfddata", "compressed data"),
        (b"\x1f\x8b\x08\x00data", "damaged gzip"),
    ],
)
def test_what_is_no_capture_is_refused_in_one_sentence(model, tmp_path, content, sentence):
    (tmp_path / "c.pcap").write_bytes(content)
    done = run_edge(model, str(tmp_path / "c.pcap"))
    assert done.returncode == 2 and done.stdout == b""
    refusals = [line for line in done.stderr.decode().splitlines() if "expected a pcap or pcapng capture" in line]
    assert len(refusals) == 1 and f"found {sentence}" in refusals[0]
    assert "Traceback" not in done.stderr.decode()


def test_a_capture_without_packets_is_no_fault(model, tmp_path):
    (tmp_path / "c.pcap").write_bytes(PCAP_HEADER)
    done = run_edge(model, str(tmp_path / "c.pcap"))
    assert done.returncode == 0 and b"0 flows" in done.stderr


def test_a_truncated_capture_gives_the_flows_up_to_the_cut(model, tmp_path):
    whole = pcap(conversation("10.0.0.1", 1234, "10.0.0.2", 80))
    (tmp_path / "c.pcap").write_bytes(whole[:-20])
    done = run_edge(model, str(tmp_path / "c.pcap"), "--all-flows", "--flow-alerts", "all")
    assert done.returncode == 0 and b"capture cut short: 1" in done.stderr
    assert events(done.stdout, "flow")[0]["flow"]["pkts_toserver"] == 4


def test_fuzzed_captures_never_crash_the_program(model, tmp_path):
    chance = random.Random(11)
    good = pcap(conversation("10.0.0.1", 1234, "10.0.0.2", 80))
    for trial in range(6):
        broken = bytearray(good)
        for _ in range(10):
            broken[chance.randrange(24, len(broken))] = chance.randrange(256)
        (tmp_path / "c.pcap").write_bytes(bytes(broken))
        done = run_edge(model, str(tmp_path / "c.pcap"), "--all-flows", "--flow-alerts", "all")
        assert done.returncode == 0 and b"Traceback" not in done.stderr, f"trial {trial}"


def test_a_corrupt_model_is_refused_before_the_capture_is_opened(tflite, tmp_path):
    folder = write_model(tmp_path / "m", tflite)
    (folder / "model.tflite").write_bytes(tflite[:-1] + b"\x00\x01")
    fifo = tmp_path / "fifo"
    os.mkfifo(fifo)  # nobody writes: opening it to read would tell, by waiting
    done = run_edge(folder, str(fifo))
    assert done.returncode == 2 and b"SHA-256" in done.stderr and b"Traceback" not in done.stderr


def test_a_card_that_does_not_match_is_refused(tflite, tmp_path):
    folder = write_model(tmp_path / "m", tflite, classes=["Benign", "DoS"])
    done = run_edge(folder, os.devnull)
    assert done.returncode == 2 and b"2 classes" in done.stderr


def test_a_replay_that_stalls_still_answers_sigterm(model, tmp_path):
    fifo = tmp_path / "fifo"
    os.mkfifo(fifo)
    edge = start_edge(model, str(fifo), stdout=subprocess.DEVNULL)
    wait_until_watching(edge)
    _, said = stop(edge)
    assert edge.returncode == 0
    assert b"Traceback" not in said
