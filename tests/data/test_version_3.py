"""Version 3 of the NetFlow datasets: slugs of its own, a split by time, and no source that holds its own flows."""

import pytest

from tlids_helpers.common.errors import InputError
from tlids_helpers.data import prepare, source
from tlids_helpers.data.catalog import DATASETS, NETFLOW_V2_COLUMNS
from tlids_helpers.data.raw import START_COLUMN, SUBSET
from tlids_helpers.data.show import provenance
from tlids_helpers.data.split import ROLES

SLUGS = ["nf-bot-iot-v3", "nf-ton-iot-v3", "nf-unsw-nb15-v3", "nf-cse-cic-ids2018-v3"]
FIRST = 1_424_242_193_040  # milliseconds since 1970


@pytest.fixture
def frame(netflow):
    """500 rows in random order; IN_BYTES is a row's number and its place in time."""
    made = netflow({"Benign": 300, "DoS": 120, "Backdoor": 80}, version=3)
    return made.assign(**{START_COLUMN: FIRST + 1000 * made["IN_BYTES"]})


def test_four_slugs_have_the_columns_of_version_2_and_times_and_their_counts_marked_as_reported():
    assert [slug for slug, entry in DATASETS.items() if entry.version == 3] == SLUGS
    for entry in map(DATASETS.get, SLUGS):
        assert set(NETFLOW_V2_COLUMNS) < set(entry.columns) and START_COLUMN in entry.columns
        assert len(set(entry.columns)) == 55
        assert entry.counted_by == "a third party" and entry.classes.keys() == DATASETS[entry.captures].classes.keys()
    # arXiv:2503.04404 has these totals
    assert {slug: DATASETS[slug].total for slug in SLUGS[1:]} == {
        "nf-ton-iot-v3": 27520260, "nf-unsw-nb15-v3": 2365424, "nf-cse-cic-ids2018-v3": 20115529,
    }  # fmt: skip


def test_it_is_read_under_its_slug_with_its_mark_and_split_by_time(frame, put, data_dir, rows_of):
    put(frame, "NF-UNSW-NB15-v3.csv")
    by_time = prepare.prepare("nf-unsw-nb15-v3", data_dir, "time", allowed=SUBSET)
    assert (by_time.version, by_time.mark, by_time.paper_slug) == (3, "v3 subset", "nf-unsw-nb15")
    assert [by_time.size(role) for role in ROLES] == [360, 40, 100]
    assert rows_of(by_time, "test") == list(range(400, 500))
    told = provenance(by_time)
    assert "Version 3 was metered again" in told and "a third party reports" in told
    paper = prepare.prepare("nf-unsw-nb15-v3", data_dir, allowed=SUBSET)
    assert rows_of(paper, *ROLES) == list(range(500)) and rows_of(paper, "test") != list(range(400, 500))


def test_its_other_name_and_its_underscores_are_known(netflow, put, data_dir):
    classes = {"Benign": 60, "DDOS_attack-HOIC": 40, "Brute_Force_-Web": 30, "SQL_Injection": 20, "Bot": 20}
    put(netflow(classes, version=3), "NF-CICIDS2018-v3.csv")
    found = prepare.prepare("nf-cse-cic-ids2018-v3", data_dir, allowed=SUBSET)
    assert set(found.classes) == {"Benign", "DDOS attack-HOIC", "Brute Force -Web", "SQL Injection", "Bot"}


def test_other_counts_are_said_to_differ_from_what_was_reported(frame, put, data_dir):
    put(frame, "NF-UNSW-NB15-v3.csv")
    with pytest.raises(InputError, match="the 2,365,424 rows of NF-UNSW-NB15-v3, as a third party counted them, found"):
        prepare.prepare("nf-unsw-nb15-v3", data_dir)


def test_a_file_of_version_2_under_a_slug_of_version_3(netflow, put, data_dir):
    put(netflow({"Benign": 30, "DDoS": 20}, version=2), "NF-BoT-IoT-v3.csv")
    with pytest.raises(InputError, match="version 3 of NF-BoT-IoT, found .* of version 2: use the slug nf-bot-iot-v2"):
        prepare.prepare("nf-bot-iot-v3", data_dir, allowed=SUBSET)


def test_a_time_split_of_a_stand_in_runs(data_dir):
    found = prepare.prepare("nf-bot-iot-v3", data_dir, "time")
    assert found.mark == "v3 simulated" and found.size("test") >= 1600


@pytest.mark.parametrize("slug", SLUGS)
def test_its_source_is_the_union_without_the_same_captures(slug):
    union, part = DATASETS[slug].source, DATASETS[slug].captures
    assert part in DATASETS[union].parts
    assert source.source_dataset(slug, union, "leave_target_out") == f"{union}-without-{part}"
    assert source.sensible(slug, union) == ["leave_target_out"]
    with pytest.raises(InputError, match=f"not seen the test flows of {DATASETS[slug].title}.*leave_target_out"):
        source.source_dataset(slug, union, "paper")
