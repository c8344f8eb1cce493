"""The same network with weights that survive int8: batch normalisation folded away, channels brought to one scale.

int8 has one scale for all channels of a layer, so a channel whose values are a hundredth of its neighbour's keeps two
or three steps of 256. Where a ReLU lies between two layers a channel can be divided by any positive number in the
first and multiplied by it in the second, and nothing changes but the rounding (Nagel et al. 2019, "Data-free
quantization through weight equalization and bias correction"). Here that number is the channel's largest value.
"""

import numpy as np

from tlids_helpers.network.backend import keras
from tlids_helpers.network.model import full_model

PARTS = ("preprocessing", "backbone", "head")


def equalised(model: keras.Model, rows: np.ndarray) -> keras.Model:
    """`model` (preprocessing, backbone, head) rewritten; equal to it up to rounding, without its normalisations.

    `rows` (m, 9) are raw feature values, training rows, that give each channel's largest value.
    """
    first, blocks, last = (model.get_layer(name) for name in PARTS)
    fresh = [_without_normalisation(part) for part in (blocks, last)]
    largest = _largest_outputs(model, rows)
    # what the next layer makes good: true input = scale * input + shift
    scale, shift = np.ones(1), np.zeros(1)
    for layer in [*blocks.layers, *last.layers]:
        if isinstance(layer, keras.layers.BatchNormalization):
            slope, offset = _as_line(layer)
            scale, shift = scale * slope, shift * slope + offset
        elif layer.get_weights():
            kernel, bias = layer.get_weights()  # kernel: (width, inputs, outputs) or (inputs, outputs)
            # exact, because only layers of width 1 follow a normalisation: no padding that would escape the shift
            bias = bias + shift @ kernel.reshape(-1, *kernel.shape[-2:]).sum(axis=0)
            kernel = kernel * scale[:, None]
            scale = largest.get(layer.name, np.ones(len(bias)))
            shift = np.zeros(len(bias))
            _named(fresh, layer.name).set_weights([kernel / scale, bias / scale])
    return full_model(first, *fresh)


def _as_line(layer: keras.layers.BatchNormalization) -> tuple[np.ndarray, np.ndarray]:
    """A trained normalisation as slope * x + offset, one of each a channel."""
    gamma, beta, mean, variance = layer.get_weights()
    slope = gamma / np.sqrt(variance + layer.epsilon)
    return slope, beta - mean * slope


def _largest_outputs(model: keras.Model, rows: np.ndarray) -> dict[str, np.ndarray]:
    """Layer -> the largest output of each of its channels, for layers with weights that end in a ReLU."""
    first, blocks, last = (model.get_layer(name) for name in PARTS)
    largest, values = {}, first.predict(rows, batch_size=4096, verbose=0)
    for part in (blocks, last):
        layers = [layer for layer in part.layers if getattr(layer, "activation", None) is keras.activations.relu]
        seen = keras.Model(part.inputs, [*(layer.output for layer in layers), part.outputs[0]])
        *outputs, values = seen.predict(values, batch_size=4096, verbose=0)
        for layer, output in zip(layers, outputs, strict=True):
            peak = output.reshape(-1, output.shape[-1]).max(axis=0)
            largest[layer.name] = np.where(peak > 0, peak, 1.0)  # a channel that is never on keeps its scale
    return largest


def _without_normalisation(part: keras.Model) -> keras.Model:
    """A copy of a part's layers, without batch normalisation and dropout."""
    left_out = (keras.layers.BatchNormalization, keras.layers.Dropout)
    layers = [type(layer).from_config(layer.get_config()) for layer in part.layers if not isinstance(layer, left_out)]
    return keras.Sequential([keras.Input(part.input_shape[1:]), *layers], name=part.name)


def _named(parts: list[keras.Model], name: str):
    return next(layer for part in parts for layer in part.layers if layer.name == name)
