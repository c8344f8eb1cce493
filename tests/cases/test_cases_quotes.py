"""A quote that is not closed takes no other row with it."""

import csv

import case_rows as made
import pytest

from tlids_helpers.data import raw

NOTED = made.flows(Note="n")
LINES = made.csv_lines(NOTED)
QUOTED = made.csv_lines(NOTED, quoting=csv.QUOTE_ALL)


def at(lines: list[str], row: int, old: str, new: str) -> list[str]:
    """The lines with something replaced once in the row of a number."""
    changed = lines[row + 1].replace(old, new, 1)
    assert changed != lines[row + 1]
    return [*lines[: row + 1], changed, *lines[row + 2 :]]


UNCLOSED = {
    "in the first column": (at(LINES, 100, "n,", '"n,'), {100}),
    "in the label": (at(LINES, 100, ",DoS", ',"DoS'), {100}),
    "in the first row": (at(LINES, 0, "n,", '"n,'), {0}),
    "in the last row": (at(LINES, 299, "n,", '"n,'), {299}),
    "in two rows far apart": (at(at(LINES, 100, "n,", '"n,'), 200, "n,", '"n,'), {100, 200}),
    "in two rows one after the other": (at(at(LINES, 100, "n,", '"n,'), 101, "n,", '"n,'), {100, 101}),
    "and closed in the next row": (at(at(LINES, 100, "n,", '"n,'), 101, "n,", 'n",'), {100}),
    "where all is quoted": (at(QUOTED, 100, '"n",', '"n,'), {100}),
    "at the opening where all is quoted": (at(QUOTED, 100, '"n",', 'n",'), set()),
    "at the end where all is quoted": (at(QUOTED, 100, '"DoS"', '"DoS'), {100}),
    "after a quote that is a letter": (at(LINES, 100, "n,", '5"n,"'), {100}),
    "with three quotes": (at(LINES, 100, "n,", '"n"",'), {100}),
}


@pytest.mark.parametrize("block", [300, 5000, raw.BLOCK_BYTES])
@pytest.mark.parametrize("where", UNCLOSED)
def test_a_quote_that_is_not_closed_loses_its_own_row(where, block, read, monkeypatch):
    monkeypatch.setattr(raw, "BLOCK_BYTES", block)
    lines, lost = UNCLOSED[where]
    census, rows = read(made.text_of(lines))
    assert rows == [row for row in range(300) if row not in lost]
    reason = "malformed" if where.startswith("where all") else "unclosed_quotes"  # closed by the next field's quote
    assert made.dropped(census) == ({reason: len(lost)} if lost else {})


CLOSED = {
    "a quote inside a field": [line.replace("n,", '5" disk,') for line in LINES],
    "an escaped quote": [line.replace("n,", '"a ""b"" c",') for line in LINES],
    "a field of quotes": [line.replace("n,", '"""",') for line in LINES],
    "an empty quoted field": [line.replace("n,", '"",') for line in LINES],
    "commas in quotes": [line.replace("n,", '"a,b,,c",') for line in LINES],
    "all fields quoted": QUOTED,
    "a backslash before a quote": [line.replace("n,", '"a \\" b",') for line in LINES],
}


@pytest.mark.parametrize("end", ["\n", "\r\n"])
@pytest.mark.parametrize("kind", CLOSED)
def test_quotes_that_are_closed_cost_nothing(kind, end, read):
    lines = [LINES[0], *CLOSED[kind][1:]]
    census, rows = read(made.text_of(lines, end))
    assert rows == made.numbers_by_pandas(made.text_of(lines)) == list(range(300)) and made.dropped(census) == {}


@pytest.mark.parametrize("block", [300, 5000, raw.BLOCK_BYTES])
@pytest.mark.parametrize("value", ['"two\nlines",', '"\n",', '"a\nb,c\n\nd",', '"""\n""",'])
def test_a_quoted_value_of_several_lines_is_one_row(value, block, read, monkeypatch):
    monkeypatch.setattr(raw, "BLOCK_BYTES", block)
    text = made.text_of(at(at(LINES, 7, "n,", value), 150, "n,", value))
    census, rows = read(text)
    assert rows == made.numbers_by_pandas(text) == list(range(300))
    assert made.dropped(census) == {"continued_lines": 2 * value.count("\n")}


def test_a_comma_in_a_quoted_column_name_is_no_column(read):
    census, rows = read(made.text_of(['"Note, if any",' + LINES[0].removeprefix("Note,"), *LINES[1:]]))
    assert rows == list(range(300)) and made.dropped(census) == {}
