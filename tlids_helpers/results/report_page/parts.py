"""The parts of the page about the runs: what was run, what was simulated, the figures, versions."""

import json
from collections.abc import Iterable, Sequence
from statistics import mean, stdev

import matplotlib.pyplot as plt
import pandas as pd

from tlids_helpers import plots, tables
from tlids_helpers.audit.spread import SEEDS
from tlids_helpers.data.catalog import DATASETS
from tlids_helpers.results import comparison, paper, runs
from tlids_helpers.results.comparison import full_mark, is_simulated
from tlids_helpers.results.metrics import SCORES
from tlids_helpers.results.report_page import blocks
from tlids_helpers.results.report_page.blocks import Block, Box, Cell, Items, Nothing, Part, Text, Title
from tlids_helpers.results.report_page.executed import Executed

SHOWN_SCORES = ("accuracy", "f1", "macro_f1", "mcc")  # of a set-up; the weighted recall is the accuracy
SCORE_NAMES = {"precision": "precision (weighted)", "recall": "recall (weighted)", "f1": "F1 (weighted)",
               "macro_f1": "macro-F1", "mcc": "MCC"}  # fmt: skip
MAKE_RUNS = "make demo"
MOST_PICTURED = 20  # set-ups with figures of their own
MOST_PAIRS = 20  # bars in the figure of training times
PAGE_PACKAGES = ("tlids-helpers", "nbconvert", "pandas", "matplotlib", "seaborn")
MEANINGS = {
    "simulated": "rows of a small stand-in with made-up traffic, because the dataset's file was not there",
    "source": "the dataset's own rows, but a transfer source that is what the mark says",
    "subset": "a part of the published file: its numbers are its own",
    "v2": "version 2 of the dataset, metered anew from the same captures: not the paper's input",
    "own": "flows of your own",
}


def setups(results: Sequence[dict]) -> list[list[dict]]:
    """Runs that agree in all but the seed, in order of seed (the last, where one ran twice); by dataset, then task."""
    found: dict[tuple, dict[int, dict]] = {}
    for run in results:
        key = (run["title"], run["task"], run["split"], run["protocol"], comparison.setup_key(run))
        found.setdefault(key, {})[run["seed"]] = run
    return [[run for _, run in sorted(seeds.items())] for _, seeds in sorted(found.items(), key=lambda item: item[0])]


def how(run: dict) -> str:
    """How a run's network came about, in words."""
    return "from scratch" if run["protocol"] == "scratch" else f"transfer, protocol {run['protocol']}"


def seeds_of(seeds: Sequence[dict]) -> str:
    """How many seeds, and which."""
    count = "one seed" if len(seeds) == 1 else f"{len(seeds)} seeds"
    return f"{count} ({', '.join(str(run['seed']) for run in seeds)})"


def what_was_run(results: Sequence[dict], warnings: Sequence[str] = ()) -> Part:
    """A row for each set-up, with mean and deviation over its seeds, and a row for each run."""
    if not results:
        made: list[Block] = [Nothing("No run of notebook 02 or 03 has left a result here.", MAKE_RUNS)]
    else:
        groups = setups(results)
        few = sum(len(seeds) < len(SEEDS) for seeds in groups)
        said = (
            f"{_count(len(results), 'run')} of {_count(len(groups), 'set-up')}. A set-up is everything but the seed; "
            "scores are fractions of 1 on its test rows, and the deviation over seeds is the sample's. "
        )
        verdict = f"Fewer than {len(SEEDS)} seeds are no result: {few} of {len(groups)} set-ups here have fewer."
        made = [
            Text(said + (verdict if few else f"Each has {len(SEEDS)} seeds or more.")),
            blocks.table(_setup_frame(groups), "Set-ups"),
            blocks.table(_run_frame(results), "Every run, oldest first"),
        ]
    left_out = [Items([Cell(text) for text in warnings])] if warnings else []
    return Part("runs", "What was run", [*made, *left_out])


def _setup_frame(groups: Sequence[Sequence[dict]]) -> pd.DataFrame:
    rows = []
    for seeds in groups:
        run = seeds[0]
        rows.append(
            {
                "set-up": _named(run, seeds_of(seeds)),
                **{
                    SCORE_NAMES.get(name, name): spread([one["scores"][name] for one in seeds]) for name in SHOWN_SCORES
                },
                "test rows": _range(one["rows"]["test"] for one in seeds),
                "training rows": _range(one["rows"]["train"] for one in seeds),
                "epochs": _range(one["epochs"] for one in seeds),
                "of at most": run.get("parameters", {}).get("epochs"),
            }
        )
    return pd.DataFrame(rows)


def _run_frame(results: Sequence[dict]) -> pd.DataFrame:
    rows = [
        {
            "run": _named(run, f"seed {run['seed']}"),
            **{SCORE_NAMES.get(name, name): f"{run['scores'][name]:.4f}" for name in SCORES},
            "best epoch": run["best_epoch"],
            "training, s": f"{run['seconds']['total']:,.1f}",
            "folder": run["run"],
        }
        for run in results
    ]
    return pd.DataFrame(rows)


def spread(values: Sequence[float]) -> str:
    """A number for one seed; mean ± sample deviation for several."""
    return f"{mean(values):.4f} ± {stdev(values):.4f}" if len(values) > 1 else f"{values[0]:.4f}"


def _named(run: dict, seeds: str) -> Cell:
    return Cell(run["title"], full_mark(run), f"{run['task']}, {run['split']} split, {how(run)}; {seeds}")


def _range(values: Iterable[int]) -> str:
    found = sorted(set(values))
    return f"{found[0]:,}" if len(found) == 1 else f"{found[0]:,} to {found[-1]:,}"


def _count(number: int, what: str) -> str:
    return f"{number:,} {what}" + ("" if number == 1 else "s")


def what_was_simulated(results: Sequence[dict], notebooks: Sequence[Cell]) -> Part:
    """The box: which runs rest on simulated rows, which datasets are missing, and what the marks mean.

    `notebooks` are the executed notebooks that the page shows, each with the mark of its rows.
    """
    simulated = [run for run in results if is_simulated(run)]
    others = [cell for cell in notebooks if "simulated" in cell.mark]
    if not simulated and not others:
        seen = results or notebooks
        text = "Nothing: no run on this page rests on simulated rows." if seen else "Nothing: there is no run yet."
        return Part("simulated", "What was simulated", [Box(text, calm=True), *_legend(results)])
    own = sum("simulated" in run["mark"] for run in simulated)
    sentences = [
        f"{len(simulated)} of {_count(len(results), 'run')} rest on simulated rows: {own} on a stand-in for their "
        f"dataset, {len(simulated) - own} on a stand-in in their transfer source alone."
    ] if simulated else []  # fmt: skip
    part = {True: "in part ", False: ""}
    sentences += [f"{cell.text} looked {part['partly' in cell.mark]}at simulated rows." for cell in others]
    text = (
        "Numbers from simulated rows say that the code works and nothing else. On this page every one of them bears "
        "the word simulated."
    )
    return Part("simulated", "What was simulated", [Box(text, [*sentences, *_to_get(simulated)]), *_legend(results)])


def _to_get(simulated: Sequence[dict]) -> list[str]:
    """For each dataset of the catalog that a stand-in was used for: which file replaces it, and where it comes from."""
    slugs = dict.fromkeys(
        slug
        for run in simulated
        for slug, mark in ((run["dataset"], run["mark"]), (run.get("source", ""), run.get("source_mark", "")))
        if "simulated" in mark and slug in DATASETS
    )
    found = [DATASETS[slug] for slug in slugs]
    return [f"{one.title}: put {one.file} into data/raw (from {one.page}) and run again." for one in found if one.file]


def _legend(results: Sequence[dict]) -> list[Block]:
    """What the marks that occur mean, and how many runs bear each; nothing where there is no run."""
    marks = [full_mark(run) for run in results]
    counts = {name: sum(name in mark.replace(",", " ").split() for mark in marks) for name in MEANINGS}
    rows = [(Cell("", name), counts[name], MEANINGS[name]) for name in MEANINGS if counts[name]]
    rows += [(Cell("no mark"), marks.count(""), "the published file, whole")] if "" in marks else []
    frame = pd.DataFrame(rows, columns=["mark", "runs", "what the rows are"])
    return [blocks.table(frame, "The marks on this page; a run may bear several")] if rows else []


def figures(results: Sequence[dict]) -> Part:
    """Training times, and of each set-up its first seed's confusion matrix, classes and curves."""
    if not results:
        return Part("figures", "Figures", [Nothing("No run, no figure.", MAKE_RUNS)])
    groups = setups(results)
    order = {id(run): place for place, run in enumerate(results)}
    latest = sorted(groups, key=lambda seeds: max(order[id(run)] for run in seeds))[-MOST_PICTURED:]
    shown = [seeds for seeds in groups if any(seeds is one for one in latest)]
    said = "One seed of each set-up, its first: look at the kinds of mistakes, not at the ranking."
    if len(shown) < len(groups):
        said += f" The {len(shown)} latest of {len(groups)} set-ups are shown."
    # a dollar sign in a user's class name is a dollar sign, no formula
    with plt.rc_context({"text.parse_math": False}):
        return Part("figures", "Figures", [*_times(results), Text(said), *(b for s in shown for b in _pictures(s[0]))])


def _times(results: Sequence[dict]) -> list[Block]:
    saved = comparison.time_saved(results)
    if saved.empty:
        return [Nothing("No pair of a transfer run and its twin from scratch, so no time to compare.",
                        "python -m tlids_helpers.notebooks 03 -p dataset nf-ton-iot")]  # fmt: skip
    last = saved.tail(MOST_PAIRS)
    title = f"Training time, {len(last)} of {_count(len(saved), 'pair')} of runs"
    rows = [
        {"transfer": Cell(paper.title(one.dataset), one.mark, f"{one.task}, protocol {one.protocol}, seed {one.seed}"),
         "scratch, s": f"{one.scratch_seconds:,.1f}", "transfer, s": f"{one.transfer_seconds:,.1f}",
         "scratch / transfer": f"{one.ratio:.2f}"}
        for one in last.itertuples()
    ]  # fmt: skip
    marks = "; ".join(dict.fromkeys(filter(None, last["mark"])))
    caption = f"{title}; the source's own training is not counted"
    figure = blocks.picture(plots.time_saved(last, title), caption, marks)
    return [Title("Is time saved?"), figure, blocks.table(pd.DataFrame(rows), "The same in seconds")]


def _pictures(run: dict) -> list[Block]:
    mark = full_mark(run)
    small = f"{run['title']}, {run['protocol']}, seed {run['seed']}"
    confusion = plots.confusion(run["confusion"], run["classes"], f"{small}: confusion", mark)
    curves = plots.training_curves(run["history"], f"{small}: training", mark)
    return [
        Title(f"{run['title']}, {run['task']}, {run['split']} split, {how(run)}, seed {run['seed']}", mark),
        blocks.picture(confusion, f"Confusion matrix of {run['rows']['test']:,} test rows; {_trained_on(run)}", mark),
        blocks.table(tables.per_class(run), "Class by class; support is the number of test rows", mark),
        blocks.picture(curves, f"Loss and accuracy by epoch; epoch {run['best_epoch']} was kept", mark),
    ]


def _trained_on(run: dict) -> str:
    allowed = run.get("parameters", {}).get("epochs")
    at_most = f" of at most {allowed}" if allowed else ""
    return f"trained on {run['rows']['train']:,} rows, {run['epochs']}{at_most} epochs"


def versions(results: Sequence[dict], notebooks: Sequence[Executed], made: str) -> Part:
    """When the page was made, by what, and the versions that the runs recorded."""
    here = ", ".join(f"{name} {number}" for name, number in runs.versions(PAGE_PACKAGES).items())
    found: list[Block] = [Text(f"This page was made on {made} UTC with {here}.")]
    if results:
        found.append(blocks.table(_version_frame(results), "Versions that made the runs"))
    if notebooks:
        rows = [
            {"notebook": one.path, "finished (UTC)": one.finished or blocks.NONE,
             "parameters": ", ".join(f"{name}={value}" for name, value in one.parameters.items()) or "the defaults"}
            for one in notebooks
        ]  # fmt: skip
        found.append(blocks.table(pd.DataFrame(rows), "Executed notebooks that this page quotes"))
    return Part("versions", "Versions", found)


def _version_frame(results: Sequence[dict]) -> pd.DataFrame:
    """A row for each package, a column for each set of versions that made runs, with their number."""
    sets: dict[str, int] = {}
    for run in results:
        key = json.dumps(run.get("versions", {}), sort_keys=True)
        sets[key] = sets.get(key, 0) + 1
    found = {json_text: json.loads(json_text) for json_text in sets}
    packages = sorted({name for one in found.values() for name in one}, key=lambda name: (name != "python", name))
    columns = [Cell(name) for name in packages], *([one.get(name) for name in packages] for one in found.values())
    return pd.DataFrame(
        list(zip(*columns, strict=True)), columns=["package", *(_count(number, "run") for number in sets.values())]
    )
