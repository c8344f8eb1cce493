"""Batches for TensorFlow: every row once an epoch, in an order of its own, and Keras's weights from the same order."""

import numpy as np
import pytest
import tensorflow

from tlids_helpers.network import batching
from tlids_helpers.network.backend import keras, set_seed

ROWS = 1000


def numbered(n: int = ROWS) -> tuple[np.ndarray, np.ndarray]:
    """Rows that say which they are, in their features and in their code."""
    codes = np.arange(n, dtype=np.int32)
    return np.stack([codes, -codes], axis=1).astype(np.float32), codes


@pytest.mark.parametrize("shuffle", [True, False])
def test_an_epoch_gives_each_row_once_with_its_own_code(shuffle):
    set_seed(1)
    given = list(batching.batched(*numbered(), 128, shuffle).as_numpy_iterator())
    assert [len(codes) for _, codes in given] == [128] * 7 + [104]
    features, codes = (np.concatenate(parts) for parts in zip(*given, strict=True))
    assert sorted(codes) == list(range(ROWS))
    assert (features[:, 0] == codes).all() and (features[:, 1] == -codes).all()
    assert (codes == np.arange(ROWS)).all() is np.bool_(not shuffle)


def test_each_epoch_has_an_order_of_its_own_and_a_seed_repeats_them():
    def orders() -> list[list[int]]:
        set_seed(5)
        dataset = batching.batched(*numbered(), 100, shuffle=True)
        return [[int(code) for _, codes in dataset.as_numpy_iterator() for code in codes] for _ in range(2)]

    first, second = orders()
    assert sorted(first) == sorted(second) == list(range(ROWS))
    assert first != second
    assert orders() == [first, second]


def test_keras_s_own_batches_repeat_one_order_which_is_why_there_are_ours():
    set_seed(5)
    seen: list[int] = []

    class Seen(keras.layers.Layer):
        def call(self, inputs):
            tensorflow.py_function(lambda rows: seen.append(int(rows[0, 0])), [inputs], [])
            return inputs

    network = keras.Sequential([keras.Input((2,)), Seen(), keras.layers.Dense(1)])
    network.compile(loss="mse")
    network.fit(*numbered(), epochs=3, batch_size=ROWS, verbose=0)
    assert len(seen) == 3 and len(set(seen)) == 1


@pytest.mark.parametrize("rows", [1000, 1024, 50])
def test_unshuffled_batches_leave_the_weights_that_keras_leaves_when_given_the_arrays(rows):
    rng = np.random.default_rng(rows)
    train, validation = ((rng.normal(size=(n, 5)).astype(np.float32), rng.integers(0, 3, n)) for n in (rows, 200))

    def fitted(**given) -> tuple[list[np.ndarray], list[float]]:
        set_seed(9)
        layers = [keras.Input((5,)), keras.layers.Dense(8, "relu"), keras.layers.Dropout(0.5)]
        network = keras.Sequential([*layers, keras.layers.Dense(3, activation="softmax")])
        network.compile(optimizer="adagrad", loss="sparse_categorical_crossentropy")
        history = network.fit(**given, epochs=5, verbose=0, shuffle=False)
        return network.get_weights(), history.history["val_loss"]

    ours, our_losses = fitted(
        x=batching.batched(*train, 128, shuffle=False), validation_data=batching.batched(*validation, 64, shuffle=False)
    )
    theirs, their_losses = fitted(
        x=train[0], y=train[1], batch_size=128, validation_data=validation, validation_batch_size=64
    )
    assert our_losses == their_losses
    for mine, expected in zip(ours, theirs, strict=True):
        np.testing.assert_array_equal(mine, expected)
