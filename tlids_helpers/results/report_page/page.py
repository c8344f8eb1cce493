"""From a runs folder to the page: collect, make the parts, render, write whole."""

import os
import tempfile
import warnings
from datetime import UTC, datetime
from pathlib import Path

from jinja2 import Environment, PackageLoader, StrictUndefined

from tlids_helpers.common import files
from tlids_helpers.common.errors import InputError
from tlids_helpers.results import runs
from tlids_helpers.results.comparison import is_simulated
from tlids_helpers.results.report_page import executed, parts, published, quoted
from tlids_helpers.results.report_page.blocks import Part

# what the page reads of a result; an older or foreign one may lack it
NEEDED = {
    "run", "notebook", "title", "dataset", "paper_slug", "version", "mark", "task", "split", "protocol", "seed", "rows",
    "classes", "scores", "per_class", "confusion", "history", "epochs", "best_epoch", "seconds",
}  # fmt: skip
TITLE = "TL-IDS: what was run, beside the paper"


def build(runs_dir: str | Path, now: datetime | None = None) -> str:
    """The page of everything under `runs_dir` as HTML; `now` (UTC) is the time that it bears.

    Raises InputError where there is neither a run nor an executed audit or testbed notebook.
    """
    folder = files.resolve(runs_dir)
    results, left_out = _results(folder)
    notebooks, unreadable = executed.find(folder) if folder.is_dir() else ([], [])
    left_out += [f"{path} is left out: it is not a notebook" for path in unreadable]
    shown = quoted.quoted(notebooks)
    if not results and not shown:
        raise InputError(
            f"expected runs under {files.shown(folder)}, found none: make some with `{parts.MAKE_RUNS}`, or name "
            "their folder with --runs-dir"
        )
    made = f"{now or datetime.now(UTC):%Y-%m-%d %H:%M}"
    return render(
        [
            parts.what_was_run(results, left_out),
            parts.what_was_simulated(results, quoted.marks(notebooks)),
            published.beside_the_papers(results),
            parts.figures(results),
            quoted.audits(notebooks),
            quoted.testbeds(notebooks),
            parts.versions(results, shown, made),
        ],
        _summary(results, made),
    )


def _results(folder: Path) -> tuple[list[dict], list[str]]:
    """Every run's result, oldest first, and a sentence for each file that is none."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        found = runs.collect(folder)
    left_out = [str(warning.message) for warning in caught]
    for run in found:
        if lacking := sorted(NEEDED - set(run)):
            left_out.append(f"{run['run']} is left out: its result has no {', no '.join(lacking)}")
    return [run for run in found if set(run) >= NEEDED], left_out


def _summary(results: list[dict], made: str) -> str:
    simulated = sum(map(is_simulated, results))
    many = "1 run" if len(results) == 1 else f"{len(results):,} runs"
    return f"{many}, {simulated:,} of them on simulated rows. Made on {made} UTC."


def render(made: list[Part], summary: str) -> str:
    """Parts as one HTML page with its style in it. Everything but a notebook's cleaned HTML is escaped."""
    environment = Environment(
        loader=PackageLoader("tlids_helpers.results.report_page", "."), autoescape=True, undefined=StrictUndefined,
        trim_blocks=True, lstrip_blocks=True,
    )  # fmt: skip
    template = environment.get_template("page.html.j2")
    return template.render(title=TITLE, summary=summary, parts=made)


def write(page: str, into: Path) -> None:
    """Leave the page as the file `into`, whole or not at all. Raises InputError where that cannot be."""
    try:
        into.parent.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(prefix=f".{into.name}.", suffix=".partial", dir=into.parent)
        scratch = Path(name)
        try:
            with open(handle, "w", encoding="utf-8") as file:
                file.write(page)
            scratch.chmod(0o666 & ~_umask())  # a temporary file is its owner's alone; a page is to be read
            os.replace(scratch, into)
        finally:
            scratch.unlink(missing_ok=True)
    except OSError as error:
        raise InputError(
            f"expected to write {files.shown(into)}, but {error.strerror or error}: give another file with --into"
        ) from None


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask
