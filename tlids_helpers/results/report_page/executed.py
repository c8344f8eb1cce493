"""Executed notebooks as material for the page: their prose, tables, figures and closing sentences, never their code.

What lies in a notebook is not ours to trust: its class names and file names are the user's, its HTML is anybody's.
"""

import base64
import binascii
import itertools
import re
from collections.abc import Sequence
from dataclasses import dataclass
from html import unescape
from pathlib import Path

import nbformat
from nbconvert.filters import markdown2html, strip_ansi
from nbconvert.preprocessors.sanitize import SanitizeHTML

from tlids_helpers.results.report_page.blocks import PNG_SIGNATURE, Block, Cell, Html, Items, Picture, Text, Title

FOUND = "What was found"  # the heading of every notebook's closing sentences
_TAGS = ["p", "em", "strong", "code", "ul", "ol", "li", "br", "table", "thead", "tbody", "tr", "th", "td", "caption"]
_SANITIZER = SanitizeHTML(
    tags=_TAGS, attributes={"th": ["colspan", "rowspan", "scope"], "td": ["colspan", "rowspan"]}, strip=True
)
# cleaning drops these tags but would leave what stands between them
_UNSEEN = re.compile(r"<(style|script)\b.*?</\1\s*>", re.DOTALL | re.IGNORECASE)
_MARK = re.compile(r"\[([^\]]*)\],")
_END = re.compile(r" \[[^\]]*simulated[^\]]*\]$")


@dataclass(frozen=True)
class Executed:
    """An executed notebook."""

    path: str  # as seen from the runs folder
    number: str  # "07"
    name: str  # its first heading, without the number
    cells: Sequence[dict]
    parameters: dict  # those it was told
    finished: str  # when, UTC; "" where it does not say
    stopped: bool  # a cell failed


def find(runs_dir: Path) -> tuple[list[Executed], list[str]]:
    """This project's notebooks that were executed into `runs_dir` and below, oldest first; and unreadable files."""
    found, unreadable = [], []
    for file in sorted(runs_dir.rglob("*.ipynb")):
        path = file.relative_to(runs_dir)
        if any(part.startswith(".") for part in path.parts):
            continue
        try:
            notebook = nbformat.read(file, as_version=4)
        except Exception:  # nbformat raises whatever its reader of the moment raises
            unreadable.append(path.as_posix())
            continue
        if one := _executed(path.as_posix(), notebook):
            found.append((file.stat().st_mtime, one))
    return [one for _, one in sorted(found, key=lambda pair: (pair[0], pair[1].path))], unreadable


def _executed(path: str, notebook) -> Executed | None:
    """A notebook whose first heading is one of ours ("# 07 · The audit: ...") and that has outputs."""
    cells = notebook.cells
    heading = re.match(r"# (\d\d) · (.+)", cells[0].source) if cells and cells[0].cell_type == "markdown" else None
    if not heading or not any(cell.get("outputs") for cell in cells):
        return None
    told = notebook.metadata.get("papermill") or {}
    finished = (told.get("end_time") or "")[:16].replace("T", " ")
    stopped = any(one["output_type"] == "error" for cell in cells for one in cell.get("outputs", []))
    return Executed(path, heading[1], heading[2], cells, dict(told.get("parameters") or {}), finished, stopped)


def newest(found: Sequence[Executed], number: str) -> tuple[list[Executed], list[Executed]]:
    """Of the notebooks of that number the newest of each set of parameters, and those that stopped before their end."""
    mine = [one for one in found if one.number == number]
    last = {repr(sorted(one.parameters.items())): one for one in mine if not one.stopped}
    return list(last.values()), [one for one in mine if one.stopped]


def section(one: Executed, heading: str) -> list[dict]:
    """The cells below the heading `## ...`, up to the next; the cell of the heading comes first."""
    starts = [place for place, cell in enumerate(one.cells) if _heading(cell)]
    for start, end in zip(starts, [*starts[1:], len(one.cells)], strict=True):
        if _heading(one.cells[start]) == heading:
            return list(one.cells[start:end])
    return []


def after_the_versions(one: Executed) -> list[dict]:
    """All from the first heading `## ...` to the closing sentences; title, parameters and versions come before it."""
    starts = [place for place, cell in enumerate(one.cells) if _heading(cell)]
    ends = [place for place in starts if _heading(one.cells[place]) == FOUND] or [len(one.cells)]
    return list(one.cells[starts[0] : ends[0]]) if starts else []


def _heading(cell: dict) -> str:
    found = re.match(r"## (.+)", cell["source"]) if cell["cell_type"] == "markdown" else None
    return found[1].strip() if found else ""


def blocks(cells: Sequence[dict]) -> list[Block]:
    """Cells as blocks: prose, printed lines, tables and figures; code and progress bars are left out."""
    made, said = [], ""
    for cell in cells:
        if cell["cell_type"] == "markdown":
            heading, said = _heading_and_prose(cell["source"])
            made += [Title(plain(heading), small=True)] if heading else []
            made += [Html(cleaned(markdown2html(said)))] if said else []
        elif cell["cell_type"] == "code":
            made += [block for output in cell.get("outputs", []) if (block := _output(output, plain(said)))]
    return made


def _heading_and_prose(source: str) -> tuple[str, str]:
    first, _, rest = source.partition("\n") if source.startswith("#") else ("", "", source)
    return first.lstrip("# "), rest.strip()


def _output(output: dict, said: str) -> Block | None:
    if output["output_type"] == "stream":
        text = strip_ansi(output["text"]).strip() if output["name"] == "stdout" else ""
        return Text(text) if text else None
    data = output.get("data", {})
    if "image/png" in data:
        return Picture(png, said, captioned=False) if (png := _png(data["image/png"])) else None
    if "text/html" in data:
        return Html(*without_counter(cleaned(data["text/html"])))
    text = strip_ansi(data.get("text/plain", "")).strip()
    return Text(text) if text and not text.startswith("<") else None


def without_counter(html: str) -> tuple[str, str]:
    """A frame's cleaned HTML without the index that only counts its rows, and the mark that stood in the corner.

    Anything else comes back as it is, with no mark.
    """
    head, between, body = html.partition("<tbody>")
    counted = re.findall(r"<tr>\s*<th>(.*?)</th>", body, re.DOTALL)
    corner = re.findall(r"<tr>\s*<th>(.*?)</th>", head, re.DOTALL)
    if len(corner) != 1 or counted != [str(place) for place in range(len(counted))]:
        return html, ""
    head = re.sub(r"(<tr>\s*)<th>.*?</th>", r"\1", head, count=1, flags=re.DOTALL)
    body = re.sub(r"(<tr>\s*)<th>\d+</th>\s*<td>(.*?)</td>", r"\1<th>\2</th>", body, flags=re.DOTALL)
    return head + between + body, unescape(corner[0])


def _png(text: str) -> str:
    """The base64 of a PNG without line breaks; "" for anything else."""
    try:
        content = base64.b64decode("".join(text.split()), validate=True)
    except (binascii.Error, ValueError):
        return ""
    return base64.b64encode(content).decode() if content.startswith(PNG_SIGNATURE) else ""


def cleaned(html: str) -> str:
    """HTML with nothing in it that acts, loads, links or styles: text, lists and tables alone."""
    return _SANITIZER.sanitize_html_tags(_UNSEEN.sub("", html))


def plain(source: str) -> str:
    """Markdown's words without its signs, for a title or a picture's description."""
    return " ".join(re.sub(r"[*`]|^#+ ", "", source, flags=re.MULTILINE).split())


def closing(one: Executed) -> list[Block]:
    """The closing sentences as the notebook printed them, a list below the prose of each cell.

    A sentence is marked where its rows are simulated: those of the notebook, or, as its end says, those of the table
    it was drawn from (another network, the transfer source).
    """
    made: list[Block] = []
    mark = mark_of(one)
    for cell in section(one, FOUND):
        if cell["cell_type"] == "markdown":
            made += [Text(plain(prose))] if (prose := _heading_and_prose(cell["source"])[1]) else []
        elif items := _lead_and_sentences(cell)[1]:
            made.append(Items([_marked(item, mark) for item in items]))
    return made


def about(one: Executed) -> str:
    """What the closing sentences are about: the line above the first list of them; "" where there is none."""
    leads = [_lead_and_sentences(cell)[0] for cell in section(one, FOUND)]
    return next((lead for lead in leads if lead), "").rstrip(":")


def _lead_and_sentences(cell: dict) -> tuple[str, list[str]]:
    """What a cell printed: a line and the list below it, or no line and every line a sentence."""
    printed = [o["text"] for o in cell.get("outputs", []) if o["output_type"] == "stream" and o["name"] == "stdout"]
    lines = strip_ansi("".join(printed)).strip().splitlines()
    if not any(line.startswith("- ") for line in lines):
        return "", lines
    lead = " ".join(itertools.takewhile(lambda line: not line.startswith("- "), lines))
    items: list[str] = []
    for line in lines:
        if line.startswith("- "):
            items.append(line[2:])
        elif items:  # a sentence that goes on
            items[-1] += f" {line}"
    return lead, items


def mark_of(one: Executed) -> str:
    """The mark of a notebook's rows, from what it is about: "NF-ToN-IoT [simulated], ..."; "" for a published file."""
    found = _MARK.search(about(one))
    return found[1] if found and found[1] != "published file" else ""


def speaks_of_simulated(one: Executed) -> bool:
    """Whether any table or line that the notebook put out has the word."""
    texts = [text for cell in one.cells for output in cell.get("outputs", [])
             for text in (output.get("text", ""), output.get("data", {}).get("text/html", ""))]  # fmt: skip
    return any("simulated" in text for text in texts)


def _marked(sentence: str, mark: str) -> Cell:
    """The sentence without the mark it ends with; its mark is "simulated" where that, or `mark`, has the word."""
    own = _END.search(sentence)
    return Cell(_END.sub("", sentence), "simulated" if own or "simulated" in mark else "")
