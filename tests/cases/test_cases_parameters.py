"""Parameters as papermill, YAML and a shell hand them over: brought to their type, or refused in one sentence."""

import errno
import os
import re
import subprocess
import sys
from decimal import Decimal
from pathlib import Path

import nbformat
import numpy as np
import pytest

from tlids_helpers import notebooks
from tlids_helpers.common import files
from tlids_helpers.common.errors import InputError
from tlids_helpers.common.parameters import brought
from tlids_helpers.notebooks import NOTEBOOKS, find_notebook

PAPERMILL = Path(sys.executable).with_name("papermill")
NAN = float("nan")

MEANT = [
    ("allow_subset", "no", False),
    ("allow_subset", " No ", False),
    ("allow_subset", "FALSE", False),
    ("allow_subset", "off", False),
    ("allow_subset", 0, False),
    ("allow_subset", 0.0, False),
    ("allow_subset", "yes", True),
    ("allow_subset", "on", True),
    ("allow_subset", 1, True),
    ("allow_subset", np.True_, True),
    ("sweep", "false", False),
    ("show_simulated", "y", True),
    ("seed", 42.0, 42),
    ("seed", "42", 42),
    ("seed", "42.0", 42),
    ("seed", " 7\n", 7),
    ("seed", "0042", 42),
    ("seed", -0.0, 0),
    ("seed", np.int64(5), 5),
    ("seed", np.float32(3), 3),
    ("seed", 2**31, 2**31),
    ("rows", 1e4, 10_000),
    ("rows", "1e4", 10_000),
    ("rows", "1_000", 1_000),
    ("rows", "None", None),
    ("rows", "none", None),
    ("rows", "null", None),
    ("rows", "", None),
    ("rows", None, None),
    ("epochs", "3", 3),
    ("batch_size", 64.0, 64),
    ("batch_size", "none", None),
    ("learning_rate", "1e-3", 0.001),
    ("learning_rate", 1, 1.0),
    ("learning_rate", "None", None),
    ("false_positive_rate", "0.01", 0.01),
    ("allow_loss", 0, 0.0),
    ("allow_loss", 1, 1.0),
    ("allow_loss", "0.05", 0.05),
    ("flows_per_second", 10, 10.0),
    ("n_jobs", -1, -1),
    ("n_jobs", "2", 2),
    ("task", " binary ", "binary"),
    ("split", "grouped\n", "grouped"),
    ("dataset", " testbed ", "testbed"),
    ("dataset", Path("flows") / "my home.csv", "flows/my home.csv"),
    ("dataset", "zu Hause/Flüsse.csv", "zu Hause/Flüsse.csv"),
    ("source", None, ""),
    ("source", " ", ""),
    ("dialect", "", ""),
    ("explained", "None", "None"),  # a class may be called so
    ("explained", None, ""),
    ("runs_dir", "new/folder", "new/folder"),
    ("data_dir", Path("data"), "data"),
]

REFUSED = [
    *[("allow_subset", value) for value in (2, -1, "", "maybe", None, NAN, [True], {}, "1.0", np.array([1, 0]))],
    *[("seed", value) for value in (-1, "-1", 4.5, "4.5", NAN, "nan", "inf", 1e300, 2**32, 10**5_000, "9" * 5_000)],
    *[("seed", value) for value in (True, False, "True", None, "none", "", [42], (42,), {42}, b"42", 1j, Decimal(42))],
    *[("seeds", value) for value in (1, 0, 10**6)],
    *[("rows", value) for value in (0, -5, 0.5, "many", "1,000", 10**18, True, [10], "None of them")],
    *[("epochs", value) for value in (0, -1, 1.5, "", None, 10**9, True, "fifty")],
    *[("batch_size", value) for value in (0, -128, 0.1, 10**12, False)],
    *[("learning_rate", value) for value in (-1, 0, NAN, "nan", float("inf"), 1.01, "fast", True, [0.1], 10**400)],
    *[("patience", value) for value in (0, -1, NAN)],
    *[("judgements", value) for value in (0, 10**9, "all")],
    *[("n_jobs", value) for value in (0, -2, 1.5, 10**6)],
    *[("false_positive_rate", value) for value in (0, 1, -0.1, NAN, "0.1 %", True)],
    *[("allow_loss", value) for value in (-0.01, 1.01, NAN, "1%", True, None)],
    *[("flows_per_second", value) for value in (0, -1, NAN, float("inf"))],
    *[("task", value) for value in ("Binary", "x", "", 1, None, ["binary"], True)],
    *[("protocol", value) for value in ("x", "scratch", "leave-target-out", None)],
    *[("trained", value) for value in ("both", "")],
    *[("split", value) for value in ("Paper", "random", 0.2)],
    *[("recipe", value) for value in ("encoded", "", None)],
    *[("precision", value) for value in ("float64", 32)],
    *[("dialect", value) for value in ("cicflowmeter", 4)],
    *[("dataset", value) for value in (2026, 1.5, True, None, "", "  ", "a\0b", ["testbed"], "a" * 300, b"testbed")],
    *[("l7", value) for value in (4.2, ["ndpi 4.2"])],
    *[("explained", value) for value in (3, False)],
    *[("runs_dir", value) for value in ("", None, 5, __file__, "x/" + "y" * 300)],
]


def shown(value: object) -> str:
    return repr(value)[:20] if not isinstance(value, int) or abs(value) < 10**400 else "huge"


@pytest.mark.parametrize(("name", "value", "meant"), MEANT, ids=lambda value: shown(value))
def test_a_value_that_can_be_read_in_one_way_gets_its_type(name, value, meant):
    found = brought(name, value)
    assert (type(found), found) == (type(meant), meant)


@pytest.mark.parametrize(("name", "value"), REFUSED, ids=lambda value: shown(value))
def test_any_other_is_one_short_sentence(name, value):
    with pytest.raises(InputError) as caught:
        brought(name, value)
    text = str(caught.value)
    assert re.fullmatch(rf"expected {name} to be [^\n]+, found [^\n]+: [^\n]+", text) and len(text) < 250, text
    found = text.rpartition(", found ")[2].rpartition(": ")[0]
    assert 0 < len(found) <= 60, text


def test_a_misspelled_word_is_told_the_nearest_one():
    for name, value, near in (("task", "Binary", "binary"), ("protocol", "leave-target-out", "leave_target_out")):
        with pytest.raises(InputError, match=f"did you mean {near}"):
            brought(name, value)


def test_a_number_where_text_belongs_is_told_how_papermill_passes_text():
    with pytest.raises(InputError, match=r"found 2026: .*papermill -r"):
        brought("dataset", 2026)


def test_a_folder_that_may_not_be_looked_at_is_not_taken_for_absent(monkeypatch):
    def denied(path):
        raise PermissionError(errno.EACCES, "Permission denied", str(path))

    monkeypatch.setattr(files, "resolve", denied)
    with pytest.raises(InputError, match="expected a folder at 'runs', found Permission denied: "):
        brought("runs_dir", "runs")


def test_a_circle_of_links_is_no_folder(tmp_path):
    (tmp_path / "runs").symlink_to("runs")
    with pytest.raises(InputError, match="expected runs_dir to be the path of a folder, as text, found "):
        brought("runs_dir", tmp_path / "runs")


def test_a_link_to_a_folder_that_is_still_to_be_made_is_one(tmp_path):
    (tmp_path / "runs").symlink_to("elsewhere")
    assert brought("runs_dir", tmp_path / "runs") == str(tmp_path / "runs")


@pytest.fixture
def beginning(tmp_path):
    """A notebook's first cells, its parameters and their check, and a last one that prints a parameter."""

    def make(number: str, name: str) -> Path:
        notebook = nbformat.read(find_notebook(number), as_version=4)
        checks = next(place for place, cell in enumerate(notebook.cells) if "checked(" in cell.source)
        notebook.cells = [*notebook.cells[: checks + 1], nbformat.v4.new_code_cell(f"print(repr({name}))")]
        path = tmp_path / "beginning.ipynb"
        nbformat.write(notebook, path)
        return path

    return make


def papermill(notebook: Path, *arguments: str) -> tuple[int, list]:
    """Run it as typed: the exit status, and all outputs."""
    output = notebook.with_name("ran.ipynb")
    command = [PAPERMILL, notebook, output, "--no-progress-bar", "-k", "python3", "--cwd", NOTEBOOKS, *arguments]
    home = {"TLIDS_HOME": str(notebook.parent)}
    ran = subprocess.run(command, env={**os.environ, **home}, capture_output=True, text=True, timeout=300)
    assert output.exists(), ran.stderr
    return ran.returncode, [o for cell in nbformat.read(output, as_version=4).cells for o in cell.get("outputs", [])]


@pytest.mark.parametrize(
    ("number", "name", "typed", "meant"),
    [("01", "allow_subset", "no", "False"), ("02", "seed", "42.0", "42"), ("03", "rows", "1e4", "10000")],
)
def test_papermill_runs_a_notebook_with_what_was_meant(number, name, typed, meant, beginning):
    status, outputs = papermill(beginning(number, name), "-p", name, typed)
    assert status == 0 and [output["text"] for output in outputs] == [f"{meant}\n"]


@pytest.mark.parametrize(("number", "name", "typed"), [("09", "dataset", "2026"), ("06", "epochs", "0")])
def test_papermill_stops_a_notebook_in_its_first_cell_with_one_sentence(number, name, typed, beginning):
    status, outputs = papermill(beginning(number, name), "-p", name, typed)
    (error,) = [output for output in outputs if output["output_type"] == "error"]
    assert status != 0 and error["ename"] == "InputError"
    assert error["traceback"] == [f"InputError: {error['evalue']}"]
    assert f"expected {name} to be" in error["evalue"] and f"found {typed}" in error["evalue"]
    assert not [output for output in outputs if output["output_type"] == "stream" and output["name"] == "stdout"]


@pytest.mark.parametrize(
    "value", ["[x", "2020-13-45", "@x", "a: b: c", "*a", '"', "\x07", "9" * 5000, "[" * 400, "!!python/object:os.x y"]
)
def test_a_value_that_yaml_cannot_read_is_the_text_that_was_typed(value, capsys):
    assert notebooks.main(["01", "-p", "seed", value]) == 1
    assert "expected seed to be a whole number" in capsys.readouterr().err


@pytest.mark.parametrize("number", ["*", "[", "**", "", "../01"])
def test_a_number_of_a_notebook_is_no_pattern(number):
    with pytest.raises(InputError, match="expected the number of a notebook"):
        find_notebook(number)


def test_a_file_where_executed_notebooks_should_go_is_told(capsys):
    assert notebooks.main(["01", "--into", "/dev/null"]) == 1
    assert re.search("expected a folder at .*null, found: .*give another with --into", capsys.readouterr().err)
