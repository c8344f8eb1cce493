"""What two machines made of one capture: flow rows, verdicts, EVE events; which of them differ, and by how much."""

import csv
import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

TOLERANCE = 1e-5  # of a probability: ten times what float32 sums in another order differ by in the paper's CNN
_ROW_KEY = ("FIRST_SWITCHED_MS", "IPV4_SRC_ADDR", "L4_SRC_PORT", "IPV4_DST_ADDR", "L4_DST_PORT", "PROTOCOL")


class Entry(NamedTuple):
    """One row, verdict or event: what must be equal, and the probabilities that may differ by the tolerance."""

    exact: dict
    probabilities: list[float]


@dataclass
class Comparison:
    """The outcome for one kind of entry."""

    what: str
    compared: int
    largest: float | None = None  # difference of two probabilities; None where there are none
    differences: list[str] = field(default_factory=list)


def compare(what: str, ours: dict, theirs: dict, tolerance: float = TOLERANCE) -> Comparison:
    """Compare the entries of x86-64 (`ours`) and aarch64 (`theirs`), both by key, as the readers below make them."""
    result = Comparison(what, len(ours.keys() & theirs.keys()))
    for key, here in ours.items():
        if key not in theirs:
            result.differences.append(f"{key} is on x86-64 alone")
            continue
        fault, apart = _difference(here, theirs[key], tolerance)
        if fault:
            result.differences.append(f"{key}: {fault}")
        if apart is not None:
            result.largest = max(apart, result.largest or 0.0)
    result.differences += [f"{key} is on aarch64 alone" for key in theirs if key not in ours]
    if not result.compared:
        result.differences.append("nothing was there to compare")
    return result


def _difference(here: Entry, there: Entry, tolerance: float) -> tuple[str, float | None]:
    """What differs between two entries, "" for nothing, and the largest distance of their probabilities."""
    names = sorted(here.exact.keys() | there.exact.keys())
    faults = [
        f"{name} {here.exact.get(name)} and {there.exact.get(name)}"
        for name in names
        if here.exact.get(name) != there.exact.get(name)
    ]
    if len(here.probabilities) != len(there.probabilities):
        return ", ".join([*faults, f"{len(here.probabilities)} and {len(there.probabilities)} probabilities"]), None
    apart = [abs(x - y) for x, y in zip(here.probabilities, there.probabilities, strict=True)]
    if not all(distance <= tolerance for distance in apart):  # so written, a NaN is a difference
        faults.append(f"probabilities {here.probabilities} and {there.probabilities}")
    return ", ".join(faults), max(apart, default=None)


def read_rows(path: Path) -> dict:
    """The flows of `tlids-meter --family both`; every column is text and must be equal."""
    with path.open(newline="") as table:
        return _by_key((tuple(row[name] for name in _ROW_KEY), Entry(row, [])) for row in csv.DictReader(table))


def read_verdicts(path: Path) -> dict:
    """What judge_flows.py wrote: class and alarm must be equal, probabilities nearly so."""
    verdicts = map(json.loads, path.read_text().splitlines())
    return _by_key(((verdict["flow"],), Entry(verdict, verdict.pop("probabilities"))) for verdict in verdicts)


def read_events(path: Path) -> dict:
    """The lines of `tlids-edge --all-flows`: scores nearly equal, everything else equal."""
    return _by_key(map(_event, map(json.loads, path.read_text().splitlines())))


def _event(event: dict) -> tuple[tuple, Entry]:
    """One EVE event, its probabilities and score taken out of it."""
    key = tuple(event.get(name) for name in ("event_type", "timestamp", "flow_id", "src_ip"))
    texts = []
    if event["event_type"] == "flow":
        variables = event["metadata"]["flowvars"]
        texts += [variable.pop("value") for variable in variables if variable["key"] == "tlids_score"]
    else:
        metadata = event["alert"]["metadata"]
        texts += metadata.pop("tlids_score", [])
        texts += [text.rpartition("=")[2] for text in metadata.pop("tlids_probabilities", [])]
    return key, Entry(dict(_flat(event)), [float(text) for text in texts])


def _flat(value: object, path: str = "") -> Iterator[tuple[str, object]]:
    """The values of a nested object by their dotted paths, so that a difference names the one that differs."""
    if not isinstance(value, dict):
        yield path, value
        return
    for name, inner in value.items():
        yield from _flat(inner, f"{path}.{name}" if path else name)


def _by_key(entries: Iterable[tuple[tuple, Entry]]) -> dict:
    """Entries by key; those that share a key are told apart by their order."""
    found: dict = {}
    for key, entry in entries:
        number = 0
        while (*key, number) in found:
            number += 1
        found[(*key, number)] = entry
    return found
