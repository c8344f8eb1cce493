"""The tables and figures of finished runs that notebooks 02 to 04 display.

A result is the dictionary of a run's result.json. Every table of anything but whole, published data has its mark in
the top left corner, every figure in its title; a figure of simulated rows carries a watermark as well.
"""

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
import seaborn as sns
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from tlids_helpers.common import style
from tlids_helpers.results import comparison, paper
from tlids_helpers.results.metrics import SCORES

_SETUP = ("task", "split", "protocol", "seed")


def overview(results: Sequence[dict]) -> pd.DataFrame:
    """One line a run, in the order given: what its rows are, its scores on the test split, epochs and seconds."""
    rows = [
        (result["title"], comparison.full_mark(result) or "published", *(result[name] for name in _SETUP),
         *(f"{result['scores'][name]:.4f}" for name in SCORES), f"{result['rows']['test']:,}", result["epochs"],
         f"{result['seconds']['total']:,.1f}", result["run"])
        for result in results
    ]  # fmt: skip
    return pd.DataFrame(
        rows, columns=["dataset", "rows are", *_SETUP, *SCORES, "test rows", "epochs", "seconds", "run"]
    )


def title(result: dict) -> str:
    """What a figure of one run is called."""
    return f"{result['title']}, {', '.join(str(result[name]) for name in _SETUP[:-1])}, seed {result['seed']}"


def scores(results: Mapping[str, dict]) -> pd.DataFrame:
    """Scores of several runs on the test split, one column a run: label -> result."""
    columns = {label: pd.Series(result["scores"])[list(SCORES)] for label, result in results.items()}
    return style.marked(
        pd.DataFrame(columns).map("{:.4f}".format), style.all_marks(result["mark"] for result in results.values())
    )


def times(results: Mapping[str, dict]) -> pd.DataFrame:
    """Epochs and seconds of several runs, one column a run; `ratio` is the first run's total over each one's."""
    first = next(iter(results.values()))["seconds"]["total"]
    columns = {
        label: {
            "epochs": result["epochs"],
            "seconds per epoch": round(result["seconds"]["per_epoch"], 2),
            "seconds in all": round(result["seconds"]["total"], 1),
            "ratio": round(first / result["seconds"]["total"], 2),
        }
        for label, result in results.items()
    }
    return style.marked(pd.DataFrame(columns), style.all_marks(result["mark"] for result in results.values()))


def per_class(result: dict) -> pd.DataFrame:
    """Precision, recall, F1 and support (test rows) of each class of one run."""
    frame = pd.DataFrame(result["per_class"]).T.rename_axis("class").reset_index()
    frame["support"] = frame["support"].astype(int)
    shares = ["precision", "recall", "f1"]
    frame[shares] = frame[shares].map("{:.4f}".format)
    return style.marked(frame, result["mark"])


def confusion(
    matrix: Sequence[Sequence[int]] | np.ndarray, classes: Sequence[str], title: str = "Confusion matrix",
    mark: str = "",
) -> Figure:  # fmt: skip
    """A confusion matrix (rows true, columns predicted): counts as text, share of the row as colour.

    A class without a test row stays uncoloured. Readable at the 21 classes of NF-UQ-NIDS.
    """
    counts = np.asarray(matrix, dtype="int64")
    totals = counts.sum(axis=1, keepdims=True)
    shares = np.divide(counts, totals, out=np.zeros(counts.shape), where=totals > 0)
    side, size = len(classes), 9 if len(classes) <= 10 else 8
    cell = max(0.55, size / 72 * 0.62 * (len(f"{counts.max():,}") + 1))
    figure, axes = style.figure(3.6 + cell * side, 2.6 + max(0.36, 0.7 * cell) * side)
    text = np.vectorize("{:,}".format, otypes=[str])(counts)
    sns.heatmap(
        shares, annot=text, fmt="", cmap="Blues", vmin=0, vmax=1, ax=axes,
        linewidths=0.5, linecolor="0.8", annot_kws={"size": size}, xticklabels=list(classes),
        yticklabels=[f"{name} ({total:,})" for name, total in zip(classes, totals[:, 0], strict=True)],
        cbar_kws={"label": "share of the true class (row)", "fraction": 0.3 / (cell * side), "aspect": 30},
    )  # fmt: skip
    _grey_zeros(axes)
    axes.tick_params(axis="x", rotation=90 if side > 2 else 0)
    axes.tick_params(axis="y", rotation=0)
    axes.set(xlabel="predicted class", ylabel="true class (flows in the test split)")
    return style.finish(figure, title, mark, _mistakes(counts, classes))


def _mistakes(counts: np.ndarray, classes: Sequence[str]) -> str:
    """How many flows are right and, of more than two classes, the most frequent mistake."""
    right = f"{np.trace(counts):,} of {counts.sum():,} flows right"
    wrong = counts - np.diag(np.diag(counts))
    if len(classes) < 3 or not wrong.any():
        return right
    true, predicted = np.unravel_index(wrong.argmax(), wrong.shape)
    return f"{right}; most frequent mistake: {classes[true]} as {classes[predicted]} ({wrong.max():,})"


def per_class_bars(
    by_class: Mapping[str, Mapping[str, float]], title: str = "Precision, recall and F1 per class", mark: str = ""
) -> Figure:
    """Precision, recall and F1 (fractions) of each class (`metrics.per_class`), with its test flows at its name."""
    names = list(by_class)
    figure, axes = style.figure(8, 1.8 + 0.55 * len(names))
    looks = (("precision", style.LIGHT, ""), ("recall", style.ORANGE, "///"), ("f1", style.BLUE, "..."))
    for bar, (metric, colour, hatch) in enumerate(looks):
        heights = np.arange(len(names)) + 0.27 * (bar - 1)
        values = [by_class[name][metric] for name in names]
        axes.barh(heights, values, 0.25, color=colour, hatch=hatch, edgecolor="black", linewidth=0.5,
                  label={"f1": "F1"}.get(metric, metric))  # fmt: skip
        for height, value in zip(heights, values, strict=True):
            axes.text(value + 0.008, height, f"{value:.2f}", va="center", fontsize=7)
    axes.set_yticks(range(len(names)), [f"{name} ({int(by_class[name]['support']):,})" for name in names])
    style.from_the_top(axes, len(names))
    axes.set(xlabel="score (fraction of 1)", ylabel="class (flows in the test split)", xlim=(0, 1.08))
    axes.grid(axis="x", color=style.GRID)
    style.legend_below(figure, axes)
    tested = [name for name in names if by_class[name]["support"]]
    lowest = min(tested, key=lambda name: by_class[name]["f1"], default="")
    found = f"lowest F1 is {by_class[lowest]['f1']:.2f}, of {lowest}" if tested else ""
    return style.finish(figure, title, mark, found)


def comparison_bars(
    frame: pd.DataFrame, metric: str = "accuracy", title: str = "Published beside ours", mark: str = ""
) -> Figure:
    """The paper's 'Proposed' numbers beside ours for each dataset; `frame` comes from `comparison.beside`.

    Each of our numbers has its mark at the dataset's name; all that occur stand in the title unless `mark` is given.
    """
    rows = frame[(frame["model"] == paper.PROPOSED) & (frame["metric"] == metric)]
    marked = zip(rows["dataset"], rows["mark"], strict=True)
    names = [f"{paper.title(slug)}\n{style.bracketed(own)}".strip() for slug, own in marked]
    figure, axes = style.figure(8, 1.6 + 0.75 * len(rows))
    values = {"published": 100 * rows["published"], "ours": 100 * rows["ours"]}
    style.two_bars(axes, values, names, form="{:.2f} %")
    axes.set(xlabel=f"{'F1' if metric == 'f1' else metric} (%)", ylabel="dataset", xlim=(0, 114))
    axes.set_xticks(range(0, 101, 20))
    axes.grid(axis="x", color=style.GRID)
    style.legend_below(figure, axes)
    measured = f"{rows['ours'].notna().sum()} of {len(rows)} datasets measured here"
    return style.finish(figure, title, mark or style.all_marks(rows["mark"]), measured)


def time_saved(frame: pd.DataFrame, title: str = "Training time", mark: str = "") -> Figure:
    """Seconds of training from scratch beside those of transfer, with the ratio; `frame`: `comparison.time_saved`."""
    figure, axes = style.figure(8, 1.8 + 0.75 * len(frame))
    names = [f"{paper.title(row.dataset)}, {row.task}\nprotocol {row.protocol}, seed {row.seed}"
             f"{style.bracketed(row.mark)}" for row in frame.itertuples()]  # fmt: skip
    scratch, transfer = frame["scratch_seconds"], frame["transfer_seconds"]
    style.two_bars(axes, {"from scratch": scratch, "transfer": transfer}, names, form="{:,.1f} s")
    longest = max([*scratch, *transfer, 1e-9])
    for row, ratio in enumerate(frame["ratio"]):
        axes.text(1.44 * longest, row, f"{ratio:.2f} ×", va="center", ha="right", fontweight="bold")
    axes.set(xlabel="training time (s); right: from scratch / transfer", ylabel="run", xlim=(0, 1.46 * longest))
    axes.grid(axis="x", color=style.GRID)
    style.legend_below(figure, axes)
    faster = f"transfer was faster in {(frame['ratio'] > 1).sum()} of {len(frame)} pairs of runs"
    return style.finish(figure, title, mark or style.all_marks(frame["mark"]), faster)


def _grey_zeros(axes: Axes) -> None:
    # the eye should find the mistakes among the hundreds of empty cells
    for text in axes.texts:
        if text.get_text() == "0":
            text.set_color("0.6")
