"""Words for benign are one class; an empty label is benign or none."""

import case_rows as made
import pyarrow.parquet as pq
import pytest

from tlids_helpers.common.errors import InputError
from tlids_helpers.data import cleaned, prepare, show


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
    assert prepare.prepare(path, data_dir, allowed=made.ALL).classes == ("Benign", "DoS")


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
    prepared = prepare.prepare(str(put(frame, f"own.{kind}")), data_dir, allowed=made.ALL)
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
    assert prepare.prepare(path, data_dir, allowed=made.ALL).classes == classes


def test_a_file_without_any_label_is_refused(put, data_dir):
    with pytest.raises(InputError, match="300 rows lack a label"):
        prepare.prepare(str(put(made.flows(300, ("",)), "own.csv")), data_dir)
