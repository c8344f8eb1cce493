"""sketches.py: the figures of its text, worked out again and simulated."""

import math

import numpy as np
import pytest
from scipy.stats import poisson
from tlids_edge.detect import sketches
from tlids_edge.detect.sketches import (
    CELLS,
    LOOK,
    ROWS,
    UNITS,
    Hashes,
    Recent,
    Spread,
    hash_seed,
    mixed,
    mixed_one,
    places,
    places_of_one,
    sums,
)


def hashes(random, count):
    return random.integers(0, 2**64, count, np.uint64)


def one_key(spread, targets):
    """How many entries one key has set after so many distinct targets."""
    random = np.random.default_rng(targets)
    return int(spread.add(places(np.full(targets, 7, np.uint64)), hashes(random, targets)).max()) if targets else 0


def test_memory_is_what_the_text_says():
    assert [Spread(bits, 60).nbytes for bits in (256, 1024)] == [540_672, 2_113_536]


EXACT = [  # entries, targets asked for, what they set and its deviation, the targets that this means in 19 of 20 cases
    (1024, 50, 48.8, 1.1, 49, 52), (1024, 100, 95.3, 2.0, 97, 105), (256, 100, 82.9, 3.2, 92, 109),
    (256, 200, 139.0, 4.7, 181, 220),
]  # fmt: skip


@pytest.mark.parametrize(("bits", "count", "mean", "deviation", "low", "high"), EXACT)
def test_so_many_targets_set_so_many_entries(bits, count, mean, deviation, low, high):
    b, n = bits, count  # occupied cells of b after n balls: mean and variance, Feller
    on_paper = b * (1 - (1 - 1 / b) ** n)
    variance = b * (b - 1) * (1 - 2 / b) ** n + b * (1 - 1 / b) ** n - b * b * (1 - 1 / b) ** (2 * n)
    assert (round(on_paper, 1), round(math.sqrt(variance), 1)) == (mean, deviation)
    assert Spread(bits, 60).needed(count) == pytest.approx(on_paper)
    random = np.random.default_rng(1)
    seen = [Spread(bits, 60).add(places(np.full(n, 7, np.uint64)), hashes(random, n)).max() for _ in range(200)]
    assert np.mean(seen) == pytest.approx(mean, abs=4 * deviation / math.sqrt(200))
    assert np.std(seen) == pytest.approx(deviation, rel=0.3)
    assert reached(bits, low - 1, on_paper) < 0.025 <= reached(bits, low, on_paper)
    assert reached(bits, high, on_paper) <= 0.975 < reached(bits, high + 1, on_paper)
    row = f"| {count} | {bits:,} | {mean} +- {deviation} | {low} to {high} |"
    assert row in sketches.__doc__


def reached(bits: int, targets: int, needed: float) -> float:
    """How probable it is that so many targets set the needed entries: occupied cells, one ball after the other."""
    occupied = np.zeros(targets + 1)
    occupied[0] = 1
    for _ in range(targets):
        full = np.arange(targets + 1) / bits
        occupied = occupied * full + np.concatenate([[0], (occupied * (1 - full))[:-1]])
    return occupied[math.ceil(needed) :].sum()


def test_of_1024_entries_five_in_a_hundred_less_never_reach_the_count_and_ten_more_nearly_always_do():
    for count in (50, 100):
        needed = Spread(1024, 60).needed(count)
        assert reached(1024, count * 95 // 100, needed) == 0
        assert 1 - reached(1024, count * 110 // 100, needed) < 1 / 2000
    assert reached(128, 95, Spread(128, 60).needed(100)) > 0.2  # as chance would have it


@pytest.mark.parametrize(("busy", "on_paper"), [(10, 1.5e-7), (50, 9e-5)])
def test_busy_keys_blame_others_as_seldom_as_the_text_says(busy, on_paper):
    assert (busy / CELLS) ** ROWS == pytest.approx(on_paper, rel=0.1)
    random = np.random.default_rng(3)
    blamed, innocents, times = 0, 20_000, 20
    for _ in range(times):
        spread = Spread(128, 60)
        for key in hashes(random, busy):
            spread.add(places(np.full(1000, key, np.uint64)), hashes(random, 1000))
        counts = spread._filled[places(hashes(random, innocents))].min(axis=0)
        blamed += np.count_nonzero(counts >= spread.needed(50))
    expected = on_paper * innocents * times
    assert poisson.ppf(1e-4, expected) <= blamed <= poisson.ppf(1 - 1e-4, expected * 1.1)


def test_a_home_of_many_quiet_sources_blames_nobody():
    assert poisson.sf(48, 3000 / CELLS) == pytest.approx(6.2e-28, rel=0.1)
    random, spread = np.random.default_rng(4), Spread(128, 60)
    counts = spread.add(places(hashes(random, 3000)), hashes(random, 3000))
    assert counts.max() < 12 and counts.max() < spread.needed(50)


def test_a_million_sources_at_one_door_set_one_entry_of_a_cell():
    random, spread = np.random.default_rng(5), Spread(128, 60)
    for _ in range(100):
        assert spread.add(places(hashes(random, 10_000)), np.full(10_000, 5, np.uint64)).max() == 1
    assert not spread.blind and spread.needed(50) < 60


def test_a_flood_at_one_door_sets_entries_of_one_page_of_memory():
    random, spread = np.random.default_rng(12), Spread(1024, 60)
    spread.add(places(hashes(random, 10_000)), np.full(10_000, 77, np.uint64))
    assert np.unique(np.flatnonzero(spread._lives) // 4096).tolist() == [38]


def test_beside_random_noise_a_key_needs_more_and_in_too_much_the_sketch_is_blind():
    random, spread = np.random.default_rng(6), Spread(128, 60)
    assert spread.add(places(hashes(random, 30_000)), hashes(random, 30_000)).max() < spread.needed(
        50
    )  # about 59 a cell
    assert not spread.blind
    assert one_key(spread, 150) >= spread.needed(50)
    spread.add(places(hashes(random, 300_000)), hashes(random, 300_000))
    assert spread.blind


@pytest.mark.parametrize("window_s", [60, 3600])
def test_entries_last_for_the_window_and_not_longer(window_s):
    spread, cells = Spread(128, window_s), places_of_one(9)
    spread.roll(0)
    spread.add_one(cells, 3)
    spread.roll(int(window_s * 1e6 * (UNITS - 1) / UNITS))
    assert spread.has_reached(cells, 1)
    spread.roll(int(window_s * 1e6))
    assert not spread.has_reached(cells, 1) and not spread._filled.any() and not spread._lives.any()


def test_one_at_a_time_leaves_behind_what_many_do():
    random = np.random.default_rng(7)
    whole, single = Spread(128, 60), Spread(128, 60)
    for turn in range(40):
        for spread in (whole, single):
            spread.roll(turn * 7_000_000)
        keys, targets = random.integers(0, 60, 300).astype(np.uint64) * np.uint64(2**58 + 3**20), hashes(random, 300)
        whole.add(places(keys), targets)
        for key, target in zip(keys.tolist(), targets.tolist(), strict=True):
            single.add_one(places_of_one(key), target)
        single.settle()
        assert (whole._lives == single._lives).all() and (whole._filled == single._filled).all()
        assert (whole._median, whole._entries) == (single._median, single._entries)
        assert whole.needed(50) == single.needed(50)


@pytest.mark.parametrize("gap_s", [0.2, 2, 20])
def test_a_quiet_sketch_that_wears_out_late_says_what_one_says_that_does_so_in_time(gap_s):
    random, now, said, latest = np.random.default_rng(11), 0, [], 0
    late, in_time = Spread(128, 60, 12), Spread(128, 60)
    for _ in range(3000):
        now += int(random.exponential(gap_s) * 1e6)
        key, target = places_of_one(mixed_one(int(random.geometric(0.2)))), int(random.integers(2**32))
        for spread in (late, in_time):
            spread.roll(now)
            spread.add_one(key, target)
            spread.settle()
        says = [not spread.is_quiet and spread.has_reached(key, spread.needed(12)) for spread in (late, in_time)]
        assert says[0] == says[1]
        said.append(says[0])
        latest = max(latest, late._late)
    assert any(said) == (gap_s < 20) and (latest > 0) == (gap_s > 1)


def test_what_is_counted_is_what_is_set_and_the_median_is_no_older_than_a_quarter_of_an_entry_a_cell():
    random, spread = np.random.default_rng(8), Spread(256, 60)
    for turn in range(60):
        spread.roll(turn * 3_000_000)
        spread.add(places(hashes(random, 200)), hashes(random, 200))
        set_now = (spread._lives > 0).reshape(256, ROWS * CELLS).sum(axis=0)
        assert (spread._filled == set_now).all() and spread._entries == set_now.sum()
        assert np.median(set_now) - 1 <= spread._median <= np.median(set_now)
        assert LOOK / (ROWS * CELLS) == 0.25


@pytest.mark.parametrize("lives", [1, 9, UNITS, 255])
@pytest.mark.parametrize("targets", [0, 1, 300, 30_000])
def test_entries_lose_lives_alike_whether_they_are_looked_for_or_all_are_gone_through(targets, lives):
    random, before = np.random.default_rng(13), Spread(256, 60)
    for _ in range(3):
        before.add(places(hashes(random, targets)), hashes(random, targets))
        before._wear_out(2)
    expected = np.maximum(before._lives.astype(int) - lives, 0)
    for way in (Spread._wear_out_few, Spread._wear_out_all):
        spread = Spread(256, 60)
        spread._lives[:] = before._lives
        assert way(spread, lives).tolist() == (expected.reshape(256, -1) > 0).sum(axis=0).tolist()
        assert (spread._lives == expected).all()


def test_what_was_noted_is_held_for_the_window_and_not_for_three_and_seldom_what_was_not():
    random, recent = np.random.default_rng(9), Recent(8)
    recent.roll(0)
    noted, others = hashes(random, 1000), hashes(random, 100_000)
    recent.add(noted[:500])
    for value in noted[500:].tolist():
        recent.add_one(value)
    for second in (0, 7.9, 8):
        recent.roll(int(second * 1e6))
        assert recent.holds(noted).all() and all(map(recent.holds_one, noted.tolist()))
    assert np.count_nonzero(recent.holds(others)) <= 3  # 0.09 expected
    assert [recent.holds_one(value) for value in others[:100].tolist()] == recent.holds(others[:100]).tolist()
    assert (1000 / Recent.PLACES) ** ROWS == pytest.approx(8.7e-7, rel=0.01) and recent.nbytes == 262_144
    recent.roll(24_000_000)
    assert not recent.holds(noted).any()


def test_one_hash_is_that_of_many():
    values = hashes(np.random.default_rng(10), 100)
    assert [mixed_one(value) for value in values.tolist()] == mixed(values).tolist()
    assert [places_of_one(value) for value in values.tolist()] == list(zip(*places(values).tolist(), strict=True))


def test_hashes_of_other_keys_differ_and_crafted_words_do_not_collide():
    words = np.arange(1, 4096, dtype=np.uint32)[:, None] << np.uint32(20)  # differ in high bits alone
    first, second = (mixed(sums(words, Hashes(seed).keys(1))) for seed in (1, 2))
    assert len(set(first.tolist())) == 4095 and not (first == second).any()
    shares = np.bincount((first & np.uint64(CELLS - 1)).astype(int), minlength=CELLS)
    assert shares.max() < 30  # 8 expected


def test_keys_are_drawn_where_an_attacker_may_send_and_fixed_for_a_file(monkeypatch):
    monkeypatch.delenv("TLIDS_HASH_SEED", raising=False)
    assert (hash_seed(True), hash_seed(False)) == (None, 0)
    assert not (Hashes(None).keys(4) == Hashes(None).keys(4)).any()
    assert (Hashes(0).keys(4) == Hashes(0).keys(4)).all()
