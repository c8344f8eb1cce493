"""The pages of the package: each link in them leads to a page beside it and to a heading there."""

import re
import runpy
import sys
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parents[3] / "edge" / "package"
LINK = re.compile(r"\]\((?!\w+:)([^)#]*)#?([^)]*)\)")


@pytest.fixture
def folder(tmp_path, monkeypatch) -> Path:
    """What /usr/share/doc/tlids-edge will hold."""
    monkeypatch.syspath_prepend(str(PACKAGE))
    runpy.run_path(str(PACKAGE / "build_deb.py"))["documents"](tmp_path)
    sys.modules.pop("compile_core", None)
    return tmp_path


def anchors(page: Path) -> set[str]:
    """The headings of a page as links name them."""
    titles = re.findall(r"(?m)^#+ (.*)$", page.read_text())
    return {re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-") for title in titles}


def test_every_link_of_a_packaged_page_leads_to_a_heading_of_a_page_beside_it(folder):
    pages = sorted(folder.glob("*.md"))
    links = [
        (folder / (name or page.name), anchor) for page in pages for name, anchor in LINK.findall(page.read_text())
    ]
    found = {page: anchors(page) | {""} for page in pages}
    assert len(links) >= 10 and [link for link in links if link[1] not in found.get(link[0], ())] == []


def test_details_measurements_errors_and_the_first_night_are_beside_the_manual(folder):
    assert {
        "README.md",
        "DETAILS.md",
        "MANUAL.md",
        "MEASURED.md",
        "SECURITY.md",
        "inputs.md",
        "your-own-network.md",
    } == {page.name for page in folder.glob("*.md")}
