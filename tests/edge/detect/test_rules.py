"""rules.py: what alerts, and the ordinary life that does not."""

import io
import types

import pytest
from frames import ACK, RST, SYN, T0, arp, pcap, tcp, udp
from tlids_edge.capture.packets import PacketStats, read_packets
from tlids_edge.detect.rules import (
    MAX_SOURCES,
    MAX_TARGETS,
    SID_ARP_CONFLICT,
    SID_ARP_FLAPPING,
    SID_ARP_UNASKED,
    SID_FAN_HOSTS,
    SID_FAN_PORTS,
    ArpWatch,
    FanOut,
    rules_against,
)
from tlids_edge.flows.meter import Meter

GATEWAY, GATEWAY_MAC = "192.168.1.1", "aa:00:00:00:00:01"
PHONE, PHONE_MAC = "192.168.1.20", "aa:00:00:00:00:20"
ATTACKER_MAC = "66:66:66:66:66:66"
REQUEST, REPLY = 1, 2


def packets(frames):
    """Frames as the packets that the rules are fed."""
    return list(read_packets(io.BytesIO(pcap(frames)), PacketStats()))


def watch_arp(frames, watch: ArpWatch | None = None) -> list[int]:
    """The signature ids of the alerts that ARP frames give rise to."""
    watch = watch or ArpWatch()
    return [alert.signature_id for packet in packets(frames) for alert in watch.see(packet)]


def watch_fan(frames, fan: FanOut | None = None) -> list[int]:
    """The signature ids of the alerts that TCP and UDP frames give rise to, flows included."""
    fan, meter, found = FanOut() if fan is None else fan, Meter(idle_timeout=5), []
    for packet in packets(frames):
        meter.add(packet)
        if packet.tcp_flags & SYN:
            found += fan.see_packet(packet)
    meter.close_all()
    for flow in meter.take():
        found += fan.see_flow(flow)
    return [alert.signature_id for alert in found]


def ask(seconds: float, mac: str, who: str, target: str):
    return (T0 + seconds, arp(REQUEST, mac, who, target))


def answer(seconds: float, mac: str, address: str, to: str, to_mac: str):
    return (T0 + seconds, arp(REPLY, mac, address, to, to_mac))


def spoof(seconds: float):
    """What Ettercap sends: the attacker tells the phone that it is the gateway."""
    return answer(seconds, ATTACKER_MAC, GATEWAY, PHONE, PHONE_MAC)


ORDINARY = [ask(0, PHONE_MAC, PHONE, GATEWAY), answer(0.001, GATEWAY_MAC, GATEWAY, PHONE, PHONE_MAC)]


def test_an_address_claimed_by_a_second_mac_while_the_first_is_fresh_alerts_at_once():
    assert watch_arp([*ORDINARY, spoof(5)]) == [SID_ARP_CONFLICT]


def test_the_alert_names_both_mac_addresses_and_suspects_the_younger_claimant():
    watch = ArpWatch()
    alert = [found for packet in packets([*ORDINARY, spoof(5)]) for found in watch.see(packet)][0]
    assert alert.details == {"address": GATEWAY, "old_mac": GATEWAY_MAC, "new_mac": ATTACKER_MAC}
    assert (alert.src, alert.src_mac, alert.severity) == (GATEWAY, ATTACKER_MAC, 1)
    forged = types.SimpleNamespace(src_hw=bytes.fromhex("666666666666"), key=(b"",), last_us=int((T0 + 20) * 1e6))
    honest = types.SimpleNamespace(src_hw=bytes.fromhex("aa0000000001"), key=(b"",), last_us=int((T0 + 20) * 1e6))
    later = types.SimpleNamespace(src_hw=bytes.fromhex("666666666666"), key=(b"",), last_us=int((T0 + 66) * 1e6))
    assert rules_against(forged, watch, None) == ("arp",)
    assert rules_against(honest, watch, None) == rules_against(later, watch, None) == ()


def test_a_conflict_is_reported_once_a_minute_not_once_a_packet():
    frames = [*ORDINARY, *(spoof(5 + n * 0.1) for n in range(300))]
    assert watch_arp(frames).count(SID_ARP_CONFLICT) == 1
    assert watch_arp([*frames, spoof(70)]).count(SID_ARP_CONFLICT) == 2


def test_replies_that_nobody_asked_for_alert_though_no_binding_was_known():
    assert watch_arp([spoof(n * 2) for n in range(10)]) == [SID_ARP_UNASKED]


def test_an_address_that_changes_hands_to_and_fro_alerts():
    frames = list(ORDINARY)
    for n in range(4):
        frames += [ask(10 + n * 4, PHONE_MAC, PHONE, GATEWAY), spoof(10 + n * 4 + 0.1)]
        frames += [answer(11 + n * 4, GATEWAY_MAC, GATEWAY, PHONE, PHONE_MAC)]
    assert SID_ARP_FLAPPING in watch_arp(frames)


@pytest.mark.parametrize(
    "frames",
    [
        pytest.param(
            [frame for n in range(60) for frame in (ask(n * 30, PHONE_MAC, PHONE, GATEWAY),
             answer(n * 30 + 0.001, GATEWAY_MAC, GATEWAY, PHONE, PHONE_MAC))],
            id="renewals for half an hour"),
        pytest.param(
            [*ORDINARY, ask(10, PHONE_MAC, "0.0.0.0", "192.168.1.21"),
             ask(12, PHONE_MAC, "192.168.1.21", "192.168.1.21"),
             ask(13, PHONE_MAC, "192.168.1.21", GATEWAY)], id="a host takes another address"),
        pytest.param(
            [*(ask(n, PHONE_MAC, PHONE, PHONE) for n in range(3)),
             answer(4, PHONE_MAC, PHONE, PHONE, PHONE_MAC)],
            id="a host announces itself at boot"),
        pytest.param(
            [*ORDINARY, ask(400, "aa:00:00:00:00:99", PHONE, GATEWAY)],
            id="a new host takes over an old lease"),
        pytest.param(
            [*ORDINARY, *(ask(5 + n, "aa:00:00:00:00:99", "0.0.0.0", PHONE) for n in range(3))],
            id="probes for an address in use"),
        pytest.param(
            [ask(n, f"aa:00:00:00:00:{n:02x}", "0.0.0.0", f"192.168.1.{n + 50}") for n in range(8)],
            id="eight new hosts probe before they have an address"),
        pytest.param(
            [frame for n in range(50) for frame in (ask(n, GATEWAY_MAC, GATEWAY, f"192.168.1.{n + 50}"),
             answer(n + 0.01, f"aa:00:00:00:01:{n:02x}", f"192.168.1.{n + 50}", GATEWAY, GATEWAY_MAC))],
            id="a router asks for fifty hosts"),
    ],
)  # fmt: skip
def test_ordinary_arp_life_does_not_alert(frames):
    assert watch_arp(frames) == []


def test_arp_tables_stay_bounded_under_a_flood_of_bindings():
    watch = ArpWatch()
    for n in range(5000):
        sender = f"10.{n >> 12 & 15}.{n >> 6 & 63}.{n & 63}"
        watch_arp(
            [answer(n * 0.001, f"02:00:00:00:{n >> 8:02x}:{n & 255:02x}", sender, GATEWAY, GATEWAY_MAC)],
            watch,
        )
    assert max(len(watch._bindings), len(watch._asked), len(watch._unasked), len(watch._pace._said)) <= 1024
    assert len(watch.suspects) <= 256


def scan(count: int, gap: float = 0.01, refused: bool = True):
    frames = []
    for n in range(count):
        frames.append((T0 + n * gap, tcp(PHONE, 40000, GATEWAY, 1 + n, SYN)))
        if refused:
            frames.append((T0 + n * gap + 0.001, tcp(GATEWAY, 1 + n, PHONE, 40000, RST | ACK)))
    return frames


@pytest.mark.parametrize("refused", [True, False])
def test_a_port_scan_alerts_whether_ports_refuse_or_stay_silent(refused):
    assert watch_fan(scan(50, refused=refused)) == [SID_FAN_PORTS]
    assert watch_fan(scan(49, refused=refused)) == []


def test_a_sweep_over_hosts_alerts():
    frames = [(T0 + n * 0.01, tcp(PHONE, 40000 + n, f"10.0.{n}.1", 23, SYN)) for n in range(100)]
    assert watch_fan(frames) == [SID_FAN_HOSTS]
    assert watch_fan(frames[:99]) == []


def test_a_udp_scan_alerts_when_its_unanswered_flows_have_ended():
    assert watch_fan([(T0 + n * 0.01, udp(PHONE, 5000, GATEWAY, 100 + n)) for n in range(60)]) == [SID_FAN_PORTS]


def test_a_scan_raises_the_sources_flows_for_a_minute():
    fan = FanOut()
    watch_fan(scan(60), fan)
    flow = types.SimpleNamespace(key=(bytes([192, 168, 1, 20]),), src_hw=b"", last_us=int((T0 + 30) * 1e6))
    assert rules_against(flow, None, fan) == ("fan-out",)
    flow.last_us = int((T0 + 62) * 1e6)
    assert rules_against(flow, None, fan) == ()


def answered(n: int, host: str, port: int = 443):
    here = (PHONE, 40000 + n)
    return [
        (T0 + n * 0.01, tcp(*here, host, port, SYN)),
        (T0 + n * 0.01 + 0.002, tcp(host, port, *here, SYN | ACK)),
        (T0 + n * 0.01 + 0.003, tcp(*here, host, port, ACK)),
    ]


@pytest.mark.parametrize("connections", [30, 300])
def test_a_browser_that_opens_many_connections_does_not_alert(connections):
    frames = [frame for n in range(connections) for frame in answered(n, f"93.184.{n // 200}.{n % 200 + 1}")]
    assert watch_fan(frames) == []


@pytest.mark.parametrize(
    "frames",
    [
        pytest.param(scan(60, gap=2.0), id="sixty ports in two minutes"),
        pytest.param([(T0 + n * 0.1, tcp(PHONE, 40000 + n, GATEWAY, 8883, SYN)) for n in range(300)],
                     id="a client that retries one dead broker"),
        pytest.param([frame for n in range(200) for frame in (
            (T0 + n * 0.1, udp(PHONE, 30000 + n, GATEWAY, 53)),
            (T0 + n * 0.1 + 0.01, udp(GATEWAY, 53, PHONE, 30000 + n)))],
            id="two hundred answered DNS queries"),
        pytest.param([(T0 + n, udp(PHONE, 5353, "224.0.0.251", 5353)) for n in range(100)]
                     + [(T0 + n, udp(PHONE, 68, "255.255.255.255", 67)) for n in range(100)]
                     + [(T0 + n, udp(PHONE, 7000 + n, "192.168.1.255", 7000 + n)) for n in range(100)],
                     id="multicast and broadcast"),
    ],
)  # fmt: skip
def test_ordinary_traffic_is_no_fan_out(frames):
    assert watch_fan(frames) == []


def test_fan_out_memory_is_bounded_under_random_sources_and_the_scanner_is_still_found():
    fan, found = FanOut(), []
    flood = [
        (T0 + n * 0.0001, tcp(f"10.{n >> 12}.{n >> 6 & 63}.{n & 63}", 1000, GATEWAY, 80, SYN)) for n in range(20_000)
    ]
    slow = scan(60, gap=0.033)
    for packet in packets(sorted([*flood, *slow], key=lambda frame: frame[0])):
        if packet.tcp_flags & SYN:
            found += fan.see_packet(packet)
    assert [alert.signature_id for alert in found] == [SID_FAN_PORTS]
    assert len(fan._sources) <= MAX_SOURCES and len(fan) <= MAX_SOURCES * MAX_TARGETS


def test_rules_survive_a_clock_that_steps_back():
    assert watch_fan([*scan(30), *((seconds - 86400, frame) for seconds, frame in scan(60))]) == [SID_FAN_PORTS]
    assert watch_arp([*ORDINARY, *((when - 86400, frame) for when, frame in [*ORDINARY, spoof(5)])]) == [
        SID_ARP_CONFLICT
    ]


def test_an_owner_who_comes_home_after_a_long_silence_is_not_the_suspect():
    watch = ArpWatch()
    home = answer(401, GATEWAY_MAC, GATEWAY, PHONE, PHONE_MAC)
    alerts = [found for packet in packets([*ORDINARY, spoof(400), home]) for found in watch.see(packet)]
    assert [alert.signature_id for alert in alerts] == [SID_ARP_CONFLICT]  # at 401: at 400 the old claim was stale
    assert alerts[0].details == {"address": GATEWAY, "old_mac": GATEWAY_MAC, "new_mac": ATTACKER_MAC}
    honest = types.SimpleNamespace(src_hw=bytes.fromhex("aa0000000001"), key=(b"",), last_us=int((T0 + 402) * 1e6))
    assert rules_against(honest, watch, None) == ()


def test_many_claimants_do_not_crowd_out_the_oldest():
    watch = ArpWatch()
    crowd = [answer(5 + n, f"66:66:66:66:66:{n:02x}", GATEWAY, PHONE, PHONE_MAC) for n in range(40)]
    alerts = [found for packet in packets([*ORDINARY, *crowd]) for found in watch.see(packet)]
    assert {found.details["old_mac"] for found in alerts if "old_mac" in found.details} == {GATEWAY_MAC}
