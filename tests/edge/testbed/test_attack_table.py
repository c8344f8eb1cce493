"""attack_table.py: real attacks, live on the bridge, are named to their sender; so is the committed table."""

import json
import shutil
import subprocess
import sys

import pytest
from inside import EDGE, need_namespaces
from testbed import network
from testbed.attack_table import ATTACKS
from testbed.forge import SESSIONS, TALK_PORT
from testbed.program_attacks import Trial, problem
from testbed.rule_attacks import ATTACKER, judge, judge_named
from testbed.watched import rate_of

LIVE = (
    "fragments of 8 bytes", "a forged answer to each probe", "80 forged SYNs in the name of an active host",
    "ARP, invented senders", "RSTs with a false checksum or VLAN", "a packet with an impossible time",
)  # fmt: skip
BY_NAME = {attack.name: attack for attack in ATTACKS}
HOSTS = {
    name: {"address": f"192.168.7.{number}", "mac": f"02:00:00:00:00:{number:02x}"}
    for number, name in enumerate((ATTACKER, "laptop", "phone", "pi-server"), 1)
}
COMMITTED = json.loads((EDGE.parent / "docs" / "results" / "attack.json").read_text())["attacks"]


@pytest.fixture(scope="module")
def rows():
    need_namespaces()
    from testbed.attack_table import PROGRAMS

    if missing := [name for name in PROGRAMS if shutil.which(name) is None]:
        pytest.skip(f"not installed: {', '.join(missing)}; see edge/testbed/apt-packages.txt")
    command = [sys.executable, "-m", "testbed.attack_table", str(EDGE / "models" / "testbed"), "--json", *LIVE]
    done = subprocess.run(command, cwd=EDGE, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr + done.stdout
    return {row["attack"]: row for row in map(json.loads, done.stdout.splitlines())}


@pytest.mark.parametrize("name", LIVE)
def test_live_an_attack_is_named_to_who_sent_it(rows, name):
    assert rows[name]["verdict"] == "right"
    macs = {one["mac"] for one in rows[name]["seen"] if "flood of claimants" not in one["alert"]}
    assert macs == ({ATTACKER} if BY_NAME[name].named == ATTACKER else set())
    assert {one["source"] for one in rows[name]["seen"]} <= {"claimed"}


def alert(mac: str = ATTACKER, address: str = "192.168.7.1", source: str = "claimed") -> dict:
    return {"alert": "fan-out: one source tries many hosts", "address": address, "mac": mac, "source": source}


SCAN = BY_NAME["SYN scan"]


@pytest.mark.parametrize(
    ("seen", "verdict"),
    [
        ([alert()], "right"),
        ([alert(source="proven")], "right"),
        ([alert(), alert(address="192.168.7.2")], "right"),
        ([alert(), alert(mac="", address="")], "right"),
        ([], "found nobody"),
        ([alert(mac="laptop")], "found laptop"),
        ([alert(), alert(mac="laptop")], "found attacker, laptop"),
        ([alert(mac="02:00:00:00:00:99")], "found 02:00:00:00:00:99"),
        ([alert(address="192.168.7.2", source="proven")], "found 192.168.7.2 proven"),
    ],
)
def test_an_attack_is_right_when_its_sender_and_nobody_else_is_named(seen, verdict):
    assert judge(SCAN, seen, [], HOSTS).endswith(verdict)


def test_where_nothing_is_to_be_seen_an_alert_is_wrong():
    missed = BY_NAME["a scan inside GRE, without --decap"]
    assert judge(missed, [], [], HOSTS) == "right"
    assert judge(missed, [alert()], [], HOSTS) == "expected no alert, found 1"


def flow(src: str, dst: str, port: int, to: int, kind: str = "flow", **more) -> dict:
    """An event of a flow as EVE has it."""
    return {
        "event_type": kind, "src_ip": HOSTS[src]["address"], "dest_ip": HOSTS[dst]["address"], "proto": "TCP",
        "src_port": port, "dest_port": to, "flow": {"alerted": False},
        "ether": {"src_mac": HOSTS[src]["mac"], "dest_mac": HOSTS[dst]["mac"]}, **more,
    }  # fmt: skip


def test_a_victim_whose_flows_a_rule_raises_or_that_did_nothing_is_wrong():
    attack = BY_NAME["80 forged SYNs in the name of an active host"]
    asked = [flow("laptop", "pi-server", 50_000 + n, TALK_PORT) for n in range(20)]
    raised = flow("laptop", "pi-server", 50_000, TALK_PORT, "alert", alert={"metadata": {"tlids_rules": ["fan-out"]}})
    assert judge(attack, [alert()], asked, HOSTS) == "right"
    assert judge(attack, [alert()], asked[1:], HOSTS).endswith("found 19")
    assert judge(attack, [alert()], [*asked, raised], HOSTS).endswith("raised by a rule, found 1")


def test_sessions_that_a_false_reset_turns_cuts_or_makes_a_flood_are_wrong():
    attack = BY_NAME["RSTs with a false checksum or VLAN"]
    whole = [flow("phone", "pi-server", port, TALK_PORT) for port in SESSIONS["resets"]]
    turned = flow("pi-server", "phone", TALK_PORT, SESSIONS["resets"][0])
    named = {"metadata": {"flowvars": [{"key": "tlids_class", "value": "SYN flood"}]}}
    assert judge(attack, [], whole, HOSTS) == "right"
    assert judge(attack, [], whole[1:], HOSTS).endswith("of the phone, found 9, 0 turned")
    assert judge(attack, [], [*whole, turned], HOSTS).endswith("found 1 turned and 0 SYN floods")
    assert judge(attack, [], [*whole[1:], whole[0] | named], HOSTS).endswith("found 0 turned and 1 SYN floods")
    assert judge(attack, [], [*whole, whole[0]], HOSTS).endswith("found 1 cut")


def test_sessions_that_a_late_reset_does_not_cut_show_that_the_readme_is_out_of_date():
    attack = BY_NAME["RSTs with a false sequence number"]
    whole = [flow("phone", "pi-server", port, TALK_PORT) for port in SESSIONS["late-resets"]]
    assert judge(attack, [], whole * 2, HOSTS) == "right"
    assert judge(attack, [], whole + whole[1:], HOSTS).endswith("to be cut, found 9")
    turned = flow("pi-server", "phone", TALK_PORT, SESSIONS["late-resets"][0])
    assert judge(attack, [], [*whole * 2, turned], HOSTS).endswith("found 1 turned")


def test_the_rate_of_forged_frames_is_what_the_sender_told_last():
    assert rate_of("begun\nsent 1200 frames in 0.20 s\n") == 6000
    assert rate_of("sent 1 frames in 9.00 s\nsent 300 frames in 2.00 s\n") == 150
    assert rate_of("begun\n") == rate_of("we sent 5 frames in 1.00 s of it") == 0


def over(flows: int, **more) -> dict:
    """The line of an incident that is over."""
    return {
        "event_type": "alert",
        "alert": {"signature_id": 9_300_003, "metadata": {"tlids_flows": [str(flows)]}},
    } | more


def test_of_slow_http_beside_a_flood_170_of_178_connections_are_to_be_alarms_of_an_incident():
    attack = BY_NAME["Slow HTTP beside a flood of forged flows"]
    mine, theirs = {"src_ip": HOSTS[ATTACKER]["address"]}, {"dest_ip": HOSTS["pi-server"]["address"], "dest_port": 80}
    others = over(5000, dest_ip=HOSTS["phone"]["address"], dest_port=80)
    assert judge(attack, [alert()], [over(130, **mine), over(40, **theirs), others], HOSTS, 6000) == "right"
    assert judge(attack, [alert()], [over(178, **mine)], HOSTS, 1450).endswith("a second, found 1,450")
    assert judge(attack, [alert()], [over(169, **mine), others], HOSTS, 6000).endswith("named, found 169")
    assert judge(attack, [alert()], [], HOSTS, 6000).endswith("found 0")


def test_the_committed_table_has_each_attack_and_every_one_is_right_or_said_to_be_missed():
    hosts = {ATTACKER: {"address": network.draw_hosts(network.Plan(1))[ATTACKER].address}}
    assert [one["attack"] for one in COMMITTED] == [attack.name for attack in ATTACKS]
    for one in COMMITTED:
        attack = BY_NAME[one["attack"]]
        assert (one["row"], one["expected"], one["missed"]) == (attack.row, attack.named, attack.missed)
        assert bool(one["told"]) == isinstance(attack, Trial)
        if attack.missed:  # then the page on what is missed says so
            assert attack.missed in " ".join((EDGE / "DETAILS.md").read_text().split())
        else:
            assert (one["verdict"], judge_named(attack.named, one["seen"], hosts)) == ("right", ""), one["attack"]


def test_every_finding_of_the_review_that_is_seen_on_the_network_or_in_a_file_has_an_attack():
    assert {attack.row for attack in ATTACKS} - {""} == {f"H{n}" for n in range(1, 9)} | {
        f"M{n}" for n in range(1, 9)
    } - {"M6"}


def test_of_several_checks_the_first_that_does_not_hold_is_said():
    assert problem((True, "a"), (False, "b"), (False, "c")) == "b"
    assert problem((True, "a")) == problem() == ""


def test_an_unknown_attack_is_a_sentence():
    done = subprocess.run(
        [sys.executable, "-m", "testbed.attack_table", "models/testbed", "no such"],
        cwd=EDGE, capture_output=True, text=True, timeout=60,
    )  # fmt: skip
    assert done.returncode == 2 and "no such" in done.stderr and "SYN scan" in done.stderr
