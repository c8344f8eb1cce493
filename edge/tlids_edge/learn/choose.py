"""Which of the kept rows are learned from: at most 5,000, and at most a tenth of them from one device.

A device is a MAC address, or an address where the link layer has none. Devices that never took part in a proven
two-way exchange count as one device together, so that a thousand forged senders weigh no more than one.
"""

from dataclasses import dataclass

import numpy as np

from tlids_edge.learn.keep import within

MAX_ROWS = 5_000
MIN_ROWS = 1_000
SHARE = 0.1
DEVICE_ROWS = 500  # a tenth of MAX_ROWS
CLAIMED = 0  # stands for every device that was never proven


@dataclass(frozen=True)
class Chosen:
    """Rows to learn from, in order of time, and the limit a device."""

    rows: np.ndarray
    limit: int
    devices: int


def choose(rows: np.ndarray, proven: set[int], least: int = MIN_ROWS) -> Chosen:
    """Choose among kept rows (dtype keep.ROW).

    A device gives at most a tenth of the rows. Where that leaves fewer than `least`, because the home has a few
    devices only, it gives at most 500 (a tenth of 5,000); and where even that does, as many more as are missing.
    """
    rows = rows.copy()
    known = np.fromiter(proven, np.uint64, len(proven))
    rows["device"][~np.isin(rows["device"], known)] = CLAIMED
    counts = np.unique(rows["device"], return_counts=True)[1]
    limit = device_limit(counts, least)
    rows = within(rows, "device", limit)
    rows = rows[np.argsort(rows["rank"], kind="stable")[:MAX_ROWS]]
    return Chosen(rows[np.argsort(rows["time"], kind="stable")], limit, len(counts))


def device_limit(counts: np.ndarray, least: int) -> int:
    """Rows a device may give, where devices have `counts`; see `choose`."""
    most = max(DEVICE_ROWS, int(counts.max(initial=0)))
    limits = np.arange(most + 1)
    totals = np.minimum(counts[:, None], limits).sum(axis=0)
    fair = int(limits[: DEVICE_ROWS + 1][limits[: DEVICE_ROWS + 1] <= SHARE * totals[: DEVICE_ROWS + 1]].max())
    enough = np.flatnonzero(totals >= least)
    if totals[fair] >= least:
        return fair
    return max(DEVICE_ROWS, int(enough[0]) if len(enough) else most)
