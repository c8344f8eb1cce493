"""The committed measurement of transfer (docs/results/transfer.json) as tables and one figure.

Four networks, a source with or without the target, blocks frozen or free, shares of the target's rows, five seeds; a
measurement apart from any run of this repository's notebooks, on published version-2 flows. `docs/transfer.md` and
notebooks 03 and 04 show what is made here.
"""

import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from tlids_helpers.common import files, style
from tlids_helpers.common.errors import InputError

RESULTS = "docs/results/transfer.json"
MARK = "v2 subset"
ARMS = {
    "from scratch": ("scratch", "none"),
    "frozen, target in the source": ("paper", "blocks"),
    "frozen, target not in the source": ("leave_target_out", "blocks"),
    "nothing frozen, target in the source": ("paper", "none"),
    "nothing frozen, target not in the source": ("leave_target_out", "none"),
}
"""Name -> (protocol, frozen)."""

SCRATCH_NAME = next(iter(ARMS))
FOREST = "100 extra trees"
TREES = ("decision tree, 40 kB", "decision tree, 200 kB", "decision tree, 900 kB", FOREST)
LEAST_HEADROOM = 0.02  # of macro-F1: below it the share of the headroom is a quotient of noise
_LOOKS = {
    "frozen, target in the source": ("s", style.BLUE), "frozen, target not in the source": ("v", style.ORANGE),
    "nothing frozen, target not in the source": ("o", style.GREEN), FOREST: ("x", "black"),
}  # fmt: skip


def read(path: str | Path = RESULTS) -> dict:
    """The measurement. Raises InputError where the file is missing or another."""
    file = files.shipped(path)
    try:
        found = json.loads(file.read_text(encoding="utf-8"))
        found["cells"], found["trees"], found["zero_shot"], found["recipes"]  # what the tables take
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise InputError(
            f"expected the transfer grid's results at {files.shown(file)}, found none ({type(error).__name__}): "
            "restore it with git, or make it again with `make transfer`"
        ) from None
    return found


def short(target: str) -> str:
    """ "NF-ToN-IoT-v2" -> "ToN-IoT"."""
    return target.removeprefix("NF-").removesuffix("-v2").removesuffix("-IDS2018")


def spread(values: Sequence[float]) -> str:
    """Mean and sample deviation over seeds."""
    return f"{np.mean(values):.3f} ± {np.std(values, ddof=1):.3f}" if len(values) > 1 else f"{np.mean(values):.3f}"


def pick(entries: list[dict], **wanted) -> dict:
    """The one entry with these values. Raises InputError where the file lacks it."""
    found = [entry for entry in entries if all(entry[name] == value for name, value in wanted.items())]
    if len(found) != 1:
        raise InputError(f"expected one result with {wanted}, found {len(found)}: make it again with `make transfer`")
    return found[0]


def arm(results: dict, name: str, target: str, share: float, task: str = "multiclass") -> dict:
    """The entry of an arm of ARMS, or of a kind of tree."""
    where = {"task": task, "target": target, "share": share}
    if name in ARMS:
        protocol, frozen = ARMS[name]
        return pick(results["cells"], **where, protocol=protocol, frozen=frozen)
    return pick(results["trees"], **where, model=name)


def shares(results: dict) -> list[float]:
    """The shares of the target's rows, ascending."""
    return sorted({entry["share"] for entry in results["cells"]})


def scores(results: dict, task: str = "multiclass", score: str = "macro_f1") -> pd.DataFrame:
    """Mean and deviation over seeds: a row for each target and share, a column for each way and tree."""
    rows = []
    for target in results["targets"]:
        for share in shares(results):
            found = {name: arm(results, name, target, share, task) for name in (*ARMS, *TREES)}
            row = {"target": short(target), "share": f"{share:.0%}", "rows": f"{found[SCRATCH_NAME]['rows']:,}"}
            rows.append(row | {name: spread(entry[score]) for name, entry in found.items()})
    return table(rows, ["target", "share"])


def headroom(results: dict, task: str = "multiclass") -> pd.DataFrame:
    """The share of the headroom in macro-F1 that each way closes: (way - share alone) / (all rows - share alone).

    Share alone and all rows are the network from scratch. "-" where the headroom is below LEAST_HEADROOM.
    """
    rows = []
    for target in results["targets"]:
        best = np.mean(arm(results, SCRATCH_NAME, target, 1.0, task)["macro_f1"])
        for share in shares(results)[:-1]:
            alone = np.mean(arm(results, SCRATCH_NAME, target, share, task)["macro_f1"])
            room = best - alone
            row = {"target": short(target), "share": f"{share:.0%}", "headroom": f"{room:.3f}"}
            for name in (*list(ARMS)[1:], FOREST):
                gained = np.mean(arm(results, name, target, share, task)["macro_f1"]) - alone
                row[name] = f"{gained / room:.0%}" if room >= LEAST_HEADROOM else "-"
            rows.append(row)
    return table(rows, ["target", "share"])


def updates(results: dict, task: str = "multiclass") -> pd.DataFrame:
    """Updates of 128 rows until the validation macro-F1 of the kept from-scratch weights: median, and seeds that did.

    A look is every 250 updates, so 250 is the least.
    """
    rows = [
        {"target": short(target), "share": f"{share:.0%}"}
        | {name: until(arm(results, name, target, share, task)["updates_to_scratch"]) for name in ARMS}
        for target in results["targets"] for share in shares(results)
    ]  # fmt: skip
    return table(rows, ["target", "share"])


def until(counts: list[int | None]) -> str:
    """The median over all seeds, those that never got there counted as infinite."""
    median = np.median([np.inf if count is None else count for count in counts])
    there = sum(count is not None for count in counts)
    text = f"{median:,.0f}" if np.isfinite(median) else "never"
    return text if there == len(counts) else f"{text} ({there} of {len(counts)})"


def zero_shot(results: dict) -> pd.DataFrame:
    """What the source is worth on the target with nothing trained: benign against attack, mean and deviation."""
    rows = []
    for protocol, words in (("leave_target_out", "not in the source"), ("paper", "in the source")):
        for target in results["targets"]:
            entry = pick(results["zero_shot"], target=target, protocol=protocol, source="plain")
            rows.append({
                "target": short(target), "target is": words, "ROC-AUC": spread(entry["auc"]),
                "MCC": spread(entry["mcc"]), "recall": spread(entry["recall"]),
                "false alarms": spread(entry["false_alarms"]),
            })  # fmt: skip
    return table(rows, ["target is", "target"])


def table(rows: list[dict], index: str | list[str]) -> pd.DataFrame:
    """The rows with their mark. Raises InputError where the file has none."""
    if not rows:
        raise InputError("expected results for this table, found none: make them with `make transfer`")
    return style.marked(pd.DataFrame(rows).set_index(index), MARK)


def over_scratch(results: dict, name: str, target: str, share: float) -> np.ndarray:
    """Macro-F1 of a way less that of from scratch on the same rows, seed by seed (5,)."""
    one, other = (arm(results, each, target, share)["macro_f1"] for each in (name, SCRATCH_NAME))
    return np.subtract(one, other)


def figure(results: dict, compared: Sequence[float] = (0.01, 1.0), width: float = 7.2) -> Figure:
    """What each way gains over from scratch in macro-F1, one panel for each share, with the spread over seeds.

    `width` is in inches; below 6 the legend has one column, so that the figure can be read on a phone.
    """
    columns = 1 if width < 6 else 2
    made, first = style.figure(width, 1.2 - 0.4 * (columns - 1) + 2.5 * len(compared))
    first.remove()
    panels = made.subplots(len(compared), 1, sharey=True, sharex=True)
    for axes, share in zip(panels, compared, strict=True):
        for place, (name, (marker, colour)) in enumerate(_LOOKS.items()):
            gains = [over_scratch(results, name, target, share) for target in results["targets"]]
            at = np.arange(len(gains)) + 0.18 * (place - 1.5)
            axes.errorbar([gain.mean() for gain in gains], at, xerr=[gain.std(ddof=1) for gain in gains], fmt=marker,
                          color=colour, label=name, capsize=2, markersize=7, linewidth=1)  # fmt: skip
        axes.axvline(0, color="0.4", linewidth=1)
        axes.set_title(f"{share:.0%} of the target's rows" if share < 1 else "all of the target's rows", fontsize=10)
        axes.grid(axis="x", color=style.GRID)
        axes.set_axisbelow(True)
    panels[0].set_yticks(range(len(results["targets"])), [short(target) for target in results["targets"]])
    panels[0].invert_yaxis()
    panels[-1].set_xlabel("gain in macro-F1 over training\nfrom scratch (mean ± deviation)" if columns == 1 else
                          "gain in macro-F1 over training from scratch (mean ± deviation)")  # fmt: skip
    made.legend(*panels[0].get_legend_handles_labels(), loc="outside lower center", ncols=columns, frameon=False)
    return style.finish(made, _gained(results, compared[0]), MARK)


def _gained(results: dict, share: float) -> str:
    """On how many networks frozen blocks gain on average, the target in the source and not."""
    inside, outside = (
        sum(over_scratch(results, name, target, share).mean() > 0 for target in results["targets"])
        for name in list(ARMS)[1:3]
    )
    return (
        f"Frozen blocks, {share:.0%} of the rows: a gain on {inside} of {len(results['targets'])} networks "
        f"with the target in the source, on {outside} without it"
    )
