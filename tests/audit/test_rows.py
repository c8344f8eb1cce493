"""Counts by hand and against pandas: the census, support, exact repeats, and what conflicting labels allow."""

import math
from itertools import product

import numpy as np
import pandas as pd
import pytest
from hand_made import hand_made
from sklearn.metrics import f1_score

from tlids_helpers import audit
from tlids_helpers.audit import rows as audit_rows
from tlids_helpers.data import prepare, split
from tlids_helpers.data.catalog import DATASETS, NETFLOW_V1_COLUMNS
from tlids_helpers.data.raw import SUBSET, Allowed
from tlids_helpers.data.split import ROLES

CLASSES = ("Benign", "DoS", "Theft")
BOT = DATASETS["nf-bot-iot"]
# groups of equal rows, rows of each class in them: two pure ones, a tie, and a majority against a minority
COUNTS = np.array([[3, 0, 0], [0, 2, 0], [0, 2, 2], [1, 0, 4]])
NINE = list(range(9))


def counted(frame: pd.DataFrame, quantity: str) -> list:
    return frame.set_index("quantity").loc[quantity, ["published", "here", "difference"]].tolist()


def test_a_subset_with_another_column_and_a_class_less(netflow, put, data_dir):
    frame = netflow({"Benign": 60, "DoS": 40, "Theft": 20, "DDoS": 10}).astype({"IN_PKTS": float})
    frame.loc[:2, "IN_PKTS"] = float("inf")
    put(frame.assign(Dataset="x").drop(columns="IPV4_SRC_ADDR"), "NF-BoT-IoT.csv")
    prepared = prepare.prepare("nf-bot-iot", data_dir, allowed=Allowed(subset=True, loss=0.05))
    check = audit.census(prepared, "nf-bot-iot", data_dir)
    found = check.table
    assert found.columns.name == "subset"
    assert counted(found, "rows in the file") == [600_100, 130, -599_970]
    assert counted(found, "rows kept in the split") == [600_100, 127, -599_973]
    assert counted(found, "columns") == [14, 14, 0]
    assert counted(found, "classes") == [5, 4, -1]
    notes = found.set_index("quantity")["note"]
    assert notes["columns"] == "not here: 'IPV4_SRC_ADDR'; not published: 'Dataset'"
    assert notes["classes"] == "not here: 'Reconnaissance'"
    assert "rows in the file: 130 (600,100 published); " in check.sentence


def test_an_own_file_is_counted_without_anything_published(netflow, put, data_dir):
    path = str(put(netflow({"Benign": 60, "DoS": 40}), "own.csv"))
    check = audit.census(prepare.prepare(path, data_dir), path, data_dir)
    found = check.table
    assert found["published"].isna().all() and found["difference"].isna().all() and not found["note"].any()
    assert found["here"].tolist() == [100, 100, len(NETFLOW_V1_COLUMNS), 2]
    assert check.sentence == "rows in the file: 100; rows kept in the split: 100; columns: 14; classes: 2."


def test_a_stand_in_has_no_file_whose_columns_could_be_counted(data_dir):
    check = audit.census(prepare.prepare("nf-bot-iot", data_dir), "nf-bot-iot", data_dir)
    found = check.table
    assert found.columns.name == "simulated"
    assert found.set_index("quantity")["here"].isna().to_dict()["columns"]
    assert "columns: unknown" in check.sentence and "published" not in check.sentence  # never side by side


@pytest.mark.parametrize("source", ["parts", "union"])
def test_a_unions_rows_are_counted_once_from_its_parts_or_from_its_own_file(
    source, part_frames, union_frame, put, data_dir
):
    if source == "union":
        put(union_frame, "NF-UQ-NIDS.csv")
    else:
        for slug, frame in part_frames.items():
            put(frame, DATASETS[slug].file)
    union = prepare.prepare("nf-uq-nids", data_dir, allowed=SUBSET)
    found = audit.census(union, "nf-uq-nids", data_dir).table
    assert counted(found, "rows in the file")[:2] == [11_994_893, len(union_frame)]


def test_a_column_under_a_known_other_spelling_is_not_missing(cicflow, put, data_dir):
    put(
        cicflow({"Normal": 60, "Mirai": 40}, "Cat").rename(columns={"Src_Port": "Source Port"}),
        "IoT Network Intrusion Dataset.csv",
    )
    prepared = prepare.prepare("iot-network-intrusion", data_dir, allowed=SUBSET)
    note = audit.census(prepared, "iot-network-intrusion", data_dir).table.set_index("quantity").loc["columns", "note"]
    assert "Src_Port" not in note and "Source Port" not in note and "'Sub_Cat'" in note


@pytest.fixture
def few_rows(tmp_path):
    classes = ("Benign", "DoS", "Theft", "Worms")
    test = [(1, "Benign")] * 50 + [(2, "DoS")] * 49 + [(3, "Theft")] * 4
    return hand_made(tmp_path, classes, train=[(1, "Benign")] * 3 + [(5, "Worms")], validation=[(2, "DoS")], test=test)


def test_support_per_class_and_role(few_rows):
    found = audit.support(few_rows).table.set_index("class")
    assert found.columns.name == "own"
    assert found[["train", "validation", "test"]].to_numpy().tolist() == [[3, 0, 50], [0, 1, 49], [0, 0, 4], [1, 0, 0]]
    assert found["one_row"].tolist()[:3] == pytest.approx([0.02, 1 / 49, 0.25]) and math.isnan(found["one_row"].iloc[3])


def test_a_class_with_49_test_rows_has_too_few_and_one_with_50_has_not(few_rows):
    check = audit.support(few_rows)
    assert check.table["few"].tolist() == [False, True, True, True]
    assert check.sentence == "3 of 4 classes have fewer than 50 test rows: DoS (49), Theft (4), Worms (0)."
    other = audit.support(few_rows, 4)
    assert other.table["few"].tolist() == [False, False, False, True]
    assert other.sentence == "1 of 4 classes have fewer than 4 test rows: Worms (0)."
    assert audit.support(few_rows, 0).sentence == "All 4 classes have 0 test rows or more."


@pytest.fixture
def repeated(tmp_path):
    return hand_made(
        tmp_path / "p",
        CLASSES,
        train=[(1, "Benign"), (1, "Benign"), (2, "DoS"), (3, "DoS"), (1, "DoS")],
        validation=[(4, "DoS"), (9, "Theft")],
        test=[(1, "Benign"), (2, "Benign"), (4, "DoS"), (3, "DoS"), (9, "Theft"), (5, "Theft")],
    )


def several_rows(n: int = 400) -> np.ndarray:
    """Rows of which most are there more than once."""
    return np.random.default_rng(0).integers(0, 3, (n, 9)).astype(np.float32) // 2


def colliding(rows: np.ndarray, seed: int) -> np.ndarray:
    return np.zeros(len(rows), dtype=np.uint64)


def test_repeats_by_hand_per_class_and_in_all(repeated):
    found = audit.duplicates(repeated).table.set_index("class")
    assert found.columns.name == "own"
    # in order: 1B 1B* 2D 3D 1D* | 4D 9T | 1B* 2B* 4D* 3D* 9T* 5T
    assert found["rows"].to_dict() == {"Benign": 4, "DoS": 6, "Theft": 3, "all": 13}
    assert found["repeats"].to_dict() == {"Benign": 3, "DoS": 3, "Theft": 1, "all": 7}
    # 2 under Benign repeats a DoS row, 1 under DoS a Benign one: not on the class too
    assert found["repeats_labelled"].to_dict() == {"Benign": 2, "DoS": 2, "Theft": 1, "all": 5}
    assert found.loc["all", "share"] == pytest.approx(7 / 13)
    assert (
        audit.duplicates(repeated).sentence
        == "7 of 13 rows repeat an earlier row on the features, 5 of them on the class too."
    )


def test_test_rows_with_a_training_twin_by_hand(repeated):
    check = audit.twins(repeated)
    found = check.table.set_index("class")
    assert found["rows"].to_dict() == {"Benign": 2, "DoS": 2, "Theft": 2, "all": 6}
    # 1 and 2 (the latter a DoS row in training), 3; 4 and 9 are validation rows, 5 is nowhere else
    assert found["twins"].to_dict() == {"Benign": 2, "DoS": 1, "Theft": 0, "all": 3}
    assert found["twins_labelled"].to_dict() == {"Benign": 1, "DoS": 1, "Theft": 0, "all": 2}
    assert check.sentence == "3 of 6 test rows equal a training row on the features, 2 of them on the class too."


def test_a_class_without_rows_has_no_line(tmp_path):
    repeated = hand_made(tmp_path, CLASSES, train=[(1, "Benign")], validation=[(2, "DoS")], test=[(3, "DoS")])
    assert audit.duplicates(repeated).table["class"].tolist() == ["Benign", "DoS", "all"]
    assert audit.twins(repeated).table["class"].tolist() == ["DoS", "all"]
    assert audit.twins(repeated).table["twins"].tolist() == [0, 0]


@pytest.mark.parametrize("hashes", [split.hash_rows, colliding])
def test_equality_is_exact_even_where_all_hashes_collide(hashes, monkeypatch, repeated):
    monkeypatch.setattr(split, "hash_rows", hashes)
    rows = several_rows()
    ids = audit_rows.group_ids(rows)
    oracle = pd.DataFrame(rows).groupby(list(range(9))).ngroup().to_numpy()
    assert len(set(zip(ids, oracle, strict=True))) == len(set(ids)) == len(set(oracle)) > 100
    assert audit.twins(repeated).table["twins"].tolist() == [2, 1, 0, 3]
    assert audit.duplicates(repeated).table["repeats"].tolist() == [3, 3, 1, 7]


@pytest.mark.parametrize("hashes", [split.hash_rows, colliding])
def test_minus_zero_is_zero_and_a_neighbouring_float_is_another_value(hashes, monkeypatch):
    monkeypatch.setattr(split, "hash_rows", hashes)
    rows = np.float32([[0.0, 7.0], [-0.0, 7.0], [0.0, np.nextafter(np.float32(7), np.float32(8))]])
    zero, minus, neighbour = audit_rows.group_ids(rows)
    assert zero == minus != neighbour


def test_minus_zero_repeats_zero(tmp_path):
    rows = [(np.zeros(9), "DoS"), (-np.zeros(9), "DoS"), (np.ones(9), "DoS")]
    repeated = hand_made(tmp_path, CLASSES, train=rows, test=[(-np.zeros(9), "DoS")])
    assert audit.duplicates(repeated).table["repeats"].iloc[-1] == 2


def test_one_feature_that_differs_makes_another_row(tmp_path):
    row = list(range(9))
    others = [[*row[:column], 99, *row[column + 1 :]] for column in range(9)]
    repeated = hand_made(
        tmp_path, CLASSES, train=[(row, "DoS")], test=[(row, "DoS"), *((other, "DoS") for other in others)]
    )
    assert audit.twins(repeated).table.set_index("class").loc["all", ["rows", "twins"]].tolist() == [10, 1]


def test_twins_are_found_in_every_batch_of_a_streamed_file(tmp_path, monkeypatch):
    rows = [(value, "DoS") for value in range(50)]
    repeated = hand_made(tmp_path, CLASSES, train=rows, test=[*rows, (99, "DoS")])
    stream = audit_rows.parquet.stream_parquet
    monkeypatch.setattr(audit_rows.parquet, "stream_parquet", lambda path, columns: stream(path, 7, columns))
    assert audit.twins(repeated).table.set_index("class").loc["all", "twins"] == 50


def as_rows(counts: np.ndarray) -> list[tuple[float, str]]:
    return [(g, CLASSES[c]) for g, row in enumerate(counts) for c, n in enumerate(row) for _ in range(n)]


def spelled_out(counts: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The group and the class of each row."""
    group, code = np.nonzero(counts)
    return np.repeat(group, counts[group, code]), np.repeat(code, counts[group, code])


def all_confusions(counts: np.ndarray) -> np.ndarray:
    """The confusion matrix (true, named) of every way to give each group a class, (C ** G, C, C)."""
    n_classes = counts.shape[1]
    ways = np.array(list(product(range(n_classes), repeat=len(counts))))
    return np.einsum("gt,wgn->wtn", counts, np.eye(n_classes, dtype=int)[ways])


@pytest.fixture
def conflicting(tmp_path):
    return hand_made(tmp_path, CLASSES, test=as_rows(COUNTS))


def test_the_ceiling_by_hand(conflicting):
    check, by_class = audit.ceiling(conflicting), audit.ceiling_by_class(conflicting)
    scores = check.table.set_index("score")["best"]
    assert scores["accuracy"] == pytest.approx(11 / 14)
    assert check.table.columns.name == by_class.table.columns.name == "own"
    # Benign: 3 of 4; DoS: 4 of 4 with the tie; Theft: 4 of 6, or all 6 with the tie
    table = by_class.table.set_index("class")
    assert table["recall"].to_dict() == pytest.approx({"Benign": 3 / 4, "DoS": 1, "Theft": 1, "all": 11 / 14})
    assert table["recall_without_false"].to_dict() == pytest.approx(
        {"Benign": 3 / 4, "DoS": 1 / 2, "Theft": 0, "all": 5 / 14}
    )
    # F1: 2*3/(4+3); DoS with the tie 2*4/(4+6), without 2*2/(4+2); Theft 2*6/(6+9), without the tie 2*4/(6+5)
    assert table["best_f1"][:3].to_dict() == pytest.approx({"Benign": 6 / 7, "DoS": 4 / 5, "Theft": 12 / 15})
    assert scores["macro_f1"] == pytest.approx((6 / 7 + 4 / 5 + 12 / 15) / 3)
    assert by_class.sentence == "Classes that share rows with others: Benign (1 rows), DoS (2 rows), Theft (6 rows)."
    assert check.sentence == (  # two of the tie and one of the minority are wrong
        "9 of 14 test rows equal a row of another class, so every model gets at least 3 wrong: at best an accuracy "
        "of 0.7857 and a macro-F1 of at most 0.8190."
    )


def test_the_majority_oracles_macro_f1_is_scikit_learns(conflicting):
    groups, truth = spelled_out(COUNTS)
    expected = f1_score(truth, COUNTS.argmax(axis=1)[groups], average="macro")
    scores = audit.ceiling(conflicting).table.set_index("score")["best"]
    assert scores["macro_f1_majority"] == pytest.approx(expected)


@pytest.mark.parametrize("seed", range(6))
def test_no_labelling_beats_the_bounds_and_the_exact_ones_are_reached(seed):
    rng = np.random.default_rng(seed)
    counts = rng.integers(1, 5, (7, 3)) * rng.integers(0, 2, (7, 3))
    counts = np.concatenate([counts[counts.any(axis=1)], np.eye(3, dtype=int)[:1] + [[0, 2, 3]]])
    confusions = all_confusions(counts)
    hits, rows, named = np.diagonal(confusions, axis1=1, axis2=2), counts.sum(axis=0), confusions.sum(axis=1)
    accuracy, recall, f1 = hits.sum(axis=1) / rows.sum(), hits / rows, 2 * hits / (rows + named)
    bounds = audit_rows.score_bounds(counts).set_index("score")["best"]
    assert bounds["accuracy"] == pytest.approx(accuracy.max())
    assert bounds["balanced_accuracy"] == pytest.approx(recall.mean(axis=1).max())
    assert bounds["macro_f1_majority"] - 1e-12 <= f1.mean(axis=1).max() <= bounds["macro_f1"] + 1e-12
    per_class = audit_rows.class_bounds(counts, CLASSES).set_index("class").loc[list(CLASSES)]
    assert per_class["best_f1"].tolist() == pytest.approx(f1.max(axis=0).tolist())
    assert per_class["recall"].tolist() == pytest.approx(recall[accuracy > accuracy.max() - 1e-12].max(axis=0).tolist())
    without_false = np.where(named == hits, recall, 0).max(axis=0)
    assert per_class["recall_without_false"].tolist() == pytest.approx(without_false.tolist())


def test_without_conflicts_everything_can_be_reached(tmp_path):
    prepared = hand_made(tmp_path, CLASSES, test=[(1, "Benign"), (2, "DoS"), (2, "DoS"), (3, "Theft")])
    assert audit.ceiling(prepared).sentence.startswith("0 of 4 test rows equal a row of another class, so every "
                                                       "model gets at least 0 wrong")  # fmt: skip
    assert (audit.ceiling(prepared).table["best"] == 1).all()
    assert (audit.ceiling_by_class(prepared).table["recall"] == 1).all()
    assert audit.ceiling_by_class(prepared).sentence == "Classes that share rows with others: none."


def test_pure_groups_are_one_group_and_conflicts_stay_apart():
    features = np.float32([[1], [2], [2], [3], [3], [4], [4], [5]])
    codes = np.array([0, 0, 0, 0, 1, 0, 1, 1])
    counts = audit_rows.group_counts(features, codes, 3)
    assert sorted(map(tuple, counts.tolist())) == [(0, 1, 0), (1, 1, 0), (1, 1, 0), (3, 0, 0)]


def test_the_test_split_has_its_own_conflicts_alone_and_the_whole_dataset_all_of_them(tmp_path):
    prepared = hand_made(
        tmp_path, CLASSES, train=[(1, "DoS"), (1, "DoS")], validation=[(2, "Theft")], test=[(1, "Theft"), (3, "Benign")]
    )
    assert audit.ceiling(prepared).sentence.startswith("0 of 2 test rows equal")
    whole = audit.ceiling(prepared, roles=ROLES)
    assert whole.sentence.startswith("3 of 5 rows equal") and "gets at least 1 wrong" in whole.sentence
    # DoS and Theft are both attacks
    assert "gets at least 0 wrong" in audit.ceiling(prepared, "binary", ROLES).sentence


def test_a_class_without_rows_lowers_no_average(tmp_path):
    prepared = hand_made(tmp_path, CLASSES, test=[(1, "Benign"), (2, "DoS")])
    assert audit.ceiling_by_class(prepared).table["class"].tolist() == ["Benign", "DoS", "all"]
    assert (audit.ceiling(prepared).table["best"] == 1).all()


# The counts of the real NF-BoT-IoT-v2 sample, with pandas as the oracle. They need TLIDS_SHARED, and skip without.


@pytest.fixture(scope="module")
def bot(shared, tmp_path_factory):
    raw = tmp_path_factory.mktemp("real") / "raw"
    raw.mkdir()
    (raw / "NF-BoT-IoT-v2.csv.gz").symlink_to(shared / "data" / "netflow" / "NF-BoT-IoT-v2.sample.csv.gz")
    return prepare.prepare("nf-bot-iot-v2", raw.parent, allowed=SUBSET)


@pytest.fixture(scope="module")
def bot_rows(bot) -> pd.DataFrame:
    loaded = {role: prepare.load(bot, role) for role in ROLES}
    return pd.concat([pd.DataFrame(x).assign(code=y, role=role) for role, (x, y) in loaded.items()], ignore_index=True)


def test_92158_rows_repeat_an_earlier_one(bot, bot_rows):
    found = audit.duplicates(bot).table.set_index("class").loc["all"]
    assert found["repeats"] == bot_rows.duplicated(NINE).sum() == 92_158  # design.md
    assert found["repeats_labelled"] == bot_rows.duplicated([*NINE, "code"]).sum()


def test_test_rows_with_a_training_twin_are_those_that_pandas_joins(bot, bot_rows):
    found = audit.twins(bot).table.set_index("class")
    train, test = (bot_rows[bot_rows["role"] == role] for role in ("train", "test"))
    for name, on in (("twins", NINE), ("twins_labelled", [*NINE, "code"])):
        joined = test.merge(train[on].drop_duplicates(), on=on)
        assert found.loc["all", name] == len(joined)
        assert found.loc[list(bot.classes), name].tolist() == joined["code"].value_counts().sort_index().tolist()


def test_the_best_accuracy_is_the_majority_label_of_each_distinct_row(bot, bot_rows):
    check = audit.ceiling(bot, roles=ROLES)
    per_row = bot_rows.groupby(NINE)["code"]
    best = bot_rows.groupby([*NINE, "code"]).size().groupby(NINE).max().sum() / len(bot_rows)
    assert check.table.set_index("score").loc["accuracy", "best"] == pytest.approx(best)
    assert round(best, 3) == 0.995  # design.md
    assert check.sentence.startswith(f"{(per_row.transform('nunique') > 1).sum():,} of 278,781 rows equal a row")
