"""The frames that notebook 01 shows: sums, differences, and the mark nobody can miss."""

import dataclasses
import math

import pytest

from tlids_helpers import tables
from tlids_helpers.data import prepare
from tlids_helpers.data.catalog import DATASETS
from tlids_helpers.data.split import ROLES


@pytest.fixture
def subset(netflow, put, data_dir):
    frame = netflow({"Benign": 60, "DoS": 40, "theft": 20}).astype({"IN_PKTS": float, "OUT_PKTS": float})
    frame.loc[0, "IN_PKTS"] = float("inf")
    frame.loc[1:2, "OUT_PKTS"] = float("nan")
    frame.loc[3:6, "OUT_PKTS"] = -1
    put(frame, "NF-BoT-IoT.csv")
    return prepare.prepare("nf-bot-iot", data_dir, allow_subset=True)


def test_the_census_shows_every_count_of_the_file(subset):
    found = tables.census(subset)
    assert list(found.columns) == ["nf-bot-iot"] and found.columns.name == "subset"
    counts = found["nf-bot-iot"].to_dict()
    assert counts.pop("kept: label spelled in another case") == 20
    assert {text: n for text, n in counts.items() if n} == {
        "rows with a label": 120,
        "kept": 117,
        "dropped: a feature is empty or NaN": 2,
        "dropped: a feature is infinite": 1,
        "kept: a feature is negative (taken as 0 by the model)": 4,
    }


def test_every_count_of_the_census_has_its_line(subset):
    census = subset.parts["nf-bot-iot"]["census"]
    assert set(tables.CENSUS_ROWS) == {name for name, value in census.items() if type(value) is int}


def test_a_unions_census_has_one_column_for_each_file(four_parts, data_dir):
    union = prepare.prepare("nf-uq-nids", data_dir, allow_subset=True)
    found = tables.census(union)
    assert tuple(found.columns) == DATASETS["nf-uq-nids"].parts
    assert list(found.loc["kept"]) == [len(four_parts[slug]) for slug in found.columns]


def test_a_unions_own_file_is_counted_once_though_it_stands_for_four_parts(union_frame, put, data_dir):
    put(union_frame, "NF-UQ-NIDS.csv")
    found = tables.census(prepare.prepare("nf-uq-nids", data_dir, allow_subset=True))
    assert found.loc["kept"].to_dict() == {"NF-UQ-NIDS.csv": len(union_frame)}


def test_classes_shows_published_counts_what_is_here_and_the_difference(subset):
    found = tables.classes(subset).set_index("class")
    assert found.columns.name == "subset"
    here = sum(sum(subset.counts[role].values()) for role in ROLES)
    assert (found["here"].sum(), here) == (117, 117)
    assert found["published"].to_dict() == DATASETS["nf-bot-iot"].classes
    assert (found["difference"] == found["here"] - found["published"]).all()
    assert found.loc["Reconnaissance", "here"] == 0


def test_classes_of_an_own_file_have_no_published_column(netflow, put, data_dir):
    prepared = prepare.prepare(str(put(netflow({"Benign": 60, "DoS": 40}), "own.csv")), data_dir)
    found = tables.classes(prepared)
    assert list(found.columns) == ["class", "here"] and list(found["here"]) == [60, 40]


def test_classes_without_published_counts_show_a_gap_and_no_number(cicflow, put, data_dir):
    put(cicflow({"Normal": 50, "Telnet": 30}), "IoT-DS2.csv")
    found = tables.classes(prepare.prepare("iot-ds2", data_dir, allow_subset=True)).set_index("class")
    assert found["published"].isna().all() and found["difference"].isna().all()
    assert (found.loc["Telnet", "here"], found["here"].sum()) == (30, 80)


def test_roles_add_up_by_class_and_by_role(subset):
    found = tables.roles(subset).set_index("class")
    assert found.loc["all", list(ROLES)].tolist() == [subset.size(role) for role in ROLES]
    for name in subset.classes:
        share = subset.counts["test"][name] / sum(subset.counts[role][name] for role in ROLES)
        assert found.loc[name, "test share"] == round(share, 3)
    assert found.loc["all", "test share"] == round(math.ceil(0.2 * 117) / 117, 3)


def test_twins_are_test_rows_that_equal_a_training_row(netflow, put, data_dir):
    frame = netflow({"Benign": 100, "DoS": 100})
    path = str(put(frame, "unique.csv"))
    assert tables.twins(prepare.prepare(path, data_dir)) == 0
    path = str(put(frame.assign(**{n: 1 for n in frame.columns if n != "Attack"}), "same.csv"))
    prepared = prepare.prepare(path, data_dir)
    assert tables.twins(prepared) == prepared.size("test") == 40


@pytest.mark.parametrize("slug", DATASETS)
def test_facts_name_the_rows_the_source_and_the_terms(slug):
    entry, found = DATASETS[slug], tables.facts(DATASETS[slug])["value"]
    assert found["rows"] == f"{entry.total:,}" and found["get it from"] == entry.page and found["terms"] == entry.terms
    assert ("rows in Tables 1 and 3" in found) == bool(entry.paper_train)


@pytest.mark.parametrize(
    ("mark", "said"),
    [
        ("", "the whole published file"), ("v2", "the whole published file"),
        ("subset", "a subset of the published"), ("v2 subset", "a subset of the published"),
        ("simulated", "a simulated stand-in"), ("v2 simulated", "a simulated stand-in"),
        ("own", "your own flows"), ("own subset", "a subsample of your own flows"),
    ],
)  # fmt: skip
def test_every_mark_has_its_sentence(mark, said, subset):
    prepared = dataclasses.replace(subset, mark=mark, version=2 if "v2" in mark else 1)
    sentence = tables.provenance(prepared)
    assert sentence.startswith(f"NF-BoT-IoT here is {said}")
    assert ("Version 2" in sentence) == ("v2" in mark)


def test_the_mark_of_a_subsample_has_a_sentence_too(netflow, put, data_dir):
    path = str(put(netflow({"Benign": 60, "DoS": 40}), "own.csv"))
    assert "a subsample of your own flows" in tables.provenance(prepare.prepare(path, data_dir, rows=50))
    assert "a simulated stand-in" in tables.provenance(prepare.prepare("nf-bot-iot", data_dir, rows=500))
