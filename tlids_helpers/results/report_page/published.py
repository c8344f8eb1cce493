"""The part of the page with the paper's tables beside ours: notebook 04's numbers, laid out for a narrow screen."""

from collections.abc import Sequence
from statistics import mean, stdev

import matplotlib.pyplot as plt
import pandas as pd

from tlids_helpers import plots
from tlids_helpers.results import comparison, paper
from tlids_helpers.results.paper import METRICS, PROPOSED, TASKS
from tlids_helpers.results.report_page import blocks
from tlids_helpers.results.report_page.blocks import NONE, Block, Cell, Commands, Group, Part, Table, Text, Title
from tlids_helpers.results.report_page.parts import how, seeds_of

BY_DATASET = (4, 5, 6)  # the others set models beside one another
METRIC_NAMES = {"f1": "F1"}
CAPTION = "Difference: ours less the paper's proposed model, in percentage points"


def beside_the_papers(results: Sequence[dict]) -> Part:
    """Tables 4 to 9, published numbers and ours, and what is missing."""
    made: list[Block] = [Text(_in_counts(results))]
    for number in paper.TASKS:
        layout = _by_dataset if number in BY_DATASET else _by_model
        made += [Title(paper.CAPTIONS[number]), layout(number, results), Text(paper.NOTES[number])]
        made += _bars(number, results)
    return Part("tables", "The tables beside the paper's", [*made, *_missing(results)])


def _in_counts(results: Sequence[dict]) -> str:
    cells = pd.concat(paper.table(number).query("model == @PROPOSED and published.notna()") for number in BY_DATASET)
    ours = comparison.beside(cells, results).dropna(subset=["ours"])
    real = int((~ours["mark"].str.contains("simulated")).sum())
    below = int((ours["difference"] < 0).sum())
    return (
        f"Tables 4 to 6: {len(ours)} of {len(cells)} published cells have a number of ours, {real} of them from rows "
        f"that are not simulated. {below} lie below the paper's, {len(ours) - below} do not. A number of several seeds "
        "is their mean ± the sample deviation. Runs of the paper's split alone stand here; those of other splits are "
        "listed under What was run."
    )


def _by_dataset(number: int, results: Sequence[dict]) -> Table:
    """Tables 4 to 6: a group for each dataset, a row for each metric."""
    frame = paper.table(number)
    others = [model for model in dict.fromkeys(frame["model"]) if model != PROPOSED]
    columns = ["metric", PROPOSED, "ours", "difference", "from scratch", "leave target out", *others]
    groups = []
    for dataset, cells in frame.groupby("dataset", sort=False):
        shown = {name: _shown(results, dataset, number, name) for name in comparison.PROTOCOLS}
        ours = shown[comparison.protocol_of(dataset, TASKS[number])]
        rows = []
        for metric, row in cells.groupby("metric", sort=False):
            printed = row.set_index("model")["printed"]
            published = row.set_index("model")["published"][PROPOSED]
            rows.append(
                [Cell(METRIC_NAMES.get(metric, metric)), Cell(printed[PROPOSED]), _percent(ours, metric),
                 _difference(ours, metric, published), _percent(shown["scratch"], metric),
                 _percent(shown["leave_target_out"], metric), *(Cell(printed[model]) for model in others)]
            )  # fmt: skip
        groups.append(Group(rows, Cell(paper.title(dataset), note=f"ours: {_about(results, dataset, number, ours)}")))
    return Table(columns, groups, CAPTION)


def _by_model(number: int, results: Sequence[dict]) -> Table:
    """Tables 7 to 9: a group for each dataset, a row for each model; ours is the row below the proposed model."""
    frame = paper.table(number)
    metrics = [metric for metric in METRICS if metric in set(frame["metric"])]
    groups = []
    for dataset, cells in frame.groupby("dataset", sort=False):
        rows = []
        for model, row in cells.groupby("model", sort=False):
            printed = row.set_index("metric")["printed"]
            rows.append([Cell(model), *(Cell(printed[metric]) for metric in metrics)])
            if model == PROPOSED:
                ours = _shown(results, dataset, number, comparison.protocol_of(dataset, TASKS[number]))
                said = _about(results, dataset, number, ours)
                rows.append([Cell("Ours", note=said), *(_percent(ours, metric) for metric in metrics)])
        groups.append(Group(rows, Cell(paper.title(dataset) if dataset else "No dataset is named")))
    return Table(["model", *(METRIC_NAMES.get(metric, metric) for metric in metrics)], groups)


def _shown(results: Sequence[dict], dataset: str, number: int, protocol: str) -> list[dict]:
    return comparison.best_setup(comparison.matching(results, dataset, TASKS[number], protocol))


def _about(results: Sequence[dict], dataset: str, number: int, ours: Sequence[dict]) -> str:
    """Which runs stand behind our number of a dataset, and which do not."""
    protocol = comparison.protocol_of(dataset, TASKS[number])
    count = seeds_of(ours) if ours else "no run yet"
    found = comparison.matching(results, dataset, TASKS[number], protocol)
    left_out = comparison.left_out_note(found, ours) if ours else ""
    return "; ".join(filter(None, (f"{how({'protocol': protocol})}; {count}", left_out)))


def _percent(runs: Sequence[dict], metric: str) -> Cell:
    """Mean ± deviation over the seeds, with its mark."""
    if not runs:
        return Cell(NONE)
    values = [100 * run["scores"][metric] for run in runs]
    deviation = f" ± {stdev(values):.2f}" if len(values) > 1 else ""
    return Cell(f"{mean(values):.2f}{deviation}%", comparison.full_mark(runs[0]))


def _difference(runs: Sequence[dict], metric: str, published: float) -> Cell:
    if not runs or pd.isna(published):
        return Cell(NONE)
    points = 100 * (mean(run["scores"][metric] for run in runs) - published)
    return Cell(f"{points:+.2f}", comparison.full_mark(runs[0]))


def _bars(number: int, results: Sequence[dict]) -> list[Block]:
    """Accuracy as bars, for the tables by dataset that have a number of ours."""
    frame = comparison.beside(paper.table(number).query("model == @PROPOSED"), results)
    if number not in BY_DATASET or frame["ours"].isna().all():
        return []
    marks = "; ".join(dict.fromkeys(filter(None, frame["mark"])))
    title = f"Table {number}, accuracy: published beside ours"
    with plt.rc_context({"text.parse_math": False}):
        return [blocks.picture(plots.comparison_bars(frame, METRICS[0], title), title, marks)]


def _missing(results: Sequence[dict]) -> list[Block]:
    """The published cells without a number from real rows, and the command that makes each."""
    frame = comparison.missing(results, real=True)
    if frame.empty:
        return [Text("Every published cell has a number of ours from real rows.")]
    items = []
    for command, rows in frame.groupby("command", sort=False):
        tables = ", ".join(str(number) for number in rows["table"])
        first = rows.iloc[0]
        which = f"Table {tables}" if len(rows) == 1 else f"Tables {tables}"
        items.append((f"{paper.title(first['dataset'])}, {first['task']} ({which}): {first['file']}", command))
    said = (
        f"{len(items)} runs are missing, or are there on simulated rows alone. Put the file that is named into "
        "data/raw, then run the command from the repository's folder."
    )
    return [Title("What is missing"), Text(said), Commands(items)]
