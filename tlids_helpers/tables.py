"""Small frames the notebooks show. A table of anything but whole, published data says so in its top left corner."""

from pathlib import Path

import numpy as np
import pandas as pd

from tlids_helpers.data import prepare
from tlids_helpers.data.catalog import DATASETS, Dataset
from tlids_helpers.data.prepare import Prepared
from tlids_helpers.data.split import ROLES, hash_rows
from tlids_helpers.network import model as network
from tlids_helpers.results.metrics import SCORES

CENSUS_ROWS = {
    "rows": "rows with a label",
    "kept": "kept",
    "missing": "dropped: a feature is empty or NaN",
    "infinite": "dropped: a feature is infinite",
    "unlabelled": "dropped: no label",
    "repeated_headers": "dropped: header line repeated",
    "html_lines": "dropped: stray HTML line",
    "malformed": "dropped: line with another number of fields",
    "negative": "kept: a feature is negative (taken as 0 by the model)",
    "relabelled": "kept: label spelled in another case",
}


def marked(frame: pd.DataFrame, mark: str) -> pd.DataFrame:
    """`frame` with `mark` ("simulated", "subset", ...) in its corner, where a reader cannot miss it."""
    return frame.rename_axis(columns=mark or None)


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
    columns = {
        slug if files.count(part["file"]) == 1 else part["file"]: {
            text: part["census"][key] for key, text in CENSUS_ROWS.items()
        }
        for slug, part in prepared.parts.items()
    }
    return marked(pd.DataFrame(columns), prepared.mark)


def classes(prepared: Prepared) -> pd.DataFrame:
    """Rows per class: published, here, and the difference. No column of published counts for a user's own file."""
    here = {name: sum(prepared.counts[role][name] for role in ROLES) for name in prepared.classes}
    entry = DATASETS.get(prepared.name)
    names = list(dict.fromkeys([*(entry.classes if entry else ()), *here]))
    frame = pd.DataFrame({"here": [here.get(name, 0) for name in names]}, index=pd.Index(names, name="class"))
    if entry:
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


def layers(model, mark: str) -> pd.DataFrame:
    """Every layer of the network with its output shape and its number of weights (Fig. 3)."""
    return marked(pd.DataFrame(network.layer_table(model)), mark)


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


def scores(results: dict[str, dict]) -> pd.DataFrame:
    """Scores of several runs on the test split, one column a run: label -> result."""
    columns = {label: pd.Series(result["scores"])[list(SCORES)] for label, result in results.items()}
    mark = " / ".join(dict.fromkeys(filter(None, (result["mark"] for result in results.values()))))
    return marked(pd.DataFrame(columns).map("{:.4f}".format), mark)


def times(results: dict[str, dict]) -> pd.DataFrame:
    """Epochs and seconds of several runs, one column a run; `ratio` is the first run's total over each one's."""
    first = next(iter(results.values()))["seconds"]["total"]
    columns = {
        label: {
            "epochs": result["epochs"],
            "seconds per epoch": round(result["seconds"]["per_epoch"], 2),
            "seconds in all": round(result["seconds"]["total"], 1),
            "ratio": round(first / result["seconds"]["total"], 2),
        }
        for label, result in results.items()
    }
    return marked(pd.DataFrame(columns), next(iter(results.values()))["mark"])


def per_class(result: dict) -> pd.DataFrame:
    """Precision, recall, F1 and support (test rows) of each class of one run."""
    frame = pd.DataFrame(result["per_class"]).T.rename_axis("class").reset_index()
    frame["support"] = frame["support"].astype(int)
    shares = ["precision", "recall", "f1"]
    frame[shares] = frame[shares].map("{:.4f}".format)
    return marked(frame, result["mark"])


def provenance(prepared: Prepared) -> str:
    """One sentence: what the rows are, and what to make of numbers from them."""
    said = {
        "simulated": "a simulated stand-in: it shows that everything runs, and says nothing about the real dataset",
        "own": "your own flows",
        "own subset": "a subsample of your own flows",
        "subset": "a subset of the published file: its numbers are its own",
        "": "the whole published file, checked against its published counts",
    }
    kind = prepared.mark.removeprefix("v2").strip()
    again = (
        " Version 2 was metered anew from the same captures, so it is not the paper's input."
        if prepared.version == 2
        else ""
    )
    return f"{prepared.title} here is {said[kind]}.{again}"
