"""attack_table.py: real attacks, live on the bridge, are named to who sent them."""

import json
import shutil
import subprocess
import sys

import pytest
from inside import EDGE, need_namespaces

ATTACKS = ("fragments of 8 bytes", "decoys", "forged source", "ARP, invented senders", "IPv6 neighbour")


@pytest.fixture(scope="module")
def rows():
    need_namespaces()
    from testbed.attack_table import PROGRAMS

    if missing := [name for name in PROGRAMS if shutil.which(name) is None]:
        pytest.skip(f"not installed: {', '.join(missing)}; see edge/testbed/apt-packages.txt")
    command = [sys.executable, "-m", "testbed.attack_table", str(EDGE / "models" / "testbed"), "--json", *ATTACKS]
    done = subprocess.run(command, cwd=EDGE, capture_output=True, text=True, timeout=240)
    assert done.returncode == 0, done.stderr
    return [json.loads(line) for line in done.stdout.splitlines()]


@pytest.mark.parametrize("attack", ATTACKS)
def test_each_attack_is_seen_and_only_the_attackers_mac_is_named(rows, attack):
    mine = [row for row in rows if row["attack"] == attack]
    assert {row["mac"] for row in mine if "flood of claimants" not in row["alert"]} == {"attacker"}


@pytest.mark.parametrize("attack", ["decoys", "forged source"])
def test_who_had_its_address_forged_is_not_proven_to_have_done_it(rows, attack):
    mine = [row for row in rows if row["attack"] == attack]
    assert mine and {row["source"] for row in mine} == {"claimed"}


def test_an_unknown_attack_is_a_sentence():
    done = subprocess.run(
        [sys.executable, "-m", "testbed.attack_table", "models/testbed", "no such"],
        cwd=EDGE, capture_output=True, text=True, timeout=60,
    )  # fmt: skip
    assert done.returncode == 2 and "no such" in done.stderr and "SYN scan" in done.stderr
