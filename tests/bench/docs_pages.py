"""`make docs`: the figures of the pages in `FILLED`, docs/audit-tables.md, and the tables of `make test-pi`
in edge/MANUAL.md, from docs/results/*.json.

A figure stands in a text between `<!-- = NAME -->` and `<!-- . -->`. `--check` changes nothing, and ends with 1 where
a text and the results differ. The version in edge/pyproject.toml goes into pyproject.toml and CITATION.cff.
"""

import argparse
import re
import sys
import tomllib
from collections.abc import Mapping

import docs_figures
import docs_pi
import kept
import page
import picture

REPOSITORY = docs_figures.REPOSITORY
FILLED = ("README.md", "edge/README.md", "edge/MEASURED.md", "edge/SECURITY.md", "docs/audit.md", "docs/paper.md")
MARK = re.compile(r"(<!-- = (\S+) -->)(.*?)(<!-- \. -->)", re.DOTALL)
TABLES = "docs/audit-tables.md"
HEAD = """# The audit's tables

<!-- made by `make docs` from docs/results/audit.json: change that -->

Every check on each set of rows, with the command that makes it; [audit.md](audit.md) is the summary. The mark of a set
(`v2`, `subset`, `own`) is in the corner of its tables.
{}
"""


def main() -> int:
    """The command line; see --help."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--check", action="store_true", help="change nothing; say what differs")
    options = parser.parse_args()
    differ = [name for name, text in pages().items() if not same(name, text)]
    if options.check:
        print("".join(f"expected {name} to be what the results give, found another text: run `make docs`\n"
                      for name in differ), end="")  # fmt: skip
        return 1 if differ else 0
    for name in differ:
        kept.write_whole(REPOSITORY / name, pages()[name])
        print(f"{name} written")
    return 0


def same(name: str, text: str) -> bool:
    """Whether the file of that name, below the repository, has this text."""
    path = REPOSITORY / name
    return path.is_file() and path.read_text() == text


def pages() -> dict[str, str]:
    """Path below the repository -> the text it must have."""
    results = docs_figures.read()
    found = docs_figures.figures(results)
    made = {name: filled((REPOSITORY / name).read_text(), found) for name in FILLED}
    made[TABLES] = HEAD.format("".join(map(section, results["audit"]["sections"]))).rstrip() + "\n"
    made |= {"docs/pictures/overview.svg": picture.overview(), "docs/pictures/overview-narrow.svg": picture.narrow()}
    made[docs_pi.PAGE] = docs_pi.filled((REPOSITORY / docs_pi.PAGE).read_text(), results["test-pi"])
    return made | versions()


def filled(text: str, found: Mapping[str, str]) -> str:
    """The text with every mark filled. Raises KeyError for a name that no result gives."""
    return MARK.sub(lambda mark: f"{mark[1]}{found[mark[2]]}{mark[4]}", text)


def section(whole: Mapping) -> str:
    """The checks of one set of rows as Markdown."""
    checks = "".join(f"\n### {check['title']}\n\n{table(check)}{check['sentence']}\n" for check in whole["checks"])
    told = f"{whole['machine'][0].upper()}{whole['machine'][1:]}, {whole['date']}."
    return f"\n## {whole['title']}\n\n```\n{whole['command']}\n```\n\n{told}\n{checks}"


def table(check: Mapping) -> str:
    """A check's table, its mark in the corner; nothing where it has none."""
    if "columns" not in check:
        return ""
    corner = f"{check['mark']}: " if check.get("mark") else ""
    return page.table([corner + check["columns"][0], *check["columns"][1:]], check["rows"]) + "\n"


def versions() -> dict[str, str]:
    """The files that repeat the version of edge/pyproject.toml."""
    version = tomllib.loads((REPOSITORY / "edge" / "pyproject.toml").read_text())["project"]["version"]
    forms = {"pyproject.toml": (r'(?m)^version = ".*"$', f'version = "{version}"'),
             "CITATION.cff": (r"(?m)^version: .*$", f"version: {version}")}  # fmt: skip
    return {name: re.sub(old, new, (REPOSITORY / name).read_text(), count=1) for name, (old, new) in forms.items()}


if __name__ == "__main__":
    sys.exit(main())
