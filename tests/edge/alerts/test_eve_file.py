"""eve_file.py: files that rotate without losing a line, and disks that are full."""

import json
import os
import shutil
import types
from contextlib import closing
from pathlib import Path

import pytest
from edge_process import events
from full_disk import leave_room, small_disk
from tlids_edge.alerts.eve_file import FileSink
from tlids_edge.alerts.outlet import Kind, Outlet
from tlids_edge.errors import InputError


def lines(count: int, start: int = 0) -> list[bytes]:
    return [b'{"n":%d}\n' % n for n in range(start, start + count)]


def test_rotation_keeps_every_line_whole_and_the_newest_files(tmp_path):
    sink = FileSink(tmp_path / "eve.json", max_bytes=100, keep=3)
    for start in range(0, 60, 5):
        sink.write(lines(5, start))
    sink.close()
    names = sorted(path.name for path in tmp_path.iterdir())
    assert names == ["eve.json", "eve.json.1", "eve.json.2", "eve.json.3"]
    assert all((tmp_path / name).stat().st_size <= 100 for name in names)
    order = [json.loads(line)["n"] for name in reversed(names) for line in open(tmp_path / name)]
    assert order == sorted(order) and order[-1] == 59 and order[0] == 60 - len(order)


def test_a_line_that_a_crash_left_unfinished_is_ended_before_new_ones(tmp_path):
    (tmp_path / "eve.json").write_bytes(b'{"n":0}\n{"n":')
    FileSink(tmp_path / "eve.json").write(lines(1))
    assert (tmp_path / "eve.json").read_bytes() == b'{"n":0}\n{"n":\n{"n":0}\n'


def test_a_file_that_is_copied_and_emptied_has_its_copy_on_the_disk_first(tmp_path, monkeypatch):
    path, steps, replace, empty = tmp_path / "eve.json", [], Path.replace, os.ftruncate
    sink = FileSink(path, max_bytes=100)

    def move(file: Path, target: Path) -> Path:
        if file == path:  # as at a mount point
            raise OSError(16, "Device or resource busy")
        return replace(file, target)

    monkeypatch.setattr(Path, "replace", move)
    monkeypatch.setattr(os, "fsync", lambda _: steps.append("on the disk"))
    monkeypatch.setattr(os, "ftruncate", lambda file, size: steps.append("emptied") or empty(file, size))
    sink.write(lines(10))
    sink.write(lines(5, 10))
    assert steps == ["on the disk", "emptied"]
    assert len(events((tmp_path / "eve.json.1").read_bytes())) == 10 and len(events(path.read_bytes())) == 5
    sink.close()


def test_a_folder_that_vanishes_costs_counted_lines_and_comes_back(tmp_path):
    folder = tmp_path / "log"
    folder.mkdir()
    sink = FileSink(folder / "eve.json")
    (folder / "eve.json").unlink()
    folder.rmdir()
    sink.reopen()
    sink.write(lines(3))
    assert (sink.written, sink.unwritten) == (0, 3) and "No such file" in sink.fault
    folder.mkdir()
    sink.write(lines(2))
    assert (sink.written, sink.unwritten, sink.fault) == (2, 3, "")


def test_an_eve_path_that_cannot_be_written_is_refused_at_the_start(tmp_path):
    with pytest.raises(InputError, match="expected to write .*found: Is a directory"):
        FileSink(tmp_path)


def test_a_full_disk_costs_counted_lines_and_never_half_a_line(tmp_path):
    lines = [json.dumps({"n": index, "text": "x" * 300}).encode() + b"\n" for index in range(100)]
    with small_disk(tmp_path, "16k") as disk, closing(FileSink(disk / "eve.json")) as sink:
        for start in range(0, 100, 10):
            sink.write(lines[start : start + 10])
        assert sink.written + sink.unwritten == 100 and sink.unwritten > 0
        assert "No space left" in sink.fault
        assert len(events((disk / "eve.json").read_bytes())) == sink.written
        os.truncate(disk / "eve.json", 0)  # somebody makes room
        before = sink.written
        sink.write(lines[:5])
        assert sink.fault == "" and sink.written == before + 5
        assert [event["n"] for event in events((disk / "eve.json").read_bytes())] == [0, 1, 2, 3, 4]


def test_a_disk_that_fills_half_way_through_a_line_is_cut_back(tmp_path, monkeypatch):
    sink = FileSink(tmp_path / "eve.json")
    room = leave_room(monkeypatch, 25)
    sink.write([b'{"line":1}\n', b'{"line":2}\n', b'{"line":3}\n'])
    assert (sink.written, sink.unwritten) == (2, 1)
    assert (tmp_path / "eve.json").read_bytes() == b'{"line":1}\n{"line":2}\n'
    room[0] = 1000
    sink.write([b'{"line":4}\n'])
    assert (tmp_path / "eve.json").read_bytes() == b'{"line":1}\n{"line":2}\n{"line":4}\n'


def write_all(sink: FileSink, count: int, start: int = 0) -> None:
    for number in range(start, start + count):
        sink.write(lines(1, number))


def numbers(*paths) -> list[int]:
    return [json.loads(line)["n"] for path in paths for line in path.read_bytes().splitlines()]


@pytest.mark.parametrize("number", [1, 2, 3])
def test_a_folder_with_the_name_of_an_older_file_costs_no_line(tmp_path, number):
    path, blocked = tmp_path / "eve.json", tmp_path / f"eve.json.{number}"
    (blocked / "mine").mkdir(parents=True)
    sink = FileSink(path, max_bytes=50, keep=3)
    write_all(sink, 20)
    assert (sink.written, sink.unwritten) == (20, 0) and "cannot be rotated" in sink.fault
    files = sorted((file for file in tmp_path.iterdir() if file.is_file()), reverse=True)
    assert numbers(*files[:-1], path) == list(range(20))
    assert (tmp_path / "eve.json.3" / "mine").is_dir()
    shutil.rmtree(tmp_path / "eve.json.3")
    write_all(sink, 10, 20)
    assert sink.fault == "" and path.stat().st_size <= 50


def test_a_file_that_cannot_be_set_aside_costs_no_older_one(tmp_path, monkeypatch):
    path = tmp_path / "eve.json"
    sink = FileSink(path, max_bytes=50, keep=3)
    write_all(sink, 22)
    before = numbers(tmp_path / "eve.json.2", tmp_path / "eve.json.1")

    def refuse(*_):
        raise OSError(28, "No space left on device")

    replace = type(path).replace
    monkeypatch.setattr(type(path), "replace", lambda file, target: refuse() if file == path else replace(file, target))
    monkeypatch.setattr("tlids_edge.alerts.eve_file.shutil.copyfile", refuse)
    write_all(sink, 9, 22)
    assert (sink.written, sink.unwritten) == (31, 0) and "No space left" in sink.fault
    assert numbers(tmp_path / "eve.json.3", tmp_path / "eve.json.2") == before
    assert numbers(path)[-9:] == list(range(22, 31)) and len(list(tmp_path.iterdir())) == 3
    write_all(sink, 30, 31)  # it has the size of all files together
    assert sink.written + sink.unwritten == 61 and sink.unwritten > 0 and "cannot be rotated and is full" in sink.fault
    assert 200 < path.stat().st_size <= 220


@pytest.mark.parametrize("max_bytes", [0, 100])
@pytest.mark.parametrize("how", ["removed", "moved", "replaced"])
def test_a_file_that_somebody_takes_away_is_made_again(tmp_path, how, max_bytes):
    path, away = tmp_path / "eve.json", tmp_path / "away"
    sink = FileSink(path, max_bytes)
    write_all(sink, 3)
    path.rename(away)
    if how == "removed":
        away.unlink()
    if how == "replaced":
        path.touch()
    write_all(sink, 3, 3)
    assert numbers(path) == [3, 4, 5] and (sink.written, sink.unwritten, sink.fault) == (6, 0, "")
    assert how == "removed" or numbers(away) == [0, 1, 2]


def test_a_folder_that_somebody_takes_away_costs_counted_lines(tmp_path):
    folder = tmp_path / "log"
    folder.mkdir()
    sink = FileSink(folder / "eve.json", max_bytes=50)
    write_all(sink, 3)
    folder.rename(tmp_path / "old")
    write_all(sink, 9, 3)
    assert (sink.written, sink.unwritten) == (3, 9) and "No such file" in sink.fault
    folder.mkdir()
    write_all(sink, 1, 12)
    assert numbers(folder / "eve.json") == [12] and (sink.written, sink.fault) == (4, "")


def test_a_file_that_goes_just_before_it_rotates_is_made_again(tmp_path, monkeypatch):
    path = tmp_path / "eve.json"
    sink = FileSink(path, max_bytes=50)
    write_all(sink, 5)
    shift = FileSink._shift
    monkeypatch.setattr(FileSink, "_shift", lambda sink: path.unlink() or shift(sink))
    write_all(sink, 2, 5)
    assert numbers(path)[-1] == 6 and sink.fault == "" and len(list(tmp_path.iterdir())) == 1


def test_a_million_alarms_leave_a_bounded_number_of_bytes_and_the_first_incident(tmp_path):
    eve, incidents = (FileSink(tmp_path / name, max_bytes=1_000_000) for name in ("eve.json", "incidents.json"))
    outlet = Outlet(eve, incidents=incidents)
    outlet.send(Kind.INCIDENT, [b'{"first":"incident"}\n'])
    outlet.send(Kind.RULE, [b'{"first":"rule"}\n'])
    outlet.send(Kind.BLIND, [b'{"first":"blind"}\n'])
    alarms = [b'{"alarm":"%s"}\n' % (b"x" * 87)] * 1000
    for _ in range(1000):
        outlet.send(Kind.ALERT, alarms)
    assert eve.written == 1_000_003 and outlet.unwritten == 0
    assert sum(path.stat().st_size for path in tmp_path.iterdir()) < 6_100_000
    told = [json.loads(line)["first"] for line in open(tmp_path / "incidents.json")]
    assert told == ["incident", "rule", "blind"]


def test_on_a_disk_full_of_alarms_an_incident_still_finds_room(tmp_path):
    with small_disk(tmp_path, "1m") as disk:
        incidents = FileSink(disk / "incidents.json", 400_000, later=True)
        with closing(Outlet(FileSink(disk / "eve.json", 400_000), incidents=incidents)) as outlet:
            for number in range(3):
                for _ in range(200):
                    outlet.send(Kind.ALERT, [b'{"alarm":"%s"}\n' % (b"x" * 87)] * 100)
                assert outlet.eve.unwritten > 0 and "No space left" in outlet.eve.fault
                outlet.send(Kind.INCIDENT, [b'{"n":%d,"of":"%s"}\n' % (number, b"y" * 5000)])
            assert (outlet.incidents.written, outlet.incidents.unwritten) == (3, 0)
            assert [event["n"] for event in events((disk / "incidents.json").read_bytes())] == [0, 1, 2]


def test_no_line_is_kept_longer_than_seven_days(tmp_path, monkeypatch):
    """A clock that is turned by hand: a line an hour, for thirty days, and then silence."""
    day, now = 86_400, [1.8e9]
    monkeypatch.setattr(
        "tlids_edge.alerts.eve_file.time", types.SimpleNamespace(time=lambda: now[0], monotonic=lambda: now[0])
    )
    sink = FileSink(tmp_path / "eve.json", max_age_s=7 * day)

    def kept() -> list[float]:
        return sorted(json.loads(line)["t"] for path in tmp_path.iterdir() for line in open(path))

    for hour in range(30 * 24):
        now[0] += 3600
        sink.write([b'{"t":%d}\n' % now[0]])
        os.utime(tmp_path / "eve.json", (now[0], now[0]))
        sink.push()
        assert now[0] - kept()[0] <= 7 * day + 3600
        if hour > 7 * 24:
            assert now[0] - kept()[0] > 5 * day
    for _ in range(7 * 24 + 30):
        now[0] += 3600
        sink.push()
    assert kept() == []


def test_a_file_that_was_there_before_is_as_old_as_its_first_line(tmp_path):
    (tmp_path / "eve.json").write_bytes(b'{"timestamp":"2026-01-31T12:00:00.123456+0000"}\n')
    sink = FileSink(tmp_path / "eve.json", max_age_s=86_400)
    sink.push()
    sink.write(lines(1))
    assert (tmp_path / "eve.json").read_bytes() == lines(1)[0]
    assert (tmp_path / "eve.json.1").exists()


def test_a_file_that_may_come_later_is_not_made_without_a_line(tmp_path):
    sink = FileSink(tmp_path / "incidents.json", later=True)
    sink.push()
    assert not list(tmp_path.iterdir())
    sink.write(lines(2))
    sink.close()
    assert len(events((tmp_path / "incidents.json").read_bytes())) == 2
