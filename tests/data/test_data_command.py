"""`python -m tlids_helpers.data` as its users see it."""

import dataclasses
import gzip
import hashlib
import os
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest
from http_files import broken, ranged, refusing, serving, whole

from tlids_helpers.data import check, download, raw
from tlids_helpers.data.__main__ import BY_HAND, main
from tlids_helpers.data.catalog import DATASETS

SMALL = {"Benign": 40, "Reconnaissance": 3, "DDoS": 30, "DoS": 20, "Theft": 7}


@pytest.fixture
def home(tmp_path, monkeypatch):
    """An empty home for data/, and no proxy between us and the loopback."""
    monkeypatch.setenv("TLIDS_HOME", str(tmp_path))
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def frame(netflow) -> pd.DataFrame:
    return netflow(SMALL)


@pytest.fixture
def text(frame) -> bytes:
    return frame.to_csv(index=False).encode()


@pytest.fixture
def small(monkeypatch, text):
    """NF-BoT-IoT and NF-ToN-IoT as if they had been published with 100 rows; only the first has a known SHA-256."""
    known = {"total": 100, "classes": SMALL, "size": len(text), "sha256": hashlib.sha256(text).hexdigest()}
    monkeypatch.setitem(DATASETS, "nf-bot-iot", dataclasses.replace(DATASETS["nf-bot-iot"], **known))
    known |= {"sha256": "", "size": None}
    monkeypatch.setitem(DATASETS, "nf-ton-iot", dataclasses.replace(DATASETS["nf-ton-iot"], **known))


def row(capsys, slug: str) -> list[str]:
    """The words of a dataset's line in the table, columns apart by two blanks."""
    line = next(line for line in capsys.readouterr().out.splitlines() if line.startswith(f"{slug} "))
    return [word for word in line.split("  ") if word]


def test_the_module_runs_as_a_command(home):
    command = [sys.executable, "-m", "tlids_helpers.data", "get", "nf-bot-iot"]
    ran = subprocess.run(command, cwd=home, env=os.environ, capture_output=True, text=True)
    assert ran.returncode == BY_HAND and ran.stderr == ""
    assert "NF-BoT-IoT, 600,100 rows" in ran.stdout


@pytest.mark.parametrize("slug", [slug for slug, entry in DATASETS.items() if not entry.folder])
def test_without_a_direct_link_a_reader_is_told_page_terms_file_and_folder(slug, home, capsys):
    assert main(["get", slug]) == BY_HAND
    printed, entry = capsys.readouterr().out, DATASETS[slug]
    for word in (entry.page, entry.terms, entry.file, str(home / "data" / "raw"), f"check {slug}", "--url LINK"):
        assert word in printed
    assert not (home / "data").exists()


def test_no_dataset_of_the_paper_has_an_invented_link():
    """The publishers' pages lead to share links; one that lasts is entered here together with this test's exception."""
    assert {slug for slug, entry in DATASETS.items() if entry.url} == set()


def test_a_direct_link_of_the_catalog_is_fetched(home, small, text, monkeypatch, capsys):
    with serving(whole(text)) as server:
        linked = dataclasses.replace(DATASETS["nf-bot-iot"], url=server.url)
        monkeypatch.setitem(DATASETS, "nf-bot-iot", linked)
        assert main(["get", "nf-bot-iot"]) == 0
    assert (home / "data" / "raw" / "NF-BoT-IoT.csv").read_bytes() == text
    printed = capsys.readouterr()
    assert linked.terms in printed.out and "the known SHA-256" in printed.out
    assert printed.err == ""  # TQDM_DISABLE is set


def test_a_link_of_ones_own_is_fetched_and_goes_on_where_it_broke(home, small, text, monkeypatch, capsys):
    monkeypatch.setattr(download, "TRIES", 1)
    monkeypatch.setattr(download, "CHUNK_BYTES", 512)  # so that whole pieces have come before it breaks
    with serving(broken(text, 3000, ETag='"1"'), ranged(text, '"1"')) as server:
        assert main(["get", "nf-ton-iot", "--url", server.url]) == 1
        assert "it resumes there" in capsys.readouterr().err
        assert main(["get", "NF-ToN-IoT", "--url", server.url]) == 0
    assert server.seen[1]["Range"].startswith("bytes=")
    assert (home / "data" / "raw" / "NF-ToN-IoT.csv").read_bytes() == text
    assert "100 rows, whole" in capsys.readouterr().out


@pytest.mark.parametrize("quiet", [True, False])
def test_a_bar_shows_how_far_a_download_is_unless_tqdm_disable_is_set(quiet, home):
    environment = {name: value for name, value in os.environ.items() if name not in ("TQDM_DISABLE", "CI")}
    with serving(whole(b"<html>log in</html>")) as server:
        command = [sys.executable, "-m", "tlids_helpers.data", "get", "nf-bot-iot", "--url", server.url]
        environment |= {"TQDM_DISABLE": "1"} if quiet else {}
        printed = subprocess.run(command, cwd=home, env=environment, capture_output=True, text=True).stderr
    assert ("NF-BoT-IoT.csv: " in printed) != quiet and printed.splitlines()[-1].endswith("download it again")


@pytest.mark.parametrize(
    ("answer", "words"), [(refusing(404), "404 Not Found"), (whole(b"<html>log in</html>"), "web page")]
)
def test_what_cannot_be_fetched_is_one_sentence_and_exit_1(answer, words, home, small, capsys):
    with serving(answer) as server:
        assert main(["get", "nf-bot-iot", "--url", server.url]) == 1
    printed = capsys.readouterr().err
    assert words in printed and printed.count("\n") == 1
    assert list((home / "data" / "raw").iterdir()) == []


def test_a_file_that_is_there_and_right_is_not_fetched(home, small, put, text, capsys):
    mine = put(text, "NF-BoT-IoT.csv")
    with serving(refusing(500)) as server:
        assert main(["get", "nf-bot-iot", "--url", server.url]) == 0
    assert server.seen == [] and mine.read_bytes() == text
    assert "already there" in capsys.readouterr().out


def test_a_file_that_is_there_and_wrong_is_left_unless_told_to_replace_it(home, small, put, text, capsys):
    mine = put(text[:-100], "NF-BoT-IoT.csv")
    with serving(whole(text)) as server:
        assert main(["get", "nf-bot-iot", "--url", server.url]) == 1
        assert "`get --replace`" in capsys.readouterr().err and mine.read_bytes() == text[:-100]
        assert main(["get", "nf-bot-iot", "--url", server.url, "--replace"]) == 0
    assert mine.read_bytes() == text


def test_what_is_shipped_is_there_and_is_restored_with_git_if_it_is_not(home, monkeypatch, capsys):
    assert main(["get", "testbed"]) == 0
    assert "29,530 rows, whole" in capsys.readouterr().out
    monkeypatch.setattr(raw.files, "REPOSITORY", home)
    assert main(["get", "testbed"]) == 1
    assert "expected the shipped testbed.parquet" in capsys.readouterr().err


def test_one_dataset_that_is_wrong_does_not_keep_the_next_from_being_got(home, small, put, text, capsys):
    put(text[:-100], "NF-ToN-IoT.csv")
    assert main(["get", "nf-ton-iot", "nf-unsw-nb15"]) == 1
    printed = capsys.readouterr()
    assert "add --allow-subset" in printed.err and printed.err.count("\n") == 1
    assert "NF-UNSW-NB15, 1,623,118 rows: no direct link is known" in printed.out


def test_one_link_leads_to_one_dataset(home, capsys):
    assert main(["get", "nf-bot-iot", "nf-ton-iot", "--url", "http://127.0.0.1:9/x"]) == 1
    assert "expected one dataset with --url, found 2" in capsys.readouterr().err


def test_a_misspelt_dataset_is_told_its_neighbour(home, capsys):
    assert main(["get", "nf-bot-iott"]) == 1
    assert capsys.readouterr().err == (
        "expected a dataset of the catalog, found 'nf-bot-iott': did you mean nf-bot-iot?\n"
    )


def test_list_names_every_dataset_and_says_which_are_here(home, put, text, capsys):
    put(text, "nf-bot-iot.csv")
    assert main(["list"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in lines] == ["dataset", *DATASETS]
    assert lines[1].split()[:4] == ["nf-bot-iot", "600,100", "5", "nf-bot-iot.csv"]


def test_check_on_a_fresh_clone_finds_only_what_is_shipped_and_that_is_whole(home, capsys):
    assert main(["check"]) == 0
    lines = {line.split()[0]: line for line in capsys.readouterr().out.splitlines()}
    assert set(lines) == {"dataset", *DATASETS}
    for slug, entry in DATASETS.items():
        assert lines[slug].endswith(f"{entry.total:,}  whole" if entry.folder else "not here")


@pytest.mark.parametrize("ending", ["", ".gz"])
def test_check_knows_the_known_file_by_its_bytes_packed_or_not(ending, home, small, put, text, capsys):
    put(gzip.compress(text) if ending else text, f"NF-BoT-IoT.csv{ending}")
    assert main(["check", "nf-bot-iot"]) == 0
    assert row(capsys, "nf-bot-iot")[-3:] == ["known", " -", "whole"]


def test_check_says_only_what_it_has_looked_at(home, small, put, text, capsys):
    """Half a file under a name without a known SHA-256: its header fits, and only counting tells."""
    put(text[: len(text) // 2], "NF-ToN-IoT.csv")
    assert main(["check", "nf-ton-iot"]) == 0
    assert row(capsys, "nf-ton-iot")[-1] == "header fits"
    assert main(["check", "nf-ton-iot", "--full"]) == 1
    printed = capsys.readouterr()
    assert printed.out.rstrip().endswith("WRONG")
    assert (
        "nf-ton-iot: expected the 100 rows of NF-ToN-IoT, found" in printed.err and "add --allow-subset" in printed.err
    )
    assert main(["check", "nf-ton-iot", "--full", "--allow-subset"]) == 0
    assert row(capsys, "nf-ton-iot")[-1] == "subset"


def test_check_with_other_bytes_wants_the_rows_counted(home, small, put, text, capsys):
    """Windows line ends: another SHA-256, the same rows."""
    put(text.replace(b"\n", b"\r\n"), "NF-BoT-IoT.csv")
    assert main(["check", "nf-bot-iot"]) == 1
    assert "count its rows with `check --full`" in capsys.readouterr().err
    assert main(["check", "nf-bot-iot", "--full"]) == 0
    assert [word.strip() for word in row(capsys, "nf-bot-iot")[-3:]] == ["other", "100", "whole"]


def test_check_refuses_another_version_a_web_page_and_a_folder_but_looks_at_the_rest(
    home, small, put, netflow, text, capsys
):
    put(netflow(SMALL, version=2), "NF-BoT-IoT.csv")
    put("<!DOCTYPE html><html></html>", "NF-UNSW-NB15.csv")
    (home / "data" / "raw" / "NF-UQ-NIDS.csv").mkdir()
    put(text, "NF-ToN-IoT.csv")
    assert main(["check", "--full"]) == 1
    printed = capsys.readouterr()
    faults = dict(line.split(": ", 1) for line in printed.err.splitlines())
    assert set(faults) == {"nf-bot-iot", "nf-unsw-nb15", "nf-uq-nids"}
    assert "has the columns of version 2" in faults["nf-bot-iot"] and "a web page" in faults["nf-unsw-nb15"]
    assert any(line.startswith("nf-ton-iot ") and line.endswith("100  whole") for line in printed.out.splitlines())


def test_check_counts_a_class_that_lacks_rows(home, small, put, frame, capsys):
    frame.loc[frame["Attack"] == "Theft", "Attack"] = "DoS"
    put(frame, "NF-ToN-IoT.csv")
    assert main(["check", "nf-ton-iot", "--full"]) == 1
    assert "found 1 classes of other sizes, 1 classes with more rows than published (DoS)" in capsys.readouterr().err


def test_check_tells_a_union_that_its_parts_make(home, put, text, capsys):
    for part in DATASETS["nf-uq-nids"].parts:
        put(text, DATASETS[part].file)
    main(["check", "nf-uq-nids"])
    assert row(capsys, "nf-uq-nids")[-1] == check.PARTS


def test_check_names_files_that_no_dataset_claims(home, put, text, capsys):
    put(text, "NF-BoT-IoT (1).csv")
    put(text, "holiday.csv")
    assert main(["check"]) == 0
    printed = capsys.readouterr().out
    assert "NF-BoT-IoT (1).csv in" in printed and "did you mean NF-BoT-IoT.csv?" in printed
    assert "holiday.csv in" in printed and printed.count("did you mean") == 1


def test_a_data_folder_that_is_not_there_is_said(home, capsys):
    assert main(["check", "--data-dir", "dta"]) == 1
    assert "expected a folder at" in capsys.readouterr().err


def test_an_interrupt_is_no_traceback(home, monkeypatch, capsys):
    def interrupted(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(check, "check", interrupted)
    assert main(["check"]) == 130
    assert capsys.readouterr().err == "stopped\n"


@pytest.mark.parametrize("command", [[], ["get"], ["check"], ["list"]])
def test_help_is_there_for_the_command_and_its_parts(command, capsys):
    with pytest.raises(SystemExit) as ended:
        main([*command, "--help"])
    printed = capsys.readouterr().out
    assert ended.value.code == 0 and "usage: python -m tlids_helpers.data" in printed
    assert command or all(word in printed for word in ("examples:", "exit status:", "list", "get", "check"))


def test_the_readme_of_data_names_every_dataset_and_the_commands():
    printed = (Path(__file__).resolve().parents[2] / "data" / "README.md").read_text()
    for entry in DATASETS.values():
        assert entry.version == 2 or entry.folder or f"`{entry.slug}`" in printed and entry.page in printed
    for command in ("list", "get nf-bot-iot", "check", "check --full"):
        assert f"python -m tlids_helpers.data {command}" in printed


def test_a_data_folder_whose_name_is_too_long_is_told(home, capsys):
    assert main(["list", "--data-dir", "a" * 300]) == 1
    assert "found: File name too long: correct --data-dir" in capsys.readouterr().err
