"""The one exception that a user's input can cause, which both packages raise, and how it quotes that input."""

from collections.abc import Iterable

from tlids_edge.errors import QUOTED, InputError, quoted

__all__ = ["InputError", "listed", "quoted"]

LISTED = 12  # names


def listed(names: Iterable[str]) -> str:
    """Names as a message lists them: each of at most 60 characters, and not more than a dozen."""
    every = [name if len(name) <= QUOTED else f"{name[: QUOTED - 3]}..." for name in names]
    more = f" and {len(every) - LISTED} more" if len(every) > LISTED else ""
    return ", ".join(every[:LISTED]) + more
