"""Preparation end to end on rows that carry their own number: who is trained on what, and what is read when."""

import gzip
import json
import os
import signal
import subprocess
import sys
from collections import Counter
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from tlids_helpers.common import progress
from tlids_helpers.common.errors import InputError
from tlids_helpers.data import clean as cleaning
from tlids_helpers.data import cleaned, parquet, prepare, raw, show
from tlids_helpers.data.catalog import CICFLOW_FEATURES, DATASETS, NETFLOW_FEATURES, PARENTS
from tlids_helpers.data.raw import SUBSET
from tlids_helpers.data.split import ROLES

PARTS = DATASETS["nf-uq-nids"].parts
SPLITS = ("paper", "grouped")  # those that every dataset has


def visible(data_dir) -> list[str]:
    """What is in the cache and could be taken for a finished result."""
    return sorted(path.name for path in (data_dir / "prepared").glob("[!.]*"))


# ---- one dataset


def test_every_row_gets_one_role_and_the_roles_have_the_papers_sizes(netflow, put, data_dir, rows_of):
    prepared = prepare.prepare(str(put(netflow({"Benign": 700, "DoS": 303}), "own.csv")), data_dir)
    assert rows_of(prepared, *ROLES) == list(range(1003))
    assert [prepared.size(role) for role in ROLES] == [721, 81, 201]
    assert all(len(rows_of(prepared, role)) == prepared.size(role) for role in ROLES)


@pytest.mark.parametrize("split", SPLITS)
def test_features_and_labels_of_each_row_are_those_of_the_file(split, netflow, put, data_dir):
    frame = netflow({"Benign": 60, "DoS": 40, "DDoS": 30})
    prepared = prepare.prepare(str(put(frame, "own.csv")), data_dir, split)
    by_number = frame.set_index("IN_BYTES", drop=False)
    for role in ROLES:
        features, codes = prepare.load(prepared, role)
        assert features.dtype == np.float32 and codes.dtype == np.int32
        found = by_number.loc[features[:, NETFLOW_FEATURES.index("IN_BYTES")].astype(int)]
        assert np.array_equal(features, found[list(NETFLOW_FEATURES)].to_numpy(np.float32))
        assert [prepared.classes[code] for code in codes] == list(found["Attack"])


def test_counts_are_those_of_the_rows(netflow, put, data_dir):
    prepared = prepare.prepare(str(put(netflow({"Benign": 60, "DoS": 45}), "own.csv")), data_dir)
    for role in ROLES:
        found = np.bincount(prepare.load(prepared, role)[1], minlength=2)
        assert dict(zip(prepared.classes, found, strict=True)) == prepared.counts[role]


@pytest.mark.parametrize("name", ["own.csv", "own.csv.gz", "own.parquet", "my own flows.csv"])
def test_a_users_own_file_of_any_kind_is_prepared_alike(name, netflow, put, data_dir, rows_of):
    frame = netflow({"Benign": 60, "DoS": 40})
    path = put(gzip.compress(frame.to_csv(index=False).encode()) if name.endswith("gz") else frame, name)
    prepared = prepare.prepare(str(path), data_dir)
    plain = prepare.prepare(str(put(frame, "own2.csv")), data_dir)
    assert (prepared.mark, prepared.version, prepared.paper_slug) == ("own", 0, "")
    assert prepared.name == prepared.title == name.split(".")[0]
    assert prepared.counts == plain.counts
    again = prepare.prepare(str(put(frame, f"elsewhere/{prepared.name}.csv")), data_dir)
    assert rows_of(prepared, "test") == rows_of(again, "test")  # the draw is of the name, not of the kind


@pytest.mark.parametrize("benign", ["normal", "BENIGN", "Background", "Benign"])
def test_the_benign_class_of_an_own_file_comes_first_whatever_it_is_called(benign, netflow, put, data_dir):
    prepared = prepare.prepare(str(put(netflow({"Alpha": 40, benign: 60}), "own.csv")), data_dir)
    assert prepared.classes == (benign, "Alpha") and prepared.benign == benign


def test_binary_takes_every_class_but_the_benign_one_as_an_attack(netflow, put, data_dir):
    frame = netflow({"DoS": 50, "normal": 70, "Worms": 30})
    prepared = prepare.prepare(str(put(frame, "own.csv")), data_dir)
    assert prepare.class_list(prepared, "binary") == ("Benign", "Attack")
    for role in ROLES:
        _, many = prepare.load(prepared, role)
        _, two = prepare.load(prepared, role, "binary")
        assert two.dtype == np.int32
        assert [name != "normal" for name in np.array(prepared.classes)[many]] == two.astype(bool).tolist()


def test_the_catalogs_order_of_classes_is_kept_and_absent_ones_left_out(netflow, put, data_dir):
    put(netflow({"DoS": 30, "Theft": 20, "Benign": 50}), "NF-BoT-IoT.csv")
    prepared = prepare.prepare("nf-bot-iot", data_dir, allowed=SUBSET)
    assert prepared.classes == ("Benign", "DoS", "Theft")
    assert (prepared.mark, prepared.title, prepared.paper_slug) == ("subset", "NF-BoT-IoT", "nf-bot-iot")


def test_a_class_that_the_catalog_does_not_list_is_kept_where_nobody_published_counts(cicflow, put, data_dir):
    put(cicflow({"Normal": 50, "Telnet": 30, "DoS": 20}), "IoT-DS2.csv")
    prepared = prepare.prepare("iot-ds2", data_dir, allowed=SUBSET)
    assert prepared.classes == ("Normal", "DoS", "Telnet")


def test_cicflowmeter_flows_load_in_the_order_of_table_3(cicflow, put, data_dir):
    frame = cicflow({"Normal": 50, "DoS": 30})
    prepared = prepare.prepare(str(put(frame, "own.csv")), data_dir)
    features, _ = prepare.load(prepared, "train")
    expected = frame.set_index("Src_Port", drop=False).loc[features[:, 8].astype(int), list(CICFLOW_FEATURES)]
    assert prepared.family == "cicflow" and np.array_equal(features, expected.to_numpy(np.float32))


def test_a_version_2_subset_says_both(netflow, put, data_dir):
    put(netflow({"Benign": 50, "DoS": 50}, version=2), "NF-BoT-IoT-v2.csv")
    prepared = prepare.prepare("nf-bot-iot-v2", data_dir, allowed=SUBSET)
    assert (prepared.mark, prepared.version, prepared.paper_slug) == ("v2 subset", 2, "nf-bot-iot")


def test_an_absent_dataset_is_simulated_says_so_and_leaves_nothing_in_raw(data_dir):
    prepared = prepare.prepare("nf-bot-iot", data_dir)
    assert prepared.mark == "simulated" and set(prepared.classes) == set(DATASETS["nf-bot-iot"].classes)
    assert not any((data_dir / "raw").iterdir())


def test_the_real_file_is_taken_as_soon_as_it_is_there(netflow, put, data_dir):
    prepare.prepare("nf-bot-iot", data_dir)
    put(netflow({"Benign": 60, "DoS": 40}), "NF-BoT-IoT.csv")
    prepared = prepare.prepare("nf-bot-iot", data_dir, allowed=SUBSET)
    assert (prepared.mark, sum(prepared.size(role) for role in ROLES)) == ("subset", 100)


def test_a_bar_counts_every_row_once_and_only_when_rows_are_read(netflow, put, data_dir, monkeypatch):
    monkeypatch.setattr(raw, "BLOCK_BYTES", 2000)
    bars = []
    counter = progress.counter
    monkeypatch.setattr(cleaned.progress, "counter", lambda *names: bars.append(Counted(counter(*names))) or bars[-1])
    path = str(put(netflow({"Benign": 150, "DoS": 50}), "own.csv"))
    for split in SPLITS:
        prepare.prepare(path, data_dir, split)
    assert [bar.total for bar in bars] == [200] and bars[0].calls > 3


class Counted:
    """A bar that remembers what it was told."""

    def __init__(self, bar):
        self.bar, self.total, self.calls = bar, 0, 0

    def __enter__(self):
        self.bar.__enter__()
        return self

    def __exit__(self, *error):
        return self.bar.__exit__(*error)

    def update(self, rows):
        self.total, self.calls = self.total + rows, self.calls + 1


# ---- the grouped split


def test_rows_with_equal_features_stay_on_one_side(netflow, put, data_dir):
    base = netflow({"Benign": 150, "DoS": 150})
    frame = pd.concat([base, base.assign(IPV4_SRC_ADDR=7), base.head(100)], ignore_index=True)
    prepared = prepare.prepare(str(put(frame, "own.csv")), data_dir, "grouped")
    roles = {role: {row.tobytes() for row in prepare.load(prepared, role)[0]} for role in ROLES}
    assert sum(len(rows) for rows in roles.values()) == len(set.union(*roles.values())) == 300
    assert sum(prepared.size(role) for role in ROLES) == 700


def test_the_paper_split_does_put_equal_rows_on_both_sides(netflow, put, data_dir):
    frame = pd.concat([netflow({"Benign": 100, "DoS": 100})] * 3, ignore_index=True)
    prepared = prepare.prepare(str(put(frame, "own.csv")), data_dir, "paper")
    train, test = ({row.tobytes() for row in prepare.load(prepared, role)[0]} for role in ("train", "test"))
    assert train & test


def test_in_a_union_equal_rows_of_different_parts_stay_on_one_side(four_parts, put, data_dir):
    bot = four_parts["nf-bot-iot"]
    ton = bot.replace({"Attack": {"Reconnaissance": "scanning", "DDoS": "ddos", "DoS": "dos", "Theft": "mitm"}})
    put(ton, "NF-ToN-IoT.csv")
    prepared = prepare.prepare("nf-uq-nids", data_dir, "grouped", allowed=SUBSET)
    roles = {role: {row.tobytes() for row in prepare.load(prepared, role)[0]} for role in ROLES}
    assert not roles["train"] & roles["test"] and not roles["validation"] & roles["test"]
    assert not roles["train"] & roles["validation"]


# ---- the union and the two protocols


@pytest.mark.parametrize("split", SPLITS)
def test_the_unions_rows_of_each_role_are_exactly_its_parts_rows_of_that_role(split, four_parts, data_dir, rows_of):
    union = prepare.prepare("nf-uq-nids", data_dir, split, allowed=SUBSET)
    parts = [prepare.prepare(slug, data_dir, split, allowed=SUBSET) for slug in PARTS]
    for role in ROLES:
        assert rows_of(union, role) == sorted(n for part in parts for n in rows_of(part, role))
    assert sum(union.size(role) for role in ROLES) == sum(map(len, four_parts.values()))


@pytest.mark.parametrize("split", SPLITS)
@pytest.mark.parametrize("target", PARTS)
def test_no_test_row_of_the_target_is_trained_on_under_either_protocol(target, split, four_parts, data_dir, rows_of):
    test = set(rows_of(prepare.prepare(target, data_dir, split, allowed=SUBSET), "test"))
    paper = prepare.prepare("nf-uq-nids", data_dir, split, allowed=SUBSET)
    without = prepare.prepare(f"nf-uq-nids-without-{target}", data_dir, split, allowed=SUBSET)
    for source in (paper, without):
        assert test and not test & set(rows_of(source, "train", "validation"))
    assert test <= set(rows_of(paper, "test"))


@pytest.mark.parametrize("target", PARTS)
def test_leave_target_out_holds_every_row_but_the_targets(target, four_parts, data_dir, rows_of):
    source = prepare.prepare(f"nf-uq-nids-without-{target}", data_dir, allowed=SUBSET)
    others = [slug for slug in PARTS if slug != target]
    assert rows_of(source, *ROLES) == sorted(n for slug in others for n in four_parts[slug]["IN_BYTES"])
    assert list(source.parts) == others
    assert (source.name, source.paper_slug) == (f"nf-uq-nids-without-{target}", "")
    assert source.title == f"NF-UQ-NIDS without {DATASETS[target].title}"


def test_classes_of_the_union_are_the_parents(four_parts, data_dir):
    union = prepare.prepare("nf-uq-nids", data_dir, allowed=SUBSET)
    expected = Counter()
    for frame in four_parts.values():
        expected.update(PARENTS.get(name, name) for name in frame["Attack"])
    assert {name: sum(union.counts[role][name] for role in ROLES) for name in union.classes} == expected
    assert union.classes[0] == "Benign" and {"DoS", "Brute Force", "injection", "Backdoor"} <= set(union.classes)
    assert not {"DoS attacks-Hulk", "dos", "backdoor", "SQL Injection"} & set(union.classes)


def test_a_part_alone_keeps_its_own_class_names(four_parts, data_dir):
    prepare.prepare("nf-uq-nids", data_dir, allowed=SUBSET)
    part = prepare.prepare("nf-cse-cic-ids2018", data_dir, allowed=SUBSET)
    assert set(part.classes) == set(four_parts["nf-cse-cic-ids2018"]["Attack"])


@pytest.mark.parametrize("batch_rows", [50, 131_072])
def test_the_unions_own_file_is_read_where_the_parts_are_absent(
    batch_rows, union_frame, put, data_dir, rows_of, monkeypatch
):
    monkeypatch.setattr(parquet, "BATCH_ROWS", batch_rows)  # 50: batches without a row of the part
    put(union_frame, "NF-UQ-NIDS.csv")
    union = prepare.prepare("nf-uq-nids", data_dir, allowed=SUBSET)
    assert union.mark == "subset"
    assert rows_of(union, *ROLES) == sorted(union_frame["IN_BYTES"])
    found = {name: sum(union.counts[role][name] for role in ROLES) for name in union.classes}
    assert found == Counter(union_frame["Attack"])
    expected = sum(-(-len(rows) // 5) for _, rows in union_frame.groupby("Dataset"))
    assert union.size("test") == expected


def test_a_part_whose_own_file_is_absent_is_read_from_the_unions_with_its_classes_and_says_so(
    union_frame, put, data_dir, rows_of
):
    put(union_frame, "NF-UQ-NIDS.csv")
    union = prepare.prepare("nf-uq-nids", data_dir, allowed=SUBSET)
    for slug in PARTS:
        theirs = union_frame[union_frame["Dataset"] == DATASETS[slug].title]
        part = prepare.prepare(slug, data_dir, allowed=SUBSET)
        assert set(part.classes) == set(theirs["Attack"]) and part.mark == "subset"
        assert rows_of(part, *ROLES) == sorted(theirs["IN_BYTES"])
        assert set(rows_of(part, "test")) <= set(rows_of(union, "test"))
        assert "rows in NF-UQ-NIDS.csv, with the union's classes" in show.provenance(part)


def test_leave_target_out_of_the_unions_own_file_leaves_the_targets_rows_out(union_frame, put, data_dir, rows_of):
    put(union_frame, "NF-UQ-NIDS.csv")
    source = prepare.prepare("nf-uq-nids-without-nf-bot-iot", data_dir, allowed=SUBSET)
    assert rows_of(source, *ROLES) == sorted(union_frame.query("Dataset != 'NF-BoT-IoT'")["IN_BYTES"])


def test_a_part_with_its_own_file_comes_from_there_and_the_others_from_the_unions_file(
    union_frame, part_frames, netflow, put, data_dir, rows_of
):
    put(union_frame, "NF-UQ-NIDS.csv")
    own = netflow({"Benign": 40, "DDoS": 30}, start=90_000)
    put(own, "NF-BoT-IoT.csv")
    union = prepare.prepare("nf-uq-nids", data_dir, allowed=SUBSET)
    others = union_frame.query("Dataset != 'NF-BoT-IoT'")["IN_BYTES"]
    assert rows_of(union, *ROLES) == sorted([*others, *own["IN_BYTES"]])
    target = prepare.prepare("nf-bot-iot", data_dir, allowed=SUBSET)
    assert set(rows_of(target, "test")) <= set(rows_of(union, "test"))


def test_one_absent_part_is_simulated_and_the_whole_is_marked(four_parts, data_dir):
    (data_dir / "raw" / "NF-BoT-IoT.csv").unlink()
    union = prepare.prepare("nf-uq-nids", data_dir, allowed=SUBSET)
    assert union.mark == "simulated"
    assert {slug: part["mark"] for slug, part in union.parts.items()} == {
        slug: "simulated" if slug == "nf-bot-iot" else "subset" for slug in PARTS
    }


# ---- subsamples


@pytest.mark.parametrize("split", SPLITS)
@pytest.mark.parametrize("rows", [15, 16, 40, 333, 999])
def test_a_subsample_has_exactly_that_many_rows_of_every_class_in_their_roles(
    rows, split, netflow, put, data_dir, rows_of
):
    frame = netflow({"Benign": 800, "DoS": 300, "Worms": 20, "Theft": 15, "mitm": 10})
    path = str(put(frame, "own.csv"))
    full = prepare.prepare(path, data_dir, split)
    part = prepare.prepare(path, data_dir, split, rows=rows)
    assert sum(part.size(role) for role in ROLES) == rows and part.rows == rows
    for role in ROLES:
        assert set(rows_of(part, role)) <= set(rows_of(full, role))
        assert all(bool(part.counts[role][name]) == bool(full.counts[role][name]) for name in full.classes)
    assert part.mark == "own subset"


def test_a_subsample_keeps_the_proportions(netflow, put, data_dir):
    prepared = prepare.prepare(str(put(netflow({"Benign": 3000, "DoS": 1000}), "own.csv")), data_dir, rows=400)
    assert [prepared.size(role) for role in ROLES] == [288, 32, 80]
    assert all(
        abs(prepared.counts[role]["DoS"] / prepared.size(role) - 0.25) <= 1 / prepared.size(role) for role in ROLES
    )


def test_as_many_rows_as_there_are_is_no_subsample(netflow, put, data_dir):
    path = str(put(netflow({"Benign": 60, "DoS": 40}), "own.csv"))
    whole = prepare.prepare(path, data_dir)
    for rows in (100, 5000):
        assert prepare.prepare(path, data_dir, rows=rows) == replace(whole, rows=rows)


@pytest.mark.parametrize("rows", [None, 60])
def test_one_seed_draws_the_same_rows_again_and_another_seed_others(rows, netflow, put, data_dir, tmp_path, rows_of):
    path = str(put(netflow({"Benign": 200, "DoS": 100}), "own.csv"))
    first, again = (rows_of(prepare.prepare(path, tmp_path / d, seed=1, rows=rows), "test") for d in ("a", "b"))
    assert first == again
    assert rows_of(prepare.prepare(path, tmp_path / "a", seed=2, rows=rows), "test") != first


# ---- the cache


def test_a_second_call_reads_no_raw_file(four_parts, data_dir, monkeypatch):
    first = prepare.prepare("nf-uq-nids", data_dir, allowed=SUBSET)
    monkeypatch.setattr(raw, "inspect", lambda *_: pytest.fail("the raw file was looked at again"))
    monkeypatch.setattr(prepare, "_write", lambda *_: pytest.fail("the split was drawn again"))
    assert prepare.prepare("nf-uq-nids", data_dir, allowed=SUBSET) == first


def test_another_split_or_seed_draws_again_but_reads_no_raw_file_again(netflow, put, data_dir, monkeypatch):
    path = str(put(netflow({"Benign": 60, "DoS": 40}), "own.csv"))
    first = prepare.prepare(path, data_dir)
    monkeypatch.setattr(raw, "inspect", lambda *_: pytest.fail("the raw file was looked at again"))
    others = [prepare.prepare(path, data_dir, seed=1), prepare.prepare(path, data_dir, "grouped")]
    assert len({first.folder, *(other.folder for other in others)}) == 3


def test_everything_that_shapes_the_rows_makes_another_key(four_parts, data_dir, monkeypatch):
    def folder(**what):
        return prepare.prepare(**{"dataset": "nf-uq-nids", "data_dir": data_dir, "allowed": SUBSET, **what}).folder

    found = [folder(), folder(seed=1), folder(split="grouped")]
    found += [folder(rows=500), folder(rows=501), folder(rows=500, seed=1)]
    found += [folder(dataset=name) for name in (*(f"nf-uq-nids-without-{slug}" for slug in PARTS), "nf-bot-iot")]
    path = data_dir / "raw" / "NF-BoT-IoT.csv"
    path.write_text(path.read_text().replace("Theft", "DoS"))
    found.append(folder())
    os.utime(path, (1, 1))
    found.append(folder())
    monkeypatch.setattr(cleaned, "PREPARATION", 2)
    found.append(folder())
    assert len(set(found)) == len(found)


def test_a_file_of_another_size_is_read_again(netflow, put, data_dir, rows_of):
    path = str(put(netflow({"Benign": 60, "DoS": 40}), "own.csv"))
    prepare.prepare(path, data_dir)
    put(netflow({"Benign": 60, "DoS": 41}), "own.csv")
    assert len(rows_of(prepare.prepare(path, data_dir), *ROLES)) == 101


def test_a_subset_that_was_allowed_once_is_refused_when_it_is_not_allowed(netflow, put, data_dir):
    put(netflow({"Benign": 60, "DoS": 40}), "NF-BoT-IoT.csv")
    prepare.prepare("nf-bot-iot", data_dir, allowed=SUBSET)
    with pytest.raises(InputError, match="expected the 600,100 rows of NF-BoT-IoT, found 100 rows"):
        prepare.prepare("nf-bot-iot", data_dir)


@pytest.mark.parametrize("first", ["slug", "path"])
def test_one_file_read_as_a_dataset_and_as_ones_own_is_two_things(first, netflow, put, data_dir):
    path = put(netflow({"benign": 60, "dos": 40}), "nf-bot-iot.csv")
    names = {"slug": "nf-bot-iot", "path": str(path)}
    order = [first, *(name for name in names if name != first)]
    found = {name: prepare.prepare(names[name], data_dir, allowed=SUBSET) for name in order}
    assert (found["slug"].mark, found["slug"].classes) == ("subset", ("Benign", "DoS"))
    assert (found["path"].mark, found["path"].classes) == ("own", ("benign", "dos"))


# ---- interrupted, and two at once


@pytest.mark.parametrize("error", [KeyboardInterrupt, MemoryError, OSError(28, "No space left on device")])
@pytest.mark.parametrize("stage", ["clean", "split", "subsample"])
def test_an_interrupted_preparation_leaves_nothing_and_the_next_one_is_whole(
    stage, error, netflow, put, data_dir, monkeypatch, rows_of
):
    monkeypatch.setattr(raw, "BLOCK_BYTES", 2000)
    monkeypatch.setattr(parquet, "BATCH_ROWS", 50)
    path = str(put(netflow({"Benign": 150, "DoS": 50}), "own.csv"))
    module, name = {
        "clean": (cleaning, "clean_batch"), "split": (prepare, "_merged"), "subsample": (prepare, "_content"),
    }[stage]  # fmt: skip
    whole, calls = getattr(module, name), []

    def second_call_fails(*arguments):
        calls.append(1)
        if len(calls) == 2:
            raise error
        return whole(*arguments)

    before = {"clean": [], "split": ["clean"], "subsample": ["clean", "paper"]}[stage]
    if stage == "subsample":
        prepare.prepare(path, data_dir)
    monkeypatch.setattr(module, name, second_call_fails)
    with pytest.raises(InputError if isinstance(error, OSError) else error):
        prepare.prepare(path, data_dir, rows=60)
    assert [name.split("-")[1] for name in visible(data_dir)] == before
    assert len(list((data_dir / "prepared").iterdir())) == len(before)
    monkeypatch.setattr(module, name, whole)
    assert len(rows_of(prepare.prepare(path, data_dir), *ROLES)) == 200


KILLED = """
import os, signal, sys
from tlids_helpers.data import clean, parquet, prepare, raw, split
raw.BLOCK_BYTES, parquet.BATCH_ROWS, calls = 2000, 50, []
def die(*_):
    calls.append(1)
    if len(calls) == 3:
        os.kill(os.getpid(), signal.SIGKILL)
module, name = {"clean": (clean, "clean_batch"), "split": (split, "draw")}[sys.argv[3]]
whole = getattr(module, name)
setattr(module, name, lambda *arguments: (die(), whole(*arguments))[1])
prepare.prepare(sys.argv[1], sys.argv[2])
"""


@pytest.mark.parametrize("stage", ["clean", "split"])
def test_a_killed_preparation_leaves_no_half_written_file_that_is_ever_read(stage, netflow, put, data_dir, rows_of):
    path = str(put(netflow({"Benign": 150, "DoS": 50}), "own.csv"))
    killed = subprocess.run([sys.executable, "-c", KILLED, path, str(data_dir), stage], capture_output=True)
    assert killed.returncode == -signal.SIGKILL
    assert list((data_dir / "prepared").glob(".*.partial/*.parquet"))  # it was in the middle of writing
    assert [name.split("-")[1] for name in visible(data_dir)] == ([] if stage == "clean" else ["clean"])
    assert rows_of(prepare.prepare(path, data_dir), *ROLES) == list(range(200))


FULL_DISK = """
import resource, sys
from tlids_helpers.data import prepare, raw
from tlids_helpers.common.errors import InputError
raw.BLOCK_BYTES = 16 << 10
resource.setrlimit(resource.RLIMIT_FSIZE, (8000, 8000))
try:
    prepare.prepare(sys.argv[1], sys.argv[2])
except InputError as error:
    print(error)
"""


def test_a_disk_that_fills_up_while_writing_is_one_sentence_and_leaves_nothing(netflow, put, data_dir):
    path = str(put(netflow({"Benign": 3000, "DoS": 1000}), "own.csv"))
    run = subprocess.run([sys.executable, "-c", FULL_DISK, path, str(data_dir)], capture_output=True, text=True)
    assert run.returncode == 0 and run.stdout.count("\n") == 1
    assert str(data_dir / "prepared") in run.stdout and "File too large" in run.stdout
    assert not any((data_dir / "prepared").iterdir())


TOGETHER = """
import json, sys, time
from pathlib import Path
from tlids_helpers.data import clean, prepare
me, other, patience = Path(sys.argv[3]), Path(sys.argv[4]), time.monotonic() + 60
clean_batch = clean.clean_batch
def meet(*arguments):  # both have begun to write, neither has ended
    me.touch()
    while not other.exists() and time.monotonic() < patience:
        time.sleep(0.001)
    return clean_batch(*arguments)
clean.clean_batch = meet
prepared = prepare.prepare(sys.argv[1], sys.argv[2])
print(json.dumps([prepared.counts, prepare.load(prepared, "test")[0].sum().item()]))
"""


def test_two_processes_that_prepare_at_once_both_succeed_with_the_same_rows(netflow, put, data_dir, tmp_path):
    path = str(put(netflow({"Benign": 3000, "DoS": 1000}), "own.csv"))
    flags = [str(tmp_path / "one"), str(tmp_path / "two")]
    commands = [[sys.executable, "-c", TOGETHER, path, str(data_dir), *order] for order in (flags, flags[::-1])]
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    runs = [subprocess.Popen(command, **pipes) for command in commands]
    told = [run.communicate(timeout=120) for run in runs]
    assert [run.returncode for run in runs] == [0, 0], told
    assert json.loads(told[0][0]) == json.loads(told[1][0])
    assert len(list((data_dir / "prepared").iterdir())) == 2  # clean and split, no scratch left


# ---- recordings


@pytest.fixture
def recordings(netflow):
    """Rows of three recordings, in turn; the last one alone holds a class of its own."""
    frame = netflow({"Benign": 300, "DoS": 150})
    frame["Session"] = [f"session{index % 3 + 1}" for index in range(len(frame))]
    frame.loc[frame["Session"].eq("session3") & frame["Attack"].eq("DoS"), "Attack"] = "Scan"
    return frame


def test_the_last_recording_is_the_test_split_and_no_other_row_is(recordings, put, data_dir, rows_of):
    prepared = prepare.prepare(str(put(recordings, "own.csv")), data_dir, "session")
    last = recordings["Session"].eq("session3")
    assert rows_of(prepared, "test") == sorted(recordings.loc[last, "IN_BYTES"])
    assert rows_of(prepared, "train", "validation") == sorted(recordings.loc[~last, "IN_BYTES"])
    assert prepared.counts["test"] == {"DoS": 0} | recordings.loc[last, "Attack"].value_counts().to_dict()
    assert prepared.size("validation") == 30  # a tenth of the other 300 rows, of both their classes
    assert min(prepared.counts["validation"][name] for name in ("Benign", "DoS")) > 5
    assert prepared.split == "session"


def test_rows_without_a_recording_are_not_taken_for_test_rows(recordings, put, data_dir, rows_of):
    recordings.loc[:8, "Session"] = ""
    prepared = prepare.prepare(str(put(recordings, "own.csv")), data_dir, "session")
    assert rows_of(prepared, "test") == sorted(recordings.loc[recordings["Session"].eq("session3"), "IN_BYTES"])


def test_other_splits_of_recordings_do_not_look_at_them(recordings, put, data_dir):
    with_sessions = prepare.prepare(str(put(recordings, "own.csv")), data_dir)
    without = prepare.prepare(str(put(recordings.drop(columns="Session"), "elsewhere/own.csv")), data_dir)
    for role in ROLES:
        assert np.array_equal(prepare.load(with_sessions, role)[0], prepare.load(without, role)[0])


@pytest.mark.parametrize(
    ("frame", "found"),
    [
        (lambda frame: frame.drop(columns="Session"), "found none"),
        (lambda frame: frame.assign(Session="session1"), "found 1"),
    ],
)
def test_a_split_by_recordings_needs_two_of_them(frame, found, recordings, put, data_dir):
    with pytest.raises(InputError, match=f"'Session'.*{found}"):
        prepare.prepare(str(put(frame(recordings), "own.csv")), data_dir, "session")
    assert not [name for name in visible(data_dir) if "session" in name]


def test_what_the_meter_adds_is_never_offered_as_a_feature(cicflow, put, data_dir):
    frame = cicflow({"Benign": 60, "DoS": 40}).assign(
        FIRST_SWITCHED_MS=range(100), LAST_SWITCHED_MS=range(100), SRC_MAC="02:00:00:00:00:01", DST_MAC="",
        END_REASON="idle", IPV4_SRC_ADDR="10.0.0.1", IPV4_DST_ADDR="10.0.0.2", Session="a", Flow_Duration=1,
    )  # fmt: skip
    assert "Flow_Duration" in raw.inspect(put(frame, "own.csv")).extras
    file = raw.inspect(put(frame, "own.csv"))
    meters = {"FIRST_SWITCHED_MS", "LAST_SWITCHED_MS", "SRC_MAC", "DST_MAC", "END_REASON", "Session"}
    assert not meters & set(file.extras) and not {"IPV4_SRC_ADDR", "IPV4_DST_ADDR"} & set(file.extras)
