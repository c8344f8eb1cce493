"""Which notebooks a grid runs, each once and in which order: from names alone, so nothing is prepared or trained."""

import os

import pytest
from small_flows import write_csv

from tlids_helpers.data import cleaned, prepare, raw
from tlids_helpers.grid import __main__ as grid
from tlids_helpers.grid import plan
from tlids_helpers.network.recipe import Recipe
from tlids_helpers.results import runs
from tlids_helpers.results.runs import Setup


@pytest.fixture
def asked(tmp_path):
    """options -> Grid"""

    def make(*options: str) -> plan.Grid:
        folders = ["--data-dir", str(tmp_path / "data"), "--runs-dir", str(tmp_path / "runs")]
        return grid.asked(grid.parser().parse_args([*folders, *options]))

    return make


def missing(wanted: plan.Grid, done: tuple[str, ...] = ()) -> list[plan.NotebookRun]:
    groups = [plan.notebook_runs(each, wanted) for each in plan.combinations(wanted)]
    return plan.missing(groups, lambda run: run.name.startswith(done) if done else False)


def brief(run: plan.NotebookRun) -> tuple[str, str, int]:
    """A run without its name: dataset, protocol, seed."""
    return run.preparation.dataset, run.parameters.get("protocol", "scratch"), run.preparation.seed


def leave_run(runs_dir, name: str) -> None:
    (runs_dir / name).mkdir(parents=True)
    (runs_dir / name / "model.keras").touch()
    (runs_dir / name / "result.json").write_text(f'{{"schema": {runs.SCHEMA}, "run": "{name}"}}')


def test_a_grid_is_every_combination_seed_by_seed(asked):
    wanted = asked("--datasets", "nf-ton-iot", "nf-bot-iot", "--tasks", "multiclass", "binary", "--seeds", "0-1")
    found = plan.combinations(wanted)
    assert len(found) == len(set(found)) == 2 * 2 * 2 * 3
    assert [each.seed for each in found] == sorted(each.seed for each in found)


def test_a_target_that_is_no_part_of_its_source_is_not_left_out_of_it(asked):
    wanted = asked("--datasets", "testbed", "nf-ton-iot", "nf-uq-nids")
    left_out = [each.dataset for each in plan.combinations(wanted) if each.protocol == "leave_target_out"]
    assert left_out == ["nf-ton-iot"]
    assert plan.left_out(wanted) == [("testbed", "leave_target_out"), ("nf-uq-nids", "leave_target_out")]


def test_sources_and_scratch_runs_come_before_the_transfers_that_need_them_and_each_is_run_once(asked):
    found = missing(asked("--datasets", "nf-ton-iot", "nf-bot-iot", "--protocols", "paper", "--seeds", "0"))
    assert sorted(map(brief, found)) == [
        ("nf-bot-iot", "paper", 0),
        ("nf-bot-iot", "scratch", 0),
        ("nf-ton-iot", "paper", 0),
        ("nf-ton-iot", "scratch", 0),
        ("nf-uq-nids", "scratch", 0),
    ]
    for number, run in enumerate(found):
        assert set(run.needs) <= {earlier.name for earlier in found[:number]}
        assert run.notebook == ("03" if "protocol" in run.parameters else "02")
    names = {run.name: brief(run)[0] for run in found}
    transfers = [run for run in found if run.notebook == "03"]
    assert [{names[name] for name in run.needs} for run in transfers] == [
        {"nf-uq-nids", "nf-ton-iot"},
        {"nf-uq-nids", "nf-bot-iot"},
    ]


def test_a_source_without_its_target_is_a_run_of_its_own_that_both_tasks_wait_for(asked):
    tasks = ("--tasks", "multiclass", "binary")
    found = missing(asked("--datasets", "nf-ton-iot", "--protocols", "leave_target_out", "--seeds", "0", *tasks))
    (source,) = (run for run in found if run.preparation.dataset == "nf-uq-nids-without-nf-ton-iot")
    transfers = [run for run in found if run.notebook == "03"]
    assert source.notebook == "02" and source.parameters["task"] == "multiclass"
    assert len(transfers) == 2 and all(source.name in run.needs for run in transfers)


def test_a_finished_run_is_not_run_again_nor_what_only_it_would_need(asked):
    wanted = asked("--datasets", "nf-ton-iot", "--protocols", "paper", "--seeds", "0-1")
    transfer = next(run for run in missing(wanted) if brief(run) == ("nf-ton-iot", "paper", 0))
    assert sorted(map(brief, missing(wanted, done=(transfer.name,)))) == [
        ("nf-ton-iot", "paper", 1),
        ("nf-ton-iot", "scratch", 1),
        ("nf-uq-nids", "scratch", 1),
    ]


def test_names_are_those_under_which_notebooks_02_and_03_leave_their_runs(asked):
    wanted = asked("--datasets", "nf-ton-iot", "--seeds", "3", "--rows", "120", "--epochs", "2")
    setup = Setup("multiclass", Recipe(epochs=2), 3)
    union, without = "nf-uq-nids", "nf-uq-nids-without-nf-ton-iot"
    expected = {
        *(runs.run_name(dataset, "paper", 120, "scratch", setup) for dataset in ("nf-ton-iot", union, without)),
        runs.run_name("nf-ton-iot", "paper", 120, "paper", setup, union),
        runs.run_name("nf-ton-iot", "paper", 120, "leave_target_out", setup, without),
    }
    assert {run.name for run in missing(wanted)} == expected


@pytest.mark.parametrize("rows", ["300", "500"])
def test_the_names_from_parameters_are_those_of_the_prepared_rows(rows, four_parts, data_dir, asked, tmp_path):
    """Also where a dataset has fewer rows than are asked for."""
    own = str(write_csv(tmp_path / "home.csv", n=400))
    wanted = asked("--datasets", own, "--protocols", "paper", "--seeds", "0", "--rows", rows, "--allow-subset")
    setup = Setup("multiclass", Recipe(), 0)
    for run in missing(wanted)[:2]:  # the source and the scratch run
        prepared = prepare.prepare(run.preparation.dataset, data_dir, "paper", 0, int(rows), raw.SUBSET)
        assert runs.name_for(prepared, "scratch", setup) == run.name


@pytest.mark.parametrize("split", ["paper", "session"])
def test_a_source_is_never_split_by_recordings(split, asked):
    wanted = asked("--datasets", "testbed", "--protocols", "paper", "--seeds", "0", "--split", split)
    splits = {brief(run)[:2]: run.preparation.split for run in missing(wanted)}
    assert splits == {
        ("nf-uq-nids", "scratch"): "paper", ("testbed", "scratch"): "session", ("testbed", "paper"): "session",
    }  # fmt: skip


@pytest.fixture
def no_data(tmp_path, monkeypatch):
    """A data folder that nobody may read, and readers that fail."""
    folder = tmp_path / "data"
    folder.mkdir()
    folder.chmod(0)
    for module, name in ((prepare, "prepare"), (cleaned, "clean"), (raw, "inspect"), (raw, "locate_file")):
        monkeypatch.setattr(module, name, lambda *given, **options: pytest.fail("data was read"))
    yield folder
    folder.chmod(0o700)


def test_asking_which_runs_are_missing_reads_no_data(no_data, asked, tmp_path, capsys):
    options = ["--datasets", "nf-ton-iot", "testbed", "--seeds", "0-1", "--plan"]
    found = missing(asked(*options))
    leave_run(tmp_path / "runs", found[0].name)
    assert grid.main([*options, "--data-dir", str(no_data), "--runs-dir", str(tmp_path / "runs")]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == f"there        {found[0].name}"
    assert [line.split()[-1] for line in lines if line.startswith("notebook")] == [run.name for run in found[1:]]
    assert os.listdir(tmp_path / "runs") == [found[0].name]


def test_plan_says_what_waits_for_what_and_starts_nothing(asked, tmp_path, capsys):
    options = ["--datasets", "nf-ton-iot", "--protocols", "paper", "--seeds", "0"]
    source, scratch, target = missing(asked(*options))
    leave_run(tmp_path / "runs", source.name)
    folders = ["--data-dir", str(tmp_path / "data"), "--runs-dir", str(tmp_path / "runs")]
    assert grid.main([*options, *folders, "--plan"]) == 0
    assert capsys.readouterr().out.splitlines() == [
        f"notebook 02  {scratch.name}",
        f"notebook 03  {target.name}",
        f"             after {scratch.name}",
    ]


SHARED = ("--datasets", "nf-ton-iot", "--protocols", "paper", "leave_target_out", "--seeds", "0")


def test_shares_and_what_is_frozen_multiply_the_transfers_and_not_the_scratch_runs(asked):
    wanted = asked("--datasets", "nf-ton-iot", "--seeds", "0", "--share", "1", "0.1", "--frozen", "blocks", "none")
    found = plan.combinations(wanted)
    assert len(found) == 1 + 2 * 2 * 2
    on_all = [each.protocol for each in found if each.share == 1]
    assert on_all == ["scratch", "paper", "paper", "leave_target_out", "leave_target_out"]
    assert len(set(map(str, found))) == len(found)
    given = {(run.parameters["share"][0], run.parameters["frozen"]) for run in missing(wanted) if run.notebook == "03"}
    assert given == {(1.0, ""), (1.0, "none"), (0.1, ""), (0.1, "none")}


def test_the_names_of_transfers_on_a_share_are_those_that_notebook_03_leaves(asked):
    *_, transfer = missing(asked(*SHARED[:4], "--share", "0.05", "--frozen", "none", "--seeds", "3"))
    setup = Setup("multiclass", Recipe(frozen="none"), 3, share=0.05)
    assert transfer.name == runs.run_name("nf-ton-iot", "paper", None, "paper", setup, "nf-uq-nids")
    assert "0.05share" in transfer.name and transfer.name != runs.run_name(
        "nf-ton-iot", "paper", None, "paper", Setup("multiclass", Recipe(frozen="none"), 3), "nf-uq-nids"
    )
    assert transfer.brings == runs.run_name("nf-ton-iot", "paper", None, "scratch", setup)


def test_transfers_on_a_share_need_no_other_scratch_run_and_wait_for_the_one_that_trains_theirs(asked):
    found = missing(asked(*SHARED, "--share", "0.1"))
    sources, transfers = ([run for run in found if run.notebook == number] for number in ("02", "03"))
    assert [brief(run)[0] for run in sources] == ["nf-uq-nids", "nf-uq-nids-without-nf-ton-iot"]
    assert [run.needs for run in transfers] == [(source.name,) for source in sources]
    first, second = transfers
    assert (first.after, second.after) == ((), (first.name,)) and first.brings == second.brings


def test_version_3_is_transferred_to_without_its_own_captures_alone(asked):
    wanted = asked("--datasets", "nf-unsw-nb15-v3", "--seeds", "0")
    assert [each.protocol for each in plan.combinations(wanted)] == ["scratch", "leave_target_out"]
    assert plan.left_out(wanted) == [("nf-unsw-nb15-v3", "paper")]
    assert brief(missing(wanted)[1])[0] == "nf-uq-nids-v2-without-nf-unsw-nb15-v2"
