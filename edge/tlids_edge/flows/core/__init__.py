"""The compiled meter's library: found beside this file, checked, declared. Nothing else is ever loaded in its place."""

import ctypes
import os
from ctypes import POINTER, c_double, c_int, c_int64, c_size_t, c_uint8, c_uint32, c_uint64, c_void_p
from pathlib import Path

from tlids_edge.flows.rows import NOTE, PACKET, REASONS, ROW

LIBRARY = Path(__file__).resolve().with_name("meter.so")
ABI = 4  # TLIDS_ABI of meter.h
SWITCH = "TLIDS_CORE"  # off: Python's meter, whatever is here


class CoreUnavailable(RuntimeError):  # noqa: N818 - it says a state: the Python meter does the same, more slowly
    """The library is absent, of another version or for another processor."""


class Settings(ctypes.Structure):
    """`tlids_settings`."""

    _fields_ = (
        ("idle_us", c_double),
        ("active_us", c_double),
        ("seed", c_uint64 * 2),
        ("max_flows", c_uint32),
        ("with_payloads", c_uint32),
        ("odd_protocols", c_uint8 * 256 * 2),
        ("odd_udp_ports", c_uint8 * (65536 // 8)),
    )


class NdpiFunctions(ctypes.Structure):
    """`tlids_ndpi`."""

    _fields_ = (
        ("module", c_void_p),
        ("flow_size", c_size_t),
        ("calloc", c_void_p),
        ("free_flow", c_void_p),
        ("process", c_void_p),
        ("more_possible", c_void_p),
        ("give_up", c_void_p),
    )


class Reading(ctypes.Structure):
    """`tlids_reading`."""

    _fields_ = (
        ("swapped", c_uint32),
        ("nanoseconds", c_uint32),
        ("used", c_uint64),
        ("count", c_uint32),
        ("end", c_uint32),
        ("odd", c_uint32),
        ("truncated", c_uint32),
        ("wire_bytes", c_uint64),
    )


class Line(ctypes.Structure):
    """`tlids_line`."""

    _fields_ = (
        *((name, c_int64) for name in ("window_us", "earliest_us")),
        *((name, c_uint64) for name in ("slice_us", "most_bytes")),
        *((name, c_uint32) for name in ("block", "most_held", "few", "slice_most", "as_they_come")),
        *((name, c_uint32) for name in ("at_end", "always", "counted")),
        *((name, c_int64) for name in ("latest_us", "newest_us", "forced_us", "begun_us", "now_us")),
        *((name, c_uint64) for name in ("number", "held_bytes")),
        *((name, c_uint32) for name in ("first", "ready", "settled", "end")),
        *((name, c_uint32) for name in ("in_slice", "passed", "block_end", "unused")),
    )


NO_TIME, NO_LENGTH = -(1 << 63), (1 << 64) - 1  # of a Line's times, and of its slices
NOTHING_LEFT, SLICE_OVER, NOT_PLAIN, ROWS_FULL, ODD_TIMES, OUTSIDE = range(6)  # enum turn
NEEDS_MORE, NO_ROOM, RECORD_TOO_LONG, ODD_FRACTION = range(4)  # enum reading_end


class Counts(ctypes.Structure):
    """`tlids_counts`."""

    _fields_ = (
        ("open", c_uint64),
        ("opened", c_uint64),
        ("evicted", c_uint64),
        ("closed", c_uint64 * len(REASONS)),
    )


_LAYOUT = [
    ABI, PACKET.itemsize, ROW.itemsize, NOTE.itemsize,
    *map(ctypes.sizeof, (Settings, NdpiFunctions, Reading, Line, Counts)),
]  # fmt: skip
_PROTOTYPES = {
    "tlids_new": (c_void_p, [POINTER(Settings), POINTER(NdpiFunctions)]),
    "tlids_free": (None, [c_void_p]),
    "tlids_read": (None, [c_void_p, POINTER(Reading), c_void_p, c_uint64, c_uint64, c_void_p, c_uint32]),
    "tlids_pass": (c_uint32, [c_void_p, POINTER(Line), c_void_p, c_void_p, c_uint64, c_uint64]),
    "tlids_hold": (None, [c_void_p, POINTER(Line), c_void_p]),
    "tlids_add": (c_int64, [c_void_p, c_void_p, c_uint32, c_void_p, c_uint64, c_uint64]),
    "tlids_expire": (c_int, [c_void_p, c_double]),
    "tlids_close": (c_int, [c_void_p, c_uint32, c_uint32]),
    "tlids_begin_again": (c_int, [c_void_p]),
    "tlids_waiting_rows": (c_uint32, [c_void_p]),
    "tlids_waiting_notes": (c_uint32, [c_void_p]),
    "tlids_take_rows": (None, [c_void_p, c_void_p]),
    "tlids_take_notes": (None, [c_void_p, c_void_p]),
    "tlids_count": (None, [c_void_p, POINTER(Counts)]),
}


def load(path: Path | None = None) -> ctypes.CDLL:
    """The library, or the one at another absolute path, with its functions declared.

    Raises:
        CoreUnavailable: TLIDS_CORE is off, or the library is not the one that belongs to this package; the sentence
            says which.
    """
    if os.environ.get(SWITCH, "").lower() == "off":
        raise CoreUnavailable(f"{SWITCH} is off")
    path = path or LIBRARY
    if not path.exists():
        raise CoreUnavailable(f"expected the compiled meter {path}, found none: install a wheel, or install with gcc")
    try:
        library = ctypes.CDLL(os.fspath(path))
        library.tlids_layout.restype = None
        found = (c_uint32 * 16)()  # more than there are, for a library that has more to tell
        library.tlids_layout(found)
    except (OSError, AttributeError) as error:
        raise CoreUnavailable(
            f"expected the compiled meter for this machine, found {error}: install it again"
        ) from None
    if list(found)[: len(_LAYOUT)] != _LAYOUT:
        raise CoreUnavailable(
            f"expected the compiled meter with layout {_LAYOUT}, found {list(found)[: len(_LAYOUT)]}: install it again"
        )
    for name, (result, arguments) in _PROTOTYPES.items():
        function = getattr(library, name)
        function.restype, function.argtypes = result, arguments
    return library
