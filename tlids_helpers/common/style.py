"""How every figure and table looks: palette, sizes, titles, and the mark of rows that are not the published ones.

Colours are seaborn's colour-blind-safe palette, and what a colour tells a hatch, marker or line style tells too, so
that figures can be read in grey. A mark ("simulated", "subset", "v2") stands in a figure's title and in a table's
corner; a figure made from simulated rows carries a watermark as well.
"""

from collections.abc import Iterable, Mapping, Sequence

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import seaborn as sns
from matplotlib.axes import Axes
from matplotlib.figure import Figure

BLUE, ORANGE, GREEN, *_ = sns.color_palette("colorblind")
LIGHT = (0.75, 0.82, 0.9)
GRID = "0.88"


def marked(frame: pd.DataFrame, mark: str) -> pd.DataFrame:
    """`frame` with `mark` ("simulated", "subset", ...) in its corner, where a reader cannot miss it."""
    return frame.rename_axis(columns=mark or None)


def bracketed(mark: str) -> str:
    """` [mark]`, or nothing for published rows."""
    return f" [{mark}]" if mark else ""


def all_marks(marks: Iterable[str]) -> str:
    """All different marks, in order."""
    return "; ".join(dict.fromkeys(filter(None, marks)))


def figure(width: float, height: float) -> tuple[Figure, Axes]:
    """An empty figure of `width` by `height` inches with one pair of axes."""
    # closed at once: pyplot would draw it a second time under the cell that returns it
    made, axes = plt.subplots(figsize=(width, height), layout="constrained")
    plt.close(made)
    axes.set_axisbelow(True)
    return made, axes


def finish(made: Figure, title: str, mark: str, finding: str = "") -> Figure:
    """Put the title, what was found and the mark on top, and a light watermark across a figure of simulated rows."""
    made.suptitle(": ".join(filter(None, (title, finding))) + bracketed(mark), fontweight="bold", wrap=True)
    if "simulated" in mark:
        size = min(90, 9.5 * min(made.get_figwidth(), 1.6 * made.get_figheight()))
        made.text(0.5, 0.5, "simulated", fontsize=size, color="0.4", alpha=0.16, rotation=25, ha="center",
                  va="center", zorder=10)  # fmt: skip
    return made


def two_bars(axes: Axes, values: Mapping[str, Sequence[float | None]], names: Sequence[str], form: str) -> None:
    """Two horizontal bars for each of `names`, each with its number at its end; a dash where there is none.

    `values` maps the two labels of the legend to a number for each name; `form` formats a number.
    """
    looks = ((-0.2, LIGHT, ""), (0.2, BLUE, "///"))
    for (offset, colour, hatch), (label, given) in zip(looks, values.items(), strict=True):
        numbers = np.array([np.nan if value is None else value for value in given], dtype="float64")
        places = np.arange(len(names)) + offset
        axes.barh(places, np.nan_to_num(numbers), 0.38, color=colour, hatch=hatch, edgecolor="black", linewidth=0.6,
                  label=label)  # fmt: skip
        for place, number in zip(places, numbers, strict=True):
            text = "–" if np.isnan(number) else form.format(number)
            axes.text(np.nan_to_num(number), place, f" {text}", va="center", fontsize=8)
    axes.set_yticks(range(len(names)), names)
    from_the_top(axes, len(names))


def from_the_top(axes: Axes, bars: int) -> None:
    """Let the first of `bars` horizontal bars stand at the top."""
    axes.set_ylim(bars - 0.35, -0.65)


def legend_below(made: Figure, axes: Axes) -> None:
    """The legend of `axes` below them, where it covers no bar."""
    made.legend(*axes.get_legend_handles_labels(), loc="outside lower center", ncols=3, frameon=False)
