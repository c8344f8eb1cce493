"""Which of a user's own labels mean "no attack": there are many words for it, and they are one class.

A published dataset has its benign class in the catalog, and nothing here is asked.
"""

import re

CLEAR = (
    "benign", "normal", "background", "legitimate", "legit", "benigntraffic", "normaltraffic", "backgroundtraffic",
    "legitimatetraffic", "noattack", "nonattack", "notanattack", "nonmalicious",
)  # fmt: skip
VAGUE = ("none", "0", "0.0", "-", "false")
NOTHING = ("", "nan", "<na>", "null", "na", "n/a")  # benign where no clear word is in the file; else no label at all
NAME = "Benign"  # where the file has no word for it


def is_benign(label: str) -> bool:
    """Whether a label says that there was no attack, in whatever case and spelling."""
    return _rank(label) < len(CLEAR) + len(VAGUE)


def is_clear(label: str) -> bool:
    """Whether nothing but a benign flow can be meant."""
    return _rank(label) < len(CLEAR)


def name_of(labels: list[str]) -> str:
    """The one name of several benign labels: the clearest of them as the file spells it."""
    return min(labels, key=_rank, default=NAME)


def _rank(label: str) -> int:
    """The place of a label among the words, the clearest first; their number for any other label."""
    folded = " ".join(label.split()).casefold()
    squeezed = re.sub(r"[\s_-]+", "", folded)
    words = (*CLEAR, *VAGUE)
    return next((words.index(form) for form in (folded, squeezed) if form in words), len(words))
