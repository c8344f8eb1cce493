"""All runs and executed notebooks of a runs folder as one HTML page that loads nothing from the network.

The runs are a table made from their results; notebooks come through nbconvert, without their code. What a notebook
holds is not ours: its HTML is cleaned of all that acts or loads, and the page's policy makes the browser refuse it too.
"""

import html
import re
import warnings
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import NamedTuple

import nbformat
from nbconvert import HTMLExporter
from nbconvert.preprocessors import CoalesceStreamsPreprocessor
from nbconvert.preprocessors.sanitize import SanitizeHTML
from tlids_edge import outputs
from traitlets.config import Config

from tlids_helpers.common import files
from tlids_helpers.common.errors import InputError
from tlids_helpers.results import runs, show
from tlids_helpers.results.comparison import is_simulated, real_first

TITLE = "TL-IDS: runs and executed notebooks"
STYLE = Path(__file__).with_name("page.css")
GRID_NOTEBOOKS = "notebooks"  # a notebook for each run of a grid: their results are rows of the table already
SIMULATED = "Simulated rows: they show that everything runs; their numbers say nothing about the real datasets."
POLICY = "default-src 'none'; img-src data:; style-src 'unsafe-inline'; form-action 'none'; base-uri 'none'"
_HEAD = f"""<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="{POLICY}">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<link rel="icon" href="data:,">
<title>{TITLE}</title>
"""
_TAGS = ["h1", "h2", "h3", "h4", "p", "em", "strong", "code", "pre", "ul", "ol", "li", "br", "a", "span", "table",
         "thead", "tbody", "tr", "th", "td", "caption"]  # fmt: skip
_ATTRIBUTES = {"a": ["href"], "th": ["colspan", "rowspan", "scope"], "td": ["colspan", "rowspan"]}
_SANITIZER = SanitizeHTML(tags=_TAGS, attributes=_ATTRIBUTES, strip=True)
# cleaning drops these tags but would leave the text between them
_UNSEEN = re.compile(r"<(style|script)\b.*?</\1\s*>", re.DOTALL | re.IGNORECASE)
_MARK = re.compile(r"simulated(?! runs? not shown)")
_SHOWN_TYPES = ["text/html", "image/png", "text/plain"]


class _Article(NamedTuple):
    """An executed notebook on the page."""

    path: str  # as seen from the runs folder
    simulated: bool  # whether it shows simulated rows
    html: str  # without its code


def build(runs_dir: str | Path) -> str:
    """The page of everything under `runs_dir` as HTML. Raises InputError where there is no run and no notebook."""
    folder = files.resolve(runs_dir)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        results = real_first(runs.collect(folder))
    notes = [str(warning.message) for warning in caught]
    found = [_article(file, folder, notes) for file in _executed(folder, notes)]
    articles = sorted((one for one in found if one), key=lambda article: article.simulated)  # real rows first
    if not results and not articles:
        raise InputError(
            f"expected runs or executed notebooks under {files.shown(folder)}, found none", "make some with `make demo`"
        )
    parts = {"Runs": _runs_part(results)} | {article.path: article.html for article in articles}
    contents = "".join(f'<li><a href="#part{n}">{html.escape(name)}</a></li>' for n, name in enumerate(parts))
    sections = "".join(f'<section id="part{n}">{part}</section>\n' for n, part in enumerate(parts.values()))
    summary = f"Made on {datetime.now(UTC):%Y-%m-%d %H:%M} UTC from {folder.name}/. {' '.join(notes)}"
    return (
        f"{_HEAD}<style>\n{STYLE.read_text()}</style>\n</head>\n<body>\n<header><h1>{TITLE}</h1>"
        f"<p>{html.escape(summary)}</p></header>\n<nav><ol>{contents}</ol></nav>\n<main>\n{sections}</main>\n"
        "</body>\n</html>\n"
    )


def write(page: str, into: Path) -> None:
    """Leave the page as the file `into`, whole or not at all. Raises InputError where that cannot be."""
    remedy = "give another file with --into"
    try:
        into.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise outputs.unwritable(files.shown(into), error, remedy) from None
    with outputs.written(into, remedy) as file:
        file.write(page.encode())


def _runs_part(results: Sequence[dict]) -> str:
    """A table of the runs on real rows, and one of those on simulated rows."""
    simulated = [result for result in results if is_simulated(result)]
    real = results[: len(results) - len(simulated)]
    part = f"<h2>Runs</h2><p>{len(results)} runs, {len(simulated)} of them on simulated rows.</p>"
    if real:
        part += f"<h3>On real rows</h3>{_run_table(real)}"
    if simulated:
        part += f'<h3>On simulated rows</h3><p class="warning">{SIMULATED}</p>{_run_table(simulated)}'
    return part


def _run_table(results: Sequence[dict]) -> str:
    return f'<div class="scroll">{_cleaned(show.overview(results).to_html(index=False))}</div>'


def _executed(folder: Path, notes: list[str]) -> list[Path]:
    """The notebooks under `folder`, by path; a note says how many of a grid are left out."""
    found = [file.relative_to(folder) for file in sorted(folder.rglob("*.ipynb"))]
    found = [path for path in found if not any(part.startswith(".") for part in path.parts)]
    of_grid = [path for path in found if path.parts[0] == GRID_NOTEBOOKS]
    if of_grid:
        notes.append(f"{len(of_grid)} notebooks of a grid are left out, their runs are in the table.")
    return [folder / path for path in found if path not in of_grid]


def _article(file: Path, folder: Path, notes: list[str]) -> _Article | None:
    """An executed notebook; None for one without outputs, or that cannot be read."""
    path = file.relative_to(folder).as_posix()
    try:
        notebook = nbformat.read(file, as_version=4)
    except Exception:  # nbformat raises whatever its reader of the moment raises
        notes.append(f"{path} is left out: it is not a notebook.")
        return None
    outputs = [output for cell in notebook.cells for output in cell.get("outputs", [])]
    if not outputs:
        return None
    prose = ""
    for cell in notebook.cells:
        if cell.cell_type == "markdown":
            prose = " ".join(re.sub(r"[*`#]", "", cell.source).split())
        elif cell.cell_type == "code":
            cell.outputs = [output for output in cell.outputs if _is_shown(output)]
            cell.metadata["alt"] = prose  # describes the cell's pictures to those who cannot see them
    source = html.escape(path)
    if any(output.output_type == "error" for output in outputs):
        source += ", which stopped before its end"
    simulated = any(_MARK.search(str(output)) for output in outputs)
    warning = f'<p class="warning">{SIMULATED}</p>' if simulated else ""
    return _Article(path, simulated, f"<p>From {source}.</p>{warning}{_exporter().from_notebook_node(notebook)[0]}")


def _is_shown(output: dict) -> bool:
    """Not standard error: that is progress bars and warnings; of data, text, tables and pictures alone."""
    return output.get("name") != "stderr" and bool({*_SHOWN_TYPES} & {*output.get("data", _SHOWN_TYPES)})


def _exporter() -> HTMLExporter:
    config = Config({"NbConvertBase": {"display_data_priority": _SHOWN_TYPES}})
    exporter = HTMLExporter(
        config=config, template_name="basic", exclude_input=True, exclude_input_prompt=True, exclude_raw=True,
        exclude_output_prompt=True, exclude_anchor_links=True, sanitize_html=True, filters={"clean_html": _cleaned},
    )  # fmt: skip
    exporter.register_preprocessor(CoalesceStreamsPreprocessor, enabled=True)
    return exporter


def _cleaned(text: str) -> str:
    """HTML with nothing in it that acts, loads or styles: text, lists, links and tables alone."""
    return _SANITIZER.sanitize_html_tags(_UNSEEN.sub("", str(text)))
