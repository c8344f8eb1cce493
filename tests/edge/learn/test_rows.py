"""rows.py: the stored rows come back as they were packed, and nothing damaged is taken."""

import dataclasses
import hashlib
import io
import json
import shutil
import struct
import zipfile

import numpy as np
import pytest
from home_flows import MODEL
from tlids_edge.detect.card import read_card, read_fields
from tlids_edge.errors import InputError
from tlids_edge.learn import rows


@pytest.fixture
def folder(tmp_path):
    shutil.copytree(MODEL, tmp_path / "model")
    return tmp_path / "model"


def replace(folder, content: bytes) -> None:
    """Put another file in the place of rows.npz, with its right digest."""
    fields = json.loads((folder / "card.json").read_text())
    fields["files"][rows.FILE] = {"sha256": hashlib.sha256(content).hexdigest(), "bytes": len(content)}
    (folder / "card.json").write_text(json.dumps(fields))
    (folder / rows.FILE).write_bytes(content)


def test_the_shipped_models_rows_are_within_their_limits_and_of_every_class():
    card = read_card(MODEL)
    features, codes = rows.read(MODEL, card)
    counts = np.bincount(codes, minlength=len(card.classes))
    assert features.shape == (len(codes), 9) and features.dtype == np.float32
    assert counts[0] <= 1500 and 0 < counts[1:].min() and counts[1:].max() <= 500
    assert (MODEL / rows.FILE).stat().st_size == read_fields(MODEL)["files"][rows.FILE]["bytes"] <= 64 << 10


def test_rows_come_back_as_packed_and_the_same_rows_give_the_same_bytes(folder):
    rng = np.random.default_rng(0)
    features, codes = rng.integers(0, 9, (300, 9)).astype(np.float32), rng.integers(0, 11, 300)
    content = rows.packed(features, codes)
    order = rng.permutation(300)
    assert rows.packed(features[order], codes[order]) == content
    replace(folder, content)
    back, back_codes = rows.read(folder, read_card(folder))
    assert sorted(map(tuple, np.c_[features, codes])) == sorted(map(tuple, np.c_[back, back_codes]))


@pytest.mark.parametrize("place", [0, 100, 5000, -1])
def test_one_changed_byte_is_noticed(folder, place):
    content = bytearray((folder / rows.FILE).read_bytes())
    content[place] ^= 1
    (folder / rows.FILE).write_bytes(content)
    with pytest.raises(InputError, match="as its card describes it"):
        rows.read(folder, read_card(folder))


def test_a_model_without_rows_or_without_their_digest_is_told_what_to_do(folder):
    (folder / rows.FILE).unlink()
    with pytest.raises(InputError, match="rows.npz"):
        rows.read(folder, read_card(folder))
    fields = json.loads((folder / "card.json").read_text())
    del fields["files"][rows.FILE]
    (folder / "card.json").write_text(json.dumps(fields))
    with pytest.raises(InputError, match="digest of rows.npz .* notebook 05"):
        rows.read(folder, read_card(folder))


def archived(**arrays: np.ndarray) -> bytes:
    made = io.BytesIO()
    np.savez_compressed(made, **arrays)
    return made.getvalue()


def bomb() -> bytes:
    made = io.BytesIO()
    with zipfile.ZipFile(made, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("features.npy", bytes(40 << 20))
    return made.getvalue()


def headed(text: str) -> bytes:
    """An archive whose features begin with a numpy header of this text."""
    header = text.encode() + b"\n"
    made = io.BytesIO()
    with zipfile.ZipFile(made, "w") as archive:
        archive.writestr("features.npy", b"\x93NUMPY\1\0" + struct.pack("<H", len(header)) + header)
    return made.getvalue()


def shaped(shape: str) -> str:
    return f"{{'descr': '<f4', 'fortran_order': False, 'shape': {shape}}}"


def encrypted() -> bytes:
    made = bytearray(archived(features=FEATURES, codes=CODES))
    for mark, flags in ((b"PK\3\4", 6), (b"PK\1\2", 8)):
        made[made.index(mark) + flags] |= 1
    return bytes(made)


FEATURES, CODES = np.ones((20, 9), np.float32), np.arange(20).astype(np.int16) % 11


@pytest.mark.parametrize(
    "content",
    [
        b"", b"PK\x03\x04 no archive", bomb(), archived(features=FEATURES),
        archived(features=FEATURES[:, :8], codes=CODES),
        archived(features=FEATURES, codes=CODES[:5]), archived(features=FEATURES * np.float32(np.nan), codes=CODES),
        archived(features=FEATURES, codes=CODES + 1), archived(features=FEATURES, codes=-CODES),
        archived(features=FEATURES, codes=CODES * 0), archived(features=FEATURES, codes=CODES % 10 + 1),
        archived(features=FEATURES.astype(object), codes=CODES), archived(features=FEATURES.astype(float), codes=CODES),
        archived(features=FEATURES[:0], codes=CODES[:0]), encrypted(), headed(shaped("(1000000000000000, 9)")),
        headed(shaped(f"({'9' * 30}, 9)")), headed("(" * 5000), headed("-" * 9000 + "1"),
    ],
)  # fmt: skip
def test_a_file_with_the_right_digest_and_other_content_is_refused(folder, content):
    replace(folder, content)
    with pytest.raises(InputError, match="^expected "):
        rows.read(folder, read_card(folder))


def test_a_file_beyond_64_kib_is_not_read(folder):
    noise = np.random.default_rng(0).random((3000, 9), np.float32)
    replace(folder, archived(features=noise, codes=np.ones(3000, "i2")))
    with pytest.raises(InputError, match="65,536 bytes"):
        rows.read(folder, read_card(folder))


def test_rows_of_a_card_with_fewer_classes_are_refused(folder):
    card = dataclasses.replace(read_card(folder), classes=("Benign", "DoS"))
    with pytest.raises(InputError, match="2 classes"):
        rows.read(folder, card)
