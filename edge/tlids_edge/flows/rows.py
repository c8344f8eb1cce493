"""Ended flows as a matrix: what the compiled meter hands over, and what the model and the writers take.

The three layouts are those of `core/meter.h`; `core.load` checks their sizes.
"""

import os
import struct
from collections.abc import Iterator, Sequence
from math import sqrt
from typing import NamedTuple

import numpy as np

from tlids_edge.capture.packets import NOT_IP, Packet
from tlids_edge.flows.flow import DEFAULT_DIALECT, Flow, FlowKey, turned
from tlids_edge.flows.ndpi import application_id, numbers_of

REASONS = ("", "fin", "rst", "idle", "active", "table-full", "shutdown")
EXACT = 1 << 53  # integers below it are the same as 64-bit floats
_FACTORS = np.frombuffer(os.urandom(64), np.uint64) | np.uint64(1)
_PLAIN = (
    "first_us", "last_us", "in_bytes", "out_bytes", "in_packets", "out_packets", "tcp_flags", "fin_seen",
    "in_payload", "out_payload", "out_first_us", "out_last_us", "out_gap_min", "answered", "proven",
)  # fmt: skip
_ASKED = (
    "src", "dst", "src_port", "dst_port", "protocol", "vlan", "address_bytes", "src_mac", "src_mac_bytes", "last_us",
    "proven",
)  # fmt: skip

_ENDS = [
    ("src", "V16"), ("dst", "V16"), ("vlan", "u4"), ("src_port", "u2"), ("dst_port", "u2"), ("protocol", "u1"),
    ("address_bytes", "u1"), ("unused_1", "V2"),
]  # fmt: skip
PACKET = np.dtype([
    ("time_us", "i8"), ("frame_at", "u8"), ("captured", "u4"), ("wire_length", "u4"),
    ("kind", "u4"), ("ip_offset", "u4"), ("length", "u4"), ("payload_length", "u4"), *_ENDS,
    ("tcp_window", "u2"), ("tcp_flags", "u1"), ("src_mac_bytes", "u1"), ("dst_mac_bytes", "u1"),
    ("src_mac", "V6"), ("dst_mac", "V6"), ("unused_2", "V3"),
])  # fmt: skip
ROW = np.dtype([
    ("first_us", "i8"), ("last_us", "i8"), ("in_bytes", "u8"), ("out_bytes", "u8"), ("in_packets", "u8"),
    ("out_packets", "u8"), ("l7_master", "u2"), ("l7_app", "u2"), ("window", "i4"),
    *_ENDS[:-1], ("is_reply", "u1"), ("unused_1", "V1"), ("src_mac", "V6"), ("dst_mac", "V6"),
    ("src_mac_bytes", "u1"), ("dst_mac_bytes", "u1"), ("tcp_flags", "u1"), ("end_reason", "u1"), ("fin_seen", "u1"),
    ("answered", "u1"), ("proven", "u1"), ("rules", "u1"),
    ("in_payload", "u8"), ("out_payload", "u8"), ("squares_low", "u8"), ("squares_high", "u8"),
    ("out_first_us", "i8"), ("out_last_us", "i8"), ("out_gap_min", "i8"), ("order", "u8"),
])  # fmt: skip
NOTE = np.dtype([
    ("first_us", "i8"), ("order", "u8"), *_ENDS, ("src_mac_bytes", "u1"), ("src_mac", "V6"), ("unused_2", "V5"),
])  # fmt: skip

_LAYOUT = struct.Struct("=qQIIIIII16s16sIHHBB2xHBBB6s6s3x")
_pack_packet = _LAYOUT.pack_into
unpack_record = struct.Struct("=qQII").unpack_from  # of a PACKET: time_us, frame_at, captured, wire_length
_LAST = (1 << 63) - 1  # of the times that the compiled meter can hold


def pack_packet(packet: Packet, buffer: object, offset: int = 0, frame_at: int = 0, kind: int = 0) -> None:
    """Write a decoded packet as a PACKET."""
    time_us = min(max(packet.time_us, -_LAST), _LAST)
    protocol = packet.protocol if packet.protocol != NOT_IP else 255
    _pack_packet(
        buffer, offset, time_us, frame_at, len(packet.frame), packet.frame_length, kind, packet.ip_offset,
        packet.length, packet.payload_length, packet.src, packet.dst, packet.vlan, packet.src_port, packet.dst_port,
        protocol, len(packet.src), packet.tcp_window, packet.tcp_flags, len(packet.src_mac), len(packet.dst_mac),
        packet.src_mac, packet.dst_mac,
    )  # fmt: skip


def unpack_packets(entries: np.ndarray, stream: bytearray, at: int) -> Iterator[Packet]:
    """The Packets that a PACKET array describes, whose frames are in `stream`, which begins at place `at`."""
    for (
        time_us, frame_at, captured, wire_length, _, ip_offset, length, payload_length, src, dst, vlan,
        src_port, dst_port, protocol, size, window, flags, src_mac_bytes, dst_mac_bytes, src_mac, dst_mac,
    ) in _LAYOUT.iter_unpack(entries.tobytes()):  # fmt: skip
        yield Packet(
            time_us, src[:size], dst[:size], src_port, dst_port, protocol, flags, window, length, payload_length,
            wire_length, src_mac[:src_mac_bytes], dst_mac[:dst_mac_bytes],
            bytes(stream[frame_at - at : frame_at - at + captured]), ip_offset, None, vlan,
        )  # fmt: skip


def features(rows: np.ndarray, family: str, dialect: str | None = None) -> np.ndarray:
    """The nine features of each row of a ROW array, "netflow" or "cicflow": float32 [rows, 9], as Flow.features."""
    named = _netflow(rows) if family == "netflow" else _cicflow(rows, dialect or DEFAULT_DIALECT)
    return np.stack([np.asarray(values).astype(np.float32) for values in named], axis=1)


def flow(row: np.void) -> Flow:
    """One row as the Flow that the Python meter would have handed over."""
    size = int(row["address_bytes"])
    made = Flow.__new__(Flow)
    made.key = (
        row["src"].tobytes()[:size], row["dst"].tobytes()[:size],
        int(row["src_port"]), int(row["dst_port"]), int(row["protocol"]), int(row["vlan"]),
    )  # fmt: skip
    made.key_back, made.key_other = turned(made.key), None
    for name in _PLAIN:
        setattr(made, name, int(row[name]))
    made.out_squares = int(row["squares_high"]) << 64 | int(row["squares_low"])
    made.src_hw, made.dst_hw = _mac(row, "src_mac"), _mac(row, "dst_mac")
    made.end_reason = REASONS[row["end_reason"]]
    made.l7 = application_id(int(row["l7_master"]), int(row["l7_app"]))
    made.window = int(row["window"]) if row["window"] >= 0 else None
    made.answered, made.proven = bool(row["answered"]), bool(row["proven"])
    made.closing = made.end_reason if made.end_reason in ("fin", "rst") else ""
    made.closing_us, made.dissection = 0, None
    return made


def of_flows(flows: Sequence[Flow]) -> np.ndarray:
    """The Python meter's flows as the compiled meter would have handed them over, but for `order`: a ROW array."""
    rows = np.zeros(len(flows), ROW)
    for name in _PLAIN:
        rows[name] = [getattr(flow, name) for flow in flows]
    src, dst, rows["src_port"], rows["dst_port"], rows["protocol"], rows["vlan"] = (
        zip(*[flow.key for flow in flows], strict=True) if flows else [()] * 6
    )
    macs = {"src_mac": [flow.src_hw for flow in flows], "dst_mac": [flow.dst_hw for flow in flows]}
    for name, values in {"src": src, "dst": dst, **macs}.items():
        size = ROW[name].itemsize
        rows[name] = np.array(values, f"S{size}").view(f"V{size}")
    rows["address_bytes"] = [len(address) for address in src]
    for name, values in macs.items():
        rows[f"{name}_bytes"] = [len(mac) for mac in values]
    rows["squares_low"] = [flow.out_squares & 0xFFFF_FFFF_FFFF_FFFF for flow in flows]
    rows["squares_high"] = [flow.out_squares >> 64 for flow in flows]
    rows["window"] = [-1 if flow.window is None else flow.window for flow in flows]
    rows["end_reason"] = [REASONS.index(flow.end_reason) for flow in flows]
    rows["l7_master"], rows["l7_app"] = (
        zip(*[numbers_of(flow.l7) for flow in flows], strict=True) if flows else ((), ())
    )
    return rows


class Ended(NamedTuple):
    """What rules are asked of a flow that has ended, under Flow's names."""

    key: FlowKey
    src_hw: bytes
    last_us: int
    proven: bool


def joined(parts: Sequence[np.ndarray], dtype: np.dtype) -> np.ndarray:
    """Arrays of structures as one. Nearly always there is only one, and copying it would cost as much as many rows.

    Told their type, numpy does not compare that of each part with the next.
    """
    if len(parts) == 1:
        return parts[0]
    return np.concatenate(parts, dtype=dtype) if parts else np.empty(0, dtype)


def pieces(parts: list[np.ndarray], size: int) -> Iterator[np.ndarray]:
    """The rows of ROW arrays in pieces of `size`, the last of fewer; one piece at least. Used arrays are let go."""
    some, count, parts[:] = [], 0, parts[::-1]
    while parts:
        rows = parts.pop()
        if count + len(rows) > size:
            parts.append(rows[size - count :])
            rows = rows[: size - count]
        some.append(rows)
        count += len(rows)
        if count == size and parts:
            yield joined(some, ROW)
            some, count = [], 0
    yield joined(some, ROW)


def ended(rows: np.ndarray) -> Iterator[Ended]:
    """Each row of a ROW array as rules take it."""
    columns = [rows[name].tolist() for name in _ASKED]
    for src, dst, *ports, size, mac, mac_bytes, last_us, proven in zip(*columns, strict=True):
        yield Ended((src[:size], dst[:size], *ports), mac[:mac_bytes], last_us, bool(proven))


def sources_of(rows: np.ndarray) -> list[tuple[bytes, bytes]]:
    """Address and link-layer address of the source of each row of a ROW array."""
    columns = (rows[name].tolist() for name in ("src", "address_bytes", "src_mac", "src_mac_bytes"))
    return [(src[:size], mac[:mac_bytes]) for src, size, mac, mac_bytes in zip(*columns, strict=True)]


def services_of(rows: np.ndarray) -> np.ndarray:
    """The service that each row of a ROW array is of, protocol << 16 | smaller port: uint32 [rows]."""
    return rows["protocol"].astype(np.uint32) << 16 | np.minimum(rows["src_port"], rows["dst_port"])


def mac_numbers(rows: np.ndarray) -> np.ndarray:
    """The source's link-layer address of each row as a number, as `mac_number` has it: uint64 [rows]."""
    padded = np.zeros((len(rows), 8), np.uint8)
    padded[:, :6] = np.ascontiguousarray(rows["src_mac"]).view(np.uint8).reshape(-1, 6)
    padded[:, 6] = rows["src_mac_bytes"]
    return padded.view("<u8")[:, 0]


def mac_number(mac: bytes) -> int:
    """A link-layer address, b"" for none, as a number."""
    return int.from_bytes(mac.ljust(6, b"\0") + bytes([len(mac)]), "little")


def groups(rows: np.ndarray, names: Sequence[str]) -> np.ndarray:
    """Numbers that are equal for rows equal in these fields, and for no others that somebody could make: uint64."""
    columns = [np.ascontiguousarray(rows[name]) for name in names]
    words = [
        word
        for column in columns
        for word in (column.view("<u8").reshape(len(rows), 2).T if column.dtype.kind == "V" else [column])
    ]
    return numbers(words)


def numbers(words: Sequence[np.ndarray]) -> np.ndarray:
    """Numbers that are equal where these columns of integers are, as `groups`: uint64 (n,)."""
    total = np.zeros(len(words[0]), np.uint64)
    for word, factor in zip(words, _FACTORS, strict=False):
        mixed = word.astype(np.uint64) * factor
        total += mixed ^ mixed >> np.uint64(32)
    return total


def are_among(values: np.ndarray, known: np.ndarray) -> np.ndarray:
    """Which values (n,) are among `known` ones, which are sorted: bool (n,)."""
    if not len(known):
        return np.zeros(len(values), bool)
    return known[np.minimum(known.searchsorted(values), len(known) - 1)] == values


def _mac(entry: np.void, name: str) -> bytes:
    """A link-layer address, b"" where there is none."""
    return entry[name].tobytes()[: int(entry[f"{name}_bytes"])]


def _netflow(rows: np.ndarray) -> tuple:
    """The NETFLOW_FEATURES, in their order."""
    codes, place = np.unique(rows["l7_app"].astype(np.uint32) << 16 | rows["l7_master"], return_inverse=True)
    ids = np.array([application_id(int(code) & 0xFFFF, int(code) >> 16) for code in codes])
    return (
        rows["src_port"], rows["dst_port"], rows["protocol"], rows["tcp_flags"], ids[place] if len(ids) else ids,
        rows["in_bytes"], rows["out_bytes"], rows["in_packets"], rows["out_packets"],
    )  # fmt: skip


def _cicflow(rows: np.ndarray, dialect: str) -> tuple:
    """The CICFLOW_FEATURES, in their order."""
    total_gap = rows["out_last_us"] - rows["out_first_us"]
    gaps = rows["out_packets"].astype(np.int64) - 1
    mean_gap = np.where(gaps > 0, total_gap / np.maximum(gaps, 1), 0.0)
    return (
        _deviations(rows), rows["out_gap_min"], _windows(rows, dialect), mean_gap, rows["out_payload"], total_gap,
        _subflow_bytes(rows, dialect), rows["dst_port"], rows["src_port"],
    )  # fmt: skip


def _deviations(rows: np.ndarray) -> np.ndarray:
    """Sample standard deviations of backward payloads, exact: in floats where these hold the integers, else in ints."""
    count = rows["out_packets"].astype(np.float64)
    total, squares = rows["out_payload"].astype(np.float64), rows["squares_low"].astype(np.float64)
    several = rows["out_packets"] > 1
    large = (
        (count * squares >= EXACT) | (total * total >= EXACT) | (count * count >= EXACT) | (rows["squares_high"] > 0)
    )
    variance = (count * squares - total * total) / np.where(several, count * (count - 1), 1.0)
    found = np.sqrt(np.where(several & ~large, variance, 0.0))
    for index in np.flatnonzero(several & large):
        row = rows[index]
        count, total = int(row["out_packets"]), int(row["out_payload"])
        squares = int(row["squares_high"]) << 64 | int(row["squares_low"])
        found[index] = sqrt((count * squares - total * total) / (count * (count - 1)))
    return found


def _windows(rows: np.ndarray, dialect: str) -> np.ndarray:
    """First windows, as flow._initial_window has them."""
    if dialect == "constant-window":
        return np.full(len(rows), -1)
    return np.where(rows["window"] < 0, 0 if dialect == "cicflowmeter-2020" else -1, rows["window"])


def _subflow_bytes(rows: np.ndarray, dialect: str) -> np.ndarray:
    """Forward payload bytes, as flow._subflow_bytes has them."""
    if dialect != "cicflowmeter-2020":
        return rows["in_payload"]
    return rows["in_payload"] // (rows["in_packets"] + rows["out_packets"])
