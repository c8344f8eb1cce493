"""Which rows are trained on, validated on, tested on: decided in one pass, in the memory of one batch.

`paper`: stratified 80/20 (Tables 1 and 3), exactly the published sizes, a tenth of the 80 for validation.
`grouped`: the same shares, but rows with equal features stay on one side (decided by a hash of the row).
`session`: the last recording is the test split; a tenth of the others, stratified, is for validation.
`time`: the last fifth of the flows by their start is the test split; a tenth of the others, stratified, for validation.
"""

import math

import numpy as np

TEST_FRACTION = 0.2  # Tables 1 and 3
VALIDATION_FRACTION = 0.1  # of the training rows; the paper is silent
ROLES = ("train", "validation", "test")
SPLITS = ("paper", "grouped", "session", "time")


def apportion(counts: np.ndarray, total: int) -> np.ndarray:
    """Share `total` among classes in proportion to `counts` (C,), whole rows, by the largest remainder."""
    counts = np.asarray(counts, dtype=np.int64)
    exact = counts * (total / max(counts.sum(), 1))
    shares = np.floor(exact).astype(np.int64)
    left = int(total - shares.sum())
    most = np.argsort(-(exact - shares), kind="stable")[:left]
    shares[most] += 1
    return np.minimum(shares, counts)


def role_quotas(counts: np.ndarray) -> np.ndarray:
    """Rows per class and role, (C, 3): test is ceil(0.2 n) as in scikit-learn's train_test_split."""
    counts = np.asarray(counts, dtype=np.int64)
    test = apportion(counts, math.ceil(TEST_FRACTION * counts.sum()))
    validation = apportion(counts - test, math.ceil(VALIDATION_FRACTION * (counts - test).sum()))
    return np.stack([counts - test - validation, validation, test], axis=1)


def session_quotas(counts: np.ndarray) -> np.ndarray:
    """Rows per class and role, (C, 3), of the recordings that are not for the test; `counts` (C,)."""
    counts = np.asarray(counts, dtype=np.int64)
    validation = apportion(counts, math.ceil(VALIDATION_FRACTION * counts.sum()))
    return np.stack([counts - validation, validation, np.zeros_like(counts)], axis=1)


def subsample_quotas(counts: np.ndarray, rows: int) -> np.ndarray:
    """Rows per class to keep of `counts` (C,), at least one of each class that has any."""
    counts = np.asarray(counts, dtype=np.int64)
    floor = np.minimum(counts, 1)
    return floor + apportion(counts - floor, min(rows, counts.sum()) - floor.sum())


def subsample_sizes(counts: np.ndarray, rows: int) -> np.ndarray:
    """Rows per role to keep, (K,), of `counts` (C, K): in proportion, but room for each role's every class."""
    floor = np.count_nonzero(counts, axis=0)
    sizes = np.maximum(apportion(counts.sum(axis=0), rows), floor)
    while (surplus := sizes.sum() - rows) > 0:  # what the small roles were given, the roomiest gives back
        roomy = int(np.argmax(sizes - floor))
        sizes[roomy] -= min(surplus, sizes[roomy] - floor[roomy])
    return sizes


def draw(remaining: np.ndarray, codes: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Deal one batch's rows to columns of `remaining` (C, K) and take them off it; returns (n,) in 0..K-1.

    Sequential sampling without replacement (Knuth, TAOCP 2, 3.4.2 S, here a batch at a time): every way to
    meet the quotas is equally likely, and at the end of the stream they are met exactly.
    """
    dealt = np.empty(len(codes), dtype=np.int8)
    for code in np.unique(codes):
        members = np.flatnonzero(codes == code)
        picks = rng.multivariate_hypergeometric(remaining[code], len(members), method="marginals")
        remaining[code] -= picks
        dealt[members] = rng.permutation(np.repeat(np.arange(len(picks), dtype=np.int8), picks))
    return dealt


def hash_rows(features: np.ndarray, seed: int | np.ndarray) -> np.ndarray:
    """A 64-bit hash of each row of `features` (n, F) float32; equal rows with equal seeds have equal hashes.

    `seed` is one for all rows, or one for each (n,) uint64.
    """
    words = (features + np.float32(0.0)).view(np.uint32)  # + 0 makes -0.0 equal to 0.0
    state = np.full(len(words), (seed * 0x9E3779B97F4A7C15) & (2**64 - 1), dtype=np.uint64)
    for column in words.T:
        state ^= column
        _mix(state)
    return state


def grouped_roles(features: np.ndarray, seed: int) -> np.ndarray:
    """Role of each row (n,) by its hash: 20 % of the groups test, 8 % validation, 72 % train."""
    share = hash_rows(features, seed) / 2.0**64
    roles = np.zeros(len(features), dtype=np.int8)
    roles[share < TEST_FRACTION + VALIDATION_FRACTION * (1 - TEST_FRACTION)] = ROLES.index("validation")
    roles[share < TEST_FRACTION] = ROLES.index("test")
    return roles


def _mix(state: np.ndarray) -> None:
    """Change `state` to its finaliser of splitmix64 (Steele et al., 2014), after adding its constant."""
    state += np.uint64(0x9E3779B97F4A7C15)
    state ^= state >> np.uint64(30)
    state *= np.uint64(0xBF58476D1CE4E5B9)
    state ^= state >> np.uint64(27)
    state *= np.uint64(0x94D049BB133111EB)
    state ^= state >> np.uint64(31)
