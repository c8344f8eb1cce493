"""Raw files of every kind, opened: the same rows from each, in bounded memory."""

import gzip
import subprocess
import sys
import zipfile

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tlids_helpers.data import cleaned as sources
from tlids_helpers.data import raw
from tlids_helpers.data.catalog import CICFLOW_FEATURES, DATASETS, NETFLOW_FEATURES

BOT = DATASETS["nf-bot-iot"]


def cleaned(path, data_dir) -> pd.DataFrame:
    """The cleaned rows of a user's own file."""
    return pq.read_table(sources.clean(str(path), data_dir, True)[0].file).to_pandas()


@pytest.fixture
def frame(netflow):
    return netflow({"Benign": 30, "DDoS": 20})


@pytest.fixture
def text(frame):
    return frame.to_csv(index=False)


def test_csv_rows_come_out_as_they_are_in_the_file(frame, put, data_dir):
    rows = cleaned(put(frame, "own.csv"), data_dir)
    assert list(rows.columns) == [*NETFLOW_FEATURES, "Attack"]
    expected = frame[[*NETFLOW_FEATURES, "Attack"]].astype(dict.fromkeys(NETFLOW_FEATURES, np.float32))
    pd.testing.assert_frame_equal(rows, expected, check_dtype=False)


@pytest.mark.parametrize("kind", ["csv.gz", "zip", "csv.zip", "parquet", "CSV", "CSV.GZ", "Parquet", "crlf.csv"])
def test_every_format_gives_the_rows_of_the_plain_csv(kind, frame, text, put, data_dir):
    path = put(text, f"other.{kind}")
    if kind.lower().endswith("gz"):
        path.write_bytes(gzip.compress(text.encode()))
    elif kind.endswith("zip"):
        with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
            archive.writestr("flows.csv", text)
    elif kind.lower() == "parquet":
        frame.to_parquet(path)
    elif kind == "crlf.csv":
        path.write_bytes(text.replace("\n", "\r\n").encode())
    pd.testing.assert_frame_equal(cleaned(path, data_dir), cleaned(put(text, "plain.csv"), data_dir))


@pytest.mark.parametrize(
    "types",
    [
        {"Attack": "category"},
        {"L4_SRC_PORT": "float64", "IN_BYTES": "uint64"},
        {"Attack": pd.ArrowDtype(pa.large_string()), "L4_SRC_PORT": pd.ArrowDtype(pa.large_string())},
        {"Attack": pd.ArrowDtype(pa.binary()), "L4_DST_PORT": pd.ArrowDtype(pa.string_view())},
    ],
    ids=["categories", "numbers", "large text", "bytes"],
)
def test_parquet_columns_of_other_types_give_the_same_rows(types, frame, text, put, data_dir):
    typed = frame.astype({name: str for name in types if str(types[name]).startswith(("large", "string"))})
    rows = cleaned(put(typed.astype(types), "typed.parquet"), data_dir)
    pd.testing.assert_frame_equal(rows, cleaned(put(text, "plain.csv"), data_dir))


def test_the_member_with_the_published_name_is_read_from_a_zip_of_several(text, put):
    path = put(b"", "NF-BoT-IoT.zip")
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("features.csv", "name,meaning\nIN_BYTES,bytes\n")
        archive.writestr("f7546561558c07c5_NFV1DATA/nf-bot-iot.CSV", text)
        archive.writestr("__MACOSX/._NF-BoT-IoT.csv", b"\x00\x05\x16\x07")
        archive.writestr("FurtherInformation.txt", "read me")
    file = raw.inspect(path, BOT)
    assert file.member == "f7546561558c07c5_NFV1DATA/nf-bot-iot.CSV"
    assert sum(len(batch) for batch in raw.read_batches(file)) == 50


@pytest.mark.parametrize(
    "name",
    [f"NF-BoT-IoT.{ending}" for ending in ("csv", "CSV", "csv.gz", "csv.zip", "zip", "parquet")] + ["nf-bot-iot.csv"],
)
def test_a_dataset_is_found_under_each_of_its_names(name, put, data_dir):
    path = put("x", name)
    put("x", "NF-BoT-IoT-v2.csv")
    assert raw.locate_file(BOT, data_dir / "raw") == path


def test_a_relatives_file_is_not_taken_for_the_datasets(put, data_dir):
    put("x", "NF-BoT-IoT-v2.csv")
    assert raw.locate_file(BOT, data_dir / "raw") is None
    assert raw.locate_file(BOT, data_dir / "absent") is None


@pytest.mark.parametrize("lead", ["", "\ufeff", "<!DOCTYPE html>\n", "\n\n", "\ufeff<!DOCTYPE html>\n<html>\n\n"])
def test_the_header_is_found_whatever_stands_before_it(lead, text, put, data_dir):
    file = raw.inspect(put(lead + text, "lead.csv"))
    assert (file.html_lines, file.bom) == (lead.count("<"), "\ufeff" in lead)
    pd.testing.assert_frame_equal(cleaned(file.path, data_dir), cleaned(put(text, "plain.csv"), data_dir))


def test_version_2_columns_in_another_order_are_read_by_name(frame, put, data_dir):
    shuffled = frame[sorted(frame.columns)]
    pd.testing.assert_frame_equal(
        cleaned(put(shuffled, "shuffled.csv"), data_dir), cleaned(put(frame, "plain.csv"), data_dir)
    )


PUBLISHED_SPELLINGS = {
    "underscores": list(CICFLOW_FEATURES),
    "blanks": [name.replace("_", " ") for name in CICFLOW_FEATURES],
    "cic-ids2017": [
        " Bwd Packet Length Std", " Bwd IAT Min", "Init_Win_bytes_forward", " Bwd IAT Mean",
        " Total Length of Bwd Packets", "Bwd IAT Total", " Subflow Fwd Bytes", " Destination Port", " Source Port",
    ],
    "cicflowmeter 4": [
        "Bwd Packet Length Std", "Bwd IAT Min", "FWD Init Win Bytes", "Bwd IAT Mean", "Total Length of Bwd Packet",
        "Bwd IAT Total", "Subflow Fwd Bytes", "Dst Port", "Src Port",
    ],
    "quoted, trailing blanks": [f'"{name.upper()} "' for name in CICFLOW_FEATURES],
}  # fmt: skip


@pytest.mark.parametrize("build", PUBLISHED_SPELLINGS)
def test_each_builds_spelling_of_the_nine_is_found(build, put):
    header = ",".join([*PUBLISHED_SPELLINGS[build], " Label"])
    file = raw.inspect(put(f"{header}\n1,2,3,4,5,6,7,8,9,BENIGN\n", "own.csv"))
    assert file.family == "cicflow" and file.extras == ()
    batch = next(raw.read_batches(file))
    assert [batch[name][0].as_py() for name in CICFLOW_FEATURES] == list("123456789")
    assert set(file.renamed) == {n for n in CICFLOW_FEATURES if n != file.found[n]}


def test_the_other_cicflowmeter_columns_are_kept_but_none_that_names_hosts_times_rows_or_classes(cicflow, put):
    frame = cicflow({"Normal": 2, "DoS": 2}).assign(Cat="x", Sub_Cat="y")
    frame.insert(0, "Unnamed: 0", range(4))
    frame.insert(0, "", range(4))
    file = raw.inspect(put(frame, "own.csv"))
    unwanted = {"", "Unnamed: 0", "Flow_ID", "Src_IP", "Dst_IP", "Timestamp", "Label", "Cat", "Sub_Cat"}
    assert set(file.extras) == set(frame.columns) - unwanted - set(CICFLOW_FEATURES)


def test_a_column_that_stands_twice_is_read_once(text, put, data_dir):
    lines = [f"{line},{line.split(',')[11]}" for line in text.splitlines()]
    pd.testing.assert_frame_equal(
        cleaned(put("\n".join(lines), "twice.csv"), data_dir), cleaned(put(text, "plain.csv"), data_dir)
    )


def test_bytes_that_are_no_utf_8_in_a_column_we_do_not_need_do_not_stop_the_reading(cicflow, put, data_dir):
    text = cicflow({"Normal": 5, "DoS": 5}).to_csv(index=False).encode()
    text = text.replace(b"01/01/2020", b"01/01/2020 \xcf\xc2\xce\xe7")
    assert len(cleaned(put(text, "own.csv"), data_dir)) == 10


@pytest.mark.parametrize("kind", ["csv", "parquet"])
def test_batches_are_bounded_whatever_the_files_size(kind, netflow, put, monkeypatch):
    monkeypatch.setattr(raw, "BLOCK_BYTES", 16 << 10)
    frame = pd.concat([netflow({"Benign": 10_000})] * 14)
    sizes = [len(batch) for batch in raw.read_batches(raw.inspect(put(frame, f"big.{kind}")))]
    assert sum(sizes) == 140_000
    assert max(sizes) <= (131_072 if kind == "parquet" else (16 << 10) // 28)  # a row has at least 28 characters


PEAK = """
import sys
import pyarrow as pa
from tlids_helpers.data import parquet, prepare, raw
raw.BLOCK_BYTES, parquet.BATCH_ROWS = 64 << 10, 4096
prepare.prepare(sys.argv[1], sys.argv[2], rows=1000)
print(pa.default_memory_pool().max_memory())
"""


def test_memory_does_not_grow_with_the_file(netflow, tmp_path):
    header, _, body = netflow({"Benign": 3000, "DoS": 3000}).to_csv(index=False).partition("\n")
    peaks = []
    for times in (15, 60):
        path = tmp_path / f"own{times}.csv"
        path.write_text(f"{header}\n{body * times}")
        run = [sys.executable, "-c", PEAK, str(path), str(tmp_path / "data")]
        peaks.append(int(subprocess.run(run, capture_output=True, text=True, check=True).stdout))
    assert path.stat().st_size > 15e6
    assert peaks[1] < 1.4 * peaks[0]
