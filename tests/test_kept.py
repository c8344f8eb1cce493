"""What measuring commands leave in docs/results/: whole tables, and one part of edge.json without the others."""

import importlib
import json
import re

import numpy as np
import pytest

from tlids_helpers.common.files import REPOSITORY


@pytest.fixture
def bench(monkeypatch):
    """A script of tests/bench by its name."""
    monkeypatch.syspath_prepend(str(REPOSITORY / "tests" / "bench"))
    return importlib.import_module


@pytest.fixture
def kept(bench, monkeypatch, tmp_path):
    """The module, its results in a scratch folder."""
    module = bench("kept")
    monkeypatch.setattr(module, "RESULTS", tmp_path)
    return module


def test_a_table_is_kept_with_its_command_machine_and_day(kept, tmp_path):
    kept.keep("mqttset", "make mqttset", ("class", "recall"), [("benign", "1.000 ± 0.000")])
    found = json.loads((tmp_path / "mqttset.json").read_text())
    assert found["columns"] == ["class", "recall"] and found["rows"] == [["benign", "1.000 ± 0.000"]]
    assert found["command"] == "make mqttset" and re.fullmatch(r"\d{4}-\d\d-\d\d", found["date"])
    assert re.search(r", \d+ cores, Python 3\.", found["machine"])
    assert [path.name for path in tmp_path.iterdir()] == ["mqttset.json"]


def test_a_part_of_the_edge_programs_figures_leaves_the_others(kept, tmp_path):
    others = {"arm": {"command": "make test-arm", "figures": {"arm-differ": "0"}}}
    (tmp_path / "edge.json").write_text(json.dumps(others | {"fuzzing": {"figures": {"fuzz-flows": "1"}}}))
    kept.keep_edge("fuzzing", "make fuzz-edge", {"fuzz-flows": "12"})
    found = json.loads((tmp_path / "edge.json").read_text())
    assert found["arm"] == others["arm"]
    assert found["fuzzing"]["figures"] == {"fuzz-flows": "12"} and found["fuzzing"]["command"] == "make fuzz-edge"


def test_mqttsets_rows_have_the_flows_behind_each_recall(bench):
    recall = bench("mqttset_recall")
    matrices = [np.array([[3, 1], [0, 2]]), np.array([[4, 0], [1, 1]])]
    rows = recall.recalls(["benign", "flood"], np.array([0, 0, 0, 1]), matrices)
    assert rows == [("benign", "3", "4", "0.875 ± 0.177"), ("flood", "1", "2", "0.750 ± 0.354"),
                    ("all", "4", "6", "0.833 ± 0.000")]  # fmt: skip
    assert {len(row) for row in rows} == {len(recall.COLUMNS)}


def test_a_row_of_the_real_flows_has_a_cell_for_each_column(bench):
    real = bench("real_input")
    scores = {"accuracy": 0.98849, "macro_f1": 0.5, "f1": 0.25, "mcc": 0.125}
    row = real.cells("100 extra trees", "paper", scores, None, "v2 subset", None)
    assert row == ("100 extra trees", "paper", "0.9885", "0.5000", "0.2500", "0.1250", "-", "-", "v2 subset")
    assert len(row) == len(real.COLUMNS)
