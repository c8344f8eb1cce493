"""Permission is not absence: what may not be read is refused as such, by both commands."""

import pytest
from case_commands import as_nobody, capture_of
from tiny_fixtures import nothing_left_running, tflite  # noqa: F401 - fixtures
from tiny_model import write_model
from tlids_edge.capture import tcpdump
from tlids_edge.errors import InputError

LABELS = "start,end,src,dst,dst_port,attack\n,,10.0.0.1,,80,DoS\n"
CLOSED = ["a.pcap", "labels.csv", "model/card.json", "model/model.tflite", "model", "shut"]


@pytest.fixture
def folder(tflite, tmp_path):  # noqa: F811
    write_model(tmp_path / "model", tflite)
    (tmp_path / "a.pcap").write_bytes(capture_of(3))
    (tmp_path / "labels.csv").write_text(LABELS)
    (tmp_path / "shut").mkdir()
    (tmp_path / "shut" / "a.pcap").write_bytes(capture_of(3))
    (tmp_path / "shut" / "labels.csv").write_text(LABELS)
    return tmp_path


def refused(done, *names):
    said = done.stderr.decode()
    assert done.returncode == 2 and "Traceback" not in said, said
    assert "Permission denied" in said, said
    assert "no such" not in said.casefold() and "none" not in said, said
    assert all(name in said for name in names), said


@pytest.mark.parametrize(
    ("shut", "arguments"),
    [
        ("a.pcap", ["a.pcap"]),
        ("shut", ["shut/a.pcap"]),
        ("labels.csv", ["a.pcap", "--labels", "labels.csv"]),
        ("shut", ["a.pcap", "--labels", "shut/labels.csv"]),
    ],
)
def test_the_meter_refuses_what_may_not_be_read(folder, shut, arguments):
    (folder / shut).chmod(0)
    refused(as_nobody("tlids_edge.cli.meter", folder, *arguments, "-o", "-"), arguments[-1])


@pytest.mark.parametrize(
    ("shut", "source", "options", "named"),
    [
        ("a.pcap", "a.pcap", [], "a.pcap"),
        ("shut", "shut/a.pcap", [], "shut/a.pcap"),
        ("labels.csv", "a.pcap", ["--labels", "labels.csv"], "labels.csv"),
        ("shut", "a.pcap", ["--labels", "shut/labels.csv"], "shut/labels.csv"),
        ("model/card.json", "a.pcap", [], "card.json"),
        ("model/model.tflite", "a.pcap", [], "model.tflite"),
        ("model", "a.pcap", [], "card.json"),
        ("shut", "a.pcap", ["--eve", "shut/eve.json"], "shut/eve.json"),
    ],
)
def test_the_watch_refuses_what_may_not_be_read(folder, shut, source, options, named):
    (folder / shut).chmod(0)
    options = ["--model", "model", "--source", source, *options]
    refused(as_nobody("tlids_edge.cli.edge", folder, *options), named)


def test_a_capture_that_may_be_read_is(folder):
    done = as_nobody("tlids_edge.cli.meter", folder, "a.pcap", "--no-l7", "-o", "-")
    assert done.returncode == 0 and done.stdout.count(b"\n") == 4


def test_a_tcpdump_that_may_not_be_run_is_not_said_to_be_absent(tmp_path, monkeypatch):
    (tmp_path / "tcpdump").touch(0o644)
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr(tcpdump, "SYSTEM_PATH", str(tmp_path))
    with pytest.raises(InputError, match="found .*/tcpdump: check its permissions"):
        tcpdump.tcpdump_command("lo")
    (tmp_path / "tcpdump").unlink()
    with pytest.raises(InputError, match="found none"):
        tcpdump.tcpdump_command("lo")
