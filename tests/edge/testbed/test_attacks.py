"""schedule.py and attacks.py: what a session runs, that all of it is bounded, and that none of it goes astray."""

import ipaddress
import re
import subprocess
from collections import Counter
from dataclasses import replace
from itertools import pairwise

import pytest
from icmp_gaps import assert_icmp_flows_end
from testbed import attacks
from testbed.network import Host, Network, Plan
from testbed.schedule import CLASSES, ICMP_GAP_S, LISTS, Attack, plan_attacks
from tlids_edge.errors import InputError
from tlids_edge.flows.meter import Meter

SEEDS = range(20)
HOSTS = {
    "attacker": Host("attacker", "10.0.0.66", "02:00:00:00:00:66"),
    "phone": Host("phone", "10.0.0.5", "02:00:00:00:00:05"),
    "pi-server": Host("pi-server", "10.0.0.2", "02:00:00:00:00:02"),
}
SCAN = Attack("SYN scan", ("phone",), (("nmap", "-sS", "{phone}"),), limit_s=5, expected_s=1)


def option(command: tuple[str, ...], name: str) -> str:
    return command[command.index(name) + 1]


def commands(seed: int) -> list[tuple[Attack, tuple[str, ...]]]:
    return [(attack, command) for attack in plan_attacks(seed) for command in attack.commands]


def test_a_seed_gives_one_schedule_and_another_seed_another():
    assert plan_attacks(7) == plan_attacks(7)
    assert plan_attacks(7) != plan_attacks(8)
    assert [a.name for a in plan_attacks(7)] != [a.name for a in plan_attacks(8)]


@pytest.mark.parametrize("seed", SEEDS)
def test_every_class_but_benign_is_run_at_least_twice_and_never_twice_alike(seed):
    runs = Counter(attack.name for attack in plan_attacks(seed))
    assert set(runs) == set(CLASSES) - {"Benign"}
    assert min(runs.values()) >= 2
    assert len(set(plan_attacks(seed))) == len(plan_attacks(seed))


def test_a_small_session_has_a_scan_a_flood_and_a_man_in_the_middle():
    assert [attack.name for attack in plan_attacks(1, small=True)] == ["SYN scan", "SYN flood", "ARP MITM"]
    assert sum(attack.limit_s for attack in plan_attacks(1, small=True)) < 90


@pytest.mark.parametrize("seed", SEEDS)
def test_every_tool_has_a_bound_of_its_own(seed):
    bound = {"nmap": "--host-timeout", "hping3": "-c", "ab": "-n", "slowhttptest": "-l", "ncrack": "-g", "hydra": "-P"}
    for attack, command in commands(seed):
        if command[0] == "arpspoof":
            continue  # it goes on until it is told to stop: the time limit alone ends it
        value = option(command, bound[command[0]])
        if command[0] == "ncrack":
            assert re.search(r",to=\d+s$", value)
        assert attack.limit_s <= 120


@pytest.mark.parametrize("seed", SEEDS)
def test_floods_stay_below_three_thousand_flows_a_class(seed):
    sent = Counter()
    for attack, command in commands(seed):
        if attack.name in ("SYN flood", "UDP flood", "HTTP flood"):
            sent[attack.name] += int(option(command, "-c" if command[0] == "hping3" else "-n"))
    assert all(1000 <= count <= 3000 for count in sent.values()) and len(sent) == 3


@pytest.mark.parametrize("seed", SEEDS)
def test_no_command_names_an_address_but_a_forged_source(seed):
    for _, command in commands(seed):
        for before, word in pairwise(("", *command)):
            for address in attacks.ADDRESS.findall(word):
                assert before == "--spoof"
                assert ipaddress.ip_address(address) in ipaddress.ip_network("203.0.113.0/24")


@pytest.mark.parametrize("seed", SEEDS)
def test_two_attacks_that_share_an_icmp_flow_lie_an_idle_timeout_apart(seed):
    plan = plan_attacks(seed)
    assert_icmp_flows_end(plan)
    assert ICMP_GAP_S > Meter()._idle_us / 1e6


def test_the_word_lists_hold_one_word_a_line_without_commas():
    for name in ("users.txt", "passwords.txt"):
        lines = (LISTS / name).read_text().splitlines()
        assert len(lines) == len(set(lines)) >= 15
        assert all(line and "," not in line and line == line.strip() for line in lines)


@pytest.fixture
def network(monkeypatch) -> Network:
    """A network that starts nothing, but notes what it was asked to start."""

    class Nothing(Network):
        def start(self, host, argv, **popen):
            self.started.append((host, argv))
            raise AssertionError(f"started {argv}")

    return Nothing(Plan(1), HOSTS)


def test_nothing_starts_outside_the_testbeds_namespaces(network, monkeypatch):
    monkeypatch.delenv("TLIDS_TESTBED_OUTSIDE", raising=False)
    with pytest.raises(InputError, match="network namespace made by the testbed"):
        attacks.run_attack(network, SCAN)
    assert network.started == []


@pytest.mark.parametrize("target", ["8.8.8.8", "http://8.8.8.8/", "192.168.1.1"])
def test_nothing_starts_at_an_address_that_is_no_hosts(network, monkeypatch, target):
    monkeypatch.setattr(attacks.lab, "refuse_outside", lambda: None)
    astray = Attack("SYN scan", ("phone",), (("nmap", "{phone}"), ("nmap", target, "{phone}")), 5, 1)
    with pytest.raises(InputError, match="8.8.8.8|192.168.1.1"):
        attacks.run_attack(network, astray)
    assert network.started == []


def test_a_command_without_a_target_is_refused(network, monkeypatch):
    monkeypatch.setattr(attacks.lab, "refuse_outside", lambda: None)
    with pytest.raises(InputError, match="found none in nmap -sS"):
        attacks.run_attack(network, Attack("SYN scan", ("phone",), (("nmap", "-sS"),), 5, 1))


@pytest.fixture
def local(monkeypatch) -> Network:
    """A network whose hosts are this machine, for harmless programs."""

    class Local(Network):
        def start(self, host, argv, **popen):
            process = subprocess.Popen(argv, **{"start_new_session": True, **popen})
            self.started.append(process)
            return process

    monkeypatch.setattr(attacks.lab, "refuse_outside", lambda: None)
    monkeypatch.setattr(attacks.lab, "FOLDER", "/")
    monkeypatch.setattr(attacks, "SETTLE_S", 0)
    return Local(Plan(1), HOSTS)


def harmless(*commands: tuple[str, ...], limit_s: int = 60) -> Attack:
    return Attack("SYN scan", ("phone",), tuple((*command, "{phone}") for command in commands), limit_s, 1)


def test_a_window_tells_what_was_run_by_whom_and_how_it_ended(local):
    window = attacks.run_attack(local, harmless(("true",), ("false",)))
    assert window.commands == (("true", "10.0.0.5"), ("false", "10.0.0.5"))
    assert (window.name, window.attacker, window.victims) == ("SYN scan", "attacker", ("phone",))
    assert window.exit_statuses == (0, 1)
    assert window.start < window.end


def test_a_tool_that_does_not_end_is_ended(local):
    window = attacks.run_attack(local, harmless(("sh", "-c", "sleep 1000"), limit_s=1))
    assert window.exit_statuses == (124,)
    assert local.started == []


def test_a_tool_that_cannot_be_run_stops_the_session(local):
    with pytest.raises(InputError, match="no-such-tool"):
        attacks.run_attack(local, harmless(("no-such-tool",)))


@pytest.fixture
def hurried(local, monkeypatch) -> Network:
    """The local network, attacked without a pause."""
    for name in ("LEAD_S", "GAP_S"):
        monkeypatch.setattr(attacks, name, 0)
    monkeypatch.setattr(attacks, "gap_before", lambda *_: 0)
    return local


def test_an_attack_in_the_background_runs_beside_the_next_and_keeps_its_place(hurried, tmp_path):
    sign = tmp_path / "sign"
    waits = harmless(("sh", "-c", f"while [ ! -e {sign} ]; do sleep 0.02; done"))
    gives = replace(harmless(("sh", "-c", f"touch {sign}")), name="UDP scan")
    one, other = attacks.run_session(hurried, [replace(waits, background=True), gives], 0)
    assert (one.name, one.exit_statuses, other.name) == ("SYN scan", (0,), "UDP scan")
    assert one.start <= other.start and other.end <= one.end


def test_a_background_attack_that_cannot_be_run_stops_the_session_too(hurried):
    with pytest.raises(InputError, match="no-such-tool"):
        attacks.run_session(hurried, [replace(harmless(("no-such-tool",)), background=True)], 0)


def test_an_infected_host_is_the_attacker_of_its_window(hurried):
    (window,) = attacks.run_session(hurried, [replace(harmless(("true",)), source="phone")], 0)
    assert window.attacker == "phone"


def test_a_cache_that_stays_forged_is_an_error(local, monkeypatch):
    monkeypatch.setattr(attacks, "_forged", lambda *_: True)
    monkeypatch.setattr(attacks, "POLL_S", 0.01)
    ended = subprocess.Popen(["true"])
    ended.wait()
    with pytest.raises(InputError, match="phone and pi-server again"):
        attacks._watch_relays(local, ("phone", "pi-server"), ended, 0.05)


def test_a_relay_lasts_from_the_look_before_the_forgery_to_the_first_without(local, monkeypatch):
    looks = iter([False, False, True, True, False])
    running = subprocess.Popen(["sleep", "30"])
    times = iter(range(100, 200))

    def forged(*_):
        if (look := next(looks, None)) is None:
            running.kill()
            running.wait()
        return bool(look)

    monkeypatch.setattr(attacks, "_forged", forged)
    monkeypatch.setattr(attacks, "POLL_S", 0)
    monkeypatch.setattr(attacks.time, "time", lambda: next(times))
    (relay,) = attacks._watch_relays(local, ("phone", "pi-server"), running, 20)
    # the clock is read once before the first look (100), once at each look, and once when the forgery is gone
    assert (relay.start, relay.end) == (102, 106)
    assert (relay.device, relay.server) == ("phone", "pi-server")


def test_live_attacks_ran_as_planned(attacked_home):
    names = [window["name"] for window in attacked_home.windows]
    assert names == ["SYN scan", "SYN flood", "SYN flood", "ARP MITM"]
    assert {relay["device"] for relay in attacked_home.windows[-1]["relays"]} == {"phone", "fire-alarm"}
    for one, other in pairwise(attacked_home.windows):
        assert one["end"] <= other["start"]
