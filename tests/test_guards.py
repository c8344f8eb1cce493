"""What pre-commit refuses, tried in a repository of its own."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from guards import before_commit

REPOSITORY = Path(__file__).resolve().parent.parent
GUARD = "tests/guards/before_commit.py"


def notebook(*counts: int | None, outputs: tuple = ()) -> str:
    """A notebook of one markdown cell and a code cell for each execution count; `outputs` are the last one's."""
    cells = [{"cell_type": "markdown", "metadata": {}, "source": "# A title", "id": "t"}]
    for count in counts:
        cell = {"cell_type": "code", "execution_count": count, "metadata": {}, "outputs": [], "source": "1 + 1"}
        cells.append({**cell, "id": f"c{len(cells)}"})
    cells[-1]["outputs"] = list(outputs)
    language = {"language_info": {"name": "python"}}
    return json.dumps({"cells": cells, "metadata": language, "nbformat": 4, "nbformat_minor": 5}, indent=1) + "\n"


ERROR = {"output_type": "error", "ename": "InputError", "evalue": "expected", "traceback": []}
STREAM = {"output_type": "stream", "name": "stdout", "text": "2"}


def test_a_notebook_that_was_run_from_top_to_bottom_has_no_fault():
    assert list(before_commit.notebook_faults(notebook(1, 2, 3, outputs=(STREAM,)))) == []


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (notebook(1, 3, 2), "code cell 2 to be run as number 2, found number 3"),
        (notebook(2, 3), "code cell 1 to be run as number 1, found number 2"),
        (notebook(1, 2, 4), "code cell 3 to be run as number 3, found number 4"),
        (notebook(1, 1), "code cell 2 to be run as number 2, found number 1"),
        (notebook(1, None), "code cell 2 to be run as number 2, found one that was never run"),
        (notebook(1, outputs=(STREAM, ERROR)), "no error among the outputs, found InputError"),
        ("<<<<<<< HEAD", "expected a notebook, found something else"),
        ('{"cells": 3}', "expected a notebook, found something else"),
    ],
)
def test_a_notebook_that_was_not_is_one_sentence(text, words):
    (fault,) = before_commit.notebook_faults(text)
    assert words in fault


@pytest.mark.parametrize(
    ("path", "limit"), [("data/testbed/new.pcap.gz", 5), ("notebooks/08.ipynb", 3), ("x/y.csv", 1), ("a.pcap.gz", 1)]
)
def test_a_file_may_have_as_many_bytes_as_its_kind_and_no_more(path, limit, tmp_path):
    file = tmp_path / path
    file.parent.mkdir(parents=True, exist_ok=True)
    for size, refused in ((limit * 10**6, False), (limit * 10**6 + 1, True)):
        with file.open("wb") as stream:
            stream.write(notebook(1).encode() if path.endswith("ipynb") else b"")
            stream.write(b" " * (size - stream.tell()))
        assert any("expected at most" in fault for fault in before_commit.faults(path, tmp_path)) == refused


def test_a_deleted_file_has_no_fault(tmp_path):
    assert list(before_commit.faults("gone.ipynb", tmp_path)) == []


@pytest.fixture
def clone(tmp_path, monkeypatch) -> Path:
    """A repository with our hooks, a module, and pre-commit installed as CONTRIBUTING.md says."""
    monkeypatch.setenv("PRE_COMMIT_HOME", str(tmp_path / "cache"))
    monkeypatch.setenv("PATH", f"{Path(sys.executable).parent}:{os.environ['PATH']}")
    for name in [name for name in os.environ if name.startswith("GIT_")]:
        monkeypatch.delenv(name)
    home = tmp_path / "clone"
    (home / "tests" / "guards").mkdir(parents=True)
    for name in (".pre-commit-config.yaml", "pyproject.toml", GUARD):
        shutil.copy(REPOSITORY / name, home / name)
    git(home, "init", "-q")
    git(home, "config", "user.name", "A reader")
    git(home, "config", "user.email", "reader@example.org")
    subprocess.run([Path(sys.executable).with_name("pre-commit"), "install"], cwd=home, check=True, capture_output=True)
    return home


def git(home: Path, *arguments: str) -> subprocess.CompletedProcess:
    return subprocess.run(["git", *arguments], cwd=home, capture_output=True, text=True)


def commit(home: Path, name: str, content: str) -> str:
    """What a commit of one more file says; "" when it is made."""
    (home / name).write_text(content)
    git(home, "add", "-A")
    ran = git(home, "commit", "-m", "One more")
    return "" if ran.returncode == 0 else ran.stdout + ran.stderr


def test_a_commit_of_tidy_files_goes_through_every_hook(clone):
    assert commit(clone, "module.py", '"""A module."""\n\nONE = 1\n') == ""
    assert commit(clone, "good.ipynb", notebook(1, 2)) == ""


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("order.ipynb", notebook(2, 1), "order.ipynb: expected code cell 1 to be run as number 1, found number 2"),
        ("large.csv", "1,2,3\n" * 170_000, "large.csv: expected at most 1,000,000 bytes, found 1,020,000"),
        ("bad.py", '"""A module."""\nimport os\n', "F401"),
        ("untidy.py", '"""A module."""\nONE   =  1\n', "1 file reformatted"),
        ("bad.ipynb", notebook(1).replace("1 + 1", "import os"), "F401"),
    ],
)
def test_a_commit_that_a_hook_refuses_is_not_made(name, content, words, clone):
    assert words in commit(clone, name, content)
    assert git(clone, "rev-parse", "HEAD").returncode != 0


def test_what_is_tracked_here_has_no_fault():
    if not (REPOSITORY / ".git").exists():
        pytest.skip("no git checkout, so nothing is tracked")
    ran = subprocess.run([sys.executable, GUARD], cwd=REPOSITORY, capture_output=True, text=True)
    assert (ran.stdout, ran.stderr, ran.returncode) == ("", "", 0)
