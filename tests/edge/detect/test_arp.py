"""arp.py: which claims of an address alert, and the ordinary life that does not."""

import pytest
from build_pcap import arp as arp_body
from frames import T0, ethernet, mac, udp
from home_traffic import (
    ATTACKER_MAC,
    GATEWAY,
    GATEWAY_MAC,
    ORDINARY,
    PHONE,
    PHONE_MAC,
    REPLY,
    REQUEST,
    answer,
    ask,
    packets,
    spoof,
)
from tlids_edge.detect.arp import (
    MAX_ADDRESSES,
    SID_ARP_CONFLICT,
    SID_ARP_CROWDED,
    SID_ARP_DIFFERENT,
    SID_ARP_FLAPPING,
    SID_ARP_GROUP,
    SID_ARP_MANY,
    SID_ARP_UNASKED,
    ArpWatch,
)
from tlids_edge.flows.meter import Meter

THIRD_MAC = "aa:00:00:00:00:33"


def watch_arp(frames, watch: ArpWatch | None = None) -> list[int]:
    """The signature ids of the alerts that ARP frames give rise to."""
    watch = watch or ArpWatch()
    return [alert.signature_id for packet in packets(frames) for alert in watch.see(packet)]


def alerts_of(frames, watch: ArpWatch) -> list:
    return [alert for packet in packets(frames) for alert in watch.see(packet)]


def forged(seconds: float, frame_mac: str, inside: str, address: str, operation: int = REPLY):
    """An ARP frame whose sender inside is not the frame's; to the phone."""
    body = arp_body(operation, mac(inside), address, PHONE)
    return (T0 + seconds, ethernet(body, 0x0806, frame_mac, PHONE_MAC))


def flow_from(frame_mac: str, seconds: float, src: str = "10.0.0.9"):
    """A flow that ended then, as the rule is asked about it."""
    meter = Meter()
    meter.add(packets([(T0 + seconds, udp(src, 1, "10.0.0.1", 53, src_mac=frame_mac))])[0])
    meter.close_all()
    return meter.take()[0]


def test_an_address_claimed_by_a_second_mac_while_the_first_is_fresh_alerts_at_once():
    assert watch_arp([*ORDINARY, spoof(5)]) == [SID_ARP_CONFLICT]


def test_the_alert_names_both_mac_addresses_and_suspects_the_younger_claimant():
    watch = ArpWatch()
    alert = [found for packet in packets([*ORDINARY, spoof(5)]) for found in watch.see(packet)][0]
    assert alert.details == {"address": GATEWAY, "old_mac": GATEWAY_MAC, "new_mac": ATTACKER_MAC}
    assert (alert.src, alert.src_mac, alert.severity) == (GATEWAY, ATTACKER_MAC, 1)
    assert watch.claims.accuses(flow_from(ATTACKER_MAC, 20)) and not watch.claims.accuses(flow_from(ATTACKER_MAC, 66))
    assert not watch.claims.accuses(flow_from(GATEWAY_MAC, 20))


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


def invented(n: int, start: float = 1.0):
    """One of many senders that do not exist, in a frame of its own MAC; to the gateway."""
    sender = f"10.{n >> 12 & 15}.{n >> 6 & 63}.{n & 63}"
    return answer(start + n * 0.001, f"02:00:00:00:{n >> 8:02x}:{n & 255:02x}", sender, GATEWAY, GATEWAY_MAC)


def test_arp_tables_stay_bounded_under_a_flood_of_bindings():
    watch = ArpWatch()
    found = alerts_of([invented(n) for n in range(5000)], watch)
    assert {alert.signature_id for alert in found} == {SID_ARP_CROWDED}
    assert {(alert.src, alert.src_mac) for alert in found} == {("", "")}
    claims = watch.claims
    assert len(claims.bindings) <= 1024 and len(claims._unasked) <= 1024 and len(claims._askers) <= 256
    assert len(claims.bindings._addresses) <= 1024 and len(watch.claims.suspects) <= 256


def test_two_thousand_invented_senders_neither_silence_the_watch_nor_accuse_the_router():
    watch = ArpWatch()
    frames = [
        *ORDINARY,
        *(invented(n) for n in range(2000)),
        spoof(5),
        answer(6, GATEWAY_MAC, GATEWAY, PHONE, PHONE_MAC),
    ]
    conflicts = [alert for alert in alerts_of(frames, watch) if alert.signature_id == SID_ARP_CONFLICT]
    assert {(alert.src, alert.src_mac) for alert in conflicts} == {(GATEWAY, ATTACKER_MAC)}
    assert not watch.claims.accuses(flow_from(GATEWAY_MAC, 7)) and watch.claims.accuses(flow_from(ATTACKER_MAC, 7))


def test_a_newcomer_who_answers_survives_the_flood_of_those_who_only_claim():
    watch = ArpWatch()
    early, late = [invented(n) for n in range(1100)], [invented(n, 2.0) for n in range(1100, 2200)]
    frames = [*early, *((when + 1.5, frame) for when, frame in ORDINARY), *((when + 1, frame) for when, frame in late)]
    found = alerts_of([*frames, spoof(10)], watch)
    assert [alert.src_mac for alert in found if alert.signature_id == SID_ARP_CONFLICT] == [ATTACKER_MAC]


def test_a_binding_that_carries_traffic_stays_fresh_without_being_claimed():
    silent, used = ArpWatch(), ArpWatch()
    for watch in (silent, used):
        alerts_of(ORDINARY, watch)
    used.claims.note_flow(flow_from(PHONE_MAC, 390, PHONE))
    takeover = [answer(400, ATTACKER_MAC, PHONE, GATEWAY, GATEWAY_MAC)]
    assert alerts_of(takeover, silent) == []
    assert [alert.src_mac for alert in alerts_of(takeover, used)] == [ATTACKER_MAC]


def test_invented_senders_in_frames_of_one_mac_accuse_that_mac():
    watch = ArpWatch()
    frames = [forged(1 + n * 0.001, ATTACKER_MAC, f"02:00:00:00:{n >> 8:02x}:{n & 255:02x}", f"10.1.{n >> 8}.{n & 255}")
              for n in range(1030)]  # fmt: skip
    found = alerts_of([*ORDINARY, *frames, spoof(5)], watch)
    assert {SID_ARP_DIFFERENT, SID_ARP_CONFLICT} <= {alert.signature_id for alert in found}
    assert {(alert.src_mac, alert.proven) for alert in found} == {(ATTACKER_MAC, False)}


def test_one_mac_that_claims_many_addresses_alerts():
    watch = ArpWatch()
    frames = [ask(n * 0.1, ATTACKER_MAC, f"192.168.1.{100 + n}", GATEWAY) for n in range(60)]
    assert watch_arp(frames[:MAX_ADDRESSES]) == []
    found = alerts_of(frames, watch)
    assert [(alert.signature_id, alert.src_mac) for alert in found] == [(SID_ARP_MANY, ATTACKER_MAC)]
    assert len(watch.claims.bindings) == MAX_ADDRESSES


def test_a_group_address_as_sender_alerts_and_names_the_frames_mac():
    watch = ArpWatch()
    found = alerts_of([*ORDINARY, forged(5, ATTACKER_MAC, "01:00:5e:00:00:01", GATEWAY)], watch)
    assert [alert.signature_id for alert in found] == [SID_ARP_GROUP, SID_ARP_CONFLICT]
    assert {(alert.src, alert.src_mac) for alert in found} == {(GATEWAY, ATTACKER_MAC)}


@pytest.mark.parametrize("operation", [REQUEST, REPLY])
def test_a_frame_with_anothers_sender_mac_accuses_who_sent_it_not_the_third_device(operation):
    watch = ArpWatch()
    found = alerts_of([*ORDINARY, forged(5, ATTACKER_MAC, THIRD_MAC, GATEWAY, operation)], watch)
    assert [alert.signature_id for alert in found] == [SID_ARP_DIFFERENT, SID_ARP_CONFLICT]
    assert {alert.src_mac for alert in found} == {ATTACKER_MAC}
    assert found[1].details["new_mac"] == THIRD_MAC
    assert not watch.claims.accuses(flow_from(THIRD_MAC, 6)) and watch.claims.accuses(flow_from(ATTACKER_MAC, 6))


@pytest.mark.parametrize("asker", [ATTACKER_MAC, THIRD_MAC])
def test_sixty_forged_replies_after_asking_oneself_alert(asker):
    frames = []
    for n in range(60):  # asked as the phone by the attacker, or in a third device's name; told to the phone
        frames += [ask(n * 0.5, asker, "192.168.1.33", GATEWAY), spoof(n * 0.5 + 0.1)]
    found = [alert for alert in alerts_of(frames, ArpWatch()) if alert.signature_id == SID_ARP_UNASKED]
    assert found and {alert.src_mac for alert in found} == {ATTACKER_MAC}


def test_a_flood_of_questions_makes_nobody_look_unasked():
    frames = []
    for n in range(30):
        crowd = [ask(n + k * 0.0005, f"02:00:00:00:{n:02x}:{k % 256:02x}", "0.0.0.0", GATEWAY) for k in range(300)]
        frames += [ask(n, PHONE_MAC, PHONE, GATEWAY), *crowd, answer(n + 0.3, GATEWAY_MAC, GATEWAY, PHONE, PHONE_MAC)]
    assert SID_ARP_UNASKED not in watch_arp(frames)


def test_an_owner_who_comes_home_after_a_long_silence_is_not_the_suspect():
    watch = ArpWatch()
    home = answer(401, GATEWAY_MAC, GATEWAY, PHONE, PHONE_MAC)
    alerts = [found for packet in packets([*ORDINARY, spoof(400), home]) for found in watch.see(packet)]
    assert [alert.signature_id for alert in alerts] == [SID_ARP_CONFLICT]  # at 401: at 400 the old claim was stale
    assert alerts[0].details == {"address": GATEWAY, "old_mac": GATEWAY_MAC, "new_mac": ATTACKER_MAC}
    assert not watch.claims.accuses(flow_from(GATEWAY_MAC, 402))


def test_many_claimants_do_not_crowd_out_the_oldest():
    watch = ArpWatch()
    crowd = [answer(5 + n, f"66:66:66:66:66:{n:02x}", GATEWAY, PHONE, PHONE_MAC) for n in range(40)]
    alerts = [found for packet in packets([*ORDINARY, *crowd]) for found in watch.see(packet)]
    assert {found.details["old_mac"] for found in alerts if "old_mac" in found.details} == {GATEWAY_MAC}


def test_the_watch_survives_a_clock_that_steps_back():
    assert watch_arp([*ORDINARY, *((when - 86400, frame) for when, frame in [*ORDINARY, spoof(5)])]) == [
        SID_ARP_CONFLICT
    ]
