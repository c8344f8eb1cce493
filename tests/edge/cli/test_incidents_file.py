"""`--incidents`: the file of what matters more, beside the EVE file or elsewhere."""

import pytest
from edge_process import events, run_edge
from frames import T0, pcap, udp


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
