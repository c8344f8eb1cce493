"""The network of Section 4.1 as pure functions of its weights, in JAX alone: what runs whole epochs on an accelerator.

`Weights` are dictionaries of arrays by layer, under the names that `model.py` gives the layers. `of_keras` and
`into_keras` carry them over in both directions, so what is trained here is saved, loaded and exported as ever.
A convolution is one matrix product over its window: under `vmap` that stays one (batched) product, where XLA would turn
a convolution into a grouped one, which is many times slower on a GPU.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from tlids_helpers.network.shape import DENSE, FILTERS, KERNELS, N_FEATURES, POOL

EPSILON = 1e-3  # of batch normalisation: Keras's default
LEAST = 1e-7  # a probability below this counts as this in the loss: Keras's epsilon

BLOCKS = tuple((f"conv{k}a", f"conv{k}b", f"norm{k}") for k in (1, 2, 3))
"""The layers with weights of each convolution block, from the bottom up."""
HEAD = ("dense1", "dense2", "output")
NORMS = tuple(block[-1] for block in BLOCKS)
LAYERS = (*(name for block in BLOCKS for name in block), *HEAD)
POOLED = tuple((N_FEATURES // POOL**k, filters) for k, filters in enumerate(FILTERS, start=1))
"""What each block gives of a flow: (positions, filters)."""


class Weights(NamedTuple):
    """A network: {layer: {"kernel", "bias"}}, {norm: {"gamma", "beta"}}; moving averages {norm: {"mean", "variance"}}.

    Without blocks, the head alone: what it takes is the flattened output (n, 128) of frozen blocks.
    """

    params: dict[str, dict[str, np.ndarray]]
    state: dict[str, dict[str, np.ndarray]]


class Training(NamedTuple):
    """How the network is run while it learns."""

    layers: tuple[str, ...]  # those that learn; a block none of whose layers learn is run as in prediction
    dropout: float
    momentum: float  # of the moving averages


def fresh(n_classes: int, seed: int, used: int | None = None) -> Weights:
    """A network nothing has been taught, initialised as `model.py` does: uniform kernels, Glorot's in the head.

    Where only `used` of the classes can occur, the last layer is drawn as one of so many outputs.
    """
    rng = np.random.default_rng(seed)
    params, state, width = {}, {}, 1
    for names, filters, kernel in zip(BLOCKS, FILTERS, KERNELS, strict=True):
        for name in names[:2]:
            params[name] = _layer(rng.uniform(-0.05, 0.05, (kernel, width, filters)))
            width = filters
        params[names[2]] = {"gamma": np.ones(width, np.float32), "beta": np.zeros(width, np.float32)}
        state[names[2]] = {"mean": np.zeros(width, np.float32), "variance": np.ones(width, np.float32)}
    for name, units in zip(HEAD, (*DENSE, n_classes), strict=True):
        limit = np.sqrt(6 / (width + ((used or units) if name == HEAD[-1] else units)))
        params[name] = _layer(rng.uniform(-limit, limit, (width, units)))
        width = units
    return Weights(params, state)


def layers(model) -> list:
    """The layers of a Keras model that have weights of ours, also within its parts."""
    found = []
    for layer in model.layers:
        if hasattr(layer, "layers"):
            found += layers(layer)
        elif layer.name in LAYERS:
            found.append(layer)
    return found


def of_keras(learner) -> Weights:
    """The weights of a Keras model: backbone and head, or the head alone."""
    params, state = {}, {}
    for layer in layers(learner):
        values = [np.asarray(value, dtype=np.float32) for value in layer.get_weights()]
        if layer.name in NORMS:
            params[layer.name] = dict(zip(("gamma", "beta"), values[:2], strict=True))
            state[layer.name] = dict(zip(("mean", "variance"), values[2:], strict=True))
        else:
            params[layer.name] = dict(zip(("kernel", "bias"), values, strict=True))
    return Weights(params, state)


def into_keras(learner, weights: Weights) -> None:
    """Set the weights of a Keras model of the same layers."""
    for layer in layers(learner):
        values = {**weights.params[layer.name], **weights.state.get(layer.name, {})}
        names = ("gamma", "beta", "mean", "variance") if layer.name in NORMS else ("kernel", "bias")
        layer.set_weights([np.asarray(values[name]) for name in names])


def probabilities(weights: Weights, inputs: jax.Array) -> jax.Array:
    """Class probabilities (n, C) of standardised inputs (n, 9), or (n, 128) for a head alone, as in prediction."""
    return run(weights, inputs, Training((), 0.0, 1.0), None)[0]


def run(weights: Weights, inputs: jax.Array, how: Training, kept: tuple | None) -> tuple[jax.Array, dict]:
    """Class probabilities (n, C), and the moving averages after this batch; `kept` is what `masks` draws."""
    found, averages = logits(weights, inputs, how, kept)
    return jax.nn.softmax(found), averages


def masks(key: jax.Array, rows: int, dropout: float) -> tuple[jax.Array, ...]:
    """Which values dropout keeps behind each block: booleans (rows, positions, filters)."""
    # sixteen random bits are enough for a share, and cost half of what a float32 does
    least = round(dropout * 65536)
    keys = (jax.random.fold_in(key, number) for number in range(len(BLOCKS)))
    return tuple(jax.random.bits(key, (rows, *shape), jnp.uint16) >= least
                 for key, shape in zip(keys, POOLED, strict=True))  # fmt: skip


def logits(weights: Weights, inputs: jax.Array, how: Training, kept: tuple | None) -> tuple[jax.Array, dict]:
    """What the softmax takes (n, C), and the moving averages after this batch."""
    params, state = weights
    flat, averages = inputs, dict(state)
    if "conv1a" in params:
        values = inputs[..., None]
        for number, names in enumerate(BLOCKS):
            values, averages[names[2]] = _block(weights, names, values, how)
            if how.dropout and set(names) & set(how.layers):
                values = jnp.where(kept[number], values / (1.0 - how.dropout), 0.0)
        flat = values.reshape(len(values), -1)
    for name in HEAD[:2]:
        flat = jax.nn.relu(flat @ params[name]["kernel"] + params[name]["bias"])
    return flat @ params["output"]["kernel"] + params["output"]["bias"], averages


def cross_entropies(found: jax.Array, codes: jax.Array) -> jax.Array:
    """The loss of each row (n,), from probabilities (n, C), as Keras has it."""
    logs = jnp.log(jnp.clip(found, LEAST, 1.0 - LEAST))
    right = jax.nn.one_hot(codes, found.shape[-1], dtype=found.dtype)  # a gather's gradient is a slow scatter
    return -jnp.sum(right * logs, axis=-1)


def _block(weights: Weights, names: tuple[str, ...], values: jax.Array, how: Training) -> tuple[jax.Array, dict]:
    """Two convolutions, batch normalisation and pooling: (n, positions, c) -> (n, positions // 2, filters)."""
    params, state = weights
    for name in names[:2]:
        values = jax.nn.relu(_convolved(values, params[name]["kernel"]) + params[name]["bias"])
    norm, averages = params[names[2]], state[names[2]]
    mean, variance = averages["mean"], averages["variance"]
    if names[2] in how.layers:
        mean, variance = values.mean((0, 1)), values.var((0, 1))
        keep, seen = how.momentum, {"mean": mean, "variance": variance}
        averages = {each: averages[each] * keep + seen[each] * (1.0 - keep) for each in averages}
    scale = jax.lax.rsqrt(variance + EPSILON) * norm["gamma"]
    values = values * scale + (norm["beta"] - mean * scale)
    half = values.shape[1] // POOL
    return values[:, : half * POOL].reshape(len(values), half, POOL, -1).mean(2), averages


def _convolved(values: jax.Array, kernel: jax.Array) -> jax.Array:
    """Convolution over positions, padded on the right as "same" is for windows of one or two."""
    if len(kernel) == 2:
        shifted = jnp.pad(values[:, 1:], ((0, 0), (0, 1), (0, 0)))
        values = jnp.concatenate((values, shifted), axis=-1)
    return values @ kernel.reshape(-1, kernel.shape[-1])


def _layer(kernel: np.ndarray) -> dict[str, np.ndarray]:
    return {"kernel": kernel.astype(np.float32), "bias": np.zeros(kernel.shape[-1], np.float32)}
