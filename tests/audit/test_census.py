"""What a file holds against what was published."""

import pandas as pd
import pytest

from tlids_helpers.audit import census
from tlids_helpers.data import prepare
from tlids_helpers.data.catalog import DATASETS, NETFLOW_V1_COLUMNS

ENTRY = DATASETS["nf-bot-iot"]


def counted(frame: pd.DataFrame, quantity: str) -> list:
    return frame.set_index("quantity").loc[quantity, ["published", "here", "difference"]].tolist()


def test_a_subset_with_another_column_and_a_class_less(netflow, put, data_dir):
    frame = netflow({"Benign": 60, "DoS": 40, "Theft": 20, "DDoS": 10}).astype({"IN_PKTS": float})
    frame.loc[:2, "IN_PKTS"] = float("inf")
    put(frame.assign(Dataset="x").drop(columns="IPV4_SRC_ADDR"), "NF-BoT-IoT.csv")
    prepared = prepare.prepare("nf-bot-iot", data_dir, allow_subset=True)
    found = census.table(prepared, "nf-bot-iot", data_dir)
    assert found.columns.name == "subset"
    assert counted(found, "rows in the file") == [600_100, 130, -599_970]
    assert counted(found, "rows kept in the split") == [600_100, 127, -599_973]
    assert counted(found, "columns") == [14, 14, 0]
    assert counted(found, "classes") == [5, 4, -1]
    notes = found.set_index("quantity")["note"]
    assert notes["columns"] == "not here: 'IPV4_SRC_ADDR'; not published: 'Dataset'"
    assert notes["classes"] == "not here: 'Reconnaissance'"
    assert "rows in the file: 130 (600,100 published); " in census.sentence(found)


def test_an_own_file_is_counted_without_anything_published(netflow, put, data_dir):
    path = str(put(netflow({"Benign": 60, "DoS": 40}), "own.csv"))
    found = census.table(prepare.prepare(path, data_dir), path, data_dir)
    assert found["published"].isna().all() and found["difference"].isna().all() and not found["note"].any()
    assert found["here"].tolist() == [100, 100, len(NETFLOW_V1_COLUMNS), 2]
    assert census.sentence(found) == "rows in the file: 100; rows kept in the split: 100; columns: 14; classes: 2."


def test_a_stand_in_has_no_file_whose_columns_could_be_counted(data_dir):
    found = census.table(prepare.prepare("nf-bot-iot", data_dir), "nf-bot-iot", data_dir)
    assert found.columns.name == "simulated"
    assert found.set_index("quantity")["here"].isna().to_dict()["columns"]
    assert "columns: unknown (14 published)" in census.sentence(found)


@pytest.mark.parametrize("source", ["parts", "union"])
def test_a_unions_rows_are_counted_once_from_its_parts_or_from_its_own_file(
    source, part_frames, union_frame, put, data_dir
):
    if source == "union":
        put(union_frame, "NF-UQ-NIDS.csv")
    else:
        for slug, frame in part_frames.items():
            put(frame, DATASETS[slug].file)
    union = prepare.prepare("nf-uq-nids", data_dir, allow_subset=True)
    found = census.table(union, "nf-uq-nids", data_dir)
    assert counted(found, "rows in the file")[:2] == [11_994_893, len(union_frame)]


def test_a_column_under_a_known_other_spelling_is_not_missing(cicflow, put, data_dir):
    put(
        cicflow({"Normal": 60, "Mirai": 40}, "Cat").rename(columns={"Src_Port": "Source Port"}),
        "IoT Network Intrusion Dataset.csv",
    )
    prepared = prepare.prepare("iot-network-intrusion", data_dir, allow_subset=True)
    note = census.table(prepared, "iot-network-intrusion", data_dir).set_index("quantity").loc["columns", "note"]
    assert "Src_Port" not in note and "Source Port" not in note and "'Sub_Cat'" in note
