"""Every figure of notebook 07, in the manner of plots.py: a Figure is returned, nothing is shown, printed or saved."""

from collections.abc import Mapping

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import seaborn as sns
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from tlids_helpers.audit.drift import LARGE, MODERATE
from tlids_helpers.plots import BLUE, GREEN, GRID, LIGHT, ORANGE, _figure, _from_the_top, finish

SCORE_NAMES = {
    "macro_f1": "macro-F1", "f1": "weighted F1", "precision": "weighted precision", "recall": "weighted recall",
    "balanced_accuracy": "balanced accuracy", "mcc": "MCC", "pr_auc": "PR-AUC (macro)",
    "pr_auc_attack": "PR-AUC (attack)", "recall_at_0.001": "recall at 0.1 % false positives",
    "recall_at_0.01": "recall at 1 % false positives",
}  # fmt: skip
COST_NAMES = {
    "bytes": "model size on disk (bytes)", "fit_seconds": "time to fit (s)",
    "predict_seconds": "time to predict the test split (s)",
}  # fmt: skip
MARKERS = "osD^vP*Xhd"


def reliability(tables: Mapping[str, pd.DataFrame], title: str = "Reliability", mark: str = "") -> Figure:
    """What a model says against how often it is so, for each label -> `calibration.reliability`; below, the rows."""
    figure, (upper, lower) = plt.subplots(
        2, 1, figsize=(6.4, 6.6), sharex=True, height_ratios=(3, 1), layout="constrained"
    )
    plt.close(figure)
    upper.plot([0, 1], [0, 1], color="black", linestyle=":", linewidth=1, label="perfectly calibrated")
    for place, (name, table) in enumerate(tables.items()):
        colour, shown = (BLUE, ORANGE, GREEN)[place % 3], table[table["count"] > 0]
        look = {"color": colour, "marker": MARKERS[place % len(MARKERS)], "linestyle": ("-", "--", "-.")[place % 3]}
        upper.plot(shown["confidence"], shown["accuracy"], label=name, **look)
        lower.plot(shown["confidence"], shown["count"], **look)
    upper.set(ylabel="share that is so (fraction of 1)", xlim=(-0.02, 1.02), ylim=(-0.02, 1.05))
    most = max(table["count"].max() for table in tables.values())
    lower.set(xlabel="mean probability of the bin", ylabel="test flows", yscale="log", ylim=(0.8, 3 * most))
    for axes in (upper, lower):
        axes.grid(color=GRID)
    figure.legend(*upper.get_legend_handles_labels(), loc="outside lower center", ncols=3, frameon=False)
    return finish(figure, title, mark)


def cross_matrix(
    frame: pd.DataFrame, arm: str = "CNN, zero-shot", score: str = "balanced_accuracy", title: str = "", mark: str = ""
) -> Figure:
    """One arm of `cross.matrix` as a heat map: trained on the row, tested on the column; percent, grey without a pair.

    All marks that occur stand in the title unless `mark` is told.
    """
    rows = frame[frame["arm"] == arm]
    names = list(dict.fromkeys([*frame["source"], *frame["target"]]))
    grid = rows.pivot(index="source", columns="target", values=score).reindex(index=names, columns=names)
    side = len(names)
    figure, axes = _figure(3.6 + 1.15 * side, 2.4 + 0.75 * side)
    axes.set_facecolor("0.85")
    sns.heatmap(
        100 * grid, annot=True, fmt=".1f", cmap="Blues", vmin=0, vmax=100, ax=axes, linewidths=0.5, linecolor="0.8",
        cbar_kws={"label": f"{_said(score)} (%)"},
    )  # fmt: skip
    axes.tick_params(axis="x", rotation=30)
    plt.setp(axes.get_xticklabels(), ha="right")
    axes.tick_params(axis="y", rotation=0)
    axes.set(xlabel="tested on", ylabel="trained on")
    return finish(figure, title or f"{arm}: attack or benign", mark or _marks(rows))


def cross_arms(
    frame: pd.DataFrame, score: str = "balanced_accuracy", title: str = "How much of the new network it takes",
    mark: str = "",
) -> Figure:  # fmt: skip
    """All arms of `cross.matrix` for each pair of different datasets: one row a pair, one sign an arm."""
    rows = frame[frame["source"] != frame["target"]]
    pairs = list(dict.fromkeys(zip(rows["source"], rows["target"], strict=True)))
    arms = list(dict.fromkeys(rows["arm"]))
    figure, axes = _figure(8, max(3.2, 1.9 + 0.42 * len(pairs)))
    for place, arm in enumerate(arms):
        shown = rows[rows["arm"] == arm]
        heights = [pairs.index(pair) for pair in zip(shown["source"], shown["target"], strict=True)]
        colour = sns.color_palette("colorblind")[place % 10]
        axes.scatter(100 * shown[score], heights, marker=MARKERS[place % len(MARKERS)], color=colour, s=55,
                     edgecolor="black", linewidth=0.5, label=arm, zorder=3)  # fmt: skip
    axes.set_yticks(range(len(pairs)), [f"{source} → {target}" for source, target in pairs])
    axes.set_ylim(len(pairs) - 0.5, -0.5)
    axes.set(xlabel=f"{_said(score)} (%)", ylabel="trained on → tested on", xlim=(-2, 102))
    axes.grid(color=GRID)
    figure.legend(*axes.get_legend_handles_labels(), loc="outside lower center", ncols=2, frameon=False)
    return finish(figure, title, mark or _marks(rows))


def baselines(
    summary: pd.DataFrame,
    cost: str = "bytes",
    score: str = "macro_f1",
    title: str = "What a model buys",
    mark: str = "",
) -> Figure:
    """Score against cost (log scale) of each model of `spread.summary`: means over the seeds, bars of one deviation.

    `cost` is "bytes", "fit_seconds" or "predict_seconds".
    """
    wide = summary.pivot(index="model", columns="score", values=["mean", "deviation"])
    figure, axes = _figure(8, 5)
    colours = sns.color_palette("colorblind", len(wide))
    for place, name in enumerate(dict.fromkeys(summary["model"])):
        row = wide.loc[name]
        axes.errorbar(
            row["mean", cost], 100 * row["mean", score], 100 * row["deviation", score], row["deviation", cost],
            marker=MARKERS[place % len(MARKERS)], color=colours[place], markeredgecolor="black", markersize=8,
            linestyle="", ecolor="0.3", elinewidth=1, capsize=3, label=name,
        )  # fmt: skip
    axes.set_xscale("log")
    axes.set(xlabel=f"{COST_NAMES[cost]}, log scale", ylabel=f"{_said(score)} (%)")
    axes.margins(0.08)
    axes.grid(color=GRID)
    seeds = sorted(set(summary["seeds"]))
    figure.legend(*axes.get_legend_handles_labels(), loc="outside right center", frameon=False,
                  title=f"mean ± deviation,\n{'-'.join(map(str, seeds))} seeds")  # fmt: skip
    return finish(figure, title, mark)


def feature_set_bars(
    frame: pd.DataFrame, score: str = "macro_f1", by: str = "features", title: str = "Feature sets", mark: str = ""
) -> Figure:
    """A bar for each feature set (column `by`), in percent; where a set has several rows, their mean and deviation."""
    grouped = frame.groupby(by, sort=False)[score]
    means, deviations = 100 * grouped.mean(), 100 * grouped.std()
    figure, axes = _bars(means, deviations, "{:.1f}")
    axes.set(xlabel=f"{_said(score)} (%)", ylabel="features", xlim=(0, 112))
    axes.set_xticks(range(0, 101, 20))
    return finish(figure, title, mark)


def psi_bars(frame: pd.DataFrame, title: str = "Drift from source to target", mark: str = "") -> Figure:
    """PSI of each feature (`drift.table`), with the usual limits of a moderate and of a large shift."""
    figure, axes = _bars(frame.set_index("feature")["psi"], None, "{:.2f}")
    axes.axvline(MODERATE, color="black", linestyle=":", linewidth=1, label=f"moderate: from {MODERATE:g}")
    axes.axvline(LARGE, color="black", linestyle="--", linewidth=1, label=f"large: from {LARGE:g}")
    axes.set(
        xlabel="population-stability index (nats)", ylabel="feature", xlim=(0, 1.15 * max(0.3, frame["psi"].max()))
    )
    axes.legend(loc="lower right")
    return finish(figure, title, mark or frame.columns.name or "")


def importance_bars(frame: pd.DataFrame, title: str = "Permutation importance", mark: str = "") -> Figure:
    """Macro-F1 lost when a feature is shuffled (`explain.permutation`), in points; bars of one deviation."""
    shown = frame.set_index("feature")
    figure, axes = _bars(100 * shown["importance"], 100 * shown["deviation"], "{:.1f}")
    axes.set(xlabel="macro-F1 lost (percentage points)", ylabel="feature shuffled")
    return finish(figure, title, mark)


def attribution_bars(frame: pd.DataFrame, title: str = "Integrated gradients", mark: str = "") -> Figure:
    """What each feature of one flow adds to the probability (`Attribution.table`), its value and the baseline's."""
    names = [f"{row.feature}\n{row.value:g} (baseline {row.baseline:g})" for row in frame.itertuples()]
    figure, axes = _bars(pd.Series(frame["attribution"].to_numpy(), index=names), None, "{:+.3f}", height=0.5)
    axes.set(xlabel="added to the probability", ylabel="feature and value")
    return finish(figure, title, mark)


def _bars(values: pd.Series, deviations: pd.Series | None, form: str, height: float = 0.36) -> tuple[Figure, Axes]:
    """Horizontal bars from the top, negative ones hatched, each with its number beyond its end."""
    figure, axes = _figure(8, 1.5 + height * len(values))
    low = values < 0
    spread = np.zeros(len(values)) if deviations is None else deviations.fillna(0).to_numpy()
    axes.barh(
        range(len(values)), values, 0.65, edgecolor="black", linewidth=0.6,
        color=[LIGHT if one else BLUE for one in low], hatch=["///" if one else "" for one in low],
        xerr=None if deviations is None else spread, error_kw={"capsize": 3, "ecolor": "0.3"},
    )  # fmt: skip
    for place, (value, far) in enumerate(zip(values, spread, strict=True)):
        side = "right" if value < 0 else "left"
        end = value - far if value < 0 else value + far
        axes.text(end, place, f" {form.format(value)} ", va="center", ha=side, fontsize=8)
    axes.set_yticks(range(len(values)), [str(name) for name in values.index])
    _from_the_top(axes, len(values))
    axes.margins(x=0.14)
    axes.grid(axis="x", color=GRID)
    return figure, axes


def _said(score: str) -> str:
    return SCORE_NAMES.get(score, score.replace("_", " "))


def _marks(frame: pd.DataFrame) -> str:
    return "; ".join(dict.fromkeys(filter(None, frame["mark"])))
