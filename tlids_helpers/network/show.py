"""What notebooks 02 and 03 show of the network: its source, its layers, how it learned."""

import inspect
import textwrap
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from tlids_helpers.common.style import BLUE, GREEN, GRID, ORANGE, figure, finish, legend_below, marked
from tlids_helpers.network import model as network
from tlids_helpers.network.recipe import Recipe


@dataclass(frozen=True, repr=False)
class Source:
    """The source of a function: highlighted in a notebook, plain text elsewhere."""

    text: str

    def __repr__(self) -> str:
        """As it stands in the file."""
        return self.text

    def _repr_markdown_(self) -> str:
        return f"```python\n{self.text}\n```"


def code(function: Callable) -> Source:
    """The source of `function` that runs, from its own file: nothing is copied."""
    return Source(textwrap.dedent(inspect.getsource(function)).rstrip())


def layers(model, mark: str) -> pd.DataFrame:
    """Every layer of the network with its output shape and its number of weights (Fig. 3)."""
    return marked(pd.DataFrame(network.layer_table(model)), mark)


def best_epoch(history: Mapping[str, Sequence[float]]) -> int:
    """The epoch (from 1) of the lowest validation loss."""
    return int(np.nanargmin(history["val_loss"])) + 1


def training_curves(
    history: Mapping[str, Sequence[float]], title: str = "Training and validation", mark: str = ""
) -> Figure:
    """Loss and accuracy by epoch, training and validation, with the epoch of the lowest validation loss marked.

    `history` holds loss, accuracy, val_loss and val_accuracy: a value an epoch.
    """
    made, panels = plt.subplots(1, 2, figsize=(10, 3.8), layout="constrained")
    plt.close(made)
    best = best_epoch(history)
    for axes, name, unit in zip(panels, ("loss", "accuracy"), ("cross-entropy (nats)", "fraction of 1"), strict=True):
        epochs = np.arange(1, len(history[name]) + 1)
        axes.plot(epochs, history[name], color=BLUE, marker="o", markersize=3, label="training")
        axes.plot(epochs, history[f"val_{name}"], color=ORANGE, linestyle="--", marker="s", markersize=3,
                  label="validation")  # fmt: skip
        axes.axvline(best, color="black", linestyle=":", label=f"best epoch: {best}")
        _by_epoch(axes, f"{name}, {unit}")
    return finish(made, title, mark, f"validation loss lowest at epoch {best} of {len(history['loss'])}")


def arm_curves(
    histories: Mapping[str, Mapping[str, Sequence[float]]], title: str = "Validation loss", mark: str = ""
) -> Figure:
    """Validation loss by epoch of several runs (label -> history), each run's best epoch marked."""
    made, axes = figure(8, 4)
    for index, (name, history) in enumerate(histories.items()):
        losses, best = history["val_loss"], best_epoch(history)
        colour, dash = (BLUE, ORANGE, GREEN)[index % 3], ("-", "--", ":")[index % 3]
        axes.plot(np.arange(1, len(losses) + 1), losses, color=colour, linestyle=dash, label=f"{name} (best: {best})")
        axes.plot(best, losses[best - 1], color=colour, marker="o")
    _by_epoch(axes, "validation loss, cross-entropy (nats)")
    starts = "; ".join(f"{name} {history['val_loss'][0]:.2f}" for name, history in histories.items())
    return finish(made, f"{title} after one epoch", mark, starts)


def sweep(frame: pd.DataFrame, title: str = "Hyper-parameter study", mark: str = "") -> Figure:
    """The study of Section 4.2.2: a panel for each hyper-parameter, a point for each value, the paper's choice starred.

    `frame` is `experiment.sweep`'s: parameter, value, val_accuracy (a fraction), one row a value.
    """
    names = list(dict.fromkeys(frame["parameter"]))
    made, panels = plt.subplots(
        1, len(names), figsize=(1 + 3.4 * len(names), 3.8), sharey=True, squeeze=False, layout="constrained"
    )
    plt.close(made)
    for axes, name in zip(panels[0], names, strict=True):
        tried = frame[frame["parameter"] == name].set_index("value")["val_accuracy"].sort_index()
        axes.plot(range(len(tried)), tried, color=BLUE, linestyle="--", linewidth=1)
        axes.scatter(range(len(tried)), tried, color=BLUE, s=28, label="tried")
        chosen = getattr(Recipe(), name)
        if chosen in tried.index:
            axes.scatter(tried.index.get_loc(chosen), tried[chosen], marker="*", s=220, color=ORANGE,
                         edgecolor="black", zorder=3, label="the paper's choice")  # fmt: skip
        axes.set_xticks(range(len(tried)), [f"{value:g}" for value in tried.index])
        axes.set(xlabel=name.replace("_", " "), ylabel="val accuracy (fraction of 1)")
        axes.margins(x=0.15)
        axes.grid(color=GRID)
        axes.label_outer()
    legend_below(made, panels[0][0])
    return finish(made, title, mark)


def _by_epoch(axes: Axes, quantity: str) -> None:
    axes.set(xlabel="epoch", ylabel=quantity)
    axes.xaxis.get_major_locator().set_params(integer=True)
    axes.grid(color=GRID)
    axes.legend()
