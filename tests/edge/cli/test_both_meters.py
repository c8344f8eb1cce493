"""`tlids-edge` and `tlids-meter` say the same whichever meter runs, and say which one does."""

import os
import re
import subprocess
import sys

import pytest
from edge_process import LIMIT_S, run_edge
from shared_captures import REPOSITORY
from tlids_edge.flows import core

MODEL = REPOSITORY / "edge/models/testbed"
HOME = "data/testbed/session2.pcap.gz"
CAPTURES = [HOME, "pcap/mqttset/malformed/malformed-test.pcap", "pcap/mqttset/bruteforce/bruteforce-test.pcapng"]


def found(name, request):
    """A capture of the repository or of the shared folder."""
    return REPOSITORY / name if name == HOME else request.getfixturevalue("shared") / name


def without_core():
    return os.environ | {core.SWITCH: "off"}


@pytest.mark.parametrize("name", CAPTURES)
def test_a_replay_gives_the_same_bytes_with_both_meters(name, request, compiled):
    capture = str(found(name, request))
    both = [run_edge(MODEL, capture, "--flow-alerts", "all", "--all-flows", env=env) for env in (None, without_core())]
    assert [done.returncode for done in both] == [0, 0]
    assert both[0].stdout and both[0].stdout == both[1].stdout
    told = [re.search(rb"meter (compiled|Python: .*?);", done.stderr).group(1) for done in both]
    assert told == [b"compiled", b"Python: TLIDS_CORE is off"]


def test_a_table_is_the_same_with_both_meters(request, compiled):
    command = [sys.executable, "-m", "tlids_edge.cli.meter", str(found(CAPTURES[1], request)), "--family", "both"]
    runs = [subprocess.run(command, capture_output=True, timeout=LIMIT_S, env=env) for env in (None, without_core())]
    assert runs[0].stdout.count(b"\n") > 100 and runs[0].stdout == runs[1].stdout
    assert runs[0].stderr == runs[1].stderr
