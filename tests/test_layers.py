"""What may import what, read from the source: layers, no circles, no import inside a function, few arguments."""

import ast
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).resolve().parent.parent
FILES = {
    ".".join(file.relative_to(folder).with_suffix("").parts).removesuffix(".__init__"): file
    for folder in (REPOSITORY, REPOSITORY / "edge")
    for file in sorted(folder.glob("tlids_*/**/*.py"))
}
TREES = {name: ast.parse(file.read_text()) for name, file in FILES.items()}
FLOOR = {"common": 0, "data": 1, "network": 1, "results": 2, "experiment": 3, "export": 4}  # all others: 5
ROOMS_THAT_SHARE = {("grid", "notebooks")}  # the grid runs notebooks
SLOW = {"tensorflow", "keras", "jax"}
OPTIONAL = {"paho", "pyshark"}  # extras of tlids_edge, which the Pi may lack
LAZY = {"tlids_helpers.network.": SLOW, "tlids_helpers.export.": SLOW, "tlids_helpers.audit.explain": SLOW,
        "tlids_edge.": OPTIONAL, "tlids_edge.alerts.broker": {"ssl"}, "tlids_edge.learn.state": {"hmac"}}  # fmt: skip
NO_KERAS = ("data", "results", "common", "grid")
NOT_ON_THE_PI = {"tlids_helpers", "tensorflow", "keras", "pandas", "pyarrow", "sklearn", "matplotlib"}


def imported(module: str, tree: ast.AST) -> set[str]:
    """Modules that `tree` imports, by their whole names; `from a import b` means a.b where that is a module."""
    found = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert not node.level, f"{module} imports by a relative name"
            whole = {alias.name: f"{node.module}.{alias.name}" for alias in node.names}
            found |= {name if name in FILES else node.module for name in whole.values()}
    return found


IMPORTS = {module: imported(module, tree) for module, tree in TREES.items()}
OURS = [module for module in FILES if module.startswith("tlids_helpers.")]


def reached(module: str) -> set[str]:
    """All modules of ours that importing `module` loads, by way of others too, and what these import."""
    seen, waiting = set(), [module]
    while waiting:
        for name in IMPORTS.get(waiting.pop(), ()):
            if name not in seen:
                seen.add(name)
                waiting.append(name)
    return seen


def room(module: str) -> str:
    return module.split(".")[1]


def functions(module: str) -> list[ast.FunctionDef]:
    return [node for node in ast.walk(TREES[module]) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)]


@pytest.mark.parametrize("module", OURS)
def test_a_module_imports_from_its_own_room_and_from_lower_layers(module):
    for name in IMPORTS[module]:
        if name.startswith("tlids_helpers.") and room(name) != room(module):
            lower = FLOOR.get(room(name), 5) < FLOOR.get(room(module), 5)
            assert lower or (room(module), room(name)) in ROOMS_THAT_SHARE, f"{module} imports {name}"


@pytest.mark.parametrize("module", FILES)
def test_no_module_reaches_itself(module):
    assert module not in reached(module)


@pytest.mark.parametrize("module", [module for module in OURS if room(module) in NO_KERAS])
def test_data_results_common_and_grid_load_no_keras(module):
    assert not {name.split(".")[0] for name in reached(module)} & {"tensorflow", "keras"}


@pytest.mark.parametrize("module", [module for module in FILES if module.startswith("tlids_edge")])
def test_the_edge_package_imports_nothing_that_the_pi_lacks(module):
    assert not {name.split(".")[0] for name in IMPORTS[module]} & NOT_ON_THE_PI


@pytest.mark.parametrize("module", FILES)
def test_no_function_imports_anything_but_what_is_slow_or_optional(module):
    allowed = set().union(*(names for start, names in LAZY.items() if module.startswith(start)))
    for function in functions(module):
        found = {name.split(".")[0] for name in imported(module, function)}
        assert found <= allowed, f"{module}.{function.name} imports {', '.join(found)}"


@pytest.mark.parametrize("module", FILES)
def test_no_public_function_takes_more_than_six_arguments(module):
    for function in functions(module):
        given = function.args
        names = [each.arg for each in (*given.posonlyargs, *given.args, *given.kwonlyargs) if each.arg != "self"]
        assert function.name.startswith("_") or len(names) <= 6, f"{module}.{function.name} takes {', '.join(names)}"


def test_the_top_of_the_package_has_at_most_twelve_rooms():
    rooms = [path for path in (REPOSITORY / "tlids_helpers").iterdir() if path.name != "__pycache__"]
    assert len(rooms) <= 12, sorted(path.name for path in rooms)
