"""A few attacks on a real home in namespaces, recorded once for all tests that look at it.

Run as a program (`python live_attacks.py FOLDER`) it is the recorder; the fixture runs it.
"""

import json
import os
import shutil
import subprocess
import sys
from dataclasses import asdict, dataclass
from pathlib import Path

import pytest
from inside import need_namespaces

EDGE = Path(__file__).resolve().parents[3] / "edge"


@dataclass(frozen=True)
class Recording:
    """What was recorded: the whole capture, labels.csv, hosts by name, and the windows as JSON has them."""

    pcap: Path
    labels: Path
    hosts: dict[str, dict]
    windows: list[dict]


@pytest.fixture(scope="session")
def attacked_home(tmp_path_factory) -> Recording:
    """A home under a scan, a flood from forged addresses, and a man in the middle."""
    from testbed.record import PROGRAMS

    need_namespaces(PROGRAMS)
    folder = tmp_path_factory.mktemp("attacked")
    recorder = [sys.executable, __file__, str(folder)]
    done = subprocess.run(recorder, capture_output=True, text=True, timeout=300, cwd=EDGE)
    assert done.returncode == 0, done.stderr
    told = json.loads((folder / "told.json").read_text())
    return Recording(folder / "whole.pcap", folder / "labels.csv", told["hosts"], told["windows"])


def record(folder: Path) -> None:
    """Let a home live, attack it, and leave the capture, the labels and what was run."""
    from testbed import attacks, network, schedule, truth
    from testbed.record import living_home

    if network.OUTSIDE not in os.environ:
        argv, environment = network.isolated([sys.executable, __file__, str(folder)])
        os.execvpe(argv[0], argv, environment)
    scan, flood, middle = schedule.plan_attacks(3, small=True)
    forged = [attack for attack in schedule.plan_attacks(3) if attack.name == "SYN flood" and attack.spoofed][:1]
    with living_home(network.Plan(3, "10.20.30.0/24")) as home:
        capture = home.network.capture(network.FOLDER / "whole.pcap")
        windows = [attacks.run_attack(home.network, attack) for attack in (scan, flood, *forged, middle)]
        home.network.stop(capture)
        hosts = home.network.hosts
    shutil.copy(network.FOLDER / "whole.pcap", folder / "whole.pcap")
    truth.write_labels(windows, hosts, folder / "labels.csv")
    told = {"hosts": {name: asdict(host) for name, host in hosts.items()}, "windows": [asdict(w) for w in windows]}
    (folder / "told.json").write_text(json.dumps(told))


if __name__ == "__main__":
    sys.path.insert(0, str(EDGE))
    record(Path(sys.argv[1]))
