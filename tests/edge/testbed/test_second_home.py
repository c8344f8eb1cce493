"""The second home: what it suffers, in two rounds and bounded; its names; and a short life with attacks, recorded."""

import ipaddress
import re
import struct
import subprocess
from collections import Counter
from itertools import pairwise

import pytest
from icmp_gaps import assert_icmp_flows_end
from testbed import attacks, truth
from testbed import network as lab
from testbed.attacks import ADDRESS, Relay, Window
from testbed.kinds import KINDS
from testbed.network import Plan, draw_hosts
from testbed.schedule import CLASSES as FIRST_CLASSES
from testbed.schedule import Attack
from testbed.second_home import dns, schedule, world
from testbed.second_home.tools import bounds
from tlids_edge.errors import InputError

SEEDS = range(12)
PLAN = Plan(1, world.SUBNET, world.LAYOUT)
BOUNDS = {"nmap": "--host-timeout", "nping": "-c", "hping3": "-c", "ab": "-n", "slowhttptest": "-l", "hydra": "-P",
          "ncrack": "-g", "python": "--count"}  # fmt: skip


def commands(seed: int) -> list[tuple[Attack, tuple[str, ...]]]:
    return [(one, argv) for round_ in schedule.plan_rounds(seed) for one in round_ for argv in one.commands]


@pytest.mark.parametrize("seed", SEEDS)
def test_every_class_is_run_in_both_rounds_and_never_twice_alike(seed):
    rounds = schedule.plan_rounds(seed)
    assert len(rounds) == 2
    for one in rounds:
        assert {attack.name for attack in one} == set(schedule.CLASSES) - {"Benign"}
    every = [attack for one in rounds for attack in one]
    assert len(set(every)) == len(every)


def test_a_seed_gives_one_schedule_and_another_seed_another():
    assert schedule.plan_rounds(7) == schedule.plan_rounds(7) != schedule.plan_rounds(8)


def test_the_first_homes_classes_keep_their_names_and_at_least_five_are_new():
    assert set(FIRST_CLASSES) < set(schedule.CLASSES)
    assert set(schedule.NEW) == set(schedule.CLASSES) - set(FIRST_CLASSES) and len(schedule.NEW) >= 5


@pytest.mark.parametrize("seed", SEEDS)
def test_every_tool_has_a_bound_of_its_own_and_every_attack_a_limit(seed):
    for attack, command in commands(seed):
        assert attack.limit_s <= (420 if attack.background else 70)
        if command[0] == "arpspoof":
            continue  # it goes on until it is told to stop: the time limit alone ends it
        if command[:2] == ("hping3", "--scan"):
            first, last = map(int, command[2].split("-"))
            assert last - first < 600
            continue
        assert BOUNDS[command[0]] in command
        if command[0] in ("hping3", "ab", "python"):
            assert int(command[command.index(BOUNDS[command[0]]) + 1]) <= 500


@pytest.mark.parametrize("seed", SEEDS)
def test_no_command_names_an_address_but_a_forged_source(seed):
    for _, command in commands(seed):
        for before, word in pairwise(("", *command)):
            for address in ADDRESS.findall(word):
                assert before == "--spoof"
                assert ipaddress.ip_address(address) in ipaddress.ip_network("203.0.113.0/24")


@pytest.mark.parametrize("seed", SEEDS)
def test_the_infected_plug_calls_the_attackers_servers_or_hosts_that_it_never_calls_otherwise(seed):
    ours = [(attack, command) for attack, command in commands(seed) if attack.source == schedule.INFECTED]
    assert {attack.name for attack, _ in ours} == {"C2 beacon", "Slow scan", "DNS exfiltration"}
    for _, command in ours:
        (target,) = re.findall(r"{([\w-]+)}", " ".join(command))
        assert target in (*world.LAYOUT.servers, *schedule.NEVER_CALLED)


@pytest.mark.parametrize("seed", SEEDS)
def test_two_attacks_that_share_an_icmp_flow_lie_an_idle_timeout_apart(seed):
    plan = [attack for one in schedule.plan_rounds(seed) for attack in one if not attack.background]
    assert_icmp_flows_end(plan)


def test_the_household_is_the_same_in_every_session_and_another_than_the_first():
    one, other = draw_hosts(PLAN), draw_hosts(Plan(2, world.SUBNET, world.LAYOUT))
    assert one == other
    shared = {prefix for prefixes in world.VENDORS.values() for prefix in prefixes}
    assert not shared & {prefix for prefixes in lab.VENDORS.values() for prefix in prefixes}
    first = draw_hosts(Plan(1))
    assert not {host.address for host in one.values()} & {host.address for host in first.values()}
    assert not world.LAYOUT.outside.overlaps(lab.OUTSIDE_NETWORK)


def test_an_ipv6_address_is_made_of_the_mac_address_and_the_attacker_has_none():
    hosts = draw_hosts(PLAN)
    assert hosts["attacker"].address6 == ""
    assert lab.address6(world.LAYOUT, "00:11:22:33:44:55") == "2001:db8:5:0:211:22ff:fe33:4455"  # RFC 4291, appendix A
    assert all(host.address6 for name, host in hosts.items() if name != "attacker")


def test_an_attack_may_name_the_attackers_servers_but_no_other_address_outside(monkeypatch):
    monkeypatch.setattr(attacks.lab, "refuse_outside", lambda: None)
    network = lab.Network(PLAN, draw_hosts(PLAN))
    assert attacks._aimed(network, ("plug",), ("python", "{c2}", "{plug}"))[1] == "192.0.2.200"
    with pytest.raises(InputError, match="192.0.2.10"):
        attacks._aimed(network, ("plug",), ("python", "192.0.2.10"))


def test_a_tool_does_nothing_outside_the_testbed(monkeypatch):
    monkeypatch.delenv(lab.OUTSIDE, raising=False)
    with pytest.raises(InputError, match="only the testbed starts this"):
        bounds.arguments("a tool")


def test_a_tool_keeps_its_count_and_its_time(monkeypatch):
    monkeypatch.setattr(bounds.time, "sleep", lambda _: None)
    clock = iter(range(10_000))
    monkeypatch.setattr(bounds.time, "monotonic", lambda: next(clock))
    options = type("Options", (), {"seed": "1", "count": 5, "pause": 1.0, "seconds": 60.0})
    assert len(list(bounds.rounds(options))) == 5
    options.count, options.seconds = 10**6, 7.0
    assert len(list(bounds.rounds(options))) == 7
    options.seconds = 1e9
    assert len(list(bounds.rounds(options))) == bounds.LONGEST_S


HOSTS = draw_hosts(PLAN)


def window(name: str, start: float, end: float, source: str = "attacker", **more) -> Window:
    command = ("x", more.pop("target", HOSTS["camera"].address))
    return Window(name, start, end, (command,), source, ("camera",), (0,), **more)


def test_an_infected_devices_attack_may_run_beside_another_and_is_told_by_the_addresses_it_names():
    beacon = window("C2 beacon", 5, 100, "plug", target="192.0.2.200")
    rows = truth.label_rows([window("SYN scan", 10, 20), beacon], HOSTS, world.LAYOUT.outside)
    assert ("4.950000", "100.050000", HOSTS["plug"].address, "192.0.2.200", "", "C2 beacon") in rows
    assert not [row for row in rows if row[2] == HOSTS["plug"].mac]


def test_what_is_relayed_on_its_way_to_the_router_includes_the_world_outside():
    relay = Relay("tablet", "router", 12.0, 18.0)
    rows = truth.label_rows([window("ARP MITM", 10, 20, relays=(relay,))], HOSTS, world.LAYOUT.outside)
    pairs = {row[2:4] for row in rows if row[2] == HOSTS["tablet"].address}
    assert pairs == {(HOSTS["tablet"].address, HOSTS["router"].address), (HOSTS["tablet"].address, "192.0.2.0/24")}


def test_two_attacks_of_the_attacker_at_once_are_still_an_error():
    with pytest.raises(InputError, match="one attack at a time"):
        truth.label_rows([window("SYN scan", 10, 20), window("UPnP abuse", 15, 30)], HOSTS)


def test_a_dns_question_and_its_answer_are_as_rfc_1035_has_them():
    asked = bytes.fromhex("12340100000100000000000003777777076578616d706c6503636f6d0000010001")  # written by hand
    assert dns.query(0x1234, "www.example.com", dns.A) == asked
    assert dns.question(asked) == (0x1234, "www.example.com", dns.A)
    answer = dns.reply_with(asked, ["192.0.2.7", "2001:db8::7"])
    assert struct.unpack_from("!6H", answer) == (0x1234, 0x8180, 1, 1, 0, 0)
    assert answer.endswith(bytes([0, 4, 192, 0, 2, 7])) and dns.found_addresses(answer) == ["192.0.2.7"]
    assert dns.reply_with(asked, [])[3] & 15 == dns.NO_SUCH_NAME
    for broken in (b"", asked[:14], struct.pack("!6H", 1, 0, 0, 0, 0, 0) + b"\0\0\1\0\1"):
        with pytest.raises(ValueError, match="expected a DNS message"):
            dns.question(broken)


def test_every_program_of_the_second_home_is_of_a_package_that_the_list_names():
    from testbed.record import PACKAGES, read_packages

    ours = set(KINDS["second"].programs.values()) - {"util-linux", "mount", "coreutils"}
    assert ours <= set(read_packages(PACKAGES))


def seen(pcap, display_filter: str, *options: str) -> int:
    """How many packets tshark names so."""
    argv = ["tshark", "-r", str(pcap), "-Y", display_filter, "-T", "fields", "-e", "frame.number", *options]
    return len(subprocess.run(argv, capture_output=True, text=True, check=True).stdout.split())


@pytest.mark.parametrize(
    "display_filter",
    ["rtsp", "rtp", "coap", "mdns", "ssdp", "telnet", "stun", "ntp", "ssh", "http", "tcp.port == 853 && tls.handshake",
     'tls.handshake.extensions_server_name == "cams.example"', "tcp.port == 8883 && tls.handshake", "ipv6 && tls"],
)  # fmt: skip
def test_tshark_knows_every_protocol_of_the_second_homes_life(attacked_second_home, display_filter):
    assert seen(attacked_second_home.pcap, display_filter) > 0


def test_every_habit_of_the_second_home_can_be_lived(attacked_second_home):
    assert attacked_second_home.failures == {}


def test_nobody_calls_the_plug_but_the_phone_nor_does_it_call_others(attacked_second_home):
    hosts = attacked_second_home.hosts
    others = " || ".join(f"ip.addr == {hosts[name]['address']}" for name in schedule.NEVER_CALLED)
    assert seen(attacked_second_home.pcap, f"ip.addr == {hosts['plug']['address']} && ({others})") == 0


def test_each_attack_leaves_flows_of_its_class_and_benign_life_goes_on(attacked_second_home):
    found = Counter(attacked_second_home.classes)
    assert found["Telnet brute force"] >= 6 and found["DNS exfiltration"] >= 12 and found["CoAP amplification"] >= 40
    assert found["C2 beacon"] == 6 and found["UPnP abuse"] >= 3 and found["Benign"] > 100
    assert set(found) == {"Telnet brute force", "DNS exfiltration", "CoAP amplification", "C2 beacon", "UPnP abuse",
                          "Benign"}  # fmt: skip


def test_the_amplified_answers_are_longer_than_the_questions(attacked_second_home):
    packets = {side: seen(attacked_second_home.pcap, f"coap && ip.{side} == 203.0.113.0/24") for side in ("src", "dst")}
    assert packets["src"] == 40 and packets["dst"] >= 30
    longer = "coap && ip.dst == 203.0.113.0/24 && ip.len > 100"
    assert seen(attacked_second_home.pcap, longer) >= 30
    assert seen(attacked_second_home.pcap, "coap && ip.src == 203.0.113.0/24 && ip.len > 60") == 0
