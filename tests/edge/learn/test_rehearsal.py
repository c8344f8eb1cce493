"""rehearsal.py: rows that are made up, where they may be, and which of a home's rows look like stored attacks."""

import numpy as np
import pytest
from home_flows import MODEL
from tlids_edge.detect.card import read_card
from tlids_edge.learn import rehearsal, rows
from tlids_edge.learn.novelty import described, nearest


@pytest.fixture(scope="module")
def stored() -> tuple[np.ndarray, np.ndarray]:
    return rows.read(MODEL, read_card(MODEL))


@pytest.fixture(scope="module")
def made(stored) -> np.ndarray:
    return rehearsal.made_up(stored[0], stored[0][:50], seed=1)


def by_hand(one: np.ndarray, others: np.ndarray) -> float:
    """The distance of a row to the nearest of others, as novelty describes them."""
    return float(np.sqrt(((described(one[None]) - described(others)) ** 2).sum(axis=1)).min())


def test_made_up_rows_are_what_a_network_could_send(made, stored):
    assert made.shape == (rehearsal.ROWS, 9) and made.dtype == np.float32
    assert (made >= 0).all() and (made == np.round(made)).sum(axis=0)[[0, 1, 2, 3, 5, 6, 7, 8]].min() == len(made)
    assert made[:, :2].max() <= 65_535 and set(made[:, 2]) <= set(stored[0][:, 2])
    for ours, theirs in ((5, 7), (6, 8)):  # a side that sent no packet sent no byte
        assert ((made[:, ours] > 0) == (made[:, theirs] > 0)).all()
    assert not made[made[:, 2] == 1, :2].any()  # ICMP has no ports


def test_made_up_rows_are_no_stored_ones_and_differ_from_seed_to_seed(made, stored):
    known = {row.tobytes() for row in stored[0]}
    assert np.mean([row.tobytes() in known for row in made]) < 0.05
    again, other = (rehearsal.made_up(stored[0], stored[0][:50], seed) for seed in (1, 2))
    np.testing.assert_array_equal(again, made)
    assert (other != made).any(axis=1).mean() > 0.9


def test_no_made_up_row_is_near_to_the_homes_rows(made, stored):
    least = rehearsal.NEAR - 0.02  # the home's rows are rounded
    assert min(by_hand(row, stored[0][:50]) for row in made[:200]) >= least
    free = rehearsal.made_up(stored[0], stored[0][:0], seed=1)
    assert min(by_hand(row, stored[0][:50]) for row in free) < least


def test_a_home_that_is_everywhere_leaves_fewer_rows_and_no_endless_search(stored):
    everywhere = rehearsal.made_up(stored[0], stored[0][:0], seed=1)
    assert len(rehearsal.made_up(stored[0], everywhere, seed=1)) <= rehearsal.ROWS


def test_a_row_is_like_an_attack_that_is_near_when_no_benign_row_is_nearer(stored):
    features, attacks = stored[0], stored[1] != 0
    site = np.concatenate([features[attacks][:100], features[~attacks][:100], [[1, 1, 50, 0, 0, 9e6, 9e6, 9e4, 9e4]]])
    found = rehearsal.alike(site.astype(np.float32), features, attacks)
    for place in (0, 30, 99, 100, 130, 199, 200):
        to_attack, to_benign = by_hand(site[place], features[attacks]), by_hand(site[place], features[~attacks])
        assert found[place] == (to_attack < min(rehearsal.ALIKE, to_benign))
    assert found[:100].mean() > 0.9 and not found[100:].any()


def test_forged_attacks_beside_a_victims_rows_leave_none_of_those_out(stored):
    features, attacks = stored[0], stored[1] != 0
    victim = features[~attacks][::4]
    victim = victim[nearest(described(victim), described(features[attacks])) > 2 * rehearsal.ALIKE]
    forged = np.repeat(features[attacks][:200], 5, axis=0)
    together = rehearsal.alike(np.concatenate([victim, forged]), features, attacks)
    assert len(victim) > 100 and not together[: len(victim)].any() and together[len(victim) :].mean() > 0.9
