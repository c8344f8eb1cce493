"""The files a reader looks for at the top of a repository, against the project they speak of."""

import re
import tomllib
from pathlib import Path

import yaml

REPOSITORY = Path(__file__).resolve().parent.parent
PROJECT = tomllib.loads((REPOSITORY / "pyproject.toml").read_text())["project"]
CITATION = yaml.safe_load((REPOSITORY / "CITATION.cff").read_text())


def test_the_citation_has_what_cff_1_2_requires():
    assert CITATION["cff-version"] == "1.2.0"
    assert all(CITATION[key] for key in ("message", "title", "authors"))
    paper = CITATION["preferred-citation"]
    assert all(paper[key] for key in ("type", "title", "authors"))
    assert re.fullmatch(r"10\.\d{4,9}/\S+", paper["doi"])


def test_the_citation_names_the_projects_version_and_licence_and_the_readmes_paper():
    assert (str(CITATION["version"]), CITATION["license"]) == (PROJECT["version"], PROJECT["license"])
    readme = (REPOSITORY / "README.md").read_text()
    paper = CITATION["preferred-citation"]
    assert paper["doi"] in readme and str(paper["year"]) in readme
    assert all(person["family-names"] in readme for person in paper["authors"])
    assert paper["title"].casefold() in " ".join(readme.split()).casefold()


def test_the_changelog_keeps_to_its_form():
    lines = (REPOSITORY / "CHANGELOG.md").read_text().splitlines()
    assert lines[0] == "# Changelog"
    versions = [line for line in lines if line.startswith("## ")]
    assert versions[0] == "## [Unreleased]"
    assert all(re.fullmatch(r"## \[\d+\.\d+\.\d+\] - \d{4}-\d\d-\d\d", line) for line in versions[1:])
    kinds = {line for line in lines if line.startswith("### ")}
    assert kinds <= {f"### {kind}" for kind in ("Added", "Changed", "Deprecated", "Removed", "Fixed", "Security")}


def test_what_contributing_points_to_is_there():
    text = (REPOSITORY / "CONTRIBUTING.md").read_text()
    targets = (REPOSITORY / "Makefile").read_text()
    assert all(f"\n{name}:" in targets for name in re.findall(r"`?make ([a-z-]+)", text))
    links = re.findall(r"\]\(([^)#]+)\)", text) + re.findall(r"`((?:tlids_helpers|edge|tests)/[\w/.]*)`", text)
    assert links and all((REPOSITORY / link).exists() for link in links if not re.search(r"NAME|http", link))


def test_contributing_states_the_guards_own_limits():
    from guards.before_commit import LIMITS, MB

    text = " ".join((REPOSITORY / "CONTRIBUTING.md").read_text().split())
    said = re.search(r"over (\d) MB \(notebooks (\d) MB, the testbed's captures (\d) MB\)", text)
    limits = (LIMITS["*"], LIMITS["*.ipynb"], LIMITS["data/testbed/*.pcap.gz"])
    assert tuple(int(n) * MB for n in said.groups()) == limits
