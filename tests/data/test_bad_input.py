"""What cannot be used is refused in one sentence: what was expected, what was found, what to do."""

import errno
import gzip
import io
import re
import zipfile

import numpy as np
import pandas as pd
import pytest

from tlids_helpers.common import files
from tlids_helpers.common.errors import InputError
from tlids_helpers.data import prepare, raw
from tlids_helpers.data.catalog import DATASETS
from tlids_helpers.data.raw import SUBSET


@pytest.fixture
def refused(data_dir):
    """Prepare what must be refused with these facts in one sentence, and with nothing left behind."""

    def check(dataset, *facts: str, **what) -> InputError:
        with pytest.raises(InputError) as caught:
            prepare.prepare(str(dataset), what.pop("data_dir", data_dir), **what)
        text = str(caught.value)
        assert re.fullmatch(r"expected [^\n]+ found [^\n]+: [^\n]+[^.\s]", text) and len(text) < 550, text
        assert all(fact in text for fact in facts), text
        assert not list((data_dir / "prepared").glob(".*"))
        return caught.value

    return check


@pytest.fixture
def frame(netflow) -> pd.DataFrame:
    return netflow({"Benign": 30, "DDoS": 20})


@pytest.fixture
def text(frame) -> str:
    return frame.to_csv(index=False)


# ---- the published files


def test_a_version_2_file_under_a_version_1_slug(netflow, put, refused):
    put(netflow({"Benign": 30, "DDoS": 20}, version=2), "NF-BoT-IoT.csv")
    refused("nf-bot-iot", "version 1 of NF-BoT-IoT", "columns of version 2", "nf-bot-iot-v2", allowed=SUBSET)


def test_a_version_1_file_under_a_version_2_slug(frame, put, refused):
    put(frame, "NF-BoT-IoT-v2.csv")
    refused("nf-bot-iot-v2", "version 2 of NF-BoT-IoT", "columns of version 1", "slug nf-bot-iot for", allowed=SUBSET)


def test_a_version_3_file(netflow, put, refused):
    put(netflow({"Benign": 30, "DDoS": 20}, version=2).assign(FLOW_START_MILLISECONDS=0), "NF-BoT-IoT-v2.csv")
    refused("nf-bot-iot-v2", "version 2", "columns of version 3", "slug nf-bot-iot-v3 for", allowed=SUBSET)


def test_a_version_of_the_union_that_the_catalog_lacks(netflow, put, refused):
    put(netflow({"Benign": 30, "DDoS": 20}, version=3), "NF-UQ-NIDS-v2.csv")
    refused("nf-uq-nids-v2", "version 2", "columns of version 3", "give its path", allowed=SUBSET)


def test_a_file_of_the_other_family(frame, cicflow, put, refused):
    put(cicflow({"Benign": 30, "DDoS": 20}, "Attack"), "NF-BoT-IoT.csv")
    refused("nf-bot-iot", "a netflow dataset", "the cicflow family in NF-BoT-IoT.csv", allowed=SUBSET)
    put(frame, "CIC-ToN-IoT.csv")
    refused("cic-ton-iot", "a cicflow dataset", "the netflow family in CIC-ToN-IoT.csv")


def test_a_truncated_csv_lacks_rows_and_the_remedy_can_be_told_apart(text, put, refused):
    put(text[:-200], "NF-BoT-IoT.csv")
    error = refused("nf-bot-iot", "the 600,100 rows of NF-BoT-IoT", "found 4")
    assert "allow_subset=True" in error.remedy and "allow_subset" not in error.fault


def test_a_csv_cut_in_the_middle_of_a_label(netflow, put, refused):
    put(netflow({"DDoS": 50}).to_csv(index=False)[:-3], "NF-BoT-IoT.csv")
    refused("nf-bot-iot", "Benign, DDoS, DoS, Reconnaissance, Theft", "'DD'", allowed=SUBSET)


def publish(monkeypatch, **fields) -> None:
    """NF-BoT-IoT as if it had been published otherwise."""
    entry = DATASETS["nf-bot-iot"]
    monkeypatch.setitem(DATASETS, "nf-bot-iot", type(entry)(**{**entry.__dict__, **fields}))


def test_more_rows_than_published_are_no_subset(frame, put, refused, monkeypatch):
    publish(monkeypatch, total=49)
    put(frame, "NF-BoT-IoT.csv")
    error = refused("nf-bot-iot", "the 49 rows of NF-BoT-IoT", "found 50 rows", allowed=SUBSET)
    assert "allow_subset" not in str(error)


def test_more_rows_of_a_class_than_published_are_no_subset(netflow, put, refused):
    put(netflow({"Benign": 30, "Theft": 1910}), "NF-BoT-IoT.csv")
    error = refused("nf-bot-iot", "the 600,100 rows", "1,940 rows", "Theft", allowed=SUBSET)
    assert "allow_subset" not in str(error)


def test_the_right_number_of_rows_in_the_wrong_classes(frame, put, refused, monkeypatch):
    publish(monkeypatch, total=50, classes={"Benign": 31, "DDoS": 19})
    put(frame, "NF-BoT-IoT.csv")
    refused("nf-bot-iot", "the 50 rows of NF-BoT-IoT", "2 classes of other sizes")


def test_an_unknown_class(netflow, put, refused):
    put(netflow({"Benign": 30, "Smurf": 20}), "NF-BoT-IoT.csv")
    refused("nf-bot-iot", "Benign, DDoS, DoS, Reconnaissance, Theft", "'Smurf'", allowed=SUBSET)


def test_a_unions_file_without_its_dataset_column(union_frame, put, refused):
    put(union_frame.drop(columns="Dataset"), "NF-UQ-NIDS.csv")
    refused("nf-uq-nids", "a column 'Dataset' in NF-UQ-NIDS.csv", "found none", allowed=SUBSET)


def test_a_unions_dataset_column_with_a_name_that_is_no_part(union_frame, put, refused):
    union_frame.loc[7, "Dataset"] = "NF-Toy-IoT"
    put(union_frame, "NF-UQ-NIDS.csv")
    for dataset in ("nf-uq-nids", "nf-ton-iot"):
        refused(dataset, "parts NF-ToN-IoT, NF-BoT-IoT", "in the column 'Dataset'", "'NF-Toy-IoT'", allowed=SUBSET)


def test_a_unions_file_without_one_of_its_parts(union_frame, put, refused):
    put(union_frame.query("Dataset != 'NF-BoT-IoT'"), "NF-UQ-NIDS.csv")
    refused("nf-uq-nids", "rows of NF-BoT-IoT in NF-UQ-NIDS.csv", "found none", "put NF-BoT-IoT.csv", allowed=SUBSET)


# ---- files that are cut off or packed otherwise


def zipped(text: str) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("NF-BoT-IoT.csv", text)
    return buffer.getvalue()


def with_headers(archive: bytes, offset: int, value: int) -> bytes:
    """`archive` with one byte of its one member's local and central header set."""
    changed = bytearray(archive)
    for signature, start in ((b"PK\x03\x04", offset), (b"PK\x01\x02", offset + 2)):
        changed[changed.find(signature) + start] = value
    return bytes(changed)


def test_a_truncated_gzip_file(netflow, put, refused):
    whole = gzip.compress(netflow({"Benign": 3000, "DDoS": 2000}).to_csv(index=False).encode())
    put(whole[:-1000], "NF-BoT-IoT.csv.gz")
    refused("nf-bot-iot", "NF-BoT-IoT.csv.gz whole", "cannot be read to its end")
    refused(put(whole[:200], "own.csv.gz"), "own.csv.gz whole", "cannot be read to its end")  # before the first row


def test_a_damaged_zip(text, put, refused):
    put(zipped(text)[:-50], "NF-BoT-IoT.zip")
    refused("nf-bot-iot", "a zip archive", "NF-BoT-IoT.zip")
    damaged = bytearray(zipped(text))
    damaged[300:310] = bytes(10)
    put(bytes(damaged), "NF-BoT-IoT.zip")
    refused("nf-bot-iot", "NF-BoT-IoT.zip whole", "cannot be read to its end", "download it again")


@pytest.mark.parametrize(("offset", "value", "found"), [(6, 1, "encrypted"), (8, 9, "compression method")])
def test_a_zip_that_python_cannot_open(offset, value, found, text, put, refused):
    put(with_headers(zipped(text), offset, value), "NF-BoT-IoT.zip")
    refused("nf-bot-iot", "NF-BoT-IoT.zip whole", found, "unpack it")


def test_a_zip_of_several_files_none_of_which_is_the_datasets(text, put, refused):
    path = put(b"", "own.zip")
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("monday.csv", text)
        archive.writestr("tuesday.csv", text)
    refused(path, "one CSV in own.zip", "found 2")


def test_a_truncated_parquet_file(frame, put, refused):
    path = put(frame, "own.parquet")
    path.write_bytes(path.read_bytes()[:-20])
    refused(path, "a Parquet file", "own.parquet cannot be read as one")


# ---- files of another kind


PAGE = "<!DOCTYPE html>\n<html><head><title>Sign in</title></head>\n<body>Your session has expired</body></html>\n"
KINDS = {
    "a web page": ("NF-BoT-IoT.csv", PAGE, "a web page"),
    "a web page after blanks": ("NF-BoT-IoT.csv", f"\n  {PAGE.lower()}", "a web page"),
    "a bucket's answer": ("own.csv", '<?xml version="1.0"?><Error><Code>AccessDenied</Code></Error>', "a web page"),
    "empty": ("NF-BoT-IoT.csv", "", "an empty file"),
    "a byte-order mark": ("own.csv", "\ufeff", "an empty file"),
    "blank lines": ("own.csv", "\n\n  \n", "an empty file"),
    "a workbook": ("own.csv", zipped("<x/>").replace(b"NF-BoT-IoT.csv", b"xl/sheet1.xml."), "an Excel workbook"),
    "gzip": ("own.csv", gzip.compress(b"x"), "a gzip file"),
    "Parquet": ("own.csv", b"PAR1 and more", "a Parquet file"),
    "UTF-16": ("own.csv", "L4_SRC_PORT,Attack".encode("utf-16"), "no UTF-8 text"),
    "no gzip": ("own.csv.gz", "L4_SRC_PORT,Attack", "cannot be read"),
    "no Parquet": ("own.parquet", b"", "cannot be read"),
    "no Parquet, text": ("own.parquet", b"hello", "cannot be read"),
    "no Parquet, its marks": ("own.parquet", b"PAR1 and no more PAR1", "cannot be read"),
    "a spreadsheet": ("own.xlsx", "x", "own.xlsx"),
    "a text": ("own.txt", "x", "own.txt"),
}


@pytest.mark.parametrize("kind", KINDS)
def test_a_file_of_another_kind_is_called_what_it_is(kind, put, refused):
    name, content, found = KINDS[kind]
    path = put(content, name)
    refused("nf-bot-iot" if name.startswith("NF") else path, path.name, found)


@pytest.mark.parametrize(("separator", "word"), [("\t", "tabs"), (";", "semicolons"), ("|", "bars")])
def test_columns_that_are_not_separated_by_commas(separator, word, frame, put, refused):
    refused(put(frame.to_csv(index=False, sep=separator), "own.csv"), "commas between the columns of own.csv", word)


def test_a_csv_without_a_header(text, put, refused):
    body = text.split("\n", 1)[1]
    refused(put(body, "own.csv"), "a header line", f"found '{body[:10]}")


# ---- rows and columns that cannot be used


@pytest.mark.parametrize("end", ["", "\n", "\r\n", "\n\n"])
def test_a_header_and_no_row(end, text, put, refused):
    refused(put(text.splitlines()[0] + end, "own.csv"), "flows in own.csv", "only a header")


def test_no_row_that_can_be_used(frame, text, put, refused):
    refused(put(frame.head(0), "own.parquet"), "flows in own.parquet", "only a header")
    refused(put(frame.assign(IN_BYTES="nan"), "own.csv"), "flows in own.csv", "50 rows lack a number")
    lines = text.splitlines()
    commas = "\n".join([lines[0], *(f"{line}," for line in lines[1:])])
    refused(put(commas, "own.csv"), "flows in own.csv", "50 lines have another number of fields than the header")


@pytest.mark.parametrize(
    ("column", "called"), [("L4_SRC_PORT", "L4_SRCPRT"), ("IN_BYTES", "IN_BYTE"), ("TCP_FLAGS", "TCPFLAG")]
)
def test_a_missing_column_is_named_with_the_nearest_spelling(column, called, frame, put, refused):
    put(frame.rename(columns={column: called}), "NF-BoT-IoT.csv")
    refused("nf-bot-iot", f"a column '{column}' in NF-BoT-IoT.csv", f"'{called}'", allowed=SUBSET)


def test_a_missing_column_with_nothing_like_it(frame, put, refused):
    few = frame[["IN_BYTES", "OUT_BYTES", "Attack"]]
    refused(put(few, "own.csv"), "a column 'L4_SRC_PORT' in own.csv", "3 columns hold nothing like it")
    unlabelled = frame.drop(columns=["Attack", "Label"])
    refused(put(unlabelled, "own.parquet"), "a column 'Attack' in own.parquet", "found none")


@pytest.mark.parametrize("dataset", ["nf-bot-iot", "own.csv"])
def test_a_single_class(dataset, netflow, put, refused):
    path = put(netflow({"DDoS": 50}), "NF-BoT-IoT.csv" if dataset == "nf-bot-iot" else dataset)
    asked = dataset if dataset == "nf-bot-iot" else path
    refused(asked, f"two classes in {path.name}", "only 'DDoS'", allowed=SUBSET)


@pytest.mark.parametrize("kind", ["csv", "parquet"])
@pytest.mark.parametrize("word", ["http", "0x50", "1_000", "8O"])
def test_a_port_that_is_no_number_is_named_with_its_row(word, kind, frame, put, refused):
    frame = frame.astype({"L4_SRC_PORT": str})
    frame.loc[[36, 40], "L4_SRC_PORT"] = word, "later"
    refused(put(frame, f"own.{kind}"), f"a number in column 'L4_SRC_PORT' of own.{kind}", f"'{word}' in data row 37")


def test_the_row_is_right_in_a_later_batch_and_after_rows_without_a_label(frame, put, refused, monkeypatch):
    monkeypatch.setattr(raw, "BLOCK_BYTES", 300)
    frame = frame.astype({"L4_DST_PORT": str})
    frame.loc[40, "L4_DST_PORT"] = "https"
    frame.loc[:9, "Attack"] = ""
    frame.loc[20:22, "IN_PKTS"] = np.nan
    refused(put(frame, "own.csv"), "column 'L4_DST_PORT' of own.csv", "'https' in data row 41")


def test_a_column_of_dates_where_numbers_belong(frame, put, refused):
    frame = frame.assign(IN_BYTES=pd.Timestamp("2020-01-01"))
    refused(put(frame, "own.parquet"), "numbers in column 'IN_BYTES' of own.parquet", "timestamp")


def test_a_binary_task_is_refused_where_no_label_is_a_word_for_benign(frame, put, data_dir):
    prepared = prepare.prepare(str(put(frame.assign(Attack=frame.index % 2 + 1), "own.csv")), data_dir)
    assert prepared.classes == ("1", "2")
    with pytest.raises(InputError, match="a benign class in own.*found 1, 2"):
        prepare.class_list(prepared, "binary")


# ---- names, paths and parameters


@pytest.mark.parametrize("slug", ["nf-bot", "NF-BoT-IoT", "nf_ton_iot", "mnist", "mnist-without-nf-ton-iot"])
def test_an_unknown_slug_is_answered_with_the_list_of_slugs(slug, refused):
    refused(slug, *DATASETS, f"'{slug}'")


@pytest.mark.parametrize("dataset", ["nf-uq-nids-without-cic-ton-iot", "nf-uq-nids-without-nf-ton-iot-v2"])
def test_a_part_that_the_union_does_not_have_is_answered_with_its_parts(dataset, refused):
    refused(dataset, *DATASETS["nf-uq-nids"].parts, f"'{dataset.removeprefix('nf-uq-nids-without-')}'")


def test_nothing_can_be_left_out_of_a_dataset_without_parts(refused):
    refused("nf-bot-iot-without-nf-ton-iot", "no parts", "'nf-ton-iot'")


@pytest.mark.parametrize("name", ["absent.csv", "no such folder/flows.parquet", "absent.CSV.GZ"])
def test_a_path_that_does_not_exist(name, data_dir, refused):
    refused(data_dir / name, f"a file of flows at {data_dir / name}", "no such file")


def test_a_folder_or_a_link_to_nothing_instead_of_a_file(data_dir, refused):
    (data_dir / "raw" / "flows.csv").mkdir()
    for path in (data_dir / "raw", data_dir / "raw" / "flows.csv"):
        refused(path, f"a file of flows at {path}", "a folder")
    (data_dir / "raw" / "NF-BoT-IoT.csv").mkdir()
    refused("nf-bot-iot", "NF-BoT-IoT.csv", "a folder", allowed=SUBSET)
    (data_dir / "raw" / "NF-ToN-IoT.csv").symlink_to(data_dir / "elsewhere.csv")
    refused("nf-ton-iot", "NF-ToN-IoT.csv", "a link to nothing", allowed=SUBSET)


@pytest.mark.parametrize(("what", "expected"), [({"split": "random"}, "paper, grouped"), ({"seed": -1}, "0 or more")])
def test_a_parameter_out_of_range(what, expected, refused):
    refused("nf-bot-iot", expected, str(*what.values()), **what)


@pytest.mark.parametrize("rows", [-1, 0, 1, 5])
def test_fewer_rows_than_classes(rows, frame, put, refused):
    refused(put(frame, "own.csv"), "rows to be 6 or more", f"found {rows}", rows=rows)


@pytest.mark.parametrize(("benign", "split"), [(1, "paper"), (2, "grouped")])
def test_a_file_with_too_few_flows_to_split(benign, split, netflow, put, refused):
    refused(put(netflow({"Benign": benign, "DoS": 1}), "own.csv"), "enough flows of own", "0 for", split=split)


def test_a_task_that_is_none(frame, put, data_dir):
    prepared = prepare.prepare(str(put(frame, "own.csv")), data_dir)
    with pytest.raises(InputError, match="multiclass or binary.*'both'"):
        prepare.class_list(prepared, "both")


# ---- a folder that cannot be written to


def test_a_file_where_a_folder_should_be(frame, put, data_dir, tmp_path, refused):
    (data_dir / "prepared").write_text("in the way")
    refused(put(frame, "own.csv"), f"to write to {data_dir / 'prepared'}", "Not a directory")
    assert (data_dir / "prepared").read_text() == "in the way"
    (tmp_path / "file").write_text("in the way")
    refused(put(frame, "own.csv"), "to write to", "Not a directory", data_dir=tmp_path / "file")
    refused("nf-bot-iot", "to write to", "Not a directory", data_dir=tmp_path / "file")


def test_a_read_only_disk(frame, put, refused, monkeypatch):
    def refuse(*_, **__):
        raise OSError(errno.EROFS, "Read-only file system")

    path = put(frame, "own.csv")
    monkeypatch.setattr(files.Path, "mkdir", refuse)
    refused(path, "to write to", "Read-only file system", "data_dir, runs_dir")
