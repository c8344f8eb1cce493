"""A flood of closed UDP ports through the program: the victim's ICMP errors do not accuse the victim."""

import os
import struct

import build_pcap as build
import pytest
from edge_process import events, flow_alerts, run_edge
from frames import T0, conversation, ethernet, pcap, udp
from home_traffic import ATTACKER_MAC, GATEWAY, GATEWAY_MAC, PHONE, PHONE_MAC
from tlids_edge.flows import core

BACK = {"src_mac": PHONE_MAC, "dst_mac": GATEWAY_MAC}


def icmp(seconds: float, dst: str, message: bytes):
    return T0 + seconds, ethernet(build.ipv4(message, 1, PHONE, dst), **BACK)


def knock(seconds: float, src: str, port: int):
    return T0 + seconds, udp(src, 1000, PHONE, port, src_mac=ATTACKER_MAC, dst_mac=PHONE_MAC)


def flood(count: int) -> list[tuple[float, bytes]]:
    """Datagrams of forged sources to three closed ports, and a port unreachable (RFC 792) for each."""
    frames = []
    for n in range(count):
        src, port = f"{11 + n // 250}.9.{n % 250}.7", 4001 + n % 3
        quoted = build.ipv4(build.udp(1000, port, b"x"), 17, src, PHONE)[:28]
        frames.append(knock(1 + n * 0.002, src, port))
        frames.append(icmp(1.001 + n * 0.002, src, struct.pack("!BBHI", 3, 3, 0, 0) + quoted))
    return frames


def told(model, tmp_path, frames, compiled: bool = True):
    """The incidents, the alerts of single flows, and what was said."""
    path = tmp_path / "c.pcap"
    path.write_bytes(pcap(sorted(frames, key=lambda frame: frame[0])))
    env = os.environ | ({} if compiled else {core.SWITCH: "off"})
    done = run_edge(model, str(path), "--flow-alerts", "all", env=env)
    assert done.returncode == 0, done.stderr
    some = [event["alert"]["metadata"] | event for event in events(done.stdout, "alert")]
    incidents = [event for event in some if event.get("tlids_state") == ["closed"]]
    return incidents, flow_alerts(done.stdout), done.stderr.decode()


@pytest.mark.parametrize("is_compiled", [True, False])
@pytest.mark.parametrize("later", [[], [(T0 + 60, udp(GATEWAY, 1, GATEWAY, 2))]])  # the flows end with the run, or idle
def test_the_victim_of_a_flood_of_closed_ports_is_not_accused(model, tmp_path, request, is_compiled, later):
    if is_compiled:
        request.getfixturevalue("compiled")
    home = conversation(PHONE, 50_000, GATEWAY, 443)  # so the phone is proven
    incidents, alerts, said = told(model, tmp_path, home + flood(2000) + later, is_compiled)
    assert {(one["dest_ip"], one["dest_port"]) for one in incidents} == {(PHONE, port) for port in (4001, 4002, 4003)}
    assert sum(int(one["tlids_flows"][0]) for one in incidents) == 2000
    assert not any(PHONE in source for one in incidents for source in one["tlids_sources"])
    assert PHONE not in {one["src_ip"] for one in alerts} and len(alerts) >= 2000
    assert "2000 anomalies accuse nobody: ICMP errors" in said


def test_a_ping_flood_and_a_ping_sweep_after_a_forged_knock_alarm(model, tmp_path, compiled):
    echo, hosts = build.icmp(8, bytes(56)), [f"203.0.113.{n}" for n in range(1, 31)]
    sweep = [icmp(3 + n * 0.01, host, echo) for n, host in enumerate(hosts)]
    ping_flood = [icmp(3 + n * 0.01, GATEWAY, echo) for n in range(300)]
    knocks = [knock(0, hosts[0], 7), knock(0, GATEWAY, 7)]
    (incident,), alerts, said = told(model, tmp_path, knocks + sweep + ping_flood)
    assert incident["src_ip"] == PHONE and incident["tlids_flows"] == ["30"]
    assert {one["dest_ip"] for one in alerts if one["src_ip"] == PHONE} == {*hosts[1:], GATEWAY}
    assert "1 anomalies accuse nobody: ICMP errors" in said
