"""Section 4.2: the optimiser by its arithmetic, early stopping, repeatability, and what training looks at."""

import numpy as np
import pytest
from small_flows import BRIEF, CLASSES, fitted, rows, same_weights, train_rows

from tlids_helpers.common.errors import InputError
from tlids_helpers.network import model, training
from tlids_helpers.network.backend import keras, set_seed
from tlids_helpers.network.model import predict
from tlids_helpers.network.recipe import Recipe


def softmax_regression(inputs: int = 5, classes: int = 3) -> keras.Model:
    """The smallest network whose gradient fits on a line."""
    return keras.Sequential([keras.Input((inputs,)), keras.layers.Dense(classes, activation="softmax")])


def random_rows(n: int, width: int = 5, classes: int = 3, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    return rng.normal(size=(n, width)).astype(np.float32), rng.integers(0, classes, n).astype(np.int32)


def cross_entropy(probabilities: np.ndarray, codes: np.ndarray) -> float:
    return float(-np.log(probabilities[np.arange(len(codes)), codes]).mean())


@pytest.fixture(scope="module")
def overfitted():
    """A head learning noise by heart: its validation loss falls, then rises for good. (learner, rows, history)"""
    set_seed(3)
    # learnable at first (the sign of one value), noise in one label of three
    features = np.random.default_rng(0).normal(size=(400, 128)).astype(np.float32)
    codes = np.where(np.random.default_rng(1).random(400) < 0.35, 1, 0) ^ (features[:, 0] > 0)
    codes = codes.astype(np.int32)
    train, validation = (features[:150], codes[:150]), (features[150:], codes[150:])
    learner = model.head(2)
    recipe = Recipe(epochs=40, batch_size=16, patience=3)
    history, seconds = training.fit(learner, train, validation, recipe)
    return learner, validation, history, seconds


def test_the_recipe_is_the_papers():
    recipe = Recipe()
    assert (recipe.epochs, recipe.batch_size, recipe.learning_rate, recipe.dropout) == (50, 128, 0.01, 0.05)


def test_adagrads_rate_is_one_hundredth_decayed_by_a_millionth_a_step():
    learner = softmax_regression()
    training.fit(learner, random_rows(20), random_rows(20), BRIEF)
    assert type(learner.optimizer) is keras.optimizers.Adagrad
    for step in (0, 1, 128, 500_000, 3_000_000):
        assert float(learner.optimizer._learning_rate(step)) == pytest.approx(0.01 / (1 + 1e-6 * step), rel=1e-5)


def test_one_step_equals_adagrad_on_the_cross_entropy_worked_by_hand():
    features, codes = random_rows(64)
    learner = softmax_regression()
    kernel, bias = learner.get_weights()
    training.fit(learner, (features, codes), (features, codes), Recipe(epochs=1, batch_size=64))
    logits = features @ kernel + bias
    probabilities = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    error = (probabilities - np.eye(3)[codes]) / 64
    for before, gradient, after in zip(
        (kernel, bias), (features.T @ error, error.sum(axis=0)), learner.get_weights(), strict=True
    ):
        summed = 0.1 + gradient**2  # Keras starts the sum of squares at 0.1
        np.testing.assert_allclose(after, before - 0.01 * gradient / np.sqrt(summed + 1e-7), atol=1e-6)


def test_an_epoch_takes_every_row_once_in_batches_of_the_recipes_size():
    learner = softmax_regression()
    training.fit(learner, random_rows(1000), random_rows(20), Recipe(epochs=3, batch_size=128))
    assert int(learner.optimizer.iterations) == 3 * 8  # 1000 rows are 7 batches of 128 and one of 104


def test_the_history_has_one_finite_value_an_epoch_of_each_curve():
    history, seconds = training.fit(softmax_regression(), random_rows(50), random_rows(20), Recipe(epochs=4))
    assert set(history) == {"loss", "accuracy", "val_loss", "val_accuracy"}
    assert all(len(values) == 4 and np.isfinite(values).all() for values in history.values())
    assert all(type(value) is float for values in history.values() for value in values)
    assert len(seconds) == 4 and min(seconds) > 0


def test_training_stops_after_patience_epochs_without_a_lower_validation_loss(overfitted):
    *_, history, seconds = overfitted
    best = int(np.argmin(history["val_loss"]))
    assert 0 < best  # it did learn first
    assert len(seconds) == len(history["val_loss"]) == best + 1 + 3 < 40


@pytest.mark.parametrize(
    ("rows", "epochs"), [(2063, 59), (12_800, 10), (12_801, 10), (12_672, 11), (1, 1000), (200_721, 10)]
)
def test_patience_lasts_1000_batches_where_ten_epochs_are_fewer(rows, epochs):
    assert training.warmed_patience(Recipe(), rows) == epochs  # 2,063 rows are 17 batches of 128


def test_the_best_epochs_weights_come_back(overfitted):
    learner, (features, codes), history, _ = overfitted
    loss = cross_entropy(learner.predict(features, verbose=0), codes)
    assert loss == pytest.approx(min(history["val_loss"]), abs=1e-5)
    assert loss < history["val_loss"][-1] - 1e-3


def test_the_best_epoch_counts_from_1_and_is_never_one_that_diverged():
    for losses, best in (([3.0, 1.0, 2.0], 2), ([3.0, float("nan"), 2.0], 3), ([float("nan")] * 2, 1)):
        assert training.trained(None, {"val_loss": losses}, [1.0] * len(losses), 0.0).best_epoch == best


def test_times_add_up_and_one_slow_epoch_does_not_shift_the_time_per_epoch():
    done = training.trained(None, {"val_loss": [1.0, 1.0, 1.0]}, [9.0, 1.0, 1.5], 2.0)
    assert done.seconds == {"total": 13.5, "per_epoch": 1.5}
    assert done.epochs == 3


def test_total_time_includes_what_was_computed_before_the_first_epoch():
    assert fitted().seconds["total"] > fitted().seconds["per_epoch"] > 0  # of one epoch


def test_the_same_seed_gives_bit_identical_weights_and_32_batches_a_call_the_weights_of_1(monkeypatch):
    many_a_call = fitted(1)  # before the name is patched
    monkeypatch.setattr(training, "STEPS_PER_EXECUTION", 1)
    one_by_one = training.train_from_scratch(train_rows(), rows(100, seed=2), len(CLASSES), BRIEF, 1)
    assert same_weights(one_by_one.model.get_weights(), many_a_call.model.get_weights())


def test_steps_per_execution_was_more_than_1_in_that_comparison(monkeypatch):
    seen = []
    monkeypatch.setattr(keras.Model, "compile", lambda self, **options: seen.append(options) or stop())
    with pytest.raises(InterruptedError):
        training.train_from_scratch(train_rows(), rows(100, seed=2), len(CLASSES), BRIEF, 1)
    assert seen[0]["steps_per_execution"] == 600 // 128
    assert seen[0]["loss"] == "sparse_categorical_crossentropy"


def stop():
    raise InterruptedError


def test_another_seed_gives_other_weights():
    assert not same_weights(fitted(1).model.get_weights(), fitted(2).model.get_weights())


def test_preprocessing_is_fitted_on_the_training_rows_alone():
    standardise = fitted().model.get_layer("preprocessing").get_layer("standardise")
    logs = np.log1p(train_rows()[0].astype(np.float64))
    np.testing.assert_allclose(np.ravel(standardise.mean), logs.mean(axis=0), rtol=1e-5)
    np.testing.assert_allclose(np.ravel(standardise.variance)[:8], logs.var(axis=0)[:8], rtol=1e-4)
    assert np.ravel(standardise.variance)[8] == 1  # the constant one


def test_validation_rows_shape_no_weight():
    features, codes = rows(100, seed=2)
    other = training.train_from_scratch(train_rows(), (features * 1000 + 7, codes[::-1]), len(CLASSES), BRIEF, 1)
    assert same_weights(other.model.get_weights(), fitted(1).model.get_weights())
    flows = rows(50, seed=4)[0]
    np.testing.assert_array_equal(predict(other.model, flows), predict(fitted(1).model, flows))


def test_the_network_learns_to_tell_four_kinds_of_traffic_apart():
    recipe = Recipe(epochs=15, batch_size=16, learning_rate=0.1)  # ten times the paper's, on any processor
    learned = training.train_from_scratch(rows(640, seed=1), rows(200, seed=2), 4, recipe, seed=1)
    fresh, truth = rows(400, seed=9)
    assert (predict(learned.model, fresh).argmax(axis=1) == truth).mean() > 0.9


@pytest.mark.parametrize("empty", ["train", "validation"])
def test_no_rows_to_train_or_validate_on_is_one_sentence(empty):
    sets = {"train": random_rows(20), "validation": random_rows(20)} | {empty: random_rows(0)}
    found = " and ".join(str(len(codes)) for _, codes in sets.values())
    with pytest.raises(InputError, match=f"expected rows to train .*, found {found}"):
        training.fit(softmax_regression(), sets["train"], sets["validation"], BRIEF)
