"""Which row goes where: sizes against scikit-learn, chances against chi-square, equal rows on one side."""

import numpy as np
import pytest
from scipy.stats import chi2
from sklearn.model_selection import train_test_split

from tlids_helpers.data import split
from tlids_helpers.data.catalog import DATASETS

COUNTS = [
    [50, 50], [7, 1993], [100, 37, 2, 11], [5, 5, 5], [1001, 20, 999, 13, 2, 2], [12345, 678, 90], [29, 5], [333] * 9,
]  # fmt: skip


def deal(counts, seed, batch_rows):
    """Roles of a shuffled stream of classes, dealt batch by batch: (codes, roles)."""
    codes = np.random.default_rng(99).permutation(np.repeat(np.arange(len(counts)), counts))
    remaining, rng = split.role_quotas(counts), np.random.default_rng(seed)
    batches = np.array_split(codes, range(batch_rows, len(codes), batch_rows))
    roles = np.concatenate([split.draw(remaining, batch, rng) for batch in batches])
    assert not remaining.any()
    return codes, roles


@pytest.mark.parametrize("counts", COUNTS)
def test_test_sizes_are_scikit_learns_in_all_and_within_one_per_class(counts):
    labels = np.repeat(np.arange(len(counts)), counts)
    _, test = train_test_split(labels, test_size=0.2, stratify=labels, random_state=0)
    ours = split.role_quotas(counts)[:, 2]
    assert ours.sum() == len(test)
    assert np.abs(ours - np.bincount(test, minlength=len(counts))).max() <= 1


@pytest.mark.parametrize("counts", COUNTS)
def test_validation_sizes_are_scikit_learns_for_a_tenth_of_the_training_rows(counts):
    quotas = split.role_quotas(counts)
    training = np.repeat(np.arange(len(counts)), quotas[:, :2].sum(axis=1))
    _, validation = train_test_split(training, test_size=0.1, random_state=0)
    assert quotas[:, 1].sum() == len(validation)
    assert np.array_equal(quotas.sum(axis=1), counts) and (quotas >= 0).all()


@pytest.mark.parametrize("slug", [slug for slug, entry in DATASETS.items() if entry.paper_train and not entry.parts])
def test_split_sizes_are_exactly_those_of_tables_1_and_3(slug):
    entry = DATASETS[slug]
    counts = [n for n in entry.classes.values() if n] or [entry.total]
    train, validation, test = split.role_quotas(counts).sum(axis=0)
    assert (train + validation, test) == (entry.paper_train, entry.paper_test)


def test_nf_uq_nids_split_part_by_part_has_one_test_row_more_than_table_1():
    entry = DATASETS["nf-uq-nids"]
    counts = [list(DATASETS[part].classes.values()) for part in entry.parts]
    test = sum(split.role_quotas(of_part)[:, 2].sum() for of_part in counts)
    assert test == entry.paper_test + 1  # each of the four parts rounds up by itself


@pytest.mark.parametrize("batch_rows", [1, 7, 64, 10_000])
def test_the_draw_meets_the_quotas_however_the_stream_is_cut(batch_rows):
    counts = [401, 77, 5, 1]
    codes, roles = deal(counts, 0, batch_rows)
    found = np.stack([np.bincount(codes[roles == role], minlength=4) for role in range(3)], axis=1)
    assert np.array_equal(found, split.role_quotas(counts))


@pytest.mark.parametrize("batch_rows", [9, 1000])
def test_each_row_is_as_likely_as_any_other_to_be_a_test_row(batch_rows):
    counts, trials = [40, 25], 600
    codes = deal(counts, 0, batch_rows)[0]
    hits = sum((deal(counts, seed, batch_rows)[1] == 2).astype(int) for seed in range(trials))
    for code, rows in enumerate(counts):
        share = split.role_quotas(counts)[code, 2] / rows
        of_class = hits[codes == code]
        statistic = ((of_class - trials * share) ** 2).sum() / (trials * share * (1 - share)) * (rows - 1) / rows
        assert 0.001 < chi2.sf(statistic, rows - 1) < 0.999


def test_neighbouring_rows_are_drawn_independently():
    counts, trials = [40], 2000
    roles = np.stack([deal(counts, seed, 8)[1] == 2 for seed in range(trials)])
    together = (roles[:, :-1] & roles[:, 1:]).mean()
    assert together == pytest.approx(8 / 40 * 7 / 39, abs=0.004)


def test_apportioned_shares_add_up_and_are_within_one_of_the_exact_share():
    rng = np.random.default_rng(0)
    for _ in range(300):
        counts = rng.integers(1, 10 ** rng.integers(1, 7), rng.integers(1, 20))
        total = int(rng.integers(0, counts.sum() + 1))
        shares = split.apportion(counts, total)
        assert shares.sum() == total and (shares <= counts).all() and (shares >= 0).all()
        assert np.abs(shares - counts * total / counts.sum()).max() < 1


def test_a_subsample_has_room_for_every_class_of_every_role():
    rng = np.random.default_rng(1)
    for _ in range(300):
        counts = split.role_quotas(rng.integers(1, 500, rng.integers(2, 15)))
        rows = int(rng.integers(np.count_nonzero(counts), counts.sum() + 1))
        sizes = split.subsample_sizes(counts, rows)
        assert sizes.sum() == rows and (sizes <= counts.sum(axis=0)).all()
        for of_role, size in zip(counts.T, sizes, strict=True):
            kept = split.subsample_quotas(of_role, size)
            assert kept.sum() == size and (kept <= of_role).all() and ((kept > 0) == (of_role > 0)).all()


def test_equal_rows_have_equal_roles_wherever_they_stand():
    rng = np.random.default_rng(0)
    groups = rng.integers(0, 60_000, (500, 9)).astype(np.float32)
    rows = groups[rng.integers(0, 500, 5000)]
    whole = split.grouped_roles(rows, 7)
    apart = np.concatenate([split.grouped_roles(batch, 7) for batch in np.array_split(rows, 13)])
    assert np.array_equal(whole, apart)
    assert len(np.unique(np.column_stack([rows, whole]), axis=0)) == len(np.unique(rows, axis=0))


def test_minus_zero_and_zero_are_the_same_row():
    row = np.zeros((1, 9), np.float32)
    assert np.array_equal(split.hash_rows(row, 3), split.hash_rows(-row, 3))


def test_every_feature_and_its_place_count_in_the_hash():
    rows = np.concatenate([np.zeros((1, 9)), np.eye(9), 2 * np.eye(9)]).astype(np.float32)
    assert len(np.unique(split.hash_rows(rows, 0))) == 19


def test_grouped_roles_have_the_shares_of_the_paper_split():
    rows = np.random.default_rng(0).integers(0, 2**24, (100_000, 9)).astype(np.float32)
    shares = np.bincount(split.grouped_roles(rows, 0), minlength=3) / len(rows)
    assert shares == pytest.approx([0.72, 0.08, 0.20], abs=0.005)


def test_another_seed_groups_otherwise():
    rows = np.random.default_rng(0).integers(0, 2**24, (20_000, 9)).astype(np.float32)
    same = (split.grouped_roles(rows, 0) == split.grouped_roles(rows, 1)).mean()
    assert same == pytest.approx(0.72**2 + 0.08**2 + 0.2**2, abs=0.02)
