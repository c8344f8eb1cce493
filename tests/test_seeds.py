"""Many seeds as one: what the command leaves is what notebook 02 is planned to leave, and the audit asks for it."""

import io
import json
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
from edge_process import LIMIT_S, alive, first_line, wait_for
from small_flows import write_csv

from tlids_helpers import experiment, seeds
from tlids_helpers.audit import baselines
from tlids_helpers.audit import seeds as spread
from tlids_helpers.grid import __main__ as grid
from tlids_helpers.grid import plan
from tlids_helpers.network import device, training
from tlids_helpers.network.recipe import Recipe
from tlids_helpers.results import runs
from tlids_helpers.results.runs import Setup


@pytest.fixture
def asked(tmp_path) -> list:
    """The planned scratch runs of three seeds."""
    options = ["--datasets", str(write_csv(tmp_path / "home.csv")), "--protocols", "scratch", "--seeds", "0-2"]
    folders = ["--data-dir", str(tmp_path / "data"), "--runs-dir", str(tmp_path / "runs"), "--epochs", "3"]
    wanted = grid.asked(grid.parser().parse_args([*options, *folders]))
    return [each for one in plan.combinations(wanted) for each in plan.notebook_runs(one, wanted)]


@pytest.fixture
def trainings(monkeypatch) -> list:
    """What `train_seeds` was asked for; its networks say the first class."""
    given = []

    def stand_in(rows, n_classes, recipe, numbers):
        given.append((numbers, recipe, [train[0] for train, _ in rows]))
        model = SimpleNamespace(save=lambda path: Path(path).touch())
        return [training.Trained(model, {}, 1, 1, {"total": 1.0}) for _ in numbers]

    monkeypatch.setattr(training, "train_seeds", stand_in)
    monkeypatch.setattr(experiment, "predict", lambda model, features: np.eye(4)[np.zeros(len(features), int)])
    return given


def start(monkeypatch, parameters: list[dict]) -> int:
    monkeypatch.setattr("sys.stdin", io.StringIO(json.dumps(parameters)))
    return seeds.main()


def test_the_command_leaves_the_runs_that_the_notebooks_would(asked, trainings, monkeypatch, capsys):
    parameters = [each.parameters for each in asked]
    assert start(monkeypatch, parameters[:1]) == 0
    assert start(monkeypatch, parameters) == 0
    folder = parameters[0]["runs_dir"]
    found = [runs.find(folder, each.name) for each in asked]
    assert [run.result["seed"] for run in found] == [0, 1, 2]
    assert capsys.readouterr().out.splitlines() == [asked[0].name, *(each.name for each in asked)]
    assert [numbers for numbers, *_ in trainings] == [[0], [1, 2]]  # what is there is not trained again
    assert all(recipe.epochs == 3 for _, recipe, _ in trainings)
    assert not np.array_equal(*trainings[1][2])  # each seed's own rows


def test_parameters_that_differ_in_more_than_the_seed_and_a_seed_given_twice(asked, trainings, monkeypatch, capsys):
    first, other, _ = (each.parameters for each in asked)
    assert start(monkeypatch, [first, {**other, "task": "binary"}]) == 1
    assert "that differ in their seed alone" in capsys.readouterr().err
    assert start(monkeypatch, [first, first]) == 1
    assert "each seed once, found [0, 0]" in capsys.readouterr().err
    assert not trainings


TRAINING = """
import io, os, sys, time
from tlids_helpers import seeds
seeds.trained, sys.stdin = lambda _: time.sleep(600), io.StringIO("[]")
print(os.getpid(), flush=True)
seeds.main()
"""
WORKER = """
import os, subprocess, sys
subprocess.run([sys.executable, "-c", sys.argv[1]], env=os.environ | {"TLIDS_PARENT": str(os.getpid())})
"""


def test_a_training_ends_with_the_worker_that_started_it():
    worker = subprocess.Popen([sys.executable, "-c", WORKER, TRAINING], stdout=subprocess.PIPE)
    training = int(first_line(worker))
    assert alive(training)
    worker.kill()
    wait_for(lambda: not alive(training), "the training to end")
    worker.communicate(timeout=LIMIT_S)


@pytest.mark.parametrize("accelerated", [False, True])
def test_the_audits_spread_trains_all_seeds_at_once_on_an_accelerator_alone(monkeypatch, accelerated):
    order = []
    monkeypatch.setattr(device, "accelerated", lambda: accelerated)
    together = lambda rows, setup, numbers: order.append((rows, setup.recipe.epochs, numbers))  # noqa: E731
    monkeypatch.setattr(experiment, "seeds_from_scratch", together)
    scored = lambda prepared, setup, *given: order.append(setup.seed) or pd.DataFrame([{"seed": setup.seed}])  # noqa: E731
    monkeypatch.setattr(baselines, "scored", scored)
    networks = {"CNN": Recipe(epochs=7), "other": Recipe(epochs=8)}
    found = spread.over_seeds(lambda seed: f"rows {seed}", [1, 2], Setup(), networks)
    rows = ["rows 1", "rows 2"]
    assert order == ([(rows, 7, [1, 2]), (rows, 8, [1, 2])] if accelerated else []) + [1, 2]
    assert found["seed"].tolist() == [1, 2]
