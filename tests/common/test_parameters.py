"""The table of the notebooks' parameters against the notebooks, and against the modules whose words it repeats."""

import ast
import re
from pathlib import Path

import nbformat
import pytest
from tlids_edge.flows import meter

from tlids_helpers import experiment
from tlids_helpers.common.errors import InputError
from tlids_helpers.common.parameters import PARAMETERS, SEEDS, brought, checked
from tlids_helpers.data import prepare, source, split
from tlids_helpers.export import convert
from tlids_helpers.grid import plan
from tlids_helpers.network.recipe import RECIPES
from tlids_helpers.notebooks import NOTEBOOKS

ALL = sorted(NOTEBOOKS.glob("*.ipynb"))
TEXTS = [NOTEBOOKS.parent / "README.md", *sorted((NOTEBOOKS.parent / "docs").glob("*.md"))]


def code(path: Path) -> list:
    return [cell for cell in nbformat.read(path, as_version=4).cells if cell.cell_type == "code"]


def defaults(path: Path) -> dict[str, object]:
    """The parameters of a notebook, name -> default."""
    (cell,) = [cell for cell in code(path) if "parameters" in cell.metadata.get("tags", [])]
    return {node.targets[0].id: ast.literal_eval(node.value) for node in ast.parse(cell.source).body}


@pytest.mark.parametrize("path", ALL, ids=lambda path: path.stem)
def test_the_cell_after_the_parameters_checks_each_of_them(path):
    parameters, check = code(path)[:2]
    assert "parameters" in parameters.metadata["tags"]
    (call,) = [
        node
        for node in ast.walk(ast.parse(check.source))
        if isinstance(node, ast.Call) and ast.unparse(node.func) == "checked"
    ]
    assert not call.args and all(ast.unparse(word.value) == word.arg for word in call.keywords)
    assert [word.arg for word in call.keywords] == list(defaults(path))
    assert "globals().update(checked(" in check.source


@pytest.mark.parametrize("path", ALL, ids=lambda path: path.stem)
def test_the_defaults_are_what_the_check_gives(path):
    given = defaults(path)
    assert [(type(value), value) for value in checked(**given).values()] == [(type(v), v) for v in given.values()]


@pytest.mark.parametrize("path", ALL, ids=lambda path: path.stem)
def test_what_may_be_lacking_reaches_every_cell_that_reads_rows(path):
    sources = [cell.source for cell in code(path)]
    if "allow_subset" in defaults(path):
        assert "allowed = Allowed(subset=allow_subset, loss=allow_loss)" in sources[1]
        assert not [source for source in sources[2:] if "allow_subset" in source or "allow_loss" in source]


def test_the_table_has_no_parameter_that_no_notebook_has():
    assert set(PARAMETERS) == {name for path in ALL for name in defaults(path)}


def test_a_parameter_has_one_comment_in_all_notebooks():
    comments: dict[str, set] = {}
    for path in ALL:
        for line in code(path)[0].source.splitlines():
            name, comment = re.fullmatch(r"(\w+) = .*?  # (.+)", line).groups()
            comments.setdefault(name, set()).add(comment)
    assert {name: found for name, found in comments.items() if len(found) > 1} == {}


def test_the_words_are_those_of_the_modules_that_use_them():
    words = {name: kind.words for name, kind in PARAMETERS.items()}
    assert words["task"] == plan.TASKS
    assert words["split"] == split.SPLITS == prepare.SPLITS
    assert words["protocol"] == (*source.PROTOCOLS, "both")
    assert words["trained"] == experiment.TRAINED
    assert words["recipe"] == tuple(RECIPES)
    assert words["precision"] == convert.PRECISIONS
    assert words["dialect"] == meter.DIALECTS


def test_the_audit_can_count_on_from_the_highest_seed():
    assert SEEDS + brought("seeds", 1_000) < 2**32


def test_a_table_explains_every_parameter_that_several_notebooks_have():
    rows = [line for text in TEXTS for line in text.read_text().splitlines() if line.startswith("| `")]
    named = {name for row in rows for name in re.findall(r"`(\w+)`", row.split("|")[1])}
    several = {name for name in PARAMETERS if sum(name in defaults(path) for path in ALL) > 1}
    assert several <= named
    assert {"show_simulated", "allow_loss", "protocol"} <= named


def test_a_name_that_no_notebook_has_is_refused():
    with pytest.raises(InputError, match="expected one of the parameters dataset, .*, found 'epoch'"):
        checked(epoch=3)
