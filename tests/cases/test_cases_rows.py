"""Other people's CSV files: every physical line is kept or counted with its reason, and never a block in silence."""

import csv
import datetime
import gzip
import io
import os
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path

import case_rows as made
import pandas as pd
import pyarrow.parquet as pq
import pytest

from tlids_helpers.common import files
from tlids_helpers.common.errors import InputError
from tlids_helpers.data import cleaned, prepare, raw, show
from tlids_helpers.data.raw import Allowed
from tlids_helpers.data.source import prepare_source

NO_ROWS = ("header_lines", "blank_lines", "continued_lines", "repeated_headers", "other_headers")
DROPPED = ("missing", "infinite", "unlabelled", "malformed", "unclosed_quotes", "nul_lines", "html_lines")
ALL = Allowed(loss=1.0)


@pytest.fixture
def read(put, data_dir):
    """A file's content -> its census, which must have all its lines, and the numbers of the rows that were kept."""

    def count(content: str | bytes, name: str = "own.csv", lines: int | None = None) -> tuple[dict, list[int]]:
        clean = cleaned.clean(str(put(content, name)), data_dir, True)[0]
        census = clean.census
        accounted = sum(census[reason] for reason in (*NO_ROWS, *DROPPED, "kept"))
        if name == "own.csv":
            content = content.encode() if isinstance(content, str) else content
            lines = len(io.BytesIO(content.replace(b"\r\n", b"\n").replace(b"\r", b"\n")).readlines())
        assert census["lines"] == lines == accounted
        return census, [int(n) for n in pq.read_table(clean.file)["IN_BYTES"].to_pylist()]

    return count


def dropped(census: dict) -> dict[str, int]:
    return {reason: census[reason] for reason in (*DROPPED, *NO_ROWS[1:]) if census[reason]}


# ---- a quote that is not closed takes no other row with it

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
    assert dropped(census) == ({reason: len(lost)} if lost else {})


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
    assert rows == made.numbers_by_pandas(made.text_of(lines)) == list(range(300)) and dropped(census) == {}


@pytest.mark.parametrize("block", [300, 5000, raw.BLOCK_BYTES])
@pytest.mark.parametrize("value", ['"two\nlines",', '"\n",', '"a\nb,c\n\nd",', '"""\n""",'])
def test_a_quoted_value_of_several_lines_is_one_row(value, block, read, monkeypatch):
    monkeypatch.setattr(raw, "BLOCK_BYTES", block)
    text = made.text_of(at(at(LINES, 7, "n,", value), 150, "n,", value))
    census, rows = read(text)
    assert rows == made.numbers_by_pandas(text) == list(range(300))
    assert dropped(census) == {"continued_lines": 2 * value.count("\n")}


def test_a_comma_in_a_quoted_column_name_is_no_column(read):
    census, rows = read(made.text_of(['"Note, if any",' + LINES[0].removeprefix("Note,"), *LINES[1:]]))
    assert rows == list(range(300)) and dropped(census) == {}


# ---- days with other columns

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
    assert rows == list(range(150)) and dropped(census) == {"other_headers": 2}
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
    prepared = prepare.prepare(path, data_dir, allowed=ALL)
    assert "Of 100 rows read 50 were kept, 50 dropped (50.00%;" in show.provenance(prepared)


@pytest.mark.parametrize("quoting", [csv.QUOTE_MINIMAL, csv.QUOTE_ALL])
def test_repeated_headers_and_one_at_the_end_cost_nothing(quoting, read):
    text = days(DAY, DAY.head(0), DAY.head(0), quoting=quoting)
    census, rows = read(text)
    assert rows == list(range(50)) * 2 and dropped(census) == {"repeated_headers": 3}


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
        prepare.prepare(str(put(text, "own.csv")), data_dir, allowed=ALL)


@pytest.mark.parametrize("first", FIRST)
@pytest.mark.parametrize(("glue", "reason", "row"), [
    ("no end of the last line", "malformed", 1), ("a cut row", "malformed", 1), ("a byte-order mark", "malformed", 1),
    ("zero bytes", "nul_lines", 0),
])  # fmt: skip
def test_the_same_header_behind_something_else_costs_its_line(first, glue, reason, row, read):
    text = FIRST[first].to_csv(index=False, quoting=csv.QUOTE_ALL if first == "all quoted" else csv.QUOTE_MINIMAL)
    census, rows = read(GLUES[glue](text) + text)
    assert rows == [*range(50 - row), *range(50)] and dropped(census) == {reason: 1}


# ---- zero bytes, web pages, line ends, ends that are missing

PLAIN = made.csv_lines(made.flows())
BYTES = made.text_of(PLAIN).encode()
MIDDLE = BYTES.index(PLAIN[151].encode())
DAMAGED = {
    "zeros at the end": (BYTES + bytes(4096), {}, {"nul_lines": 1}),
    "zeros at the end, after half a line": (BYTES[:-10] + bytes(500), {299}, {"nul_lines": 1}),
    "zeros in a row": (BYTES[:MIDDLE] + bytes(5) + BYTES[MIDDLE + 5 :], {150}, {"nul_lines": 1}),
    "zeros over line ends": (BYTES[:MIDDLE] + bytes(4000) + BYTES[MIDDLE:], {150}, {"nul_lines": 1}),
    "megabytes of zeros": (BYTES[:MIDDLE] + bytes(20 << 20) + BYTES[MIDDLE:], {150}, {"nul_lines": 1}),
    "zeros in two rows": (BYTES.replace(b",7,", b",\0,", 1).replace(b",8,", b",\0,", 1), {7, 8}, {"nul_lines": 2}),
    "a web page inside": (BYTES[:MIDDLE] + b"<html>\n<p>gone</p>\n" + BYTES[MIDDLE:], {}, {"html_lines": 2}),
    "one endless line": (BYTES[:MIDDLE] + b"x" * (3 << 20) + BYTES[MIDDLE:], {150}, {"malformed": 1}),
    "an endless line without an end": (BYTES + b"7," * (20 << 20), {}, {"malformed": 1}),
    "random bytes": (BYTES[:MIDDLE] + bytes(range(128, 256)) + b"\n" + BYTES[MIDDLE:], {}, {"malformed": 1}),
    "blank lines": (BYTES.replace(b"\n", b"\n\n"), {}, {"blank_lines": 301}),
    "blank lines, Windows": (BYTES.replace(b"\n", b"\r\n\r\n"), {}, {"blank_lines": 301}),
    "carriage returns alone": (BYTES.replace(b"\n", b"\r"), {}, {}),
    "some carriage returns": (BYTES[:MIDDLE] + BYTES[MIDDLE:].replace(b"\n", b"\r\n"), {}, {}),
    "no end of the last line": (BYTES[:-1], {}, {}),
    "a cut in the last line": (BYTES[:-20], {299}, {"malformed": 1}),
}  # fmt: skip


@pytest.mark.parametrize("block", [401, raw.BLOCK_BYTES])
@pytest.mark.parametrize("kind", DAMAGED)
def test_damage_is_counted_and_costs_only_what_it_touches(kind, block, read, monkeypatch):
    content, lost, counts = DAMAGED[kind]
    if len(content) < 1 << 20:
        monkeypatch.setattr(raw, "BLOCK_BYTES", block)
    census, rows = read(content)
    assert rows == [row for row in range(300) if row not in lost] and dropped(census) == counts


@pytest.mark.parametrize("kind", ["zeros over line ends", "a web page inside", "blank lines"])
@pytest.mark.parametrize("name", ["own.csv.gz", "own.zip"])
def test_packed_files_are_counted_too(kind, name, read):
    content, lost, counts = DAMAGED[kind]
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr("own.csv", content)
    packed = gzip.compress(content) if name.endswith("gz") else buffer.getvalue()
    census, rows = read(packed, name, content.count(b"\n"))
    assert rows == [row for row in range(300) if row not in lost] and dropped(census) == counts


@pytest.mark.parametrize("missing", [1, 4, 8, 9, 100])
def test_a_gzip_file_that_is_cut_is_refused(missing, put, data_dir):
    path = put(gzip.compress(BYTES)[:-missing], "own.csv.gz")
    with pytest.raises(InputError, match="own.csv.gz whole, found that it cannot be read to its end"):
        prepare.prepare(str(path), data_dir)


def test_gzip_files_one_after_the_other_are_one(read):
    half = BYTES.index(PLAIN[151].encode())
    census, rows = read(gzip.compress(BYTES[:half]) + gzip.compress(BYTES[half:]), "own.csv.gz", 301)
    assert rows == list(range(300)) and dropped(census) == {}


MESSAGES = {
    "a word of a million letters": BYTES.replace(b",7,", b"," + b"x" * 900_000 + b",", 1),
    "a file of zeros": bytes(100_000),
    "zeros before the header": bytes(3000) + BYTES,
    "a first line without an end": b"x" * 200_000,
    "a label cut in no UTF-8": BYTES.replace(b",7,", b",\xff\xfe7,", 1),
    "a class of a thousand letters": b"\n".join([PLAIN[0].encode(), *[b"1,2,3,4,5,6,7,8,9," + b"y" * 1000] * 50]),
}


@pytest.mark.parametrize("kind", MESSAGES)
def test_messages_quote_at_most_sixty_characters(kind, put, data_dir):
    with pytest.raises(InputError) as caught:
        prepare.prepare(str(put(MESSAGES[kind], "own.csv")), data_dir)
    text = str(caught.value)
    assert len(text) < 400 and text.isprintable() and max(map(len, text.split())) <= 62


# ---- what was lost is said, and a tenth lost stops


@pytest.mark.parametrize(("broken", "stops"), [(0, False), (3, False), (4, True)])
def test_more_than_one_per_cent_lost_stops_unless_it_is_allowed(broken, stops, put, data_dir):
    path = str(put(made.text_of([*PLAIN[: len(PLAIN) - broken], *["1,2"] * broken]), "own.csv"))
    if not stops:
        sentence = show.provenance(prepare.prepare(path, data_dir))
        kept = f"Of 300 rows read {300 - broken} were kept"
        assert kept in sentence and "\n" not in sentence and ("none dropped" in sentence) == (broken == 0)
        return
    with pytest.raises(InputError) as caught:
        prepare.prepare(path, data_dir)
    assert "4 of 300" in caught.value.fault and "another number of fields" in caught.value.fault
    assert "allow_loss=0.02" in caught.value.remedy
    assert prepare.prepare(path, data_dir, allowed=Allowed(loss=0.02)).size("test") == 60


@pytest.mark.parametrize("loss", [-0.1, 1.5, "0.1", float("nan")])
def test_a_loss_that_is_no_share_is_refused(loss, put, data_dir):
    with pytest.raises(InputError, match="allow_loss to be a share from 0 to 1"):
        prepare.prepare(str(put(made.text_of(PLAIN), "own.csv")), data_dir, allowed=Allowed(loss=loss))


def test_the_source_takes_what_is_allowed_as_the_target_does(netflow, put, data_dir):
    put(netflow({"Benign": 60, "ddos": 40}), "NF-ToN-IoT.csv")
    allowed = Allowed(subset=True, loss=0.5)
    target = prepare.prepare("nf-ton-iot", data_dir, allowed=allowed)
    assert prepare_source(target, "nf-ton-iot", "paper", data_dir, allowed) == target


# ---- words for benign


@pytest.mark.parametrize("word", [
    "Benign", "BENIGN", "normal", "Normal", "background", "BenignTraffic", "None", "none", "0", "-", " - ",
    "Legitimate", "normal.", "Benign;", "'normal'", "clean", "Good", "00", "0.00", "0.", "No Attack", "no_attack.",
    "legit", "(none)", "no", "Safe",
])  # fmt: skip
@pytest.mark.parametrize("kind", ["csv", "parquet"])
def test_a_word_for_benign_is_the_benign_class(word, kind, put, data_dir):
    prepared = prepare.prepare(str(put(made.flows(300, (word, "DoS", "Scan")), f"own.{kind}")), data_dir)
    assert prepared.benign == prepared.classes[0] == word.strip() and len(prepared.classes) == 3
    assert sum(prepare.load(prepared, role, "binary")[1].sum() for role in prepare.ROLES) == 200


@pytest.mark.parametrize("word", ["", "nan", "NaN", "null", "NA", "<NA>", " ", None, float("nan")])
@pytest.mark.parametrize("kind", ["csv", "parquet"])
def test_an_empty_label_is_benign_where_the_column_is_otherwise_full(word, kind, put, data_dir):
    prepared = prepare.prepare(str(put(made.flows(300, (word, "DoS", "Scan")), f"own.{kind}")), data_dir)
    assert prepared.classes == ("Benign", "DoS", "Scan") and prepared.size("test") == 60
    assert "Taken as benign, the class 'Benign': (empty) (100)" in show.provenance(prepared)


@pytest.mark.parametrize("kind", ["csv", "parquet"])
def test_an_empty_label_is_none_beside_a_word_for_benign(kind, put, data_dir):
    path = str(put(made.flows(300, ("Benign", "DoS", "")), f"own.{kind}"))
    with pytest.raises(InputError, match=r"100 of 300 \(33.3%: 100 for no label\)"):
        prepare.prepare(path, data_dir)
    assert prepare.prepare(path, data_dir, allowed=ALL).classes == ("Benign", "DoS")


@pytest.mark.parametrize(("words", "name"), [
    (("Normal", "BENIGN"), "BENIGN"), (("-", "benign"), "benign"), (("None", ""), "None"),
    (("0", "Normal"), "Normal"), (("nan", ""), "Benign"), (("Background", "Normal"), "Normal"),
])  # fmt: skip
def test_several_words_for_benign_are_one_class_and_the_census_says_so(words, name, put, data_dir):
    frame = made.flows(300, (*words, "DoS"))
    prepared = prepare.prepare(str(put(frame, "own.csv")), data_dir)
    assert prepared.classes == (name, "DoS") and prepared.benign == name
    found = pq.read_table(cleaned.clean(str(data_dir / "raw" / "own.csv"), data_dir, True)[0].file).to_pandas()
    assert (found["Attack"] == frame["Attack"].map({word: name for word in words} | {"DoS": "DoS"})).all()
    assert all((word or "(empty)") in show.provenance(prepared) for word in words if word != "nan")


@pytest.mark.parametrize("kind", ["csv", "parquet"])
@pytest.mark.parametrize(("benign", "attack"), [(0, 1), (0.0, 1.0), (False, True)])
def test_zero_is_benign_beside_one_and_a_missing_number_is_no_label(benign, attack, kind, put, data_dir):
    frame = made.flows(300, (benign, attack, None))
    if kind == "csv" or benign is not False:
        frame["Attack"] = frame["Attack"].astype("object" if kind == "csv" else "float64")
    prepared = prepare.prepare(str(put(frame, f"own.{kind}")), data_dir, allowed=ALL)
    assert len(prepared.classes) == 2 and prepared.benign == prepared.classes[0]
    assert sum(prepared.counts[role][prepared.benign] for role in prepare.ROLES) == 100


def test_a_class_that_only_resembles_a_word_for_benign_is_its_own(put, data_dir):
    labels = ("Benign", "abnormal", "Not normal", "10", "--x", "Nonesuch", "!normal", "normal?", "Goodbye", "0.1")
    prepared = prepare.prepare(str(put(made.flows(300, labels), "own.csv")), data_dir)
    assert set(prepared.classes) == set(labels)


@pytest.mark.parametrize(("forgotten", "classes"), [(14, ("DoS", "Scan")), (15, ("Benign", "DoS", "Scan"))])
def test_a_label_that_is_rarely_empty_was_forgotten(forgotten, classes, put, data_dir):
    frame = made.flows(300, ("DoS", "Scan"))
    frame.loc[: forgotten - 1, "Attack"] = ""
    path = str(put(frame, "own.csv"))
    if len(classes) == 2:
        with pytest.raises(InputError, match="14 of 300 .*14 for no label"):
            prepare.prepare(path, data_dir)
    assert prepare.prepare(path, data_dir, allowed=ALL).classes == classes


def test_a_file_without_any_label_is_refused(put, data_dir):
    with pytest.raises(InputError, match="300 rows lack a label"):
        prepare.prepare(str(put(made.flows(300, ("",)), "own.csv")), data_dir)


# ---- the last recording


@pytest.mark.parametrize(("names", "last"), [
    ([f"session{n}" for n in range(1, 12)], "session11"), (["9", "10", "8"], "10"), (["day 2", "day 10"], "day 10"),
    (["s2b", "s10a", "s2a"], "s10a"), (["2026-01-09", "2026-01-10"], "2026-01-10"), (["A2", "a10"], "a10"),
])  # fmt: skip
def test_the_last_recording_is_the_last_number(names, last, put, data_dir, rows_of):
    frame = made.flows(330)
    frame["Session"] = [names[row % len(names)] for row in range(330)]
    prepared = prepare.prepare(str(put(frame, "own.csv")), data_dir, "session")
    assert rows_of(prepared, "test") == sorted(frame.loc[frame["Session"] == last, "IN_BYTES"])


TIMES = {
    "FIRST_SWITCHED_MS": (1000, 2000, 3000), "FLOW_START_MILLISECONDS": (9, 10, 11),
    "Timestamp": ("03/07/2017 08:55:58", "04/07/2017 08:00:00", "01/08/2017 08:00:00"),
    "timestamp": ("2026-01-31T10:00:00Z", "2026-02-01 09:00:00", "2026-02-01T10:00:00"),
    "Stime": ("1.4e9", "1400000001.5", "1400000002"),
    "Time": ("12/31/2026 10:00", "01/05/2027 10:00", "02/01/2027 10:00"),
    "StartTime": ("03/07/2017 08:55:58.25", "03/07/2017 08:55:58.5", "03/07/2017 09:55:58.0"),
    "ts": ("14/02/2018 08:31:01 AM", "14/02/2018 01:31:01 PM", "15/02/2018 01:00:00 AM"),
}  # fmt: skip


@pytest.mark.parametrize("name", TIMES)
@pytest.mark.parametrize("kind", ["csv", "parquet"])
def test_the_last_recording_is_the_latest_where_there_is_a_time(name, kind, put, data_dir, rows_of):
    frame, names = made.flows(300), ("wednesday", "thursday", "friday")
    frame["Session"] = [names[row % 3] for row in range(300)]
    frame[name] = [TIMES[name][row % 3] for row in range(300)]
    prepared = prepare.prepare(str(put(frame, f"own.{kind}")), data_dir, "session")
    assert rows_of(prepared, "test") == list(range(2, 300, 3))


@pytest.mark.parametrize(("cell", "row", "block"), [
    ("", 0, raw.BLOCK_BYTES), ("", 2, 500), (None, 150, 500), ("NaT", 0, 500), ("unknown", 2, raw.BLOCK_BYTES),
    ("inf", 0, raw.BLOCK_BYTES),
])  # fmt: skip
@pytest.mark.parametrize("kind", ["csv", "parquet"])
@pytest.mark.parametrize("name", TIMES)
def test_a_missing_time_changes_no_order(name, kind, cell, row, block, put, data_dir, rows_of, monkeypatch):
    monkeypatch.setattr(raw, "BLOCK_BYTES", block)
    frame, names = made.flows(300), ("wednesday", "thursday", "friday")
    frame["Session"] = [names[row % 3] for row in range(300)]
    frame[name] = [TIMES[name][row % 3] for row in range(300)]
    frame[name] = frame[name].astype(object if kind == "csv" or isinstance(frame[name][0], str) else float)
    frame.loc[row, name] = cell if frame[name].dtype == object else float("inf" if cell == "inf" else "nan")
    prepared = prepare.prepare(str(put(frame, f"own.{kind}")), data_dir, "session")
    assert rows_of(prepared, "test") == list(range(2, 300, 3))
    assert "The test is the last recording by time." in show.provenance(prepared)


@pytest.mark.parametrize("times", [("", 2, 1), ("soon", "2", "1"), ("03/07/2017 08:00", "2026-01-01", "5"), None])
def test_a_recording_without_a_time_leaves_the_names_to_tell_and_that_is_said(times, put, data_dir, rows_of):
    frame = made.flows(300)
    frame["Session"] = [f"s{row % 3 + 8}" for row in range(300)]
    if times:
        frame["Time"] = [times[row % 3] for row in range(300)]
    prepared = prepare.prepare(str(put(frame, "own.csv")), data_dir, "session")
    assert rows_of(prepared, "test") == list(range(2, 300, 3))
    assert "The test is the last recording by name." in show.provenance(prepared)


def test_days_in_parquet_tell_the_order(put, data_dir, rows_of):
    frame = made.flows(300)
    frame["Session"] = [("b", "a")[row % 2] for row in range(300)]
    frame["Time"] = [(datetime.date(2026, 1, 9), datetime.date(2026, 1, 10))[row % 2] for row in range(300)]
    prepared = prepare.prepare(str(put(frame, "own.parquet")), data_dir, "session")
    assert rows_of(prepared, "test") == list(range(1, 300, 2))


def test_times_that_cannot_be_read_leave_the_numbers_to_tell(put, data_dir, rows_of):
    frame = made.flows(300).assign(Timestamp="soon")
    frame["Session"] = [("session9", "session10")[row % 2] for row in range(300)]
    prepared = prepare.prepare(str(put(frame, "own.csv")), data_dir, "session")
    assert rows_of(prepared, "test") == list(range(1, 300, 2))


# ---- permission is not absence

NOBODY = """
import os, sys
from tlids_helpers.data import prepare, __main__ as command
from tlids_helpers.data.raw import SUBSET
os.setgroups([]); os.setgid(65534); os.setuid(65534)
if sys.argv[1] == "list":
    sys.exit(command.main(["list", "--data-dir", sys.argv[2]]))
prepare.prepare(sys.argv[1], sys.argv[2], allowed=SUBSET)
"""


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become somebody who may not read")
@pytest.mark.parametrize(
    ("dataset", "closed"),
    [
        ("nf-bot-iot", "raw"), ("nf-bot-iot", "raw/NF-BoT-IoT.csv"), ("nf-bot-iot", "."), ("nf-uq-nids", "raw"),
        ("own.csv", "raw/own.csv"), ("own.parquet", "raw/own.parquet"), ("own.csv", "raw"), ("list", "raw"),
    ],
)  # fmt: skip
def test_what_may_not_be_read_is_refused_and_no_stand_in_is_used(dataset, closed, netflow):
    with tempfile.TemporaryDirectory() as folder:
        data_dir, frame = Path(folder) / "data", netflow({"Benign": 60, "DDoS": 40})
        (data_dir / "raw").mkdir(parents=True)
        for name in ("NF-BoT-IoT.csv", "own.csv"):
            frame.to_csv(data_dir / "raw" / name, index=False)
        frame.to_parquet(data_dir / "raw" / "own.parquet")
        Path(folder).chmod(0o777)
        data_dir.chmod(0o777)
        (data_dir / closed).chmod(0o000)
        given = str(data_dir / "raw" / dataset) if dataset.startswith("own") else dataset
        paths = os.pathsep.join(map(str, (files.REPOSITORY, files.REPOSITORY / "edge")))
        done = subprocess.run(
            [sys.executable, "-c", NOBODY, given, str(data_dir)], env=os.environ | {"PYTHONPATH": paths},
            capture_output=True, text=True, check=False,
        )  # fmt: skip
        assert done.returncode == 1 and "no permission" in done.stderr.splitlines()[-1], done.stderr
        assert "Permission" not in done.stderr.splitlines()[-1] and not (data_dir / "simulated").exists()


# ---- the inputs that the faults were found on

SHARED = {
    "unbalanced-quote/quote.csv": ({"unclosed_quotes": 1}, 599, 2),
    "two-words-for-benign/merged.csv": ({}, 700, 3),
    "benign-called-none/none.csv": ({}, 500, 3),
    "days-with-other-columns/days.csv": ({"other_headers": 1}, 1000, 3),
    "session10-sorts-before-session2/ten.csv": ({}, 955, 2),
    "zero-bytes-after-power-loss/nul.csv": ({"nul_lines": 1}, 600, 2),
    "zero-bytes-after-power-loss/nulmid.csv": ({"nul_lines": 1}, 599, 2),
}


@pytest.mark.parametrize("name", SHARED)
def test_the_inputs_that_were_found_wanting(name, shared, data_dir):
    if not (shared / "cases" / name).exists():
        pytest.skip(f"no {name} at {shared / 'cases'}")
    counts, kept, classes = SHARED[name]
    prepared = prepare.prepare(str(shared / "cases" / name), data_dir)
    (part,) = prepared.parts.values()
    assert dropped(part["census"]) == counts and part["census"]["kept"] == kept
    assert len(prepared.classes) == classes and prepared.classes[0] == prepared.benign
