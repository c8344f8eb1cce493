"""The stored rows that travel with a model: raw features of its training split, so that the head forgets nothing.

`rows.npz` has two arrays, `features` (n, 9) float32 and `codes` (n,) int16, which index the card's classes. Its SHA-256
is in the card under `files`. At most 500 rows of each attack and 1,500 benign ones, at most 64 KiB.
"""

import io
import zipfile
from pathlib import Path

import numpy as np

from tlids_edge.detect.card import Card, read_fields, read_limited
from tlids_edge.digests import sha256
from tlids_edge.errors import InputError, quoted

FILE = "rows.npz"
ATTACK_ROWS, BENIGN_ROWS = 500, 1_500
MAX_BYTES = 64 << 10
MAX_RAW = 32 << 20  # of what the archive unfolds to
_REMEDY = "export the model again with notebook 05, which writes rows.npz"


def packed(features: np.ndarray, codes: np.ndarray) -> bytes:
    """The content of `rows.npz`: the same rows give the same bytes. Rows are sorted, which halves the size."""
    order = np.lexsort((*features.T[::-1], codes))
    arrays = {"features": features[order].astype("<f4"), "codes": codes[order].astype("<i2")}
    made = io.BytesIO()
    with zipfile.ZipFile(made, "w", zipfile.ZIP_DEFLATED, compresslevel=9) as archive:
        for name, array in arrays.items():
            stored = io.BytesIO()
            np.lib.format.write_array(stored, np.asfortranarray(array), allow_pickle=False)
            archive.writestr(zipfile.ZipInfo(f"{name}.npy"), stored.getvalue(), zipfile.ZIP_DEFLATED)
    return made.getvalue()


def read(folder: Path, card: Card) -> tuple[np.ndarray, np.ndarray]:
    """The stored rows of a model's folder: features (n, 9) float32 and class codes (n,).

    Raises:
        InputError: the folder has none, they are not those of the card, or hold something else.
    """
    path = Path(folder) / FILE
    entry = read_fields(folder)["files"].get(FILE)
    if not isinstance(entry, dict):
        raise InputError(f"expected the digest of {FILE} in the card of {folder}, found none", _REMEDY)
    content = read_limited(path, MAX_BYTES, "stored rows")
    if sha256(content).hexdigest() != entry.get("sha256"):
        raise InputError(f"expected {path} as its card describes it, found another file", _REMEDY)
    try:
        features, codes = _unpacked(content)
    except Exception as error:  # at made-up bytes zipfile and numpy raise whatever zlib, tokenize and int do
        found = quoted(str(error)) if str(error) else type(error).__name__
        raise InputError(f"expected stored rows in {path}, found: {found}", _REMEDY) from error
    return _checked(features, codes, card, path)


def _unpacked(content: bytes) -> tuple[np.ndarray, np.ndarray]:
    """The two arrays; nothing is unpickled, and nothing larger than MAX_RAW unfolded."""
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        if sum(entry.file_size for entry in archive.infolist()) > MAX_RAW:
            raise ValueError("an archive that unfolds to too much")
        arrays = [
            np.lib.format.read_array(io.BytesIO(archive.read(f"{name}.npy")), allow_pickle=False)
            for name in ("features", "codes")
        ]
    return arrays[0], arrays[1]


def _checked(features: np.ndarray, codes: np.ndarray, card: Card, path: Path) -> tuple[np.ndarray, np.ndarray]:
    """Raise InputError unless the arrays are rows of the card's features and classes."""
    rows = len(features) if features.ndim == 2 else 0
    if features.shape != (rows, len(card.features)) or codes.shape != (rows,) or not rows:
        raise InputError(f"expected rows of nine features and a class each in {path}, found {features.shape} and "
                         f"{codes.shape}", _REMEDY)  # fmt: skip
    if features.dtype != np.float32 or codes.dtype != np.int16 or not np.isfinite(features).all():
        raise InputError(f"expected finite float32 features and int16 codes in {path}, found others", _REMEDY)
    if codes.min() < 0 or codes.max() >= len(card.classes):
        raise InputError(f"expected codes of the card's {len(card.classes)} classes in {path}, found others", _REMEDY)
    attacks = codes != card.classes.index(card.benign)
    if not attacks.any() or attacks.all():
        raise InputError(f"expected benign rows and rows of attacks in {path}, found only one kind", _REMEDY)
    return features, codes.astype(np.int64)
