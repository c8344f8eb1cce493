"""A figure in a text is written by `make docs` from a result file, or its source is named in figures.toml."""

import importlib
import json
import re
import tomllib
from dataclasses import asdict
from pathlib import Path

import pytest
from markdown_it import MarkdownIt
from tlids_edge.learn.profiles import LIMITS
from tlids_edge.learn.rates import RULE

from tlids_helpers.data.catalog import DATASETS

REPOSITORY = Path(__file__).resolve().parent.parent
LISTED = tomllib.loads((REPOSITORY / "tests" / "figures.toml").read_text())
MADE = {"docs/audit-tables.md", "docs/transfer.md", "docs/benchmarks.md"}
"""Pages that are rendered whole from their results: here, test_docs.py and test_transfer_tables.py compare them."""
PAGES = sorted(
    {str(path.relative_to(REPOSITORY)) for pattern in ("*.md", "docs/*.md", "edge/**/*.md", "data/*.md", "runs/*.md",
                                                       "notebooks/*.ipynb") for path in REPOSITORY.glob(pattern)} - MADE
)  # fmt: skip
FIGURE = re.compile(r"(?<![\w./:,-])(?:\d{1,3}(?:,\d{3})+|\d+(?:\.\d+)? ?%|\d+\.\d+(?!\w|\.\d)"
                    r"|\d+ (?:[kM]B|MiB|GB|times|[mµ]s)\b)")  # fmt: skip
COUNTED = (
    "flow|row|packet|frame|alarm|attack|episode|incident|test|check|seed|device|host|verdict|network|home|run|capture"
    "|line|cell|window|judgement|address|port|source|claimant|class|feature|tree|epoch|update"
)
BETWEEN = r"(?:(?!(?:in|of|on|at|to|for|a|the|and|or|is|are|as|every)\b)[\w-]+\s+){0,2}"
COUNT = re.compile(
    rf"(?<![\w./:,-])(?:0|[1-9]\d{{0,2}})(?: of [1-9]\d{{0,2}}\b(?![,.]\d)|\s+{BETWEEN}(?:{COUNTED})(?:s|es)?\b)"
)
"""A whole number below 1,000 before what it counts, with two words between at most; or one "of" another."""
CELL = re.compile(r"(?m)(?<=\| )(?:0|[1-9]\d{0,2})(?: (?:of|to) \d{1,3})?(?= \|)")
"""A table's cell that is such a number."""
VERSION = re.compile(r"(?:Sec(?:tions?|s)?\.?|Python|nDPI|CC BY|MicroPython|NumPy|Debian|version|release) "
                     r"\d+\.\d+(?:(?:, | to | and | or |-)\d+\.\d+)*"
                     r"|each of 3\.11, 3\.12 and 3\.13|(?:Section|Table|step) \d+\b")  # fmt: skip
NO_TEXT = re.compile(r"```.*?```|`[^`]*`|\]\([^)]*\)|https?://\S+|doi:\S+", re.DOTALL)
TABLE = re.compile(r"<!-- make ([\w-]+): begin -->\n(.*?)\n<!-- make \1: end -->", re.DOTALL)
"""A table that the named target makes: here and in test_docs.py compared with its results."""
ELSEWHERE = ("paper", "publisher", "advice", "example", "definition")


@pytest.fixture
def bench(monkeypatch):
    """A script of tests/bench by its name; its neighbours are imported by name, as when it is run."""
    monkeypatch.syspath_prepend(str(REPOSITORY / "tests" / "bench"))
    return importlib.import_module


def read(name: str) -> str:
    """A page's text; of a notebook that of its Markdown cells."""
    text = (REPOSITORY / name).read_text()
    if not name.endswith(".ipynb"):
        return text
    cells = json.loads(text)["cells"]
    return "\n\n".join("".join(cell["source"]) for cell in cells if cell["cell_type"] == "markdown")


@pytest.fixture
def text(name, bench):
    """`read`, less what test_transfer_tables.py compares."""
    return read(name).replace(bench("transfer_finding").finding(results("transfer")), "")


def results(name: str) -> dict:
    """What docs/results/<name>.json holds."""
    return json.loads((REPOSITORY / "docs" / "results" / f"{name}.json").read_text())


def figures(text: str) -> set[str]:
    """The figures that stand outside marks, code, links, section numbers and versions; a count with what it counts."""
    marks = r"(<!-- = \S+ -->).*?<!-- \. -->"
    text = re.sub(marks, "", TABLE.sub("", text), flags=re.DOTALL)
    text = VERSION.sub("", NO_TEXT.sub("", text))
    return {" ".join(found.split()) for kind in (FIGURE, COUNT, CELL) for found in kind.findall(text)}


@pytest.mark.parametrize("name", PAGES)
def test_each_figure_of_a_page_is_rendered_or_its_source_is_listed(name, text):
    listed = set(LISTED.get(name, {}))
    found = figures(text)
    assert found - listed == set(), "nobody can trace these: let `make docs` write them, or name their source"
    assert listed - found == set(), "listed, but no longer on the page"


@pytest.mark.parametrize(("name", "figure"), [(name, figure) for name in LISTED for figure in LISTED[name]])
def test_a_listed_source_says_what_the_list_says(name, figure):
    where, _, words = LISTED[name][figure].partition(": ")
    if where not in ELSEWHERE:
        assert words in (REPOSITORY / where).read_text()


def test_a_figure_without_a_source_is_found_wherever_it_stands():
    text = (
        "Of 1,234 rows, 5.6 % in 7 MB; `8.9`, [a](b-1.2), Section 3.4, <!-- = x -->0.5<!-- . -->.\n```\n4.5\n```\n0.75."
    )
    assert figures(text) == {"1,234", "5.6 %", "7 MB", "0.75"}


def test_a_small_count_without_a_source_is_found_and_other_numbers_are_not():
    text = (
        "It finds 19 of 46 in 3 new\nhomes with 12 false alarms; port 80 is open for 24 hours, `5 flows`, "
        "<!-- = x -->7<!-- . --> flows, on step 4 rows count, Section 5 runs.\n\n| a | 17 | 2 to 31 | x 9 |\n"
    )
    assert figures(text) == {"19 of 46", "3 new homes", "12 false alarms", "17", "2 to 31"}


@pytest.mark.parametrize("name", PAGES)
def test_a_figure_changed_by_hand_is_found(name, text):
    bare = NO_TEXT.sub("", re.sub(r"<!-- = .*?<!-- \. -->", "", TABLE.sub("", text), flags=re.DOTALL))
    for figure in LISTED.get(name, {}):
        number = re.search(r"\d+", figure)[0]
        changed = re.sub(rf"(?<![\w./:,-]){re.escape(figure)}".replace(r"\ ", r"\s+"),
                         lambda found, one=number: found[0].replace(one, "993", 1), bare)  # fmt: skip
        assert changed != bare and figures(changed) - set(LISTED[name]) != set(), figure


def test_the_table_of_datasets_has_the_rows_and_classes_of_the_catalog():
    found = re.findall(r"(?m)^\| `([\w-]+)` \| [^|]+\| ([\d,]+) \| (\d+) \|", read("data/README.md"))
    assert len(found) == 9
    for slug, rows, classes in found:
        entry = DATASETS[slug]
        assert (f"{entry.total:,}", str(len(entry.classes))) == (rows, classes), slug


def test_the_page_of_tests_counts_the_cells_that_are_not_compared():
    cells = [cell for path in REPOSITORY.glob("notebooks/*.ipynb") for cell in json.loads(path.read_text())["cells"]]
    code = [cell["metadata"].get("tags", []) for cell in cells if cell["cell_type"] == "code"]
    ignored = sum("nbval-ignore-output" in tags for tags in code)
    assert f"{ignored} of {len(code)} code cells" in " ".join(read("docs/tests.md").split())


def test_the_benchmarks_page_is_what_its_results_give(bench):
    measured = json.loads((REPOSITORY / "docs" / "benchmarks.json").read_text())
    assert bench("page").page(measured) == (REPOSITORY / "docs" / "benchmarks.md").read_text()


@pytest.mark.parametrize(
    ("target", "made"),
    [
        ("adapt-homes", lambda bench: bench("adapt_homes").tables(results("adapt"))),
        ("choose-recipe", lambda bench: bench("choose_recipe").tables(results("adapt-choice"))),
    ],
)
def test_a_table_of_learned_homes_is_what_its_results_give(target, made, bench):
    assert dict(TABLE.findall(read("edge/MEASURED.md")))[target] == "\n".join(made(bench))


def test_the_limits_in_use_are_those_in_the_results():
    chosen = results("adapt-choice")
    for key, used in ("rates", asdict(RULE)), ("profiles", asdict(LIMITS)):
        assert {name: chosen[key]["taken"][name] for name in used} == used


def test_every_table_that_a_target_makes_is_compared():
    found = {name for page in PAGES for name, _ in TABLE.findall(read(page))}
    assert found == {"adapt-homes", "choose-recipe", "test-pi"}  # the last by test_docs.py


@pytest.mark.parametrize("name", [name for name in PAGES if "<!-- = " in read(name)])
def test_a_mark_does_not_break_the_paragraph_it_stands_in(name):
    html = [token.content for token in MarkdownIt().enable("table").parse(read(name)) if token.type == "html_block"]
    bare = [re.sub(r"<!--.*?-->", "", text, flags=re.DOTALL).strip() for text in html]
    assert [text for text in bare if text and not text.startswith("<picture>")] == []


@pytest.mark.parametrize("name", ["edge", "mqttset", "real", "audit", "adapt", "transfer"])
def test_a_result_file_names_its_machine_and_the_command_or_the_day(name):
    found = results(name)
    parts = found.get("sections") or (found.values() if name == "edge" else [found])
    assert all(part["machine"] and (part.get("command") or part.get("commands") or part.get("homes")) for part in parts)
