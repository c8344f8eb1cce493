"""What a check found: a table, a sentence in counts, and whether these rows allowed the check at all."""

import html
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import wraps

import pandas as pd

from tlids_helpers.common.errors import InputError


@dataclass(frozen=True)
class Check:
    """A table and its sentence; without a table where the rows do not allow the check. A notebook shows both."""

    table: pd.DataFrame | None = field(repr=False)
    sentence: str
    possible: bool = True

    def __repr__(self) -> str:
        """What a terminal shows."""
        return self.sentence if self.table is None else f"{self.table}\n\n{self.sentence}"

    def _repr_html_(self) -> str:
        shown = "" if self.table is None else self.table._repr_html_()
        return f"{shown}<p>{html.escape(self.sentence)}</p>"  # class names are the user's


def found(table: pd.DataFrame, sentence: str) -> Check:
    """The Check of a table. The sentence of simulated rows ends with their mark, which a reader would else not see.

    The mark stands in the table's corner, or row by row in its column `mark`.
    """
    mark = _simulated(table)
    return Check(table, f"{sentence} [{mark}]" if mark else sentence)


def checked(function: Callable[..., Check]) -> Callable[..., Check]:
    """Let a check that raises InputError (no benign class, one recording) return a Check that was not possible."""

    @wraps(function)
    def check(*args, **kwargs) -> Check:
        try:
            return function(*args, **kwargs)
        except InputError as error:
            return Check(None, f"Not checked: {error}.", possible=False)

    return check


def _simulated(table: pd.DataFrame) -> str:
    marks = set(table["mark"]) if "mark" in table else {table.columns.name or ""}
    simulated = {mark for mark in marks if "simulated" in mark}
    if not simulated:
        return ""
    if simulated < marks:
        return "partly simulated"
    return simulated.pop() if len(simulated) == 1 else "simulated"
