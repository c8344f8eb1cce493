"""`python -m tlids_helpers.seeds < FILE` trains a network from scratch for each of many seeds, at once on a GPU.

FILE is a JSON list of notebook 02's parameters, one object a seed, which differ in their seed alone. It leaves the runs
that notebook 02 would, without executing it. The grid starts this where JAX sees an accelerator.
"""

import json
import os
import sys
import threading
import time

from tlids_helpers import experiment
from tlids_helpers.common.errors import InputError
from tlids_helpers.data import prepare
from tlids_helpers.data.prepare import Prepared
from tlids_helpers.data.raw import Allowed
from tlids_helpers.network.recipe import named
from tlids_helpers.results.runs import Run, Setup

PARENT = "TLIDS_PARENT"  # in the environment: the process that this one ends with, which may be killed
LOOK_S = 1.0  # between two looks for it
OF_RECIPE = ("epochs", "batch_size", "learning_rate", "patience")


def trained(parameters: list[dict]) -> list[Run]:
    """The runs of these parameters. Raises InputError where more than the seed differs, or a seed comes twice."""
    first, seeds = parameters[0], [each["seed"] for each in parameters]
    if any({**each, "seed": first["seed"]} != first for each in parameters):
        raise InputError("expected parameters that differ in their seed alone, found others: train them separately")
    recipe = named(first["recipe"], **{name: first[name] for name in OF_RECIPE})
    setup = Setup(first["task"], recipe, runs_dir=first["runs_dir"], notebook="02_cnn_training")
    return experiment.seeds_from_scratch([_rows(each) for each in parameters], setup, seeds)


def _rows(given: dict) -> Prepared:
    allowed = Allowed(subset=given["allow_subset"], loss=given["allow_loss"])
    return prepare.prepare(given["dataset"], given["data_dir"], given["split"], given["seed"], given["rows"], allowed)


def end_with(parent: int) -> None:
    """End this process once another one than `parent`, which started it, has become its parent."""

    def watch() -> None:
        while os.getppid() == parent:
            time.sleep(LOOK_S)
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()


def main() -> int:
    """The command line: parameters on standard input."""
    if PARENT in os.environ:
        end_with(int(os.environ[PARENT]))
    try:
        for run in trained(json.load(sys.stdin)):
            print(run.folder.name)
    except InputError as error:
        print(error, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
