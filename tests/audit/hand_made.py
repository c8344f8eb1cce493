"""A prepared dataset of rows written down by hand, role by role, without a file to clean and a split to draw."""

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from tlids_helpers.data.catalog import NETFLOW_FEATURES
from tlids_helpers.data.prepare import Prepared

Row = tuple[float, str]  # every feature has this value, except where `rows` are given whole; and the class


def hand_made(folder: Path, classes: tuple[str, ...], **fields) -> Prepared:
    """`fields` holds train, validation and test (lists of (value or nine values, class)) and fields of Prepared."""
    folder.mkdir(parents=True, exist_ok=True)
    counts = {}
    for role in ("train", "validation", "test"):
        rows = fields.pop(role, [])
        values = np.array([np.broadcast_to(np.float32(x), 9) for x, _ in rows], dtype=np.float32).reshape(-1, 9)
        labels = [name for _, name in rows]
        columns = {name: pa.array(values[:, column]) for column, name in enumerate(NETFLOW_FEATURES)}
        pq.write_table(pa.table({**columns, "Attack": pa.array(labels, pa.string())}), folder / f"{role}.parquet")
        counts[role] = {name: labels.count(name) for name in classes}
    known = {
        "name": "own", "title": "Own", "family": "netflow", "features": NETFLOW_FEATURES, "version": 0,
        "paper_slug": "", "classes": classes, "benign": classes[0], "mark": "own", "split": "paper", "seed": 42,
        "rows": None, "folder": folder, "counts": counts, "content": "", "parts": {},
    }  # fmt: skip
    return Prepared(**{**known, **fields})
