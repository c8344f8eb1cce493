"""The meter's notes of unanswered flows: a list of `Unanswered` where they are few, one numpy matrix where many.

The Python meter hands over a list, the compiled one a matrix of `rows.NOTE`. Either becomes what is asked for.
"""

from collections.abc import Sequence

import numpy as np

from tlids_edge.flows.flow import Unanswered

Notes = Sequence[Unanswered] | np.ndarray  # an array of rows.NOTE or of NOTE

# Addresses are 16 bytes, IPv4 in the first four; `size` is 4 or 16. A MAC address is followed by two zeros.
NOTE = np.dtype([
    ("first_us", np.int64), ("src", "<u4", 4), ("dst", "<u4", 4), ("src_hw", "<u4", 2),
    ("dst_port", np.uint16), ("protocol", np.uint8), ("size", np.uint8),
])  # fmt: skip


def as_matrix(notes: Notes) -> np.ndarray:
    """Notes as rows of NOTE; such rows themselves pass as they are."""
    if not isinstance(notes, np.ndarray):
        return _of_list(notes)
    return notes if notes.dtype == NOTE else _of_rows(notes)


def as_list(notes: Notes) -> Sequence[Unanswered]:
    """Notes as `Unanswered`; such ones themselves pass as they are."""
    return [as_one(row) for row in as_matrix(notes)] if isinstance(notes, np.ndarray) else notes


def as_one(row: np.void) -> Unanswered:
    """One row of NOTE."""
    first_us, src, dst, mac, dst_port, protocol, size = row.item()
    src, dst = src.tobytes()[:size], dst.tobytes()[:size]
    return Unanswered(first_us, src, dst, dst_port, protocol, mac.tobytes()[:6] if mac.any() else b"")


def _of_list(notes: Sequence[Unanswered]) -> np.ndarray:
    """The Python meter's notes."""
    matrix = np.zeros(len(notes), NOTE)
    if notes:
        first_us, src, dst, dst_port, protocol, mac = zip(*notes, strict=True)
        matrix["first_us"], matrix["dst_port"], matrix["protocol"] = first_us, dst_port, protocol
        matrix["src"], matrix["dst"] = _words(np.array(src, "S16")), _words(np.array(dst, "S16"))
        matrix["src_hw"], matrix["size"] = _words(np.array(mac, "S8")), [len(one) for one in dst]
    return matrix


def _of_rows(notes: np.ndarray) -> np.ndarray:
    """The compiled meter's notes."""
    matrix = np.zeros(len(notes), NOTE)
    for name in ("first_us", "dst_port", "protocol"):
        matrix[name] = notes[name]
    matrix["src"], matrix["dst"] = _words(notes["src"]), _words(notes["dst"])
    matrix["src_hw"], matrix["size"] = _words(notes["src_mac"].astype("V8")), notes["address_bytes"]
    return matrix


def _words(texts: np.ndarray) -> np.ndarray:
    """Byte strings of one length, padded with zeros, as rows of 32-bit words."""
    return np.ascontiguousarray(texts).view("<u4").reshape(len(texts), texts.itemsize // 4)
