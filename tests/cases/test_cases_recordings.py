"""Several captures as one recording: packets in several of them, captures without a date, much within a moment."""

import io
import os

import pytest
from build_pcap import ALICE, BOB, SECOND, START, ethernet, ipv4, pcap, udp
from timed_captures import MS, day, question, session, tool, written
from tlids_edge.capture import clock
from tlids_edge.capture.clock import BLOCK, HELD, Clock
from tlids_edge.capture.packets import PacketStats, read_packets
from tlids_edge.capture.times import Times
from tlids_edge.cli.meter import main
from tlids_edge.errors import InputError
from tlids_edge.flows import table


def meter(*captures, **options):
    """The rows of captures, and what was odd about their packets."""
    outcome = table.Outcome()
    rows = list(table.flow_rows(captures, table.Options(family="both", with_l7=False, **options), outcome))
    return rows, outcome.packets


def late_syn(between):
    """A handshake whose SYN is stored 26 ms late, behind so many datagrams."""
    syn, *rest = session(START, gap=40 * MS)
    answer = START + MS, rest[0][1]
    datagram = ethernet(ipv4(udp(1, 2), 17))
    crowd = [(START + 2 * MS + index * 24 * MS // between, datagram) for index in range(between)]
    return [answer, *crowd, syn, *rest[1:]]


# much within a moment


@pytest.mark.parametrize("between", [400, 2000, 8000])
def test_a_late_syn_behind_many_packets_still_tells_the_client(between, tmp_path):
    stored, ordered = written(tmp_path / "stored.pcap", late_syn(between)), tmp_path / "ordered.pcap"
    tool("reordercap", stored, ordered)
    found, packets = meter(stored)
    assert found == meter(ordered)[0]
    assert [(row[0], row[2]) for row in found if row[3] == 80] == [(ALICE, BOB)] and packets.times.warning() == ""


def test_what_cannot_be_held_is_counted_and_told(tmp_path):
    path = written(tmp_path / "c.pcap", late_syn(HELD + 2 * BLOCK))
    times = meter(path)[1].times
    assert times.late == 1 and f"{HELD:,} packets" in times.warning()
    with pytest.raises(InputError, match="strict-time"):
        meter(path, strict_time=True)


def test_large_packets_are_held_up_to_a_number_of_bytes(monkeypatch):
    monkeypatch.setattr(clock, "HELD_BYTES", 100_000)
    packet = next(read_packets(io.BytesIO(pcap((START, ethernet(ipv4(udp(1, 2, bytes(990)), 17))))), PacketStats()))
    taken = []

    def source():
        for index in range(2000):
            taken.append(index)
            yield packet

    for given, _ in enumerate(Clock(Times()).ordered(source()), 1):
        assert len(taken) - given <= 100 + BLOCK
    assert given == 2000


def test_a_step_back_forgets_the_answers_of_the_later_time(monkeypatch):
    monkeypatch.setattr(clock, "ANSWERS", 100)
    answers = [(START + 100 * SECOND, session(START, port)[1][1]) for port in range(1, BLOCK + 1)]
    packets = list(read_packets(io.BytesIO(pcap(*answers, *question(START))), PacketStats()))
    steps = Clock(Times())
    assert len(list(steps.ordered(iter(packets)))) == BLOCK + 2
    assert steps.times.steps == 1 and not steps._answers


# the same packets in several captures


def test_two_mirror_ports_with_dedup_are_counted_once(tmp_path):
    one = written(tmp_path / "one.pcap", day())
    other = written(tmp_path / "other.pcap", [(time_us + 20, frame) for time_us, frame in day()])
    tool("mergecap", "-F", "pcap", "-w", tmp_path / "merged.pcap", one, other)
    tool("editcap", "-w", "0.001", tmp_path / "merged.pcap", tmp_path / "once.pcap")
    found, packets = meter(one, other, dedup=True)
    assert found == meter(tmp_path / "once.pcap")[0] == meter(one)[0]
    assert packets.dropped == len(day())
    assert meter(one, other)[1].times.overlapping == 1


def test_a_chain_of_repeats_over_captures_is_left_out_as_editcap_does(tmp_path):
    frame = question(START)[0][1]
    one = written(tmp_path / "one.pcap", [(START, frame), (START + 900, frame), (START + 2700, frame)])
    other = written(tmp_path / "other.pcap", [(START + 1800, frame), (START + 3800, frame)])
    (row,), packets = meter(one, other, dedup=True)
    assert (row[9], packets.dropped) == (2, 3) or (row[8], packets.dropped) == (2, 3)


def test_a_copy_of_a_capture_is_told_to_overlap(tmp_path):
    copies = [written(tmp_path / f"{name}.pcap", day()) for name in "ab"]
    assert meter(*copies)[1].times.overlapping == 1
    assert meter(*copies, dedup=True)[0] == meter(copies[0])[0]


@pytest.mark.parametrize("link", [None, os.symlink, os.link])
def test_a_capture_given_twice_is_refused(link, tmp_path):
    first = second = written(tmp_path / "A.pcap", session(START))
    if link:
        second = tmp_path / "B.pcap"
        link(first, second)
    with pytest.raises(InputError, match="expected each capture once, found .*twice"):
        meter(first, second)


# captures without a date


def boot(path, packets, start=5 * SECOND):
    return written(path, [(time_us - START + start, frame) for time_us, frame in packets])


@pytest.mark.parametrize("dedup", [False, True])
def test_boots_without_a_clock_follow_one_another_as_given(dedup, tmp_path):
    first = boot(tmp_path / "b.pcap", [*question(START), *question(START + 4 * SECOND)])
    second = boot(tmp_path / "a.pcap", question(START))
    found, packets = meter(first, second, dedup=dedup)
    assert [row[8:10] for row in found] == [row[8:10] for row in meter(first)[0] + meter(second)[0]]
    assert packets.packets == 6 and packets.times.overlapping == 0 and not packets.times.sorted_files


def test_a_flow_goes_on_through_rotated_files_of_one_boot(tmp_path):
    packets = [(time_us - START + 5 * SECOND, frame) for time_us, frame in session(START, gap=SECOND)]
    files = [written(tmp_path / f"{part}.pcap", packets[part * 4 : part * 4 + 4]) for part in range(2)]
    assert [row[8:12] for row in meter(*files)[0]] == [
        row[8:12] for row in meter(written(tmp_path / "whole.pcap", packets))[0]
    ]


def test_a_boot_without_a_clock_stays_behind_the_capture_before_it(tmp_path):
    dated = [written(tmp_path / f"{hour}.pcap", session(START + hour * 3600 * SECOND)) for hour in range(2)]
    undated = [boot(tmp_path / f"u{number}.pcap", question(START, number + 1)) for number in range(2)]
    found, _ = meter(dated[1], undated[0], undated[1], dated[0])
    assert [row[1] for row in found] == [40_000, 40_000, 1, 2]


# the command


def test_options_may_stand_between_captures(tmp_path, capfd):
    files = [written(tmp_path / f"{index}.pcap", session(START + index * SECOND, index + 1)) for index in range(2)]
    assert main([str(files[0]), "--no-l7", str(files[1])]) == 0
    assert len(capfd.readouterr().out.splitlines()) == 3
    assert main(["--no-l7", "--", *map(str, files)]) == 0
