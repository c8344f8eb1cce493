"""The meter's notes of unanswered flows, as one numpy matrix.

The Python meter hands over a list of `Unanswered`, the compiled core a matrix of rows: both become NOTE here.
"""

from collections.abc import Sequence

import numpy as np

from tlids_edge.flows.meter import Unanswered

# Addresses are 16 bytes, IPv4 in the first four; `size` is 4 or 16. A MAC address is followed by two zeros.
NOTE = np.dtype([
    ("first_us", np.int64), ("src", np.uint32, 4), ("dst", np.uint32, 4), ("src_hw", np.uint32, 2),
    ("dst_port", np.uint16), ("protocol", np.uint8), ("size", np.uint8),
])  # fmt: skip


def as_matrix(notes: Sequence[Unanswered] | np.ndarray) -> np.ndarray:
    """Notes as rows of NOTE; such rows themselves pass as they are.

    A structured array with the fields of `Unanswered`, addresses as 16 bytes ("S16", IPv4 padded with zeros),
    is taken too.
    """
    if isinstance(notes, np.ndarray):
        if notes.dtype == NOTE:
            return notes
        columns, count = [notes[name] for name in Unanswered._fields], len(notes)
    else:
        columns, count = list(zip(*notes, strict=True)) or [()] * len(Unanswered._fields), len(notes)
    first_us, src, dst, dst_port, protocol, src_hw = columns
    matrix = np.zeros(count, NOTE)
    matrix["first_us"], matrix["dst_port"], matrix["protocol"] = first_us, dst_port, protocol
    matrix["src"], matrix["dst"] = _words(src, 16), _words(dst, 16)
    matrix["src_hw"] = _words(src_hw, 8)
    matrix["size"] = np.where((matrix["dst"][:, 1:] | matrix["src"][:, 1:]).any(axis=1), 16, 4)
    return matrix


def address(words: np.ndarray, size: int) -> bytes:
    """The first `size` bytes of an address as it was before."""
    return words.tobytes()[:size]


def _words(texts: Sequence[bytes], size: int) -> np.ndarray:
    """Byte strings, padded with zeros to `size`, as rows of 32-bit words."""
    return np.ascontiguousarray(np.asarray(texts, f"S{size}")).view(np.uint32).reshape(len(texts), size // 4)
