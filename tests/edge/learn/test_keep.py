"""keep.py and choose.py: the caps, the clock, and how much of what is learned one device can give."""

from collections import Counter

import numpy as np
import pytest
from home_flows import DAY_S, drawn, seen
from tlids_edge.learn import keep
from tlids_edge.learn.choose import CLAIMED, choose
from tlids_edge.learn.keep import ROW, Keeper


def keeper(learn_s: float = DAY_S, seed: int = 1) -> Keeper:
    return Keeper(learn_s, drawn(seed))


def test_a_window_keeps_ten_of_a_source_and_service_thirty_of_a_source_thirty_of_a_service():
    home = keeper()
    home.see([seen(index / 10, source=source, service=source) for index in range(40) for source in (101, 102)])
    home.see([seen(41 + index / 10, source=1, service=service) for index in range(40) for service in range(80, 90)])
    home.see([seen(42 + index / 10, source=source, service=53) for index in range(40) for source in range(2, 12)])
    rows = home.rows()
    sources, services = Counter(rows["source"].tolist()), Counter(rows["service"].tolist())
    assert (sources[101], sources[102]) == (10, 10)
    assert sources[1] == 30 and services[53] == 30
    assert max(Counter(zip(rows["source"].tolist(), rows["service"].tolist(), strict=True)).values()) == 10


def test_shorter_learning_shrinks_the_windows_in_proportion():
    for learn_s in (DAY_S, DAY_S / 24):
        home = keeper(learn_s)
        step = learn_s / 144 / 40
        home.see([seen(index * step, service=443) for index in range(40 * 144)])
        assert len(home.rows()) == pytest.approx(1000, abs=440)  # ten of each of 144 windows, 1,000 of a device
        assert Counter((home.rows()["time"] // (learn_s / 144)).tolist()).most_common(1)[0][1] <= 10


def test_which_rows_of_a_window_stay_is_drawn_and_not_the_first_ones():
    home = keeper()
    home.see([seen(index, features=(float(index),) + (0.0,) * 8) for index in range(500)])
    kept = home.rows()["features"][:, 0]
    assert len(kept) == 10 and kept.max() > 100


def test_rows_are_in_order_of_time_and_bounded_whatever_comes():
    home = keeper()
    for minute in range(60):
        home.see(
            [seen(60 * minute + index / 100, source=1 + 1000 * minute + index, service=index) for index in range(3000)]
        )
    assert sum(map(len, home.open.values())) <= 2 * 2 * keep.MAX_OPEN
    home.close()
    assert len(home.kept) <= keep.MAX_KEPT and np.all(np.diff(home.rows()["time"]) >= 0)


def test_a_burst_takes_back_what_the_source_gave_in_the_minute_before():
    home = keeper()
    home.see([seen(0, source=1), seen(100, source=1), seen(110, source=2)])
    began = home.see([seen(120 + index, source=1, service=1883, alarm=True) for index in range(10)])
    assert began == [1]
    assert sorted(home.rows()["source"].tolist()) == [1, 2] and home.rows()["time"].min() == 0
    assert home.left_out[1] == 11  # one of the minute before, nine alarms, and the tenth


@pytest.mark.parametrize("jump_s", [-3600.0, -30 * 365 * 86_400.0, 30 * 365 * 86_400.0])
def test_a_clock_that_is_set_neither_ends_the_learning_nor_takes_time_back(jump_s):
    home = keeper()
    for index in range(100):
        home.see([seen(1e9 + index)])
    for index in range(100):
        home.see([seen(1e9 + 100 + jump_s + index)])
    assert 190 <= home.elapsed <= 200 + DAY_S / 24
    assert len(home.rows())


def test_disorder_within_a_few_seconds_counts_no_time_twice():
    home = keeper()
    for index in range(1000):
        home.see([seen(1e9 + index), seen(1e9 + index - 15), seen(1e9 + index - 40)])
    assert home.elapsed == pytest.approx(1039, abs=41)


def made(counts: dict[int, int]) -> np.ndarray:
    """Rows of devices, with random ranks."""
    rows = np.zeros(sum(counts.values()), ROW)
    rows["device"] = np.repeat(list(counts), list(counts.values()))
    rows["rank"] = np.random.default_rng(0).random(len(rows))
    rows["time"] = np.random.default_rng(1).random(len(rows)) * DAY_S
    return rows


def test_one_device_gives_at_most_a_tenth_where_there_are_enough_devices():
    counts = {device: 150 for device in range(1, 20)} | {99: 4320}
    chosen = choose(made(counts), set(counts))
    shares = Counter(chosen.rows["device"].tolist())
    assert len(chosen.rows) >= 2000 and shares[99] <= 0.1 * len(chosen.rows)


def test_of_a_few_devices_each_gives_at_most_500():
    counts = {1: 4320, 2: 800, 3: 300}
    chosen = choose(made(counts), set(counts))
    assert Counter(chosen.rows["device"].tolist()) == {1: 500, 2: 500, 3: 300} and chosen.limit == 500


def test_a_home_of_one_device_gives_as_many_rows_as_are_needed_and_no_more():
    chosen = choose(made({1: 4320, 2: 100}), {1, 2})
    assert len(chosen.rows) == 1000 and np.all(np.diff(chosen.rows["time"]) >= 0)


def test_a_thousand_senders_that_were_never_proven_count_as_one_device():
    counts = {device: 100 for device in range(1, 21)} | {1000 + forged: 30 for forged in range(1000)}
    chosen = choose(made(counts), set(range(1, 21)))
    shares = Counter(chosen.rows["device"].tolist())
    assert shares[CLAIMED] <= 0.1 * len(chosen.rows) and len(chosen.rows) > 2000


def test_at_most_5000_rows_are_learned_from():
    counts = {device: 900 for device in range(1, 40)}
    assert len(choose(made(counts), set(counts)).rows) == 5000


def test_too_few_rows_are_all_there_is():
    assert len(choose(made({1: 30, 2: 5}), {1, 2}).rows) == 35
    assert len(choose(made({}), set()).rows) == 0
