"""promise.py beside scipy."""

import pytest
from scipy import stats
from tlids_edge.learn.promise import at_most, upper_bound


@pytest.mark.parametrize(
    ("alarms", "flows"), [(0, 1), (0, 200), (1, 200), (2, 277), (19, 20), (150, 4000), (3000, 4000)]
)
def test_the_bound_is_clopper_and_pearsons(alarms, flows):
    assert upper_bound(alarms, flows) == pytest.approx(stats.beta.ppf(0.95, alarms + 1, flows - alarms), rel=1e-9)


@pytest.mark.parametrize(
    ("count", "trials", "rate"), [(0, 10, 0.1), (3, 1000, 0.004), (40, 50, 0.5), (5, 5, 0.3), (1, 9, 0)]
)
def test_the_distribution_is_the_binomial(count, trials, rate):
    assert at_most(count, trials, rate) == pytest.approx(stats.binom.cdf(count, trials, rate), rel=1e-9)


def test_nothing_is_promised_without_flows_or_when_all_alarm():
    assert upper_bound(0, 0) == upper_bound(7, 7) == 1.0


@pytest.mark.parametrize(("alarms", "flows", "confidence"), [(-1, 5, 0.95), (6, 5, 0.95), (1, 5, 1.0), (1, 5, 0.0)])
def test_counts_that_are_none_are_refused(alarms, flows, confidence):
    with pytest.raises(ValueError, match="expected"):
        upper_bound(alarms, flows, confidence)
