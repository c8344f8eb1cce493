"""What the grid's command line takes, and what it says to what it cannot use, before anything starts."""

import subprocess
import sys

import pytest
from small_flows import write_csv

from tlids_helpers.common.errors import InputError
from tlids_helpers.data import prepare
from tlids_helpers.grid import __main__ as grid
from tlids_helpers.grid import plan, run
from tlids_helpers.network.recipe import Recipe


def asked(folder, *options: str) -> plan.Grid:
    folders = ["--data-dir", str(folder / "data"), "--runs-dir", str(folder / "runs")]
    return grid.asked(grid.parser().parse_args([*folders, *options]))


@pytest.mark.parametrize(
    ("words", "meant"),
    [(["0-4"], (0, 1, 2, 3, 4)), (["42", "43"], (42, 43)), (["1,3", "2-3"], (1, 3, 2)), (["7-7"], (7,))],
)
def test_seeds_are_numbers_and_ranges_each_once(words, meant):
    assert grid.seeds(words) == meant


def test_the_tasks_are_those_of_the_notebooks(tmp_path):
    prepared = prepare.prepare(str(write_csv(tmp_path / "home.csv")), tmp_path / "data")
    assert all(prepare.class_list(prepared, task) for task in plan.TASKS)


def test_a_recipe_and_what_is_changed_of_it_shape_the_runs(tmp_path):
    meant = asked(tmp_path, "--datasets", "testbed", "--epochs", "3", "--learning-rate", "1e-3").recipe
    assert meant == Recipe(epochs=3, learning_rate=0.001)


def test_what_may_be_lacking_reaches_the_rows_and_the_notebooks(tmp_path):
    wanted = asked(tmp_path, "--datasets", "nf-bot-iot", "--protocols", "scratch", "--allow-loss", "0.2")
    (one,) = plan.notebook_runs(plan.combinations(wanted)[0], wanted)
    assert (one.preparation.allow_subset, one.preparation.allow_loss) == (False, 0.2)
    assert (one.parameters["allow_subset"], one.parameters["allow_loss"]) == (False, 0.2)


def test_an_option_is_brought_to_its_type_as_a_notebook_does(tmp_path):
    wanted = asked(tmp_path, "--datasets", "testbed", "--rows", "1e4", "--batch-size", "none", "--split", " grouped ")
    assert (wanted.rows, wanted.recipe.batch_size, wanted.split) == (10_000, 128, "grouped")


def test_an_own_file_is_meant_from_where_the_user_is_and_named_whole_to_the_workers(tmp_path, monkeypatch):
    write_csv(tmp_path / "home.csv")
    monkeypatch.chdir(tmp_path)
    assert asked(tmp_path, "--datasets", "home.csv", "testbed", "home.csv").datasets == (
        str(tmp_path / "home.csv"),
        "testbed",
    )


@pytest.mark.parametrize(
    "options",
    [
        "--datasets nf-tonn-iot",
        "--datasets testbed --tasks trinary",
        "--datasets testbed --protocols paper both",
        "--datasets testbed --split random",
        "--datasets testbed --recipe secret",
        "--datasets testbed --seeds 4-0",
        "--datasets testbed --seeds -1",
        "--datasets testbed --seeds 0-",
        "--datasets testbed --seeds one",
        "--datasets testbed --rows 0",
        "--datasets testbed --rows many",
        "--datasets testbed --epochs 1.5",
        "--datasets testbed --batch-size 0",
        "--datasets testbed --learning-rate fast",
        "--datasets testbed --learning-rate nan",
        "--datasets testbed --learning-rate 2",
        "--datasets testbed --allow-loss 1.5",
        "--datasets testbed --allow-loss some",
        "--datasets testbed --seeds 0-3999999999",
        "--datasets testbed --seeds 9999999999",
        "--datasets testbed --tasks Binary",
        "--datasets testbed --frozen head",
        "--datasets testbed --share 0",
        "--datasets testbed --share 0.1 2",
        "--datasets testbed --share some",
        "--datasets testbed --protocols scratch --share 0.1",
        "--datasets testbed --workers 0",
        "--datasets testbed --threads none",
        "--datasets testbed --scheduler somewhere",
        "--datasets testbed --scheduler http://host:8786",
        "--datasets testbed --protocols leave_target_out",
        "--datasets testbed --scheduler tcp://127.0.0.1:9",
    ],
)
def test_a_bad_value_is_one_sentence_and_exit_status_1_and_no_cluster_is_started(
    options, tmp_path, monkeypatch, capsys
):
    monkeypatch.setattr(run, "_local", lambda workers: pytest.fail("a cluster was started"))
    monkeypatch.setattr(run, "CONNECT_SECONDS", 1)
    folders = ["--data-dir", str(tmp_path / "data"), "--runs-dir", str(tmp_path / "runs")]
    assert grid.main([*folders, *options.split()]) == 1
    lines = capsys.readouterr().err.strip().splitlines()
    assert lines[-1].startswith("expected ") and ", found " in lines[-1]
    assert len(lines) == 1 or "leave_target_out" in lines[0]
    assert not list((tmp_path / "runs").glob("*"))


def test_a_file_that_is_not_the_dataset_it_is_called_is_refused_at_once(put, data_dir, capsys):
    put("<!DOCTYPE html><html></html>", "NF-ToN-IoT.csv")
    assert grid.main(["--datasets", "nf-ton-iot", "--data-dir", str(data_dir)]) == 1
    assert "NF-ToN-IoT.csv" in capsys.readouterr().err


def test_a_folder_that_cannot_be_made_is_refused(tmp_path):
    (tmp_path / "runs").touch()
    with pytest.raises(InputError, match="--runs-dir"):
        asked(tmp_path, "--datasets", "testbed")


def test_the_grid_loads_no_keras():
    code = (
        "import sys, tlids_helpers.grid.__main__\n"
        "print([name for name in ('keras', 'tensorflow', 'jax') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=300)
    assert done.stdout.strip() == "[]", done.stderr
