"""network.py: who is who, what a bridge sees, and that nothing is left or let out."""

import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from edge_process import LIMIT_S, STARTED, first_line, wait_for
from inside import EDGE, need_namespaces, run_inside
from testbed import network as lab
from tlids_edge.errors import InputError


def test_hosts_are_drawn_from_the_seed_and_differ_between_seeds():
    one, again = lab.draw_hosts(lab.Plan(1)), lab.draw_hosts(lab.Plan(1))
    other = lab.draw_hosts(lab.Plan(2, "10.20.30.0/24"))
    assert one == again
    assert not {host.mac for host in one.values()} & {host.mac for host in other.values()}
    assert len({host.address for host in one.values()}) == len({host.mac for host in one.values()}) == len(one)
    assert all(host.address.startswith("10.20.30.") for host in other.values())
    assert one["fire-alarm"].mac[:8] in lab.VENDORS["fire-alarm"]


@pytest.mark.parametrize(
    "subnet", ["192.168.7.0/16", "8.8.8.0/24", "192.168.7.1/24", "198.51.100.0/24", "x", "fd00::/64"]
)
def test_a_subnet_that_is_no_private_24_is_a_sentence(subnet):
    with pytest.raises(InputError, match="expected a .*subnet|expected a private /24"):
        lab.draw_hosts(lab.Plan(1, subnet))


def test_nothing_is_built_outside_of_its_own_namespaces(monkeypatch):
    monkeypatch.delenv(lab.OUTSIDE, raising=False)
    with pytest.raises(InputError, match="python -m testbed"):
        lab.build(lab.Plan(1))
    monkeypatch.setenv(lab.OUTSIDE, lab.namespace_inodes())
    with pytest.raises(InputError, match="python -m testbed"):
        lab.build(lab.Plan(1))


@pytest.mark.parametrize("kind", ["net", "mnt", "pid"])
def test_one_namespace_that_is_shared_with_the_outside_makes_it_refuse(kind, monkeypatch):
    inodes = {name: "1" for name in ("net", "mnt", "pid")}
    monkeypatch.setenv(lab.OUTSIDE, " ".join(inodes.values()))
    monkeypatch.setattr(lab, "links", lambda: ["lo"])
    lab.refuse_outside()
    inodes[kind] = str(Path("/proc/self/ns", kind).stat().st_ino)
    monkeypatch.setenv(lab.OUTSIDE, " ".join(inodes.values()))
    with pytest.raises(InputError, match="python -m testbed"):
        lab.refuse_outside()


def test_a_foreign_link_makes_it_refuse():
    body = (
        "import subprocess\n"
        "subprocess.run(['ip', 'link', 'add', 'eth7', 'type', 'veth', 'peer', 'name', 'tl-x'], check=True)\n"
        "lab.build(lab.Plan(1))"
    )
    done = run_inside(body)
    assert done.returncode and "found the links eth7" in done.stderr


def test_an_address_that_is_nobodys_is_refused():
    network = lab.Network(lab.Plan(1), lab.draw_hosts(lab.Plan(1)))
    assert lab.lab_address(network, network.hosts["phone"].address) == network.hosts["phone"].address
    with pytest.raises(InputError, match="nothing was sent"):
        lab.lab_address(network, "8.8.8.8")


def test_a_missing_program_is_a_sentence_with_the_command_that_installs_it():
    with pytest.raises(InputError, match="found no nosuchprogram: run `sudo apt install some-package`"):
        lab.need_programs({"nosuchprogram": "some-package", "sh": "dash"})


def test_the_bridge_shows_every_frame_once_with_the_hosts_own_macs():
    done = run_inside(Path(__file__).with_name("live_ping.py").read_text())
    assert done.returncode == 0, done.stderr
    phone, light = re.search(r"MACS (\S+) (\S+)", done.stdout).groups()
    assert "0 packets dropped by kernel" in done.stdout
    requests = re.findall(r"id \d+, seq (\d+), length 1408", done.stdout)
    assert sorted(requests) == ["1", "1", "2", "2", "3", "3"]  # a request and a reply for each
    assert done.stdout.count(f"{phone} > {light}") == done.stdout.count(f"{light} > {phone}") == 3


def test_frames_are_as_on_a_wire_1500_bytes_at_most_with_right_checksums():
    done = run_inside(Path(__file__).with_name("live_tcp.py").read_text())
    assert done.returncode == 0, done.stderr
    lengths = [int(length) for length in re.findall(r"proto TCP \(6\), length (\d+)", done.stdout)]
    assert len(lengths) > 140 and max(lengths) == 1500
    assert "(correct)" in done.stdout and "incorrect" not in done.stdout


def test_after_sigkill_nothing_is_left():
    need_namespaces()
    argv, environment = lab.isolated(
        [sys.executable, "-c", "from testbed import network as lab\nnet = lab.build(lab.Plan(1))\n"
         "net.start('phone', ['sleep', '987'])\nprint('built', flush=True)\nimport time; time.sleep(300)"]
    )  # fmt: skip
    environment["PYTHONPATH"] = str(EDGE)
    links = lab.links()
    STARTED.append(process := subprocess.Popen(argv, env=environment, stdout=subprocess.PIPE))
    assert first_line(process) == b"built\n"
    sleepers = descendants(process.pid)
    assert len(sleepers) >= 2
    process.send_signal(signal.SIGKILL)
    process.wait(LIMIT_S)
    wait_for(lambda: not any(os.path.exists(f"/proc/{pid}") for pid in sleepers), "everything to be gone")
    assert lab.links() == links and not os.path.exists("/run/testbed")


def descendants(pid: int) -> list[int]:
    """The processes below one, as the kernel lists them."""
    try:
        children = [int(word) for word in open(f"/proc/{pid}/task/{pid}/children").read().split()]
    except FileNotFoundError:
        return []
    return children + [below for child in children for below in descendants(child)]
