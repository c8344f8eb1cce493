"""One environment, said three times: pyproject.toml (ranges and reasons), requirements.lock, environment.yml."""

import re
import tomllib
from importlib.metadata import version
from pathlib import Path

import pytest
import yaml
from packaging.markers import default_environment
from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet
from packaging.utils import canonicalize_name

REPOSITORY = Path(__file__).resolve().parent.parent
PROJECT = tomllib.loads((REPOSITORY / "pyproject.toml").read_text())["project"]
EDGE = tomllib.loads((REPOSITORY / "edge" / "pyproject.toml").read_text())["project"]
EXTRAS = [text for group in PROJECT["optional-dependencies"].values() for text in group]
DIRECT = [Requirement(text) for text in (*PROJECT["dependencies"], *EXTRAS)]
LOCK_LINES = [
    line.strip()
    for line in (REPOSITORY / "requirements.lock").read_text().splitlines()
    if line.strip() and not line.lstrip().startswith("#")
]
ENVIRONMENT = (REPOSITORY / "environment.yml").read_text()
SYSTEMS = {
    "64-bit x86 Linux": {"sys_platform": "linux", "platform_machine": "x86_64"},
    "64-bit Arm Linux": {"sys_platform": "linux", "platform_machine": "aarch64"},
    "an Arm Mac": {"sys_platform": "darwin", "platform_machine": "arm64"},
}
PYTHONS = ("3.11", "3.12", "3.13")


def machine(system: str, python: str) -> dict[str, str]:
    """The markers' environment on another machine."""
    full = {"python_version": python, "python_full_version": f"{python}.5", "implementation_name": "cpython"}
    return {**default_environment(), **SYSTEMS[system], **full}


def chosen(requirements, where: dict[str, str]) -> dict[str, SpecifierSet]:
    """name -> version asked for, of those whose marker holds; fails when a name is asked for twice."""
    found = {}
    for requirement in requirements:
        if requirement.marker is None or requirement.marker.evaluate(where):
            name = canonicalize_name(requirement.name)
            assert name not in found, f"{name} is asked for twice on {where['sys_platform']}"
            found[name] = requirement.specifier
    return found


def pinned(specifier: SpecifierSet) -> str:
    (only,) = specifier
    assert only.operator == "==" and "*" not in only.version, f"{specifier} is no pin"
    return only.version


def conda() -> dict:
    return yaml.safe_load(ENVIRONMENT)


def conda_pip_lines() -> list[str]:
    (section,) = [entry["pip"] for entry in conda()["dependencies"] if isinstance(entry, dict)]
    return section


LOCK = [Requirement(line) for line in LOCK_LINES]
CONDA = [Requirement(line) for line in conda_pip_lines() if not line.startswith("-")]
MACHINES = pytest.mark.parametrize("where", [machine(s, p) for s in SYSTEMS for p in PYTHONS], ids=lambda w: "-".join(
    (w["sys_platform"], w["platform_machine"], w["python_version"])
))  # fmt: skip


def test_the_lock_holds_pins_alone_no_address_no_path_no_option():
    for line, requirement in zip(LOCK_LINES, LOCK, strict=True):
        assert requirement.url is None and "://" not in line and not line.startswith(("-", ".", "/")), line
        pinned(requirement.specifier)


def test_the_environment_names_no_registry():
    text = (REPOSITORY / "requirements.lock").read_text() + ENVIRONMENT
    assert not re.search(r"https?:|://|index-url|find-links|trusted-host", text)
    assert conda()["channels"] == ["conda-forge"]


@MACHINES
def test_every_direct_dependency_is_locked_within_its_range(where):
    locked = chosen(LOCK, where)
    for name, wanted in chosen(DIRECT, where).items():
        assert name in locked, f"{name} is not in requirements.lock: run make lock"
        assert wanted.contains(pinned(locked[name])), f"{name}{wanted} but the lock has {locked[name]}: run make lock"


@MACHINES
def test_conda_gets_every_direct_dependency_in_the_locks_version(where):
    locked, found = chosen(LOCK, where), chosen(CONDA, where)
    assert set(found) == set(chosen(DIRECT, where))
    assert {name: pinned(spec) for name, spec in found.items()} == {name: pinned(locked[name]) for name in found}


@MACHINES
def test_tensorflow_comes_once_and_small_where_there_is_a_small_one(where):
    small = (where["sys_platform"], where["platform_machine"]) == ("linux", "x86_64")
    for source in (DIRECT, LOCK, CONDA):
        names = {name for name in chosen(source, where) if name in ("tensorflow", "tensorflow-cpu")}
        assert names == {"tensorflow-cpu" if small else "tensorflow"}


@MACHINES
def test_the_edge_package_finds_all_it_needs_in_the_lock(where):
    locked = chosen(LOCK, where)
    extras = [text for group in EDGE["optional-dependencies"].values() for text in group]
    for name, wanted in chosen(map(Requirement, EDGE["dependencies"] + extras), where).items():
        assert wanted.contains(pinned(locked[name])), name


def test_the_three_ask_for_the_same_pythons():
    (python,) = [entry for entry in conda()["dependencies"] if str(entry).startswith("python")]
    ranges = {SpecifierSet(text) for text in (PROJECT["requires-python"], EDGE["requires-python"])}
    assert ranges == {SpecifierSet(">=3.11,<3.14")}
    assert python.removeprefix("python=") in PYTHONS and SpecifierSet(">=3.11,<3.14").contains(python[7:])


def test_binders_repo2docker_finds_the_version_of_python():
    """Its buildpack matches this pattern; without a match it starts from Python 3.10, which is too old here."""
    (python,) = [entry for entry in conda()["dependencies"] if str(entry).startswith("python")]
    assert re.match(r"python\s*=+\s*([\d.]*)", python)[1] in PYTHONS


def test_conda_takes_everything_beneath_from_the_lock_and_installs_both_packages():
    assert conda()["name"] == "tlids"
    assert "pip" in conda()["dependencies"]
    assert [line for line in conda_pip_lines() if line.startswith("-")] == [
        "-c requirements.lock", "-e .", "-e ./edge",
    ]  # fmt: skip


def test_the_first_lines_of_environment_yml_give_the_two_commands():
    head = ENVIRONMENT.split("name:")[0]
    assert re.findall(r"conda (\w+)", "\n".join(line for line in head.splitlines() if line.startswith("#     "))) == [
        "env", "activate",
    ]  # fmt: skip


@pytest.mark.parametrize("file", ["pyproject.toml", "environment.yml", "edge/pyproject.toml"])
def test_every_dependency_line_says_why_it_is_there(file):
    names = {canonicalize_name(requirement.name) for requirement in DIRECT}
    lines, seen = (REPOSITORY / file).read_text().splitlines(), set()
    for number, line in enumerate(lines):
        found = re.match(r'[\s-]*(?:\w+ = \[)?"?([A-Za-z][\w.-]*)[=><~!]', line)
        if found and canonicalize_name(found[1]) in names:
            seen.add(canonicalize_name(found[1]))
            above = "tensorflow" in found[1] and any(
                re.match(r"\s+# .{5}", near) for near in lines[number - 2 : number]
            )
            assert above or re.search(r"\S\s+# .{5}", line), f"{file} gives no reason for {line.strip()}"
    assert seen == names or file.startswith("edge") and {"numpy", "ai-edge-litert"} <= seen


def test_what_runs_these_tests_is_what_the_lock_says():
    here = {requirement.name: pinned(requirement.specifier) for requirement in LOCK if requirement.marker.evaluate()}
    assert {name: version(name) for name in here} == here


def test_ci_runs_make_test_and_stops_at_the_first_failure():
    lines = (REPOSITORY / ".ci" / "run").read_text().splitlines()
    assert "make test" in [line.strip() for line in lines]
    assert any(line.startswith("set -e") for line in lines)
    assert (REPOSITORY / ".ci" / "run").stat().st_mode & 0o111, "not executable: chmod +x .ci/run"


def test_make_installs_the_lock_and_nothing_unpinned():
    recipe = [line for line in (REPOSITORY / "Makefile").read_text().splitlines() if "pip install" in line]
    tools = [line for line in recipe if "build/zig" in line]  # a compiler for the wheels, in an environment of its own
    assert all(re.search(r"pip install [-\w ]*( [\w-]+==[\d.]+)+(;| &&)", line) for line in tools)
    recipe = [line for line in recipe if line not in tools]
    assert len(recipe) == 2
    assert "-r requirements.lock" in recipe[0]
    assert "--no-deps" in recipe[1] and "-e . -e ./edge" in recipe[1]
