"""A notebook 02 that trains nothing and waits to be told to end, and the preload that makes workers run it.

It writes its seed into `begun` when it begins, waits for `go-SEED`, and leaves a run of the right name.
"""

import json
import os
from pathlib import Path

import nbformat

PARAMETERS = """\
dataset = ""
task = "multiclass"
split = "paper"
seed = 42
rows = None
epochs = 50
data_dir = "data"
runs_dir = "runs"
"""
BODY = """\
import time
from pathlib import Path
from types import SimpleNamespace
from tlids_helpers.data import prepare
from tlids_helpers.network.recipe import Recipe
from tlids_helpers.results import runs

here = Path(runs_dir).parent
with open(here / "begun", "a") as begun:
    begun.write(f"{seed}\\n")
while not (here / f"go-{seed}").exists():
    time.sleep(0.05)
prepared = prepare.prepare(dataset, data_dir, split, seed, rows)
setup = runs.Setup(task, Recipe(epochs), seed, runs_dir)
model = SimpleNamespace(save=lambda path: Path(path).touch())
fitted = SimpleNamespace(model=model, history={}, epochs=1, best_epoch=1, seconds={"total": 1.0})
predicted = prepare.load(prepared, "test", task)[1]
runs.save(prepared, "scratch", setup, fitted, runs.on_test(prepared, task, predicted))
"""


def write(folder: Path) -> dict[str, str]:
    """Write the notebook into `folder`; returns the environment of a driver or worker whose workers are to run it."""
    folder.mkdir()
    parameters = nbformat.v4.new_code_cell(PARAMETERS, metadata={"tags": ["parameters"]})
    metadata = {"kernelspec": {"name": "python3", "display_name": "Python 3", "language": "python"}}
    notebook = nbformat.v4.new_notebook(cells=[parameters, nbformat.v4.new_code_cell(BODY)], metadata=metadata)
    nbformat.write(notebook, folder / "02_tiny.ipynb")
    return {"TINY_NOTEBOOKS": str(folder), "DASK_DISTRIBUTED__WORKER__PRELOAD": json.dumps([__file__])}


def dask_setup(worker) -> None:
    """What Dask calls in a worker that it preloads this file into."""
    from tlids_helpers import notebooks

    notebooks.NOTEBOOKS = Path(os.environ["TINY_NOTEBOOKS"])
