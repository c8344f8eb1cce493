"""The tables and figures of notebook 06. `verdicts` is the table of `replay.verdicts`: one row a judged flow."""

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
import seaborn as sns
from matplotlib.figure import Figure

from tlids_helpers.common import style
from tlids_helpers.common.style import BLUE, GREEN, GRID, LIGHT, ORANGE
from tlids_helpers.results import metrics
from tlids_helpers.testbed.recordings import Recording

SIDES = ("Benign", "anomaly")
SLOT_S = 10  # seconds to a cell of the timeline
WATCHER = "bridge, with TL-IDS"
ROLES = {"attacker": ORANGE, "pi-server": BLUE}  # everything else is grey


def sessions(recordings: Sequence[Recording], flows: pd.DataFrame) -> pd.DataFrame:
    """A row a recording: network, minutes, packets, flows, classes, benign flows; `flows` as shipped."""
    rows = []
    for recording in recordings:
        recorded = flows[flows["Session"] == recording.name]
        minutes = (recorded["LAST_SWITCHED_MS"].max() - recorded["FIRST_SWITCHED_MS"].min()) / 60_000
        rows.append(
            {"recording": recording.name, "network": recording.subnet, "minutes": round(minutes, 1),
             "packets": recording.packets, "flows": len(recorded), "classes": recorded["Attack"].nunique(),
             "benign flows": int((recorded["Attack"] == "Benign").sum())}
        )  # fmt: skip
    return pd.DataFrame(rows).set_index("recording")


def network(hosts: Sequence[Mapping[str, str]], title: str) -> Figure:
    """The home drawn as Figs. 1 and 7 draw it: every host (name, address, mac) on the bridge where TL-IDS listens."""
    figure, axes = style.figure(8.5, 5.2)
    angles = np.linspace(0, 2 * np.pi, len(hosts), endpoint=False) + np.pi / 2
    box = {"boxstyle": "round,pad=0.5", "edgecolor": "black", "linewidth": 0.8}
    for host, angle in zip(hosts, angles, strict=True):
        x, y = 2.6 * np.cos(angle), 1.9 * np.sin(angle)
        axes.plot([0, x], [0, y], color="0.6", linestyle="--" if host["name"] == "attacker" else "-", zorder=1)
        text = f"{host['name']}\n{host['address']}\n{host['mac']}"
        colour = (*ROLES[host["name"]], 0.35) if host["name"] in ROLES else "0.95"
        axes.text(x, y, text, ha="center", va="center", fontsize=8, bbox={**box, "facecolor": "white"}, zorder=2)
        axes.text(x, y, text, ha="center", va="center", fontsize=8, bbox={**box, "facecolor": colour}, zorder=3)
    axes.text(0, 0, WATCHER, ha="center", va="center", fontsize=9, fontweight="bold", zorder=3,
              bbox={**box, "facecolor": "white", "edgecolor": GREEN, "linewidth": 2})  # fmt: skip
    axes.set(xlim=(-3.7, 3.7), ylim=(-2.5, 2.5))
    axes.axis("off")
    return style.finish(figure, title, "")


def timeline(flows: pd.DataFrame, title: str) -> Figure:
    """Flows that begin in each ten seconds, by class: `flows` has FIRST_SWITCHED_MS and Attack."""
    seconds = (flows["FIRST_SWITCHED_MS"] - flows["FIRST_SWITCHED_MS"].min()) / 1000
    slots = pd.crosstab(flows["Attack"], (seconds // SLOT_S).astype(int))
    slots = slots.reindex(columns=range(slots.columns.max() + 1), fill_value=0)
    order = sorted(slots.index, key=lambda name: (name != "Benign", int(np.argmax(slots.loc[name] > 0))))
    slots = slots.loc[order]
    figure, axes = style.figure(10, 1.8 + 0.32 * len(slots))
    sns.heatmap(
        np.log10(slots.where(slots > 0)), cmap="Blues", vmin=-0.5, ax=axes, linewidths=0, cbar_kws={"label": "flows"},
        yticklabels=[f"{name} ({total:,})" for name, total in slots.sum(axis=1).items()],
    )  # fmt: skip
    bar = axes.collections[0].colorbar
    exponents = range(int(np.log10(slots.to_numpy().max())) + 1)
    bar.set_ticks(list(exponents), labels=[f"{10**exponent:,}" for exponent in exponents])
    minutes = range(0, slots.shape[1] * SLOT_S // 60 + 1)
    axes.set_xticks([minute * 60 / SLOT_S for minute in minutes], [str(minute) for minute in minutes], rotation=0)
    axes.set(xlabel="minutes from the first flow", ylabel=f"class (flows that begin in each {SLOT_S} s)")
    axes.grid(axis="x", color=GRID)
    benign = int(slots.loc["Benign"].sum()) if "Benign" in slots.index else 0
    return style.finish(figure, title, "", f"{benign:,} benign flows and {len(flows) - benign:,} of attacks")


def class_counts(verdicts: pd.DataFrame, classes: Sequence[str]) -> np.ndarray:
    """Truth against verdict (C, C) in counts; `classes` are the card's."""
    codes = {name: code for code, name in enumerate(classes)}
    return metrics.confusion(verdicts["truth"].map(codes), verdicts["verdict"].map(codes), len(classes))


def anomaly_counts(verdicts: pd.DataFrame, benign: str, anomaly: pd.Series) -> np.ndarray:
    """Truth against `SIDES`, (2, 2) in counts; `anomaly` is True for a flow that was called one."""
    return metrics.confusion(verdicts["truth"] != benign, anomaly, 2)


def false_alarms(verdicts: pd.DataFrame, benign: str, anomalies: Mapping[str, pd.Series]) -> pd.DataFrame:
    """Benign flows that each arm calls an anomaly: flows, alarms, share, alarms per hour of the recording.

    `anomalies` maps an arm to one value a flow: True where the arm calls it an anomaly.
    """
    harmless = verdicts["truth"] == benign
    hours = (verdicts["time"].max() - verdicts["time"].min()) / 3600
    rows = {}
    for arm, anomaly in anomalies.items():
        alarms = int(anomaly[harmless].sum())
        rows[arm] = {
            "benign flows": int(harmless.sum()), "alarms": alarms,
            "share": f"{alarms / harmless.sum():.2%}", "alarms per hour": round(alarms / hours, 1),
        }  # fmt: skip
    return pd.DataFrame.from_dict(rows, orient="index")


def recall(verdicts: pd.DataFrame, classes: Sequence[str], right: Mapping[str, pd.Series]) -> pd.DataFrame:
    """Of each class with flows (its support at its name) the share that each arm calls what it should.

    `right` maps an arm to one value a flow: True where the arm is right about it.
    """
    rows = {}
    for name in classes:
        of_class = verdicts["truth"] == name
        if of_class.any():
            rows[f"{name} ({of_class.sum():,})"] = {arm: flows[of_class].mean() for arm, flows in right.items()}
    return pd.DataFrame.from_dict(rows, orient="index")


def recall_heatmap(table: pd.DataFrame, title: str) -> Figure:
    """The table of `recall` (fractions) in colours: classes down, arms across."""
    figure, axes = style.figure(1.6 * len(table.columns) + 4.5, 1.8 + 0.36 * len(table))
    sns.heatmap(
        table, annot=True, fmt=".2f", cmap="Blues", vmin=0, vmax=1, ax=axes, linewidths=0.5, linecolor="0.8",
        cbar_kws={"label": "recall (fraction of 1)"},
    )  # fmt: skip
    axes.set_facecolor(LIGHT)
    axes.tick_params(axis="x", rotation=0)
    axes.tick_params(axis="y", rotation=0)
    axes.set(xlabel="arm", ylabel="class (flows of the test session)")
    name = table.min(axis=1).idxmin()
    arm = " ".join(table.loc[name].idxmin().split())
    return style.finish(figure, title, "", f"lowest is {table.loc[name].min():.2f}, {name}, {arm}")


def window_counts(
    verdicts: pd.DataFrame, spans: Sequence[tuple[float, float]], anomaly: pd.Series, size: int
) -> list[int]:
    """Anomalies among every `size` consecutive judgements of flows that ended within a span (seconds since 1970).

    Windows do not overlap and do not reach from one span into the next; what is left over at its end is left out.
    """
    counts: list[int] = []
    for start, end in spans:
        within = anomaly[verdicts["time"].between(start, end)].to_numpy()
        whole = len(within) // size * size
        counts += within[:whole].reshape(-1, size).sum(axis=1).tolist()
    return counts


def windows(counts: Mapping[str, Sequence[int]], size: int, published: int, title: str) -> Figure:
    """Anomalies among every `size` consecutive judgements, a dot a window, a row a name; the paper's one count."""
    names = [f"{name} ({len(found)})" for name, found in counts.items()]
    figure, axes = style.figure(8.5, 1.8 + 0.6 * len(names))
    rng = np.random.default_rng(0)  # dots of the same count beside each other, always the same way
    for row, found in enumerate(counts.values()):
        heights = row + rng.uniform(-0.25, 0.25, len(found))
        axes.scatter(found, heights, s=14, color=BLUE, alpha=0.6, edgecolor="black", linewidth=0.3)
        if len(found):
            axes.plot([np.median(found)] * 2, [row - 0.35, row + 0.35], color="black", linewidth=2)
    axes.axvline(published, color=ORANGE, linestyle="--", label=f"the paper's one window: {published}")
    axes.plot([], [], color="black", linewidth=2, label="median")
    axes.set_yticks(range(len(names)), names)
    axes.set_ylim(len(names) - 0.5, -0.5)
    axes.set(xlabel=f"anomalies among {size} consecutive judgements", ylabel="counted (windows)", xlim=(-2, size + 2))
    axes.grid(axis="x", color=GRID)
    style.legend_below(figure, axes)
    name, found = next(iter(counts.items()))
    median = f"median {np.median(found):g} by {name}, {published} in the paper" if len(found) else ""
    return style.finish(figure, title, "", median)


def learning_curve(curve: pd.DataFrame, flows: Mapping[str, int], title: str) -> Figure:
    """Shares of benign and attack flows that alarm over the minutes learned, and what was promised (notebook 07).

    `curve` is the table of `new_home.curve`; `flows` has the numbers of "benign" and "attack" flows that were judged.
    """
    figure, axes = style.figure(8, 4)
    lines = (("attacks found", flows["attack"], "attack flows that alarm", BLUE, "o-"),
             ("benign alarms", flows["benign"], "benign flows that alarm", ORANGE, "s--"))  # fmt: skip
    for column, total, label, colour, look in lines:
        axes.plot(curve["minutes"], 100 * curve[column] / total, look, color=colour, label=label)
    axes.plot(curve["minutes"], 100 * curve["promised at most"], "^:", color=GREEN, label="benign, promised at most")
    axes.set(xlabel="minutes learned", ylabel="flows that alarm (%)", ylim=(0, 100))
    axes.grid(color=GRID)
    style.legend_below(figure, axes)
    benign = 100 * curve["benign alarms"] / flows["benign"]
    return style.finish(figure, title, "", f"benign alarms {benign.iloc[0]:.1f} %, later {benign.iloc[-1]:.1f} %")


def before_and_after(table: pd.DataFrame, title: str) -> Figure:
    """The shares of each class's flows that alarm, before and after: `table` has flows, shipped, adapted."""
    figure, axes = style.figure(8.5, 1.5 + 0.42 * len(table))
    shares = {name: list(100 * table[name] / table["flows"]) for name in ("shipped", "adapted")}
    names = [f"{name} ({flows:,})" for name, flows in table["flows"].items()]
    style.two_bars(axes, shares, names, "{:.1f}")
    axes.set(xlabel="flows that alarm (%)", ylabel="class (flows)", xlim=(0, 112))
    style.legend_below(figure, axes)
    attacks = table.drop(index="Benign", errors="ignore")
    less = int((attacks["shipped"] - attacks["adapted"] > 0.1 * attacks["flows"]).sum())
    found = f"in {less} of {len(attacks)} attack classes alarms fall by more than a tenth of the flows"
    return style.finish(figure, title, "", found)
