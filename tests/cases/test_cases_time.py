"""Times that cannot be, are in disorder, or have another resolution; files in any order."""

import gzip
import io
import os
import re
import struct
import subprocess
import sys
import threading
from pathlib import Path

import pytest
from build_pcap import ALICE, BOB, SECOND, START, enhanced_packet, interface, option, pcap, section, simple_packet
from edge_process import LIMIT_S, events, run_edge, start_edge, wait_until_told
from shared_captures import shared_folder
from timed_captures import MS, day, question, session, shaken, swapped, tool, with_time, written
from tiny_fixtures import model, nothing_left_running, tflite  # noqa: F401 - fixtures
from tlids_edge.capture.clock import BLOCK, HELD, Clock
from tlids_edge.capture.packets import PacketStats, read_packets
from tlids_edge.capture.times import Times
from tlids_edge.errors import InputError
from tlids_edge.flows import table

TWO = session(START) + session(START + 3 * SECOND, 40_001)
YEAR_2100 = 4_102_444_800 * SECOND
LAST = (1 << 64) - 1


def meter(*captures, **options):
    """The rows of captures, and their outcome."""
    outcome = table.Outcome()
    return list(table.flow_rows(captures, table.Options(family="both", with_l7=False, **options), outcome)), outcome


def rows(*captures, **options):
    return meter(*captures, **options)[0]


def warning(*captures):
    return meter(*captures)[1].packets.times.warning()


def clients(found):
    """Who opened which flow."""
    return sorted((row[0], row[1], row[2], row[3]) for row in found)


def run_meter(*arguments, **settings):
    command = [sys.executable, "-m", "tlids_edge.cli.meter", *map(os.fsdecode, arguments), "--no-l7"]
    return subprocess.run(command, capture_output=True, timeout=LIMIT_S, **settings)


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


# times that cannot be


@pytest.mark.parametrize("impossible", [0, 1000 * SECOND, YEAR_2100, 631_000_000 * SECOND])
@pytest.mark.parametrize("place", [0, 1, 4, 7, 10])
def test_one_impossible_time_among_possible_ones_changes_no_flow(impossible, place, tmp_path):
    right = rows(written(tmp_path / "right.pcap", TWO))
    found, outcome = meter(written(tmp_path / "c.pcap", with_time(TWO, place, impossible)))
    assert [row[:12] for row in found if row[3] == 80] and len(found) == len(right) == 2
    assert [row[:11] for row in found] == [row[:11] for row in right]
    assert outcome.packets.times.impossible == 1
    assert outcome.packets.times.warning().count("cannot be") == 1


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


def ng(*ticks, options=b"", order="<"):
    """A pcapng capture of two connections, with these times."""
    blocks = [enhanced_packet(frame, tick, order=order) for tick, (_, frame) in zip(ticks, TWO, strict=False)]
    return section(order) + interface(options=options, order=order) + b"".join(blocks)


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
def test_absurd_times_are_never_fatal(name, tmp_path, model):  # noqa: F811
    path, labels = tmp_path / "c.pcapng", tmp_path / "labels.csv"
    path.write_bytes(ABSURD[name])
    labels.write_text(f"start,end,src,dst,dst_port,attack\n2026-03-01T10:00:00Z,,{ALICE},,,DoS\n,,{BOB},,1,Worm\n")
    done = run_edge(model, str(path), "--all-flows", "--flow-alerts", "all", "--labels", str(labels))
    assert done.returncode == 0 and events(done.stdout, "flow")
    told = [line for line in done.stderr.splitlines() if b"warning: " in line and b"time" in line]
    assert len(told) == 1 and b"Traceback" not in done.stderr
    done = run_meter(path, "--labels", labels)
    assert done.returncode == 0 and len(done.stdout.splitlines()) > 1
    assert b"cannot be" in done.stderr or b"read as" in done.stderr
    refused = run_meter(path, "--strict-time", "-o", tmp_path / "flows.csv")
    assert refused.returncode == 2 and refused.stderr.count(b"\n") == 1 and b"--strict-time" in refused.stderr
    assert not (tmp_path / "flows.csv").exists()


def test_the_watch_refuses_under_strict_time_too(tmp_path, model):  # noqa: F811
    path = written(tmp_path / "c.pcap", with_time(TWO, 3, 0))
    done = run_edge(model, str(path), "--strict-time")
    assert done.returncode == 2 and b"--strict-time" in done.stderr and b"Traceback" not in done.stderr
    assert run_edge(model, str(written(path, TWO)), "--strict-time").returncode == 0


def test_a_service_that_runs_for_long_takes_the_present_for_possible(monkeypatch):
    times = Times()
    assert times.possible(START) and not times.possible(YEAR_2100)
    monkeypatch.setattr("tlids_edge.capture.times.time.time", lambda: YEAR_2100 / SECOND)
    assert times.possible(YEAR_2100)


# times in another resolution than the capture says


def other_magic(capture: bytes, nanoseconds: bool, order: str) -> bytes:
    return struct.pack(order + "I", 0xA1B23C4D if nanoseconds else 0xA1B2C3D4) + capture[4:]


def uneven(packets):
    """The same with times that are no round numbers."""
    return [(time_us + 123_457, frame) for time_us, frame in packets]


@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("zipped", [False, True])
@pytest.mark.parametrize("packets", [TWO, uneven(TWO), day()], ids=["round", "uneven", "day"])
def test_nanoseconds_under_the_microsecond_magic_are_recognised(order, zipped, packets, tmp_path):
    content = other_magic(pcap(*packets, nanoseconds=True, order=order), False, order)
    (tmp_path / "c.pcap").write_bytes(gzip.compress(content) if zipped else content)
    found, outcome = meter(tmp_path / "c.pcap")
    assert found == rows(written(tmp_path / "right.pcap", packets))
    assert outcome.packets.times.misread == len(packets)
    assert "nanoseconds, though the capture says microseconds" in outcome.packets.times.warning()


def test_nanoseconds_under_the_microsecond_magic_are_recognised_as_editcap_writes_them(tmp_path):
    right = written(tmp_path / "right.pcap", uneven(TWO))
    tool("editcap", "-F", "nsecpcap", right, tmp_path / "ns.pcap")
    assert rows(tmp_path / "ns.pcap") == rows(right)
    (tmp_path / "c.pcap").write_bytes(other_magic((tmp_path / "ns.pcap").read_bytes(), False, "<"))
    assert rows(tmp_path / "c.pcap") == rows(right)


def test_microseconds_under_the_nanosecond_magic_are_recognised(tmp_path):
    packets = uneven(TWO + session(START + 5 * SECOND, 40_002))
    (tmp_path / "c.pcap").write_bytes(other_magic(pcap(*packets), True, "<"))
    found, outcome = meter(tmp_path / "c.pcap")
    assert found == rows(written(tmp_path / "right.pcap", packets))
    assert "microseconds, though the capture says nanoseconds" in outcome.packets.times.warning()


@pytest.mark.parametrize("packets", [TWO, day()], ids=["two", "day"])
def test_nanoseconds_that_are_whole_microseconds_stay_nanoseconds(packets, tmp_path):
    path = written(tmp_path / "c.pcap", packets, nanoseconds=True)
    assert rows(path) == rows(written(tmp_path / "right.pcap", packets)) and warning(path) == ""


def test_one_fraction_that_cannot_be_is_counted_and_changes_no_flow(tmp_path):
    content = bytearray(pcap(*TWO))
    at = 24 + 3 * 16 + sum(len(frame) for _, frame in TWO[:3])
    struct.pack_into("<I", content, at + 4, 1_500_000)
    (tmp_path / "c.pcap").write_bytes(content)
    found, outcome = meter(tmp_path / "c.pcap")
    assert [row[:12] for row in found] == [row[:12] for row in rows(written(tmp_path / "right.pcap", TWO))]
    assert (outcome.packets.times.impossible, outcome.packets.times.misread) == (1, 0)


@pytest.mark.parametrize(
    ("said", "real", "factor"),
    [
        (b"", "nanoseconds", 1000),
        (option(9, b"\x06"), "nanoseconds", 1000),
        (option(9, b"\x09"), "microseconds", 1),
        (b"", "milliseconds", 1 / 1000),
        (option(9, b"\x03"), "microseconds", 1),
        (option(9, b"\x8a"), "nanoseconds", 1000),
    ],
)
def test_a_pcapng_in_another_resolution_than_it_says_is_recognised(said, real, factor, tmp_path):
    (tmp_path / "c.pcapng").write_bytes(ng(*[int(time_us * factor) for time_us, _ in TWO], options=said))
    found, outcome = meter(tmp_path / "c.pcapng")
    assert found == rows(written(tmp_path / "right.pcap", TWO))
    assert outcome.packets.times.misread == 16 and real in outcome.packets.times.warning()


def test_of_two_interfaces_only_the_one_that_is_wrong_is_read_otherwise(tmp_path):
    blocks = [
        enhanced_packet(frame, time_us * (1000 if index % 2 else 1), number=index % 2)
        for index, (time_us, frame) in enumerate(TWO)
    ]
    (tmp_path / "c.pcapng").write_bytes(section() + interface() + interface() + b"".join(blocks))
    found, outcome = meter(tmp_path / "c.pcapng")
    assert found == rows(written(tmp_path / "right.pcap", TWO)) and outcome.packets.times.misread == 8


# several files


def ring(folder: Path, zipped: str = "") -> list[Path]:
    """A day in three files of which the first was written again, and one long connection through all of them."""
    packets = sorted([*day(), *session(START, 1, 700 * MS)], key=lambda packet: packet[0])
    third = len(packets) // 3
    parts = packets[2 * third :], packets[:third], packets[third : 2 * third]
    files = []
    for number, part in enumerate(parts):
        content = pcap(*part)
        files.append(folder / f"cap.pcap{number}{zipped}")
        files[-1].write_bytes(gzip.compress(content) if zipped else content)
    written(folder / "whole.pcap", packets)
    return files


@pytest.mark.parametrize("zipped", ["", ".gz"])
def test_files_are_taken_in_the_order_of_their_first_packets_and_it_is_told(zipped, tmp_path):
    files = ring(tmp_path, zipped)
    found, outcome = meter(*files)
    assert found == rows(tmp_path / "whole.pcap") == rows(*files[1:], files[0])
    names = [f"cap.pcap{number}{zipped}" for number in (1, 2, 0)]
    assert outcome.packets.times.sorted_files == names and " ".join(names) in outcome.packets.times.warning()
    assert warning(*files[1:], files[0]) == ""
    with pytest.raises(InputError, match="strict-time"):
        rows(*files, strict_time=True)


def test_a_file_that_overlaps_others_is_merged_with_them_as_mergecap_does(tmp_path):
    packets = shaken(day(), 40 * MS)
    files = [written(tmp_path / f"{part}.pcap", packets[part::3]) for part in range(3)]
    tool("mergecap", "-F", "pcap", "-w", tmp_path / "merged.pcap", *files)
    tool("reordercap", tmp_path / "merged.pcap", tmp_path / "whole.pcap")
    found, outcome = meter(*files)
    assert sorted(found) == sorted(rows(tmp_path / "whole.pcap"))
    assert outcome.packets.times.overlapping == 2 and "merged by time" in outcome.packets.times.warning()


def test_rotated_files_that_share_a_moment_do_not_overlap(tmp_path):
    packets = shaken(day(), 40 * MS)
    files = [written(tmp_path / f"{part}.pcap", packets[part * 100 : part * 100 + 100]) for part in range(4)]
    found, outcome = meter(*files)
    assert found == rows(written(tmp_path / "whole.pcap", packets)) and outcome.packets.times.warning() == ""


def test_files_without_a_packet_and_of_several_formats_keep_their_places(tmp_path):
    first, empty, last = tmp_path / "b.pcapng", tmp_path / "a.pcap", tmp_path / "c.pcap"
    other = written(tmp_path / "d.pcap", [])
    first.write_bytes(ng(*[time_us for time_us, _ in TWO]))
    empty.write_bytes(pcap())
    written(last, session(START + 10 * SECOND, 7))
    found, outcome = meter(empty, first, other, last)
    assert len(found) == 3 and outcome.packets.packets == 24 and outcome.packets.times.warning() == ""
    assert rows(last, empty, first) == found


def test_a_wrong_time_in_one_file_does_not_mix_up_the_others(tmp_path):
    days = [session(START + index * 60 * SECOND, index + 1) for index in range(4)]
    right = rows(written(tmp_path / "whole.pcap", [packet for day in days for packet in day]))
    days[0] = with_time(days[0], 3, YEAR_2100)
    days[2] = with_time(days[2], 0, 0)
    files = [written(tmp_path / f"{3 - index}.pcap", day) for index, day in enumerate(days)]
    found, outcome = meter(*sorted(files))
    assert [row[:11] for row in found] == [row[:11] for row in right]
    assert outcome.packets.times.impossible == 2


@pytest.mark.parametrize("where", ["-", "fifo"])
def test_standard_input_and_a_pipe_take_their_places_among_files(where, tmp_path):
    files = ring(tmp_path)
    content = files[1].read_bytes()
    right = run_meter(tmp_path / "whole.pcap").stdout
    if where == "-":
        done = run_meter(files[0], "-", files[2], input=content)
    else:
        os.mkfifo(tmp_path / "fifo")
        feeder = threading.Thread(target=(tmp_path / "fifo").write_bytes, args=(content,))
        feeder.start()
        done = run_meter(files[0], tmp_path / "fifo", files[2])
        feeder.join()
    assert done.stdout == right and b"order of their first packets" in done.stderr


def test_many_files_are_not_held_open_together(tmp_path):
    files = [written(tmp_path / f"{index}.pcap", session(START + index * SECOND, index + 1)) for index in range(80)]
    limit = f"ulimit -n 40; exec {sys.executable} -m tlids_edge.cli.meter --no-l7 {' '.join(map(str, files))}"
    done = subprocess.run(["bash", "-c", limit], capture_output=True, timeout=LIMIT_S)
    assert done.returncode == 0 and len(done.stdout.splitlines()) == 81


# the watch: pipes are not kept waiting


def test_a_pipe_that_pauses_gets_its_verdicts_without_another_packet(model):  # noqa: F811
    edge = start_edge(model, "-", "--status", "0.2", "--all-flows", "--flow-alerts", "all", stdin=subprocess.PIPE)
    edge.stdin.write(pcap(*question(START), *question(START + 60 * SECOND, 2)))
    edge.stdin.flush()
    wait_until_told(edge, "packets 4 .*flows 1 open 1")
    edge.communicate(timeout=LIMIT_S)


@pytest.mark.parametrize("name", ["syn-ack before syn", "everything 50 ms out of place"])
def test_the_watch_sees_the_clients_that_the_meter_sees(name, model, tmp_path):  # noqa: F811
    path = written(tmp_path / "c.pcap", DISORDER[name])
    seen = events(run_edge(model, str(path), "--all-flows", "--flow-alerts", "all").stdout, "flow")
    assert sorted((e["src_ip"], e["src_port"], e["dest_ip"], e["dest_port"]) for e in seen) == clients(rows(path))


def test_a_long_run_without_a_flow_end_serves_status_and_signals(model, tmp_path):  # noqa: F811
    frame = question(START)[0][1]
    path = tmp_path / "c.pcap.gz"  # one read of the file
    content = pcap(frame)
    path.write_bytes(gzip.compress(content[:24] + content[24:] * 400_000))
    edge = start_edge(model, str(path), "--status", "0.05")
    told = wait_until_told(edge, r"packets \d+ ")
    assert 0 < int(re.search(r"packets (\d+) ", told)[1]) < 400_000
    edge.terminate()
    said = edge.communicate(timeout=LIMIT_S)[1].decode()
    assert edge.returncode == 0 and int(re.search(r"(\d+) packets, ", said)[1]) < 400_000


# what was made to fill the memory, and tables that are full


def test_a_section_has_65536_interfaces_at_most():
    bomb = (
        section() + interface() * 70_000 + enhanced_packet(TWO[0][1], START) + enhanced_packet(TWO[0][1], START, 69_000)
    )
    stats = PacketStats()
    assert len(list(read_packets(io.BytesIO(bomb), stats))) == 1
    assert stats.malformed == {"interface beyond the 65,536th": 70_000 - 65_536, "packet block": 1}


def test_flows_that_end_because_the_table_is_full_are_told_with_what_to_raise(tmp_path):
    path = written(
        tmp_path / "c.pcap", [packet for port in range(1, 51) for packet in question(START + port * MS, port)]
    )
    done = run_meter(path, "--max-flows", "10", "--quiet")
    assert b"40 of 50 flows" in done.stderr and b"--max-flows" in done.stderr
    assert run_meter(path, "--max-flows", "50", "--quiet").stderr == b""


# options


@pytest.mark.parametrize("value", ["60s", "1m", "1,5", "60 s", "ten", "", "0x10", "1:30"])
@pytest.mark.parametrize("option", ["--idle-timeout", "--active-timeout", "--status"])
def test_a_time_that_is_no_number_is_answered_by_an_example(option, value, model):  # noqa: F811
    done = run_edge(model, "x.pcap", option, value)
    assert done.returncode == 2 and f"expected seconds, such as 60, found {value!r}".encode() in done.stderr
    if option != "--status":
        assert b"expected seconds, such as 60, found" in run_meter("x.pcap", option, value).stderr


@pytest.mark.parametrize(("option", "value"), [("--max-flows", "20k"), ("--max-flows", "2.5"), ("--max-flows", "inf")])
def test_a_number_of_flows_that_is_none_is_answered_by_an_example(option, value, model):  # noqa: F811
    for done in (run_edge(model, "x.pcap", option, value), run_meter("x.pcap", option, value)):
        assert done.returncode == 2 and b"expected a whole number, such as 20000" in done.stderr


@pytest.mark.parametrize("value", ["inf", "1e400", "1e300", "nan", "-1", "-inf"])
def test_no_number_is_infinite_or_below_zero(value, model):  # noqa: F811
    for name in ("--idle-timeout", "--active-timeout", "--max-flows", "--status", "--eve-max-mb"):
        answers = [run_edge(model, "x.pcap", f"{name}={value}")]
        if name not in ("--status", "--eve-max-mb"):
            answers.append(run_meter("x.pcap", f"{name}={value}"))
        sentences = {re.search(rb"argument .*: expected .*, found '.*'", done.stderr)[0] for done in answers}
        assert len(sentences) == 1 and name.encode() in sentences.pop()
        assert {done.returncode for done in answers} == {2}


@pytest.mark.parametrize("option", ["--idle-timeout", "--active-timeout", "--max-flows", "--status"])
def test_zero_is_refused_but_for_a_size(option, model):  # noqa: F811
    assert b"above zero, found '0'" in run_edge(model, "x.pcap", option, "0").stderr


def test_a_number_of_flows_may_be_written_with_an_exponent_and_megabytes_have_an_example(model, tmp_path):  # noqa: F811
    path = written(tmp_path / "c.pcap", TWO)
    assert run_meter(path, "--max-flows", "1e6").returncode == 0
    assert b"expected megabytes, such as 100, found '100MB'" in run_edge(model, "x", "--eve-max-mb", "100MB").stderr


C_LOCALE = {**os.environ, "LC_ALL": "C", "PYTHONUTF8": "0"}


@pytest.mark.parametrize("to_file", [False, True])
def test_accents_in_a_session_and_a_class_are_written_in_utf8_in_the_c_locale(to_file, tmp_path):
    path, labels = written(tmp_path / "c.pcap", TWO), tmp_path / "labels.csv"
    labels.write_text(f"start,end,src,dst,dst_port,attack\n,,{ALICE},,,Dénial\n", encoding="utf-8")
    output = ["-o", tmp_path / "flows.csv"] if to_file else []
    done = run_meter(path, "--labels", labels, "--session", "Büro", *output, env=C_LOCALE)
    content = (tmp_path / "flows.csv").read_bytes() if to_file else done.stdout
    assert done.returncode == 0 and content.decode("utf-8").count("Dénial,Büro") == 2


@pytest.mark.parametrize("environment", [dict(os.environ), C_LOCALE], ids=["here", "C"])
def test_a_session_that_is_no_utf8_is_one_message(environment, tmp_path):
    done = run_meter(written(tmp_path / "c.pcap", TWO), "--session", b"B\xfcro", env=environment)
    assert done.returncode == 2 and b"expected text in UTF-8" in done.stderr and b"Traceback" not in done.stderr


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
