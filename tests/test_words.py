"""The texts are in plain words: patterns that readers stumbled over do not come back."""

import ast
import json
import re
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).resolve().parent.parent
PLACES = (
    "*.md",
    "docs/*.md",
    "data/*.md",
    "runs/*.md",
    "edge/**/*.md",
    "edge/tlids_edge/help/*.txt",
    "notebooks/*.ipynb",
)
INSTEAD = {
    r"\banew\b": "again",
    r"\blies\b": "is",
    r"\bmend(?:s|ed|ing)?\b": "correct",
    r"\bby itself\b": "automatically, alone",
    r"(?<!there )\b(?:is|are) no (?!longer\b)": "is not",
    r"\b(?:is|are) none\b": "is not",
    r"\ba sin\b": "a mistake",
    r"\ba taste\b": "a choice",
    r"\bwoken\b": "alerted",
    r"\brefused with a sentence\b": "raises an error that says why",
    r"\bare all they assume\b": "you need",
    r"\btaken for whom\b": "confusion matrix",
    r"\btells? nothing\b": "say nothing about",
    r"\btoo sure\b": "overconfident",
    r"\bare so\b": "are right",
    r"\bsaid to the person\b": "the message says",
    r"\bwhat (?:\w+ ){1,4}cost before any of this\b": "training time of",
    r"\b(?:bears?|goes on with)\b": "has, continues",
    r"\btells (?:of|the interface)\b": "reports, shows",
    r"\bat hand\b": "on disk, here",
    r"\bfor want of\b": "for lack of",
    r"\bgives? the class away\b": "reveals the class",
    r"\bthe exam\b": "the test",
    r"\bbenign life\b": "benign traffic",
    r"\bto be had\b": "available, get it from",
    r"\bno permission to:": "no permission",
    r"\bnobody tells of\b": "is not reported",
    r"\bwhat (?:stays|the \w+) (?:invisible|hides?)\b": "missed, the audit",
    r"\bthe way back\b": "undo",
    r"\bwho lost\b": "the classes that lost",
    r"\btold (?:of|after|once)\b": "reported",
    r"(?<!incident )\bgoes on\b": "continues",
    r"\bmeasured apart\b": "measured separately",
    r"\bas (?:it|they) stands?\b": "unchanged, now",
    r"\bwhat is counted is\b": "the counts are of",
    r"\bthat cannot be\b(?! \w)": "impossible",
    r"\bgives? way\b": "is replaced, ends",
    r"\bwithout a word\b": "without a message",
    r"\b(?:is|are) meant to hold\b": "may hold",
    r"\bunnamed fault\b": "unknown error",
    r"\bwhoever\b": "anyone who",
    r"\basked for and reached\b": "the target, measured",
}
"""Pattern -> what to write instead."""


def pages() -> list[str]:
    """Every page, help text and notebook, except what is rendered from results."""
    found = {str(path.relative_to(REPOSITORY)) for place in PLACES for path in REPOSITORY.glob(place)}
    return sorted(found - {"docs/audit-tables.md"})


def prose(name: str) -> str:
    """The text without code; of a notebook the Markdown cells."""
    text = (REPOSITORY / name).read_text()
    if name.endswith(".ipynb"):
        cells = json.loads(text)["cells"]
        text = "\n\n".join("".join(cell["source"]) for cell in cells if cell["cell_type"] == "markdown")
    return re.sub(r"```.*?```|`[^`]*`", "", text, flags=re.DOTALL)


def strings(module: Path) -> list[str]:
    """The string constants of a module: its messages, titles and labels; not its docstrings."""
    tree = ast.parse(module.read_text())
    loose = {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Expr)}
    constants = [node for node in ast.walk(tree) if isinstance(node, ast.Constant) and id(node) not in loose]
    return [node.value for node in constants if isinstance(node.value, str)]


def found_in(text: str) -> list[str]:
    """What of the patterns is in a text, each with what to write instead."""
    text = " ".join(text.split())
    return [
        f"{match[0]!r} in {text[max(0, match.start() - 30) : match.end() + 30]!r}: write {instead!r}"
        for pattern, instead in INSTEAD.items()
        for match in re.finditer(pattern, text, re.IGNORECASE)
    ]


@pytest.mark.parametrize("name", pages())
def test_a_text_has_no_word_that_readers_stumbled_over(name):
    assert found_in(prose(name)) == []


def test_a_message_has_no_word_that_readers_stumbled_over():
    modules = [path for root in ("tlids_helpers", "edge/tlids_edge", "edge/testbed")
               for path in (REPOSITORY / root).rglob("*.py")]  # fmt: skip
    found = {str(path.relative_to(REPOSITORY)): found_in("\n".join(strings(path))) for path in modules}
    assert {path: words for path, words in found.items() if words} == {}


def test_the_patterns_find_the_phrases_they_were_made_for():
    stumbled = ("make are all they assume: each creates", "is refused with a sentence", "Who is taken for whom",
                "How the feature lies", "What the sources cost before any of this could begin",
                "About transfer from other networks they tell nothing", "13,662 (93.3%) are so: too sure by 4.36%",
                "a sin without effect", "the default is a taste", "before anybody is woken", "by itself", "train anew",
                "a port is no feature", "said to the person at the keyboard", "the fault is mended",
                "is told of as new", "The incident was told after", "asked for and reached", "What is counted is all",
                "the learning goes on", "steps measured apart", "packets have a time that cannot be")  # fmt: skip
    assert [phrase for phrase in stumbled if not found_in(phrase)] == []
    assert found_in("There is no noise, it is no longer here, and a record applies.") == []
