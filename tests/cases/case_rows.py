"""CSV files with the faults that other people have in theirs, made here, and rows that can be told apart."""

import io

import numpy as np
import pandas as pd

from tlids_helpers.data.catalog import NETFLOW_FEATURES
from tlids_helpers.data.raw import Allowed

COLUMNS = [*NETFLOW_FEATURES, "Attack"]
NO_ROWS = ("header_lines", "blank_lines", "continued_lines", "repeated_headers", "other_headers")
DROPPED = ("missing", "infinite", "unlabelled", "malformed", "unclosed_quotes", "nul_lines", "html_lines")
ALL = Allowed(loss=1.0)
LABELS = ("Benign", "DoS", "Scan")


def flows(number: int = 300, labels=LABELS, **columns) -> pd.DataFrame:
    """`number` rows whose IN_BYTES is their number from 0, with labels in turn; `columns` come first."""
    rng = np.random.default_rng(number)
    frame = pd.DataFrame({name: rng.integers(1, 60_000, number) for name in NETFLOW_FEATURES})
    frame["IN_BYTES"] = np.arange(number)
    frame["Attack"] = [labels[row % len(labels)] for row in range(number)]
    return pd.DataFrame(columns, index=frame.index).join(frame) if columns else frame


def csv_lines(frame: pd.DataFrame, **how) -> list[str]:
    """The lines of a frame as CSV, the header first."""
    return frame.to_csv(index=False, **how).splitlines()


def text_of(lines: list[str], end: str = "\n") -> str:
    """Lines as a file."""
    return end.join(lines) + end


def numbers_by_pandas(text: str) -> list[int]:
    """The row numbers that pandas finds in a text with no fault: it raises for any line of another width."""
    frame = pd.read_csv(io.StringIO(text), on_bad_lines="error", keep_default_na=False)
    return frame["IN_BYTES"].astype(int).tolist()


def dropped(census: dict) -> dict[str, int]:
    """The reasons for which lines of a census are no rows, with their counts."""
    return {reason: census[reason] for reason in (*DROPPED, *NO_ROWS[1:]) if census[reason]}
