"""record.py and the command line: what is refused, and what a short recording leaves."""

import gzip
import json
import os
import shutil
import subprocess
import sys

import pytest
from inside import EDGE, need_namespaces
from testbed import record
from tlids_edge.errors import InputError

SAID = "9 packets captured\n9 packets received by filter\n{} packets dropped by kernel\n"


def run_testbed(*words: str, timeout: float = 240) -> subprocess.CompletedProcess:
    """`python -m testbed record ...` from the folder edge/."""
    return subprocess.run(
        [sys.executable, "-m", "testbed", "record", *words], cwd=EDGE, capture_output=True, text=True, timeout=timeout
    )


def test_a_lost_packet_makes_a_recording_unusable():
    assert record.capture_counts(SAID.format(0)) == {"captured": 9, "dropped": 0}
    for said in (SAID.format(1), "tcpdump: killed"):
        with pytest.raises(InputError, match="without a lost packet"):
            record.capture_counts(said)


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (("--minutes", "0"), "expected more than 0 and at most 120 minutes"),
        (("--minutes", "nan"), "expected more than 0 and at most 120 minutes"),
        (("--subnet", "1.2.3.0/24"), "private /24"),
        (("-o", "/nosuchfolder"), "expected a folder"),
    ],
)
def test_unusable_options_are_one_sentence(words, sentence):
    done = run_testbed(*words)
    assert done.returncode == 2 and sentence in done.stderr and len(done.stderr.splitlines()) == 1


def test_every_program_is_of_a_package_that_the_list_names_with_a_reason():
    listed = record.read_packages(record.PACKAGES)
    ours = set(record.PROGRAMS.values()) - {"util-linux", "mount", "coreutils"}  # essential on Debian
    assert ours <= set(listed)
    assert all("  # " in line for line in record.PACKAGES.read_text().splitlines())


def test_a_recording_that_fails_at_its_end_leaves_no_file(tmp_path):
    source = tmp_path / "made"
    source.write_text("x")
    with pytest.raises(InputError, match="expected to write"):
        record.move(source, tmp_path / "none" / "there")
    assert os.listdir(tmp_path) == ["made"]


def test_a_short_benign_recording_is_whole_and_all_benign(tmp_path):
    need_namespaces()
    missing = [name for name in record.PROGRAMS if shutil.which(name) is None]
    if missing:
        pytest.skip(f"not installed: {', '.join(missing)}; see edge/testbed/apt-packages.txt")
    done = run_testbed("--no-attacks", "--minutes", "0.4", "--seed", "9", "--session", "3", "-o", str(tmp_path))
    assert done.returncode == 0, done.stderr
    names = {"session3.pcap.gz", "session3.labels.csv", "session3.json"}
    assert set(os.listdir(tmp_path)) == names
    assert (tmp_path / "session3.labels.csv").read_text().splitlines() == ["start,end,src,dst,dst_port,attack"]
    told = json.loads((tmp_path / "session3.json").read_text())
    assert told["attacks"] == [] and told["seed"] == 9 and told["packets"]["dropped"] == 0
    (tmp_path / "whole.pcap").write_bytes(gzip.decompress((tmp_path / "session3.pcap.gz").read_bytes()))
    assert protocols(tmp_path / "whole.pcap", told) >= {"dns", "ntp", "mqtt", "http"}


def protocols(path, told: dict) -> set[str]:
    """The services of the Pi server that somebody was answered by, as tcpdump reads the recording."""
    server = told["hosts"]["pi-server"]["address"]
    found = set()
    for name, port in {"dns": 53, "ntp": 123, "mqtt": 1883, "http": 80}.items():
        shown = subprocess.run(["tcpdump", "-nr", str(path), "src", server, "and", "src", "port", str(port)],
                               capture_output=True, text=True, check=True).stdout  # fmt: skip
        if shown:
            found.add(name)
    return found
