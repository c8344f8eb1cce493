"""Rows in batches for TensorFlow. Keras's own batches of arrays have two faults that this module is there to avoid.

After `keras.utils.set_random_seed` they come in the same order in every epoch (under TensorFlow; under JAX they do
not). And tf.data tunes itself beside the training, with nothing to tune: on a busy core the end of an epoch waits up to
0.3 s for that thread's sleep.
"""

import numpy as np


def batched(features: np.ndarray, codes: np.ndarray, size: int, shuffle: bool):
    """A tf.data.Dataset of (features, class codes), `size` rows at a time, the last fewer.

    `features` is (n, ...), `codes` (n,). Shuffled, each epoch has an order of its own, which `set_seed` repeats.
    """
    import tensorflow as tf  # not above: JAX trains without it

    rows = len(codes)
    features, codes = tf.constant(features), tf.constant(codes)

    def order(seed):
        indices = tf.range(rows, dtype=tf.int64)
        return tf.random.experimental.stateless_shuffle(indices, seed) if shuffle else indices

    def epoch(indices):
        return tf.data.Dataset.range(0, rows, size).map(lambda first: indices[first : first + size])

    def chosen(indices):
        return tf.gather(features, indices), tf.gather(codes, indices)

    options = tf.data.Options()
    options.autotune.enabled = False
    seeds = tf.data.Dataset.random(rerandomize_each_iteration=True).batch(2).take(1)
    batches = seeds.map(order).flat_map(epoch).map(chosen).prefetch(1)
    return batches.apply(tf.data.experimental.assert_cardinality(-(-rows // size))).with_options(options)
