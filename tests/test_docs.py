"""Every figure in the texts comes from a committed result file."""

import importlib
import json
import re
from pathlib import Path
from xml.etree import ElementTree

import pytest

REPOSITORY = Path(__file__).resolve().parent.parent


@pytest.fixture
def made(monkeypatch):
    """The script behind `make docs`; its neighbours are imported by name, as when it is run."""
    monkeypatch.syspath_prepend(str(REPOSITORY / "tests" / "bench"))
    return importlib.import_module("docs_pages")


def read(name: str) -> str:
    return (REPOSITORY / name).read_text()


def test_every_page_is_what_its_results_give(made):
    stale = [name for name, text in made.pages().items() if read(name) != text]
    assert stale == [], "run `make docs`"


def test_a_changed_result_changes_the_page(made):
    results = made.docs_figures.read()
    before = made.docs_figures.figures(results)
    for run in results["adapt"]["homes"]["four devices"]:
        run["before"]["alarms"] += 1
    after = made.docs_figures.figures(results)
    assert {name for name in before if before[name] != after[name]} == {"home-before"}
    text = read("README.md")
    assert made.filled(text, after) != text


def test_a_name_that_no_result_gives_stops_the_build(made):
    with pytest.raises(KeyError, match="no-such-figure"):
        made.filled("<!-- = no-such-figure -->12<!-- . -->", {})


def test_the_readmes_findings_are_those_counted_from_the_files():
    text = re.sub(r"<!--.*?-->", "", read("README.md"))
    homes = json.loads(read("docs/results/adapt.json"))["homes"]["four devices"]
    alarms = [run["before"]["alarms"] for run in homes if "before" in run]
    assert f"{min(alarms):,}" in text
    cells = json.loads(read("docs/results/transfer.json"))["cells"]
    cells = [cell for cell in cells if cell["share"] == 0.01 and cell["task"] == "multiclass"]
    scratch = {cell["target"]: cell["macro_f1"] for cell in cells if cell["protocol"] == "scratch"}
    inside = [cell for cell in cells if (cell["protocol"], cell["frozen"]) == ("paper", "blocks")]
    wins = sum(a > b for cell in inside for a, b in zip(cell["macro_f1"], scratch[cell["target"]], strict=True))
    assert f"in {wins} of {sum(len(cell['macro_f1']) for cell in inside)} runs" in text


def test_every_promise_was_kept_as_the_page_says():
    homes = json.loads(read("docs/results/adapt.json"))["homes"]
    runs = [run for home in homes.values() for run in home if "after" in run]
    assert len(runs) >= 30
    assert all(run["after"]["alarms"] <= run["promise"]["bound"] * run["after"]["flows"] for run in runs)
    assert "It was kept on every recording" in " ".join(read("edge/README.md").split())


def test_the_readme_has_at_most_900_words():
    assert len(re.sub(r"<!--.*?-->", "", read("README.md")).split()) <= 900


PAGES = ["README.md", "CONTRIBUTING.md", *sorted(
    str(path.relative_to(REPOSITORY)) for folder in ("edge", "docs") for path in (REPOSITORY / folder).glob("*.md")
)]  # fmt: skip


@pytest.mark.parametrize("page", PAGES)
def test_every_local_link_leads_to_a_file(page):
    text = re.sub(r"```.*?```", "", read(page), flags=re.DOTALL)
    found = re.findall(r"\]\(([^)#\s]+)|(?:src|srcset)=\"([^\"]+)", text)
    links = [link for pair in found for link in pair if link and not re.match(r"\w+:", link)]
    assert [link for link in links if not ((REPOSITORY / page).parent / link).exists()] == []


@pytest.mark.parametrize("page", PAGES)
def test_every_picture_has_a_text_that_says_what_it_shows(page):
    alternatives = [
        match[1] or match[2] or "" for match in re.finditer(r"!\[([^\]]*)\]|<img[^>]* alt=\"([^\"]*)", read(page))
    ]
    assert len(alternatives) == len(re.findall(r"!\[|<img", read(page)))
    assert [text for text in alternatives if len(text.split()) < 8] == []


@pytest.mark.parametrize("name", ["overview", "overview-narrow"])
def test_the_picture_has_an_alternative_text_and_the_five_steps_in_order(name):
    picture = ElementTree.fromstring(read(f"docs/pictures/{name}.svg"))
    space = "{http://www.w3.org/2000/svg}"
    titles = [text.text for text in picture.iter(f"{space}text") if text.get("class") == "t"]
    assert titles == ["Home", "Flows", "CNN", "Incident", "Learned"]
    assert picture.find(f"{space}title").text and picture.find(f"{space}desc").text


def test_the_version_is_said_once_and_repeated_everywhere(made):
    (version,) = re.findall(r'(?m)^version = "(.*)"$', read("edge/pyproject.toml"))
    assert f'version = "{version}"' in read("pyproject.toml") and f"version: {version}\n" in read("CITATION.cff")
    assert read("edge/package/changelog").startswith(f"tlids-edge ({version}) ")
    (day,) = re.findall(rf"(?m)^## \[{re.escape(version)}\] - (\d{{4}}-\d\d-\d\d)$", read("CHANGELOG.md"))
    assert f"date-released: {day}\n" in read("CITATION.cff")


def test_the_devcontainer_sets_up_what_make_sets_up():
    container = json.loads(read(".devcontainer/devcontainer.json"))
    assert container["postCreateCommand"] == "make install"
    assert container["image"].rpartition(":")[2] in ("3.11", "3.12", "3.13")
