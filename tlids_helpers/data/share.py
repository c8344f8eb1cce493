"""A share of a dataset's labelled rows, as if no more had been labelled: what transfer is for.

Both training and validation rows are cut, because validation rows are labelled too. Test rows never are.
"""

import warnings

import numpy as np

from tlids_helpers.common.errors import InputError, listed
from tlids_helpers.data import prepare
from tlids_helpers.data.prepare import Prepared

LEAST = 64  # rows of a role: fewer would be one batch of luck


def load(prepared: Prepared, role: str, task: str, share: float, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """As `prepare.load`, of a share of the rows: LEAST at least, at random, a larger share holding the smaller.

    Warns of classes that are left without a training row. Raises InputError where fewer than two classes are left of
    the training rows, and for a share that is none.
    """
    if not 0 < share <= 1:
        raise InputError(f"expected share above 0 and at most 1, found {share!r}: give 0.01 for 1 % of the rows")
    features, codes = prepare.load(prepared, role, task)
    if share == 1:
        return features, codes
    chosen = np.random.default_rng(seed).permutation(len(codes))[: max(LEAST, int(share * len(codes)))]
    if role == "train":
        _check_classes(codes, codes[chosen], prepared, task, share)
    return features[chosen], codes[chosen]


def _check_classes(codes: np.ndarray, left: np.ndarray, prepared: Prepared, task: str, share: float) -> None:
    """Which classes a share leaves without rows."""
    names = np.array(prepare.class_list(prepared, task))
    if len(np.unique(left)) < 2:
        raise InputError(
            f"expected at least two classes in {share:.2%} of the training rows of {prepared.title}, found only "
            f"{listed(names[np.unique(left)])}: raise share"
        )
    if lost := list(names[np.setdiff1d(codes, left)]):
        warnings.warn(
            f"{len(left):,} training rows of {prepared.title}, a share of {share:g}, have none of class "
            f"{listed(lost)}: it cannot be learned, and counts in macro-F1 all the same",
            stacklevel=4,
        )


def as_many(rows: tuple[np.ndarray, np.ndarray], count: int) -> tuple[np.ndarray, np.ndarray]:
    """`rows` round and round until there are `count`: an epoch then has as many batches whatever the share."""
    places = np.arange(max(count, len(rows[1]))) % len(rows[1])
    return rows[0][places], rows[1][places]
