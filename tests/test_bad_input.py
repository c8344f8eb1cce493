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


@pytest.fixture
def refused(data_dir):
    """Prepare something that must be refused; returns the sentence, checked for its form, and that nothing stays."""

    def sentence(dataset, **what) -> str:
        with pytest.raises(InputError) as caught:
            prepare.prepare(str(dataset), what.pop("data_dir", data_dir), **what)
        text = str(caught.value)
        assert caught.value._render_traceback_() == [f"InputError: {text}"]
        assert re.fullmatch(r"expected [^\n]+(found|but) [^\n]+: [^\n]+[^.\s]", text), text
        assert len(text) < 550 and "Traceback" not in text
        assert not list((data_dir / "prepared").glob(".*"))
        return text

    return sentence


@pytest.fixture
def frame(netflow):
    return netflow({"Benign": 30, "DDoS": 20})


@pytest.fixture
def text(frame):
    return frame.to_csv(index=False)


# ---- the published files


def test_a_version_2_file_under_a_version_1_slug(netflow, put, refused):
    put(netflow({"Benign": 30, "DDoS": 20}, version=2), "NF-BoT-IoT.csv")
    said = refused("nf-bot-iot", allow_subset=True)
    assert "expected version 1 of NF-BoT-IoT, but NF-BoT-IoT.csv has the columns of version 2" in said
    assert "use the slug nf-bot-iot-v2" in said


def test_a_version_1_file_under_a_version_2_slug(frame, put, refused):
    put(frame, "NF-BoT-IoT-v2.csv")
    said = refused("nf-bot-iot-v2", allow_subset=True)
    assert "expected version 2 of NF-BoT-IoT, but NF-BoT-IoT-v2.csv has the columns of version 1" in said
    assert "use the slug nf-bot-iot for it" in said


def test_a_version_3_file(netflow, put, refused):
    put(netflow({"Benign": 30, "DDoS": 20}, version=2).assign(FLOW_START_MILLISECONDS=0), "NF-BoT-IoT-v2.csv")
    said = refused("nf-bot-iot-v2", allow_subset=True)
    assert "columns of version 3: version 3 is not in the catalog: give its path instead" in said


def test_a_file_of_the_other_family(cicflow, put, refused):
    put(cicflow({"Benign": 30, "DDoS": 20}, "Attack"), "NF-BoT-IoT.csv")
    said = refused("nf-bot-iot", allow_subset=True)
    assert "a netflow dataset, but NF-BoT-IoT.csv has the columns of the cicflow family: give its own slug" in said


def test_a_netflow_file_under_a_cicflowmeter_slug(frame, put, refused):
    put(frame, "CIC-ToN-IoT.csv")
    assert "a cicflow dataset, but CIC-ToN-IoT.csv has the columns of the netflow" in refused("cic-ton-iot")


def test_a_truncated_csv_lacks_rows(text, put, refused):
    put(text[:-200], "NF-BoT-IoT.csv")
    said = refused("nf-bot-iot")
    assert re.search(r"expected the 600,100 rows of NF-BoT-IoT, found 4\d rows in NF-BoT-IoT.csv", said)
    assert "download it again, or set allow_subset=True if a part of it is meant" in said


def test_a_csv_cut_in_the_middle_of_a_label(netflow, put, refused):
    put(netflow({"DDoS": 50}).to_csv(index=False)[:-3], "NF-BoT-IoT.csv")
    said = refused("nf-bot-iot", allow_subset=True)
    assert "found 'DD': check that the file is whole" in said


def test_more_rows_than_published_are_no_subset(frame, put, refused, monkeypatch):
    entry = DATASETS["nf-bot-iot"]
    monkeypatch.setitem(DATASETS, "nf-bot-iot", type(entry)(**{**entry.__dict__, "total": 49}))
    put(frame, "NF-BoT-IoT.csv")
    said = refused("nf-bot-iot", allow_subset=True)
    assert "expected the 49 rows of NF-BoT-IoT, found 50 rows" in said
    assert "allow_subset" not in said and "give its path as your own dataset" in said


def test_more_rows_of_a_class_than_published_are_no_subset(netflow, put, refused):
    put(netflow({"Benign": 30, "Theft": 1910}), "NF-BoT-IoT.csv")
    said = refused("nf-bot-iot", allow_subset=True)
    assert "found 1,940 rows, 1 classes with more rows than published (Theft)" in said and "allow_subset" not in said


def test_the_right_number_of_rows_in_the_wrong_classes(netflow, put, refused, monkeypatch):
    entry = DATASETS["nf-bot-iot"]
    small = {"total": 50, "classes": {"Benign": 31, "DDoS": 19}}
    monkeypatch.setitem(DATASETS, "nf-bot-iot", type(entry)(**{**entry.__dict__, **small}))
    put(netflow({"Benign": 30, "DDoS": 20}), "NF-BoT-IoT.csv")
    assert "expected the 50 rows of NF-BoT-IoT, found 2 classes of other sizes" in refused("nf-bot-iot")


def test_a_truncated_gzip_file(netflow, put, refused):
    whole = gzip.compress(netflow({"Benign": 3000, "DDoS": 2000}).to_csv(index=False).encode())
    put(whole[:-1000], "NF-BoT-IoT.csv.gz")
    assert "expected NF-BoT-IoT.csv.gz whole, but it cannot be read to its end" in refused("nf-bot-iot")
    assert "download it again" in refused(put(whole[:200], "own.csv.gz"))  # cut before the first row


def zipped(text: str, **options) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("NF-BoT-IoT.csv", text)
    return buffer.getvalue()


def with_headers(archive: bytes, offset: int, value: int) -> bytes:
    """`archive` with one byte of its one member's local and central header set."""
    changed = bytearray(archive)
    for signature, place in ((b"PK\x03\x04", offset), (b"PK\x01\x02", offset + 2)):
        changed[changed.find(signature) + place] = value
    return bytes(changed)


def test_a_truncated_zip(text, put, refused):
    put(zipped(text)[:-50], "NF-BoT-IoT.zip")
    said = refused("nf-bot-iot")
    assert "expected a zip archive, but NF-BoT-IoT.zip is none or is truncated: download it again" in said


def test_a_damaged_zip_member(text, put, refused):
    damaged = bytearray(zipped(text))
    damaged[300:310] = bytes(10)
    put(bytes(damaged), "NF-BoT-IoT.zip")
    assert "cannot be read to its end" in refused("nf-bot-iot") and not refused("nf-bot-iot").endswith("itself")


@pytest.mark.parametrize(("offset", "value", "why"), [(6, 1, "encrypted"), (8, 9, "compression method")])
def test_a_zip_that_python_cannot_open(offset, value, why, text, put, refused):
    put(with_headers(zipped(text), offset, value), "NF-BoT-IoT.zip")
    said = refused("nf-bot-iot")
    assert why in said and "unpack it and give the file itself" in said


def test_a_zip_of_several_files_none_of_which_is_the_datasets(text, put, refused):
    path = put(b"", "own.zip")
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("monday.csv", text)
        archive.writestr("tuesday.csv", text)
    assert "expected one CSV in own.zip, found 2: unpack it and give the file itself" in refused(path)


PAGE = "<!DOCTYPE html>\n<html><head><title>Sign in</title></head>\n<body>Your session has expired</body></html>\n"


S3_PAGE = '<?xml version="1.0"?><Error><Code>AccessDenied</Code></Error>'


@pytest.mark.parametrize("page", [PAGE, "\n  " + PAGE.lower(), S3_PAGE])
def test_an_html_error_page(page, put, refused):
    put(page, "NF-BoT-IoT.csv")
    said = refused("nf-bot-iot")
    assert "expected flows in NF-BoT-IoT.csv, but it is a web page saved under that name: download it again" in said


@pytest.mark.parametrize("content", ["", "\ufeff", "\n\n  \n"])
@pytest.mark.parametrize("dataset", ["nf-bot-iot", "own.csv"])
def test_an_empty_file(dataset, content, put, refused):
    path = put(content, "NF-BoT-IoT.csv" if dataset == "nf-bot-iot" else dataset)
    assert "but the file is empty: download it again" in refused(dataset if dataset == "nf-bot-iot" else path)


@pytest.mark.parametrize("end", ["", "\n", "\r\n", "\n\n"])
def test_a_header_and_no_row(end, text, put, refused):
    path = put(text.splitlines()[0] + end, "own.csv")
    assert "no row of it can be used (there is only a header): check the file" in refused(path)


def test_a_parquet_file_with_columns_and_no_row(frame, put, refused):
    assert "there is only a header" in refused(put(frame.head(0), "own.parquet"))


def test_no_row_that_can_be_used(frame, put, refused):
    said = refused(put(frame.assign(IN_BYTES="nan"), "own.csv"))
    assert "no row of it can be used (50 rows lack a number): check the file" in said


def test_a_comma_too_many_at_the_end_of_every_row(text, put, refused):
    lines = text.splitlines()
    said = refused(put("\n".join([lines[0], *(f"{line}," for line in lines[1:])]), "own.csv"))
    assert "50 lines have another number of fields than the header" in said


@pytest.mark.parametrize(
    ("column", "called"), [("L4_SRC_PORT", "L4_SRCPRT"), ("IN_BYTES", "IN_BYTE"), ("TCP_FLAGS", "TCPFLAG")]
)
def test_a_missing_column_is_named_with_the_nearest_spelling(column, called, frame, put, refused):
    put(frame.rename(columns={column: called}), "NF-BoT-IoT.csv")
    said = refused("nf-bot-iot", allow_subset=True)
    assert f"expected a column '{column}' in NF-BoT-IoT.csv, but there is none (the nearest is '{called}')" in said
    assert "rename the column" in said


def test_a_missing_column_with_nothing_like_it(frame, put, refused):
    said = refused(put(frame[["IN_BYTES", "OUT_BYTES", "Attack"]], "own.csv"))
    assert "expected a column 'L4_SRC_PORT' in own.csv, but there is none (its 3 columns hold nothing like it)" in said


def test_a_missing_label_column(frame, put, refused):
    said = refused(put(frame.drop(columns=["Attack", "Label"]), "own.parquet"))
    assert "expected a column 'Attack' in own.parquet, but there is none" in said


def test_an_unknown_class(netflow, put, refused):
    put(netflow({"Benign": 30, "Smurf": 20}), "NF-BoT-IoT.csv")
    said = refused("nf-bot-iot", allow_subset=True)
    assert "one of the classes Benign, DDoS, DoS, Reconnaissance, Theft in NF-BoT-IoT.csv, found 'Smurf'" in said
    assert "check that the file is whole and the dataset it is named after" in said


@pytest.mark.parametrize("dataset", ["nf-bot-iot", "own.csv"])
def test_a_single_class(dataset, netflow, put, refused):
    path = put(netflow({"DDoS": 50}), "NF-BoT-IoT.csv" if dataset == "nf-bot-iot" else dataset)
    said = refused(dataset if dataset == "nf-bot-iot" else path, allow_subset=True)
    assert "expected at least two classes in" in said
    assert "found only 'DDoS': give a file with benign and attack flows" in said


@pytest.mark.parametrize("rows", [-1, 0, 1, 5])
def test_fewer_rows_than_classes(rows, frame, put, refused):
    said = refused(put(frame, "own.csv"), rows=rows)
    assert "expected rows to be 6 or more, one for each of the 2 classes of own in train, validation, test" in said
    assert f"found {rows}: raise it or leave it out" in said


@pytest.mark.parametrize(("benign", "split"), [(1, "paper"), (2, "grouped")])
def test_a_file_with_too_few_flows_to_split(benign, split, netflow, put, refused):
    said = refused(put(netflow({"Benign": benign, "DoS": 1}), "own.csv"), split=split)
    assert "expected enough flows of own to split, found" in said and "give a file with more" in said


@pytest.mark.parametrize("kind", ["csv", "parquet"])
@pytest.mark.parametrize("word", ["http", "0x50", "1_000", "8O"])
def test_a_port_that_is_no_number_is_named_with_its_row(word, kind, frame, put, refused):
    frame = frame.astype({"L4_SRC_PORT": str})
    frame.loc[[36, 40], "L4_SRC_PORT"] = word, "later"
    said = refused(put(frame, f"own.{kind}"))
    assert f"expected a number in column 'L4_SRC_PORT' of own.{kind}, found '{word}' in data row 37: correct" in said


def test_the_row_is_right_in_a_later_batch_and_after_rows_without_a_label(frame, put, refused, monkeypatch):
    monkeypatch.setattr(raw, "BLOCK_BYTES", 300)
    frame = frame.astype({"L4_DST_PORT": str})
    frame.loc[40, "L4_DST_PORT"] = "https"
    frame.loc[:9, "Attack"] = ""
    frame.loc[20:22, "IN_PKTS"] = np.nan
    assert "column 'L4_DST_PORT' of own.csv, found 'https' in data row 41" in refused(put(frame, "own.csv"))


def test_a_column_of_dates_where_numbers_belong(frame, put, refused):
    said = refused(put(frame.assign(IN_BYTES=pd.Timestamp("2020-01-01")), "own.parquet"))
    assert "expected numbers in column 'IN_BYTES' of own.parquet, found timestamp" in said


# ---- names and paths


@pytest.mark.parametrize("slug", ["nf-bot", "NF-BoT-IoT", "nf_ton_iot", "mnist"])
def test_an_unknown_slug_is_answered_with_the_list_of_slugs(slug, refused):
    said = refused(slug)
    assert all(known in said for known in DATASETS) and f"found '{slug}': correct the parameter" in said


@pytest.mark.parametrize("name", ["absent.csv", "no such folder/flows.parquet", "absent.CSV.GZ"])
def test_a_path_that_does_not_exist(name, data_dir, refused):
    path = data_dir / name
    assert f"expected a file of flows at {path}, found no such file: check the path" in refused(path)


def test_a_folder_instead_of_a_file(data_dir, put, text, refused):
    (data_dir / "raw" / "flows.csv").mkdir()
    for path in (data_dir / "raw", data_dir / "raw" / "flows.csv"):
        assert f"expected a file of flows at {path}, found a folder" in refused(path)


def test_a_folder_under_the_datasets_name(data_dir, refused):
    (data_dir / "raw" / "NF-BoT-IoT.csv").mkdir()
    assert "found a folder" in refused("nf-bot-iot", allow_subset=True)


def test_a_link_whose_file_is_gone(data_dir, refused):
    (data_dir / "raw" / "NF-BoT-IoT.csv").symlink_to(data_dir / "moved.csv")
    assert "found a link to nothing: check the path" in refused("nf-bot-iot", allow_subset=True)


def test_an_empty_raw_folder_is_no_error_but_a_stand_in(data_dir):
    assert prepare.prepare("nf-bot-iot", data_dir).mark == "simulated"


def test_a_part_that_the_union_does_not_have(refused):
    said = refused("nf-uq-nids", without="cic-ton-iot")
    assert "expected one of nf-ton-iot, nf-bot-iot, nf-unsw-nb15, nf-cse-cic-ids2018 to leave out" in said
    assert "found 'cic-ton-iot'" in said


@pytest.mark.parametrize(("what", "named"), [({"split": "random"}, "paper, grouped"), ({"seed": -1}, "0 or more")])
def test_a_parameter_out_of_range(what, named, refused):
    said = refused("nf-bot-iot", **what)
    assert named in said and str(*what.values()) in said and "correct the parameter" in said


def test_a_task_that_is_none(frame, put, data_dir):
    prepared = prepare.prepare(str(put(frame, "own.csv")), data_dir)
    with pytest.raises(InputError, match="expected task to be multiclass or binary, found 'both': correct"):
        prepare.class_list(prepared, "both")


# ---- files of another kind


@pytest.mark.parametrize(("separator", "word"), [("\t", "tabs"), (";", "semicolons"), ("|", "bars")])
def test_columns_that_are_not_separated_by_commas(separator, word, frame, put, refused):
    said = refused(put(frame.to_csv(index=False, sep=separator), "own.csv"))
    assert f"expected commas between the columns of own.csv, found {word}: save it with commas" in said


def test_an_excel_workbook_named_csv(put, refused):
    workbook = zipped("<worksheet/>").replace(b"NF-BoT-IoT.csv", b"xl/sheet1.xml.")
    said = refused(put(workbook, "own.csv"))
    assert "expected CSV text in own.csv, but it is an Excel workbook or a zip archive: save it as CSV" in said


def test_a_gzip_file_named_csv(text, put, refused):
    said = refused(put(gzip.compress(text.encode()), "own.csv"))
    assert "but it is a gzip file: give it the ending .csv.gz" in said


def test_a_parquet_file_named_csv(frame, put, refused):
    path = put(frame, "own.parquet")
    assert "but it is a Parquet file: give it the ending .parquet" in refused(path.rename(path.with_suffix(".csv")))


def test_text_in_another_encoding(text, put, refused):
    assert "but it is no UTF-8 text: save it as CSV in UTF-8" in refused(put(text.encode("utf-16"), "own.csv"))


def test_a_csv_named_gz(text, put, refused):
    assert "expected own.csv.gz whole, but it cannot be read" in refused(put(text, "own.csv.gz"))


@pytest.mark.parametrize("content", [b"", b"hello", b"PAR1 and no more PAR1"])
def test_a_parquet_file_that_is_none(content, put, refused):
    said = refused(put(content, "own.parquet"))
    assert "expected a Parquet file, but own.parquet cannot be read as one" in said


def test_a_truncated_parquet_file(frame, put, refused):
    path = put(frame, "own.parquet")
    path.write_bytes(path.read_bytes()[:-20])
    assert "expected a Parquet file, but own.parquet cannot be read as one" in refused(path)


def test_a_csv_without_a_header(text, put, refused):
    said = refused(put(text.split("\n", 1)[1], "own.csv"))
    assert "expected a header line with flow columns in own.csv, but its first line is '" in said
    assert "give a CSV file with column names" in said


def test_a_spreadsheet_or_a_notebook_is_no_flow_file(put, refused):
    for name in ("own.xlsx", "own.txt"):
        assert "or the path of a CSV or Parquet file, found" in refused(put("x", name))


def test_labels_that_are_zeros_and_ones_have_no_benign_class(frame, put, data_dir):
    prepared = prepare.prepare(str(put(frame.assign(Attack=frame.index % 2), "own.csv")), data_dir)
    assert prepared.classes == ("0", "1")
    with pytest.raises(InputError, match="expected a benign class in own, found 0, 1: name it 'Benign'"):
        prepare.class_list(prepared, "binary")


def test_a_unions_file_without_its_dataset_column(union_frame, put, refused):
    put(union_frame.drop(columns="Dataset"), "NF-UQ-NIDS.csv")
    said = refused("nf-uq-nids", allow_subset=True)
    assert "expected a column 'Dataset' in NF-UQ-NIDS.csv" in said and "put the four parts' own files beside it" in said


def test_a_unions_file_without_one_of_its_parts(union_frame, put, refused):
    put(union_frame.query("Dataset != 'NF-BoT-IoT'"), "NF-UQ-NIDS.csv")
    said = refused("nf-uq-nids", allow_subset=True)
    assert "expected rows of NF-BoT-IoT in NF-UQ-NIDS.csv, but its column 'Dataset' holds none" in said
    assert "put NF-BoT-IoT.csv beside it" in said


# ---- a place that cannot be written to


def test_a_file_where_the_cache_should_be(frame, put, data_dir, refused):
    (data_dir / "prepared").write_text("in the way")
    said = refused(put(frame, "own.csv"))
    assert f"expected to write to {data_dir / 'prepared'}, but " in said
    assert "mend the permissions, or give another folder (data_dir, runs_dir)" in said
    assert (data_dir / "prepared").read_text() == "in the way"


def test_a_file_where_the_data_folder_should_be(frame, put, tmp_path, refused):
    (tmp_path / "file").write_text("in the way")
    assert "expected to write to" in refused(put(frame, "own.csv"), data_dir=tmp_path / "file")
    assert "expected to write to" in refused("nf-bot-iot", data_dir=tmp_path / "file")


def test_a_read_only_disk(frame, put, refused, monkeypatch):
    def refuse(*_, **__):
        raise OSError(errno.EROFS, "Read-only file system")

    path = put(frame, "own.csv")
    monkeypatch.setattr(files.Path, "mkdir", refuse)
    assert "but Read-only file system: free some space, mend the permissions" in refused(path)
