"""The published tables as tidy frames, cell for cell as Vishwakarma & Kesswani (2023) print them, slips included.

The cells are in `paper_tables.csv`. Every frame of results has the columns of `COLUMNS`: `published` is a fraction
(NaN where the paper prints a dash), `printed` the cell as the paper prints it, `dataset` a slug of the catalog (""
where the table names no dataset). The sizes of Tables 1 and 3 are in the catalog.
"""

from pathlib import Path

import pandas as pd

from tlids_helpers.common.errors import InputError
from tlids_helpers.data.catalog import DATASETS

CELLS = Path(__file__).with_name("paper_tables.csv")
COLUMNS = ["table", "model", "dataset", "metric", "published", "printed"]
METRICS = ("accuracy", "precision", "recall", "f1")
"""The paper's four measurements, in its order; with more than two classes they are weighted by support."""

PROPOSED = "Proposed"
TASKS = {4: "binary", 5: "multiclass", 6: "multiclass", 7: "multiclass", 8: "binary", 9: "multiclass"}


def fraction(printed: str) -> float:
    """`'70.54%'` -> 0.7054; a dash -> NaN."""
    return float("nan") if printed in "-–" else round(float(printed.removesuffix("%")) / 100, 6)


def tables() -> pd.DataFrame:
    """Tables 4 to 9 below one another, in the paper's order of models, metrics and datasets; columns `COLUMNS`."""
    frame = pd.read_csv(CELLS, dtype={"table": int}, keep_default_na=False)
    return frame.assign(published=frame["printed"].map(fraction))[COLUMNS]


def table(number: int) -> pd.DataFrame:
    """Table `number` (4 to 9), as `tables`. Raises InputError for another number."""
    if number not in TASKS:
        raise InputError(f"expected the number of a table of results (4 to 9), found {number}: correct it")
    return tables().query("table == @number").reset_index(drop=True)


def proposed(*numbers: int) -> pd.DataFrame:
    """The cells of the paper's own network in the tables `numbers`; columns `COLUMNS`."""
    return tables().query("table in @numbers and model == @PROPOSED").reset_index(drop=True)


def as_printed(frame: pd.DataFrame) -> pd.DataFrame:
    """A tidy table in the paper's layout: a row for each model and metric, a column for each dataset, cells as text."""
    titled = frame.assign(dataset=[title(slug) for slug in frame["dataset"]])
    rows = ["model", "metric"]
    wide = titled.pivot_table(index=rows, columns="dataset", values="printed", aggfunc="first", sort=False)
    order = list(dict.fromkeys(zip(titled["model"], titled["metric"], strict=True)))
    return wide.reindex(order)[list(dict.fromkeys(titled["dataset"]))].fillna("")


def title(slug: str) -> str:
    """A slug's title as the paper writes it; a user's own dataset keeps its name."""
    return DATASETS[slug].title if slug in DATASETS else slug or "(not named)"


def testbed() -> pd.DataFrame:
    """Section 5.4: verdicts on 100 packets at the Raspberry Pi under a Zenmap scan; their truth is not published."""
    return pd.DataFrame({"verdict": ["anomaly", "benign"], "packets": [19, 81], "published": [0.19, 0.81]})


_SLIPS = (
    (
        "number of attacks",
        "20 attacks (abstract, Section 1.1's contributions)",
        "21 kinds of intrusion (Section 1.1); 21 classes (Table 1)",
        "21 classes, Benign among them: 20 attacks",
    ),
    (
        "accuracy on NF-UQ-NIDS",
        "93.75% (abstract)",
        "93.74% (Table 5)",
        "compare with the table's 93.74%",
    ),
    (
        "batch normalisation",
        "Equations 1 and 2 average over the n neurons of a layer",
        "Section 2.1.1 cites batch normalisation [24], which averages over the batch",
        "Keras BatchNormalization: each channel over the batch",
    ),
    (
        "Adagrad",
        "Equation 9 sums the squared gradients without a root",
        "the text below it speaks of the square root",
        "Keras Adagrad: the root of the sum",
    ),
    (
        "Table 9",
        "'comparison with CNN model', as if on one dataset",
        "'Proposed' is Table 5's NF-CSE-CIC-IDS2018; the other rows name no dataset, and [19] is an FNN",
        "shown as published; ours stands beside 'Proposed' alone",
    ),
    (
        "transfer source",
        "the source NF-UQ-NIDS is pre-trained, the target is new (Section 4.3)",
        "the four targets are subsets of NF-UQ-NIDS (Section 4.3)",
        "both protocols: 'paper', with no target test row in the source's training, and 'leave_target_out'",
    ),
    (
        "time saved by transfer",
        "training and testing times are 'significantly decreased' (abstract, Section 6)",
        "no time is printed anywhere",
        "scratch and transfer are timed side by side (notebook 03)",
    ),
    (
        "training machine",
        "Google Colab, a GPU and 12 GB of RAM (Section 5.2)",
        "Windows 11, 8 GB of RAM (Table 2)",
        "each result records its own versions and times",
    ),
    (
        "CICFlowMeter features",
        "80 features (Section 5.1.2)",
        "83 features, of which nine are chosen (Section 5.1.2)",
        "the columns of the file given, without addresses and labels; the paper's nine by default",
    ),
)


def slips() -> pd.DataFrame:
    """Where the paper says two things, or something other than it cites, and what we do about each."""
    return pd.DataFrame(_SLIPS, columns=["about", "in one place", "in another", "here"])
