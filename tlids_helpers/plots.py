"""Every figure of notebooks 01-04. Each function returns a Figure; it shows, prints and saves nothing.

Colours are seaborn's colour-blind-safe palette, and what a colour tells a hatch, marker or line style tells too, so
that the figures can be read in grey. `mark` (see `comparison.full_mark`) stands in the title when it is not empty;
where it speaks of simulated rows the figure carries a watermark as well.
"""

from collections.abc import Iterable, Mapping, Sequence

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import seaborn as sns
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Patch

from tlids_helpers.results.paper import PROPOSED
from tlids_helpers.results.paper import title as dataset_title

BLUE, ORANGE, GREEN, *_ = sns.color_palette("colorblind")
LIGHT = (0.75, 0.82, 0.9)
GRID = "0.88"

UNITS = {
    "L4_SRC_PORT": "port number", "L4_DST_PORT": "port number", "PROTOCOL": "IANA number", "TCP_FLAGS": "OR of flags",
    "L7_PROTO": "nDPI id", "IN_BYTES": "bytes", "OUT_BYTES": "bytes", "IN_PKTS": "packets", "OUT_PKTS": "packets",
    "Bwd_Pkt_Len_Std": "bytes", "Bwd_IAT_Min": "µs", "Init_Fwd_Win_Byts": "bytes", "Bwd_IAT_Mean": "µs",
    "TotLen_Bwd_Pkts": "bytes", "Bwd_IAT_Tot": "µs", "Subflow_Fwd_Byts": "bytes", "Dst_Port": "port number",
    "Src_Port": "port number",
}  # fmt: skip
"""Units of the eighteen features of Tables 1 and 3."""


def class_counts(counts: Mapping[str, int | None], title: str = "Flows per class", mark: str = "") -> Figure:
    """Rows of each class (class -> rows; None where nobody has published it), largest first, on a log axis."""
    known = pd.Series(dict(counts), dtype="float64").sort_values(ascending=False, na_position="last")
    figure, axes = _figure(8, 1.4 + 0.28 * len(known))
    axes.set_xscale("log")
    axes.set_xlim(1, 12 * max(2, known.max()) if known.notna().any() else 10)
    axes.barh(known.index, known.fillna(0), color=BLUE, edgecolor="black", linewidth=0.5)
    for place, rows in enumerate(known):
        text = "not published" if np.isnan(rows) else f"{rows:,.0f}"
        axes.text(rows if rows > 1 else 1, place, f" {text}", va="center", fontsize=8)
    _from_the_top(axes, len(known))
    axes.grid(axis="x", color=GRID)
    axes.set(xlabel="flows (log scale)", ylabel="class")
    return finish(figure, title, mark)


def split_sizes(
    sizes: Mapping[str, int], published: Mapping[str, int | None] | None = None, title: str = "Rows per split",
    mark: str = "",
) -> Figure:  # fmt: skip
    """Rows of each split (name -> rows), beside the paper's (Tables 1 and 3) for the names that `published` has."""
    figure, axes = _figure(7, 1.4 + 0.65 * len(sizes))
    theirs = [(published or {}).get(name) for name in sizes]
    if published:
        _two_bars(axes, list(sizes), theirs, list(sizes.values()))
        _legend_below(figure, axes)
    else:
        axes.bar_label(
            axes.barh(list(sizes), list(sizes.values()), color=BLUE, edgecolor="black"), fmt="{:,.0f}", padding=3
        )
        _from_the_top(axes, len(sizes))
    longest = max([*sizes.values(), *(rows or 0 for rows in theirs), 1])
    axes.set(xlabel="flows", ylabel="split", xlim=(0, 1.22 * longest))
    axes.xaxis.set_major_formatter(lambda value, _: f"{value:,.0f}")
    axes.grid(axis="x", color=GRID)
    return finish(figure, title, mark)


def feature_importance(
    importance: Mapping[str, float], paper_nine: Iterable[str], top: int = 25,
    title: str = "Random-forest feature importance", mark: str = "",
) -> Figure:  # fmt: skip
    """Gini importance (feature -> share, all features adding up to 1), the paper's nine (Table 3) set apart.

    The `top` most important are shown, and those of the paper's nine that come after them.
    """
    nine = set(paper_nine)
    ranked = pd.Series(dict(importance), dtype="float64").sort_values(ascending=False)
    shown = ranked[[place < top or name in nine for place, name in enumerate(ranked.index)]]
    figure, axes = _figure(8, 1.6 + 0.25 * len(shown))
    axes.barh(
        [f"{name}  ({ranked.index.get_loc(name) + 1})" for name in shown.index], shown,
        color=[BLUE if name in nine else LIGHT for name in shown.index], edgecolor="black", linewidth=0.6,
        hatch=["///" if name in nine else "" for name in shown.index],
    )  # fmt: skip
    axes.axhline(8.5, color="black", linestyle=":", linewidth=1)
    _from_the_top(axes, len(shown))
    axes.set(xlabel="Gini importance (share of 1)", ylabel="feature (rank)")
    axes.grid(axis="x", color=GRID)
    axes.legend(
        handles=[Patch(facecolor=BLUE, edgecolor="black", hatch="///", label="among the paper's nine"),
                 Patch(facecolor=LIGHT, edgecolor="black", label="not among them"),
                 plt.Line2D([], [], color="black", linestyle=":", label="our nine lie above this line")],
        loc="lower right",
    )  # fmt: skip
    return finish(figure, title, mark)


def feature_distributions(
    frame: pd.DataFrame, features: Sequence[str], label: str = "Attack",
    title: str = "Features by class", mark: str = "",
) -> Figure:  # fmt: skip
    """Box plots (quartiles; whiskers 5 to 95 %) of log(1 + x) for each feature and class; `frame` holds raw values.

    Negative sentinels count as 0 and rows that are not finite are left out, as log(1 + x) wants it.
    """
    classes = [str(name) for name in frame[label].value_counts().index]  # the largest on top
    columns = min(3, len(features))
    rows = -(-len(features) // columns)
    figure, grid = plt.subplots(
        rows, columns, figsize=(3.7 * columns + 1.2, rows * (1.0 + 0.2 * len(classes)) + 0.6), sharey=True,
        squeeze=False, layout="constrained",
    )  # fmt: skip
    plt.close(figure)
    for axes, name in zip(grid.flat, features, strict=False):
        finite = frame.loc[np.isfinite(frame[name].astype("float64")), [name, label]]
        logs = np.log1p(finite[name].astype("float64").clip(lower=0)).groupby(finite[label].astype(str))
        groups = dict(iter(logs))
        # not seaborn's: 0.13 draws horizontal boxes with an argument that Matplotlib 3.11 warns about
        axes.boxplot([groups.get(one, []) for one in classes], orientation="horizontal",
                     manage_ticks=False, positions=range(len(classes)), whis=(5, 95), showfliers=False, widths=0.65,
                     patch_artist=True, boxprops={"facecolor": LIGHT},
                     medianprops={"color": "black", "linewidth": 1.6})  # fmt: skip
        axes.set_xlabel(f"log(1 + {name})" + (f"\n{name}: {UNITS[name]}" if name in UNITS else ""))
        axes.grid(axis="x", color=GRID)
    for axes in list(grid.flat)[len(features) :]:
        axes.set_visible(False)
    for axes in grid[:, 0]:
        axes.set_ylabel("class")
    grid[0, 0].set_yticks(range(len(classes)), classes)  # the y axis is shared
    _from_the_top(grid[0, 0], len(classes))
    return finish(figure, title, mark)


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
    figure, axes = _figure(3.6 + cell * side, 2.6 + max(0.36, 0.7 * cell) * side)
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
    return finish(figure, title, mark)


def _grey_zeros(axes: Axes) -> None:
    # the eye should find the mistakes among the hundreds of empty cells
    for text in axes.texts:
        if text.get_text() == "0":
            text.set_color("0.6")


def per_class_bars(
    per_class: Mapping[str, Mapping[str, float]], title: str = "Precision, recall and F1 per class", mark: str = ""
) -> Figure:
    """Precision, recall and F1 (fractions) of each class, whose support (test flows) stands at its name."""
    names = list(per_class)
    figure, axes = _figure(8, 1.8 + 0.55 * len(names))
    looks = (("precision", LIGHT, ""), ("recall", ORANGE, "///"), ("f1", BLUE, "..."))
    for place, (metric, colour, hatch) in enumerate(looks):
        places = np.arange(len(names)) + 0.27 * (place - 1)
        values = [per_class[name][metric] for name in names]
        axes.barh(places, values, 0.25, color=colour, hatch=hatch, edgecolor="black", linewidth=0.5,
                  label={"f1": "F1"}.get(metric, metric))  # fmt: skip
        for y, value in zip(places, values, strict=True):
            axes.text(value + 0.008, y, f"{value:.2f}", va="center", fontsize=7)
    axes.set_yticks(range(len(names)), [f"{name} ({int(per_class[name]['support']):,})" for name in names])
    _from_the_top(axes, len(names))
    axes.set(xlabel="score (fraction of 1)", ylabel="class (flows in the test split)", xlim=(0, 1.08))
    axes.grid(axis="x", color=GRID)
    _legend_below(figure, axes)
    return finish(figure, title, mark)


def best_epoch(history: Mapping[str, Sequence[float]]) -> int:
    """The epoch (from 1) of the lowest validation loss, or of the lowest training loss where nothing was held out."""
    losses = history.get("val_loss") or history["loss"]
    return int(np.nanargmin(losses)) + 1


def training_curves(
    history: Mapping[str, Sequence[float]], title: str = "Training and validation", mark: str = ""
) -> Figure:
    """Loss and accuracy by epoch, training and validation, with the epoch of the lowest validation loss marked.

    `history` holds loss, accuracy and, where there was a validation part, val_loss and val_accuracy: a value an epoch.
    """
    figure, panels = plt.subplots(1, 2, figsize=(10, 3.8), layout="constrained")
    plt.close(figure)
    best = best_epoch(history)
    for axes, name, unit in zip(panels, ("loss", "accuracy"), ("cross-entropy (nats)", "fraction of 1"), strict=True):
        epochs = np.arange(1, len(history[name]) + 1)
        axes.plot(epochs, history[name], color=BLUE, marker="o", markersize=3, label="training")
        if history.get(f"val_{name}"):
            axes.plot(epochs, history[f"val_{name}"], color=ORANGE, linestyle="--", marker="s", markersize=3,
                      label="validation")  # fmt: skip
        axes.axvline(best, color="black", linestyle=":", label=f"best epoch: {best}")
        axes.set(xlabel="epoch", ylabel=f"{name}, {unit}")
        axes.xaxis.get_major_locator().set_params(integer=True)
        axes.grid(color=GRID)
        axes.legend()
    return finish(figure, title, mark)


def arm_curves(
    histories: Mapping[str, Mapping[str, Sequence[float]]], title: str = "Validation loss of each arm", mark: str = ""
) -> Figure:
    """Validation loss by epoch of several runs (label -> history), each run's best epoch marked."""
    figure, axes = _figure(8, 4)
    for place, (name, history) in enumerate(histories.items()):
        losses, best = history["val_loss"], best_epoch(history)
        colour, dash = (BLUE, ORANGE, GREEN)[place % 3], ("-", "--", ":")[place % 3]
        axes.plot(np.arange(1, len(losses) + 1), losses, color=colour, linestyle=dash, label=f"{name} (best: {best})")
        axes.plot(best, losses[best - 1], color=colour, marker="o")
    axes.set(xlabel="epoch", ylabel="validation loss, cross-entropy (nats)")
    axes.xaxis.get_major_locator().set_params(integer=True)
    axes.grid(color=GRID)
    axes.legend()
    return finish(figure, title, mark)


def sweep(
    frame: pd.DataFrame, metric: str = "accuracy", chosen: Mapping[str, float] | None = None,
    title: str = "Hyper-parameter study", mark: str = "",
) -> Figure:  # fmt: skip
    """The study of Section 4.2.2: a panel for each hyper-parameter, a point for each value, the paper's choice starred.

    `frame` is tidy: parameter, value, the column `metric` (a fraction), and several rows a value where several seeds
    ran: the mean is drawn as a line. `chosen` (parameter -> the paper's value) is learning rate 0.01, 50 epochs,
    batch 128 unless told.
    """
    chosen = {"learning_rate": 0.01, "epochs": 50, "batch_size": 128} if chosen is None else chosen
    names = list(dict.fromkeys(frame["parameter"]))
    figure, panels = plt.subplots(
        1, len(names), figsize=(1 + 3.4 * len(names), 3.8), sharey=True, squeeze=False, layout="constrained"
    )
    plt.close(figure)
    for axes, name in zip(panels[0], names, strict=True):
        rows = frame[frame["parameter"] == name]
        means = rows.groupby("value")[metric].mean()
        places = {value: place for place, value in enumerate(means.index)}
        axes.plot(range(len(means)), means, color=BLUE, linestyle="--", linewidth=1)
        axes.scatter(rows["value"].map(places), rows[metric], color=BLUE, s=28, label="tried")
        if chosen.get(name) in places:
            axes.scatter(places[chosen[name]], means[chosen[name]], marker="*", s=220, color=ORANGE, edgecolor="black",
                         zorder=3, label="the paper's choice")  # fmt: skip
        axes.set_xticks(range(len(means)), [f"{value:g}" for value in means.index])
        axes.set(xlabel=name.replace("_", " "), ylabel=f"{metric.replace('_', ' ')} (fraction of 1)")
        axes.margins(x=0.15)
        axes.grid(color=GRID)
        axes.label_outer()
    _legend_below(figure, panels[0][0])
    return finish(figure, title, mark)


def comparison_bars(
    frame: pd.DataFrame, metric: str = "accuracy", title: str = "Published beside ours", mark: str = ""
) -> Figure:
    """The paper's 'Proposed' numbers beside ours for each dataset; `frame` comes from `comparison.beside`.

    Each of our numbers has its mark at the dataset's name; all that occur stand in the title unless `mark` is told.
    """
    rows = frame[(frame["model"] == PROPOSED) & (frame["metric"] == metric)]
    marked = zip(rows["dataset"], rows["mark"], strict=True)
    names = [f"{dataset_title(slug)}\n{_bracketed(own)}".strip() for slug, own in marked]
    figure, axes = _figure(8, 1.6 + 0.75 * len(rows))
    _two_bars(axes, names, 100 * rows["published"], 100 * rows["ours"], form="{:.2f} %")
    axes.set(xlabel=f"{'F1' if metric == 'f1' else metric} (%)", ylabel="dataset", xlim=(0, 114))
    axes.set_xticks(range(0, 101, 20))
    axes.grid(axis="x", color=GRID)
    _legend_below(figure, axes)
    return finish(figure, title, mark or "; ".join(dict.fromkeys(filter(None, rows["mark"]))))


def time_saved(frame: pd.DataFrame, title: str = "Training time: scratch and transfer", mark: str = "") -> Figure:
    """Seconds of training from scratch beside those of transfer, with the ratio; `frame`: `comparison.time_saved`."""
    figure, axes = _figure(8, 1.8 + 0.75 * len(frame))
    names = [f"{dataset_title(row.dataset)}, {row.task}\nprotocol {row.protocol}, seed {row.seed}{_bracketed(row.mark)}"
             for row in frame.itertuples()]  # fmt: skip
    scratch, transfer = frame["scratch_seconds"], frame["transfer_seconds"]
    _two_bars(axes, names, scratch, transfer, form="{:,.1f} s", labels=("from scratch", "transfer"))
    longest = max([*scratch, *transfer, 1e-9])
    for place, ratio in enumerate(frame["ratio"]):
        axes.text(1.44 * longest, place, f"{ratio:.2f} ×", va="center", ha="right", fontweight="bold")
    axes.set(xlabel="training time (s); right: scratch / transfer", ylabel="run", xlim=(0, 1.46 * longest))
    axes.grid(axis="x", color=GRID)
    _legend_below(figure, axes)
    return finish(figure, title, mark or "; ".join(dict.fromkeys(filter(None, frame["mark"]))))


def _figure(width: float, height: float) -> tuple[Figure, Axes]:
    # closed at once: pyplot would draw it a second time under the cell that returns it
    figure, axes = plt.subplots(figsize=(width, height), layout="constrained")
    plt.close(figure)
    axes.set_axisbelow(True)
    return figure, axes


def _two_bars(
    axes: Axes, names: Sequence[str], first: Sequence[float | None], second: Sequence[float | None],
    form: str = "{:,.0f}", labels: tuple[str, str] = ("published", "ours"),
) -> None:  # fmt: skip
    """Two horizontal bars a name, each with its number at its end; a dash where there is none."""
    for offset, values, colour, hatch, label in (
        (-0.2, first, LIGHT, "", labels[0]),
        (0.2, second, BLUE, "///", labels[1]),
    ):
        numbers = np.array([np.nan if value is None else value for value in values], dtype="float64")
        places = np.arange(len(names)) + offset
        axes.barh(places, np.nan_to_num(numbers), 0.38, color=colour, hatch=hatch, edgecolor="black", linewidth=0.6,
                  label=label)  # fmt: skip
        for place, number in zip(places, numbers, strict=True):
            text = "-" if np.isnan(number) else form.format(number)
            axes.text(np.nan_to_num(number), place, f" {text}", va="center", fontsize=8)
    axes.set_yticks(range(len(names)), names)
    _from_the_top(axes, len(names))


def _from_the_top(axes: Axes, bars: int) -> None:
    axes.set_ylim(bars - 0.35, -0.65)


def _legend_below(figure: Figure, axes: Axes) -> None:
    # outside the axes, where it covers no bar
    figure.legend(*axes.get_legend_handles_labels(), loc="outside lower center", ncols=3, frameon=False)


def _bracketed(mark: str) -> str:
    return f" [{mark}]" if mark else ""


def finish(figure: Figure, title: str, mark: str) -> Figure:
    """Put the title, with the mark, on top, and a light diagonal watermark across a figure of simulated rows."""
    figure.suptitle(title + _bracketed(mark), fontweight="bold", wrap=True)
    if "simulated" in mark:
        size = min(90, 9.5 * min(figure.get_figwidth(), 1.6 * figure.get_figheight()))
        figure.text(0.5, 0.5, "simulated", fontsize=size, color="0.4", alpha=0.16, rotation=25, ha="center",
                    va="center", zorder=10)  # fmt: skip
    return figure
