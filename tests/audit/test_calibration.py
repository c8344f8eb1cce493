"""Six answers binned on paper, and scikit-learn's calibration curve."""

import numpy as np
import pytest
from sklearn.calibration import calibration_curve

from tlids_helpers.audit import calibration
from tlids_helpers.common.errors import InputError

CONFIDENCE = np.array([0.5, 0.6, 0.7, 0.9, 1.0, 0.8])
RIGHT = np.array([True, True, False, True, True, False])


def test_four_bins_of_equal_width_by_hand():
    table = calibration.reliability(CONFIDENCE, RIGHT, bins=4)
    assert table["count"].tolist() == [0, 1, 2, 3]  # 0.5 is the upper edge of the second
    assert table["low"].tolist() == [0, 0.25, 0.5, 0.75] and table["high"].tolist() == [0.25, 0.5, 0.75, 1]
    assert table["confidence"].tolist() == pytest.approx([np.nan, 0.5, 0.65, 0.9], nan_ok=True)
    assert table["accuracy"].tolist() == pytest.approx([np.nan, 1, 1 / 2, 2 / 3], nan_ok=True)
    assert calibration.ece(table) == pytest.approx((1 * 0.5 + 2 * 0.15 + 3 * (0.9 - 2 / 3)) / 6)


def test_two_bins_of_equal_mass_by_hand():
    table = calibration.reliability(CONFIDENCE, RIGHT, bins=2, by="mass")
    assert table["count"].tolist() == [3, 3]
    assert table["low"].tolist() == [0.5, 0.7] and table["high"].tolist() == [0.7, 1]
    assert calibration.ece(table) == pytest.approx(((2 / 3 - 0.6) + (0.9 - 2 / 3)) / 2)


def test_equal_confidences_stay_in_one_bin():
    table = calibration.reliability(np.full(10, 0.9), np.arange(10) < 6, by="mass")
    assert table["count"].tolist() == [10]
    assert calibration.ece(table) == pytest.approx(0.3)
    tied = calibration.reliability(np.array([0.2] * 5 + [1.0] * 5), np.ones(10, bool), bins=5, by="mass")
    assert tied["count"].tolist() == [5, 5] and tied["confidence"].tolist() == [0.2, 1]


@pytest.mark.parametrize("by, strategy", [("width", "uniform"), ("mass", "quantile")])
def test_bins_are_scikit_learns(by, strategy):
    rng = np.random.default_rng(0)
    confidence = rng.random(996)
    right = rng.random(996) < confidence**2
    accuracy, said = calibration_curve(right, confidence, n_bins=12, strategy=strategy)
    table = calibration.reliability(confidence, right, bins=12, by=by)
    np.testing.assert_allclose(table["accuracy"], accuracy)
    np.testing.assert_allclose(table["confidence"], said)
    assert table["count"].sum() == 996


def test_a_calibrated_model_has_a_small_error_and_an_overconfident_one_its_excess():
    rng = np.random.default_rng(1)
    confidence = rng.uniform(0.5, 0.8, 50_000)
    right = rng.random(50_000) < confidence
    assert calibration.ece(calibration.reliability(confidence, right)) < 0.01
    assert calibration.ece(calibration.reliability(confidence + 0.2, right)) == pytest.approx(0.2, abs=0.01)


def test_the_top_label_and_the_attack_label_of_three_flows():
    probabilities = np.array([[0.7, 0.2, 0.1], [0.4, 0.1, 0.5], [0.4, 0.5, 0.1]])
    confidence, right = calibration.top_label(np.array([0, 1, 1]), probabilities)
    assert confidence.tolist() == [0.7, 0.5, 0.5] and right.tolist() == [True, False, True]
    confidence, attack = calibration.attack_label(np.array([0, 1, 1]), probabilities)
    assert confidence.tolist() == pytest.approx([0.3, 0.6, 0.6]) and attack.tolist() == [False, True, True]


def test_the_sentence_counts():
    said = calibration.sentence(calibration.reliability(CONFIDENCE, RIGHT, bins=4))
    assert said == (
        "Over 6 test rows it says 75.0% on average and 4 (66.7%) are so: too sure by 8.33%; ECE 0.2500 over 3 bins "
        "with rows."
    )


def test_what_is_no_probability_is_refused():
    for confidence in ([1.2], [-0.1], [np.nan]):
        with pytest.raises(InputError, match="between 0 and 1"):
            calibration.reliability(np.array(confidence), np.array([True]))
    assert calibration.reliability(np.array([1 + 1e-7]), np.array([True]))["count"].sum() == 1  # rounding is let pass
    with pytest.raises(InputError, match="as many"):
        calibration.reliability(CONFIDENCE, RIGHT[:2])
    with pytest.raises(InputError, match="width or mass"):
        calibration.reliability(CONFIDENCE, RIGHT, by="size")
