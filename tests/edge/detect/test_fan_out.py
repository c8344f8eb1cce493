"""fan_out.py: which unanswered knocks alert, and the ordinary traffic that does not."""

import types

import pytest
from frames import ACK, SYN, T0, tcp, udp
from home_traffic import GATEWAY, PHONE, packets, scan
from tlids_edge.detect.fan_out import MAX_SOURCES, MAX_TARGETS, SID_FAN_HOSTS, SID_FAN_PORTS, FanOut
from tlids_edge.flows.meter import Meter
from tlids_edge.monitor import rules_against


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


def answered(n: int, host: str, port: int = 443):
    here = (PHONE, 40000 + n)
    return [
        (T0 + n * 0.01, tcp(*here, host, port, SYN)),
        (T0 + n * 0.01 + 0.002, tcp(host, port, *here, SYN | ACK)),
        (T0 + n * 0.01 + 0.003, tcp(*here, host, port, ACK)),
    ]


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


def test_the_rule_survives_a_clock_that_steps_back():
    assert watch_fan([*scan(30), *((seconds - 86400, frame) for seconds, frame in scan(60))]) == [SID_FAN_PORTS]
