"""The piecewise-linear encoding of a feature (Gorishniy et al., NeurIPS 2022), for the recipe `encoded`.

A convolution sees a port as one number and cannot tell 80 from 81; a tree can. Here each feature is also shown as a
row of ramps between quantiles of the training rows: a ramp is 0 below its bin, 1 above it, and climbs in between. A
value that fills a bin by itself (port 443, one L7 id) gets a ramp up to it and one away from it, one step wide, so
that the network can single it out. No embedding table: nothing to look up, unseen values lie between their neighbours.
"""

import numpy as np

from tlids_helpers.network.backend import keras

STEP = 1.0  # ports, ids, flags, bytes and packets are whole numbers
NEVER = 1e15  # where an unused ramp starts: beyond any value, and its square is still a float32


def ramps(features: np.ndarray, bins: int) -> np.ndarray:
    """The starts and ends (2, F, R) of each feature's ramps, fitted on `features` (m, F): the training split alone.

    At most 2 * bins ramps each; features with fewer have the rest at `NEVER`.
    """
    columns = np.maximum(features, 0).astype(np.float64).T
    found = [_of_one(column, bins) for column in columns]
    widest = max(1, *map(len, found))
    unused = (NEVER, NEVER + STEP)
    return np.array([[*pairs, *[unused] * (widest - len(pairs))] for pairs in found]).transpose(2, 0, 1)


def beside(values, raw, fitted: np.ndarray):
    """Layers that put the ramps of `raw` (n, F) behind `values` (n, F): (n, F * (1 + R)), feature by feature."""
    layers = keras.layers
    starts, ends = fitted
    n_features, n_ramps = starts.shape
    repeated = keras.ops.repeat(raw, n_ramps, axis=1)
    # (x - start) / (end - start), in the layer that does just this
    line = layers.Normalization(mean=starts.ravel(), variance=((ends - starts) ** 2).ravel(), name="ramps")(repeated)
    climbed = layers.Reshape((n_features, n_ramps), name="ramps_of_feature")(layers.ReLU(1.0, name="ramp")(line))
    first = layers.Reshape((n_features, 1), name="one_of_feature")(values)
    both = layers.Concatenate(axis=2, name="encoded")([first, climbed])
    return layers.Reshape((n_features * (1 + n_ramps),), name="flat_encoding")(both)


def _of_one(column: np.ndarray, bins: int) -> list[tuple[float, float]]:
    """Start and end of each ramp of one feature, in order."""
    quantiles = np.quantile(column, np.linspace(0, 1, bins + 1), method="nearest")
    values, times = np.unique(quantiles, return_counts=True)
    own = dict(zip(values, times > 1, strict=True))  # values that fill a bin
    pairs = []
    for low, high in zip(values[:-1], values[1:], strict=True):
        start = min(low + STEP, high) if own[low] else low
        end = max(high - STEP, start) if own[high] else high
        edges = [low, start, end, high]
        pairs += [(a, b) for a, b in zip(edges[:-1], edges[1:], strict=True) if b > a]
    return pairs
