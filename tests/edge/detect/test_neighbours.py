"""neighbours.py: forged IPv6 neighbours and routers in hand-made frames, and the ordinary life that does not alert."""

import struct
from ipaddress import ip_address

import pytest
from frames import T0, ethernet, mac
from home_traffic import ATTACKER_MAC, GATEWAY_MAC, PHONE_MAC, packets
from tlids_edge.detect.claims import CONFLICT, DIFFERENT, GROUP, UNASKED
from tlids_edge.detect.neighbours import SID_NEIGHBOUR, SID_REDIRECT, SID_SECOND_ROUTER, NeighbourWatch

ROUTER, PHONE, ATTACKER, ALL = "fe80::1", "fe80::20", "fe80::66", "ff02::1"
THIRD_MAC = "aa:00:00:00:00:33"


def message(seconds, body, src, dst, src_mac, dst_mac=PHONE_MAC, hops=255, extension=b""):
    """An ICMPv6 message in a frame, behind an extension header perhaps."""
    following = 0 if extension else 58
    head = struct.pack("!IHBB", 6 << 28, len(extension + body), following, hops)
    packet = head + ip_address(src).packed + ip_address(dst).packed + extension + body
    return (T0 + seconds, ethernet(packet, 0x86DD, src_mac=src_mac, dst_mac=dst_mac))


def option(kind: int, address: str) -> bytes:
    return bytes([kind, 1]) + mac(address)


def solicit(seconds, src_mac, src, target):
    body = struct.pack("!BBHI", 135, 0, 0, 0) + ip_address(target).packed
    return message(seconds, body + (option(1, src_mac) if src != "::" else b""), src, "ff02::1:ff00:1", src_mac)


def advertise(seconds, frame_mac, target, to=PHONE, to_mac=PHONE_MAC, inside=None, **more):
    body = struct.pack("!BBHI", 136, 0, 0, 0x60000000) + ip_address(target).packed + option(2, inside or frame_mac)
    return message(seconds, body, target, to, frame_mac, to_mac, **more)


def router(seconds, frame_mac, src, lifetime=1800, options=b"", **more):
    body = struct.pack("!BBHBBHII", 134, 0, 0, 64, 0, lifetime, 0, 0) + option(1, frame_mac) + options
    return message(seconds, body, src, ALL, frame_mac, "33:33:00:00:00:01", **more)


def redirect(seconds, frame_mac, src):
    body = struct.pack("!BBHI", 137, 0, 0, 0) + ip_address(ATTACKER).packed + ip_address("2001:db8::1").packed
    return message(seconds, body, src, PHONE, frame_mac)


def watched(frames) -> list[tuple[int, str]]:
    """Signature ids, those of claims less SID_NEIGHBOUR, and the accused MAC addresses."""
    watch = NeighbourWatch()
    found = [alert for packet in packets(frames) for alert in watch.see(packet)]
    assert not any(alert.proven for alert in found)
    return [
        (alert.signature_id - (SID_NEIGHBOUR if alert.signature_id < SID_SECOND_ROUTER else 0), alert.src_mac)
        for alert in found
    ]


ORDINARY = [
    router(0, GATEWAY_MAC, ROUTER), solicit(1, PHONE_MAC, PHONE, ROUTER), advertise(1.001, GATEWAY_MAC, ROUTER),
]  # fmt: skip


def test_a_forged_advertisement_alerts_and_names_who_sent_it():
    assert watched([*ORDINARY, advertise(5, ATTACKER_MAC, ROUTER)]) == [(CONFLICT, ATTACKER_MAC)]


def test_a_forgery_behind_an_extension_header_is_read_too():
    padding = bytes([58, 0, 1, 4, 0, 0, 0, 0])  # hop-by-hop options: PadN
    assert watched([*ORDINARY, advertise(5, ATTACKER_MAC, ROUTER, extension=padding)]) == [(CONFLICT, ATTACKER_MAC)]


def test_what_a_host_must_ignore_is_ignored():
    assert watched([*ORDINARY, advertise(5, ATTACKER_MAC, ROUTER, hops=254)]) == []


@pytest.mark.parametrize(("inside", "what"), [(THIRD_MAC, DIFFERENT), ("33:33:00:00:00:01", GROUP)])
def test_an_option_that_is_not_the_frames_accuses_the_frame(inside, what):
    found = watched([*ORDINARY, advertise(5, ATTACKER_MAC, ROUTER, inside=inside)])
    assert found == [(what, ATTACKER_MAC), (CONFLICT, ATTACKER_MAC)]


def test_advertisements_that_nobody_asked_for_alert_after_six():
    frames = [advertise(n, ATTACKER_MAC, ROUTER) for n in range(10)]
    assert watched(frames) == [(UNASKED, ATTACKER_MAC)]


@pytest.mark.parametrize("src", [ATTACKER, ROUTER])
def test_a_second_router_alerts_in_its_own_name_or_in_the_firsts(src):
    found = watched([*ORDINARY, router(60, ATTACKER_MAC, src, 0 if src == ROUTER else 1800)])
    assert (SID_SECOND_ROUTER, ATTACKER_MAC) in found
    assert {accused for _, accused in found} == {ATTACKER_MAC}


def test_a_name_server_offered_by_who_is_no_router_alerts():
    rdnss = bytes([25, 3, 0, 0, 0, 0, 7, 8]) + ip_address(ATTACKER).packed
    assert watched([*ORDINARY, router(60, ATTACKER_MAC, ATTACKER, 0, rdnss)]) == [(SID_SECOND_ROUTER, ATTACKER_MAC)]


def test_a_redirect_is_the_routers_to_send():
    assert watched([*ORDINARY, redirect(5, GATEWAY_MAC, ROUTER)]) == []
    assert watched([*ORDINARY, redirect(5, ATTACKER_MAC, ROUTER)]) == [(SID_REDIRECT, ATTACKER_MAC)]


@pytest.mark.parametrize(
    "frames",
    [
        pytest.param([frame for n in range(60) for frame in (
            solicit(n * 30, PHONE_MAC, PHONE, ROUTER), advertise(n * 30 + 0.01, GATEWAY_MAC, ROUTER))],
            id="half an hour of asking"),
        pytest.param([solicit(n, PHONE_MAC, "::", f"2001:db8::{n:x}") for n in range(20)], id="new addresses"),
        pytest.param([solicit(n, PHONE_MAC, f"2001:db8::{n + 1:x}", ROUTER) for n in range(20)],
                     id="a host with twenty addresses"),
        pytest.param([router(n * 200, GATEWAY_MAC, ROUTER) for n in range(20)]
                     + [router(n * 200 + 9, THIRD_MAC, "fe80::33", 0) for n in range(20)],
                     id="a border router of Thread beside the router"),
        pytest.param([*ORDINARY, router(3600, THIRD_MAC, "fe80::33")], id="a new router after an hour of silence"),
        pytest.param([(when, frame[:54 + n]) for n in range(0, 40) for when, frame in ORDINARY], id="cut frames"),
    ],
)  # fmt: skip
def test_ordinary_life_of_neighbours_does_not_alert(frames):
    assert watched([*ORDINARY, *frames]) == []
