"""Which rows transfer starts from, under either protocol (Section 4.3)."""

import dataclasses

import pytest

from tlids_helpers.common.errors import InputError
from tlids_helpers.data import prepare, source
from tlids_helpers.data.catalog import CICFLOW_FEATURES, DATASETS
from tlids_helpers.data.prepare import Prepared
from tlids_helpers.data.raw import SUBSET


@pytest.fixture
def prepared(netflow, put, data_dir) -> Prepared:
    """A user's own NetFlow file."""
    return prepare.prepare(str(put(netflow({"Benign": 60, "DoS": 40}), "own.csv")), data_dir)


def as_dataset(prepared: Prepared, slug: str, **fields) -> Prepared:
    """The same rows under the name of a dataset of the catalog."""
    entry = DATASETS[slug]
    named = {"name": slug, "title": entry.title, "family": entry.family, "version": entry.version, "paper_slug": slug}
    return dataclasses.replace(prepared, **{**named, **fields})


@pytest.mark.parametrize("slug", DATASETS)
def test_a_catalog_datasets_source_is_the_catalogs(slug, prepared):
    assert source.source_of(as_dataset(prepared, slug)) == DATASETS[slug].source


def test_a_users_own_flows_start_from_their_familys_largest(prepared):
    assert source.source_of(prepared) == "nf-uq-nids"
    assert source.source_of(dataclasses.replace(prepared, family="cicflow")) == "cic-ton-iot"
    assert source.source_of(dataclasses.replace(prepared, name="nf-ton-iot-v2")) == "nf-uq-nids"  # a file of that name


def test_a_source_that_is_asked_for_is_taken(prepared):
    assert source.source_of(prepared, "nf-ton-iot") == "nf-ton-iot"


def test_an_unknown_source_is_answered_with_the_slugs(prepared):
    with pytest.raises(InputError, match="nf-bot-iot, .*'imagenet'"):
        source.source_of(prepared, "imagenet")


def test_a_source_of_another_family_is_refused_before_it_is_trained(prepared):
    with pytest.raises(InputError, match="netflow.*cic-ton-iot"):
        source.source_of(prepared, "cic-ton-iot")
    with pytest.raises(InputError, match="cicflow.*nf-uq-nids"):
        source.source_of(dataclasses.replace(prepared, family="cicflow", features=CICFLOW_FEATURES), "nf-uq-nids")


def test_both_protocols_are_offered_for_a_part_of_the_source_and_one_for_anything_else(prepared):
    part, whole = as_dataset(prepared, "nf-ton-iot"), as_dataset(prepared, "nf-uq-nids")
    assert source.protocols_for(part, "nf-uq-nids", "both") == ["paper", "leave_target_out"]
    assert source.protocols_for(whole, "nf-uq-nids", "both") == ["paper"]
    assert source.protocols_for(prepared, "nf-uq-nids", "both") == ["paper"]
    assert source.protocols_for(part, "nf-uq-nids", "leave_target_out") == ["leave_target_out"]


def test_an_unknown_protocol_is_answered_with_those_there_are(prepared):
    with pytest.raises(InputError, match="leave_target_out or both.*'theirs'"):
        source.protocols_for(prepared, "nf-uq-nids", "theirs")
    with pytest.raises(InputError, match="paper, leave_target_out.*'both'"):
        source.source_dataset("nf-ton-iot", "nf-uq-nids", "both")


@pytest.mark.parametrize(
    ("dataset", "protocol", "expected"),
    [
        ("nf-ton-iot", "paper", "nf-uq-nids"),
        ("nf-ton-iot", "leave_target_out", "nf-uq-nids-without-nf-ton-iot"),
        ("nf-uq-nids", "paper", "nf-uq-nids"),
        ("nf-ton-iot-v2", "leave_target_out", "nf-uq-nids"),
        ("own.csv", "leave_target_out", "nf-uq-nids"),
    ],
)
def test_a_part_is_left_out_of_its_union_and_nothing_of_anything_else(dataset, protocol, expected):
    assert source.source_dataset(dataset, "nf-uq-nids", protocol) == expected


def test_a_source_cannot_be_left_out_of_itself():
    with pytest.raises(InputError, match="more than NF-UQ-NIDS itself.*nf-uq-nids"):
        source.source_dataset("nf-uq-nids", "nf-uq-nids", "leave_target_out")


@pytest.mark.parametrize(("split", "of_source"), [("grouped", "grouped"), ("paper", "paper"), ("session", "paper")])
def test_the_source_is_split_and_subsampled_as_the_target_is_but_never_by_recordings(
    split, of_source, prepared, four_parts, data_dir
):
    target = as_dataset(prepared, "nf-ton-iot", split=split, seed=7, rows=300)
    found = source.prepare_source(target, "nf-uq-nids", "leave_target_out", data_dir, SUBSET)
    assert (found.name, found.split, found.seed, found.rows) == ("nf-uq-nids-without-nf-ton-iot", of_source, 7, 300)
    assert "nf-ton-iot" not in found.parts and len(found.parts) == 3
