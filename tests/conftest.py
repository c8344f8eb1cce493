"""Fixtures of the data path: hand-made flows whose every row can be told from every other, and the real samples."""

import os
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from tlids_helpers.data import prepare
from tlids_helpers.data.catalog import CICFLOW_COLUMNS, DATASETS, NETFLOW_COLUMNS, PARENTS

REPOSITORY = Path(__file__).resolve().parent.parent


@pytest.fixture(scope="session")
def shared() -> Path:
    """The shared material: real flows and captures that never go into the repository."""
    folder = Path(os.environ.get("TLIDS_SHARED") or REPOSITORY.parent / "shared").resolve()
    if not (folder / "data").is_dir():
        pytest.skip(f"no real flows at {folder}: set TLIDS_SHARED to the folder that has data/ in it")
    return folder


@pytest.fixture
def data_dir(tmp_path) -> Path:
    """An empty data folder with its raw/ in it."""
    (tmp_path / "data" / "raw").mkdir(parents=True)
    return tmp_path / "data"


@pytest.fixture
def netflow():
    """classes -> a NetFlow frame; IN_BYTES is a row's number from `start`, so rows can be followed through a split."""

    def make(classes: dict[str, int], start: int = 0, version: int = 1) -> pd.DataFrame:
        labels = [name for name, rows in classes.items() for _ in range(rows)]
        rng = np.random.default_rng(start)
        frame = pd.DataFrame({name: rng.integers(0, 1000, len(labels)) for name in NETFLOW_COLUMNS[version]})
        frame["IN_BYTES"] = start + np.arange(len(labels))
        frame["L7_PROTO"] = 5.25
        frame["Attack"] = labels
        return frame.sample(frac=1, random_state=start).reset_index(drop=True)

    return make


@pytest.fixture
def cicflow():
    """classes -> a CICFlowMeter frame; Src_Port is a row's number, which does not tell its class."""

    def make(classes: dict[str, int], label: str = "Label") -> pd.DataFrame:
        labels = [name for name, rows in classes.items() for _ in range(rows)]
        rng = np.random.default_rng(0)
        frame = pd.DataFrame({name: rng.integers(0, 1000, len(labels)) for name in CICFLOW_COLUMNS})
        frame["Src_Port"] = rng.permutation(len(labels))
        frame["Init_Fwd_Win_Byts"] = -1
        frame[["Flow_ID", "Src_IP", "Dst_IP", "Timestamp"]] = "a-b-1-2-6", "10.0.0.1", "10.0.0.2", "01/01/2020"
        frame[label] = labels
        return frame.sample(frac=1, random_state=0).reset_index(drop=True)

    return make


@pytest.fixture
def put(data_dir):
    """Write a frame (or bytes, or text) into data/raw under a name; its ending says how."""

    def write(content: pd.DataFrame | bytes | str, name: str) -> Path:
        path = data_dir / "raw" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        if isinstance(content, pd.DataFrame):
            content.to_parquet(path, index=False) if path.suffix == ".parquet" else content.to_csv(path, index=False)
        else:
            path.write_bytes(content if isinstance(content, bytes) else content.encode())
        return path

    return write


PART_CLASSES = {
    "nf-ton-iot": {"Benign": 50, "injection": 60, "ddos": 40, "dos": 30, "backdoor": 20, "mitm": 10},
    "nf-bot-iot": {"Benign": 30, "Reconnaissance": 120, "DDoS": 40, "DoS": 41, "Theft": 9},
    "nf-unsw-nb15": {"Benign": 200, "Exploits": 40, "DoS": 20, "Backdoor": 15, "Worms": 7},
    "nf-cse-cic-ids2018": {"Benign": 150, "DoS attacks-Hulk": 30, "FTP-BruteForce": 20, "SQL Injection": 12},
}


@pytest.fixture
def part_frames(netflow) -> dict[str, pd.DataFrame]:
    """Small stand-ins for the four parts of NF-UQ-NIDS: part k's rows are numbered from 1000 k."""
    return {slug: netflow(classes, 1000 * (k + 1)) for k, (slug, classes) in enumerate(PART_CLASSES.items())}


@pytest.fixture
def four_parts(part_frames, put) -> dict[str, pd.DataFrame]:
    """The four parts, as files in data/raw."""
    for slug, frame in part_frames.items():
        put(frame, DATASETS[slug].file)
    return part_frames


@pytest.fixture
def union_frame(part_frames) -> pd.DataFrame:
    """The same rows as NF-UQ-NIDS publishes them: one after the other, classes merged, with the Dataset column."""
    frames = [frame.assign(Dataset=DATASETS[slug].title) for slug, frame in part_frames.items()]
    whole = pd.concat(frames, ignore_index=True)
    return whole.assign(Attack=whole["Attack"].map(lambda name: PARENTS.get(name, name)))


@pytest.fixture
def rows_of():
    """The row numbers (IN_BYTES, or Src_Port) of one role, or of several together."""

    def numbers(prepared: prepare.Prepared, *roles: str) -> list[int]:
        column = prepared.features.index("IN_BYTES" if prepared.family == "netflow" else "Src_Port")
        return sorted(int(n) for role in roles for n in prepare.load(prepared, role)[0][:, column])

    return numbers
