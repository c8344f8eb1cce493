"""`make mqttset`: the paper's CNN on MQTTset's captures, metered by the Pi's meter.

Trains on the flows of the *-train captures (a flow's class is its file's folder), a tenth of them for validation,
and reports each class's recall on the flows of the *-test captures, over five seeds. Needs TLIDS_SHARED. The table goes
into docs/results/mqttset.json, from which `make docs` renders it.
"""

import os
import sys
from pathlib import Path

import kept
import numpy as np
import page
from sklearn.model_selection import train_test_split
from tlids_edge.capture.packets import PacketStats, read_packets
from tlids_edge.flows.meter import Meter
from tlids_edge.flows.ndpi import open_ndpi

from tlids_helpers.network import training
from tlids_helpers.network.model import predict
from tlids_helpers.results import metrics

SEEDS = range(5)
COLUMNS = ("class", "flows to train on", "flows to test on", "recall")


def main() -> int:
    """Meter, train, print and store the table."""
    folder = Path(os.environ.get("TLIDS_SHARED", "../shared")) / "pcap" / "mqttset"
    classes = sorted(path.name for path in folder.glob("*") if path.is_dir())
    if not classes:
        print(f"expected MQTTset's captures in {folder}, found none: set TLIDS_SHARED to the folder that has them")
        return 1
    train, test = (flows_of(folder, classes, part) for part in ("train", "test"))
    matrices = [confusion_of_seed(train, test, len(classes), seed) for seed in SEEDS]
    rows = recalls(classes, train[1], matrices)
    print(page.table(COLUMNS, rows))
    kept.keep("mqttset", "make mqttset", COLUMNS, rows)
    return 0


def flows_of(folder: Path, classes: list[str], part: str) -> tuple[np.ndarray, np.ndarray]:
    """Nine NetFlow features (n, 9) and class codes (n,) of the captures of one part."""
    features, codes = [], []
    for code, name in enumerate(classes):
        for capture in sorted((folder / name).glob(f"*-{part}.pcap*")):
            rows = metered(capture)
            features += rows
            codes += [code] * len(rows)
    return np.array(features, dtype=np.float32), np.array(codes, dtype=np.int32)


def metered(capture: Path) -> list[tuple[float, ...]]:
    """The capture's flows as the Pi would see them."""
    meter = Meter(l7=open_ndpi(), max_flows=10**6)
    with capture.open("rb") as stream:
        for packet in read_packets(stream, PacketStats()):
            meter.add(packet)
    meter.close_all()
    return [flow.netflow() for flow in meter.take()]


def confusion_of_seed(train, test, n_classes: int, seed: int) -> np.ndarray:
    """Train with one seed; counts (C, C) on the test flows, rows true."""
    x, x_val, y, y_val = train_test_split(*train, test_size=0.1, random_state=seed, stratify=stratum(train[1]))
    fitted = training.train_from_scratch((x, y), (x_val, y_val), n_classes, seed=seed)
    predicted = predict(fitted.model, test[0]).argmax(axis=1)
    return metrics.confusion(test[1], predicted, n_classes)


def stratum(codes: np.ndarray) -> np.ndarray:
    """Classes to stratify by; those too small to be split go with the largest."""
    counts = np.bincount(codes)
    return np.where(counts[codes] < 10, counts.argmax(), codes)


def recalls(classes: list[str], codes: np.ndarray, matrices: list[np.ndarray]) -> list[tuple[str, ...]]:
    """Recall per class, mean and deviation over the seeds, with the flows behind it; the last row is of all flows."""
    shares = np.array([matrix.diagonal() / matrix.sum(axis=1).clip(min=1) for matrix in matrices])
    rows = [(name, str((codes == code).sum()), str(matrices[0][code].sum()), spread(shares[:, code]))
            for code, name in enumerate(classes)]  # fmt: skip
    right = np.array([matrix.trace() / matrix.sum() for matrix in matrices])
    return [*rows, ("all", str(len(codes)), str(matrices[0].sum()), spread(right))]


def spread(values: np.ndarray) -> str:
    """Mean and sample deviation."""
    return f"{values.mean():.3f} ± {values.std(ddof=1):.3f}"


if __name__ == "__main__":
    sys.exit(main())
