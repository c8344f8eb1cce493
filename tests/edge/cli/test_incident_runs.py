"""`tlids-edge` and its incidents: what is written, bounded and kept through faults."""

import os
import signal
import subprocess
import sys
from datetime import datetime

import pytest
from edge_process import (
    LIMIT_S,
    command,
    events,
    first_line,
    flow_alerts,
    run_edge,
    start_edge,
    stop,
    wait_for,
    wait_until_told,
    wait_until_watching,
)
from frames import T0, conversation, pcap, record, udp
from tlids_edge.flows.labels import BENIGN, read_labels

ATTACKER = "9c:ef:d5:c9:1e:37"
QUERY = bytes.fromhex("1a2b01000001000000000000") + b"\x06debian\x04pool\x03ntp\x03org\0\0\x01\0\x01"
REPOSITORY = os.path.join(os.path.dirname(__file__), "..", "..", "..")
SESSION = os.path.join(REPOSITORY, "data", "testbed", "session2")
UNUSED = {"_hashlib", "ssl", "hmac", "numpy.ma", "numpy.random", "numpy.fft", "asyncio", "paho"}  # up to 3 MB each
TESTBED_MODEL = os.path.join(REPOSITORY, "edge", "models", "testbed")


def knocks(count: int, start: float = 0.0, every: float = 0.001, first: int = 1) -> list[tuple[float, bytes]]:
    """Datagrams that the tiny model holds for an attack, a flow each, to ten ports in turn."""
    return [(T0 + start + n * every, udp("10.0.0.66", first + n, "10.0.0.2", 53 + n % 10)) for n in range(count)]


def incidents(text: bytes) -> list[dict]:
    return [event for event in events(text, "alert") if "tlids_state" in event["alert"].get("metadata", {})]


def states(text: bytes) -> list[str]:
    return [event["alert"]["metadata"]["tlids_state"][0] for event in incidents(text)]


@pytest.fixture
def burst(tmp_path) -> str:
    """1,000 alarming flows of one source within a second, and one more two minutes later from another."""
    frames = knocks(1000) + [(T0 + 150, udp("10.0.0.9", 1, "10.0.0.2", 53))]
    (tmp_path / "burst.pcap").write_bytes(pcap(frames))
    return str(tmp_path / "burst.pcap")


def test_a_run_with_an_incident_loads_no_module_that_it_has_no_use_for(model, burst):
    argv = [sys.executable, "-X", "importtime", *command(model, burst)[1:]]
    done = subprocess.run(argv, capture_output=True, text=True, check=True, timeout=LIMIT_S)
    told = [line for line in done.stderr.splitlines() if line.startswith("import time:")]
    loaded = {line.rpartition("|")[2].strip() for line in told}
    assert "numpy" in loaded and "1 incidents" in done.stderr
    assert not loaded & UNUSED


@pytest.mark.parametrize(("which", "listed"), [("all", 1001), ("some", 25), ("none", 0)])
def test_flow_alerts_are_bounded_and_every_flow_is_counted(model, burst, which, listed):
    done = run_edge(model, burst, "--flow-alerts", which, "--no-fan-out")
    found = flow_alerts(done.stdout)
    told = [event["alert"]["metadata"] for event in incidents(done.stdout)]
    assert [one["tlids_flows"] for one in told] == [["5"], ["1000"]]
    assert sum(int(one["tlids_not_listed"][0]) for one in told) <= 1001 - len(found)
    assert len(found) == listed or which == "some" and 20 <= len(found) <= listed + 1
    left_out = f"{1001 - len(found)} lines about single flows left out".encode()
    assert (left_out in done.stderr) == (which != "all") and b"1 incidents" in done.stderr
    numbers = {event["flow_id"] for event in incidents(done.stdout)}
    assert len(numbers) == 1
    assert {event["alert"]["metadata"].get("tlids_incident", [""])[0] for event in found} <= {str(*numbers), ""}


def test_flow_events_are_bounded_alike(model, burst):
    done = run_edge(model, burst, "--all-flows", "--no-fan-out")
    assert 20 <= len(events(done.stdout, "flow")) <= 26
    assert len(events(run_edge(model, burst, "--all-flows", "--flow-alerts", "all").stdout, "flow")) == 1001


def test_the_options_say_when_an_incident_opens(model, tmp_path):
    (tmp_path / "c.pcap").write_bytes(pcap(knocks(7, every=30)))
    run = [states(run_edge(model, str(tmp_path / "c.pcap"), *options).stdout) for options in (
        (), ("--incident-flows", "3"), ("--incident-window", "200"), ("--incident-slow-flows", "7"),
    )]  # fmt: skip
    assert run[0] == [] and all(found[0] == "open" and found[-1] == "closed" for found in run[1:])


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_an_incident_that_is_open_at_shutdown_is_closed_and_written(model, tmp_path, number):
    eve = tmp_path / "eve.json"
    edge = start_edge(model, "-", "--eve", str(eve), "--status", "0.1", stdin=subprocess.PIPE)
    edge.stdin.write(pcap(knocks(30) + knocks(1, start=20)))
    edge.stdin.flush()
    wait_until_told(edge, "incidents 1 ")
    stop(edge, number)
    assert edge.returncode == 0 and states(eve.read_bytes()) == ["open", "closed"]
    last = incidents(eve.read_bytes())[-1]["alert"]["metadata"]
    assert last["tlids_closed_by"] == ["shutdown"] and last["tlids_flows"] == ["31"]


def test_sighup_in_the_middle_of_an_incident_keeps_it(model, tmp_path):
    eve, moved = tmp_path / "eve.json", tmp_path / "eve.json.1"
    edge = start_edge(model, "-", "--eve", str(eve), "--status", "0.1", stdin=subprocess.PIPE)
    edge.stdin.write(pcap(knocks(30) + knocks(1, start=20)))
    edge.stdin.flush()
    wait_until_told(edge, "incidents 1 ")
    eve.rename(moved)
    edge.send_signal(signal.SIGHUP)
    wait_for(eve.exists, "the new file")
    edge.stdin.write(b"".join(record(*frame) for frame in knocks(10, start=21, first=100)))
    edge.communicate(timeout=LIMIT_S)
    opened, closed = incidents(moved.read_bytes()), incidents(eve.read_bytes())
    assert states(moved.read_bytes()) == ["open"] and states(eve.read_bytes()) == ["closed"]
    assert opened[0]["flow_id"] == closed[0]["flow_id"]
    assert closed[0]["alert"]["metadata"]["tlids_flows"] == ["41"]


def test_a_fifo_that_nobody_reads_holds_no_incident_up(model, burst, tmp_path):
    os.mkfifo(tmp_path / "eve")
    done = run_edge(model, burst, "--eve", str(tmp_path / "eve"))
    assert done.returncode == 0 and b"1 incidents" in done.stderr and b"nobody reads" in done.stderr


def test_a_live_pipe_is_judged_by_the_wall_clock_and_live_takes_nothing_else(model, burst, tmp_path):
    edge = start_edge(model, "-", "--live", "--idle-timeout", "0.2", stdin=subprocess.PIPE)
    wait_until_watching(edge)
    edge.stdin.write(pcap(knocks(6)))  # years ago by the wall clock, and no packet follows
    edge.stdin.flush()
    assert b'"alert"' in first_line(edge)
    edge.communicate(timeout=LIMIT_S)
    assert edge.returncode == 0
    refused = run_edge(model, burst, "--live")
    assert refused.returncode == 2 and b"expected --source - with --live" in refused.stderr


@pytest.fixture(scope="module")
def session(tmp_path_factory) -> bytes:
    eve = tmp_path_factory.mktemp("session2") / "eve.json"
    done = run_edge(TESTBED_MODEL, f"{SESSION}.pcap.gz", "--eve", str(eve))
    assert done.returncode == 0, done.stderr
    return eve.read_bytes()


def seconds(metadata: dict, name: str) -> float:
    return datetime.fromisoformat(metadata[name][0]).timestamp()


def test_every_attack_of_the_testbeds_second_session_lies_within_an_incident_that_names_the_attacker(session):
    attacks = [rule for rule in read_labels(f"{SESSION}.labels.csv") if rule.src == ATTACKER]
    ended = [
        line["alert"]["metadata"] for line in incidents(session) if line["alert"]["metadata"].get("tlids_closed_by")
    ]
    named = [one for one in ended if any(ATTACKER in source for source in one["tlids_sources"])]
    for attack in attacks:
        start, end = attack.start_us / 1e6, attack.end_us / 1e6
        assert any(seconds(one, "tlids_first") < end and seconds(one, "tlids_last") > start for one in named), attack
    assert len(attacks) == 24 and len(ended) < 20


def test_no_incident_opens_while_nobody_attacks_and_few_have_no_flow_of_the_attacker(session):
    attacks = [rule for rule in read_labels(f"{SESSION}.labels.csv") if rule.attack != BENIGN]
    lines = incidents(session)
    for line in lines:
        if line["alert"]["metadata"]["tlids_state"] == ["open"]:
            opened = datetime.fromisoformat(line["timestamp"]).timestamp() * 1e6
            assert any(rule.start_us <= opened <= rule.end_us for rule in attacks)
    ended = [line["alert"]["metadata"] for line in lines if line["alert"]["metadata"]["tlids_state"] == ["closed"]]
    others = [one for one in ended if not any(ATTACKER in source for source in one["tlids_sources"])]
    assert len(others) <= 4  # hosts in the middle of an ARP attack, and one that answers a flood


def test_the_testbeds_second_session_is_told_in_a_quarter_of_the_lines(session):
    assert 11_000 > 4 * len(flow_alerts(session)) and len(incidents(session)) < 100


def test_an_incident_of_a_source_that_two_way_traffic_proved_before_is_proven(model, tmp_path):
    spoken = conversation("10.0.0.66", 1000, "10.0.0.2", 80, T0)
    ours, theirs = knocks(1)[0][1][6:12], knocks(1)[0][1][:6]
    for at in (1, 4, 6):  # what comes back goes to the MAC address that asked
        spoken[at] = (spoken[at][0], ours + theirs + spoken[at][1][12:])
    (tmp_path / "both.pcap").write_bytes(pcap(spoken + knocks(30, start=20)))
    (tmp_path / "knocks.pcap").write_bytes(pcap(knocks(30, start=20)))
    told = {
        name: {line["alert"]["metadata"]["tlids_source"][0] for line in incidents(run_edge(model, str(path)).stdout)}
        for name, path in (("both", tmp_path / "both.pcap"), ("knocks", tmp_path / "knocks.pcap"))
    }
    assert told == {"both": {"proven"}, "knocks": {"claimed"}}


def test_a_name_server_that_is_away_is_neither_an_incident_nor_a_stream_of_alerts(model, tmp_path):
    queries = [(T0 + 10 * n, udp("10.0.0.66", 40000 + n, "10.0.0.1", 53, payload=QUERY)) for n in range(720)]
    (tmp_path / "away.pcap").write_bytes(pcap(queries))
    for folder in (model, TESTBED_MODEL):
        done = run_edge(folder, str(tmp_path / "away.pcap"))
        assert b"720 flows" in done.stderr.replace(b",", b"")
        assert incidents(done.stdout) == []
        assert len(flow_alerts(done.stdout)) == 1, "the first one may be told"
    every = run_edge(model, str(tmp_path / "away.pcap"), "--flow-alerts", "all")
    assert len(flow_alerts(every.stdout)) == 720 and incidents(every.stdout) == []


def test_a_scan_and_a_flood_at_the_same_pace_or_above_are_incidents(model, tmp_path):
    scan = [(T0 + 10 * n, udp("10.0.0.66", 40000, "10.0.0.1", 1000 + n, payload=QUERY)) for n in range(12)]
    flood = [(T0 + 2 * n, udp("10.0.0.66", 40000 + n, "10.0.0.1", 53, payload=QUERY)) for n in range(40)]
    for frames in (scan, flood):
        (tmp_path / "c.pcap").write_bytes(pcap(frames))
        told = incidents(run_edge(model, str(tmp_path / "c.pcap"), "--no-fan-out").stdout)
        assert told and told[-1]["alert"]["metadata"]["tlids_flows"] == [str(len(frames))]
