"""Packets in disorder, impossible times, and pipes that pause."""

import gzip
import io
import re
import struct
import subprocess

import pytest
from build_pcap import ALICE, BOB, SECOND, START, interface, option, pcap, section, simple_packet
from case_times import TWO, YEAR_2100, clients, meter, ng, rows, run_meter, warning
from edge_process import LIMIT_S, events, run_edge, start_edge, wait_until_told
from shared_captures import shared_folder
from timed_captures import MS, day, question, session, shaken, swapped, tool, with_time, written
from tlids_edge.capture.clock import BLOCK, HELD, Clock
from tlids_edge.capture.packets import PacketStats, read_packets
from tlids_edge.capture.times import Times
from tlids_edge.errors import InputError
from tlids_edge.flows import table

LAST = (1 << 64) - 1


@pytest.fixture
def cases():
    folder = shared_folder() / "cases"
    if not folder.is_dir():
        pytest.skip(f"no shared cases in {folder}: set TLIDS_SHARED")
    return folder


# packets stored in disorder


DISORDER = {
    "syn-ack before syn": swapped(session(START)),
    "the last packet of a block and the next": swapped(day(), BLOCK - 1, BLOCK),
    "a handshake backwards": [*session(START)[2::-1], *session(START)[3:]],
    "answer before question": question(START)[::-1],
    "everything 50 ms out of place": shaken(day(), 50 * MS),
    "everything 95 ms out of place": shaken(day(), 95 * MS),
    "two queues, one behind": sorted(day(), key=lambda packet: packet[0] + 60 * MS * (packet[1][-1] % 2)),
    "syn behind sixty packets": [*question(START + MS, 1) * 30, *session(START)],
}


@pytest.mark.parametrize("name", DISORDER)
def test_disorder_within_a_tenth_of_a_second_gives_the_flows_of_the_sorted_capture(name, tmp_path):
    stored, ordered = written(tmp_path / "stored.pcap", DISORDER[name]), tmp_path / "ordered.pcap"
    tool("reordercap", stored, ordered)
    assert rows(stored) == rows(ordered)
    assert rows(stored, strict_time=True) and warning(stored) == ""


@pytest.mark.parametrize("behind", [1, 10 * MS, 99 * MS])
def test_a_bare_syn_tells_the_client_even_when_its_time_is_behind_that_of_the_syn_ack(behind, tmp_path):
    syn, answer, *rest = session(START, gap=100 * MS)
    capture = written(tmp_path / "c.pcap", [(START, answer[1]), (START + behind, syn[1]), *rest])
    assert [(row[0], row[2]) for row in rows(capture)] == [(ALICE, BOB)]


def test_a_syn_that_comes_much_later_opens_no_flow_in_the_past(tmp_path):
    syn, answer, *rest = session(START, gap=100 * MS)
    capture = written(tmp_path / "c.pcap", [(START, answer[1]), (START + 150 * MS, syn[1]), *rest])
    (row,) = rows(capture)
    first = table.columns(table.Options(family="both")).index("FIRST_SWITCHED_MS")
    assert (row[0], row[2], row[first]) == (ALICE, BOB, START // 1000)  # the answer's time; it tells the client too


def test_what_is_in_order_comes_out_as_it_went_in():
    packets = list(read_packets(io.BytesIO(pcap(*day(1000))), PacketStats()))
    clock = Clock(Times())
    assert list(clock.ordered(iter(packets))) == packets
    assert list(Clock(Times()).as_they_come(iter(packets))) == packets
    assert len(packets) > 2 * BLOCK + HELD


def test_no_more_than_a_bounded_number_of_packets_waits():
    packet = next(read_packets(io.BytesIO(pcap(*session(START))), PacketStats()))
    taken = []

    def source():
        for index in range(10_000):
            taken.append(index)
            yield packet

    for given, _ in enumerate(Clock(Times()).ordered(source()), 1):
        assert len(taken) - given <= HELD + BLOCK


def test_packets_far_behind_their_place_are_counted_and_the_flow_is_whole(tmp_path):
    packets = session(START, gap=400 * MS)
    path = written(tmp_path / "c.pcap", [*packets[1:], packets[0]])
    (row,), outcome = meter(path)
    assert row[8] + row[9] == 8
    assert outcome.packets.times.late == 1
    assert "reordercap" in outcome.packets.times.warning()


def test_a_step_back_is_counted_and_told(tmp_path):
    later = session(START + 3600 * SECOND) + session(START)
    found, outcome = meter(written(tmp_path / "c.pcap", later))
    assert len(found) == 2 and outcome.packets.times.steps == 1
    assert "steps back" in outcome.packets.times.warning()


def test_an_interrupt_leaves_what_was_read():
    packets = list(read_packets(io.BytesIO(pcap(*session(START))), PacketStats()))

    def source():
        yield from packets
        raise KeyboardInterrupt

    got = []
    with pytest.raises(KeyboardInterrupt):
        for packet in Clock(Times()).ordered(source()):
            got.append(packet)
    assert got == packets


# impossible times


@pytest.mark.parametrize("impossible", [0, 1000 * SECOND, YEAR_2100, 631_000_000 * SECOND])
@pytest.mark.parametrize("place", [0, 1, 4, 7, 10])
def test_one_impossible_time_among_possible_ones_changes_no_flow(impossible, place, tmp_path):
    right = rows(written(tmp_path / "right.pcap", TWO))
    found, outcome = meter(written(tmp_path / "c.pcap", with_time(TWO, place, impossible)))
    assert [row[:12] for row in found if row[3] == 80] and len(found) == len(right) == 2
    assert [row[:11] for row in found] == [row[:11] for row in right]
    assert outcome.packets.times.impossible == 1
    assert outcome.packets.times.warning().count("an impossible time") == 1


def test_a_run_of_impossible_times_goes_on_as_its_own_clock_does(tmp_path):
    unset = [(time_us - START + 5 * SECOND, frame) for time_us, frame in session(START, gap=SECOND)]
    before, after = session(START, 1), session(START + 20 * SECOND, 2)
    found, outcome = meter(written(tmp_path / "c.pcap", before + unset + after))
    assert [row[11] for row in found] == [70, 7000, 70]
    assert outcome.packets.times.impossible == 8


def test_a_capture_of_a_machine_whose_clock_was_never_set_keeps_its_times(tmp_path):
    unset = [(time_us - START + 5 * SECOND, frame) for time_us, frame in TWO]
    found, outcome = meter(written(tmp_path / "c.pcap", unset))
    assert [row[:12] for row in found] == [row[:12] for row in rows(written(tmp_path / "right.pcap", TWO))]
    assert outcome.first_us == 5 * SECOND and outcome.packets.times.impossible == 16
    assert "1970-01-01T00:00:05Z" in outcome.packets.times.warning()


RIGHT = [time_us for time_us, _ in TWO]
ABSURD = {
    "the last tick there is": ng(LAST),
    "all of them": ng(*[LAST] * 16),
    "ticks of two to the minus 127 seconds": ng(1, 2, 3, options=option(9, b"\xff")),
    "an offset of the largest number": ng(*RIGHT, options=option(14, struct.pack("<q", 2**63 - 1))),
    "an offset of the smallest number": ng(*RIGHT, options=option(14, struct.pack("<q", -(2**63)))),
    "packets without a time": section() + interface() + b"".join(simple_packet(frame) for _, frame in TWO),
    "ticks of whole seconds": ng(*[time_us * 1000 for time_us, _ in TWO], options=option(9, b"\x00")),
}  # fmt: skip


@pytest.mark.parametrize("name", ABSURD)
def test_absurd_times_are_never_fatal(name, tmp_path, model):
    path, labels = tmp_path / "c.pcapng", tmp_path / "labels.csv"
    path.write_bytes(ABSURD[name])
    labels.write_text(f"start,end,src,dst,dst_port,attack\n2026-03-01T10:00:00Z,,{ALICE},,,DoS\n,,{BOB},,1,Worm\n")
    done = run_edge(model, str(path), "--all-flows", "--flow-alerts", "all", "--labels", str(labels))
    assert done.returncode == 0 and events(done.stdout, "flow")
    told = [line for line in done.stderr.splitlines() if b"warning: " in line and b"time" in line]
    assert len(told) == 1 and b"Traceback" not in done.stderr
    done = run_meter(path, "--labels", labels)
    assert done.returncode == 0 and len(done.stdout.splitlines()) > 1
    assert b"an impossible time" in done.stderr or b"read as" in done.stderr
    refused = run_meter(path, "--strict-time", "-o", tmp_path / "flows.csv")
    assert refused.returncode == 2 and refused.stderr.count(b"\n") == 1 and b"--strict-time" in refused.stderr
    assert not (tmp_path / "flows.csv").exists()


def test_the_watch_refuses_under_strict_time_too(tmp_path, model):
    path = written(tmp_path / "c.pcap", with_time(TWO, 3, 0))
    done = run_edge(model, str(path), "--strict-time")
    assert done.returncode == 2 and b"--strict-time" in done.stderr and b"Traceback" not in done.stderr
    assert run_edge(model, str(written(path, TWO)), "--strict-time").returncode == 0


def test_a_service_that_runs_for_long_takes_the_present_for_possible(monkeypatch):
    times = Times()
    assert times.possible(START) and not times.possible(YEAR_2100)
    monkeypatch.setattr("tlids_edge.capture.times.time.time", lambda: YEAR_2100 / SECOND)
    assert times.possible(YEAR_2100)


# the watch: pipes are not kept waiting


def test_a_pipe_that_pauses_gets_its_verdicts_without_another_packet(model):
    edge = start_edge(model, "-", "--status", "0.2", "--all-flows", "--flow-alerts", "all", stdin=subprocess.PIPE)
    edge.stdin.write(pcap(*question(START), *question(START + 60 * SECOND, 2)))
    edge.stdin.flush()
    wait_until_told(edge, "packets 4 .*flows 1 open 1")
    edge.communicate(timeout=LIMIT_S)


@pytest.mark.parametrize("name", ["syn-ack before syn", "everything 50 ms out of place"])
def test_the_watch_sees_the_clients_that_the_meter_sees(name, model, tmp_path):
    path = written(tmp_path / "c.pcap", DISORDER[name])
    seen = events(run_edge(model, str(path), "--all-flows", "--flow-alerts", "all").stdout, "flow")
    assert sorted((e["src_ip"], e["src_port"], e["dest_ip"], e["dest_port"]) for e in seen) == clients(rows(path))


def test_a_long_run_without_a_flow_end_serves_status_and_signals(model, tmp_path):
    frame = question(START)[0][1]
    path = tmp_path / "c.pcap.gz"  # one read of the file
    content = pcap(frame)
    path.write_bytes(gzip.compress(content[:24] + content[24:] * 3_000_000, 1))
    edge = start_edge(model, str(path), "--status", "0.05")
    told = wait_until_told(edge, r"packets \d+ ")
    assert 0 < int(re.search(r"packets (\d+) ", told)[1]) < 3_000_000
    edge.terminate()
    said = edge.communicate(timeout=LIMIT_S)[1].decode()
    assert edge.returncode == 0 and int(re.search(r"(\d+) packets, ", said)[1]) < 3_000_000


# the cases themselves


def test_the_shared_cases_are_right(cases, tmp_path):
    magic, syn = cases / "nanoseconds-under-microsecond-magic", cases / "synack-stored-before-syn"
    assert [row[:11] for row in rows(magic / "wrong_magic.pcap")] == [row[:11] for row in rows(magic / "right.pcap")]
    assert rows(syn / "swapped.pcap") == rows(syn / "sorted.pcap")
    files = sorted((cases / "ring-buffer-files-in-glob-order").iterdir())
    tool("mergecap", "-w", tmp_path / "merged.pcap", *files)
    assert rows(*files) == rows(tmp_path / "merged.pcap")
    late = cases / "pcapng-ns-without-tsresol"
    (row,), outcome = meter(late / "ns.pcapng", labels=late / "labels.csv")
    assert row[11] == 69 and outcome.classes == {"Scan": 1}


@pytest.mark.parametrize("start", ["1772359200000", "1772359200000000", "1772359200000000000", "-1e30"])
def test_labels_in_milliseconds_are_refused_rather_than_matching_nothing(start, tmp_path):
    labels = tmp_path / "labels.csv"
    labels.write_text(f"start,end,src,dst,dst_port,attack\n{start},,{ALICE},,,DoS\n")
    with pytest.raises(InputError, match=f"seconds since 1970, found '{start}'"):
        rows(written(tmp_path / "c.pcap", TWO), labels=labels)
    labels.write_text(f"start,end,src,dst,dst_port,attack\n0,9999999999,{ALICE},,,DoS\n")
    assert meter(tmp_path / "c.pcap", labels=labels)[1].classes == {"DoS": 2}
