"""arp.py: which claims of an address alert, and the ordinary life that does not."""

import types

import pytest
from frames import T0
from home_traffic import ATTACKER_MAC, GATEWAY, GATEWAY_MAC, ORDINARY, PHONE, PHONE_MAC, answer, ask, packets, spoof
from tlids_edge.detect.arp import SID_ARP_CONFLICT, SID_ARP_FLAPPING, SID_ARP_UNASKED, ArpWatch
from tlids_edge.monitor import rules_against


def watch_arp(frames, watch: ArpWatch | None = None) -> list[int]:
    """The signature ids of the alerts that ARP frames give rise to."""
    watch = watch or ArpWatch()
    return [alert.signature_id for packet in packets(frames) for alert in watch.see(packet)]


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
    assert max(len(watch._bindings), len(watch._asked), len(watch._unasked), len(watch._pace._reported)) <= 1024
    assert len(watch.suspects) <= 256


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


def test_the_watch_survives_a_clock_that_steps_back():
    assert watch_arp([*ORDINARY, *((when - 86400, frame) for when, frame in [*ORDINARY, spoof(5)])]) == [
        SID_ARP_CONFLICT
    ]
