"""The model that the repository ships for the Pi: trained on the testbed's first session, as notebook 05 does it.

    python -m tlids_helpers.testbed.shipped_model

Leaves edge/models/testbed with model.tflite (float32) and card.json. `model.keras` stays under runs/: the Pi has no use
for it. With the same seed and number of threads the same weights come out.
"""

import json
import shutil
import sys
from pathlib import Path

from tlids_helpers import chosen_run
from tlids_helpers.common import files
from tlids_helpers.common.errors import InputError
from tlids_helpers.data import prepare
from tlids_helpers.export import card
from tlids_helpers.network.recipe import Recipe
from tlids_helpers.network.training import EpochBar

FOLDER = files.REPOSITORY / "edge" / "models" / "testbed"
SEED = 42
FALSE_POSITIVE_RATE = 0.01  # a session has some 350 benign validation rows: too few to show 0.1 %
SHIPPED = ("model.tflite", "card.json")


def make_model(folder: Path = FOLDER, data_dir: str = "data", runs_dir: str = "runs") -> str:
    """Train (or take the finished run), export, and leave the folder whole; returns what the threshold rests on."""
    prepared = prepare.prepare("testbed", data_dir, "session", SEED)
    choice = chosen_run.choose(prepared, "multiclass", "scratch", Recipe(), SEED, "", data_dir, False)
    run = chosen_run.obtain(choice, "05_edge_export", runs_dir, (EpochBar(),))
    exported, alert = card.export_run(run, prepared, FALSE_POSITIVE_RATE, runs_dir)
    fields = card.read(exported)
    fields["files"] = {name: told for name, told in fields["files"].items() if name in SHIPPED}
    with files.written_whole(folder) as scratch:
        shutil.copyfile(exported / "model.tflite", scratch / "model.tflite")
        (scratch / "card.json").write_text(json.dumps(fields, indent=1))
    return alert.sentence()


def main() -> int:
    """Run the command."""
    try:
        print(make_model())
    except InputError as error:
        print(error, file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
