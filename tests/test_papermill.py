"""The command `papermill` of this environment, in a terminal and in a pipe."""

import subprocess
import sys
from pathlib import Path

import nbformat
import pytest
from terminal import in_terminal

from tlids_helpers import notebooks

COMMAND = Path(sys.executable).with_name("papermill")


@pytest.fixture
def here(tmp_path) -> Path:
    """A folder with the notebook 03_tiny.ipynb in it, beside runs/."""
    cells = [
        nbformat.v4.new_code_cell('dataset = "testbed"\nrows = None', metadata={"tags": ["parameters"]}),
        nbformat.v4.new_code_cell("print(dataset, rows)"),
    ]
    metadata = {"kernelspec": {"name": "python3", "display_name": "Python 3", "language": "python"}}
    (tmp_path / "notebooks").mkdir()
    nbformat.write(nbformat.v4.new_notebook(cells=cells, metadata=metadata), tmp_path / "notebooks" / "03_tiny.ipynb")
    return tmp_path / "notebooks"


def typed(folder: Path, *arguments: str) -> tuple[int, str]:
    """Type the command in `folder`, with runs/ beside it: its exit status, and all that the terminal shows."""
    return in_terminal(folder, COMMAND, *arguments, TLIDS_HOME=str(folder.parent), COLUMNS="200")


def printed(notebook: Path) -> str:
    return nbformat.read(notebook, as_version=4).cells[-1].outputs[0]["text"]


def test_without_an_output_path_the_copy_is_left_in_runs_and_the_terminal_says_where(here):
    status, shown = typed(here, "03_tiny.ipynb", "-p", "dataset", "nf-ton-iot", "-p", "rows", "7")
    assert status == 0 and "../runs/03_tiny-nf-ton-iot.ipynb" in shown
    assert printed(here.parent / "runs" / "03_tiny-nf-ton-iot.ipynb") == "nf-ton-iot 7\n"
    assert not nbformat.read(here / "03_tiny.ipynb", as_version=4).cells[-1].outputs


def test_a_path_that_is_given_is_the_one_that_is_written(here):
    status, shown = typed(here, "03_tiny.ipynb", "mine.ipynb", "-r", "rows", "07")
    assert status == 0 and "runs" not in shown
    assert printed(here / "mine.ipynb") == "testbed 07\n" and not (here.parent / "runs").exists()


def test_a_notebook_that_is_not_there_is_papermills_error(here):
    status, shown = typed(here, "04_tiny.ipynb")
    assert status != 0 and "No such file or directory: '04_tiny.ipynb'" in shown
    assert not list((here.parent / "runs").iterdir())


@pytest.mark.parametrize("arguments", [("--version",), ("--help",), (), ("-",), ("03_tiny.ipynb", "--no-such-option")])
def test_what_is_no_run_is_left_to_papermill(arguments, here):
    status, shown = typed(here, *arguments)
    expected = {"--version": "papermill/cli.py", "--help": "Usage: papermill [OPTIONS]", "-": "'OUTPUT_PATH'"}
    assert expected.get(arguments[-1] if arguments else "", "Usage: papermill [OPTIONS]") in shown
    assert (status == 0) == (arguments in [("--version",), ("--help",)])
    assert not (here.parent / "runs").exists()


@pytest.mark.parametrize("paths", [(), ("-", "-")])
def test_a_notebook_on_standard_input_goes_to_standard_output(paths, here):
    text = (here / "03_tiny.ipynb").read_text()
    done = subprocess.run([COMMAND, *paths], input=text, capture_output=True, text=True, cwd=here)
    assert done.returncode == 0, done.stderr
    assert nbformat.reads(done.stdout, as_version=4).cells[-1].outputs[0]["text"] == "testbed None\n"
    assert not (here.parent / "runs").exists()


@pytest.mark.parametrize(
    ("arguments", "name"),
    [
        ("a.ipynb", "a"),
        ("folder/a.ipynb -p dataset testbed", "a-testbed"),
        ("a.ipynb -pdataset testbed", "a-testbed"),
        ("-p dataset nf-ton-iot -p dataset testbed a.ipynb", "a-testbed"),
        ("-r dataset /far/away/home.csv.gz a.ipynb", "a-home"),
        ("-k python3 -f more.yaml -y {rows:1} -b e30= --cwd . --log-level INFO a.ipynb", "a"),
        ("--no-progress-bar --start_timeout 9 -- a.ipynb", "a"),
        ("a.ipynb b.ipynb", None),
        ("-p dataset testbed a.ipynb -k python3 b.ipynb", None),
        ("a.ipynb -", None),
        ("a.ipynb -p dataset", None),
        ("a.ipynb --help-notebook", None),
        ("a.ipynb --version", None),
        ("a.ipynb -h", None),
        ("-", None),
        ("", None),
    ],
)
def test_no_options_value_is_taken_for_a_path(arguments, name):
    output = notebooks._missing_output(arguments.split())
    assert (output.stem if output else None) == name


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("02_cnn_training.ipynb -p epoch 2", "found 'epoch': did you mean epochs?"),
        ("02_cnn_training.ipynb out.ipynb -r Dataset testbed", "found 'Dataset': did you mean dataset?"),
        ("02_cnn_training.ipynb -p zzz 2", "found 'zzz': choose from dataset, "),
        ("01_data_preparation.ipynb -p epochs 2 -p task binary", ""),  # of another notebook: one line for several
        ("no_such.ipynb", ""),
        ("-", ""),
        ("", ""),
        ("--no-such-option", ""),
    ],
)
def test_a_parameter_that_none_of_our_notebooks_has_is_refused(line, words, monkeypatch):
    monkeypatch.chdir(notebooks.NOTEBOOKS)
    fault = notebooks._unknown_name(line.split())
    assert words in fault and bool(words) == bool(fault)


def test_another_notebook_may_have_parameters_of_its_own(here, monkeypatch):
    monkeypatch.chdir(here)
    assert notebooks._unknown_name(["03_tiny.ipynb", "-p", "epoch", "2"]) == ""


def test_a_misspelled_parameter_ends_the_command_with_one_sentence():
    done = subprocess.run(
        [COMMAND, "02_cnn_training.ipynb", "-p", "epoch", "2"], capture_output=True, text=True, cwd=notebooks.NOTEBOOKS
    )
    assert done.returncode == 1 and not done.stdout
    assert done.stderr == "expected a parameter of the notebooks, found 'epoch': did you mean epochs?\n"


@pytest.mark.parametrize(("name", "value"), [("epochs", "0"), ("seed", "-1"), ("allow_subset", "maybe")])
def test_our_own_command_refuses_a_value_before_any_notebook_starts(name, value, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(notebooks, "execute", lambda *_: pytest.fail("a notebook was started"))
    assert notebooks.main(["-p", name, value, "--into", str(tmp_path), "01", "02"]) == 1
    assert capsys.readouterr().err.startswith(f"expected {name} to be ")
