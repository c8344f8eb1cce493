"""Which rows transfer starts from."""

import dataclasses

import pytest
from small_flows import write_csv

from tlids_helpers.common.errors import InputError
from tlids_helpers.data import prepare, source
from tlids_helpers.data.catalog import CICFLOW_FEATURES, DATASETS


@pytest.fixture(scope="module")
def prepared(tmp_path_factory):
    folder = tmp_path_factory.mktemp("own")
    return prepare.prepare(str(write_csv(folder / "home.csv")), folder / "data")


@pytest.fixture
def preparations(monkeypatch):
    """Instead of preparing, take note of what would be prepared."""
    seen = []
    monkeypatch.setattr(prepare, "prepare", lambda *given: seen.append(given))
    return seen


def as_dataset(prepared, slug: str, **fields):
    """`prepared` as if it were a dataset of the catalog."""
    found = DATASETS[slug]
    own = {"name": slug, "title": found.title, "family": found.family, "version": found.version}
    return dataclasses.replace(prepared, **{**own, **fields})


@pytest.mark.parametrize(
    "slug, expected",
    [
        ("nf-bot-iot", "nf-uq-nids"), ("nf-uq-nids", "nf-uq-nids"), ("nf-ton-iot-v2", "nf-uq-nids-v2"),
        ("mqtt-iot-ids2020", "cic-ton-iot"), ("cic-ton-iot", "iot-ds2"),
    ],
)  # fmt: skip
def test_a_catalog_datasets_source_is_the_catalogs(prepared, slug, expected):
    assert source.source_of(as_dataset(prepared, slug)) == expected


def test_a_users_own_flows_start_from_their_familys_largest(prepared):
    assert source.source_of(prepared) == "nf-uq-nids"
    assert source.source_of(dataclasses.replace(prepared, family="cicflow")) == "cic-ton-iot"
    assert source.source_of(dataclasses.replace(prepared, name="nf-ton-iot-v2")) == "nf-uq-nids"


def test_a_source_that_is_asked_for_is_taken(prepared):
    assert source.source_of(prepared, "nf-ton-iot") == "nf-ton-iot"


def test_an_unknown_source_is_one_sentence_with_the_slugs(prepared):
    with pytest.raises(InputError, match=r"expected a source of the catalog \(nf-bot-iot, .*found 'imagenet'"):
        source.source_of(prepared, "imagenet")


def test_a_source_of_another_family_is_refused_before_it_is_trained(prepared):
    with pytest.raises(InputError, match="expected a source of the netflow family.*found cic-ton-iot"):
        source.source_of(prepared, "cic-ton-iot")
    cicflow = dataclasses.replace(prepared, family="cicflow", features=CICFLOW_FEATURES)
    with pytest.raises(InputError, match="expected a source of the cicflow family"):
        source.source_of(cicflow, "nf-uq-nids")


def test_both_protocols_are_offered_for_a_part_of_the_source_and_one_for_anything_else(prepared):
    part, whole = as_dataset(prepared, "nf-ton-iot"), as_dataset(prepared, "nf-uq-nids")
    assert source.protocols_for(part, "nf-uq-nids", "both") == ["paper", "leave_target_out"]
    assert source.protocols_for(whole, "nf-uq-nids", "both") == ["paper"]
    assert source.protocols_for(prepared, "nf-uq-nids", "both") == ["paper"]
    assert source.protocols_for(part, "nf-uq-nids", "leave_target_out") == ["leave_target_out"]


def test_an_unknown_protocol_is_one_sentence(prepared):
    with pytest.raises(InputError, match="paper, leave_target_out or both, found 'theirs'"):
        source.protocols_for(prepared, "nf-uq-nids", "theirs")
    with pytest.raises(InputError, match="one of paper, leave_target_out, found 'both'"):
        source.prepare_source(prepared, "nf-uq-nids", "both", "data", False)


@pytest.mark.parametrize(
    "slug, protocol, expected",
    [
        ("nf-ton-iot", "paper", "nf-uq-nids"), ("nf-ton-iot", "leave_target_out", "nf-uq-nids-without-nf-ton-iot"),
        ("nf-uq-nids", "paper", "nf-uq-nids"), ("nf-ton-iot-v2", "leave_target_out", "nf-uq-nids"),
    ],
)  # fmt: skip
def test_the_source_is_prepared_as_the_target_is_and_without_it_under_leave_target_out(
    prepared, preparations, slug, protocol, expected
):
    assert source.source_dataset(slug, "nf-uq-nids", protocol) == expected
    target = as_dataset(prepared, slug, split="grouped", seed=7, rows=1000)
    source.prepare_source(target, "nf-uq-nids", protocol, "data", True)
    ((dataset, *rest, without),) = preparations
    assert "-without-".join(filter(None, (dataset, without))) == expected
    assert rest == ["data", "grouped", 7, 1000, True]


def test_a_source_is_never_split_by_recordings(prepared, preparations):
    source.prepare_source(as_dataset(prepared, "testbed", split="session"), "nf-uq-nids", "paper", "data", True)
    assert preparations[0][2] == "paper"


def test_a_source_cannot_be_left_out_of_itself(prepared, preparations):
    whole = as_dataset(prepared, "nf-uq-nids")
    with pytest.raises(InputError, match="more than the target, found nf-uq-nids"):
        source.prepare_source(whole, "nf-uq-nids", "leave_target_out", "data", False)
    assert not preparations
