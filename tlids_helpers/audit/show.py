"""Tables and figures of notebooks 08 and 09. A Figure is returned; nothing is shown, printed or saved."""

from collections.abc import Mapping, Sequence

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import seaborn as sns
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from tlids_helpers.audit.check import Check
from tlids_helpers.audit.networks import LARGE, MODERATE
from tlids_helpers.audit.seeds import COSTS, SHOWN
from tlids_helpers.common import style
from tlids_helpers.common.style import BLUE, GREEN, GRID, LIGHT, ORANGE, finish, marked
from tlids_helpers.data.prepare import Prepared
from tlids_helpers.results import metrics

COST_NAMES = {
    "bytes": "model size on disk (bytes)", "fit_seconds": "time to fit (s)",
    "predict_seconds": "time to predict the test split (s)",
}  # fmt: skip
MARKERS = "osD^vP*Xhd"


def spread(summary: pd.DataFrame, scores: Sequence[str] = SHOWN, mark: str = "") -> pd.DataFrame:
    """`seeds.summary` with a row a model and a column a score: "mean ± deviation", and the number of seeds."""
    texts = summary.assign(text=[f"{row.mean:.4f} ± {row.deviation:.4f}" for row in summary.itertuples(index=False)])
    models, kept = list(dict.fromkeys(summary["model"])), [s for s in scores if s in set(summary["score"])]
    wide = texts.pivot(index="model", columns="score", values="text").loc[models, kept]
    wide.insert(0, "seeds", summary.groupby("model")["seeds"].first()[models])
    return marked(wide.reset_index(), mark)


def costs(summary: pd.DataFrame, mark: str = "") -> pd.DataFrame:
    """Mean cost of each model of `seeds.summary`: model, fit_seconds, predict_seconds (test split), kB on disk."""
    models = list(dict.fromkeys(summary["model"]))
    wide = summary.pivot(index="model", columns="score", values="mean").loc[models, list(COSTS)]
    wide["kB"] = wide.pop("bytes") / 1000
    return marked(wide.reset_index(), mark)


def side_by_side(given: Mapping[str, np.ndarray], truth: np.ndarray, prepared: Prepared) -> pd.DataFrame:
    """All of `metrics.ALL_SCORES` of several models on the same rows, one seed: a row a score, a column a model.

    `given` is model -> probabilities (n, C), `truth` the codes (n,) of the test rows.
    """
    benign = 0 if prepared.classes[0] == prepared.benign else None
    scores = {name: metrics.all_scores(truth, probabilities, benign) for name, probabilities in given.items()}
    return marked(pd.DataFrame(scores).rename_axis("score").reset_index(), prepared.mark)


def f1_by_class(given: Mapping[str, np.ndarray], truth: np.ndarray, prepared: Prepared) -> pd.DataFrame:
    """class, support, and the F1 of each model, from its probabilities (n, C) for the test rows."""
    columns = {}
    for name, probabilities in given.items():
        per_class = metrics.per_class(truth, probabilities.argmax(axis=1), prepared.classes)
        columns["support"] = {label: scores["support"] for label, scores in per_class.items()}
        columns[name] = {label: scores["f1"] for label, scores in per_class.items()}
    return marked(pd.DataFrame(columns).rename_axis("class").reset_index(), prepared.mark)


def markdown(check: Check) -> str:
    """A check as a Markdown table, its mark in the corner, and its sentence below."""
    if check.table is None:
        return check.sentence
    columns, rows = texts(check.table)
    corner = check.table.columns.name
    head = [f"{corner}: {columns[0]}" if corner else columns[0], *columns[1:]]
    body = "\n".join("| " + " | ".join(line) + " |" for line in (head, ["---"] * len(head), *rows))
    return f"{body}\n\n{check.sentence}"


def texts(table: pd.DataFrame) -> tuple[list[str], list[list[str]]]:
    """A table's columns and rows as they are shown: counts with commas, four digits, "-" for what is missing."""
    return list(table.columns), [list(map(_cell, row)) for row in table.astype(object).to_numpy().tolist()]


def _cell(value) -> str:
    if value is None or (not isinstance(value, str) and pd.isna(value)):
        return "-"
    if isinstance(value, bool | np.bool_):
        return "yes" if value else "no"
    if isinstance(value, int | np.integer):
        return f"{value:,}"
    return f"{value:.4f}" if isinstance(value, float | np.floating) else str(value)


def reliability(bins: Mapping[str, pd.DataFrame], title: str = "Reliability", mark: str = "") -> Figure:
    """How often a model is right against the probability it gives; below, the rows; label -> `alarms.reliability`."""
    figure, (upper, lower) = plt.subplots(
        2, 1, figsize=(6.4, 6.6), sharex=True, height_ratios=(3, 1), layout="constrained"
    )
    plt.close(figure)
    upper.plot([0, 1], [0, 1], color="black", linestyle=":", linewidth=1, label="perfectly calibrated")
    for order, (name, table) in enumerate(bins.items()):
        colour, shown = (BLUE, ORANGE, GREEN)[order % 3], table[table["count"] > 0]
        look = {"color": colour, "marker": MARKERS[order % len(MARKERS)], "linestyle": ("-", "--", "-.")[order % 3]}
        upper.plot(shown["confidence"], shown["accuracy"], label=name, **look)
        lower.plot(shown["confidence"], shown["count"], **look)
    upper.set(ylabel="accuracy in the bin (fraction of 1)", xlim=(-0.02, 1.02), ylim=(-0.02, 1.05))
    most = max(table["count"].max() for table in bins.values())
    lower.set(xlabel="mean probability of the bin", ylabel="test flows", yscale="log", ylim=(0.8, 3 * most))
    for axes in (upper, lower):
        axes.grid(color=GRID)
    figure.legend(*upper.get_legend_handles_labels(), loc="outside lower center", ncols=3, frameon=False)
    return finish(figure, title, mark, "; ".join(f"{name} {_calibration(table)}" for name, table in bins.items()))


def _calibration(table: pd.DataFrame) -> str:
    """By how many points the mean confidence is off the accuracy."""
    shown = table[table["count"] > 0]
    off = 100 * np.average(shown["confidence"] - shown["accuracy"], weights=shown["count"])
    return f"{'over' if off > 0 else 'under'}confident by {abs(off):.1f} points"


def cross_matrix(frame: pd.DataFrame, arm: str = "CNN, zero-shot", mark: str = "") -> Figure:
    """One arm of `networks.cross` as a heat map of balanced accuracy: trained on the row, tested on the column.

    Grey where there is no pair. All marks that occur stand in the title unless `mark` is given.
    """
    rows = frame[frame["arm"] == arm]
    names = list(dict.fromkeys([*frame["source"], *frame["target"]]))
    grid = rows.pivot(index="source", columns="target", values="balanced_accuracy").reindex(index=names, columns=names)
    side = len(names)
    figure, axes = style.figure(3.6 + 1.15 * side, 2.4 + 0.75 * side)
    axes.set_facecolor("0.85")
    sns.heatmap(
        100 * grid, annot=True, fmt=".1f", cmap="Blues", vmin=0, vmax=100, ax=axes, linewidths=0.5, linecolor="0.8",
        cbar_kws={"label": "balanced accuracy (%)"},
    )  # fmt: skip
    axes.tick_params(axis="x", rotation=30)
    plt.setp(axes.get_xticklabels(), ha="right")
    axes.tick_params(axis="y", rotation=0)
    axes.set(xlabel="tested on", ylabel="trained on")
    own = rows["source"] == rows["target"]
    parts = [f"{100 * rows.loc[chosen, 'balanced_accuracy'].mean():.0f} % on {where}"
             for chosen, where in ((own, "its own network"), (~own, "another")) if chosen.any()]  # fmt: skip
    return finish(figure, arm, mark or style.all_marks(rows["mark"]), ", ".join(parts))


def cross_arms(frame: pd.DataFrame, mark: str = "") -> Figure:
    """All arms of `networks.cross` for each pair of different datasets: one row a pair, one sign an arm."""
    rows = frame[frame["source"] != frame["target"]]
    pairs = list(dict.fromkeys(zip(rows["source"], rows["target"], strict=True)))
    arms = list(dict.fromkeys(rows["arm"]))
    figure, axes = style.figure(8, max(3.2, 1.9 + 0.42 * len(pairs)))
    for order, arm in enumerate(arms):
        shown = rows[rows["arm"] == arm]
        heights = [pairs.index(pair) for pair in zip(shown["source"], shown["target"], strict=True)]
        colour = sns.color_palette("colorblind")[order % 10]
        axes.scatter(100 * shown["balanced_accuracy"], heights, marker=MARKERS[order % len(MARKERS)], s=55,
                     color=colour, edgecolor="black", linewidth=0.5, label=arm, zorder=3)  # fmt: skip
    axes.set_yticks(range(len(pairs)), [f"{source} → {target}" for source, target in pairs])
    axes.set_ylim(len(pairs) - 0.5, -0.5)
    axes.set(xlabel="balanced accuracy (%)", ylabel="trained on → tested on", xlim=(-2, 102))
    axes.grid(color=GRID)
    figure.legend(*axes.get_legend_handles_labels(), loc="outside lower center", ncols=2, frameon=False)
    means = rows.groupby("arm")["balanced_accuracy"].mean()
    return finish(
        figure, "On another network", mark or style.all_marks(rows["mark"]), f"highest mean with {means.idxmax()}"
    )


def score_against_cost(
    summary: pd.DataFrame, cost: str = "bytes", title: str = "Score against cost", mark: str = ""
) -> Figure:
    """Macro-F1 against cost (log scale) of each model of `seeds.summary`: means over the seeds, bars of one deviation.

    `cost` is "bytes", "fit_seconds" or "predict_seconds".
    """
    means, deviations = (summary.pivot(index="model", columns="score", values=v) for v in ("mean", "deviation"))
    figure, axes = style.figure(8, 5)
    colours = sns.color_palette("colorblind", len(means))
    for order, name in enumerate(dict.fromkeys(summary["model"])):
        mean, deviation = means.loc[name], deviations.loc[name]
        axes.errorbar(
            mean[cost], 100 * mean["macro_f1"], 100 * deviation["macro_f1"], deviation[cost],
            marker=MARKERS[order % len(MARKERS)], color=colours[order], markeredgecolor="black", markersize=8,
            linestyle="", ecolor="0.3", elinewidth=1, capsize=3, label=name,
        )  # fmt: skip
    axes.set_xscale("log")
    axes.set(xlabel=f"{COST_NAMES[cost]}, log scale", ylabel="macro-F1 (%)")
    axes.margins(0.08)
    axes.grid(color=GRID)
    seeds = sorted(set(summary["seeds"]))
    figure.legend(*axes.get_legend_handles_labels(), loc="outside right center", frameon=False,
                  title=f"mean ± deviation,\n{'-'.join(map(str, seeds))} seeds")  # fmt: skip
    best = means["macro_f1"].idxmax()
    return finish(figure, title, mark, f"{best} has the highest macro-F1, {100 * means['macro_f1'][best]:.1f} %")


def feature_set_bars(frame: pd.DataFrame, title: str = "Feature sets", mark: str = "") -> Figure:
    """Macro-F1 of each feature set (`baselines.ablation`), in percent."""
    figure, axes = _bars(100 * frame.set_index("features")["macro_f1"], None, "{:.1f}")
    axes.set(xlabel="macro-F1 (%)", ylabel="features", xlim=(0, 112))
    axes.set_xticks(range(0, 101, 20))
    return finish(figure, title, mark, f"highest macro-F1 with {frame.loc[frame['macro_f1'].idxmax(), 'features']}")


def psi_bars(frame: pd.DataFrame, title: str = "Drift from source to target", mark: str = "") -> Figure:
    """PSI of each feature (`networks.drift`), with the usual limits of a moderate and of a large shift."""
    figure, axes = _bars(frame.set_index("feature")["psi"], None, "{:.2f}")
    axes.axvline(MODERATE, color="black", linestyle=":", linewidth=1, label=f"moderate: from {MODERATE:g}")
    axes.axvline(LARGE, color="black", linestyle="--", linewidth=1, label=f"large: from {LARGE:g}")
    axes.set(
        xlabel="population-stability index (nats)", ylabel="feature", xlim=(0, 1.15 * max(0.3, frame["psi"].max()))
    )
    axes.legend(loc="lower right")
    large = f"large shift in {(frame['psi'] >= LARGE).sum()} of {len(frame)} features"
    return finish(figure, title, mark or frame.columns.name or "", large)


def importance_bars(frame: pd.DataFrame, title: str = "Permutation importance", mark: str = "") -> Figure:
    """Macro-F1 lost when a feature is shuffled (`explain.permutation`), in points; bars of one deviation."""
    shown = frame.set_index("feature")
    figure, axes = _bars(100 * shown["importance"], 100 * shown["deviation"], "{:.1f}")
    axes.set(xlabel="macro-F1 lost (percentage points)", ylabel="feature shuffled")
    return finish(figure, title, mark, f"shuffling {shown['importance'].idxmax()} loses most macro-F1")


def attribution_bars(frame: pd.DataFrame, title: str = "Integrated gradients", mark: str = "") -> Figure:
    """What each feature of one flow adds to the probability (`Attribution.table`), its value and the baseline's."""
    names = [f"{row.feature}\n{row.value:g} (baseline {row.baseline:g})" for row in frame.itertuples()]
    figure, axes = _bars(pd.Series(frame["attribution"].to_numpy(), index=names), None, "{:+.3f}", each=0.5)
    axes.set(xlabel="added to the probability (fraction of 1)", ylabel="feature and value")
    largest = frame.loc[frame["attribution"].abs().idxmax(), "feature"]
    return finish(figure, title, mark, f"{largest} changes it most")


def _bars(values: pd.Series, deviations: pd.Series | None, form: str, each: float = 0.36) -> tuple[Figure, Axes]:
    """Horizontal bars from the top, negative ones hatched, each with its number beyond its end."""
    figure, axes = style.figure(8, 1.5 + each * len(values))
    low = values < 0
    spread = np.zeros(len(values)) if deviations is None else deviations.fillna(0).to_numpy()
    axes.barh(
        range(len(values)), values, 0.65, edgecolor="black", linewidth=0.6,
        color=[LIGHT if one else BLUE for one in low], hatch=["///" if one else "" for one in low],
        xerr=None if deviations is None else spread, error_kw={"capsize": 3, "ecolor": "0.3"},
    )  # fmt: skip
    for height, (value, far) in enumerate(zip(values, spread, strict=True)):
        side = "right" if value < 0 else "left"
        end = value - far if value < 0 else value + far
        axes.text(end, height, f" {form.format(value)} ", va="center", ha=side, fontsize=8)
    axes.set_yticks(range(len(values)), [str(name) for name in values.index])
    style.from_the_top(axes, len(values))
    axes.margins(x=0.14)
    axes.grid(axis="x", color=GRID)
    return figure, axes
