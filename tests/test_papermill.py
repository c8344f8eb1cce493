"""The command `papermill` of this environment, in a terminal and in a pipe."""

import subprocess
import sys
from pathlib import Path

import nbformat
import pytest
from terminal import in_terminal

from tlids_helpers import notebooks
from tlids_helpers.common.errors import InputError

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


@pytest.fixture
def in_this_process(here, monkeypatch, capsys):
    """Arguments -> the exit status of the command as typed in a terminal, and what it says; without its start."""
    monkeypatch.chdir(here)
    monkeypatch.setenv("TLIDS_HOME", str(here.parent))
    monkeypatch.setattr(sys.modules["__main__"], "__package__", "")  # a script, whose name is in argv
    for piped in ("INPUT_PIPED", "OUTPUT_PIPED"):
        monkeypatch.setattr(notebooks.cli, piped, False)

    def ended(*arguments: str | Path) -> tuple[int, str]:
        monkeypatch.setattr(sys, "argv", [str(COMMAND), *map(str, arguments)])
        with pytest.raises(SystemExit) as exit:
            notebooks.papermill_command()
        return exit.value.code, "".join(capsys.readouterr())

    return ended


@pytest.mark.parametrize("arguments", [("--version",), ("--help",), (), ("-",), ("03_tiny.ipynb", "--no-such-option")])
def test_what_is_no_run_is_left_to_papermill(arguments, here, in_this_process):
    status, shown = in_this_process(*arguments)
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


@pytest.mark.parametrize(("typed", "meant"), [("epoch", "epochs"), ("Dataset", "dataset"), ("l2", "--help-notebook")])
@pytest.mark.parametrize("option", ["-p", "-r"])
def test_a_misspelled_parameter_of_our_notebooks_is_refused_before_anything_runs(
    typed, meant, option, tmp_path, in_this_process
):
    given = [notebooks.NOTEBOOKS / "04_results_comparison.ipynb", tmp_path / "out.ipynb", option, typed, "5"]
    status, said = in_this_process(*given)
    assert status == 2 and repr(typed) in said and meant in said
    assert not (tmp_path / "out.ipynb").exists()


def test_parameters_of_another_notebook_and_of_other_peoples_notebooks_are_left_to_papermill(here):
    ours = str(notebooks.NOTEBOOKS / "04_results_comparison.ipynb")
    notebooks._refuse_misspelled([ours, "-p", "seed", "1", "-p", "epochs", "3"])
    notebooks._refuse_misspelled([str(here / "03_tiny.ipynb"), "-p", "epoch", "5"])
    notebooks._refuse_misspelled(["-", "-p", "epoch", "5"])
    with pytest.raises(InputError, match="found 'epoch': did you mean epochs"):
        notebooks._refuse_misspelled([ours, "-p", "epoch", "5"])


@pytest.mark.parametrize(("name", "value"), [("epochs", "0"), ("seed", "-1"), ("allow_subset", "maybe")])
def test_our_own_command_refuses_a_value_before_any_notebook_starts(name, value, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(notebooks, "execute", lambda *_: pytest.fail("a notebook was started"))
    assert notebooks.main(["-p", name, value, "--into", str(tmp_path), "01", "02"]) == 1
    assert capsys.readouterr().err.startswith(f"expected {name} to be ")
