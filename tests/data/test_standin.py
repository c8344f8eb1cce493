"""The stand-ins: exact columns, classes by arithmetic, consistent rows, the files' quirks, and something to learn."""

import dataclasses

import numpy as np
import pandas as pd
import pytest
from sklearn.ensemble import ExtraTreesClassifier
from sklearn.metrics import f1_score
from sklearn.model_selection import train_test_split

from tlids_helpers.data.catalog import DATASETS, FEATURES, PARENTS
from tlids_helpers.data.raw import find_column
from tlids_helpers.data.standin import (
    DUPLICATES,
    FEWEST_ZERO_DURATION,
    FLOOR,
    class_counts,
    part_rows,
    simulate,
    traffic,
)

ABSENT = [dataset for dataset in DATASETS.values() if not dataset.folder]  # what is shipped needs no stand-in
PLAIN = [dataset for dataset in ABSENT if not dataset.parts]
UNIONS = [dataset for dataset in ABSENT if dataset.parts]
NETFLOW = [dataset for dataset in PLAIN if dataset.family == "netflow"]
CICFLOW = [dataset for dataset in PLAIN if dataset.family == "cicflow"]
ROWS = 6000
_made: dict[str, pd.DataFrame] = {}


def stand_in(dataset) -> pd.DataFrame:
    """`simulate(dataset, ROWS)`, made once; tests do not write to it."""
    if dataset.slug not in _made:
        _made[dataset.slug] = simulate(dataset, ROWS)
    return _made[dataset.slug]


def cic(dataset) -> pd.DataFrame:
    """A CICFlowMeter stand-in with every column under the catalog's underscored name."""
    return stand_in(dataset).rename(columns=lambda name: name.replace(" ", "_"))


def nine(dataset) -> pd.DataFrame:
    frame = stand_in(dataset)
    return frame[[find_column(name, list(frame.columns)) for name in FEATURES[dataset.family]]]


def by_slug(datasets):
    return pytest.mark.parametrize("dataset", datasets, ids=lambda dataset: dataset.slug)


# columns, classes and counts


@by_slug(PLAIN)
def test_columns_are_the_datasets_in_its_order_and_hold_no_gaps(dataset):
    frame = stand_in(dataset)
    assert tuple(frame.columns) == dataset.columns
    gaps = frame.columns[frame.isna().any()]
    assert set(gaps) <= {"Flow_Byts/s", "Flow Byts/s"}


@by_slug(UNIONS)
def test_union_has_its_columns_and_the_title_of_each_rows_part(dataset):
    frame = stand_in(dataset)
    assert tuple(frame.columns) == (*dataset.columns, "Dataset")
    rows = part_rows(dataset, ROWS)
    expected = {DATASETS[slug].title: sum(class_counts(DATASETS[slug], share).values()) for slug, share in rows.items()}
    assert frame["Dataset"].value_counts().to_dict() == expected
    assert sum(rows.values()) == ROWS


@by_slug(UNIONS)
def test_union_is_its_parts_stand_ins_under_the_parent_classes(dataset):
    frame = stand_in(dataset)
    for slug, share in part_rows(dataset, ROWS).items():
        part = simulate(DATASETS[slug], share)
        ours = frame[frame["Dataset"] == DATASETS[slug].title].drop(columns="Dataset")
        part["Attack"] = part["Attack"].map(lambda name: PARENTS.get(name, name))
        order = list(dataset.columns)
        pd.testing.assert_frame_equal(
            ours.sort_values(order).reset_index(drop=True), part.sort_values(order).reset_index(drop=True)
        )


@by_slug(ABSENT)
def test_every_class_appears_as_the_catalog_spells_it_and_no_other(dataset):
    assert set(stand_in(dataset)[dataset.label]) == set(dataset.classes)


@by_slug(PLAIN)
@pytest.mark.parametrize("rows", [1, 700, 10_000, 123_457])
def test_counts_add_up_and_are_proportional_above_the_floor(dataset, rows):
    counts = class_counts(dataset, rows)
    assert sum(counts.values()) == max(rows, FLOOR * len(dataset.classes))
    assert min(counts.values()) >= FLOOR
    if None in dataset.classes.values():
        return
    common = {name: count for name, count in counts.items() if count > FLOOR}
    per_row = sum(common.values()) / max(1, sum(dataset.classes[name] for name in common))
    for name, count in common.items():
        assert abs(count - dataset.classes[name] * per_row) < 1
    for name in counts.keys() - common.keys():
        assert dataset.classes[name] * per_row < FLOOR + 1


def test_counts_of_bot_iot_are_those_done_by_hand():
    # Theft would have 32 of 10,000 rows: it gets 40, and the others share 9,960 by 598,191 published rows
    counts = class_counts(DATASETS["nf-bot-iot"], 10_000)
    assert counts == {"Benign": 231, "Reconnaissance": 7837, "DDoS": 946, "DoS": 946, "Theft": 40}


def test_unpublished_counts_give_half_to_benign_and_equal_parts_to_the_attacks():
    counts = class_counts(DATASETS["mqtt-iot-ids2020"], 8000)
    assert counts.pop("normal") == 8000 / 2
    assert set(counts.values()) == {1000}


@by_slug(PLAIN)
def test_rows_hold_the_counted_classes_shuffled(dataset):
    labels = stand_in(dataset)[dataset.label]
    assert labels.value_counts().to_dict() == class_counts(dataset, ROWS)
    changes = (labels != labels.shift()).sum()
    assert changes > 3 * len(dataset.classes)


@by_slug(PLAIN)
def test_binary_label_is_zero_for_benign_rows_alone(dataset):
    frame = stand_in(dataset)
    attack = frame[dataset.label] != dataset.benign
    if dataset.label != "Label":
        zero, one = ("Normal", "Anomaly") if "Sub_Cat" in frame else (0, 1)
        assert (frame["Label"] == np.where(attack, one, zero)).all()


# determinism


@by_slug([PLAIN[0], CICFLOW[0], NETFLOW[-1], UNIONS[0]])
def test_same_seed_same_rows_another_seed_other_rows(dataset):
    first = simulate(dataset, 900, seed=7)
    pd.testing.assert_frame_equal(first, simulate(dataset, 900, seed=7))
    assert not first.equals(simulate(dataset, 900, seed=8))


def test_every_dataset_draws_from_its_own_stream():
    # the twin has all that shapes a row in common (classes, columns, counts), the slug aside
    dataset = DATASETS["nf-unsw-nb15"]
    twin = dataclasses.replace(dataset, slug="nf-unsw-nb15-v2")
    assert not simulate(dataset, 900)["L4_SRC_PORT"].equals(simulate(twin, 900)["L4_SRC_PORT"])


# rows agree with themselves


@by_slug(NETFLOW)
def test_netflow_bytes_packets_and_flags_agree(dataset):
    frame = stand_in(dataset)
    for way in ("IN", "OUT"):
        octets, packets = frame[f"{way}_BYTES"], frame[f"{way}_PKTS"]
        assert (octets >= 28 * packets).all() and ((octets == 0) == (packets == 0)).all()
    assert (frame["IN_PKTS"] > 0).all()
    assert ((frame["TCP_FLAGS"] > 0) == (frame["PROTOCOL"] == 6)).all()
    assert frame[["L4_SRC_PORT", "L4_DST_PORT"]].stack().between(1, 65535).all()
    assert (frame["L7_PROTO"] % 1 > 0).any()  # nDPI's master and application, as in 5.126


@by_slug(CICFLOW)
def test_cic_gaps_and_windows_agree_with_the_packets(dataset):
    frame = cic(dataset)
    for way in ("Fwd", "Bwd"):
        packets, gap = frame[f"Tot_{way}_Pkts"], frame[f"{way}_IAT_Mean"]
        assert np.allclose(gap * (packets - 1).clip(0), frame[f"{way}_IAT_Tot"])
        assert (frame[f"{way}_IAT_Min"] <= gap).all()
        assert (frame[f"Subflow_{way}_Byts"] == frame[f"TotLen_{way}_Pkts"]).all()
    tcp = frame["Protocol"] == 6
    assert (~tcp).any() and ((frame["Init_Fwd_Win_Byts"] == -1) == ~tcp).all()


# quirks


@by_slug(CICFLOW)
def test_cic_rates_are_inf_or_nan_for_zero_durations_alone(dataset):
    frame = cic(dataset)
    stopped = frame["Flow_Duration"] == 0
    assert FEWEST_ZERO_DURATION / 2 <= stopped.sum() < 0.02 * len(frame)
    octets = frame["TotLen_Fwd_Pkts"] + frame["TotLen_Bwd_Pkts"]
    assert np.isinf(frame.loc[stopped, "Flow_Pkts/s"]).all()
    assert np.isnan(frame.loc[stopped & (octets == 0), "Flow_Byts/s"]).all()
    assert np.isinf(frame.loc[stopped & (octets > 0), "Flow_Byts/s"]).all()
    assert np.isfinite(frame.loc[~stopped, ["Flow_Byts/s", "Flow_Pkts/s"]]).all(axis=None)


def test_published_share_of_exact_duplicates_is_met():
    for slug, share in DUPLICATES.items():
        repeated = stand_in(DATASETS[slug]).duplicated().mean()
        assert repeated == pytest.approx(share, abs=0.03)


@by_slug(PLAIN)
def test_some_rows_repeat_and_some_equal_rows_carry_different_labels(dataset):
    frame = stand_in(dataset)
    features = list(frame.columns.difference([dataset.label, "Label", "Attack", "Cat", "Sub_Cat"]))
    share = (frame.groupby(features, dropna=False)[dataset.label].transform("nunique") > 1).mean()
    assert frame.duplicated().any() and 0 < share < 0.2


# something to learn


def test_every_class_of_the_catalog_has_traffic_of_known_kinds_and_no_kind_is_left_over():
    wanted = {name.casefold() for dataset in PLAIN for name in dataset.classes}
    assert set(traffic.CLASSES) == wanted
    assert {kind for kinds in traffic.CLASSES.values() for kind in kinds} == set(traffic.TRAFFIC)


@by_slug(PLAIN)
def test_trees_on_the_nine_features_beat_chance_in_every_dataset_and_are_never_perfect(dataset):
    labels = stand_in(dataset)[dataset.label].to_numpy(str)
    parts = train_test_split(nine(dataset).to_numpy(float), labels, test_size=0.3, stratify=labels, random_state=0)
    trees = ExtraTreesClassifier(30, random_state=0).fit(parts[0], parts[2])
    predicted = trees.predict(parts[1])
    assert f1_score(parts[3], predicted, average="macro") > 3 / len(dataset.classes) - 0.1
    assert pd.Series(parts[3]).value_counts(normalize=True).iloc[0] < (predicted == parts[3]).mean() < 0.99
