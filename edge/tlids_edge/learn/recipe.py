"""The recipe of D11 on arrays: the home's rows and the stored rows in, a new head, its promise and its checks out."""

from dataclasses import dataclass, field

import numpy as np

from tlids_edge.learn import head as heads
from tlids_edge.learn.blocks import block_features
from tlids_edge.learn.graph import Head, Layer, find_head, read_layers
from tlids_edge.learn.promise import upper_bound

THRESHOLD = 0.5  # alert when 1 - P(benign) is at least this
LAST = 5  # the promise is counted on the last row in five
RECALL_LOST = 0.01  # of the stored attack rows
MAX_DISTANCE = 0.5  # of the head from its parent, as a share of the parent's length


@dataclass(frozen=True)
class Parent:
    """The model that is adapted."""

    content: bytes = field(repr=False)  # of model.tflite
    benign: int  # its class code
    threshold: float


@dataclass(frozen=True)
class Promise:
    """Benign flows of the last fifth that alarmed when the rest was learned, and what the parent made of them."""

    alarms: int
    flows: int
    bound: float  # 95 % upper bound of the rate
    parent_alarms: int


@dataclass(frozen=True)
class Adapted:
    """A new head and what is known of it."""

    head: Head = field(repr=False)
    layers: list[Layer] = field(repr=False)
    promise: Promise
    recall: float  # on the stored attack rows, at THRESHOLD
    parent_recall: float  # at the parent's threshold
    distance: float


def adapt(
    parent: Parent, site: np.ndarray, stored: tuple[np.ndarray, np.ndarray], seed: int,
    training: heads.Training = heads.Training(),  # noqa: B008 - frozen
) -> Adapted:  # fmt: skip
    """Retrain the head: `site` (n, 9) raw rows of the home in order of time, taken as benign; `stored` with codes.

    Raises:
        InputError: the model is not one that can be adapted.
    """
    head = find_head(parent.content)
    old = read_layers(parent.content, head)
    home = block_features(parent.content, head, site)
    kept, codes = block_features(parent.content, head, stored[0]), stored[1]
    last = max(1, len(site) // LAST)
    first_part = _fitted(home[:-last], kept, codes, (old, parent.benign, seed, training))
    promise = _promise(home[-last:], first_part, old, parent)
    layers = _fitted(home, kept, codes, (old, parent.benign, seed, training))
    attacks = kept[codes != parent.benign]
    return Adapted(
        head, layers, promise, _alarm_rate(attacks, layers, parent.benign, THRESHOLD),
        _alarm_rate(attacks, old, parent.benign, parent.threshold), heads.distance(layers, old),
    )  # fmt: skip


def refusal(made: Adapted) -> str:
    """Why a new head must not be used, as "expected ..., found ..."; "" when it may."""
    if not all(np.isfinite(value).all() for layer in made.layers for value in layer):
        return "expected finite weights, found others"
    if made.recall < made.parent_recall - RECALL_LOST:
        return (f"expected at least {made.parent_recall - RECALL_LOST:.1%} of the stored attack rows to alarm, "
                f"found {made.recall:.1%}")  # fmt: skip
    if not made.distance <= MAX_DISTANCE:
        return f"expected a head within {MAX_DISTANCE:.0%} of its parent, found it {made.distance:.0%} away"
    if made.promise.alarms > made.promise.parent_alarms:
        return (f"expected at most the parent's {made.promise.parent_alarms} alarms on the last {made.promise.flows} "
                f"flows, found {made.promise.alarms}")  # fmt: skip
    return ""


def training_rows(home: np.ndarray, kept: np.ndarray, codes: np.ndarray, benign: int) -> tuple[np.ndarray, np.ndarray]:
    """What is trained on, in this order: the home's rows as benign, then the stored ones with their codes."""
    return np.concatenate([home, kept]), np.concatenate([np.full(len(home), benign, codes.dtype), codes])


def _fitted(home: np.ndarray, kept: np.ndarray, codes: np.ndarray, how: tuple) -> list[Layer]:
    """The parent's head, trained on."""
    old, benign, seed, training = how
    features, truth = training_rows(home, kept, codes, benign)
    return heads.train(features, truth, old, heads.batches(len(truth), seed, training), training)


def _promise(last: np.ndarray, layers: list[Layer], old: list[Layer], parent: Parent) -> Promise:
    """Count the alarms among the last rows, before and after."""
    alarms = _alarms(last, layers, parent.benign, THRESHOLD)
    return Promise(
        alarms, len(last), upper_bound(alarms, len(last)), _alarms(last, old, parent.benign, parent.threshold)
    )


def _alarms(features: np.ndarray, layers: list[Layer], benign: int, threshold: float) -> int:
    """How many rows alarm."""
    scores = 1.0 - heads.probabilities(features, layers)[:, benign].astype(np.float64)
    return int(np.count_nonzero(~(scores < threshold)))  # no number counts as an alarm


def _alarm_rate(features: np.ndarray, layers: list[Layer], benign: int, threshold: float) -> float:
    """The share of rows that alarm."""
    return _alarms(features, layers, benign, threshold) / max(1, len(features))
