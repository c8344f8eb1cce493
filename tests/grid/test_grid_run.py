"""What becomes of each task of a grid: on a cluster of threads, with notebooks that leave a run or fail at once."""

import json
import os
from pathlib import Path
from types import SimpleNamespace

import dask.config
import jax
import pytest
from distributed import Client, KilledWorker
from nbclient.exceptions import DeadKernelError
from small_flows import write_csv

from tlids_helpers import notebooks as execute
from tlids_helpers.common.errors import InputError
from tlids_helpers.data import prepare
from tlids_helpers.grid import __main__ as grid
from tlids_helpers.grid import plan, run
from tlids_helpers.grid.plan import NotebookRun, Preparation
from tlids_helpers.grid.run import Folders, Outcome
from tlids_helpers.network import device
from tlids_helpers.network.recipe import Recipe
from tlids_helpers.results import runs
from tlids_helpers.results.runs import Setup


@pytest.fixture(scope="module")
def client():
    with Client(processes=False, n_workers=2, threads_per_worker=1, dashboard_address=None) as client:
        yield client


@pytest.fixture
def folders(tmp_path):
    """Shared folders."""
    made = Folders(tmp_path / "data", tmp_path / "runs", ".grid-mark")
    for folder in (made.data_dir, made.runs_dir):
        folder.mkdir()
        (folder / made.mark).touch()
    return made


def leave_run(folders: Folders, name: str) -> None:
    folder = folders.runs_dir / name
    folder.mkdir()
    (folder / "model.keras").touch()
    (folder / "result.json").write_text(json.dumps({"schema": runs.SCHEMA, "run": name}))


@pytest.fixture
def notebooks(folders, monkeypatch):
    """Instead of running a notebook, note its run and leave that; or raise what `broken` has for it.

    Whatever run is there fits its rows: none are prepared.
    """
    begun, broken = [], {}

    def stand_in(notebook, output, parameters, progress_bar):
        begun.append(output.stem)
        if output.stem in broken:
            raise broken[output.stem]
        leave_run(folders, output.stem)

    monkeypatch.setattr(execute, "execute", stand_in)
    monkeypatch.setattr(run, "fits", lambda each, runs_dir: runs.find(runs_dir, each.name) is not None)
    return SimpleNamespace(begun=begun, broken=broken)


def notebook_run(name: str, *needs: str) -> NotebookRun:
    return NotebookRun(name, "02", Preparation("testbed", Path("data"), "session", 0, None, False), {}, needs)


def test_a_failed_run_stops_its_dependants_and_no_other(client, folders, notebooks):
    notebooks.broken["source"] = InputError("expected rows, found none: get some")
    asked = [
        notebook_run("source"),
        notebook_run("scratch"),
        notebook_run("target", "source", "scratch"),
        notebook_run("other"),
    ]
    assert run.run_all(client, asked, folders, 1) == {
        "source": Outcome("failed", "expected rows, found none: get some"),
        "scratch": Outcome("finished"),
        "target": Outcome("not run", "it starts from source, which is not there"),
        "other": Outcome("finished"),
    }
    assert sorted(notebooks.begun) == ["other", "scratch", "source"]


def test_a_run_waits_for_the_end_of_another_and_not_for_its_success(client, folders, notebooks):
    notebooks.broken["first"] = InputError("expected rows, found none: get some")
    second = NotebookRun("second", "03", notebook_run("second").preparation, {}, after=("first",))
    ends = run.run_all(client, [notebook_run("first"), second], folders, 1)
    assert [end.status for end in ends.values()] == ["failed", "finished"] and notebooks.begun == ["first", "second"]


def seeds_of(*names: str) -> list[NotebookRun]:
    """Scratch runs that differ in their seed alone, one of another task, and a transfer from the first."""
    preparation = Preparation("testbed", Path("data"), "session", 0, None, False)
    same = [NotebookRun(name, "02", preparation, {"task": "binary", "seed": n}) for n, name in enumerate(names)]
    other = NotebookRun("other task", "02", preparation, {"task": "multiclass", "seed": 0})
    return [*same, other, NotebookRun("transfer", "03", preparation, {"task": "binary", "seed": 0}, names[:1])]


@pytest.mark.parametrize("platform", ["cpu", "gpu"])
def test_all_seeds_of_a_run_are_one_task_where_every_worker_sees_an_accelerator(
    client, folders, notebooks, monkeypatch, platform
):
    groups = []

    def train(group, folders):
        groups.append([each.name for each in group])
        for each in group:
            leave_run(folders, each.name)

    monkeypatch.setattr(device, "_plugged", lambda: True)
    monkeypatch.setattr(jax, "devices", lambda: [SimpleNamespace(platform=platform)])
    monkeypatch.setattr(run, "_train", train)
    ends = run.run_all(client, seeds_of("s0", "s1", "s2"), folders, 1)
    assert ends == dict.fromkeys(["s0", "s1", "s2", "other task", "transfer"], Outcome("finished"))
    assert groups == ([["s0", "s1", "s2"]] if platform == "gpu" else [])
    alone = ["other task", "transfer"] if platform == "gpu" else ["other task", "s0", "s1", "s2", "transfer"]
    assert sorted(notebooks.begun) == alone


def test_seeds_that_cannot_be_trained_together_are_trained_by_their_notebooks_and_it_is_said(
    client, folders, notebooks, monkeypatch, capsys
):
    given = []

    def start(command, **options):
        given.append((command[1:], json.loads(options["input"])))
        return SimpleNamespace(returncode=1, stderr="W: a warning\nexpected memory, found too little\n")

    monkeypatch.setattr(device, "accelerated", lambda: True)
    monkeypatch.setattr(run, "subprocess", SimpleNamespace(run=start))
    ends = run.run_all(client, seeds_of("s0", "s1"), folders, 1)
    assert given == [(["-m", "tlids_helpers.seeds"], [{"task": "binary", "seed": 0}, {"task": "binary", "seed": 1}])]
    assert set(ends.values()) == {Outcome("finished")} and {"s0", "s1"} < set(notebooks.begun)
    assert "seeds were trained one at a time: expected memory, found too little" in capsys.readouterr().err


def test_a_task_that_is_repeated_after_its_run_was_left_runs_nothing(folders, notebooks):
    leave_run(folders, "run")
    assert run.run_notebook(notebook_run("run"), folders, 1, []) == Outcome("finished")
    assert notebooks.begun == []


def test_a_notebook_that_leaves_another_run_than_the_planned_one_is_a_failure(folders, monkeypatch):
    monkeypatch.setattr(execute, "execute", lambda *given, **options: None)
    outcome = run.run_notebook(notebook_run("run"), folders, 1, [])
    assert outcome.status == "failed" and "to leave run, found that it did not" in outcome.reason


def test_a_dead_kernel_is_said_to_want_memory(folders, notebooks):
    notebooks.broken["run"] = DeadKernelError("Kernel died")
    assert "memory" in run.run_notebook(notebook_run("run"), folders, 1, []).reason


def test_the_kernels_inherit_the_number_of_threads(folders, notebooks, monkeypatch):
    for name in execute.ONE_THREAD:
        monkeypatch.setenv(name, "7")
    run.run_notebook(notebook_run("run"), folders, 1, [])
    assert [os.environ[name] for name in execute.ONE_THREAD] == ["1"] * len(execute.ONE_THREAD)


def test_the_kernels_do_not_inherit_how_dask_has_its_workers_give_memory_back(folders, notebooks, monkeypatch):
    trim = dask.config.get("distributed.nanny.pre-spawn-environ")
    assert run.TRIM in trim
    monkeypatch.setenv(run.TRIM, str(trim[run.TRIM]))
    run.run_notebook(notebook_run("run"), folders, 1, [])
    assert run.TRIM not in os.environ


def test_a_worker_that_sees_other_folders_does_nothing_and_says_so(folders, notebooks):
    (folders.runs_dir / folders.mark).unlink()  # as in a folder of the same name on another machine
    outcome = run.run_notebook(notebook_run("run"), folders, 1, [])
    assert outcome.status == "failed" and str(folders.runs_dir) in outcome.reason and notebooks.begun == []


def test_workers_that_see_other_folders_are_refused_before_anything_is_run(client, folders):
    run.check_workers(client, folders)
    (folders.data_dir / folders.mark).unlink()
    with pytest.raises(InputError, match="a file system that all machines share"):
        run.check_workers(client, folders)


def test_workers_without_this_repository_are_refused(folders):
    error = ModuleNotFoundError("No module named 'tlids_helpers'")
    bare = SimpleNamespace(run=lambda *given, on_error: {"tcp://host:1": error})
    with pytest.raises(InputError, match="No module named 'tlids_helpers': start them from its environment"):
        run.check_workers(bare, folders)


def test_the_marks_in_the_shared_folders_are_gone_afterwards(tmp_path):
    with run.shared_folders(asked(tmp_path, "--datasets", "testbed")) as folders:
        assert run.unshared(folders) == ""
    assert not list((tmp_path / "runs").iterdir()) and not list((tmp_path / "data").iterdir())


def asked(folder, *options: str) -> plan.Grid:
    folders = ["--data-dir", str(folder / "data"), "--runs-dir", str(folder / "runs")]
    return grid.asked(grid.parser().parse_args([*folders, *options]))


def test_each_file_is_read_once_before_its_other_splits_and_a_target_before_the_union_it_is_part_of(
    client, folders, tmp_path, monkeypatch
):
    started, ended = [], []

    def stand_in(dataset, data_dir, split, seed, rows, allowed):
        started.append((dataset, seed, list(ended)))
        ended.append((dataset, seed))

    monkeypatch.setattr(prepare, "prepare", stand_in)
    wanted = asked(tmp_path, "--datasets", "nf-ton-iot", "nf-bot-iot", "--seeds", "0-1")
    groups = [plan.notebook_runs(each, wanted) for each in plan.combinations(wanted)]
    preparations = list(dict.fromkeys(each.preparation for group in groups for each in group))
    outcomes = run.prepare_all(client, preparations, folders)
    assert outcomes == dict.fromkeys(preparations, Outcome("finished"))
    # two seeds of: two targets, the union, and the union without either
    assert len(started) == len(set(ended)) == 2 * 5
    before = {(dataset, seed): earlier for dataset, seed, earlier in started}
    assert all(("nf-ton-iot", 0) in earlier for (dataset, _), earlier in before.items() if "uq" in dataset)
    assert ("nf-ton-iot", 0) in before["nf-ton-iot", 1]
    (first, *_) = [name for name in before if "uq" in name[0]]
    assert all(first in earlier for name, earlier in before.items() if "uq" in name[0] and name != first)


def run_grid(client, folders, wanted: plan.Grid) -> tuple[int, dict]:
    return grid._run(client, wanted, plan.combinations(wanted), folders, 1)


def test_a_file_that_cannot_be_used_is_named_once_and_the_other_datasets_are_run(
    client, folders, notebooks, tmp_path, capsys
):
    good, bad = (str(write_csv(tmp_path / f"{name}.csv")) for name in ("good", "bad"))
    wanted = asked(tmp_path, "--datasets", good, bad, "--seeds", "0-1", "--protocols", "scratch")
    (tmp_path / "bad.csv").write_text(f"{(tmp_path / 'bad.csv').read_text().splitlines()[0]}\n")  # its rows are lost
    found, ends = run_grid(client, folders, wanted)
    assert found == 0 and len(notebooks.begun) == 2
    assert grid._report(wanted, 3, ends) == 1
    output = capsys.readouterr()
    assert output.out.startswith("2 finished, 3 were there, 2 failed, 2 not run")
    assert output.err.count("expected flows in bad.csv") == 1 and "preparing bad, paper split, seed 1" in output.err


def test_binary_without_a_benign_class_is_refused_for_that_combination_alone(client, folders, notebooks, tmp_path):
    own = str(write_csv(tmp_path / "attacks.csv", classes=("ddos", "scanning")))
    options = ("--tasks", "multiclass", "binary", "--protocols", "scratch", "--seeds", "0")
    _, ends = run_grid(client, folders, asked(tmp_path, "--datasets", own, *options))
    assert len(notebooks.begun) == 1
    ((label, outcome),) = ((label, end) for label, end in ends.items() if end.status != "finished")
    assert "binary" in label and outcome.status == "failed" and "benign class" in outcome.reason


def left_from(prepared, runs_dir) -> str:
    """The name of a scratch run left from these rows, by a network that is never wrong."""
    model = SimpleNamespace(save=lambda path: Path(path).touch())
    fitted = SimpleNamespace(model=model, history={}, epochs=1, best_epoch=1, seconds={"total": 1.0})
    setup = Setup("multiclass", Recipe(), 0, runs_dir)
    on_test = runs.on_test(prepared, "multiclass", prepare.load(prepared, "test")[1])
    return runs.save(prepared, "scratch", setup, fitted, on_test).folder.name


def test_a_run_that_was_made_from_other_rows_counts_as_missing_once_they_are_prepared(tmp_path):
    own = write_csv(tmp_path / "home.csv", n=400)
    wanted = asked(tmp_path, "--datasets", str(own), "--protocols", "scratch", "--seeds", "0")
    ((each,),) = [plan.notebook_runs(combination, wanted) for combination in plan.combinations(wanted)]
    assert left_from(run.rows_of(each.preparation), wanted.runs_dir) == each.name
    assert run.fits(each, wanted.runs_dir)
    os.utime(own)
    assert run.fits(each, wanted.runs_dir)  # the same rows
    write_csv(own, n=401)
    assert runs.find(wanted.runs_dir, each.name) and not run.fits(each, wanted.runs_dir)


def test_the_report_names_the_notebook_of_a_failed_run_and_why(tmp_path, capsys):
    wanted = asked(tmp_path, "--datasets", "testbed")
    notebook = run.executed(wanted.runs_dir, "broken")
    notebook.parent.mkdir()
    notebook.touch()
    ends = {"broken": Outcome("failed", "02_cnn_training stopped in cell 3"), "fine": Outcome("finished")}
    assert grid._report(wanted, 0, ends) == 1
    output = capsys.readouterr()
    assert "1 finished, 0 were there, 1 failed, 0 not run" in output.out
    assert "failed: 02_cnn_training stopped in cell 3" in output.err and "notebooks/broken.ipynb" in output.err
    assert grid._report(wanted, 5, {"fine": Outcome("finished")}) == 0


def test_a_run_under_which_worker_after_worker_dies_is_given_up_and_its_dependants_with_it():
    error = KilledWorker(("notebook 02", "source"), SimpleNamespace(address="tcp://host:1"), 3)
    for key, status in (("source", "failed"), ("target", "not run")):
        future = SimpleNamespace(status="error", key=("notebook 02", key), exception=lambda: error)
        assert run._outcome(future).status == status


def test_tasks_that_were_lost_with_their_scheduler_are_reported():
    assert run._outcome(SimpleNamespace(status="cancelled", key="k")).reason == "the scheduler is gone"
