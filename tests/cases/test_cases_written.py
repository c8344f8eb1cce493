"""What the helpers write obeys links and special files as what the commands write does."""

import json
import os
import shutil
import subprocess

import pytest
from case_commands import shell

from tlids_helpers.common import files
from tlids_helpers.common.errors import InputError
from tlids_helpers.results import page
from tlids_helpers.testbed import recordings

PAGE = "python -m tlids_helpers.results"


def write(folder, text: str = "new") -> None:
    with files.written_whole(folder) as scratch:
        (scratch / "result").write_text(text)


@pytest.mark.parametrize("target_is_there", [True, False])
def test_a_folder_behind_a_link_is_the_links_target(tmp_path, target_is_there):
    real, link = tmp_path / "big" / "real", tmp_path / "run"
    real.parent.mkdir()
    if target_is_there:
        real.mkdir()
        (real / "stale").touch()
    link.symlink_to(real)
    for text in ("old", "new"):
        write(link, text)
    assert link.is_symlink() and (real / "result").read_text() == "new"
    assert [path.name for path in real.iterdir()] == ["result"] and list(real.parent.iterdir()) == [real]


def test_a_file_in_the_way_of_a_folder_is_refused_and_stays(tmp_path):
    (tmp_path / "run").write_text("mine")
    with pytest.raises(InputError, match="expected to write to .*found the file run"):
        write(tmp_path / "run")
    assert (tmp_path / "run").read_text() == "mine" and len(list(tmp_path.iterdir())) == 1


def test_a_folder_keeps_its_permissions(tmp_path):
    (tmp_path / "run").mkdir()
    (tmp_path / "run").chmod(0o2775)
    write(tmp_path / "run")
    assert (tmp_path / "run").stat().st_mode & 0o7777 == 0o2775


def test_a_folder_that_is_a_mount_point_is_filled(tmp_path):
    if os.geteuid() or not shutil.which("mount"):
        pytest.skip("needs root: it mounts")
    folder = tmp_path / "run"
    folder.mkdir()
    if subprocess.run(["mount", "-t", "tmpfs", "tmpfs", folder], capture_output=True).returncode:
        pytest.skip("nothing can be mounted here")
    try:
        (folder / "stale").touch()
        (folder / "old").mkdir()
        write(folder)
        assert [path.name for path in folder.iterdir()] == ["result"] and os.path.ismount(folder)
    finally:
        subprocess.run(["umount", folder], check=True)
    assert list(tmp_path.iterdir()) == [folder]


def test_a_folder_with_a_name_of_250_letters_is_written(tmp_path):
    write(tmp_path / ("n" * 250))
    assert (tmp_path / ("n" * 250) / "result").read_text() == "new"


@pytest.mark.parametrize("kind", ["link", "second name", "nothing"])
def test_the_results_page_is_written_where_it_is_pointed(tmp_path, kind):
    real, into = tmp_path / "real.html", tmp_path / "page.html"
    if kind != "nothing":
        real.write_text("old, and longer than the page")
        into.symlink_to(real) if kind == "link" else os.link(real, into)
    page.write("<p>ä</p>", into)
    assert into.read_text(encoding="utf-8") == "<p>ä</p>" and into.is_symlink() is (kind == "link")
    assert kind == "nothing" or real.read_bytes() == into.read_bytes()


def test_the_results_page_goes_through_pipes_and_its_summary_does_not(tmp_path):
    run = tmp_path / "runs" / "one"
    run.mkdir(parents=True)
    (run / "result.json").write_text(json.dumps({}))
    (tmp_path / "plain.py").write_text(
        "import sys\nfrom tlids_helpers.results import __main__ as command, page\n"
        "page.build = lambda _: '<p>page</p>'\nsys.exit(command.main(sys.argv[1:]))\n"
    )
    python = shutil.which("python") or "python3"
    python = os.environ.get("PYTHON", os.sys.executable or python)
    for place, after in (("/dev/stdout", ""), ("pipe", "wait; cat got")):
        before = "rm -f pipe got; mkfifo pipe; cat pipe > got &" if place == "pipe" else ""
        done = shell(f"{before}\n{python} plain.py --runs-dir runs --into {place}\n{after}", tmp_path)
        assert done.stdout == b"<p>page</p>", done.stderr.decode()
        assert b"one file" in done.stderr


def test_recordings_flows_follow_a_link(tmp_path, monkeypatch):
    pa = pytest.importorskip("pyarrow")
    monkeypatch.setattr(recordings, "sessions", lambda _: ["session1"])
    monkeypatch.setattr(recordings, "meter_session", lambda *_: pa.table({"a": [1, 2]}))
    (tmp_path / "big").mkdir()
    (tmp_path / "testbed.parquet").symlink_to(tmp_path / "big" / "flows.parquet")
    recordings.write_flows(tmp_path)
    assert (tmp_path / "testbed.parquet").is_symlink() and (tmp_path / "big" / "flows.parquet").stat().st_size
    assert not list(tmp_path.rglob(".*"))
