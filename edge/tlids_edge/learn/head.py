"""The head (Section 4.1: dense 256, dense 512, softmax) in numpy: forward, and trained as Keras trains it."""

from dataclasses import dataclass

import numpy as np

from tlids_edge.learn.graph import Layer

CHUNK = 1024  # rows of a forward pass at a time, to save memory


@dataclass(frozen=True)
class Training:
    """Mini-batch Adagrad on cross-entropy, with Keras's accumulator and epsilon and the paper's decay (4.2.2)."""

    epochs: int = 20
    batch_size: int = 128
    rate: float = 0.01
    decay: float = 1e-6  # the rate is divided by 1 + decay * step
    accumulator: float = 0.1
    epsilon: float = 1e-7


def probabilities(features: np.ndarray, layers: list[Layer]) -> np.ndarray:
    """Class probabilities (n, C) float32 of what the blocks gave, (n, features)."""
    made = np.empty((len(features), len(layers[-1][1])), np.float32)
    for start in range(0, len(features), CHUNK):
        values = features[start : start + CHUNK]
        for weights, bias in layers[:-1]:
            values = np.maximum(values @ weights + bias, 0)
        made[start : start + CHUNK] = _softmax(values @ layers[-1][0] + layers[-1][1])
    return made


def batches(rows: int, seed: int, training: Training) -> list[np.ndarray]:
    """The row numbers of every batch of every epoch, in order; each epoch is shuffled on its own."""
    rng = np.random.default_rng(seed)
    made = []
    for _ in range(training.epochs):
        order = rng.permutation(rows)
        made += [order[start : start + training.batch_size] for start in range(0, rows, training.batch_size)]
    return made


@dataclass(frozen=True)
class Lesson:
    """What a head is trained on; a row of weight 2 counts as two of its batch."""

    features: np.ndarray  # (n, width) float32, what the blocks gave
    targets: np.ndarray  # (n, C) float32, class probabilities
    weights: np.ndarray  # (n,) float32

    def __add__(self, other: "Lesson") -> "Lesson":
        """The rows of this one, then those of the other."""
        return Lesson(
            np.concatenate([self.features, other.features]), np.concatenate([self.targets, other.targets]),
            np.concatenate([self.weights, other.weights]),
        )  # fmt: skip


def train(lesson: Lesson, layers: list[Layer], order: list[np.ndarray], training: Training) -> list[Layer]:
    """Train copies of `layers` batch by batch in `order`, in the precision that lesson and layers have."""
    weights = [value.copy() for layer in layers for value in layer]
    exact = weights[0].dtype.type
    squares = [np.full_like(value, training.accumulator) for value in weights]
    for step, rows in enumerate(order):
        rate = exact(training.rate / (1 + training.decay * step))
        gradients = _gradients(lesson, rows, weights)
        for value, square, gradient in zip(weights, squares, gradients, strict=True):
            square += gradient * gradient
            gradient *= rate
            gradient /= np.sqrt(square + exact(training.epsilon))
            value -= gradient
    return list(zip(weights[::2], weights[1::2], strict=True))


def distance(layers: list[Layer], parent: list[Layer]) -> float:
    """How far the layers have moved, as a share of the parent's length: ||new - old|| / ||old|| over all weights."""
    moved = sum(float(np.sum((new - old).astype(np.float64) ** 2)) for new, old in _pairs(layers, parent))
    length = sum(float(np.sum(old.astype(np.float64) ** 2)) for _, old in _pairs(layers, parent))
    return float(np.sqrt(moved / length)) if length else float("inf")


def _pairs(layers: list[Layer], parent: list[Layer]) -> list[tuple[np.ndarray, np.ndarray]]:
    """Each array beside the parent's."""
    return [pair for new, old in zip(layers, parent, strict=True) for pair in zip(new, old, strict=True)]


def _softmax(logits: np.ndarray) -> np.ndarray:
    """Row by row, without overflow."""
    powers = np.exp(logits - logits.max(axis=1, keepdims=True))
    return powers / powers.sum(axis=1, keepdims=True)


def _gradients(lesson: Lesson, rows: np.ndarray, weights: list[np.ndarray]) -> list[np.ndarray]:
    """The gradient of the cross-entropy of some rows, their mean, by each weight, in the order of `weights`."""
    values = [lesson.features[rows]]
    for weight, bias in zip(weights[:-2:2], weights[1:-2:2], strict=True):
        values.append(np.maximum(values[-1] @ weight + bias, 0))
    error = _softmax(values[-1] @ weights[-2] + weights[-1]) - lesson.targets[rows]
    error *= (lesson.weights[rows] / len(rows))[:, None]
    gradients = []
    for layer in range(len(values) - 1, -1, -1):
        gradients = [values[layer].T @ error, error.sum(axis=0), *gradients]
        if layer:
            error = (error @ weights[2 * layer].T) * (values[layer] > 0)
    return gradients
