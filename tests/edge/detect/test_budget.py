"""budget.py: which flows are judged when there are more than the model has time for."""

from collections import Counter

import numpy as np
import pytest
from tlids_edge.chance import Chance
from tlids_edge.detect.budget import ANSWERED, FLOOR, LEAST, MAX_WAIT_S, PROVEN, UNANSWERED, Budget, Pace, fair_sample

TURN_S = 0.05


def chance(seed: int = 1) -> Chance:
    return np.random.default_rng(seed).random


def shares(sizes: list[int], room: int) -> list[int]:
    """Equal shares by handing out one place after the other to every group that has a row left."""
    given = [0] * len(sizes)
    while room:
        for index, size in enumerate(sizes):
            if room and given[index] < size:
                given[index] += 1
                room -= 1
    return given


@pytest.mark.parametrize("sizes", [[1000, 3, 1, 50], [10] * 20, [500, 400], [1] * 300])
@pytest.mark.parametrize("room", [20, 100, 199])
def test_every_group_gets_as_many_places_as_going_round_would_give_it(sizes, room):
    groups = np.repeat(np.arange(len(sizes)) * 7, sizes)
    groups = groups[np.random.default_rng(1).permutation(len(groups))]
    drawn = Counter((groups[fair_sample(groups, room, chance())] // 7).tolist())
    expected = shares(sizes, room)
    assert drawn.total() == room
    assert all(abs(drawn[index] - count) <= 1 for index, count in enumerate(expected))


def test_the_rows_of_a_group_are_drawn_uniformly():
    groups, counts = np.zeros(200, dtype=np.int64), np.zeros(200)
    for seed in range(2000):
        counts[fair_sample(groups, 40, chance(seed))] += 1
    # binomial, n = 2000 and p = 0.2: mean 400, deviation 17.9
    assert abs(counts - 400).max() < 5 * 17.9 and counts.sum() == 80_000
    assert abs(counts.std() - 17.9) < 5


def offer(budget: Budget, rows, tier: int, now: float, a_second: float) -> list[int]:
    """Offer numbered flows of one tier, each a group of its own."""
    rows = np.asarray(rows)
    parts = np.array_split(rows, 3)
    left_out = budget.offer(parts, np.full(len(rows), tier, np.uint8), lambda some: some, now, a_second)
    return [row for rows in left_out for row in rows.tolist()]


def taken(budget: Budget, most: int) -> list[int]:
    return [row for rows in budget.take(most) for row in rows.tolist()]


def test_what_the_model_can_judge_in_a_second_is_judged_whole_and_in_order():
    budget = Budget(chance())
    assert offer(budget, range(1000), UNANSWERED, 0, 1000) == []
    assert taken(budget, 600) == list(range(600))
    assert offer(budget, range(1000, 1600), UNANSWERED, 0.5, 1000) == []
    assert taken(budget, 5000) == list(range(600, 1600)) and len(budget) == 0


def test_a_flood_is_thinned_evenly_over_time_and_every_flow_is_judged_or_left_out():
    budget, judged, out = Budget(chance()), [], []
    for turn in range(200):  # 100,000 flows a second against 20,000
        first = turn * 5000
        out += offer(budget, range(first, first + 5000), UNANSWERED, turn * TURN_S, 20_000)
        judged += taken(budget, 1000)
    judged += taken(budget, 10**9)
    assert sorted(judged + out) == list(range(1_000_000))
    late = np.bincount(np.array(judged) // 5000, minlength=200)[40:-1]  # once the first second is over
    assert abs(late - 1000).max() < 100


def test_proven_flows_are_all_judged_in_the_middle_of_a_flood_and_at_once():
    budget, judged, out, delay = Budget(chance()), Counter(), Counter(), 0
    for turn in range(100):
        flood, client = range(turn * 5000, turn * 5000 + 5000), [10_000_000 + turn * 10 + index for index in range(10)]
        rows = np.array([*flood, *client])
        tiers = np.array([UNANSWERED] * 5000 + [PROVEN, ANSWERED] * 5, np.uint8)
        left_out = budget.offer([rows], tiers, lambda some: some, turn * TURN_S, 2000)
        out.update(row >= 10_000_000 for some in left_out for row in some.tolist())
        now = set(taken(budget, 100))
        judged.update(row >= 10_000_000 for row in now)
        delay += len(set(client) - now)
    assert judged[True] == 1000 and out[True] == 0 and delay == 0
    assert out[False] > 480_000


def test_a_flood_of_answered_flows_of_one_source_leaves_every_client_its_own_verdicts():
    budget, judged, out = Budget(chance()), [], []
    groups = {row: 1 for row in range(400_000)} | {row: row for row in range(400_000, 401_000)}
    for turn in range(80):
        rows = np.array([*range(turn * 5000, turn * 5000 + 5000), *range(400_000 + turn * 10, 400_010 + turn * 10)])
        tiers = np.full(len(rows), ANSWERED, np.uint8)
        lookup = lambda some: np.array([groups[row] for row in some.tolist()])  # noqa: E731
        left_out = budget.offer([rows[:2000], rows[2000:]], tiers, lookup, turn * TURN_S, 2000)
        out += [row for some in left_out for row in some.tolist()]
        judged += taken(budget, 100)
    judged += taken(budget, 10**9)
    assert not [row for row in out if row >= 400_000]
    assert len([row for row in judged if row >= 400_000]) == 800


def test_no_flow_waits_longer_than_a_second():
    budget = Budget(chance())
    offer(budget, range(1000), UNANSWERED, 0, 1000)
    taken(budget, 10)
    assert offer(budget, [5000], PROVEN, MAX_WAIT_S, 1000) == []
    assert offer(budget, [], PROVEN, MAX_WAIT_S + 0.01, 1000) == list(range(10, 1000))
    assert taken(budget, 10) == [5000]


def test_what_waits_is_bounded_by_what_is_judged_in_a_second_of_each_kind():
    budget = Budget(chance())
    for turn in range(15):
        for tier in (PROVEN, ANSWERED, UNANSWERED):
            offer(budget, range(100_000), tier, turn * TURN_S, 3000)
    assert len(budget) == 9000


class Timer:
    now = 0.0

    def __call__(self) -> float:
        return self.now


def test_the_pace_follows_what_a_verdict_costs_and_leaves_the_meter_its_time(monkeypatch):
    timer, cpu = Timer(), Timer()
    monkeypatch.setattr("tlids_edge.detect.budget.time.process_time", cpu)
    pace = Pace(cost_s=1e-3, clock=timer)
    for _ in range(50):
        pace.note(1000, 0.02)  # 20 us each
    timer.now, cpu.now = 1.0, 1.0
    pace.allowed()
    timer.now, cpu.now = 2.0, 1.0  # an idle second
    assert pace.allowed() == pytest.approx(0.8 * 50_000, rel=0.01)
    timer.now, cpu.now = 3.0, 2.0  # a second full of other work
    assert pace.allowed() == pytest.approx(FLOOR * 50_000, rel=0.01)
    timer.now = 3.0 + 1e-6
    assert pace.allowed() == LEAST
