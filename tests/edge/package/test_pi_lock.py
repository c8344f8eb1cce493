"""What pip may install on a Pi: everything that tlids-edge needs, each at one version, each with its digests."""

import json
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
from packaging.requirements import Requirement

REPOSITORY = Path(__file__).parents[3]
EDGE = REPOSITORY / "edge"
LOCK = EDGE / "requirements-pi.lock"


# in a process of its own: pip's modules set up logging and import what is deprecated
PARSE = """
import json, sys
from pip._internal.network.session import PipSession
from pip._internal.req import parse_requirements
from pip._internal.req.constructors import install_req_from_parsed_requirement as made
found = [made(one) for one in parse_requirements(sys.argv[1], session=PipSession())]
assert all(one.is_pinned and one.has_hash_options for one in found)
print(json.dumps({one.name: (next(iter(one.specifier)).version, one.hash_options["sha256"]) for one in found}))
"""


def parsed(lock: Path) -> subprocess.CompletedProcess:
    """What pip's own parser makes of a file of requirements."""
    return subprocess.run([sys.executable, "-c", PARSE, str(lock)], capture_output=True, text=True, timeout=100)


@pytest.fixture(scope="module")
def pins() -> dict[str, tuple[str, list[str]]]:
    """Name -> version and digests."""
    done = parsed(LOCK)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def test_a_line_without_a_digest_is_found(tmp_path):
    lines = LOCK.read_text().splitlines()
    (tmp_path / "lock").write_text("\n".join([*lines, "six==1.17.0"]))
    assert "AssertionError" in parsed(tmp_path / "lock").stderr


def test_every_pin_has_digests_and_nothing_else_is_in_the_file(pins):
    assert all(re.fullmatch("[0-9a-f]{64}", digest) for _, digests in pins.values() for digest in digests)
    assert all(digests for _, digests in pins.values())
    lines = [line for line in LOCK.read_text().splitlines() if not line.startswith("    --hash=sha256:")]
    assert [line.split("==")[0] for line in lines] == list(pins)


def test_what_the_package_asks_for_is_pinned_within_its_bounds(pins):
    project = tomllib.loads((EDGE / "pyproject.toml").read_text())
    asked = [*project["project"]["dependencies"], *project["project"]["optional-dependencies"]["mqtt"]]
    for text in (*asked, *project["build-system"]["requires"]):
        requirement = Requirement(text)
        assert requirement.specifier.contains(pins[requirement.name][0]), text


def test_versions_are_those_that_the_tests_run_with(pins):
    lock = dict(
        re.findall(r"(?m)^([\w.-]+)==(\S+)", (REPOSITORY / "requirements.lock").read_text().replace(" ;", "\n"))
    )
    several = {"numpy"}  # of Python 3.11 and of later ones
    for name in pins.keys() & lock.keys() - several:
        assert pins[name][0] == lock[name], name
    assert f"numpy=={pins['numpy'][0]} " in (REPOSITORY / "requirements.lock").read_text()


@pytest.mark.parametrize("page", ["edge/MANUAL.md", "docs/your-own-classes.md"])
def test_the_pages_install_with_digests_only(page):
    commands = re.findall(r"(?m)^ *(sudo .*pip install .*)$", (REPOSITORY / page).read_text())
    assert [command.split("pip install ")[1] for command in commands] == [
        "--require-hashes -r /opt/tlids/edge/requirements-pi.lock",
        "--no-deps --no-build-isolation /opt/tlids/edge",
    ]
