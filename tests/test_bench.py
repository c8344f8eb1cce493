"""The benchmarks' page is what their lines say. No benchmark runs here, and nothing here looks at a clock."""

import importlib
import json
import os
import select
import sys
from pathlib import Path

import matplotlib.pyplot as plt
import pytest

from tlids_helpers.common.errors import InputError

BENCH = Path(__file__).parent / "bench"
MACHINE = {"processor": "a processor", "cores": "2"}
WON = {"part": "training", "what": "ours", "against": "theirs", "value": 4000.0, "other": 1000.0, "unit": "rows/s",
       "ratio": 4.0, "note": "128 rows a batch"}  # fmt: skip
MISSED = {**WON, "what": "ours too", "value": 1500.0, "ratio": 1.5, "wanted": 3.0}
SIZE = {"part": "export", "what": "int8 file", "value": 253832, "unit": "bytes"}
GROWTH = [
    {"growth": "preparation", "rows": 10_000, "seconds": 1.0, "peak_mb": 300.0},
    {"growth": "preparation", "rows": 1_000_000, "seconds": 20.0, "peak_mb": 400.0},
    {"growth": "open_flows", "flows": 20_000, "seconds": 1.0, "peak_mb": 90.0},
    {"growth": "grid", "workers": 1, "runs_per_min": 6.0},
    {"growth": "grid", "workers": 2, "runs_per_min": 11.0},
]


@pytest.fixture(autouse=True)
def on_the_path(monkeypatch):
    """The scripts of tests/bench import each other by name, as when they are run."""
    monkeypatch.syspath_prepend(str(BENCH))


@pytest.fixture
def lines():
    return importlib.import_module("lines")


@pytest.fixture
def page():
    return importlib.import_module("page")


@pytest.fixture
def run_all(monkeypatch):
    module = importlib.import_module("run_all")
    monkeypatch.setattr(module.machine, "describe", lambda: MACHINE)
    return module


@pytest.fixture
def ran(run_all, monkeypatch):
    """Replace the running of scripts: part -> its lines, or the reason why it failed. Returns what was asked for."""
    asked = []

    def install(**made):
        def run_part(script, quick, logs):
            part = script.stem.removeprefix("bench_")
            asked.append((part, quick))
            failed = isinstance(made[part], str)
            return {"seconds": 1.0, "failure": made[part] if failed else "", "lines": [] if failed else made[part]}

        monkeypatch.setattr(run_all, "run_part", run_part)
        return asked

    return install


def result(*lines, failure="", quick=False, machine=MACHINE):
    return {"quick": quick, "machine": machine, "load": 0.25, "seconds": 1.0, "failure": failure, "lines": list(lines)}


@pytest.mark.parametrize(
    ("value", "other", "unit", "expected"),
    [
        (4000.0, 1000.0, "rows/s", 4.0),  # four times the rate
        (11.0, 5.5, "runs/min", 2.0),
        (0.9, 0.3, "of 1", 3.0),  # three times the share
        (2.0, 10.0, "s", 5.0),  # a fifth of the time
        (250.0, 100.0, "µs", 0.4),  # slower: below 1
        (100.0, 1000.0, "MB", 10.0),
        (300, 900, "bytes", 3.0),
        (2.0, 3.0, "s/epoch", 1.5),
    ],
)
def test_a_ratio_above_1_says_that_ours_is_better(lines, value, other, unit, expected):
    assert lines.ratio(value, other, unit) == pytest.approx(expected)


def test_a_comparison_is_one_line_of_json_with_its_wish(lines, capsys):
    lines.compare("training", "ours", "theirs", 2.0, 5.0, "s", "a note", wanted=3.0)
    (line,) = capsys.readouterr().out.splitlines()
    assert json.loads(line) == {"part": "training", "what": "ours", "against": "theirs", "value": 2.0, "other": 5.0,
                                "unit": "s", "ratio": 2.5, "note": "a note", "wanted": 3.0}  # fmt: skip


def test_memory_is_that_of_the_measured_process_alone(lines):
    mine = b"x" * 150_000_000  # must not count
    small, large = (lines.alone(eval, f"len(b'x' * {size})") for size in (1_000, 100_000_000))
    assert (len(mine), small.result, large.result) == (150_000_000, 1_000, 100_000_000)
    assert small.peak_mb < 150 and 90 < large.peak_mb - small.peak_mb < 150


def test_what_the_measured_function_raises_is_raised(lines):
    with pytest.raises(ZeroDivisionError):
        lines.alone(eval, "1 / 0")


def test_works_are_called_in_turn_and_once_uncounted(lines):
    calls = []
    assert len(lines.alternately(lambda: calls.append("a"), lambda: calls.append("b"), times=2)) == 2
    assert calls == ["a", "b"] * 3


def test_the_page_shows_a_comparison_with_both_figures_and_the_ratio(page):
    text = page.page({"training": result(WON)})
    assert "| ours | theirs | 4,000 rows/s | 1,000 rows/s | **4** | 128 rows a batch |" in text


def test_a_ratio_below_what_was_wanted_says_that_it_was_missed(page):
    assert "**1.5** (target 3: **missed**)" in page.page({"training": result(MISSED)})
    assert "missed" not in page.page({"training": result({**WON, "wanted": 3.0})})


def test_a_figure_without_comparison_has_a_table_of_its_own(page):
    text = page.page({"export": result(SIZE)})
    assert "| what | figure | note |" in text and "| int8 file | 253,832 bytes |  |" in text


def test_a_failed_part_keeps_what_it_measured_and_a_part_that_did_not_run_says_so(page):
    text = page.page({"training": result(WON, failure="exit status 1: no room")})
    assert "> **Failed** (exit status 1: no room). The table below is from an earlier run." in text and "**4**" in text
    assert "There is no earlier run." in page.page({"training": result(failure="exit status 1: no room")})
    assert "Not measured: `python tests/bench/run_all.py detection` does." in text
    assert text.count("Not measured: `python") == len(page.PARTS) - 1


def test_a_gpu_that_was_not_there_is_not_measured_and_one_that_was_has_its_own_table(page):
    gpu = {**WON, "what": "on the card", "device": "gpu"}
    without, there = page.page({"training": result(WON)}), page.page({"training": result(WON, gpu)})
    assert "Not measured: no GPU was available." in without and "Not measured: no GPU" not in there
    assert there.index("| ours |") < there.index("## On a GPU") < there.index("| on the card |")


def test_what_a_machine_with_a_gpu_left_is_put_on_the_page_and_kept(run_all, ran, tmp_path):
    left = tmp_path / "on_a_gpu.json"
    lines = [{**WON, "what": "on the card", "device": "gpu", "on": "Some GPU"}]
    left.write_text(json.dumps({"quick": False, "versions": {"jax": "0.1"}, "lines": lines}))
    ran(training=[WON])
    run_all.main(["training", "--into", str(tmp_path)])
    assert "no GPU was available" in (tmp_path / "benchmarks.md").read_text()
    assert run_all.main(["--gpu", str(left), "--into", str(tmp_path)]) == 0
    run_all.main(["training", "--into", str(tmp_path)])
    there = (tmp_path / "benchmarks.md").read_text().split("## On a GPU")[1]
    assert "On one Some GPU; jax 0.1." in there and "| on the card |" in there and "no GPU" not in there


def test_a_file_that_no_gpu_run_left_is_refused_in_a_sentence(run_all, tmp_path, capsys):
    assert run_all.main(["--gpu", str(tmp_path / "none.json"), "--into", str(tmp_path)]) == 1
    assert capsys.readouterr().err.startswith("expected what on_a_gpu.py left in ")


def test_parts_measured_on_two_machines_are_told_apart(page):
    text = page.page({"training": result(WON), "export": result(SIZE, machine={"processor": "another"})})
    assert "- processor a processor; cores 2: training (load 0.2)." in text
    assert "- processor another: export (load 0.2)." in text


def test_a_smoke_run_is_no_measurement(page):
    assert "Its figures are not measurements." in page.page({"training": result(WON, quick=True)})
    assert "Its figures are not measurements." not in page.page({"training": result(WON)})


def test_every_part_has_its_script(page):
    assert not [part for part in page.PARTS if not (BENCH / f"bench_{part}.py").is_file()]


def test_nothing_of_the_benchmarks_is_collected_or_asserts():
    files = [file for file in BENCH.glob("*.py") if file.name != "fuzz_packets.py"]  # that one is all assertions
    assert files and not [file.name for file in files if file.name.startswith("test_") or "assert " in file.read_text()]


def test_growth_panels_draw_the_points_and_an_empty_one_says_so(lines):
    figure = importlib.import_module("growth_plot").growth_figure(GROWTH)
    panels = {(axes.get_title(), axes.get_ylabel()): axes for axes in figure.axes}
    drawn = panels["Preparation", "time (s)"].lines[0].get_xydata().tolist()
    assert drawn == [[10_000, 1.0], [1_000_000, 20.0]]
    assert panels["Preparation", "time (s)"].get_xlabel() == "rows"
    assert panels["Grid", "runs a minute"].lines[0].get_ydata().tolist() == [6.0, 11.0]
    assert panels["Metering", "peak memory (MB)"].get_ylim()[0] == 0
    empty = [axes for axes in figure.axes if "not measured" in [text.get_text() for text in axes.texts]]
    assert len(empty) == 3  # training twice, metering once
    plt.close(figure)


def test_a_smoke_run_marks_the_figure():
    assert "[smoke run]" in importlib.import_module("growth_plot").growth_figure(GROWTH, "smoke run").get_suptitle()


def test_running_all_writes_page_figure_and_raw_lines(run_all, ran, page, tmp_path, capsys):
    asked = ran(**dict.fromkeys(page.PARTS, [WON, *GROWTH]))
    assert run_all.main(["--into", str(tmp_path)]) == 0
    assert asked == [(part, False) for part in page.PARTS]
    assert sorted(file.name for file in tmp_path.iterdir()) == ["benchmarks.json", "benchmarks.md", "growth.png"]
    assert json.loads((tmp_path / "benchmarks.json").read_text())["training"]["lines"] == [WON, *GROWTH]
    assert "not measured" not in (tmp_path / "benchmarks.md").read_text()


def test_one_part_again_replaces_its_own_lines_alone(run_all, ran, tmp_path):
    ran(training=[WON], export=[SIZE])
    assert run_all.main(["training", "export", "--into", str(tmp_path)]) == 0
    ran(training=[MISSED])
    assert run_all.main(["training", "--into", str(tmp_path)]) == 0  # a wish that is missed fails nothing
    results = json.loads((tmp_path / "benchmarks.json").read_text())
    assert (results["training"]["lines"], results["export"]["lines"]) == ([MISSED], [SIZE])


def test_a_failing_part_stops_no_other_and_the_exit_status_is_1(run_all, ran, tmp_path):
    asked = ran(training="exit status 1: no room", export=[SIZE])
    assert run_all.main(["training", "export", "--into", str(tmp_path)]) == 1
    assert [part for part, _ in asked] == ["training", "export"]
    text = (tmp_path / "benchmarks.md").read_text()
    assert "**Failed** (exit status 1: no room)" in text and "| int8 file |" in text


def test_what_was_measured_before_an_interruption_is_kept(run_all, ran, tmp_path):
    ran(training=[WON])  # and no other part: asking for one stops everything
    with pytest.raises(KeyError):
        run_all.main(["training", "export", "--into", str(tmp_path)])
    assert "**4**" in (tmp_path / "benchmarks.md").read_text()


def test_the_page_is_made_anew_from_the_raw_lines_without_measuring(run_all, ran, tmp_path):
    asked = ran(training=[WON])
    run_all.main(["training", "--into", str(tmp_path)])
    before = (tmp_path / "benchmarks.md").read_text()
    (tmp_path / "benchmarks.md").unlink()
    assert run_all.main(["--from-json", "--into", str(tmp_path)]) == 0
    assert (tmp_path / "benchmarks.md").read_text() == before and len(asked) == 1


def test_what_cannot_be_done_is_one_sentence_and_status_1(run_all, tmp_path, capsys):
    assert run_all.main(["speed"]) == 1
    assert capsys.readouterr().err.startswith("expected parts among preparation, training")
    assert run_all.main(["--from-json", "--into", str(tmp_path)]) == 1
    assert capsys.readouterr().err.startswith("expected results in ")
    (tmp_path / "benchmarks.json").write_text("{")
    with pytest.raises(InputError, match="move the file away"):
        run_all.read(tmp_path)


def test_a_script_that_fails_keeps_its_lines_and_its_last_words_without_folders(run_all, tmp_path):
    script = tmp_path / "bench_made_up.py"
    script.write_text(f"print('a library speaks')\nprint('''{json.dumps(WON)}''')\n"
                      "raise OSError('no room for /home/somebody/deep/flows.csv.')\n")  # fmt: skip
    found = run_all.run_part(script, False, tmp_path / "logs")
    assert found["failure"] == "exit status 1: OSError: no room for flows.csv"
    assert found["lines"] == [WON]


def test_a_script_is_told_to_be_quick(run_all, tmp_path):
    script = tmp_path / "bench_made_up.py"
    script.write_text("import json, sys\nprint(json.dumps({'part': 'export', 'what': sys.argv[1:]}))\n")
    assert run_all.run_part(script, True, tmp_path)["lines"] == [{"part": "export", "what": ["--quick"]}]
    assert run_all.run_part(script, False, tmp_path)["lines"] == [{"part": "export", "what": []}]


@pytest.mark.skipif(sys.platform == "win32", reason="process groups are POSIX's")
def test_a_script_that_hangs_is_ended_with_all_it_started(run_all):
    reading, writing = os.pipe()  # its end is reached when nobody holds the other side any more
    failure = run_all.run_script(["sh", "-c", "sleep 600 & sleep 600"], writing, None, limit_s=1)
    os.close(writing)
    assert failure == "not done after 1 s"
    assert select.select([reading], [], [], 60)[0] and os.read(reading, 1) == b""
    os.close(reading)
