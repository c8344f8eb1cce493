"""truth.py: which flow of a session is of which class, by captures made by hand and by one made live."""

import csv
from collections import defaultdict
from io import BytesIO
from itertools import pairwise

import build_pcap as build
import pytest
from testbed import truth
from testbed.attacks import POLL_S, Relay, Window
from testbed.network import Host
from tlids_edge.capture.packets import PacketStats, read_packets
from tlids_edge.errors import InputError
from tlids_edge.flows.labels import label_flow, read_labels
from tlids_edge.flows.meter import Flow, Meter

START = 1_700_000_000
NAMES = {"router": 1, "pi-server": 2, "fire-alarm": 3, "phone": 5, "attacker": 66}
HOSTS = {name: Host(name, f"10.0.0.{number}", f"02:00:00:00:00:{number:02x}") for name, number in NAMES.items()}
NOBODY = "203.0.113.9"
GROUP = bytes.fromhex("01005e0000fb")
SYN, RST, ACK = build.SYN, build.RST, build.ACK


def window(name: str, start: float, end: float, victim: str = "pi-server", **more) -> Window:
    return Window(name, START + start, START + end, ((name,),), "attacker", (victim,), (0,), **more)


def mac(host: str) -> bytes:
    return bytes.fromhex(HOSTS[host].mac.replace(":", ""))


def at(seconds: float, src: str, dst: str, payload: bytes, protocol: int = 6, by: str = "", to: str = ""):
    """A frame at a time; `src` and `dst` are hosts or addresses, `by` and `to` whose MAC addresses it bears."""
    ends = [HOSTS[end].address if end in HOSTS else end for end in (src, dst)]
    target = mac(to or dst) if (to or dst) in HOSTS else GROUP
    frame = build.ethernet(build.ipv4(payload, protocol, *ends), src=mac(by or src), dst=target)
    return int((START + seconds) * 1e6), frame


def flows(frames: list) -> list[Flow]:
    meter = Meter("both")
    for packet in read_packets(BytesIO(build.pcap(*sorted(frames))), PacketStats()):
        meter.add(packet)
    meter.close_all()
    return sorted(meter.take(), key=lambda flow: (flow.first_us, flow.key))


@pytest.fixture
def labelled(tmp_path):
    """Windows and frames -> (class, flow) of every flow in the order of their first packets."""

    def label(windows: list[Window], *frames) -> list[tuple[str, Flow]]:
        truth.write_labels(windows, HOSTS, tmp_path / "labels.csv")
        rules = read_labels(tmp_path / "labels.csv")
        return [(label_flow(rules, flow), flow) for flow in flows(list(frames))]

    return label


def classes(labelled_flows) -> list[str]:
    return [name for name, _ in labelled_flows]


def test_a_flood_is_the_attackers_and_a_visitor_of_the_same_victim_is_benign(labelled):
    found = labelled(
        [window("SYN flood", 10, 20)],
        at(11, "attacker", "pi-server", build.tcp(2000, 80, SYN)),
        at(11.1, "pi-server", "attacker", build.tcp(80, 2000, SYN | ACK)),
        at(12, "phone", "pi-server", build.tcp(40000, 80, SYN)),
        at(12.1, "pi-server", "phone", build.tcp(80, 40000, SYN | ACK)),
        at(13, "pi-server", "fire-alarm", build.udp(123, 123), 17),
    )
    assert classes(found) == ["SYN flood", "Benign", "Benign"]


def test_what_the_attacker_asks_of_others_belongs_to_its_attack(labelled):
    found = labelled(
        [window("Intense scan", 10, 20, "phone")],
        at(11, "attacker", "pi-server", build.udp(40000, 53, b"reverse"), 17),
        at(12, "phone", "attacker", build.icmp(3), 1),  # the victim's "port unreachable"
        at(13, "phone", "attacker", build.tcp(80, 50000, RST | ACK)),
    )
    assert classes(found) == ["Intense scan"] * 3


def test_a_flow_that_the_meter_cut_in_two_stays_the_attackers(labelled):
    """After 60 s the successor begins with whoever speaks next: here the victim."""
    found = labelled(
        [window("Slow HTTP", 10, 80)],
        *(at(11 + 10 * step, "attacker", "pi-server", build.tcp(2000, 80, ACK)) for step in range(7)),
        at(72, "pi-server", "attacker", build.tcp(80, 2000, ACK)),
    )
    assert [(name, flow.src) for name, flow in found] == [("Slow HTTP", "10.0.0.66"), ("Slow HTTP", "10.0.0.2")]


def test_forged_sources_are_known_by_the_senders_mac_address(labelled):
    found = labelled(
        [window("UDP flood", 10, 20, spoofed=True)],
        at(11, NOBODY, "pi-server", build.udp(2000, 53), 17, by="attacker"),
        at(12, "phone", "pi-server", build.udp(2000, 53), 17, by="attacker"),  # even the address of someone at home
        at(13, "phone", "pi-server", build.udp(2001, 53), 17),
    )
    assert classes(found) == ["UDP flood", "UDP flood", "Benign"]


def test_answers_to_forged_sources_are_the_floods_and_the_victims_own_affairs_are_not(labelled):
    found = labelled(
        [window("SYN flood", 10, 20, spoofed=True)],
        at(11, NOBODY, "pi-server", build.tcp(2000, 80, SYN), by="attacker"),
        at(42, "pi-server", NOBODY, build.tcp(80, 2000, SYN | ACK), to="router"),  # sent again, 31 s later
        at(42.1, "router", "pi-server", build.icmp(3), 1),  # nobody has that address
        at(43, "pi-server", "203.0.113.10", build.icmp(3), 1, to="router"),
        at(44, "pi-server", "198.51.100.10", build.tcp(40000, 443, SYN), to="router"),  # a site outside
        at(45, "pi-server", "224.0.0.251", build.udp(5353, 5353), 17),
        at(46, "pi-server", "255.255.255.255", build.udp(67, 68), 17),
        at(47, "0.0.0.0", "255.255.255.255", build.udp(68, 67), 17, by="phone"),
        at(48, "phone", "pi-server", build.icmp(8), 1),
        at(49, "router", "pi-server", build.udp(40000, 53), 17),
    )
    assert classes(found) == ["SYN flood"] * 4 + ["Benign"] * 6


def test_without_forged_sources_a_strangers_flow_is_benign(labelled):
    stranger = at(12, NOBODY, "pi-server", build.tcp(2000, 80, SYN), by="router")
    assert classes(labelled([window("SYN flood", 10, 20)], stranger)) == ["Benign"]
    assert classes(labelled([window("SYN flood", 10, 20, spoofed=True)], stranger)) == ["SYN flood"]


def relayed(seconds: float, src: str, dst: str, payload: bytes) -> list:
    """A packet as the bridge sees it twice: to the attacker, and from it."""
    return [at(seconds, src, dst, payload, to="attacker"), at(seconds + 0.001, src, dst, payload, by="attacker")]


def mitm() -> Window:
    return window("ARP MITM", 100, 200, relays=(Relay("phone", "pi-server", START + 110, START + 190),))


def test_relayed_packets_are_one_flow_seen_twice(labelled):
    ((name, flow),) = labelled(
        [mitm()],
        *relayed(120, "phone", "pi-server", build.tcp(40000, 80, ACK, b"question")),
        *relayed(120.1, "pi-server", "phone", build.tcp(80, 40000, ACK, b"answer")),
    )
    assert name == "ARP MITM"
    assert (flow.in_packets, flow.out_packets) == (2, 2)
    assert (flow.in_bytes, flow.out_bytes) == (2 * (40 + 8), 2 * (40 + 6))
    assert (flow.src_mac, flow.dst_mac) == (HOSTS["phone"].mac, HOSTS["attacker"].mac)


def test_a_flow_that_began_before_the_forgery_is_relayed_in_part(labelled):
    """Its first packet bears the victims' own MAC addresses, so the pair's row alone knows it."""
    found = labelled(
        [mitm()],
        at(105, "phone", "pi-server", build.tcp(40000, 1883, ACK)),
        *relayed(112, "phone", "pi-server", build.tcp(40000, 1883, ACK)),
    )
    assert classes(found) == ["ARP MITM"]


def test_only_the_forged_pair_and_only_while_it_is_forged_is_relayed(labelled):
    found = labelled(
        [mitm()],
        at(105, "phone", "pi-server", build.tcp(40001, 80, SYN | RST)),  # the tool runs, the caches are still right
        at(120, "fire-alarm", "pi-server", build.udp(40000, 53), 17),
        at(121, "phone", "fire-alarm", build.icmp(8), 1),
        at(195, "phone", "pi-server", build.tcp(40002, 80, SYN | RST)),  # healed
        at(196, "attacker", "phone", build.udp(40000, 67), 17),  # arpspoof looks for its victim
    )
    assert classes(found) == ["Benign"] * 4 + ["ARP MITM"]


def test_what_comes_late_belongs_to_the_attack_before_until_the_next_begins(labelled):
    late = [at(start, "pi-server", "attacker", build.tcp(80, port, RST)) for start, port in ((25, 1), (59, 2), (61, 3))]
    windows = [window("HTTP flood", 10, 20), window("SYN scan", 60, 70)]
    assert classes(labelled(windows, *late)) == ["HTTP flood", "HTTP flood", "SYN scan"]
    assert classes(labelled(windows[:1], *late)) == ["HTTP flood"] * 3
    after = at(20 + truth.AFTERMATH_S + 1, "pi-server", "attacker", build.tcp(80, 4, RST))
    assert classes(labelled(windows[:1], after)) == ["Benign"]


def test_windows_are_taken_in_order_of_time(labelled):
    windows = [window("SYN scan", 60, 70), window("HTTP flood", 10, 20)]
    assert classes(labelled(windows, at(11, "attacker", "pi-server", build.tcp(1, 80, SYN)))) == ["HTTP flood"]


def test_arp_is_no_flow(labelled):
    forged = build.ethernet(
        build.arp(2, mac("attacker"), "10.0.0.2", "10.0.0.5"), 0x0806, mac("attacker"), mac("phone")
    )
    assert labelled([mitm()], (int((START + 120) * 1e6), forged)) == []


def test_overlapping_windows_are_refused_and_nothing_is_written(tmp_path):
    with pytest.raises(InputError, match="SYN scan at 1700000015 before HTTP flood"):
        truth.write_labels([window("HTTP flood", 10, 20), window("SYN scan", 15, 30)], HOSTS, tmp_path / "labels.csv")
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_is_not_there_is_named(tmp_path):
    with pytest.raises(InputError, match="expected to write .*labels.csv, found: No such file"):
        truth.write_labels([window("SYN scan", 1, 2)], HOSTS, tmp_path / "none" / "labels.csv")


def test_a_session_without_attacks_is_benign(labelled):
    assert classes(labelled([], at(1, "phone", "pi-server", build.tcp()))) == ["Benign"]


def metered_with_macs(path) -> list[tuple[Flow, set[bytes]]]:
    """Every flow of a capture and the MAC addresses on all its frames; those tell who took part, whatever a label says.

    A flow's packets are those of its addresses and ports between its first and its last.
    """
    meter, seen, done = Meter("both", max_flows=100_000), defaultdict(list), []
    with open(path, "rb") as stream:
        for packet in read_packets(stream, PacketStats()):
            meter.add(packet)
            done += meter.take()
            ends = frozenset(((packet.src, packet.src_port), (packet.dst, packet.dst_port)))
            seen[ends, packet.protocol].append((packet.time_us, {packet.src_mac, packet.dst_mac}))
    meter.close_all()
    return [(flow, _macs(flow, seen)) for flow in done + meter.take()]


def _macs(flow: Flow, seen: dict) -> set[bytes]:
    src, dst, src_port, dst_port, protocol, _ = flow.key
    frames = seen[frozenset(((src, src_port), (dst, dst_port))), protocol]
    return set().union(*(macs for time_us, macs in frames if flow.first_us <= time_us <= flow.last_us))


@pytest.fixture(scope="module")
def live_flows(attacked_home) -> list[tuple[str, Flow, bool]]:
    """Class, flow, and whether the attacker's MAC address is on one of its frames."""
    rules = read_labels(attacked_home.labels)
    attacker = bytes.fromhex(attacked_home.hosts["attacker"]["mac"].replace(":", ""))
    metered = metered_with_macs(attacked_home.pcap)
    return [(label_flow(rules, flow), flow, attacker in macs) for flow, macs in metered]


def test_live_no_flow_that_the_attacker_touched_is_benign(live_flows):
    touched = [name for name, _, by_attacker in live_flows if by_attacker]
    assert len(touched) > 500
    assert "Benign" not in touched


def test_live_every_class_is_there_beside_benign_life(live_flows):
    found = defaultdict(int)
    for name, _, _ in live_flows:
        found[name] += 1
    assert found["SYN scan"] >= 150 and found["SYN flood"] >= 800 and found["ARP MITM"] >= 5 and found["Benign"] >= 20
    assert set(found) == {"SYN scan", "SYN flood", "ARP MITM", "Benign"}


def test_live_relays_are_where_packets_went_through_the_attacker(attacked_home, live_flows):
    """The caches are looked at twice a second, so only a flow near a relay's edge may be taken for relayed."""
    relays = {relay["device"]: relay for relay in attacked_home.windows[-1]["relays"]}
    names = {host["address"]: name for name, host in attacked_home.hosts.items()}
    edge_us = (2 * POLL_S + 1) * 1e6
    for name, flow, by_attacker in live_flows:
        pair = {names.get(flow.src), names.get(flow.dst)}
        if "pi-server" not in pair or "attacker" in pair or name == "Benign" or by_attacker or name == "SYN flood":
            continue
        (device,) = pair - {"pi-server"}
        edges = relays[device]["start"] * 1e6, relays[device]["end"] * 1e6
        assert min(abs(time - edge) for edge in edges for time in (flow.first_us, flow.last_us)) < edge_us


def test_live_what_no_relay_and_no_forged_source_explains_is_benign(attacked_home, live_flows):
    """No flow among benign hosts is an attack, but for the man in the middle's pair."""
    names = {host["address"]: name for name, host in attacked_home.hosts.items()}
    for name, flow, by_attacker in live_flows:
        pair = {names.get(flow.src), names.get(flow.dst)}
        if None in pair or by_attacker or flow.protocol == 1:
            continue
        assert name == "Benign" or name == "ARP MITM" and pair in ({"phone", "pi-server"}, {"fire-alarm", "pi-server"})


def test_live_labels_stand_in_the_order_of_the_rule(attacked_home):
    with open(attacked_home.labels, newline="") as file:
        rows = list(csv.DictReader(file))
    attacker = attacked_home.hosts["attacker"]["mac"]
    assert [row["attack"] for row in rows if row["src"] == attacker] == [w["name"] for w in attacked_home.windows]
    senders = [row["src"] == attacker for row in rows]
    assert senders == sorted(senders, reverse=True)
    for one, other in pairwise(row for row in rows if row["src"] == attacker):
        assert float(one["end"]) < float(other["start"])
