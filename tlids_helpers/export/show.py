"""The tables and the figure of notebook 05."""

import pandas as pd
import seaborn as sns
from matplotlib.figure import Figure

from tlids_helpers.common import style
from tlids_helpers.export import convert, litert
from tlids_helpers.export.convert import Export
from tlids_helpers.results.threshold import Threshold

MARKERS = {"float32": "o", "float16": "s", "dynamic": "^", "int8": "D"}


def agreement(exports: dict[str, Export], mark: str) -> pd.DataFrame:
    """Each precision beside Keras, on the test rows: one row a precision."""
    rows = {
        precision: {
            "file, kB": round(len(made.content) / 1000),
            "same class, %": round(100 * made.agreement.same_class, 3),
            "same class or tie, %": round(100 * made.agreement.same_or_tie, 3),
            "asked for, %": 100 * convert.SAME_CLASS[precision],
            "largest probability difference": float(f"{made.agreement.largest_difference:.2g}"),
            "change in accuracy": round(made.agreement.accuracy_change, 5),
            "change in macro-F1": round(made.agreement.macro_f1_change, 5),
        }
        for precision, made in exports.items()
    }
    return style.marked(pd.DataFrame.from_dict(rows, orient="index").rename_axis("precision"), mark)


def cost(costs: dict[str, dict], mark: str) -> pd.DataFrame:
    """What `cost.measure` found for each precision; one thread of this machine."""
    names = {
        "p50_us": "one flow, p50, µs",
        "p95_us": "one flow, p95, µs",
        "per_s_64": "flows/s in batches of 64",
        "per_s_1024": "flows/s in batches of 1024",
        "memory_mb": "resident memory, MB",
    }
    frame = pd.DataFrame(costs).T.rename(columns=names)[list(names.values())].astype("float64")
    return style.marked(frame.round(1).rename_axis("precision"), mark)


def size_and_latency(exports: dict[str, Export], costs: dict[str, dict], title: str, mark: str = "") -> Figure:
    """File size against the time for one flow alone: a mark at the median, a line up to the 95th percentile."""
    figure, axes = style.figure(8, 4.2)
    for (precision, made), colour in zip(exports.items(), sns.color_palette("colorblind"), strict=False):
        size, times = len(made.content) / 1000, costs[precision]
        label = f"{precision}: {made.agreement.same_class:.2%} same class as Keras"
        axes.vlines(size, times["p50_us"], times["p95_us"], color=colour)
        axes.plot(size, times["p50_us"], MARKERS[precision], color=colour, markeredgecolor="black", markersize=9,
                  linestyle="none", label=label)  # fmt: skip
    axes.set(
        xlabel="model.tflite (kB)", ylabel="one flow (µs): median to 95th percentile", xlim=(0, None), ylim=(0, None)
    )
    axes.grid(color=style.GRID)
    axes.legend()
    sizes = {precision: len(made.content) for precision, made in exports.items()}
    least, most = min(sizes, key=sizes.get), max(sizes, key=sizes.get)
    return style.finish(figure, title, mark, f"{least} has {sizes[least] / sizes[most]:.0%} of the size of {most}")


def threshold(alert: Threshold, on_test: dict, mark: str) -> pd.DataFrame:
    """What the alert threshold does: on the rows it was chosen on, and on test rows, which it was not chosen on."""
    false_rate, found_rate = on_test["false_positive_rate"], on_test["detection_rate"]
    columns = {
        "validation (chosen on)": (alert.rows, alert.alarms, alert.rate, None, None),
        "test (reported)": (on_test["benign_rows"], on_test["alarms"], false_rate, on_test["attack_rows"], found_rate),
    }
    names = ("benign rows", "false alarms", "false-positive rate", "attack rows", "attacks that alert")
    forms = ("{:,}", "{:,}", "{:.2%}", "{:,}", "{:.2%}")
    shown = {
        column: ["" if value is None else form.format(value) for form, value in zip(forms, values, strict=True)]
        for column, values in columns.items()
    }
    return style.marked(pd.DataFrame(shown, index=list(names)), mark)


def arithmetic(exports: dict[str, Export], mark: str) -> pd.DataFrame:
    """Which numbers each part of the network computes in: one column a precision."""
    return style.marked(pd.DataFrame({name: number_types(made.content) for name, made in exports.items()}), mark)


def number_types(content: bytes) -> dict[str, str]:
    """Part of the network -> the type of number its operations put out, for a file's content."""
    kinds = {"CONV_2D": "convolutions", "AVERAGE_POOL_2D": "pooling", "FULLY_CONNECTED": "dense", "SOFTMAX": "softmax"}
    found: dict[str, set[str]] = {part: set() for part in ("preprocessing", *kinds.values())}
    for operation in litert.operations(content):
        part = "preprocessing" if "/preprocessing" in operation["name"] else kinds.get(operation["op"])
        if part:
            found[part].add(operation["dtype"])
    return {part: ", ".join(sorted(dtypes)) for part, dtypes in found.items()}
