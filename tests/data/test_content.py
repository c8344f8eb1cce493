"""What identifies prepared rows: their content, and the number of the preparation that made them."""

import hashlib
import json
import os
import shutil
import subprocess
import sys

import numpy as np
import pandas as pd
import pytest

from tlids_helpers.common import files
from tlids_helpers.data import cleaned, parquet, prepare, select
from tlids_helpers.data.catalog import NETFLOW_FEATURES
from tlids_helpers.data.prepare import Prepared
from tlids_helpers.data.raw import SUBSET, Allowed
from tlids_helpers.data.split import ROLES


@pytest.fixture
def frame(netflow):
    return netflow({"Benign": 60, "DoS": 40})


@pytest.fixture
def content(put, data_dir):
    """A frame -> the content of its grouped split, in which a row's role depends on the row alone."""

    def of(frame: pd.DataFrame, name: str = "own.csv") -> str:
        return prepare.prepare(str(put(frame, name)), data_dir, "grouped").content

    return of


# ---- what leaves the content as it is


def test_the_content_is_sixteen_hexadecimal_digits_that_the_cache_gives_again(frame, put, data_dir):
    path = str(put(frame, "own.csv"))
    first = prepare.prepare(path, data_dir)
    assert len(first.content) == 16 and int(first.content, 16) > 0
    assert prepare.prepare(path, data_dir).content == first.content
    assert json.loads((first.folder / "meta.json").read_text())["content"] == first.content


def test_touching_the_raw_file_leaves_the_content_equal(frame, put, data_dir):
    path = put(frame, "own.csv")
    first = prepare.prepare(str(path), data_dir)
    os.utime(path, (1, 1))
    again = prepare.prepare(str(path), data_dir)
    assert again.folder != first.folder and again.content == first.content


def test_a_copied_data_folder_gives_the_same_content_and_finds_its_caches(four_parts, data_dir, tmp_path):
    first = prepare.prepare("nf-uq-nids", data_dir, allowed=SUBSET)
    shutil.copytree(data_dir, tmp_path / "elsewhere" / "data")
    before = sorted((tmp_path / "elsewhere" / "data" / "prepared").iterdir())
    copied = prepare.prepare("nf-uq-nids", tmp_path / "elsewhere" / "data", allowed=SUBSET)
    assert copied.content == first.content and copied.folder.name == first.folder.name
    assert sorted((tmp_path / "elsewhere" / "data" / "prepared").iterdir()) == before


def test_a_copied_repository_with_other_docstrings_finds_the_caches(frame, put, data_dir, tmp_path):
    path = put(frame, "own.csv")
    first = prepare.prepare(str(path), data_dir)
    for package in ("tlids_helpers", "edge/tlids_edge"):
        shutil.copytree(files.REPOSITORY / package, tmp_path / "copy" / package)
    for module in (tmp_path / "copy" / "tlids_helpers" / "data").glob("*.py"):
        module.write_text(module.read_text().replace('"""', '"""Edited. ', 1))
    code = "import sys; from tlids_helpers.data import prepare; p = prepare.prepare(*sys.argv[1:]); "
    code += "print(prepare.__doc__[:7], p.content, p.folder)"
    there = {"PYTHONPATH": os.pathsep.join(str(tmp_path / "copy" / name) for name in ("", "edge"))}
    command = [sys.executable, "-c", code, str(path), str(data_dir)]
    run = subprocess.run(command, env=os.environ | there, cwd=tmp_path, capture_output=True, text=True, check=True)
    assert run.stdout.split() == ["Edited.", first.content, str(first.folder)]


def test_the_order_of_rows_and_of_columns_and_the_files_form_leave_the_content_equal(frame, content):
    shuffled = frame.sample(frac=1, random_state=1)
    expected = content(frame)
    assert content(shuffled) == content(frame[sorted(frame)]) == content(shuffled, "other.parquet") == expected


@pytest.mark.parametrize("batch_rows", [1, 7, 10_000])
def test_the_content_does_not_depend_on_how_the_stream_is_cut(batch_rows, frame, content, monkeypatch):
    expected = content(frame)
    monkeypatch.setattr(parquet, "BATCH_ROWS", batch_rows)
    assert content(frame, "other.csv") == expected


def test_other_selected_features_are_the_same_content(cicflow, put, data_dir):
    prepared = prepare.prepare(str(put(cicflow({"Normal": 60, "DoS": 40}), "own.csv")), data_dir)
    chosen = select.with_selected(prepared, select.gini_importance(prepared))
    assert chosen.features != prepared.features and chosen.content == prepared.content


# ---- what changes it


@pytest.mark.parametrize("name", NETFLOW_FEATURES)
def test_one_number_in_one_row_changes_the_content(name, frame, content):
    other = frame.copy()
    other.loc[17, name] += 1
    assert content(other, "other.csv") != content(frame)


def test_a_class_a_row_fewer_and_a_row_twice_change_the_content(frame, content):
    other = frame.copy()
    other.loc[17, "Attack"] = {"Benign": "DoS", "DoS": "Benign"}[other.loc[17, "Attack"]]
    twice = pd.concat([frame, frame.head(1), frame.head(1)])  # of three equal rows, none cancels another
    frames = [frame, other, frame.drop(17), pd.concat([frame, frame.head(1)]), twice]
    assert len({content(each, f"own{number}.csv") for number, each in enumerate(frames)}) == 5


def test_two_numbers_that_change_places_change_the_content(frame, content):
    other = frame.rename(columns={"IN_PKTS": "OUT_PKTS", "OUT_PKTS": "IN_PKTS"})
    assert content(other, "other.csv") != content(frame)


def test_a_column_that_could_be_selected_counts_too(cicflow, content):
    frame = cicflow({"Normal": 60, "DoS": 40})
    other = frame.copy()
    other.loc[17, "Flow_Duration"] += 1
    assert content(other, "other.csv") != content(frame)


def test_every_split_seed_subsample_and_part_left_out_has_its_own_content(four_parts, data_dir):
    def of(dataset="nf-uq-nids", **what) -> str:
        return prepare.prepare(dataset, data_dir, allowed=SUBSET, **what).content

    found = [of(), of(seed=1), of(split="grouped"), of(rows=500), of(rows=500, seed=1), of("nf-bot-iot")]
    found += [of(f"nf-uq-nids-without-{part}") for part in four_parts]
    assert len(set(found)) == len(found)


# ---- the golden test


def hand_made() -> pd.DataFrame:
    """240 rows without chance: three classes, three recordings, every repair of the cleaning, some equal rows."""
    number = np.arange(240)
    frame = pd.DataFrame(
        {name: number * (column + 3) % 97 for column, name in enumerate(NETFLOW_FEATURES)}, dtype=object
    )
    frame["L7_PROTO"] = [f"{n % 7}.{n % 3}" for n in number]
    frame["Attack"] = np.array(["Benign", " benign ", "DoS", "dos", "Web  Attack", "web attack"])[number % 6]
    frame["Session"] = [f"session{n // 80 + 1}" for n in number]
    frame.loc[5, "IN_BYTES"], frame.loc[6, "IN_PKTS"], frame.loc[7, "OUT_PKTS"] = "nan", "inf", "-1"
    frame.loc[8, "Attack"] = ""
    frame.loc[9, "OUT_BYTES"] = "16777217.000000001"  # another float32 when it is not rounded to float64 first
    return pd.concat([frame, frame.head(40)], ignore_index=True)


def fingerprint(prepared: Prepared) -> str:
    """Classes, counts, content, and the rows in their order: seeded training depends on it."""
    digest = hashlib.sha256(json.dumps([prepared.classes, prepared.counts, prepared.content]).encode())
    for role in ROLES:
        for array in prepare.load(prepared, role):
            digest.update(array.tobytes())
    return digest.hexdigest()[:16]


GOLDEN = {
    1: {
        "paper": "50cd0b156ca7fe78", "grouped": "f38d82699821f015", "session": "ca16a8c2efee58d0",
        "100 rows": "7b73c0b8a712ea72", "union": "1edf0bc87a38a37e", "without": "777f4ee5b108abf5",
    },
}  # fmt: skip
"""PREPARATION -> what it makes of the rows above, and of the four parts of conftest.py as a union."""


def test_preparation_gives_the_rows_that_its_number_stands_for(four_parts, put, data_dir):
    """It fails when preparation gives other rows than before: raise PREPARATION, and add what it gives now."""
    path = str(put(hand_made(), "own.csv"))
    lossy = Allowed(loss=0.05)
    splits = [split for split in prepare.SPLITS if split != "time"]  # these rows have no times
    found = {split: fingerprint(prepare.prepare(path, data_dir, split, allowed=lossy)) for split in splits}
    found["100 rows"] = fingerprint(prepare.prepare(path, data_dir, rows=100, allowed=lossy))
    found["union"] = fingerprint(prepare.prepare("nf-uq-nids", data_dir, allowed=SUBSET))
    found["without"] = fingerprint(prepare.prepare("nf-uq-nids-without-nf-bot-iot", data_dir, allowed=SUBSET))
    assert prepare.PREPARATION == cleaned.PREPARATION == max(GOLDEN)
    assert found == GOLDEN[prepare.PREPARATION]
