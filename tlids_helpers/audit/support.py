"""How many rows each class is learned from and judged on, and which classes are judged on too few."""

import pandas as pd

from tlids_helpers import tables
from tlids_helpers.data.prepare import Prepared
from tlids_helpers.data.split import ROLES

LEAST = 50  # test rows; below it one row moves the recall by more than two points


def table(prepared: Prepared, least: int = LEAST) -> pd.DataFrame:
    """Rows per class and role: class, train, validation, test, one_row, few.

    `one_row` is what one test row more found adds to the class's recall (a fraction; NaN without test rows), `few`
    says that there are fewer than `least` test rows.
    """
    frame = pd.DataFrame({role: prepared.counts[role] for role in ROLES}).rename_axis("class").reset_index()
    frame["one_row"] = 1 / frame["test"].where(frame["test"] > 0)
    frame["few"] = frame["test"] < least
    return tables.marked(frame, prepared.mark)


def sentence(frame: pd.DataFrame, least: int = LEAST) -> str:
    """The classes with fewer than `least` test rows, named."""
    few = frame[frame["test"] < least]
    if few.empty:
        return f"All {len(frame)} classes have {least} test rows or more."
    named = ", ".join(f"{row['class']} ({row['test']:,})" for _, row in few.iterrows())
    return f"{len(few)} of {len(frame)} classes have fewer than {least} test rows: {named}."
