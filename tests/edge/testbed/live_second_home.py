"""The second home: each habit once, and a few attacks, recorded once for all tests that look at it.

Run as a program (`python live_second_home.py FOLDER`) it is the recorder; the fixture runs it.
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
LIVE_ONCE = """
import json, sys
from pathlib import Path
from random import Random
from threading import Thread
from testbed.second_home.life.lives import LIVES
days = LIVES[sys.argv[1]](json.loads(Path(sys.argv[2]).read_text()))
failed = {}
def once(number, habits):
    for habit in habits:
        try:
            habit.do(Random(f"{sys.argv[1]} {number}"))
        except Exception as error:
            failed[habit.do.__name__] = repr(error)
threads = [Thread(target=once, args=day) for day in enumerate(days)]
[thread.start() for thread in threads]
[thread.join() for thread in threads]
print(json.dumps(failed))
"""


@dataclass(frozen=True)
class Recording:
    """What was recorded: the whole capture, hosts by name, the class of each flow, habits that failed."""

    pcap: Path
    hosts: dict[str, dict]
    classes: list[str]
    failures: dict[str, dict]


@pytest.fixture(scope="session")
def attacked_second_home(tmp_path_factory) -> Recording:
    """The second home, every habit lived once, under a beacon, guesses, a tunnel, an amplification and UPnP abuse."""
    from testbed.kinds import KINDS

    need_namespaces([*KINDS["second"].programs, "tshark"])
    folder = tmp_path_factory.mktemp("second")
    recorder = [sys.executable, __file__, str(folder)]
    done = subprocess.run(recorder, capture_output=True, text=True, timeout=240, cwd=EDGE)
    assert done.returncode == 0, done.stderr
    told = json.loads((folder / "told.json").read_text())
    return Recording(folder / "whole.pcap", told["hosts"], classes(folder), told["failures"])


def classes(folder: Path) -> list[str]:
    """The class of each flow of the capture, by its labels."""
    from tlids_edge.capture.packets import PacketStats, read_packets
    from tlids_edge.flows.labels import label_flow, read_labels
    from tlids_edge.flows.meter import Meter

    meter, rules = Meter("netflow"), read_labels(folder / "labels.csv")
    with open(folder / "whole.pcap", "rb") as file:
        for packet in read_packets(file, PacketStats()):
            meter.add(packet)
    meter.close_all()
    return [label_flow(rules, flow) for flow in meter.take()]


def record(folder: Path) -> None:
    """Let everyone live each habit once, attack, and leave the capture, the labels and what failed."""
    from testbed import attacks, network, truth
    from testbed.second_home import home, schedule, world

    if network.OUTSIDE not in os.environ:
        argv, environment = network.isolated([sys.executable, __file__, str(folder)])
        os.execvpe(argv[0], argv, environment)
    net = network.build(network.Plan(3, world.SUBNET, world.LAYOUT))
    secrets = network.FOLDER / "secrets.json"
    secrets.write_text(json.dumps(home.credentials(net)))
    home.start_servers(net)
    capture = net.capture(network.FOLDER / "whole.pcap")
    environment = {**os.environ, "PYTHONPATH": str(EDGE)}
    living = {
        host: net.start(
            host, [sys.executable, "-c", LIVE_ONCE, host, str(secrets)], stdout=subprocess.PIPE, env=environment,
            cwd=network.FOLDER,
        )
        for host in home.LIVING
    }  # fmt: skip
    every = [attack for attacks_ in schedule.plan_rounds(3, small=True) for attack in attacks_]
    beside = attacks.Behind(net, every[0])
    windows = [attacks.run_attack(net, attack) for attack in every[1:] if not attack.relayed]
    failures = {host: json.loads(one.communicate(timeout=90)[0]) for host, one in living.items()}
    windows.append(beside.window())
    net.stop(capture)
    shutil.copy(network.FOLDER / "whole.pcap", folder / "whole.pcap")
    truth.write_labels(windows, net.hosts, folder / "labels.csv", world.LAYOUT.outside)
    told = {
        "hosts": {name: asdict(host) for name, host in net.hosts.items()},
        "failures": {host: failed for host, failed in failures.items() if failed},
    }
    (folder / "told.json").write_text(json.dumps(told))
    net.close()


if __name__ == "__main__":
    sys.path.insert(0, str(EDGE))
    record(Path(sys.argv[1]))
