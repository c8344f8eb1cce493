"""`python -m tlids_helpers.testbed`: what is made from the testbed's recordings, once they are there.

flows   meter the captures in data/testbed, and leave testbed.parquet and testbed-cicflow.parquet beside them;
        with --home second-home those in data/second-home, as second-home.parquet and so on
model   train on the first session as notebook 05 does, and leave edge/models/testbed for the Pi
rows    only give the model in edge/models/testbed the stored rows of its training split, rows.npz, as `model` does
"""

import argparse
import hashlib
import json
import shutil
import sys
from pathlib import Path

from tlids_edge import outputs
from tlids_edge.learn.rows import FILE as ROWS

from tlids_helpers import experiment
from tlids_helpers.common import files
from tlids_helpers.common.errors import InputError
from tlids_helpers.data import prepare
from tlids_helpers.export import card
from tlids_helpers.results.runs import Setup
from tlids_helpers.testbed import recordings

RAW = argparse.RawDescriptionHelpFormatter
MODEL = files.REPOSITORY / "edge" / "models" / "testbed"
FALSE_POSITIVE_RATE = 0.01  # a session has some 350 benign validation rows: too few to show 0.1 %
SHIPPED = ("model.tflite", "card.json", "rows.npz")  # model.keras stays under runs/: the Pi has no use for it


def make_model(folder: Path = MODEL, data_dir: str | Path = "data", runs_dir: str | Path = "runs") -> str:
    """Train (or take the finished run), export, and leave the folder whole; returns what the threshold rests on.

    With the same seed and number of threads the same weights come out. Raises InputError as preparing, training and
    exporting do.
    """
    setup = Setup(runs_dir=runs_dir, notebook="05_edge_export")
    prepared = prepare.prepare("testbed", data_dir, "session", setup.seed)
    run = experiment.from_scratch(prepared, setup)
    exported, alert = card.export_run(run, prepared, FALSE_POSITIVE_RATE)
    fields = card.read(exported)
    fields["files"] = {name: entry for name, entry in fields["files"].items() if name in SHIPPED}
    with files.written_whole(folder) as scratch:
        for name in fields["files"]:
            shutil.copyfile(exported / name, scratch / name)
        (scratch / "card.json").write_text(json.dumps(fields, indent=1))
    return alert.sentence()


def make_rows(folder: Path = MODEL, data_dir: str | Path = "data") -> int:
    """Put rows.npz into a model's folder and its digest into the card; the model stays as it is. Returns the bytes.

    Raises InputError when the testbed's training rows are not those that the card counts.
    """
    fields = card.read(folder)
    prepared = prepare.prepare("testbed", data_dir, fields["split"], fields["seed"])
    found = (list(prepare.class_list(prepared, fields["task"])), prepared.size("train"))
    if found != (fields["classes"], fields["rows"]["train"]):
        raise InputError(
            f"expected {fields['rows']['train']:,} training rows of the classes in {folder / 'card.json'}, found "
            f"{found[1]:,} of {', '.join(found[0])}", "train the model again with `make testbed-model`"
        )  # fmt: skip
    content = card.stored_rows(prepared, fields["task"], fields["classes"].index(fields["benign"]))
    fields["files"][ROWS] = {"sha256": hashlib.sha256(content).hexdigest(), "bytes": len(content)}
    with outputs.written(folder / ROWS) as stream:
        stream.write(content)
    with outputs.written(folder / "card.json") as stream:
        stream.write(json.dumps(fields, indent=1).encode())
    return len(content)


def main(arguments: list[str] | None = None) -> int:
    """Run the command; 0, or 2 with a sentence on standard error when a recording cannot be used."""
    parser = argparse.ArgumentParser("python -m tlids_helpers.testbed", description=__doc__, formatter_class=RAW)
    parser.add_argument("what", nargs="?", choices=("flows", "model", "rows"), default="flows", help="default: flows")
    parser.add_argument("folder", nargs="?", type=Path, help="instead of data/testbed, or of edge/models/testbed")
    parser.add_argument("--home", choices=recordings.HOMES, default=recordings.HOMES[0], help="default: %(default)s")
    options = parser.parse_args(arguments)
    try:
        if options.what == "model":
            print(make_model(options.folder or MODEL))
            return 0
        if options.what == "rows":
            print(f"rows.npz: {make_rows(options.folder or MODEL):,} bytes")
            return 0
        folder = options.folder or recordings.FOLDER.with_name(options.home)
        for name, flows in recordings.write_flows(folder, options.home).items():
            print(f"{name}: {flows:,} flows")
    except InputError as error:
        print(error, file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
