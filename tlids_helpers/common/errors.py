"""The one exception that a user's input can cause; both packages raise the same."""

from tlids_edge.errors import InputError

__all__ = ["InputError"]
