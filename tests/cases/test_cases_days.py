"""Files of several days joined: headers with other columns, or behind something else."""

import csv

import case_rows as made
import pandas as pd
import pyarrow.parquet as pq
import pytest

from tlids_helpers.common.errors import InputError
from tlids_helpers.data import cleaned, prepare, raw, show

DAY = made.flows(50)


def days(*others: pd.DataFrame, **how) -> str:
    return "".join(frame.to_csv(index=False, **how) for frame in (DAY, *others))


HEADERS = {
    "two more columns": lambda day: day.assign(X=0, Y=0)[[*made.COLUMNS[:5], "X", "Y", *made.COLUMNS[5:]]],
    "a column less": lambda day: day.assign(Extra=1),
    "another order": lambda day: day[made.COLUMNS[::-1]],
    "two neighbours swapped": lambda day: day[["L4_SRC_PORT", "L4_DST_PORT", "PROTOCOL", "TCP_FLAGS", "L7_PROTO",
                                               "OUT_BYTES", "IN_BYTES", "IN_PKTS", "OUT_PKTS", "Attack"]],
    "lower case in another order": lambda day: day[made.COLUMNS[::-1]].rename(columns=str.lower),
    "the label first": lambda day: day[["Attack", *made.COLUMNS[:-1]]],
    "a row number": lambda day: day.reset_index(),
}  # fmt: skip


@pytest.mark.parametrize("block", [700, raw.BLOCK_BYTES])
@pytest.mark.parametrize("kind", HEADERS)
def test_a_header_with_other_columns_is_obeyed(kind, block, read, put, data_dir, monkeypatch):
    monkeypatch.setattr(raw, "BLOCK_BYTES", block)
    other = HEADERS[kind](DAY.assign(IN_BYTES=DAY["IN_BYTES"] + 50, Attack="Bot"))
    text = days(other, DAY.assign(IN_BYTES=DAY["IN_BYTES"] + 100))
    census, rows = read(text)
    assert rows == list(range(150)) and made.dropped(census) == {"other_headers": 2}
    found = pq.read_table(cleaned.clean(str(put(text, "own.csv")), data_dir, True)[0].file).to_pandas()
    expected = pd.concat([DAY, DAY.assign(Attack="Bot"), DAY])[[*made.COLUMNS]].drop(columns="IN_BYTES")
    both = [frame.drop(columns="IN_BYTES", errors="ignore")[expected.columns] for frame in (found, expected)]
    pd.testing.assert_frame_equal(*[frame.reset_index(drop=True) for frame in both], check_dtype=False)
    assert "2 header lines" in show.provenance(prepare.prepare(str(put(text, "own.csv")), data_dir))


def test_a_header_without_a_column_that_is_needed_is_refused_with_its_line(put, data_dir):
    path = put(days(DAY.drop(columns="TCP_FLAGS")), "own.csv")
    with pytest.raises(InputError, match="'TCP_FLAGS' in line 52 of own.csv, a header with other columns"):
        prepare.prepare(str(path), data_dir)


def test_rows_of_another_width_without_a_header_stop_preparation_with_the_count(put, data_dir):
    text = days() + DAY.assign(X=0)[["X", *made.COLUMNS]].to_csv(index=False, header=False)
    path = str(put(text, "own.csv"))
    with pytest.raises(InputError, match=r"at most 1.00% of the lines.*found 50 of 100 \(50.0%: 50 for another number"):
        prepare.prepare(path, data_dir)
    prepared = prepare.prepare(path, data_dir, allowed=made.ALL)
    assert "Of 100 rows read 50 were kept, 50 dropped (50.00%;" in show.provenance(prepared)


@pytest.mark.parametrize("quoting", [csv.QUOTE_MINIMAL, csv.QUOTE_ALL])
def test_repeated_headers_and_one_at_the_end_cost_nothing(quoting, read):
    text = days(DAY, DAY.head(0), DAY.head(0), quoting=quoting)
    census, rows = read(text)
    assert rows == list(range(50)) * 2 and made.dropped(census) == {"repeated_headers": 3}


def test_a_header_with_other_columns_and_no_rows_after_it(read):
    census, rows = read(days(DAY.head(0).assign(X=0), DAY.head(0)[made.COLUMNS[::-1]]))
    assert rows == list(range(50)) and census["other_headers"] == 2


def test_the_other_columns_of_cicflowmeter_may_be_fewer_on_another_day(cicflow, put, data_dir):
    frame = cicflow({"Benign": 60, "DoS": 40})
    fewer = frame.drop(columns=["Flow_IAT_Mean", "Idle_Min"])
    path = put(frame.to_csv(index=False) + fewer.to_csv(index=False), "own.csv")
    table = pq.read_table(cleaned.clean(str(path), data_dir, True)[0].file)
    assert len(table) == 200 and table["Idle_Min"].null_count == 100 and table["Idle_Max"].null_count == 0


FIRST = {
    "a feature": DAY, "the label": DAY[["Attack", *made.COLUMNS[:-1]]], "a text": DAY.assign(Note="n")[["Note", *DAY]],
    "an address": DAY.assign(Note="10.0.0.1")[["Note", *DAY]], "all quoted": DAY,
}  # fmt: skip
GLUES = {
    "no end of the last line": lambda text: text[:-1], "a cut value": lambda text: text[:-3],
    "a cut row": lambda text: text[: text.rindex(",", 0, text.rindex(",") - 1)],
    "one value": lambda text: text[: text.index(",", text[:-1].rindex("\n"))],
    "a byte-order mark": lambda text: text[:-1] + "\ufeff", "zero bytes": lambda text: text + "\0" * 9,
    "megabytes of zeros": lambda text: text + "\0" * (5 << 20),
}  # fmt: skip


@pytest.mark.parametrize("block", [700, raw.BLOCK_BYTES])
@pytest.mark.parametrize("glue", GLUES)
@pytest.mark.parametrize("first", FIRST)
@pytest.mark.parametrize("order", [lambda names: names[::-1], lambda names: [names[1], names[0], *names[2:]]])
def test_a_header_behind_something_else_is_refused_with_its_line(order, first, glue, block, put, data_dir, monkeypatch):
    if "mega" not in glue:
        monkeypatch.setattr(raw, "BLOCK_BYTES", block)
    quoting = csv.QUOTE_ALL if first == "all quoted" else csv.QUOTE_MINIMAL
    day = FIRST[first]
    other = day[order([*day.columns])].to_csv(index=False, quoting=quoting)
    text = GLUES[glue](day.to_csv(index=False, quoting=quoting)) + other
    line = 52 if "zero" in glue else 51
    with pytest.raises(InputError, match=f"line {line} of own.csv|found one behind something else in line {line}:"):
        prepare.prepare(str(put(text, "own.csv")), data_dir, allowed=made.ALL)


@pytest.mark.parametrize("first", FIRST)
@pytest.mark.parametrize(("glue", "reason", "row"), [
    ("no end of the last line", "malformed", 1), ("a cut row", "malformed", 1), ("a byte-order mark", "malformed", 1),
    ("zero bytes", "nul_lines", 0),
])  # fmt: skip
def test_the_same_header_behind_something_else_costs_its_line(first, glue, reason, row, read):
    text = FIRST[first].to_csv(index=False, quoting=csv.QUOTE_ALL if first == "all quoted" else csv.QUOTE_MINIMAL)
    census, rows = read(GLUES[glue](text) + text)
    assert rows == [*range(50 - row), *range(50)] and made.dropped(census) == {reason: 1}
