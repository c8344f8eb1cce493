"""The audit's tables as docs/results/audit.json keeps them; `make docs` renders docs/audit-tables.md from that file."""

import json
import os
import platform
import re
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from pathlib import Path

from tlids_helpers.audit import show
from tlids_helpers.audit.check import Check

Titled = Iterable[tuple[str, Check]]


def section(title: str, command: str, titled: Titled) -> dict:
    """The checks of one set of rows, with the command that made them, the machine and the day (UTC)."""
    return {
        "title": title, "command": command, "machine": machine(), "date": datetime.now(UTC).date().isoformat(),
        "checks": [plain(name, check) for name, check in titled],
    }  # fmt: skip


def plain(title: str, check: Check) -> dict:
    """A check as JSON can hold it: its title and sentence, and where it has a table that one's texts and mark."""
    told = {"title": title, "sentence": check.sentence}
    if check.table is None:
        return told
    columns, rows = show.texts(check.table)
    return told | {"mark": check.table.columns.name or "", "columns": columns, "rows": rows}


def put(file: Path, made: Mapping) -> bool:
    """Replace the section of that title in `file`, written beside and renamed; False where there is none."""
    found = json.loads(file.read_text(encoding="utf-8"))
    titles = [each["title"] for each in found["sections"]]
    if made["title"] not in titles:
        return False
    found["sections"][titles.index(made["title"])] = made
    beside = file.with_name(f".{file.name}.new")
    beside.write_text(dumped(found), encoding="utf-8")
    os.replace(beside, file)
    return True


def dumped(found: Mapping) -> str:
    """JSON with a table's row on one line, so that a changed figure is one changed line."""
    text = json.dumps(found, indent=1, ensure_ascii=False)
    return re.sub(r"\[\n *([^\[\]{}]*?)\n *\]", lambda row: "[" + re.sub(r",\n *", ", ", row[1]) + "]", text) + "\n"


def machine() -> str:
    """Processor and cores as far as the system tells, and the Python."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        lines = []
    names = [line.split(":", 1)[1].strip() for line in lines if line.startswith(("model name", "Model"))]
    name = names[0] if names else platform.machine()
    return f"{name}, {os.cpu_count()} cores, Python {platform.python_version()}"
