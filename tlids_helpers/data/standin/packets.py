"""Sizes of a conversation's packets and the gaps between them, so that every statistic of them agrees.

A direction's payload is split over its packets as equal full ones, one odd remainder, and empty ones (the
acknowledgements). The gaps are equal small ones and one long. Count, sum, extremes and deviation then follow
exactly, for millions of rows at once, without a packet being made.
"""

from dataclasses import dataclass

import numpy as np


@dataclass
class Split:
    """`total` in `count` parts: `zeros` of 0, `many` of `small` and `full` of `large`, with small <= large.

    A row a flow: all arrays, and what is computed of them, are (n,); bytes of a direction, or microseconds of gaps.
    """

    count: np.ndarray
    total: np.ndarray
    zeros: np.ndarray
    many: np.ndarray
    small: np.ndarray
    full: np.ndarray
    large: np.ndarray

    @property
    def least(self) -> np.ndarray:
        """The smallest part, 0 where there is none."""
        return np.where(self.zeros > 0, 0, np.where(self.many > 0, self.small, self.large))

    @property
    def mean(self) -> np.ndarray:
        """total / count, 0 where there is no part."""
        return self.total / np.maximum(self.count, 1)

    @property
    def squares(self) -> np.ndarray:
        """Sum of the parts' squares."""
        return self.many * self.small.astype(float) ** 2 + self.full * self.large.astype(float) ** 2

    @property
    def deviation(self) -> np.ndarray:
        """Sample standard deviation, 0 for fewer than two parts."""
        return deviation(self.count, self.total, self.squares)


def deviation(count: np.ndarray, total: np.ndarray, squares: np.ndarray) -> np.ndarray:
    """Sample standard deviation (n,) from count, sum and sum of squares, (n,) each; 0 for fewer than two values."""
    spread = squares - total.astype(float) ** 2 / np.maximum(count, 1)
    spread = np.where(spread > 1e-9 * squares, spread, 0)  # equal values: only rounding is left
    return np.sqrt(np.where(count > 1, spread / np.maximum(count - 1, 1), 0))


def split_payload(packets, total, largest, tcp, chance_carriers, chance_size) -> Split:
    """Payload bytes over packets of at most `largest` bytes; without TCP, short flows fill every packet."""
    needed = -(-total // largest)
    carriers = np.rint(packets * np.where(tcp, 0.35 + 0.5 * chance_carriers, 1)).astype(np.int64)
    carriers = np.clip(np.maximum(carriers, needed), 1, np.maximum(packets, 1))
    even = -(-total // carriers)
    chance_size = np.where(tcp | (packets > 4), chance_size, 0)
    large = even + (chance_size * (np.minimum(largest, total) - even)).astype(np.int64)
    full = total // np.maximum(large, 1)
    odd = total - full * large
    return Split(packets, total, packets - full - (odd > 0), (odd > 0).astype(np.int64), odd, full, large)


def split_gaps(packets, total, chance) -> Split:
    """Microseconds over the gaps between `packets` packets; the smaller `chance`, the longer the one long gap."""
    gaps = np.maximum(packets - 1, 0)
    total = np.where(gaps > 0, total, 0)
    small = (total // np.maximum(gaps, 1) * (0.02 + 0.98 * chance**2)).astype(np.int64)
    many = np.maximum(gaps - 1, 0)
    return Split(gaps, total, np.zeros_like(gaps), many, small, np.minimum(gaps, 1), total - many * small)


def both_payloads(flows: dict[str, np.ndarray]) -> tuple[Split, Split]:
    """Payload sizes, in bytes, of the forward and of the backward packets of `flows`, arrays (n,) by name."""
    tcp = flows["protocol"] == 6
    return tuple(
        split_payload(
            flows[f"{way}_pkts"], flows[f"{way}_payload"], 1500 - flows[f"{way}_header"], tcp,
            flows[f"chance_{way}_data"], flows[f"chance_{way}_sizes"],
        )
        for way in ("fwd", "bwd")
    )  # fmt: skip
