"""Our numbers beside the published ones: which run is shown, what is printed beside it, and what is missing."""

import shlex

import pandas as pd
import pytest
from finished_runs import run

from tlids_helpers.results import comparison, paper


def cell(results, table=5, dataset="nf-ton-iot", metric="accuracy", model="Proposed", **options):
    frame = comparison.beside(paper.table(table), results, **options)
    query = "dataset == @dataset and metric == @metric and model == @model"
    (row,) = frame.query(query).to_dict("records")
    return row


def test_the_difference_is_ours_less_the_published_in_percentage_points():
    row = cell([run(accuracy=0.75)])
    assert row["ours"] == 0.75
    assert row["difference"] == pytest.approx(75 - 70.54)
    assert cell([run(accuracy=0.75)], metric="f1")["difference"] == pytest.approx(65 - 62)


def test_the_published_table_stays_as_it_is():
    for number in paper.TASKS:
        frame = comparison.beside(paper.table(number), [run()])
        pd.testing.assert_frame_equal(frame[paper.COLUMNS], paper.table(number))


def test_transfer_stands_in_tables_4_and_5_with_scratch_and_leave_target_out_beside_it():
    runs = [run(protocol=name, accuracy=value) for name, value in
            (("paper", 0.7), ("scratch", 0.8), ("leave_target_out", 0.6))]  # fmt: skip
    row = cell(runs)
    assert (row["protocol"], row["ours"], row["scratch"], row["leave_target_out"]) == ("paper", 0.7, 0.8, 0.6)
    binary = [one | {"task": "binary"} for one in runs]
    assert cell(binary, table=4)["ours"] == 0.7
    assert pd.isna(cell(binary)["ours"])


def test_the_source_and_the_cicflowmeter_datasets_are_from_scratch():
    uq = [run("nf-uq-nids", protocol=name, accuracy=value) for name, value in (("paper", 0.7), ("scratch", 0.8))]
    assert (cell(uq, dataset="nf-uq-nids")["ours"], cell(uq, dataset="nf-uq-nids")["protocol"]) == (0.8, "scratch")
    cic = [run("cic-ton-iot", protocol=name, accuracy=value) for name, value in (("paper", 0.7), ("scratch", 0.8))]
    assert cell(cic, table=6, dataset="cic-ton-iot")["ours"] == 0.8
    assert comparison.protocol_of("nf-uq-nids", "binary") == "paper"


def test_tables_7_8_and_9_show_the_runs_of_tables_5_and_4():
    runs = [run("nf-unsw-nb15", accuracy=0.9), run("nf-unsw-nb15", "binary", accuracy=0.95),
            run("nf-cse-cic-ids2018", accuracy=0.8)]  # fmt: skip
    assert cell(runs, 7, "nf-unsw-nb15")["difference"] == pytest.approx(90 - 97.21)
    assert cell(runs, 8, "nf-unsw-nb15")["difference"] == pytest.approx(95 - 98.32)
    row = cell(runs, 9, "nf-cse-cic-ids2018")
    assert row["difference"] == pytest.approx(80 - 97.53) and "compares different datasets" in row["note"]
    others = comparison.beside(paper.table(9), runs).query("model != 'Proposed'")
    assert others["ours"].isna().all() and others["difference"].isna().all()
    assert set(others["note"]) == {"Table 9 names no dataset for this row"}


def test_several_seeds_become_their_mean_and_one_says_so():
    row = cell([run(seed=seed, accuracy=value) for seed, value in ((1, 0.6), (2, 0.7), (3, 0.8))])
    assert row["ours"] == pytest.approx(0.7) and row["n_seeds"] == 3
    assert row["seeds"] == "mean of 3 seeds (1, 2, 3), sd 10.00 points"
    assert cell([run(seed=7)])["seeds"] == "one seed (7)"


def test_a_seed_that_ran_twice_counts_once_with_its_last_run():
    row = cell([run(accuracy=0.1), run(accuracy=0.5)])
    assert (row["ours"], row["n_seeds"], row["seeds"]) == (0.5, 1, "one seed (42)")
    assert row["note"] == "left out: 1 run of another set-up or an earlier run"


@pytest.mark.parametrize("order", [1, -1])
def test_simulated_and_real_rows_never_meet_in_one_number(order):
    runs = [run(seed=1, accuracy=0.2, mark="simulated"), run(seed=2, accuracy=0.4, mark="simulated"),
            run(seed=3, accuracy=0.9)][::order]  # fmt: skip
    for show_simulated in (False, True):
        row = cell(runs, show_simulated=show_simulated)
        assert (row["ours"], row["mark"], row["n_seeds"]) == (0.9, "", 1)
        assert "2 simulated runs" in row["note"]
    simulated = [one for one in runs if one["mark"]]
    assert cell(simulated, show_simulated=True)["ours"] == pytest.approx(0.3)


@pytest.mark.parametrize(
    "marks", [{"mark": "simulated"}, {"mark": "v2 simulated"}, {"source_mark": "simulated"}], ids=str
)
def test_a_simulated_number_stands_beside_a_published_one_only_when_asked_for(marks):
    runs = [run(protocol=name) | marks for name in ("paper", "scratch", "leave_target_out")]
    frame = comparison.beside(paper.proposed(5), runs)
    assert frame[["ours", "difference", "scratch", "leave_target_out"]].isna().all(axis=None)
    text = comparison.readable(frame).query("dataset == 'NF-ToN-IoT'")
    columns = ["ours", "scratch", "leave target out", "difference (points)"]
    assert [list(row) for row in text[columns].itertuples(index=False)] == [["–", "–", "–", ""]] * 4
    assert all("1 simulated run" in note and "scratch: 1 simulated run" in note for note in text["note"])
    shown = comparison.readable(comparison.beside(paper.proposed(5), runs, show_simulated=True))
    (ours,) = shown.query("dataset == 'NF-ToN-IoT' and metric == 'accuracy'")["ours"]
    assert ours.startswith("70.00% [") and "simulated]" in ours


def test_marks_never_meet_in_one_number_whatever_they_are():
    marks = ("", "subset", "simulated")
    runs = [run(seed=seed, accuracy=seed / 10, mark=mark) for seed, mark in enumerate(marks, 1)]
    runs += [run(seed=4, accuracy=0.4, source_mark="simulated"), run("nf-ton-iot-v2", seed=5, mark="v2")]
    expected = ["", "subset", "v2", "source simulated", "simulated"]
    for mark in expected:
        row = cell(runs, show_simulated=True)
        assert (row["mark"], row["n_seeds"]) == (mark, 1)
        runs = [one for one in runs if comparison.full_mark(one) != mark]
    assert not runs and cell(runs)["note"] == "no run yet"


def test_runs_on_real_rows_come_first_the_newest_before_the_older():
    runs = [run(seed=1), run(seed=2, mark="simulated"), run(seed=3), run(seed=4, source_mark="simulated")]
    assert [one["seed"] for one in comparison.real_first(runs)] == [3, 1, 4, 2]


def test_each_column_of_ours_has_its_own_mark():
    row = cell([run(source_mark="simulated"), run(protocol="scratch")], show_simulated=True)
    assert (row["mark"], row["scratch_mark"], row["leave_target_out_mark"]) == ("source simulated", "", "")
    assert comparison.is_simulated(run(source_mark="simulated"))


def test_a_version_2_result_stands_in_its_relatives_column_with_the_mark():
    row = cell([run("nf-bot-iot-v2", accuracy=0.98, mark="v2 subset")], dataset="nf-bot-iot")
    assert (row["ours"], row["mark"]) == (0.98, "v2 subset")
    text = comparison.readable(comparison.beside(paper.table(5), [run("nf-bot-iot-v2", mark="v2 subset")]))
    assert "70.00% [v2 subset]" in set(text.query("dataset == 'NF-BoT-IoT'")["ours"])
    assert set(text.query("dataset == 'NF-ToN-IoT'")["ours"]) == {"–"}


def test_a_version_2_and_a_version_1_run_of_two_seeds_are_not_averaged():
    runs = [run(slug, protocol="scratch", seed=seed, accuracy=value) for slug, seed, value in
            (("nf-uq-nids", 1, 0.5), ("nf-uq-nids-v2", 2, 0.9))]  # fmt: skip
    assert cell(runs, dataset="nf-uq-nids")["ours"] == 0.5


def test_a_longer_run_on_more_rows_is_preferred_to_a_trial():
    trial = run(accuracy=0.1, parameters={"epochs": 1}, epochs=1)
    assert cell([run(accuracy=0.5), trial])["ours"] == 0.5
    fewer = run(accuracy=0.1, rows={"train": 7, "validation": 1, "test": 2}, parameters={"epochs": 50, "rows": 10})
    assert cell([run(accuracy=0.5), fewer])["ours"] == 0.5


def test_a_grouped_split_is_shown_only_when_asked_for():
    grouped = run(accuracy=0.3, split="grouped")
    assert pd.isna(cell([grouped])["ours"])
    assert cell([grouped, run()], split="grouped")["ours"] == 0.3


def test_the_users_own_runs_stand_in_no_column():
    own = run() | {"dataset": "my-network", "paper_slug": "", "mark": "own", "version": 0}
    assert all(comparison.beside(paper.table(number), [own])["ours"].isna().all() for number in paper.TASKS)


def test_readable_signs_the_difference():
    text = comparison.readable(comparison.beside(paper.table(5), [run(accuracy=0.75)]))
    row = text.query("model == 'Proposed' and dataset == 'NF-ToN-IoT' and metric == 'accuracy'").iloc[0]
    assert (row["published"], row["ours"], row["difference (points)"]) == ("70.54%", "75.00%", "+4.46")


def test_missing_names_a_command_for_every_proposed_cell():
    frame = comparison.missing([])
    cells = {(row.table, row.dataset, name) for row in frame.itertuples() for name in row.metrics.split(", ")}
    proposed = paper.tables().query("model == 'Proposed' and published.notna()")
    assert cells == set(proposed[["table", "dataset", "metric"]].itertuples(index=False, name=None))
    assert (
        frame.iloc[0]["command"]
        == "papermill notebooks/03_transfer.ipynb runs/03-nf-ton-iot-binary.ipynb -p dataset nf-ton-iot -p task binary"
    )


def test_a_missing_cells_command_makes_the_run_that_fills_it():
    for row in comparison.missing([]).itertuples():
        program, notebook, output, *options = shlex.split(row.command)
        given = dict(zip(options[1::3], options[2::3], strict=True))
        number, name = ("02", "02_cnn_training") if row.protocol == "scratch" else ("03", "03_transfer")
        assert (program, notebook) == ("papermill", f"notebooks/{name}.ipynb")
        assert output.startswith(f"runs/{number}-") and output.endswith(".ipynb") and set(options[::3]) == {"-p"}
        made = run(given["dataset"], given["task"], row.protocol)
        left = comparison.missing([made])
        assert not ((left["table"] == row.table) & (left["dataset"] == row.dataset)).any()


def test_nothing_is_missing_when_every_run_is_there_and_simulated_runs_count_when_shown():
    wanted = comparison.missing([])
    real = [run(row.dataset, row.task, row.protocol) for row in wanted.itertuples()]
    assert comparison.missing(real).empty
    simulated = [one | {"mark": "simulated"} for one in real]
    pd.testing.assert_frame_equal(comparison.missing(simulated), wanted)
    assert comparison.missing(simulated, show_simulated=True).empty
    assert wanted["file"].iloc[0] == "NF-ToN-IoT.csv"


def test_leave_target_out_has_a_command_of_its_own():
    line = comparison.command("nf-bot-iot", "binary", "leave_target_out")
    assert line.endswith("-p dataset nf-bot-iot -p task binary -p protocol leave_target_out")
    assert "runs/03-nf-bot-iot-binary-leave-target-out.ipynb" in line


def test_time_saved_by_hand():
    transfer = run(seconds={"total": 8.0, "per_epoch": 0.5}, epochs=16, source_run="the source")
    scratch = run(protocol="scratch", seconds={"total": 20.0, "per_epoch": 2.0})
    source = run("nf-uq-nids", protocol="scratch", seconds={"total": 100.0, "per_epoch": 5.0}, run="the source")
    (row,) = comparison.time_saved([transfer, scratch, source]).to_dict("records")
    assert (row["scratch_epochs"], row["transfer_epochs"]) == (10, 16)
    assert (row["scratch_seconds_per_epoch"], row["transfer_seconds_per_epoch"]) == (2.0, 0.5)
    assert (row["ratio"], row["saved"], row["source_seconds"]) == (2.5, 12.0, 100.0)


@pytest.mark.parametrize(
    "other",
    [{"seed": 1}, {"task": "binary"}, {"split": "grouped"}, {"mark": "subset"}, {"dataset": "nf-bot-iot"},
     {"rows": {"train": 7, "validation": 1, "test": 2}}, {"parameters": {"epochs": 5, "batch_size": 128}}],
    ids=lambda other: next(iter(other)),
)  # fmt: skip
def test_times_of_different_runs_are_not_compared(other):
    assert comparison.time_saved([run(), run(protocol="scratch") | other]).empty
    assert len(comparison.time_saved([run(), run(protocol="scratch")])) == 1


def test_no_results_give_empty_frames_with_their_columns():
    assert "ratio" in comparison.time_saved([]).columns
    assert comparison.beside(paper.table(4), [])["ours"].isna().all()
