"""The catalog's numbers against the paper's tables and against each other."""

import re

import pytest

from tlids_helpers.data.catalog import DATASETS, FEATURES, PARENTS, VERSION_MARKS
from tlids_helpers.data.raw import find_column

TABLES = {  # Tables 1 and 3: total, train, test, classes
    "nf-bot-iot": (600100, 480080, 120020, 5),
    "nf-ton-iot": (1379274, 1103419, 275855, 10),
    "nf-unsw-nb15": (1623118, 1298494, 324624, 10),
    "nf-cse-cic-ids2018": (8392401, 6713920, 1678481, 15),
    "nf-uq-nids": (11994893, 9595914, 2398979, 21),
    "iot-ds2": (1438157, 1150525, 287632, 17),
    "iot-network-intrusion": (625783, 500626, 125157, 5),
    "mqtt-iot-ids2020": (3654006, 2923204, 730802, 5),
    "cic-ton-iot": (5351760, 4281408, 1070352, 10),
}
COUNTED = [slug for slug, entry in DATASETS.items() if None not in entry.classes.values()]
UNIONS = [slug for slug, entry in DATASETS.items() if entry.parts]


def test_the_papers_nine_come_first_under_their_slugs():
    assert tuple(TABLES) == tuple(DATASETS)[:9]


@pytest.mark.parametrize("slug", TABLES)
def test_totals_roles_and_classes_are_those_of_tables_1_and_3(slug):
    entry = DATASETS[slug]
    assert (entry.total, entry.paper_train, entry.paper_test, len(entry.classes)) == TABLES[slug]


@pytest.mark.parametrize("slug", TABLES)
def test_train_and_test_of_the_paper_add_up_to_the_total(slug):
    assert DATASETS[slug].paper_train + DATASETS[slug].paper_test == DATASETS[slug].total


def test_only_two_datasets_have_no_published_class_counts():
    assert set(DATASETS) - set(COUNTED) == {"iot-ds2", "mqtt-iot-ids2020"}


@pytest.mark.parametrize("slug", COUNTED)
def test_class_counts_add_up_to_the_published_total(slug):
    assert sum(DATASETS[slug].classes.values()) == DATASETS[slug].total


@pytest.mark.parametrize("slug", UNIONS)
def test_a_unions_classes_are_its_parts_classes_merged(slug):
    merged: dict[str, int] = {}
    for part in DATASETS[slug].parts:
        for name, rows in DATASETS[part].classes.items():
            merged[PARENTS.get(name, name)] = merged.get(PARENTS.get(name, name), 0) + rows
    assert merged == DATASETS[slug].classes
    assert len(merged) == 21
    assert DATASETS[slug].total == sum(DATASETS[part].total for part in DATASETS[slug].parts)


def test_nf_uq_nids_has_the_published_benign_rows_and_its_merged_families():
    classes = DATASETS["nf-uq-nids"].classes
    assert classes["Benign"] == 9_208_048
    assert classes["Brute Force"] == 193360 + 94237 + 2613 + 1745
    assert classes["DDoS"] == 56844 + 326345 + 378199 + 1667 + 230
    assert classes["injection"] == 468539 + 36
    assert classes["Backdoor"] == 17247 + 1782


def test_every_merged_class_is_a_class_of_some_part_and_its_parent_is_final():
    spelled = {name for slug in UNIONS for part in DATASETS[slug].parts for name in DATASETS[part].classes}
    assert set(PARENTS) <= spelled
    assert not set(PARENTS.values()) & set(PARENTS)


@pytest.mark.parametrize("slug", DATASETS)
def test_the_nine_features_and_the_label_are_among_the_columns(slug):
    entry = DATASETS[slug]
    assert len(set(FEATURES[entry.family])) == 9
    assert all(find_column(name, entry.columns) for name in (*FEATURES[entry.family], entry.label))


@pytest.mark.parametrize("slug", DATASETS)
def test_the_benign_class_is_a_class_and_the_source_of_transfer_another_dataset_of_the_family(slug):
    entry = DATASETS[slug]
    assert entry.slug == slug and entry.benign in entry.classes
    assert DATASETS[entry.source].family == entry.family
    assert entry.paper_slug in TABLES or entry.folder and not entry.paper_slug


@pytest.mark.parametrize("slug", DATASETS)
def test_a_reader_learns_where_to_get_it_and_under_what_terms(slug):
    entry = DATASETS[slug]
    assert re.match(r"https://[\w.-]+/|data/[\w-]+ in this repository", entry.page)
    assert entry.terms and entry.file.endswith(".csv")


def test_version_2_totals_are_the_published_ones():
    totals = {slug: entry.total for slug, entry in DATASETS.items() if entry.version == 2}
    assert totals == {
        "nf-bot-iot-v2": 37763497, "nf-ton-iot-v2": 16940496, "nf-unsw-nb15-v2": 2390275,
        "nf-cse-cic-ids2018-v2": 18893708, "nf-uq-nids-v2": 75987976,
    }  # fmt: skip


def test_a_column_tells_version_2_from_version_1():
    marks = [mark for mark, version in VERSION_MARKS.items() if version == 2]
    assert all(bool(set(marks) & set(e.columns)) == (e.version >= 2) for e in DATASETS.values())


def test_version_1_columns_are_in_the_published_order():
    assert " ".join(DATASETS["nf-bot-iot"].columns) == (
        "IPV4_SRC_ADDR L4_SRC_PORT IPV4_DST_ADDR L4_DST_PORT PROTOCOL L7_PROTO IN_BYTES OUT_BYTES IN_PKTS OUT_PKTS "
        "TCP_FLAGS FLOW_DURATION_MILLISECONDS Label Attack"
    )
