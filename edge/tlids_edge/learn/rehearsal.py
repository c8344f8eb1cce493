"""What a head must not forget while it learns a home (NetFlow features only).

Stored rows keep the attacks that the model was trained on. Between them and the home's rows is a wide space where a
head that is told of benign rows only soon calls everything benign, and with it attacks that resemble none that is
stored. So the head also rehearses rows that no network sent: parts of stored rows put together at random, with what the
parent makes of each as its target, the probabilities (Robins 1995, pseudorehearsal; Li and Hoiem 2016). Rows near to
those of the home are none of them: there the head is free. How many there are and which radius is used were chosen by
`make choose-recipe`.
"""

import numpy as np

from tlids_edge.learn.novelty import described, nearest

ROWS = 8_000
NEAR = 0.5  # in novelty's distance: the least from which a flow may be new
ALIKE = 0.2  # a row of the home that is nearer to a stored attack is taken for one
TOGETHER = ([0, 1], [3], [4], [5, 7], [6, 8])  # ports, flags, L7 id, bytes and packets of either side
PROTOCOL, DESTINATION_PORT, COUNTS = 2, 1, slice(5, 9)
WITH_PORTS = (6, 17)
SPREAD = 0.5  # deviation of the logarithm of the factor that a count is multiplied by
DRAWS = 4  # of twice as many each; those that are near to the home's rows are lost


def made_up(stored: np.ndarray, site: np.ndarray, seed: int, most: int = ROWS) -> np.ndarray:
    """At most `most` rows (n, 9) made of parts of `stored` (m, 9), none of them near to a row of `site` (k, 9)."""
    rng = np.random.default_rng(seed)
    known = np.unique(np.round(described(site), 2), axis=0)
    found, count = [], 0
    for _ in range(DRAWS):
        rows = _put_together(stored, 2 * most, rng)
        found.append(rows[nearest(described(rows), known) >= NEAR] if len(known) else rows)
        count += len(found[-1])
        if count >= most:
            break
    return np.concatenate(found)[:most]


def alike(site: np.ndarray, stored: np.ndarray, attacks: np.ndarray, radius: float = ALIKE) -> np.ndarray:
    """Which rows of `site` (n, 9) are like a stored attack, and nearer to it than to every stored benign row, (n,).

    `attacks` (m,) is true for the rows of `stored` (m, 9) that are attacks; a row is like one within the `radius`.
    """
    rows = described(site)
    to_attacks, to_benign = (nearest(rows, described(stored[each])) for each in (attacks, ~attacks))
    return (to_attacks < radius) & (to_attacks < to_benign)


def _put_together(stored: np.ndarray, count: int, rng: "np.random.Generator") -> np.ndarray:
    """Rows of `stored`, each part of which is in every second case that of another row of the same protocol.

    Bytes and packets are varied, and every second row with ports has a destination port of its own.
    """
    rows = stored[rng.integers(0, len(stored), count)]
    for protocol in np.unique(rows[:, PROTOCOL]):
        own, donors = (np.flatnonzero(each[:, PROTOCOL] == protocol) for each in (rows, stored))
        for part in TOGETHER:
            changed = own[rng.random(len(own)) < 0.5]
            rows[np.ix_(changed, part)] = stored[np.ix_(rng.choice(donors, len(changed)), part)]
    counts = rows[:, COUNTS]
    varied = np.maximum(np.round(counts * np.exp(rng.normal(0, SPREAD, counts.shape))), 1)
    rows[:, COUNTS] = np.where(counts > 0, varied, 0)
    other = np.isin(rows[:, PROTOCOL], WITH_PORTS) & (rng.random(count) < 0.5)
    rows[other, DESTINATION_PORT] = np.round(65_535 ** rng.random(int(other.sum())))
    return rows.astype(np.float32)
