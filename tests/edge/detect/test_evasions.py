"""Ways to scan unseen or in another's name: the fan-out rule names who sent the frames, or the README says it does not.

The frames are made by hand; meter and rules are fed as the program feeds them.
"""

import struct
from io import BytesIO

import build_pcap as build
import pytest
from frames import ACK, SYN, T0, mac, pcap
from home_traffic import ATTACKER_MAC, GATEWAY, GATEWAY_MAC, PHONE, PHONE_MAC
from tlids_edge.capture.clock import Clock
from tlids_edge.capture.packets import PacketStats, read_packets
from tlids_edge.detect.fan_out import SID_FAN_HOSTS, SID_FAN_PORTS, FanOut
from tlids_edge.detect.fragments import SID_TINY_FRAGMENTS
from tlids_edge.detect.rules import Rules
from tlids_edge.flows.meter import Meter

ATTACKER = "192.168.1.66"
ATTACKER6, VICTIM6 = "2001:db8::66", "2001:db8::1"
PORTS = range(1, 81)
SYN_ACK, RST_ACK = SYN | ACK, 4 | ACK


def ethernet(packet: bytes, ethertype: int = 0x0800, src: str = ATTACKER_MAC, dst: str = GATEWAY_MAC) -> bytes:
    return build.ethernet(packet, ethertype, mac(src), mac(dst))


def knock(port: int, src: str = ATTACKER, src_port: int = 40000) -> bytes:
    return ethernet(build.ipv4(build.tcp(src_port, port, SYN), 6, src, GATEWAY))


def reply(port: int, flags: int, src_mac: str, dst_mac: str, to: str = ATTACKER) -> bytes:
    return ethernet(build.ipv4(build.tcp(port, 40000, flags), 6, GATEWAY, to), src=src_mac, dst=dst_mac)


def seen(frames, gap: float = 0.01, decap: bool = False) -> set[tuple]:
    """Kind, address, MAC address, and whether it is proven, of the alerts that frames a gap apart give rise to."""
    capture = pcap((T0 + n * gap, frame) for n, frame in enumerate(frames))
    stats, rules, meter, found = PacketStats(decap=decap), Rules(None, FanOut(seed=1)), Meter(), []
    for packet in Clock(stats.times).ordered(read_packets(BytesIO(capture), stats)):
        meter.add(packet)
        found += rules.hear(meter, stats, packet.time_us)
        for flow in meter.take():
            rules.note_flow(flow)
    meter.close_all()
    found += rules.hear(meter, stats)
    return {(alert.signature_id, alert.src, alert.src_mac, alert.proven) for alert in found}


BY_ATTACKER = {(SID_FAN_PORTS, ATTACKER, ATTACKER_MAC, False)}


def test_an_answer_forged_after_each_knock_does_not_hide_it():
    frames = [frame for n in PORTS for frame in (knock(n), reply(n, SYN_ACK, ATTACKER_MAC, ATTACKER_MAC))]
    assert seen(frames) == BY_ATTACKER


def test_an_answer_forged_before_each_knock_does_not_hide_it_either():
    frames = [frame for n in PORTS for frame in (reply(n, SYN_ACK, ATTACKER_MAC, ATTACKER_MAC), knock(n))]
    assert seen(frames) == BY_ATTACKER
    assert seen(frames, gap=0.2) == set()  # too long before it, as the README says


def test_an_answer_forged_with_the_victims_own_mac_hides_a_scan_as_the_readme_says():
    frames = [frame for n in PORTS for frame in (knock(n), reply(n, SYN_ACK, GATEWAY_MAC, ATTACKER_MAC))]
    assert seen(frames) == set()


def test_a_real_answer_to_each_knock_is_no_scan_and_a_refusal_is():
    answered = [frame for n in PORTS for frame in (knock(n), reply(n, SYN_ACK, GATEWAY_MAC, ATTACKER_MAC))]
    refused = [frame for n in PORTS for frame in (knock(n), reply(n, RST_ACK, GATEWAY_MAC, ATTACKER_MAC))]
    assert (seen(answered), seen(refused)) == (set(), BY_ATTACKER)


@pytest.mark.parametrize("protocol", [6, 17])
def test_source_port_53_hides_nothing(protocol):
    segment = {6: lambda n: build.tcp(53, n, SYN), 17: lambda n: build.udp(53, n, b"x")}[protocol]
    assert seen(ethernet(build.ipv4(segment(n), protocol, ATTACKER, GATEWAY)) for n in PORTS) == BY_ATTACKER


def test_a_port_a_minute_is_found_within_the_hour():
    (alert,) = seen((knock(n) for n in range(1, 60)), gap=60)
    assert alert[1:] == (ATTACKER, ATTACKER_MAC, False)


def test_a_port_every_two_minutes_is_missed_as_the_readme_says():
    assert seen((knock(n) for n in range(1, 100)), gap=120) == set()


def test_decoys_are_claimed_and_every_alert_has_the_attackers_mac():
    found = seen(knock(n, who) for n in PORTS for who in (PHONE, ATTACKER, "192.168.1.30"))
    assert ATTACKER in {src for _, src, _, _ in found}
    assert {(src_mac, proven) for _, _, src_mac, proven in found} == {(ATTACKER_MAC, False)}


def test_of_an_idle_scan_the_idle_hosts_address_is_claimed_with_the_attackers_mac():
    frames = []
    for n in PORTS:  # the host is asked, refuses to the idle host; its counter is read with a SYN-ACK
        frames += [knock(n, PHONE), reply(n, RST_ACK, GATEWAY_MAC, PHONE_MAC, to=PHONE)]
        probe = build.ipv4(build.tcp(40000 + n, 80, SYN_ACK), 6, ATTACKER, PHONE)
        told = build.ipv4(build.tcp(80, 40000 + n, 4), 6, PHONE, ATTACKER)
        frames += [ethernet(probe, dst=PHONE_MAC), ethernet(told, src=PHONE_MAC, dst=ATTACKER_MAC)]
    assert seen(frames) == {(SID_FAN_PORTS, PHONE, ATTACKER_MAC, False)}


def options6(kind: int, following: int, words: int = 1) -> bytes:
    """An IPv6 extension header of padding, or an atomic fragment header."""
    if kind == 44:
        return struct.pack("!BBHI", following, 0, 0, 7)
    return struct.pack("!BBBB", following, words - 1, 1, 8 * words - 4) + bytes(8 * words - 4)


@pytest.mark.parametrize("kinds", [(0,), (60,), (43,), (44,), (0, 60, 43, 60), (60,) * 20], ids=str)
def test_ipv6_extension_headers_hide_nothing(kinds):
    frames = []
    for n in PORTS:
        chain, following = build.tcp(40000, n, SYN), 6
        for kind in reversed(kinds):
            chain, following = options6(kind, following) + chain, kind
        frames.append(ethernet(build.ipv6(chain, following, ATTACKER6, VICTIM6), 0x86DD))
    assert (SID_FAN_PORTS, ATTACKER6, ATTACKER_MAC, False) in seen(frames)
    assert {src_mac for _, _, src_mac, _ in seen(frames)} == {ATTACKER_MAC}


def fragment(data: bytes, at: int, more: bool, identification: int) -> bytes:
    place = at // 8 | (0x2000 if more else 0)
    packet = build.ipv4(data, 6, ATTACKER, GATEWAY, fragment=place, identification=identification)
    return ethernet(packet)


def test_overlapping_fragments_that_say_another_port_first_hide_nothing():
    frames = []
    for n in PORTS:
        innocent, real = build.tcp(40000, 443, ACK), build.tcp(40000, n, SYN)
        frames += [fragment(innocent, 0, True, n), fragment(real, 0, True, n), fragment(bytes(8), 24, False, n)]
    assert seen(frames) == BY_ATTACKER


def test_a_fragment_that_overwrites_the_flags_hides_nothing():
    frames = []
    for n in PORTS:
        whole = build.tcp(40000, n, ACK, b"1234")
        frames += [fragment(whole, 0, True, n), fragment(build.tcp(40000, n, SYN)[8:], 8, False, n)]
    assert seen(frames) == BY_ATTACKER


def test_a_header_cut_by_overlapping_fragments_is_an_alert_of_its_own():
    frames = []
    for n in PORTS:
        whole = build.tcp(40000, n, SYN)
        frames += [fragment(whole[:8], 0, True, n), fragment(whole[8:], 8, False, n)]
    assert seen(frames) == BY_ATTACKER | {(SID_TINY_FRAGMENTS, ATTACKER, ATTACKER_MAC, False)}


def tagged(frame: bytes, *vlans: int) -> bytes:
    return frame[:12] + b"".join(struct.pack("!HH", 0x8100, vlan) for vlan in vlans) + frame[12:]


@pytest.mark.parametrize("vlans", [lambda n: (1, 20), lambda n: (n,), lambda n: (1, n)], ids=["two tags", "one", "two"])
def test_vlan_hops_hide_nothing_be_it_one_vlan_for_each_port(vlans):
    assert seen(tagged(knock(n), *vlans(n)) for n in PORTS) == BY_ATTACKER


@pytest.mark.parametrize("ttl", [1, 255, None], ids=["1", "255", "another for each port"])
def test_ttl_games_hide_nothing(ttl):
    frames = [knock(n)[:22] + bytes([ttl or n]) + knock(n)[23:] for n in PORTS]
    assert seen(frames) == BY_ATTACKER


def test_an_answer_that_no_host_sees_ends_no_scan():
    frames = []
    for n in PORTS:  # forged with a TTL of 1 and a wrong checksum: a RST that is no RST, then a SYN-ACK
        rst = reply(n, RST_ACK, ATTACKER_MAC, ATTACKER_MAC)
        frames += [knock(n), rst[:22] + b"\1" + rst[23:50] + b"\xbe\xef" + rst[52:]]
        frames.append(reply(n, SYN_ACK, ATTACKER_MAC, ATTACKER_MAC)[:50] + b"\xbe\xef" + bytes(2))
    assert seen(frames) == BY_ATTACKER


def test_broken_checksums_hide_nothing():
    assert seen(knock(n)[:50] + b"\xbe\xef" + knock(n)[52:] for n in PORTS) == BY_ATTACKER


def test_a_scan_inside_gre_is_found_with_decap_and_missed_without():
    def carried(n):
        inner = build.ipv4(build.tcp(40000, n, SYN), 6, ATTACKER, GATEWAY)
        return ethernet(build.ipv4(struct.pack("!HH", 0, 0x0800) + inner, 47, "10.1.1.1", "10.1.1.2"))

    frames = [carried(n) for n in PORTS]
    assert seen(frames, decap=True) == BY_ATTACKER
    assert seen(frames) == set()


def test_a_sweep_that_mixes_all_of_it_is_still_one_sources_sweep():
    frames = []
    for n in range(1, 181):
        packet = build.ipv4(build.tcp(53, 22, SYN), 6, ATTACKER, f"192.168.2.{n}")
        frame = ethernet(packet)
        frames.append((frame, tagged(frame, n), frame[:22] + b"\1" + frame[23:])[n % 3])
    assert seen(frames) == {(SID_FAN_HOSTS, ATTACKER, ATTACKER_MAC, False)}
