"""What was going on when: time windows and addresses that say which flows were attacks.

`labels.csv` has the columns `start,end,src,dst,dst_port,attack` and, if wanted, `both_ways`:

    start,end,src,dst,dst_port,attack
    2026-03-01T10:00:00Z,2026-03-01T10:05:00Z,192.168.1.66,,,Reconnaissance
    ,,aa:bb:cc:dd:ee:ff,192.168.1.0/24,1883,DoS

`start` and `end` are seconds since 1970 or ISO 8601 (UTC unless it says otherwise), both included; a flow
is inside when any part of it is. `src` and `dst` are addresses, networks or MAC addresses. An empty field
matches anything. The first row that matches wins, a flow that no row matches is Benign. A row also matches
the opposite direction (its `dst_port` then being the flow's source port) unless its `both_ways` is 0.
"""

import csv
import io
import re
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cached_property
from ipaddress import ip_network
from math import inf, isfinite
from pathlib import Path

from tlids_edge.errors import InputError, quoted
from tlids_edge.flows.label_index import Host, LabelIndex, Window
from tlids_edge.flows.meter import Flow

BENIGN = "Benign"
MAX_BYTES = 64 << 20  # of a labels file: half a million rows
MILLISECONDS = 1e11  # of 1973 until now; as seconds, the year 5138
COLUMNS = ("start", "end", "src", "dst", "dst_port", "attack")
OPTIONAL = ("both_ways",)
_MAC = re.compile(r"[0-9a-f]{2}(:[0-9a-f]{2}){5}")


@dataclass(frozen=True, slots=True)
class LabelRule:
    """One row of a labels file; times in microseconds since 1970."""

    start_us: float
    end_us: float
    src: Host
    dst: Host
    dst_port: int | None
    attack: str
    both_ways: bool = True


class Labels(list[LabelRule]):
    """The rows of a labels file in their order, which does not change any more once a flow has been labelled."""

    @cached_property
    def index(self) -> LabelIndex:
        """How the first row that matches a flow is found among many."""
        windows = (Window(rule.start_us, rule.end_us, row, rule.both_ways) for row, rule in enumerate(self))
        return LabelIndex(
            (rule.src, rule.dst, rule.dst_port, window) for rule, window in zip(self, windows, strict=True)
        )


def read_labels(path: str | Path) -> Labels:
    """Read a labels file.

    Raises:
        InputError: it cannot be read, or a line does not say what a line must; the sentence names the line.
    """
    try:
        with open(path, "rb") as file:
            content = file.read(MAX_BYTES + 1)
    except OSError as error:
        raise InputError(
            f"expected labels {path} that can be read, found: {error.strerror}", "check the name and its permissions"
        ) from error
    if len(content) > MAX_BYTES:
        fault = f"expected labels of at most {MAX_BYTES:,} bytes in {path}, found more"
        raise InputError(fault, "give the file of the recording alone")
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise InputError(f"expected labels as UTF-8 text in {path}, found other bytes", "save it as UTF-8") from error
    return _read_rows(csv.DictReader(io.StringIO(text, newline=""), skipinitialspace=True, strict=True), str(path))


def label_flow(labels: Labels, flow: Flow) -> str:
    """The attack that the first matching row names, "Benign" when none matches."""
    row = labels.index.first(flow)
    return BENIGN if row is None else labels[row].attack


def _read_rows(reader: csv.DictReader, path: str) -> Labels:
    """Turn every row into a rule."""
    try:
        columns = [(name or "").strip() for name in reader.fieldnames or ()]
    except csv.Error as error:
        raise InputError(f"expected CSV in line 1 of {path}, found: {error}", "correct it") from error
    missing = [name for name in COLUMNS if name not in columns]
    unknown = [name for name in columns if name not in COLUMNS + OPTIONAL]
    if missing or unknown or len(set(columns)) != len(columns):
        raise InputError(
            f"expected the columns {','.join(COLUMNS)} in line 1 of {path}, found {quoted(','.join(columns))}",
            "write them there",
        )
    reader.fieldnames = columns
    rules = Labels()
    try:
        for row in reader:
            rules.append(_rule(row))
    except csv.Error as error:
        raise InputError(f"expected CSV in line {reader.line_num} of {path}, found: {error}", "correct it") from error
    except ValueError as error:
        raise InputError(f"expected {error} in line {reader.line_num} of {path}", "correct that line") from error
    return rules


def _rule(row: dict) -> LabelRule:
    """One row; a ValueError names what should be there and what is."""
    if None in row or None in row.values():
        raise ValueError("as many fields as in the first line, found more or fewer")
    field = {name: value.strip() for name, value in row.items()}
    start, end = _time_us(field["start"], -inf), _time_us(field["end"], inf)
    if start > end:
        raise ValueError(f"a start before the end, found {quoted(field['start'])} to {quoted(field['end'])}")
    if not field["attack"]:
        raise ValueError("the name of an attack, found an empty field")
    if field.get("both_ways", "") not in ("", "0", "1"):
        raise ValueError(f"both_ways 0 or 1, found {quoted(field['both_ways'])}")
    return LabelRule(
        start, end, _host(field["src"]), _host(field["dst"]), _port(field["dst_port"]), field["attack"],
        field.get("both_ways", "") != "0",
    )  # fmt: skip


def _time_us(text: str, default: float) -> float:
    """A moment in microseconds since 1970."""
    if not text:
        return default
    try:
        seconds = float(text)
    except ValueError:
        seconds = _iso_seconds(text)
    if not isfinite(seconds):
        raise ValueError(f"a time, found {quoted(text)}")
    if abs(seconds) >= MILLISECONDS:
        raise ValueError(f"seconds since 1970, found {quoted(text)}, which are milliseconds or less")
    return seconds * 1e6


def _iso_seconds(text: str) -> float:
    """Seconds since 1970 of an ISO 8601 time, UTC when it names no zone."""
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise ValueError(f"seconds since 1970 or a time like 2026-03-01T10:00:00Z, found {quoted(text)}") from None
    return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()


def _host(text: str) -> Host:
    """A MAC address or a network; None for an empty field."""
    if not text:
        return None
    mac = text.lower().replace("-", ":")
    if _MAC.fullmatch(mac):
        return mac
    try:
        return ip_network(text, strict=False)
    except ValueError:
        raise ValueError(f"an address, a network like 10.0.0.0/8 or a MAC address, found {quoted(text)}") from None


def _port(text: str) -> int | None:
    """A port number; None for an empty field."""
    if not text:
        return None
    if not (text.isascii() and text.isdigit() and len(text) < 6 and int(text) <= 65535):
        raise ValueError(f"a port from 0 to 65535, found {quoted(text)}")
    return int(text)
