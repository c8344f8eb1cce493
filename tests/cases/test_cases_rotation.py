"""EVE files that rotate: behind links, on mount points, without the right to rename or to read."""

import os
import shutil
import subprocess

import pytest
from case_commands import open_to_others
from case_lines import numbered, numbers
from tlids_edge.alerts.eve_file import FileSink


def rotated(path) -> list[int]:
    """Every line of a file and of its older ones, the oldest first."""
    files = sorted(path.parent.glob(f"{path.name}.*"), key=lambda file: -int(file.suffix[1:])) + [path]
    return [number for file in files for number in numbers(file.read_bytes())]


@pytest.mark.parametrize("chain", [1, 2])
def test_the_target_of_a_link_rotates_and_the_link_stays(tmp_path, chain):
    logs = tmp_path / "logs"
    logs.mkdir()
    links = [tmp_path / f"eve{number}.json" for number in range(chain)]
    for link, target in zip(links, [*links[1:], logs / "real.json"], strict=True):
        link.symlink_to(target)
    sink = FileSink(links[0], max_bytes=1000)
    for start in range(0, 100, 5):
        sink.write(numbered(5, start))
    sink.close()
    assert all(link.is_symlink() for link in links) and len(list(tmp_path.iterdir())) == chain + 1
    assert {file.name for file in logs.iterdir()} >= {"real.json", "real.json.1", "real.json.2"}
    assert rotated(logs / "real.json") == list(range(100))


def test_a_rotated_file_keeps_its_permissions(tmp_path):
    path = tmp_path / "eve.json"
    path.touch()
    path.chmod(0o604)
    sink = FileSink(path, max_bytes=500)
    for start in range(0, 40, 5):
        sink.write(numbered(5, start))
    sink.close()
    assert {oct(file.stat().st_mode & 0o777) for file in tmp_path.iterdir()} == {oct(0o604)}


@pytest.mark.parametrize("beside", [True, False])
def test_a_file_that_may_not_be_renamed_is_emptied_or_grows_and_loses_no_line(tmp_path, monkeypatch, beside):
    path = tmp_path / "eve.json"
    sink = FileSink(path, max_bytes=500)

    def refuse(*_):
        raise OSError(16, "Device or resource busy")

    replace = type(path).replace
    monkeypatch.setattr(type(path), "replace", lambda file, target: refuse() if file == path else replace(file, target))
    if not beside:
        monkeypatch.setattr("tlids_edge.alerts.eve_file.shutil.copyfile", refuse)
    inode = path.stat().st_ino
    for start in range(0, 60, 5):
        sink.write(numbered(5, start))
    sink.close()
    assert path.stat().st_ino == inode and (sink.written, sink.unwritten) == (60, 0)
    assert rotated(path) == list(range(60)) if beside else numbers(path.read_bytes()) == list(range(60))
    assert ("cannot be rotated" in sink.fault) is not beside


def test_a_mount_point_rotates_by_copy(tmp_path):
    if os.geteuid() or not shutil.which("mount"):
        pytest.skip("needs root: it mounts")
    source, path = tmp_path / "source", tmp_path / "eve.json"
    source.touch()
    path.touch()
    if subprocess.run(["mount", "--bind", source, path], capture_output=True).returncode:
        pytest.skip("nothing can be mounted here")
    try:
        sink = FileSink(path, max_bytes=500)
        for start in range(0, 60, 5):
            sink.write(numbered(5, start))
        sink.close()
        assert rotated(path) == list(range(60)) and source.read_bytes() == path.read_bytes()
    finally:
        subprocess.run(["umount", path], check=True)


def test_lines_that_the_disk_refuses_at_the_end_are_unwritten(tmp_path, monkeypatch):
    sink = FileSink(tmp_path / "eve.json")
    sink.write(numbered(3))

    def refuse(_):
        raise OSError(5, "Input/output error")

    monkeypatch.setattr("tlids_edge.alerts.eve_file.os.fsync", refuse)
    sink.close()
    assert (sink.written, sink.unwritten, sink.fault) == (0, 3, "Input/output error")


def test_a_file_that_may_be_written_and_not_read_is_added_to(tmp_path):
    if os.geteuid():
        pytest.skip("needs root, to become somebody else")
    path = tmp_path / "eve.json"
    path.touch()
    path.chmod(0o622)
    open_to_others(tmp_path)
    os.seteuid(65534)
    try:
        sink = FileSink(path)
        sink.write(numbered(2))
        sink.close()
    finally:
        os.seteuid(0)
    assert numbers(path.read_bytes()) == [0, 1]
