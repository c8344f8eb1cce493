"""One file held against the catalog: what its bytes, its header and its rows say."""

import dataclasses
import gzip
import hashlib

import pytest

from tlids_helpers.common.errors import InputError
from tlids_helpers.data import check
from tlids_helpers.data.catalog import DATASETS

CLASSES = {"Benign": 40, "Reconnaissance": 3, "DDoS": 30, "DoS": 20, "Theft": 7}


@pytest.fixture
def text(netflow) -> bytes:
    return netflow(CLASSES).to_csv(index=False).encode()


@pytest.fixture
def entry(text):
    """NF-BoT-IoT as if it had been published with these 100 rows."""
    known = {"size": len(text), "sha256": hashlib.sha256(text).hexdigest()}
    return dataclasses.replace(DATASETS["nf-bot-iot"], total=100, classes=CLASSES, **known)


def test_no_file_is_absent(entry):
    assert check.check(None, entry, True) == check.Finding("nf-bot-iot", check.ABSENT)


@pytest.mark.parametrize("ending", ["", ".gz"])
def test_known_bytes_vouch_for_the_rows_packed_or_not(ending, text, entry, put):
    path = put(gzip.compress(text) if ending else text, f"NF-BoT-IoT.csv{ending}")
    found = check.check(path, entry, False)
    assert (found.verdict, found.sha256, found.rows, found.size) == (check.WHOLE, "known", None, path.stat().st_size)


def test_other_bytes_are_refused_until_the_rows_are_counted(text, entry, put):
    path = put(text.replace(b"\n", b"\r\n"), "NF-BoT-IoT.csv")
    with pytest.raises(InputError, match=f"{len(text):,} bytes .*found {len(text) + 101:,} bytes"):
        check.check(path, entry, False)
    found = check.check(path, entry, True)
    assert (found.verdict, found.sha256, found.rows, found.columns) == (check.WHOLE, "other", 100, 14)


def test_without_known_bytes_the_header_alone_is_no_verdict_on_the_rows(text, entry, put):
    unknown = dataclasses.replace(entry, sha256="", size=None)
    path = put(text[: len(text) // 2], "NF-BoT-IoT.csv")
    assert check.check(path, unknown, False).verdict == check.FITS
    with pytest.raises(InputError, match="the 100 rows of NF-BoT-IoT, found"):
        check.check(path, unknown, True)
    assert check.check(path, unknown, True, allow_subset=True).verdict == check.SUBSET


def test_a_header_without_rows_and_a_folder_are_refused(text, entry, put, data_dir):
    with pytest.raises(InputError, match="flows in NF-BoT-IoT.csv, .*only a header"):
        check.check(put(text.splitlines()[0], "NF-BoT-IoT.csv"), entry, True)
    with pytest.raises(InputError, match="a file at .*raw, found a folder"):
        check.check(data_dir / "raw", entry, False)


def test_a_truncated_archive_has_no_fingerprint(text, put):
    with pytest.raises(InputError, match="own.csv.gz whole, .*too early"):
        check.fingerprint(put(gzip.compress(text)[:-50], "own.csv.gz"))


def test_a_union_whose_parts_are_all_there_can_be_made_from_them(text, put, data_dir):
    union = DATASETS["nf-uq-nids"]
    for part in union.parts:
        assert not check.from_parts(union, data_dir / "raw")
        put(text, DATASETS[part].file)
    assert check.from_parts(union, data_dir / "raw") and not check.from_parts(DATASETS["nf-bot-iot"], data_dir / "raw")
