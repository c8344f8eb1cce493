"""Captures of several files: order, overlap, pipes among them."""

import gzip
import os
import subprocess
import sys
import threading
from pathlib import Path

import pytest
from build_pcap import SECOND, START, pcap
from case_times import TWO, YEAR_2100, meter, ng, rows, run_meter, warning
from edge_process import LIMIT_S
from timed_captures import MS, day, session, shaken, tool, with_time, written
from tlids_edge.errors import InputError

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
        feeder = threading.Thread(target=(tmp_path / "fifo").write_bytes, args=(content,), daemon=True)
        feeder.start()
        done = run_meter(files[0], tmp_path / "fifo", files[2])
        feeder.join(LIMIT_S)
    assert done.stdout == right and b"order of their first packets" in done.stderr


def test_many_files_are_not_held_open_together(tmp_path):
    files = [written(tmp_path / f"{index}.pcap", session(START + index * SECOND, index + 1)) for index in range(80)]
    limit = f"ulimit -n 40; exec {sys.executable} -m tlids_edge.cli.meter --no-l7 {' '.join(map(str, files))}"
    done = subprocess.run(["bash", "-c", limit], capture_output=True, timeout=LIMIT_S)
    assert done.returncode == 0 and len(done.stdout.splitlines()) == 81
