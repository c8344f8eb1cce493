"""novelty.py beside scikit-learn's nearest neighbours, and the share that split conformal prediction promises."""

import json

import numpy as np
import pytest
from sklearn.neighbors import NearestNeighbors
from tlids_edge.errors import InputError
from tlids_edge.learn import novelty


def rows(count: int, seed: int) -> np.ndarray:
    rng = np.random.default_rng(seed)
    ports = rng.integers(1024, 60_000, count), rng.choice([53, 443, 8883], count)
    kinds = rng.choice([6, 17], count), rng.choice([0, 27], count), rng.choice([0, 5, 91], count)
    made = np.column_stack([*ports, *kinds, *rng.lognormal(6, 1, (2, count)), *rng.integers(1, 40, (2, count))])
    return made.astype(np.float32)


def test_distances_are_those_of_scikit_learn():
    learned = novelty.fit(rows(900, 0), seed=1)
    new = rows(700, 1)
    oracle = NearestNeighbors(n_neighbors=1).fit(learned.store).kneighbors(novelty.described(new))[0][:, 0]
    np.testing.assert_allclose(learned.distances(new), oracle, atol=5e-3)


def test_flows_like_those_learned_are_new_at_most_about_once_in_a_hundred():
    shares = [novelty.fit(rows(1000, seed), seed).is_new(rows(1000, 100 + seed)).mean() for seed in range(8)]
    assert np.mean(shares) < 0.02


def test_what_was_never_seen_is_new():
    learned = novelty.fit(rows(1000, 0), seed=1)
    strange = rows(50, 3)
    strange[:, 5:9] *= 1000
    assert learned.is_new(strange).all()


def test_the_threshold_is_never_so_small_that_one_more_packet_is_new():
    same = np.repeat(rows(1, 0), 400, axis=0)
    learned = novelty.fit(same, seed=1)
    assert learned.threshold == 0.5 and len(learned.store) == 1
    same[:, 7] += 1
    assert not learned.is_new(same).any()


def test_the_store_holds_at_most_2000_distinct_rows():
    learned = novelty.fit(rows(6000, 0), seed=1)
    assert learned.store.shape == (2000, 9) and len(np.unique(learned.store, axis=0)) == 2000


@pytest.mark.parametrize(("count", "alpha", "rank"), [(99, 0.01, 99), (199, 0.01, 198), (10, 0.1, 10), (5, 0.01, 5)])
def test_the_conformal_score_is_the_one_of_the_textbook_rank(count, alpha, rank):
    scores = np.random.default_rng(0).permutation(np.arange(1, count + 1))
    assert novelty.conformal(scores, alpha) == rank


def test_a_store_comes_back_as_written_and_a_damaged_one_is_refused(tmp_path):
    learned = novelty.fit(rows(500, 0), seed=1)
    fields = json.loads(json.dumps(novelty.write(learned, tmp_path)))
    again = novelty.read(tmp_path, fields)
    assert again.threshold == learned.threshold and np.array_equal(again.store, learned.store)
    assert novelty.read(tmp_path, None) is None
    for change in ({"threshold": "0.5"}, {"threshold": -1.0}, {"rows": 3}, {"rows": 10**9}, {"sha256": "0" * 64}):
        with pytest.raises(InputError, match="expected"):
            novelty.read(tmp_path, fields | change)
    content = bytearray((tmp_path / novelty.FILE).read_bytes())
    content[3] ^= 1
    (tmp_path / novelty.FILE).write_bytes(content)
    with pytest.raises(InputError, match="as its card describes"):
        novelty.read(tmp_path, fields)
