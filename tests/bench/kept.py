"""What a measuring command leaves in docs/results/, for `make docs` to put into the pages."""

import json
import os
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path

import machine

RESULTS = Path(__file__).resolve().parents[2] / "docs" / "results"


def keep(name: str, command: str, columns: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """Write a table with its command, machine and day as docs/results/<name>.json."""
    write(name, told(command) | {"columns": list(columns), "rows": [list(row) for row in rows]})


def keep_edge(part: str, command: str, figures: Mapping[str, str]) -> None:
    """Put the figures of one part of the edge program's measurements into docs/results/edge.json."""
    found = json.loads((RESULTS / "edge.json").read_text())
    write("edge", found | {part: told(command) | {"figures": dict(figures)}})


def told(command: str) -> dict[str, str]:
    """The command, the machine in a few words, and the day (UTC)."""
    facts = machine.describe()
    where = f"{facts['processor']}, {facts['cores']} cores, Python {facts['Python']}"
    return {"command": command, "machine": where, "date": datetime.now(UTC).date().isoformat()}


def write(name: str, found: Mapping) -> None:
    """Write docs/results/<name>.json."""
    write_whole(RESULTS / f"{name}.json", json.dumps(found, indent=1, ensure_ascii=False) + "\n")


def write_whole(path: Path, text: str) -> None:
    """Write a file beside, then rename it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    beside = path.with_name(f".{path.name}.new")
    beside.write_text(text)
    os.replace(beside, path)
