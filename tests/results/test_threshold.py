"""The alert threshold, worked by hand: ties, rounding, too few benign rows, none at all."""

import numpy as np
import pytest

from tlids_helpers.common.errors import InputError
from tlids_helpers.results import threshold


def test_the_threshold_of_ten_scores_by_hand():
    scores = np.array([0.9, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.0])
    found = threshold.choose(scores, 0.2)  # two of ten may alert: 0.9 and 0.8, so 0.7 is the highest that must not
    assert 0.7 < found.value < 0.7 + 2e-6
    assert (found.rows, found.alarms, found.rate, found.enough) == (10, 2, 0.2, True)


def test_equal_scores_stand_or_fall_together():
    found = threshold.choose(np.array([0.9, 0.8, 0.8, 0.8, 0.1]), 0.4)  # two may alert, but that would split the 0.8s
    assert found.value > 0.8
    assert found.alarms == 1


def test_a_whole_number_of_allowed_alarms_is_not_lost_to_rounding():
    assert threshold.choose(np.arange(100) / 100, 0.29).alarms == 29  # 0.29 * 100 is 28.999999999999996


@pytest.mark.parametrize("rate", [0.001, 0.01, 0.05, 0.37])
def test_no_lower_threshold_keeps_the_rate(rate):
    scores = np.random.default_rng(1).beta(1, 8, 5000).round(3)  # with many ties
    found = threshold.choose(scores, rate)
    assert np.mean(scores >= found.value) <= rate < np.mean(scores >= found.value - 2 * threshold.HAIR)


def test_a_score_next_to_1_still_gets_a_threshold_and_a_score_of_1_is_told():
    assert 1 - 1e-9 < threshold.choose(np.array([1 - 1e-9, 0.5]), 0.1).value < 1
    with pytest.raises(InputError, match="50.00% of them have the highest score"):
        threshold.choose(np.array([1.0, 0.5]), 0.1)


def test_too_few_benign_rows_have_a_sentence_and_none_or_nan_are_refused():
    few = threshold.choose(np.linspace(0, 0.5, 124), 0.001)
    assert (few.rows, few.alarms, few.enough) == (124, 0, False)
    assert "1,000" in few.sentence() and "2.4%" in few.sentence()  # the rows it takes, and the rule of three
    assert threshold.choose(np.linspace(0, 0.5, 1000), 0.001).enough
    with pytest.raises(InputError, match="found none"):
        threshold.choose(np.array([]), 0.001)
    with pytest.raises(InputError, match="NaN"):
        threshold.choose(np.array([0.1, np.nan]), 0.5)


@pytest.mark.parametrize("rate", [0, 1, -0.1, 2])
def test_a_rate_that_is_none_is_refused(rate):
    with pytest.raises(InputError, match="between 0 and 1"):
        threshold.choose(np.array([0.1]), rate)
