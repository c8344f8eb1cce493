"""The tables and figures of notebook 01, and the table of notebook 03's sources.

A table or figure of anything but whole, published rows says so: see `common/style.py`.
"""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from matplotlib.patches import Patch

from tlids_helpers.common import style
from tlids_helpers.common.style import BLUE, GRID, LIGHT, finish, marked
from tlids_helpers.data import prepare, sessions
from tlids_helpers.data.catalog import DATASETS, Dataset
from tlids_helpers.data.clean import Census
from tlids_helpers.data.prepare import Prepared
from tlids_helpers.data.split import ROLES, hash_rows

CENSUS_ROWS = {
    "lines": "lines of the file",
    "header_lines": "header",
    "blank_lines": "blank lines",
    "continued_lines": "lines that go on with a quoted value",
    "rows": "rows with a label",
    "kept": "kept",
    "missing": "dropped: a feature is empty or NaN",
    "infinite": "dropped: a feature is infinite",
    "unlabelled": "dropped: no label",
    "malformed": "dropped: line with another number of fields",
    "unclosed_quotes": "dropped: line with a quote that is not closed",
    "nul_lines": "dropped: line with zero bytes",
    "html_lines": "dropped: stray HTML line",
    "repeated_headers": "dropped: header line repeated",
    "other_headers": "obeyed: header line with other columns",
    "negative": "kept: a feature is negative (taken as 0 by the model)",
    "impossible": "kept: a port is above 65,535 or a protocol above 255",
    "relabelled": "kept: label spelled in another case",
}
SHOWN_IF_ANY = ("impossible",)  # others have a line even if they are 0

UNITS = {
    "L4_SRC_PORT": "port number", "L4_DST_PORT": "port number", "PROTOCOL": "IANA number", "TCP_FLAGS": "OR of flags",
    "L7_PROTO": "nDPI id", "IN_BYTES": "bytes", "OUT_BYTES": "bytes", "IN_PKTS": "packets", "OUT_PKTS": "packets",
    "Bwd_Pkt_Len_Std": "bytes", "Bwd_IAT_Min": "µs", "Init_Fwd_Win_Byts": "bytes", "Bwd_IAT_Mean": "µs",
    "TotLen_Bwd_Pkts": "bytes", "Bwd_IAT_Tot": "µs", "Subflow_Fwd_Byts": "bytes", "Dst_Port": "port number",
    "Src_Port": "port number",
}  # fmt: skip
"""Units of the eighteen features of Tables 1 and 3."""


def facts(dataset: Dataset) -> pd.DataFrame:
    """What the catalog knows of a dataset, one fact a row."""
    rows = {
        "title": dataset.title,
        "family": dataset.family,
        "file": f"data/{dataset.folder}/{Path(dataset.file).stem}.parquet" if dataset.folder else dataset.file,
        "rows": f"{dataset.total:,}",
        "classes": str(len(dataset.classes)),
        "benign class": dataset.benign,
        "rows in Tables 1 and 3": _paper_sizes(dataset),
        "get it from": dataset.page,
        "terms": dataset.terms,
        "notes": "; ".join(dataset.notes),
    }
    return pd.DataFrame({"value": {name: value for name, value in rows.items() if value}})


def _paper_sizes(dataset: Dataset) -> str:
    if not dataset.paper_train:
        return ""
    return f"{dataset.paper_train:,} to train on, {dataset.paper_test:,} to test on"


def census(prepared: Prepared) -> pd.DataFrame:
    """What reading found, in rows: one column for each file that was read, under the slug it was read for.

    A union's own file that stands for several parts is one column, under its name.
    """
    files = [part["file"] for part in prepared.parts.values()]
    counts = [part["census"] for part in prepared.parts.values()]
    rows = {
        key: text
        for key, text in CENSUS_ROWS.items()
        if key not in SHOWN_IF_ANY or any(census[key] for census in counts)
    }
    columns = {
        slug if files.count(part["file"]) == 1 else part["file"]: {
            text: part["census"][key] for key, text in rows.items()
        }
        for slug, part in prepared.parts.items()
    }
    return marked(pd.DataFrame(columns), prepared.mark)


def classes(prepared: Prepared) -> pd.DataFrame:
    """Rows per class: published, here, and the difference.

    No column of published counts for a user's own file, nor for simulated rows: these are never shown side by side.
    """
    here = {name: sum(prepared.counts[role][name] for role in ROLES) for name in prepared.classes}
    entry = DATASETS.get(prepared.name)
    names = list(dict.fromkeys([*(entry.classes if entry else ()), *here]))
    frame = pd.DataFrame({"here": [here.get(name, 0) for name in names]}, index=pd.Index(names, name="class"))
    if entry and "simulated" not in prepared.mark:
        published = pd.array([entry.classes.get(name) for name in names], dtype="Int64")
        frame.insert(0, "published", published)
        frame["difference"] = frame["here"] - frame["published"]
    return marked(frame.reset_index(), prepared.mark)


def roles(prepared: Prepared) -> pd.DataFrame:
    """Rows per class and role, with a last row of sums."""
    frame = pd.DataFrame({role: prepared.counts[role] for role in ROLES}).rename_axis("class")
    frame.loc["all"] = frame.sum()
    frame["test share"] = (frame["test"] / frame.sum(axis=1)).round(3)
    return marked(frame.reset_index(), prepared.mark)


def sides(prepared: Prepared) -> tuple[dict[str, int], dict[str, int] | None]:
    """Rows to train on (validation included) and to test on: here, and in Tables 1 and 3 for a whole file."""
    here = {
        "training and validation": prepared.size("train") + prepared.size("validation"),
        "test": prepared.size("test"),
    }
    entry = DATASETS.get(prepared.name)
    if prepared.mark or not entry or not entry.paper_train:
        return here, None
    return here, {"training and validation": entry.paper_train, "test": entry.paper_test}


def twins(prepared: Prepared) -> int:
    """Test rows whose nine features equal those of a training row. Hashes of the training rows are held in memory."""
    known, asked = (hash_rows(prepare.load(prepared, role)[0], 0) for role in ("train", "test"))
    return int(np.isin(asked, known).sum())


def provenance(prepared: Prepared) -> str:
    """One line: what the rows are, what to make of numbers from them, and what became of the lines of their files."""
    meanings = {
        "simulated": "a simulated stand-in: it shows that everything runs, and says nothing about the real dataset",
        "own": "your own flows",
        "own subset": "a subsample of your own flows",
        "subset": "a subset of the published file: its numbers hold for this subset only",
        "": "the whole published file, checked against its published counts",
    }
    kind = _kind(prepared)
    sentence = f"{prepared.title} here is {meanings[kind]}."
    if prepared.version > 1:
        sentence += (
            f" Version {prepared.version} was metered again from the same captures: it is not the paper's input."
        )
    if prepared.version == 3:
        sentence += " Its published counts are those that a third party reports."
    if (part := prepared.parts.get(prepared.name, {})).get("rows_of"):
        sentence += f" Its own file is not here: these are its rows in {part['file']}, with the union's classes."
    return f"{sentence} {accounted(prepared)}"


def _kind(prepared: Prepared) -> str:
    """The mark without the version."""
    return prepared.mark.removeprefix(f"v{prepared.version}").strip()


def accounted(prepared: Prepared) -> str:
    """What became of all lines of the files that were read, in a sentence or two: kept, dropped and why."""
    parts = {part["file"]: Census(**part["census"]) for part in prepared.parts.values()}
    lost, kept = Counter(), sum(census.kept for census in parts.values())
    for census in parts.values():
        lost.update(census.lost)
    dropped = sum(lost.values())
    reasons = ", ".join(f"{reason}: {count:,}" for reason, count in lost.items())
    share = f"{dropped:,} dropped ({dropped / (dropped + kept):.2%}; {reasons})" if dropped else "none dropped"
    sentence = f"Of {dropped + kept:,} rows read {kept:,} were kept, {share}."
    headers = sum(census.other_headers for census in parts.values())
    if headers:
        sentence += f" {headers:,} header lines among the rows have other columns; each applies to the rows below it."
    for census in parts.values():
        if census.benign_words:
            words = ", ".join(f"{word} ({rows:,})" for word, rows in census.benign_words.items())
            sentence += f" Taken as benign, the class {prepared.benign!r}: {words}."
        if prepared.split == "session" and _kind(prepared) in ("own", "own subset"):
            sentence += f" The test is the last recording by {sessions.ordered_by(census.sessions)}."
    return sentence


def sources(prepared: dict[str, Prepared]) -> pd.DataFrame:
    """The rows a source is trained on under each protocol, and from which parts they come."""
    columns = {
        protocol: {
            "source": source.title,
            "what it is": source.mark or "published file",
            "training rows": f"{source.size('train'):,}",
            "classes": len(source.classes),
            "parts": ", ".join(source.parts),
        }
        for protocol, source in prepared.items()
    }
    return marked(pd.DataFrame(columns), next(iter(prepared.values())).mark)


def class_counts(counts: Mapping[str, int | None], title: str = "Flows per class", mark: str = "") -> Figure:
    """Rows of each class (class -> rows; None where nobody has published it), largest first, on a log axis."""
    known = pd.Series(dict(counts), dtype="float64").sort_values(ascending=False, na_position="last")
    figure, axes = style.figure(8, 1.4 + 0.28 * len(known))
    axes.set_xscale("log")
    axes.set_xlim(1, 12 * max(2, known.max()) if known.notna().any() else 10)
    axes.barh(known.index, known.fillna(0), color=BLUE, edgecolor="black", linewidth=0.5)
    for bar, rows in enumerate(known):
        text = "not published" if np.isnan(rows) else f"{rows:,.0f}"
        axes.text(rows if rows > 1 else 1, bar, f" {text}", va="center", fontsize=8)
    style.from_the_top(axes, len(known))
    axes.grid(axis="x", color=GRID)
    axes.set(xlabel="flows (log scale)", ylabel="class")
    return finish(figure, title, mark, _imbalance(known[known > 0]))


def _imbalance(known: pd.Series) -> str:
    """How many times the smallest class goes into the largest; `known` is sorted, the largest first."""
    if len(known) < 2:
        return ""
    return f"{known.iloc[0] / known.iloc[-1]:,.0f} times as many of {known.index[0]} as of {known.index[-1]}"


def split_sizes(
    sizes: Mapping[str, int], published: Mapping[str, int | None] | None = None, title: str = "Rows per split",
    mark: str = "",
) -> Figure:  # fmt: skip
    """Rows of each split (name -> rows), beside the paper's (Tables 1 and 3) for the names that `published` has."""
    figure, axes = style.figure(7, 1.4 + 0.65 * len(sizes))
    theirs = [(published or {}).get(name) for name in sizes]
    if published:
        style.two_bars(axes, {"published": theirs, "ours": list(sizes.values())}, list(sizes), "{:,.0f}")
        style.legend_below(figure, axes)
    else:
        axes.bar_label(
            axes.barh(list(sizes), list(sizes.values()), color=BLUE, edgecolor="black"), fmt="{:,.0f}", padding=3
        )
        style.from_the_top(axes, len(sizes))
    longest = max([*sizes.values(), *(rows or 0 for rows in theirs), 1])
    axes.set(xlabel="flows", ylabel="split", xlim=(0, 1.22 * longest))
    axes.xaxis.set_major_formatter(lambda value, _: f"{value:,.0f}")
    axes.grid(axis="x", color=GRID)
    share = f"{sizes['test'] / sum(sizes.values()):.0%} for the test" if sizes.get("test") else ""
    return finish(figure, title, mark, share)


def feature_importance(
    importance: Mapping[str, float], paper_nine: Iterable[str], top: int = 25,
    title: str = "Random-forest feature importance", mark: str = "",
) -> Figure:  # fmt: skip
    """Gini importance (feature -> share, all features adding up to 1), the paper's nine (Table 3) set apart.

    The `top` most important are shown, and those of the paper's nine that come after them.
    """
    nine = set(paper_nine)
    ranked = pd.Series(dict(importance), dtype="float64").sort_values(ascending=False)
    shown = ranked[[rank < top or name in nine for rank, name in enumerate(ranked.index)]]
    figure, axes = style.figure(8, 1.6 + 0.25 * len(shown))
    axes.barh(
        [f"{name}  ({ranked.index.get_loc(name) + 1})" for name in shown.index], shown,
        color=[BLUE if name in nine else LIGHT for name in shown.index], edgecolor="black", linewidth=0.6,
        hatch=["///" if name in nine else "" for name in shown.index],
    )  # fmt: skip
    axes.axhline(8.5, color="black", linestyle=":", linewidth=1)
    style.from_the_top(axes, len(shown))
    axes.set(xlabel="Gini importance (share of 1)", ylabel="feature (rank)")
    axes.grid(axis="x", color=GRID)
    axes.legend(
        handles=[Patch(facecolor=BLUE, edgecolor="black", hatch="///", label="among the paper's nine"),
                 Patch(facecolor=LIGHT, edgecolor="black", label="not among them"),
                 plt.Line2D([], [], color="black", linestyle=":", label="the nine highest are above this line")],
        loc="lower right",
    )  # fmt: skip
    both = len(nine.intersection(ranked.index[:9]))
    return finish(figure, title, mark, f"{ranked.index[0]} first; {both} of the paper's nine among the nine highest")


def feature_distributions(
    frame: pd.DataFrame, features: Sequence[str], label: str = "Attack",
    title: str = "Feature distributions by class (box: quartiles, whiskers: 5 to 95 %)", mark: str = "",
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
    style.from_the_top(grid[0, 0], len(classes))
    return finish(figure, title, mark)
