"""The figures of notebook 06, in the manner of `plots`."""

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
import seaborn as sns
from matplotlib.figure import Figure

from tlids_helpers.plots import BLUE, GREEN, GRID, LIGHT, ORANGE, _figure, finish

SLOT_S = 10  # seconds to a cell of the timeline
WATCHER = "bridge, with TL-IDS"
ROLES = {"attacker": ORANGE, "pi-server": BLUE}  # everything else is grey


def network(hosts: Sequence[Mapping[str, str]], title: str) -> Figure:
    """The home drawn as Figs. 1 and 7 draw it: every host (name, address, mac) on the bridge where TL-IDS listens."""
    figure, axes = _figure(8.5, 5.2)
    turns = np.linspace(0, 2 * np.pi, len(hosts), endpoint=False) + np.pi / 2
    box = {"boxstyle": "round,pad=0.5", "edgecolor": "black", "linewidth": 0.8}
    for host, turn in zip(hosts, turns, strict=True):
        x, y = 2.6 * np.cos(turn), 1.9 * np.sin(turn)
        axes.plot([0, x], [0, y], color="0.6", linestyle="--" if host["name"] == "attacker" else "-", zorder=1)
        text = f"{host['name']}\n{host['address']}\n{host['mac']}"
        colour = (*ROLES[host["name"]], 0.35) if host["name"] in ROLES else "0.95"
        axes.text(x, y, text, ha="center", va="center", fontsize=8, bbox={**box, "facecolor": "white"}, zorder=2)
        axes.text(x, y, text, ha="center", va="center", fontsize=8, bbox={**box, "facecolor": colour}, zorder=3)
    axes.text(0, 0, WATCHER, ha="center", va="center", fontsize=9, fontweight="bold", zorder=3,
              bbox={**box, "facecolor": "white", "edgecolor": GREEN, "linewidth": 2})  # fmt: skip
    axes.set(xlim=(-3.7, 3.7), ylim=(-2.5, 2.5))
    axes.axis("off")
    return finish(figure, title, "")


def timeline(flows: pd.DataFrame, title: str, mark: str = "") -> Figure:
    """Flows that begin in each ten seconds, by class: `flows` has FIRST_SWITCHED_MS and Attack."""
    seconds = (flows["FIRST_SWITCHED_MS"] - flows["FIRST_SWITCHED_MS"].min()) / 1000
    slots = pd.crosstab(flows["Attack"], (seconds // SLOT_S).astype(int))
    slots = slots.reindex(columns=range(slots.columns.max() + 1), fill_value=0)
    order = sorted(slots.index, key=lambda name: (name != "Benign", int(np.argmax(slots.loc[name] > 0))))
    slots = slots.loc[order]
    figure, axes = _figure(10, 1.8 + 0.32 * len(slots))
    sns.heatmap(
        np.log10(slots.where(slots > 0)), cmap="Blues", vmin=-0.5, ax=axes, linewidths=0, cbar_kws={"label": "flows"},
        yticklabels=[f"{name} ({total:,})" for name, total in slots.sum(axis=1).items()],
    )  # fmt: skip
    bar = axes.collections[0].colorbar
    exponents = range(int(np.log10(slots.to_numpy().max())) + 1)
    bar.set_ticks(list(exponents), labels=[f"{10**exponent:,}" for exponent in exponents])
    minutes = range(0, slots.shape[1] * SLOT_S // 60 + 1)
    axes.set_xticks([minute * 60 / SLOT_S for minute in minutes], [str(minute) for minute in minutes], rotation=0)
    axes.set(xlabel="minutes from the first flow", ylabel="class (flows)")
    axes.grid(axis="x", color=GRID)
    return finish(figure, title, mark)


def windows(anomalies: Mapping[str, Sequence[int]], size: int, paper: int, title: str, mark: str = "") -> Figure:
    """Anomalies among every `size` consecutive judgements, a dot a window, a row a name; the paper's one count."""
    names = [f"{name} ({len(counts)})" for name, counts in anomalies.items()]
    figure, axes = _figure(8.5, 1.8 + 0.6 * len(names))
    rng = np.random.default_rng(0)  # dots of the same count beside each other, always the same way
    for place, counts in enumerate(anomalies.values()):
        heights = place + rng.uniform(-0.25, 0.25, len(counts))
        axes.scatter(counts, heights, s=14, color=BLUE, alpha=0.6, edgecolor="black", linewidth=0.3)
        if len(counts):
            axes.plot([np.median(counts)] * 2, [place - 0.35, place + 0.35], color="black", linewidth=2)
    axes.axvline(paper, color=ORANGE, linestyle="--", label=f"the paper's one window: {paper}")
    axes.plot([], [], color="black", linewidth=2, label="median")
    axes.set_yticks(range(len(names)), names)
    axes.set_ylim(len(names) - 0.5, -0.5)
    axes.set(xlabel=f"anomalies among {size} consecutive judgements", ylabel="recording (windows)", xlim=(-2, size + 2))
    axes.grid(axis="x", color=GRID)
    figure.legend(*axes.get_legend_handles_labels(), loc="outside lower center", ncols=2, frameon=False)
    return finish(figure, title, mark)


def recalls(table: pd.DataFrame, title: str, mark: str = "") -> Figure:
    """Recall (fraction) of each class (rows of `table`, whose names say the support) under each arm (its columns)."""
    figure, axes = _figure(1.6 * len(table.columns) + 4.5, 1.8 + 0.36 * len(table))
    sns.heatmap(
        table, annot=True, fmt=".2f", cmap="Blues", vmin=0, vmax=1, ax=axes, linewidths=0.5, linecolor="0.8",
        cbar_kws={"label": "recall"},
    )  # fmt: skip
    axes.set_facecolor(LIGHT)
    axes.tick_params(axis="x", rotation=0)
    axes.tick_params(axis="y", rotation=0)
    axes.set(xlabel="arm", ylabel="class (flows of the test session)")
    return finish(figure, title, mark)
