"""What becomes of each task of a grid: on a cluster of threads, with notebooks that leave a run or fail at once."""

import json
import os
from types import SimpleNamespace

import dask.config
import pytest
from distributed import Client, KilledWorker
from nbclient.exceptions import DeadKernelError
from small_flows import write_csv

from tlids_helpers import notebooks as execute
from tlids_helpers.common.errors import InputError
from tlids_helpers.data import cleaned as sources
from tlids_helpers.data import prepare
from tlids_helpers.grid import __main__ as grid
from tlids_helpers.grid import cluster, options, plan, work
from tlids_helpers.grid.work import Outcome, Place, Unit
from tlids_helpers.results import runs


@pytest.fixture(scope="module")
def client():
    with Client(processes=False, n_workers=2, threads_per_worker=1, dashboard_address=None) as client:
        yield client


@pytest.fixture
def place(tmp_path):
    """Shared folders."""
    made = Place(tmp_path / "data", tmp_path / "runs", ".grid-token", 1)
    for folder in (made.data_dir, made.runs_dir):
        folder.mkdir()
        (folder / made.token).touch()
    return made


def leave_run(place: Place, name: str) -> None:
    folder = place.runs_dir / name
    folder.mkdir()
    (folder / "model.keras").touch()
    (folder / "result.json").write_text(json.dumps({"schema": runs.SCHEMA, "run": name}))


@pytest.fixture
def notebooks(place, monkeypatch):
    """Instead of running a notebook, note its run and leave that; or raise what `broken` has for it."""
    begun, broken = [], {}

    def stand_in(notebook, output, parameters, progress_bar):
        begun.append(output.stem)
        if output.stem in broken:
            raise broken[output.stem]
        leave_run(place, output.stem)

    monkeypatch.setattr(execute, "execute", stand_in)
    return SimpleNamespace(begun=begun, broken=broken)


def unit(name: str, *after: str) -> Unit:
    return Unit(name, "02", {}, needs=after, after=after)


def test_a_failed_run_stops_its_dependants_and_no_other(client, place, notebooks):
    notebooks.broken["source"] = InputError("expected rows, found none: get some")
    units = [unit("source"), unit("scratch"), unit("target", "source", "scratch"), unit("other")]
    assert cluster.run_all(client, units, place) == {
        "source": Outcome("failed", "expected rows, found none: get some"),
        "scratch": Outcome("finished"),
        "target": Outcome("not run", "it starts from source, which is not there"),
        "other": Outcome("finished"),
    }
    assert sorted(notebooks.begun) == ["other", "scratch", "source"]


def test_a_run_whose_source_was_left_before_its_notebook_failed_is_run(client, place, notebooks):
    leave_run(place, "source")
    notebooks.broken["first"] = RuntimeError("the last figure")
    first = Unit("first", "03", {}, trains="source")
    second = Unit("second", "03", {}, needs=("source",), trains="source", after=("first",))
    ends = cluster.run_all(client, [first, second], place)
    assert ends == {"first": Outcome("failed", "RuntimeError: the last figure"), "second": Outcome("finished")}


def test_a_task_that_is_repeated_after_its_run_was_left_runs_nothing(place, notebooks):
    leave_run(place, "run")
    assert work.run(unit("run"), place, []) == Outcome("finished")
    assert notebooks.begun == []


def test_a_notebook_that_leaves_another_run_than_the_planned_one_is_a_failure(place, monkeypatch):
    monkeypatch.setattr(execute, "execute", lambda *given, **options: None)
    outcome = work.run(unit("run"), place, [])
    assert outcome.status == "failed" and "to leave run, found that it did not" in outcome.why


def test_a_dead_kernel_is_said_to_want_memory(place, notebooks):
    notebooks.broken["run"] = DeadKernelError("Kernel died")
    assert "memory" in work.run(unit("run"), place, []).why


def test_the_kernels_inherit_the_number_of_threads(place, notebooks, monkeypatch):
    for name in work.THREADS:
        monkeypatch.setenv(name, "7")
    work.run(unit("run"), place, [])
    assert [os.environ[name] for name in work.THREADS] == ["1"] * len(work.THREADS)


def test_the_kernels_do_not_inherit_how_dask_has_its_workers_give_memory_back(place, notebooks, monkeypatch):
    trim = dask.config.get("distributed.nanny.pre-spawn-environ")
    assert work.TRIM in trim
    monkeypatch.setenv(work.TRIM, str(trim[work.TRIM]))
    work.run(unit("run"), place, [])
    assert work.TRIM not in os.environ


def test_a_worker_that_sees_other_folders_does_nothing_and_says_so(place, notebooks):
    (place.runs_dir / place.token).unlink()  # as in a folder of the same name on another machine
    outcome = work.run(unit("run"), place, [])
    assert outcome.status == "failed" and str(place.runs_dir) in outcome.why and notebooks.begun == []


def test_workers_that_see_other_folders_are_refused_before_anything_is_run(client, place):
    cluster.check_workers(client, place)
    (place.data_dir / place.token).unlink()
    with pytest.raises(InputError, match="a file system that all machines share"):
        cluster.check_workers(client, place)


def test_workers_without_this_repository_are_refused(place):
    error = ModuleNotFoundError("No module named 'tlids_helpers'")
    bare = SimpleNamespace(run=lambda *given, on_error: {"tcp://host:1": error})
    with pytest.raises(InputError, match="No module named 'tlids_helpers': start them from its environment"):
        cluster.check_workers(bare, place)


def test_the_marks_in_the_shared_folders_are_gone_afterwards(tmp_path):
    grid_asked = wanted(tmp_path, "--datasets", "testbed")
    with cluster.shared_place(grid_asked, 1) as place:
        assert work.lost(place) == ""
    assert not list((tmp_path / "runs").iterdir()) and not list((tmp_path / "data").iterdir())


def wanted(folder, *options: str) -> options.Grid:
    places = ["--data-dir", str(folder / "data"), "--runs-dir", str(folder / "runs")]
    return options.grid(options.parser().parse_args([*places, *options]))


def test_each_file_is_cleaned_once_before_its_splits_and_a_target_before_the_union_it_is_part_of(
    client, place, tmp_path, monkeypatch
):
    done = []
    monkeypatch.setattr(sources, "clean", lambda dataset, *rest: done.append(dataset))
    monkeypatch.setattr(prepare, "prepare", lambda dataset, *rest: done.append((dataset, rest[-1])))
    asked = wanted(tmp_path, "--datasets", "nf-ton-iot", "nf-bot-iot", "--seeds", "0-1")
    ends = cluster.prepare_all(client, asked, plan.wishes(asked), place)
    assert {outcome.status for outcome in ends.values()} == {"finished"}
    cleaned = [dataset for dataset in done if isinstance(dataset, str)]
    assert sorted(cleaned) == ["nf-bot-iot", "nf-ton-iot", "nf-uq-nids"] and cleaned[-1] == "nf-uq-nids"
    splits = [each for each in done if not isinstance(each, str)]
    # two seeds of: two targets, the union, and the union without either
    assert len(splits) == 2 * 5
    assert all(done.index(dataset) < done.index((dataset, without)) for dataset, without in splits)


def test_a_file_that_cannot_be_used_is_said_once_and_the_other_datasets_are_run(
    client, place, tmp_path, monkeypatch, capsys
):
    good, bad = (str(write_csv(tmp_path / f"{name}.csv")) for name in ("good", "bad"))
    asked = wanted(tmp_path, "--datasets", good, bad, "--seeds", "0-1", "--protocols", "scratch")
    (tmp_path / "bad.csv").write_text(f"{(tmp_path / 'bad.csv').read_text().splitlines()[0]}\n")  # its rows are lost
    wishes = plan.wishes(asked)
    groups, ends = grid._planned(asked, wishes, cluster.prepare_all(client, asked, wishes, place))
    assert len(groups) == 2
    assert grid._report(asked, 3, ends) == 1
    said = capsys.readouterr()
    assert said.out.startswith("0 finished, 3 were there, 2 failed, 2 not run")
    assert said.err.count("expected flows in bad.csv") == 1 and "preparing bad, paper split, seed 1" in said.err


def test_the_report_names_the_notebook_of_a_failed_run_and_why(tmp_path, capsys):
    asked = wanted(tmp_path, "--datasets", "testbed")
    notebook = work.executed(asked.runs_dir, "broken")
    notebook.parent.mkdir()
    notebook.touch()
    ends = {"broken": Outcome("failed", "02_cnn_training stopped in cell 3"), "fine": Outcome("finished")}
    assert grid._report(asked, 0, ends) == 1
    said = capsys.readouterr()
    assert "1 finished, 0 were there, 1 failed, 0 not run" in said.out
    assert "failed: 02_cnn_training stopped in cell 3" in said.err and "notebooks/broken.ipynb" in said.err
    assert grid._report(asked, 5, {"fine": Outcome("finished")}) == 0


def test_a_run_under_which_worker_after_worker_dies_is_given_up_and_its_dependants_with_it():
    error = KilledWorker(("notebook 02", "source"), SimpleNamespace(address="tcp://host:1"), 3)
    for key, status in (("source", "failed"), ("target", "not run")):
        future = SimpleNamespace(status="error", key=("notebook 02", key), exception=lambda: error)
        assert cluster._outcome(future).status == status


def test_tasks_that_were_lost_with_their_scheduler_are_reported():
    assert cluster._outcome(SimpleNamespace(status="cancelled", key="k")).why == "the scheduler is gone"
