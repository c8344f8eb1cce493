"""`make audit` and its command: every check as Markdown and as stored, and one sentence where the rows are missing."""

import importlib
import json
import sys
from pathlib import Path

import pytest
from small_flows import write_csv

from tlids_helpers.audit import __main__ as command

BENCH = Path(__file__).parents[1] / "bench"


@pytest.fixture(autouse=True)
def elsewhere(tmp_path, monkeypatch):
    """No cache and no run is left in the repository."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("TLIDS_HOME", str(tmp_path))


@pytest.fixture
def tables(monkeypatch):
    """The script behind `make audit`; its neighbours are imported by name, as when it is run."""
    monkeypatch.syspath_prepend(str(BENCH))
    return importlib.import_module("audit_tables")


def run(monkeypatch, *arguments: str) -> int:
    monkeypatch.setattr(sys, "argv", ["audit", *arguments])
    return command.main()


def test_every_check_is_a_section_with_a_table_or_a_sentence(tmp_path, tables, capsys):
    flows, kept = str(write_csv(tmp_path / "home.csv", n=300)), tmp_path / "audit.json"
    kept.write_text(json.dumps({"sections": [{"title": "Another", "checks": []}, {"title": flows, "checks": []}]}))
    assert tables.main([flows, "--epochs", "0", "--seeds", "2"], kept) == 0
    printed = capsys.readouterr().out
    assert_stored_as_printed(kept, flows, printed)
    sections = printed.split("### ")[1:]
    titles = [section.partition("\n")[0].partition(",")[0] for section in sections]
    assert titles == [
        "Rows", "Test rows per class", "Rows that repeat", "Test rows that equal a training row",
        "The best any model could reach on the test rows", "The best any model could reach on all rows",
        "Feature sets", "Benign or attack by one feature",
        "One feature", "A scaler that saw the test", "Splits", "Suspect labels", "Attacks left out of training",
        "F1 by class", "False alarms", "Calibration of random forest",
        "Macro-F1 lost when a feature is shuffled among the test rows", "Mean ± deviation over the seeds",
        "What they cost",
    ]  # fmt: skip
    assert sections[2].splitlines()[2] == "| own: class | rows | repeats | repeats_labelled | share |"
    assert "0 of 300 rows repeat an earlier row" in sections[2]


def test_a_sample_that_is_not_there_is_asked_for(tmp_path, monkeypatch, tables, capsys):
    monkeypatch.setenv("TLIDS_SHARED", str(tmp_path / "nowhere"))
    assert tables.main(["nf-bot-iot-v2"]) == 1
    error = capsys.readouterr().err
    assert str(tmp_path / "nowhere") in error and "TLIDS_SHARED" in error


def test_two_networks_are_crossed_and_their_benign_flows_compared(tmp_path, monkeypatch, capsys):
    names = [str(write_csv(tmp_path / f"{name}.csv", n=300, seed=seed)) for seed, name in enumerate(("home", "office"))]
    assert run(monkeypatch, *names, "--cross", "--epochs", "1") == 0
    crossed, shifts = capsys.readouterr().out.split("### ")[1:]
    assert "| home | office | own | CNN, zero-shot |" in crossed and "over 2 pairs." in crossed
    assert "| home | office | own |" in shifts and "| office | home | own |" in shifts


def test_rows_without_a_section_leave_the_file_as_it_is(tmp_path, tables):
    kept = tmp_path / "audit.json"
    kept.write_text('{"sections": []}')
    assert not tables.store(kept, {"title": "mine", "checks": []})
    assert kept.read_text() == '{"sections": []}'


def assert_stored_as_printed(kept, flows: str, printed: str) -> None:
    """The section of these rows, and no other, has the command and every table that was printed."""
    another, ours = json.loads(kept.read_text())["sections"]
    assert another == {"title": "Another", "checks": []}
    assert f'make audit DATASET="{flows}" EPOCHS="0"' in ours["command"]
    assert [check["title"] for check in ours["checks"]] == [
        part.partition("\n")[0] for part in printed.split("### ")[1:]
    ]
    for check in ours["checks"]:
        assert check["sentence"] in printed
        assert all(f"| {' | '.join(row)} |" in printed for row in check.get("rows", []))
    assert sum("rows" in check for check in ours["checks"]) > 10
