"""`--incidents`: the file of what matters more, beside the EVE file or elsewhere."""

import subprocess

import pytest
from edge_process import LIMIT_S, command, events, run_edge
from frames import T0, pcap, udp
from tlids_edge.alerts.eve_file import is_rotated
from tlids_edge.cli.edge import main


@pytest.fixture
def scan(tmp_path):
    """One source at sixty ports, which is an alert of a rule and an incident."""
    path = tmp_path / "scan.pcap"
    path.write_bytes(pcap([(T0 + n, udp("10.0.0.1", 5000, "10.0.0.2", 100 + n)) for n in range(60)]))
    return str(path)


def kinds(path) -> list[int]:
    return [event["alert"]["signature_id"] for event in events(path.read_bytes(), "alert")]


@pytest.mark.parametrize("named", [False, True])
def test_incidents_and_rule_alerts_are_kept_apart_from_alerts_of_flows(model, tmp_path, scan, named):
    path = tmp_path / ("mine.json" if named else "incidents.json")
    options = ("--incidents", str(path)) if named else ()
    done = run_edge(model, scan, "--eve", str(tmp_path / "eve.json"), *options)
    assert done.returncode == 0
    assert sorted(set(kinds(path))) == [9_200_011, 9_300_001, 9_300_003]
    assert [kind for kind in kinds(tmp_path / "eve.json") if kind >= 9_200_000] == kinds(path)
    assert len(list(tmp_path.glob("*.json"))) == 2


def test_standard_output_has_no_second_file_unless_one_is_named(model, tmp_path, scan):
    run_edge(model, scan, cwd=tmp_path)
    assert not (tmp_path / "incidents.json").exists()
    run_edge(model, scan, "--incidents", "kept.json", cwd=tmp_path)
    assert set(kinds(tmp_path / "kept.json")) == {9_200_011, 9_300_001, 9_300_003}


def test_one_file_for_both_is_refused(model, tmp_path, scan):
    path = str(tmp_path / "eve.json")
    done = run_edge(model, scan, "--eve", path, "--incidents", path)
    assert done.returncode == 2 and b"expected another file for --incidents than for --eve" in done.stderr
    done = run_edge(model, scan, "--eve", str(tmp_path / "incidents.json"))
    assert done.returncode == 0 and {9_300_001} < set(kinds(tmp_path / "incidents.json"))


CONFUSED = {  # --eve, --incidents, and what is made before
    "the newest old file": ("eve.json", "eve.json.1"),
    "the oldest old file": ("eve.json", "./eve.json.5"),
    "an old file of the incidents": ("incidents.json.3", "incidents.json"),
    "an old file of the incidents that nobody named": ("incidents.json.1", ""),
    "a link to an old file": ("eve.json", "link", "ln -s eve.json.2 link"),
    "an old file of what a link leads to": ("link", "there/eve.json.1", "mkdir there; ln -s there/eve.json link"),
    "a folder that is a link": ("here/eve.json", "there/eve.json.1", "mkdir there; ln -s there here"),
    "a link at the name of an old file": ("eve.json", "eve.json.1", "touch other; ln -s other eve.json.1"),
}


@pytest.mark.parametrize("name", CONFUSED)
def test_an_output_over_which_another_would_be_renamed_is_refused(name, model, tmp_path, scan, monkeypatch, capfd):
    eve, incidents, *before = CONFUSED[name]
    monkeypatch.chdir(tmp_path)
    subprocess.run(["sh", "-ec", *(before or [":"])], check=True)
    options = ("--incidents", incidents) if incidents else ()
    assert main(["--model", str(model), "--source", scan, "--eve", eve, *options]) == 2
    assert "expected --incidents and --eve to be kept apart" in capfd.readouterr().err
    assert not [path.name for path in tmp_path.rglob("*json*") if path.stat().st_size]


def test_standard_output_into_a_file_over_which_the_incidents_would_be_renamed_is_refused(model, tmp_path, scan):
    arguments = [*command(model, scan), "--incidents", "kept.json"]
    with open(tmp_path / "kept.json.1", "wb") as printed:
        done = subprocess.run(arguments, cwd=tmp_path, stdout=printed, stderr=subprocess.PIPE, timeout=LIMIT_S)
    assert done.returncode == 2 and b"expected --incidents and --eve to be kept apart" in done.stderr


@pytest.mark.parametrize("name", ["eve.json.6", "eve.json.0", "eve.json.old", "eve.json.1.1", "a/eve.json.1", "-"])
def test_names_that_only_look_like_an_old_file_are_none(name, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert not is_rotated(name, "eve.json") and is_rotated("eve.json.5", tmp_path / "eve.json")
