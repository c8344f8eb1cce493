"""The notebooks as a reader and as papermill meet them."""

import os
import subprocess
import sys
from pathlib import Path

import nbformat
import numpy as np
import pandas as pd
import pytest
from terminal import in_terminal

from tlids_helpers.notebooks import NOTEBOOKS

ALL = sorted(NOTEBOOKS.glob("*.ipynb"))
PAPERMILL = Path(sys.executable).with_name("papermill")
SMALL = ["-p", "rows", "1500", "-p", "epochs", "2"]


def read(path: Path):
    return nbformat.read(path, as_version=4)


def papermill(notebook: str, output: Path, home: Path, *arguments: str) -> subprocess.CompletedProcess:
    """Run a notebook as the README says, from notebooks/, with data/ and runs/ under `home`."""
    command = [PAPERMILL, notebook, output, "--no-progress-bar", *arguments]
    environment = {**os.environ, "TLIDS_HOME": str(home)}
    return subprocess.run(command, cwd=NOTEBOOKS, env=environment, capture_output=True, text=True, timeout=600)


def outputs(path: Path) -> str:
    """All text a notebook's cells put out."""
    texts = []
    for cell in read(path).cells:
        for output in cell.get("outputs", []):
            texts.append(output.get("text", "") + output.get("data", {}).get("text/plain", ""))
    return "\n".join(texts)


def errors(path: Path) -> list:
    return [o for cell in read(path).cells for o in cell.get("outputs", []) if o["output_type"] == "error"]


@pytest.mark.parametrize("path", ALL, ids=lambda path: path.stem)
def test_each_code_cell_follows_a_sentence_and_has_at_most_15_lines(path):
    """But the parameters' cell, of which papermill knows one alone: 20."""
    before = None
    for cell in read(path).cells:
        if cell.cell_type == "code":
            assert before == "markdown", cell.source
            most = 20 if "parameters" in cell.metadata.get("tags", []) else 15
            assert cell.source.count("\n") < most, cell.source
        before = cell.cell_type


@pytest.mark.parametrize("path", ALL, ids=lambda path: path.stem)
def test_each_notebook_was_run_once_from_top_to_bottom_without_an_error(path):
    code = [cell for cell in read(path).cells if cell.cell_type == "code"]
    assert [cell.execution_count for cell in code] == list(range(1, len(code) + 1))
    assert not errors(path)


@pytest.mark.parametrize("path", ALL, ids=lambda path: path.stem)
def test_each_notebook_has_one_parameters_cell_of_literals(path):
    cells = [cell for cell in read(path).cells if "parameters" in cell.metadata.get("tags", [])]
    assert len(cells) == 1
    for line in cells[0].source.splitlines():
        compile(line, path.name, "exec")
        value = line.split("=", 1)[1].split("#")[0].strip()
        literal = eval(value, {"__builtins__": {}})
        each = literal if isinstance(literal, list) else [literal]
        assert each and all(isinstance(one, str | int | float | bool | None) for one in each)


def test_the_same_parameter_has_the_same_default_in_every_notebook():
    defaults: dict[str, set] = {}
    for path in ALL:
        cell = next(c for c in read(path).cells if "parameters" in c.metadata.get("tags", []))
        for line in cell.source.splitlines():
            name, value = line.split("#")[0].split("=")
            defaults.setdefault(name.strip(), set()).add(value.strip())
    differ = {name: values for name, values in defaults.items() if len(values) > 1}
    assert differ == {"dataset": {'"testbed"', '"second-home"'}}  # 03 transfers from one home to the other


def test_nbval_compares_most_cells():
    code = [cell for path in ALL for cell in read(path).cells if cell.cell_type == "code"]
    excused = [cell for cell in code if any(tag.startswith("nbval-") for tag in cell.metadata.get("tags", []))]
    assert len(excused) < len(code) / 2


def test_stored_outputs_name_no_folder_of_the_machine_that_made_them():
    for path in ALL:
        text = path.read_text()
        assert str(Path.home()) + "/" not in text
        assert "/tmp/" not in text
        assert str(NOTEBOOKS.parent) not in text


@pytest.fixture(scope="module")
def home(tmp_path_factory) -> Path:
    """data/ and runs/ shared by the runs below."""
    return tmp_path_factory.mktemp("home")


@pytest.fixture(scope="module")
def own_csv(home) -> Path:
    """A user's own flows: benign requests, and a scan of one SYN a port."""
    rng = np.random.default_rng(0)
    benign, scan = 2000, 600
    size = benign + scan
    attack = np.arange(size) >= benign
    frame = pd.DataFrame(
        {
            "L4_SRC_PORT": rng.integers(32768, 61000, size),
            "L4_DST_PORT": np.where(attack, rng.integers(1, 65536, size), rng.choice([53, 80, 443], size)),
            "PROTOCOL": 6,
            "TCP_FLAGS": np.where(attack, 2, 27),
            "L7_PROTO": np.where(attack, 0.0, 91.126),
            "IN_BYTES": np.where(attack, 44, rng.integers(300, 5000, size)),
            "OUT_BYTES": np.where(attack, 0, rng.integers(300, 50000, size)),
            "IN_PKTS": np.where(attack, 1, rng.integers(4, 30, size)),
            "OUT_PKTS": np.where(attack, 0, rng.integers(4, 60, size)),
            "Attack": np.where(attack, "port scan", "Benign"),
        }
    )
    frame.to_csv(home / "my home.csv", index=False)
    return home / "my home.csv"


def test_the_readmes_papermill_line_works_on_a_stand_in(home):
    """In a terminal, and without an output path."""
    line = ("03_transfer.ipynb", "-p", "dataset", "nf-ton-iot", *SMALL)
    status, shown = in_terminal(NOTEBOOKS, PAPERMILL, *line, TLIDS_HOME=str(home))
    assert status == 0, shown[-2000:]
    assert "runs/03_transfer-nf-ton-iot.ipynb" in shown
    text = outputs(home / "runs" / "03_transfer-nf-ton-iot.ipynb")
    assert "simulated" in text
    assert "missing, so training comes first" in text
    assert len(list((home / "runs").glob("*/result.json"))) == 5  # two sources, scratch, two transfers


def test_a_users_own_csv_goes_through_the_first_four_notebooks(home, own_csv):
    for number in ("01_data_preparation", "02_cnn_training", "03_transfer"):
        output = home / f"own-{number}.ipynb"
        arguments = ["-p", "dataset", str(own_csv), "-p", "task", "binary", "-p", "protocol", "paper", *SMALL]
        done = papermill(f"{number}.ipynb", output, home, *arguments)
        assert done.returncode == 0, done.stderr[-2000:]
    output = home / "own-04.ipynb"
    done = papermill("04_results_comparison.ipynb", output, home)
    assert done.returncode == 0, done.stderr[-2000:]
    assert own_csv.stem in outputs(output)


def test_a_cicflowmeter_dataset_is_prepared_with_importances_and_trained_on_selected_features(home):
    arguments = ["-p", "dataset", "iot-network-intrusion", *SMALL]
    output = home / "cic-01.ipynb"
    assert papermill("01_data_preparation.ipynb", output, home, *arguments).returncode == 0
    assert "in_paper" in outputs(output)
    output = home / "cic-02.ipynb"
    done = papermill("02_cnn_training.ipynb", output, home, *arguments, "-p", "features", "selected")
    assert done.returncode == 0, done.stderr[-2000:]


def test_bad_input_shows_one_sentence_and_no_traceback_in_the_notebook(home):
    output = home / "bad.ipynb"
    done = papermill("01_data_preparation.ipynb", output, home, "-p", "dataset", "nf-tonn-iot")
    assert done.returncode != 0
    (error,) = errors(output)
    assert error["ename"] == "InputError"
    assert error["traceback"] == [f"InputError: {error['evalue']}"]
    assert "nf-ton-iot" in error["evalue"]
