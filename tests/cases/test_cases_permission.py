"""Permission is not absence: what may not be read is refused as such, by both commands and where rows are prepared."""

import os
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest
from case_commands import as_nobody, capture_of
from tiny_model import write_model
from tlids_edge.capture import programs
from tlids_edge.errors import InputError

from tlids_helpers.common import files

LABELS = "start,end,src,dst,dst_port,attack\n,,10.0.0.1,,80,DoS\n"
CLOSED = ["a.pcap", "labels.csv", "model/card.json", "model/model.tflite", "model", "shut"]


@pytest.fixture
def folder(tflite, tmp_path):
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
    monkeypatch.setattr(programs, "SYSTEM_PATH", str(tmp_path))
    with pytest.raises(InputError, match="found .*/tcpdump: check its permissions"):
        programs.tcpdump_command("lo")
    (tmp_path / "tcpdump").unlink()
    with pytest.raises(InputError, match="found none"):
        programs.tcpdump_command("lo")


# datasets

NOBODY = """
import os, sys
from tlids_helpers.data import prepare, __main__ as command
from tlids_helpers.data.raw import SUBSET
os.setgroups([]); os.setgid(65534); os.setuid(65534)
if sys.argv[1] == "list":
    sys.exit(command.main(["list", "--data-dir", sys.argv[2]]))
prepare.prepare(sys.argv[1], sys.argv[2], allowed=SUBSET)
"""


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become somebody who may not read")
@pytest.mark.parametrize(
    ("dataset", "closed"),
    [
        ("nf-bot-iot", "raw"), ("nf-bot-iot", "raw/NF-BoT-IoT.csv"), ("nf-bot-iot", "."), ("nf-uq-nids", "raw"),
        ("own.csv", "raw/own.csv"), ("own.parquet", "raw/own.parquet"), ("own.csv", "raw"), ("list", "raw"),
    ],
)  # fmt: skip
def test_what_may_not_be_read_is_refused_and_no_stand_in_is_used(dataset, closed, netflow):
    with tempfile.TemporaryDirectory() as folder:
        data_dir, frame = Path(folder) / "data", netflow({"Benign": 60, "DDoS": 40})
        (data_dir / "raw").mkdir(parents=True)
        for name in ("NF-BoT-IoT.csv", "own.csv"):
            frame.to_csv(data_dir / "raw" / name, index=False)
        frame.to_parquet(data_dir / "raw" / "own.parquet")
        Path(folder).chmod(0o777)
        data_dir.chmod(0o777)
        (data_dir / closed).chmod(0o000)
        given = str(data_dir / "raw" / dataset) if dataset.startswith("own") else dataset
        paths = os.pathsep.join(map(str, (files.REPOSITORY, files.REPOSITORY / "edge")))
        done = subprocess.run(
            [sys.executable, "-c", NOBODY, given, str(data_dir)], env=os.environ | {"PYTHONPATH": paths},
            capture_output=True, text=True, check=False,
        )  # fmt: skip
        assert done.returncode == 1 and "no permission" in done.stderr.splitlines()[-1], done.stderr
        assert "Permission" not in done.stderr.splitlines()[-1] and not (data_dir / "simulated").exists()
