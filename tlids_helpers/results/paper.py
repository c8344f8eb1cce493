"""The published tables as tidy frames, cell for cell as Vishwakarma & Kesswani (2023) print them, slips included.

The cells are in `paper_tables.csv`, the slips in `paper_slips.csv`. Every frame of results has the columns of
`COLUMNS`: `published` is a fraction (NaN where the paper prints a dash), `printed` the cell as the paper prints it,
`dataset` a slug of the catalog ("" where the table names no dataset). The sizes of Tables 1 and 3 are in the catalog.
"""

from pathlib import Path

import pandas as pd

from tlids_helpers.common.errors import InputError
from tlids_helpers.data.catalog import DATASETS

CELLS = Path(__file__).with_name("paper_tables.csv")
SLIPS = Path(__file__).with_name("paper_slips.csv")
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


def slips() -> pd.DataFrame:
    """Where the paper says two things, or something other than it cites, and what we do about each."""
    return pd.read_csv(SLIPS, dtype=str, keep_default_na=False)
