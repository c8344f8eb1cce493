"""Which of a user's own labels mean "no attack": there are many words for it, and they are one class.

A published dataset has its benign class in the catalog, and nothing here is asked.
"""

import re

CLEAR = (
    "benign", "normal", "background", "legitimate", "legit", "benigntraffic", "normaltraffic", "backgroundtraffic",
    "legitimatetraffic", "noattack", "nonattack", "notanattack", "nonmalicious",
)  # fmt: skip
PLAIN = ("clean", "good", "safe", "harmless", "0", "false", "no")  # beside bad, 1, true, yes
VAGUE = ("none", "-")
WORDS = (*CLEAR, *PLAIN, *VAGUE)
NOTHING = ("", "nan", "<na>", "null", "na", "n/a")  # benign where the file has no other word for it, but a vague one
EMPTY_SHARE = 0.05  # of all rows: where fewer labels are empty they were forgotten
NAME = "Benign"  # where the file has no word for it


def is_benign(label: str) -> bool:
    """Whether a label says that there was no attack, in whatever case and spelling."""
    return _rank(label) < len(WORDS)


def is_clear(label: str) -> bool:
    """Whether nothing but a benign flow can be meant."""
    return _rank(label) < len(CLEAR)


def is_vague(label: str) -> bool:
    """Whether a label for benign may as well be a word for nothing."""
    return len(CLEAR) + len(PLAIN) <= _rank(label) < len(WORDS)


def name_of(labels: list[str]) -> str:
    """The one name of several benign labels: the clearest of them as the file spells it."""
    return min(labels, key=_rank, default=NAME)


def _rank(label: str) -> int:
    """The place of a label among the words, the clearest first; their number for any other label."""
    folded = " ".join(label.split()).casefold().strip("'\"()[]").rstrip(".,;: ")
    if re.fullmatch(r"0+(\.0+)?", folded):
        folded = "0"
    squeezed = re.sub(r"[\s_-]+", "", folded)
    return next((WORDS.index(form) for form in (folded, squeezed) if form in WORDS), len(WORDS))
