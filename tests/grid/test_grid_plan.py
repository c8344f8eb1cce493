"""Which notebooks a grid runs, each once and in which order; real preparation of small files, no training."""

import shutil
from dataclasses import replace

import pytest
from small_flows import write_csv

from tlids_helpers.data import prepare
from tlids_helpers.grid import __main__ as grid
from tlids_helpers.grid import options as grid_options
from tlids_helpers.grid import plan
from tlids_helpers.grid.plan import Wish
from tlids_helpers.network.recipe import Recipe
from tlids_helpers.results import runs


@pytest.fixture
def asked(four_parts, data_dir, tmp_path):
    """options -> Grid"""

    def make(*options: str) -> grid_options.Grid:
        places = ["--data-dir", str(data_dir), "--runs-dir", str(tmp_path / "runs"), "--allow-subset"]
        return grid_options.grid(grid_options.parser().parse_args([*places, *options]))

    return make


def pending(wanted: grid_options.Grid, done: tuple[str, ...] = ()) -> list:
    groups = [plan.units_of(wish, wanted) for wish in plan.wishes(wanted)]
    return plan.pending(groups, lambda name: name.startswith(done) if done else False)


def brief(units: list) -> list[str]:
    """Names without their keys."""
    return [unit.name.rpartition("-")[0] for unit in units]


def test_a_grid_is_every_combination_seed_by_seed(asked):
    wanted = asked("--datasets", "nf-ton-iot", "nf-bot-iot", "--tasks", "multiclass", "binary", "--seeds", "0-1")
    wishes = plan.wishes(wanted)
    assert len(wishes) == len(set(wishes)) == 2 * 2 * 2 * 3
    assert [wish.seed for wish in wishes] == sorted(wish.seed for wish in wishes)


def test_a_target_that_is_no_part_of_its_source_is_not_left_out_of_it(asked):
    wanted = asked("--datasets", "testbed", "nf-ton-iot", "nf-uq-nids")
    assert [wish.dataset for wish in plan.wishes(wanted) if wish.protocol == "leave_target_out"] == ["nf-ton-iot"]
    assert plan.not_left_out(wanted) == ["testbed", "nf-uq-nids"]


def test_sources_and_scratch_runs_come_before_the_transfers_that_need_them_and_each_is_run_once(asked):
    units = pending(asked("--datasets", "nf-ton-iot", "nf-bot-iot", "--protocols", "paper", "--seeds", "0"))
    names = brief(units)
    assert sorted(names) == [
        "nf-bot-iot-multiclass-paper-paper-s0",
        "nf-bot-iot-multiclass-paper-scratch-s0",
        "nf-ton-iot-multiclass-paper-paper-s0",
        "nf-ton-iot-multiclass-paper-scratch-s0",
        "nf-uq-nids-multiclass-paper-scratch-s0",
    ]
    for place, unit in enumerate(units):
        assert set(unit.after) <= {earlier.name for earlier in units[:place]}
        assert set(unit.needs) == set(unit.after)  # nothing is there yet
    target = units[names.index("nf-bot-iot-multiclass-paper-paper-s0")]
    assert sorted(name.rpartition("-")[0] for name in target.after) == [
        "nf-bot-iot-multiclass-paper-scratch-s0",
        "nf-uq-nids-multiclass-paper-scratch-s0",
    ]
    assert target.notebook == "03" and target.parameters["protocol"] == "paper"


def test_the_first_transfer_trains_a_source_without_its_target_and_the_others_wait_for_it(asked):
    tasks = ("--tasks", "multiclass", "binary")
    units = pending(asked("--datasets", "nf-ton-iot", "--protocols", "leave_target_out", "--seeds", "0", *tasks))
    first, second = (unit for unit in units if unit.notebook == "03")
    assert first.trains == second.trains and first.trains.startswith("nf-uq-nids-without-nf-ton-iot-multiclass")
    assert first.name in second.after and first.trains in second.needs
    assert first.trains not in first.needs and second.name not in first.after


def test_a_source_that_is_there_is_waited_for_by_nobody(asked):
    tasks = ("--tasks", "multiclass", "binary")
    wanted = asked("--datasets", "nf-ton-iot", "--protocols", "leave_target_out", "--seeds", "0", *tasks)
    units = pending(wanted, done=("nf-uq-nids-without", "nf-ton-iot-multiclass-paper-scratch"))
    assert [unit.after for unit in units if unit.notebook == "03" and "multiclass" in unit.name] == [()]


def test_a_finished_run_is_not_run_again_nor_what_only_it_would_need(asked):
    wanted = asked("--datasets", "nf-ton-iot", "--protocols", "paper", "--seeds", "0-1")
    assert {name for name in brief(pending(wanted, done=("nf-ton-iot-multiclass-paper-paper-s0",)))} == {
        "nf-uq-nids-multiclass-paper-scratch-s1",
        "nf-ton-iot-multiclass-paper-scratch-s1",
        "nf-ton-iot-multiclass-paper-paper-s1",
    }


def test_names_are_those_under_which_notebooks_02_and_03_leave_their_runs(asked, data_dir):
    wanted = asked("--datasets", "nf-ton-iot", "--seeds", "3", "--rows", "120", "--epochs", "2")
    target = prepare.prepare("nf-ton-iot", data_dir, "paper", 3, 120, True)
    union = prepare.prepare("nf-uq-nids", data_dir, "paper", 3, 120, True)
    without = prepare.prepare("nf-uq-nids", data_dir, "paper", 3, 120, True, "nf-ton-iot")
    recipe = Recipe(epochs=2)
    sources = [runs.run_name(rows, "multiclass", "scratch", recipe, 3) for rows in (union, without)]
    expected = {runs.run_name(target, "multiclass", "scratch", recipe, 3), sources[0]}
    for protocol, source in zip(("paper", "leave_target_out"), sources, strict=True):
        expected.add(runs.run_name(target, "multiclass", protocol, recipe, 3, source))
    units = pending(wanted)
    assert {unit.name for unit in units} == expected
    assert {unit.trains for unit in units} == {"", sources[1]}


def test_a_source_has_as_many_rows_as_notebook_03_gives_it(asked, data_dir, tmp_path):
    """A target with fewer rows than `rows` is taken whole, and then its source is too."""
    own = str(write_csv(tmp_path / "home.csv", n=400))
    for rows, meant in (("500", None), ("300", 300)):
        units = pending(asked("--datasets", own, "--protocols", "paper", "--seeds", "0", "--rows", rows))
        source = next(unit for unit in units if unit.name.startswith("nf-uq-nids"))
        assert source.parameters["rows"] == meant
        union = prepare.prepare("nf-uq-nids", data_dir, "paper", 0, source.parameters["rows"], True)
        assert source.name == runs.run_name(union, "multiclass", "scratch", Recipe(), 0)


def test_a_source_is_never_split_by_recordings(asked):
    wanted = asked("--datasets", "testbed", "--protocols", "paper", "--seeds", "0", "--rows", "200")
    source = next(unit for unit in pending(wanted) if unit.name.startswith("nf-uq-nids"))
    assert source.parameters["split"] == "paper" and "-paper-scratch-" in source.name
    assert plan.rows_of(Wish("testbed", "multiclass", 0, "paper"), "paper")[0].split == "session"


def test_what_is_prepared_beforehand_is_what_the_runs_are_made_from(asked, data_dir, tmp_path):
    """Else the driver would prepare it once more, alone."""
    own = str(write_csv(tmp_path / "home.csv"))
    wanted = asked("--datasets", "nf-ton-iot", "testbed", own, "--seeds", "0", "--rows", "100")
    for wish in plan.wishes(wanted):
        for rows in plan.rows_of(wish, wanted.split):
            prepare.prepare(rows.dataset, data_dir, rows.split, rows.seed, 100, True, rows.without)
    before = sorted(path.name for path in (data_dir / "prepared").iterdir())
    pending(wanted)
    assert sorted(path.name for path in (data_dir / "prepared").iterdir()) == before


def test_plan_says_what_is_there_and_what_would_be_run_and_starts_nothing(asked, data_dir, tmp_path, capsys):
    options = ["--datasets", "nf-ton-iot", "--protocols", "scratch", "--seeds", "0-1", "--allow-subset", "--plan"]
    options += ["--data-dir", str(data_dir), "--runs-dir", str(tmp_path / "runs")]
    first, second = pending(asked("--datasets", "nf-ton-iot", "--protocols", "scratch", "--seeds", "0-1"))
    folder = tmp_path / "runs" / first.name
    folder.mkdir(parents=True)
    (folder / "model.keras").touch()
    (folder / "result.json").write_text(f'{{"schema": {runs.SCHEMA}, "run": "{first.name}"}}')
    assert grid.main(options) == 0
    assert capsys.readouterr().out.splitlines() == [f"there        {first.name}", f"notebook 02  {second.name}"]
    shutil.rmtree(folder)
    assert grid.main(options) == 0
    assert "there  " not in capsys.readouterr().out


def test_binary_without_a_benign_class_is_refused_for_that_wish_alone(asked, tmp_path):
    from tlids_helpers.grid.work import Outcome

    own = str(write_csv(tmp_path / "attacks.csv", classes=("ddos", "scanning")))
    wanted = replace(asked("--datasets", own, "--tasks", "multiclass", "binary"), protocols=("scratch",))
    wishes = plan.wishes(wanted)
    rows = {each: Outcome("finished") for wish in wishes for each in plan.rows_of(wish, wanted.split)}
    groups, ends = grid._planned(wanted, wishes, rows)
    assert len(groups) == 1
    ((label, outcome),) = ends.items()
    assert "binary" in label and outcome.status == "failed" and "benign class" in outcome.why
