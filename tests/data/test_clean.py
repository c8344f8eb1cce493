"""Every repair and every loss, counted by hand in files small enough to count."""

import dataclasses

import pyarrow.parquet as pq
import pytest

from tlids_helpers.data import cleaned, raw
from tlids_helpers.data.catalog import DATASETS, FEATURES

HEADER = "L4_SRC_PORT,L4_DST_PORT,PROTOCOL,L7_PROTO,IN_BYTES,OUT_BYTES,IN_PKTS,OUT_PKTS,TCP_FLAGS,Attack"
GOOD = "1000,80,6,7.0,60,40,1,1,2,Benign"
EVIL = "1001,80,6,7.0,61,40,1,1,2,DoS"
NOTHING = {
    "missing": 0, "infinite": 0, "unlabelled": 0, "negative": 0, "impossible": 0, "relabelled": 0,
    "repeated_headers": 0, "html_lines": 0, "malformed": 0, "byte_order_mark": False, "renamed": {},
}  # fmt: skip


@pytest.fixture
def census(put, data_dir):
    """Lines -> the census of a user's own file of these lines, which must keep what it does not drop."""

    def read(*lines: str, header: str = HEADER, newline: str = "\n") -> dict:
        clean = cleaned.clean(str(put(newline.join([header, *lines]) + newline, "own.csv")), data_dir, True)[0]
        found = clean.census
        assert found["rows"] == found["kept"] + found["missing"] + found["infinite"]
        assert found["kept"] == len(pq.read_table(clean.file)) == sum(clean.classes.values())
        assert sum(found["classes"].values()) == found["rows"]
        return found

    return read


def others(found: dict, *but: str) -> dict:
    return {name: found[name] for name in NOTHING if name not in but}


def zeros(*but: str) -> dict:
    return {name: count for name, count in NOTHING.items() if name not in but}


def test_a_clean_file_has_nothing_to_count_and_zeros_are_clean(census):
    found = census(GOOD, EVIL, GOOD.replace("40", "0"))
    assert others(found) == zeros()
    assert (found["rows"], found["kept"], found["classes"]) == (3, 3, {"Benign": 2, "DoS": 1})


@pytest.mark.parametrize("word", ["", "NaN", "nan", " NA ", "null", "None", "-", "?"])
def test_a_row_with_a_missing_feature_is_dropped_and_counted(word, census):
    found = census(GOOD, EVIL, GOOD.replace("60", word), EVIL.replace("7.0", word))
    assert (found["missing"], found["kept"]) == (2, 2)
    assert others(found, "missing") == zeros("missing")


@pytest.mark.parametrize("word", ["inf", "-inf", "Infinity", "-Infinity", " inf", "1e300"])
def test_a_row_with_an_infinite_feature_is_dropped_and_counted(word, census):
    found = census(GOOD, EVIL, GOOD.replace("60", word), GOOD.replace("40", word))
    assert (found["infinite"], found["kept"]) == (2, 2)
    assert others(found, "infinite") == zeros("infinite")


def test_a_row_that_is_both_missing_and_infinite_is_counted_once_as_missing(census):
    found = census(GOOD, EVIL, GOOD.replace("60", "").replace("40", "inf"), "inf,nan,6,7,,inf,1,1,2,DoS")
    assert (found["rows"], found["missing"], found["infinite"], found["kept"]) == (4, 2, 0, 2)


def test_a_row_without_a_label_is_dropped_and_counted_apart_from_the_rows(census):
    found = census(GOOD, EVIL, GOOD.replace("Benign", ""), GOOD.replace("Benign", " nan "))
    assert (found["rows"], found["unlabelled"], found["kept"]) == (2, 2, 2)


def test_negative_values_are_kept_and_their_rows_counted_once(census):
    twice = GOOD.replace("60", "-1").replace("40", "-1")
    found = census(GOOD, EVIL, twice, EVIL.replace("61", "-7"), "-1,1,1,1,,1,1,1,1,DoS")
    assert (found["negative"], found["kept"], found["missing"]) == (2, 4, 1)


@pytest.mark.parametrize(
    ("values", "counted"),
    [
        ("65536,80,6", "impossible"),
        ("1000,1e9,6", "impossible"),
        ("1000,80,256", "impossible"),
        ("99999,99999,999", "impossible"),
        ("-1,80,6", "negative"),
        ("1000,80,-6", "negative"),
        ("nan,80,6", "missing"),
        ("1000,,6", "missing"),
        ("1000,80,NaN", "missing"),
        ("65535,0,255", ""),
        ("0,65535,0", ""),
    ],
)
def test_a_port_or_a_protocol_that_cannot_be_is_counted_once_and_kept_where_it_is_a_number(values, counted, census):
    found = census(GOOD, EVIL, GOOD.replace("1000,80,6", values))
    assert others(found) == zeros(counted) | ({counted: 1} if counted else {})
    assert found["kept"] == (2 if counted == "missing" else 3)


def test_ports_that_cannot_be_are_counted_in_files_of_cicflowmeter_too(cicflow, put, data_dir):
    frame = cicflow({"Benign": 5, "DoS": 3})
    frame.loc[0:1, "Dst_Port"], frame.loc[1:2, "Src_Port"] = 70_000, 65_536
    found = cleaned.clean(str(put(frame, "own.csv")), data_dir, True)[0].census
    assert (found["impossible"], found["kept"]) == (3, 8)


def test_impossible_ports_of_rows_with_an_empty_label_are_counted_if_these_rows_are_kept(census):
    empty = GOOD.replace("Benign", "").replace("80", "80000")
    taken = census(empty, empty, EVIL, EVIL.replace("80", "80000"))  # no other label says benign
    assert (taken["impossible"], taken["kept"]) == (3, 4)
    dropped = census(GOOD, empty, EVIL, EVIL.replace("80", "80000"))
    assert (dropped["impossible"], dropped["kept"], dropped["unlabelled"]) == (1, 3, 1)


def test_labels_in_another_case_or_with_blanks_join_their_class_and_are_counted(census):
    benign = [GOOD.replace("Benign", label) for label in ("Benign", "BENIGN", " benign ")]
    found = census(*benign, EVIL, EVIL.replace("DoS", "dos"))
    assert found["classes"] == {"Benign": 3, "DoS": 2}
    assert found["relabelled"] == 3


def test_repeated_header_lines_are_dropped_and_counted(census):
    found = census(GOOD, HEADER, EVIL, HEADER, GOOD, f"\ufeff{HEADER}")
    assert (found["repeated_headers"], found["rows"], found["kept"]) == (3, 3, 3)
    assert others(found, "repeated_headers") == zeros("repeated_headers")


def test_a_repeated_header_is_known_behind_a_byte_order_mark_and_with_trailing_blanks(census):
    header = HEADER.replace(",", " ,") + "  "
    found = census(GOOD, header, EVIL, header="\ufeff" + header)
    assert (found["repeated_headers"], found["kept"], found["byte_order_mark"]) == (1, 2, True)
    assert found["renamed"] == {name: f"{name} " for name in FEATURES["netflow"]}


def test_stray_html_lines_are_dropped_and_counted_before_the_header_and_among_the_rows(census):
    found = census(HEADER, GOOD, "<!DOCTYPE html>", EVIL, '  <a href="x">y</a>', GOOD, header="<!DOCTYPE html>")
    assert (found["html_lines"], found["rows"], found["kept"]) == (3, 3, 3)
    assert others(found, "html_lines") == zeros("html_lines")


def test_lines_with_another_number_of_fields_are_dropped_and_counted(census):
    found = census(GOOD, EVIL, "1,2,3", GOOD + ",extra", "1000,80,6,7.0,60,40")
    assert (found["malformed"], found["rows"]) == (3, 2)


def test_empty_lines_are_nothing(census):
    assert others(census(GOOD, "", EVIL, "", "")) == zeros()


def test_windows_line_ends_change_no_count_and_no_class(census):
    found = census(GOOD, EVIL, HEADER, newline="\r\n")
    assert found["classes"] == {"Benign": 1, "DoS": 1} and found["repeated_headers"] == 1


def test_everything_at_once_adds_up_across_batches(census, monkeypatch):
    monkeypatch.setattr(raw, "BLOCK_BYTES", 700)  # a few lines a batch
    block = [
        GOOD, EVIL, EVIL, HEADER, GOOD.replace("60", "nan"), EVIL.replace("61", "inf"), "<html>", "1,2",
        GOOD.replace("Benign", ""), GOOD.replace("60", "-1"), EVIL.replace("DoS", "DOS"), GOOD.replace("80", "80000"),
    ]  # fmt: skip
    found = census(*block * 50)
    assert found == {
        "rows": 400, "kept": 300, "missing": 50, "infinite": 50, "unlabelled": 50, "negative": 50, "impossible": 50,
        "relabelled": 50,
        "repeated_headers": 50, "html_lines": 50, "malformed": 50, "byte_order_mark": False, "renamed": {},
        "classes": {"Benign": 200, "DoS": 200}, "lines": 601, "header_lines": 1, "blank_lines": 0,
        "continued_lines": 0, "other_headers": 0, "unclosed_quotes": 0, "nul_lines": 0, "benign_words": {},
        "sessions": {}, "empty": None,
    }  # fmt: skip


def test_a_label_in_a_windows_encoding_is_read(put, data_dir):
    text = "\n".join([HEADER, GOOD, EVIL]).encode().replace(b"DoS", b"Web Attack \x96 XSS")
    clean = cleaned.clean(str(put(text, "own.csv")), data_dir, True)[0]
    assert clean.classes == {"Benign": 1, "Web Attack \u2013 XSS": 1}


def test_a_users_own_classes_keep_their_first_spelling(census):
    found = census(GOOD, EVIL.replace("DoS", "Web  Attack"), EVIL.replace("DoS", "web attack"))
    assert found["classes"] == {"Benign": 1, "Web  Attack": 2}


def test_a_catalog_dataset_has_the_catalogs_spelling(netflow, put, data_dir):
    put(netflow({"benign": 4, "RECONNAISSANCE": 3, "theft ": 2}), "NF-BoT-IoT.csv")
    clean = cleaned.clean("nf-bot-iot", data_dir, True)[0]
    assert clean.classes == {"Benign": 4, "Reconnaissance": 3, "Theft": 2}
    assert clean.census["relabelled"] == 9 and clean.mark == "subset"


def test_dropped_rows_still_count_towards_the_published_total(netflow, put, data_dir, monkeypatch):
    classes = {"Benign": 10, "DoS": 5}
    entry = dataclasses.replace(DATASETS["nf-bot-iot"], total=15, classes=classes)
    monkeypatch.setitem(DATASETS, "nf-bot-iot", entry)
    frame = netflow(classes).astype({"IN_BYTES": float})
    frame.loc[frame.index[:2], "IN_BYTES"] = float("inf")
    put(frame, "NF-BoT-IoT.csv")
    clean = cleaned.clean("nf-bot-iot", data_dir, allow_subset=False)[0]
    assert (clean.mark, clean.census["infinite"], sum(clean.classes.values())) == ("", 2, 13)


def test_a_class_that_no_publisher_counted_is_taken_as_the_file_names_it(cicflow, put, data_dir):
    put(cicflow({"Normal": 5, "Telnet": 3}), "IoT-DS2.csv")
    assert cleaned.clean("iot-ds2", data_dir, True)[0].classes == {"Normal": 5, "Telnet": 3}


def test_cicflowmeter_sentinels_are_kept_and_an_unusable_extra_column_drops_no_row(cicflow, put, data_dir):
    frame = cicflow({"Normal": 5, "DoS": 3}).astype({"Flow_Byts/s": object})
    frame.loc[0, "Flow_Byts/s"] = "Infinity"
    clean = cleaned.clean(str(put(frame, "own.csv")), data_dir, True)[0]
    assert (clean.census["kept"], clean.census["negative"], clean.census["infinite"]) == (8, 8, 0)
    assert pq.read_table(clean.file)["Flow_Byts/s"].null_count == 1
