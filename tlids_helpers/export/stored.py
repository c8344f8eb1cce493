"""The rows that travel with a model (`rows.npz`), so that the Pi can adapt it to a home without forgetting attacks.

`tlids_edge.learn.rows` says what the file holds and reads it on the Pi.
"""

import numpy as np
from tlids_edge.learn import rows

from tlids_helpers.data import prepare
from tlids_helpers.data.prepare import Prepared


def stored_rows(prepared: Prepared, task: str, benign: int) -> bytes:
    """The content of `rows.npz` for a model of `task`, drawn from training rows alone with the dataset's seed.

    At most 500 rows of each attack and 1,500 of the class `benign`; where many classes make the file larger than
    64 KiB, half of them, a quarter and so on.
    """
    features, codes = prepare.load(prepared, "train", task)
    order = np.random.default_rng(prepared.seed).permutation(len(codes))
    share = 1.0
    while True:
        chosen = np.concatenate([_of_class(order, codes, code, code == benign, share) for code in np.unique(codes)])
        content = rows.packed(features[chosen], codes[chosen])
        if len(content) <= rows.MAX_BYTES:
            return content
        share /= 2


def _of_class(order: np.ndarray, codes: np.ndarray, code: int, is_benign: bool, share: float) -> np.ndarray:
    """Row numbers of one class, one at least."""
    limit = rows.BENIGN_ROWS if is_benign else rows.ATTACK_ROWS
    return order[codes[order] == code][: max(1, int(limit * share))]
