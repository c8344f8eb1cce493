"""docs/growth.png: what preparation, training, metering and the grid cost as they grow."""

from collections.abc import Sequence

import matplotlib.pyplot as plt
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from tlids_helpers.common.style import BLUE, GREEN, GRID, ORANGE, finish

COUNTED = {"packets": "packets", "flows": "connections left open", "rows": "rows", "workers": "workers"}
"""What growth is measured against: the key of a line -> the axis."""

FLOW_CAP = 20_000  # of the meter's table
LOOKS = ((BLUE, "-", "o"), (ORANGE, "--", "s"), (GREEN, "-.", "^"))  # of the series of a panel

# place -> which growth lines, which of their values, the title, the axis
PANELS = {
    "a": ("preparation", "seconds", "Preparation", "time (s)"),
    "b": ("training", "seconds", "Training", "time (s)"),
    "c": ("metering", "seconds", "Metering", "time (s)"),
    "d": ("grid", "runs_per_min", "Grid", "runs a minute"),
    "e": ("preparation", "peak_mb", "Preparation", "peak memory (MB)"),
    "f": ("training", "peak_mb", "Training", "peak memory (MB)"),
    "g": ("open_flows", "peak_mb", "Metering", "peak memory (MB)"),
}


def growth_figure(points: Sequence[dict], mark: str = "") -> Figure:
    """A panel for each kind of growth; `points` are the benchmarks' growth lines, `mark` stands in the title.

    Points with a `series` are drawn as a line for each. A panel without points says that it was not measured.
    """
    figure, panels = plt.subplot_mosaic([[*"ae"], [*"bf"], [*"cg"], [*"d."]], figsize=(7.4, 10.5), layout="constrained")
    plt.close(figure)
    for place, (name, measure, title, label) in PANELS.items():
        axes = panels[place]
        axes.set_title(title, fontsize=11)
        _panel(axes, [point for point in points if point["growth"] == name and measure in point], measure, label)
    return finish(figure, "Time grows in proportion to size, memory far less", mark)


def counted(point: dict) -> str:
    """The key of a growth line that says how much there was."""
    return next(name for name in COUNTED if name in point)


def _panel(axes: Axes, points: Sequence[dict], measure: str, label: str) -> None:
    if not points:
        axes.text(0.5, 0.5, "not measured", ha="center", va="center", transform=axes.transAxes, color="0.4")
        axes.set(xticks=[], yticks=[])
        return
    x = counted(points[0])
    for place, series in enumerate(dict.fromkeys(point.get("series", "") for point in points)):
        colour, dash, marker = LOOKS[place % len(LOOKS)]
        mine = sorted((point[x], point[measure]) for point in points if point.get("series", "") == series)
        axes.plot(*zip(*mine, strict=True), color=colour, linestyle=dash, marker=marker, label=series or None)
        if measure == "seconds" or x == "workers":
            # a small input pays fixed costs as well, so times start from the largest; workers from the fewest
            _proportional(axes, mine, mine[0 if x == "workers" else -1], "" if place else "in proportion")
    _scales(axes, x, measure)
    axes.set(xlabel=COUNTED[x], ylabel=label)
    axes.grid(color=GRID)
    if axes.get_legend_handles_labels()[0]:
        axes.legend(fontsize=9)


def _proportional(axes: Axes, line: Sequence[tuple], through: tuple[float, float], label: str) -> None:
    ends, slope = (line[0][0], line[-1][0]), through[1] / through[0]
    axes.plot(ends, [slope * x for x in ends], color="0.5", linestyle=":", linewidth=1, label=label or None)


def _scales(axes: Axes, x: str, measure: str) -> None:
    if x in ("rows", "packets"):
        axes.set_xscale("log")
    if measure == "seconds":
        axes.set_yscale("log")
    else:
        axes.set_ylim(0, 1.1 * axes.dataLim.y1)
    if x == "flows":
        axes.axvline(FLOW_CAP, color="black", linestyle=":", label=f"cap of the flow table, {FLOW_CAP:,}")
        axes.xaxis.set_major_formatter("{x:,.0f}")
    if x == "workers":
        axes.xaxis.get_major_locator().set_params(integer=True)
        axes.set_xlim(left=0)
