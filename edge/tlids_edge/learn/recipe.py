"""The recipe on arrays: the home's rows and the stored rows in, a new head, its promise and its checks out.

The head learns that the home's rows are benign, that stored rows are what they are, and rehearses made-up ones (see
`rehearsal`); the home's rows together weigh at least half as much as these (or 5 each). A row of the home that the
parent alarms on and that is like a stored attack is not learned, however slowly such rows come. Learned rows on which
even the new head alarms become its known false alarms (see `false_alarms`), so that the promise counts what is told.
"""

from dataclasses import dataclass, field

import numpy as np

from tlids_edge.learn import head as heads
from tlids_edge.learn import rehearsal
from tlids_edge.learn.blocks import block_features
from tlids_edge.learn.false_alarms import NONE, Withdrawal, collect
from tlids_edge.learn.graph import Head, Layer, find_head, read_layers
from tlids_edge.learn.promise import upper_bound

THRESHOLD = 0.5  # alert when 1 - P(benign) is at least this
LAST = 5  # the promise is counted on the last row in five
RECALL_LOST = 0.01  # of the stored attack rows
MAX_DISTANCE = 0.5  # of the head from its parent, as a share of the parent's length
MAX_WEIGHT = 5.0  # of a stored row; a class with few of them counts as much as the largest, up to this
MAX_HOME_WEIGHT = 5.0  # of a row of the home
HOME_SHARE = 0.5  # the home's rows weigh at least this share of the made-up ones, but a row at most MAX_HOME_WEIGHT

Stored = tuple[np.ndarray, np.ndarray]  # raw rows (n, 9) and class codes (n,)


@dataclass(frozen=True)
class Parent:
    """The model that is adapted."""

    content: bytes = field(repr=False)  # of model.tflite
    benign: int  # its class code
    threshold: float
    family: str = "netflow"  # of its features; others have no distance: nothing is rehearsed, left out or withdrawn
    false_alarms: np.ndarray = field(default_factory=lambda: NONE, repr=False)  # that it knows


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
    known_attacks: int  # rows of the home that were not learned
    false_alarms: np.ndarray = field(default_factory=lambda: NONE, repr=False)  # that it knows


def adapt(
    parent: Parent, site: np.ndarray, stored: Stored, seed: int,
    training: heads.Training = heads.Training(),  # noqa: B008 - frozen
    times_us: np.ndarray | None = None,
) -> Adapted:  # fmt: skip
    """Retrain the head: `site` (n, 9) raw rows of the home in order of time, taken as benign; `stored` with codes.

    `times_us` (n,) are those of the home's rows, None for all at once: the promise is of alarms that are not withdrawn,
    and no more than some are in a time.

    Raises:
        InputError: the model is not one that can be adapted.
    """
    head = find_head(parent.content)
    old = read_layers(parent.content, head)
    home, kept = (block_features(parent.content, head, rows) for rows in (site, stored[0]))
    alarming = _alarming(home, old, parent.benign, parent.threshold)
    learned = ~(alarming & like_attacks(parent, site, stored))
    times_us, last = np.zeros(len(site), int) if times_us is None else times_us, max(1, len(site) // LAST)

    def fitted(count: int) -> tuple[list[Layer], np.ndarray]:
        """The parent's head, trained on the first `count` rows of the home, and those of them that it alarms on."""
        use = np.flatnonzero(learned[:count])
        made = rehearsed(parent, site[use], stored[0], seed)
        whole = lesson(parent, home[use], kept, stored[1], home_weight(len(use), len(made.targets))) + made
        layers = heads.train(whole, old, heads.batches(len(whole.targets), seed, training), training)
        return layers, _known(parent, site[use[_alarming(home[use], layers, parent.benign, THRESHOLD)]], stored)

    layers, known = fitted(len(site) - last)
    late = _alarming(home[-last:], layers, parent.benign, THRESHOLD)
    alarms, before = (_told(each, names, site[-last:], times_us[-last:]) for each, names in
                      ((late, known), (alarming[-last:], parent.false_alarms)))  # fmt: skip
    layers, known = fitted(len(site))
    attacks = kept[stored[1] != parent.benign]
    return Adapted(
        head, layers, Promise(alarms, last, upper_bound(alarms, last), before),
        float(_alarming(attacks, layers, parent.benign, THRESHOLD).mean()),
        float(_alarming(attacks, old, parent.benign, parent.threshold).mean()),
        heads.distance(layers, old), int((~learned).sum()), known,
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


def like_attacks(
    parent: Parent, site: np.ndarray, stored: Stored, radius: float = rehearsal.ALIKE
) -> np.ndarray:  # fmt: skip
    """Which rows of the home (n, 9) are like a stored attack, (n,) bool; none where there is no distance."""
    if parent.family != "netflow":
        return np.zeros(len(site), bool)
    return rehearsal.alike(site, stored[0], stored[1] != parent.benign, radius)


def _known(parent: Parent, alarming: np.ndarray, stored: Stored) -> np.ndarray:
    """The false alarms that a head knows which alarms on learned rows (n, 9); none where there is no distance."""
    if parent.family != "netflow":
        return NONE
    return collect(alarming, stored[0][stored[1] != parent.benign])


def _told(alarms: np.ndarray, known: np.ndarray, rows: np.ndarray, times_us: np.ndarray) -> int:
    """How many alarms (n,) on raw rows (n, 9) are not withdrawn, where the false alarms `known` are known."""
    return int((alarms & ~Withdrawal(known).of(rows, alarms, times_us)).sum())


def home_weight(count: int, made_up: int) -> float:
    """The weight of each of `count` rows of the home, beside so many made-up ones."""
    return float(np.clip(HOME_SHARE * made_up / max(count, 1), 1.0, MAX_HOME_WEIGHT))


def lesson(
    parent: Parent, home: np.ndarray, kept: np.ndarray, codes: np.ndarray, weight: float = 1.0
) -> heads.Lesson:  # fmt: skip
    """What the blocks gave of the home's rows (n, width), as benign, then of stored ones (m, width) with codes (m,).

    `weight` is that of a row of the home. Every stored attack counts as much as the one with the most rows, by the
    weight of its rows.
    """
    classes = len(read_layers(parent.content, find_head(parent.content))[-1][1])
    counts = np.bincount(codes, minlength=classes)
    most = counts[np.arange(classes) != parent.benign].max()
    weights = np.minimum(most / np.maximum(counts, 1), MAX_WEIGHT)
    weights[parent.benign] = 1
    return heads.Lesson(
        np.concatenate([home, kept]),
        np.eye(classes, dtype=np.float32)[np.concatenate([np.full(len(home), parent.benign), codes])],
        np.concatenate([np.full(len(home), weight), weights[codes]]).astype(np.float32),
    )


def rehearsed(
    parent: Parent, site: np.ndarray, stored: np.ndarray, seed: int, most: int = rehearsal.ROWS
) -> heads.Lesson:  # fmt: skip
    """Made-up rows through the blocks, with the parent's probabilities as targets; none without a distance."""
    head = find_head(parent.content)
    rows = rehearsal.made_up(stored, site, seed, most) if parent.family == "netflow" else stored[:0]
    features = block_features(parent.content, head, rows)
    targets = heads.probabilities(features, read_layers(parent.content, head))
    return heads.Lesson(features, targets, np.ones(len(rows), np.float32))


def _alarming(features: np.ndarray, layers: list[Layer], benign: int, threshold: float) -> np.ndarray:
    """Which rows alarm, (n,)."""
    scores = 1.0 - heads.probabilities(features, layers)[:, benign].astype(np.float64)
    return ~(scores < threshold)  # no number counts as an alarm
