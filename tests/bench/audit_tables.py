"""`make audit`: prints the checks of `python -m tlids_helpers.audit`, and stores them in docs/results/audit.json.

A dataset of `SAMPLES` is the real sample under TLIDS_SHARED (default ../shared); any other is in data/, as always. What
is stored takes the place of the section of the same rows, and rows without one there are not stored. `make docs`
renders docs/audit-tables.md from the file.
"""

import argparse
import json
import os
import re
import sys
from pathlib import Path

import kept

from tlids_helpers.audit import __main__ as command
from tlids_helpers.audit import show
from tlids_helpers.audit.check import Check
from tlids_helpers.common import files
from tlids_helpers.common.errors import InputError

SAMPLES = {
    "nf-bot-iot-v2": ("NF-BoT-IoT-v2.sample.csv.gz", "NF-BoT-IoT-v2.csv.gz"),
    "nf-cse-cic-ids2018-v2": ("NF-CSE-CIC-IDS2018-v2.sample.csv", "NF-CSE-CIC-IDS2018-v2.csv"),
}
CROSSED = "From one network to another"
TITLES = {"nf-bot-iot-v2": "NF-BoT-IoT-v2", "nf-cse-cic-ids2018-v2": "NF-CSE-CIC-IDS2018-v2", "testbed": "The testbed"}
"""Dataset -> the title of its section."""


def main(arguments: list[str] | None = None, into: Path = kept.RESULTS / "audit.json") -> int:
    """The command line, with the options of `python -m tlids_helpers.audit`."""
    options = command.parser().parse_args(arguments)
    title = CROSSED if options.cross else TITLES.get(options.datasets[0], options.datasets[0])
    found = []
    try:
        for name, check in command.asked(options, {dataset: data_dir_of(dataset) for dataset in options.datasets}):
            print(command.section(name, check), flush=True)
            found.append(plain(name, check))
    except InputError as error:
        print(error, file=sys.stderr)
        return 1
    put = store(into, {"title": title, **kept.told(make_command(options)), "checks": found})
    told = f"stored in {files.shown(into)}: `make docs` renders it" if put else f"not stored: {title} has no section"
    print(told, file=sys.stderr)
    return 0


def data_dir_of(dataset: str) -> Path:
    """The data folder of `dataset`: a sample is linked to where the catalog looks for the file; nothing is copied."""
    if dataset not in SAMPLES:
        return files.resolve("data")
    theirs, ours = SAMPLES[dataset]
    sample = Path(os.environ.get("TLIDS_SHARED") or "../shared").resolve() / "data" / "netflow" / theirs
    if not sample.is_file():
        raise InputError(f"expected real flows at {sample}, found none", "set TLIDS_SHARED to the folder that has them")
    raw = command.HOME.resolve() / "data" / "raw"
    raw.mkdir(parents=True, exist_ok=True)
    if not (raw / ours).is_symlink():
        (raw / ours).symlink_to(sample)
    return raw.parent


def make_command(options: argparse.Namespace) -> str:
    """The make command that gives the same tables."""
    backend = os.environ.get("KERAS_BACKEND")
    given = {"DATASET": " ".join(options.datasets), "ROWS": options.rows, "EPOCHS": options.epochs,
             "RECIPES": " ".join(options.recipes), "CROSS": "yes" if options.cross else None}  # fmt: skip
    words = [f'{name}="{value}"' for name, value in given.items() if value is not None]
    return " ".join([*([f"KERAS_BACKEND={backend}"] if backend else []), "make audit", *words])


def plain(title: str, check: Check) -> dict:
    """A check as JSON can hold it: its title and sentence, and where it has a table that one's texts and mark."""
    told = {"title": title, "sentence": check.sentence}
    if check.table is None:
        return told
    columns, rows = show.texts(check.table)
    return told | {"mark": check.table.columns.name or "", "columns": columns, "rows": rows}


def store(file: Path, made: dict) -> bool:
    """Replace the section of that title in `file`; False where there is none. A table's row is one line of JSON."""
    found = json.loads(file.read_text(encoding="utf-8"))
    titles = [each["title"] for each in found["sections"]]
    if made["title"] not in titles:
        return False
    found["sections"][titles.index(made["title"])] = made
    text = json.dumps(found, indent=1, ensure_ascii=False)
    rows = re.sub(r"\[\n *([^\[\]{}]*?)\n *\]", lambda row: "[" + re.sub(r",\n *", ", ", row[1]) + "]", text)
    kept.write_whole(file, rows + "\n")
    return True


if __name__ == "__main__":
    sys.exit(main())
