"""fan_out.py: which unanswered knocks alert and whom they name, and the ordinary traffic that does not alert."""

import itertools

import build_pcap as build
import numpy as np
import pytest
from frames import ACK, BACK, SYN, T0, ethernet, tcp, udp
from home_traffic import ATTACKER_MAC, GATEWAY, GATEWAY_MAC, PHONE, PHONE_MAC, packets, scan
from tlids_edge.capture.packets import PacketStats
from tlids_edge.detect import fan_out
from tlids_edge.detect.fan_out import SID_FAN_DOORS, SID_FAN_HOSTS, SID_FAN_PORTS, SID_FAN_SLOW, FanOut
from tlids_edge.detect.notes import NOTE, as_list, as_matrix
from tlids_edge.detect.rules import Rules
from tlids_edge.flows import rows
from tlids_edge.flows.meter import Meter, Unanswered

ATTACKER = "192.168.1.66"
FORGED = {"src_mac": ATTACKER_MAC, "dst_mac": GATEWAY_MAC}


def watch_fan(frames, rules: Rules | None = None, meter: Meter | None = None) -> list:
    """The alerts that TCP and UDP frames give rise to, through meter and rules as the program runs them."""
    rules, meter, stats, found = rules or Rules(None, FanOut(seed=1)), meter or Meter(idle_timeout=5), PacketStats(), []
    for packet in packets(frames):
        meter.add(packet)
        found += rules.hear(meter, stats, packet.time_us)
        for flow in meter.take():
            rules.note_flow(flow)
    meter.close_all()
    found += rules.hear(meter, stats)
    for flow in meter.take():
        rules.note_flow(flow)
    return found


def kinds(alerts) -> list[int]:
    return [alert.signature_id for alert in alerts]


def answered(n: int, host: str, port: int = 443):
    here = (PHONE, 40000 + n)
    return [
        (T0 + n * 0.01, tcp(*here, host, port, SYN)),
        (T0 + n * 0.01 + 0.002, tcp(host, port, *here, SYN | ACK, **BACK)),
        (T0 + n * 0.01 + 0.003, tcp(*here, host, port, ACK)),
    ]


def note(seconds: float, src: bytes, dst: bytes, port: int, mac: str = ATTACKER_MAC, protocol: int = 6) -> Unanswered:
    return Unanswered(int((T0 + seconds) * 1e6), src, dst, port, protocol, bytes.fromhex(mac.replace(":", "")))


def flow_of(src: str, mac: str, seconds: float, proven: bool = False):
    """A flow that ended, as the rules are asked about it."""
    meter = Meter()
    meter.add(packets([(T0 + seconds, udp(src, 1, GATEWAY, 53, src_mac=mac))])[0])
    meter.close_all()
    flow = meter.take()[0]
    flow.proven = proven
    return flow


@pytest.mark.parametrize("refused", [True, False])
def test_a_port_scan_alerts_whether_ports_refuse_or_stay_silent(refused):
    found = watch_fan(scan(60, refused=refused))
    assert kinds(found) == [SID_FAN_PORTS]
    assert (found[0].src, found[0].dst, found[0].src_mac) == (PHONE, GATEWAY, "02:00:00:00:00:01")
    assert watch_fan(scan(40, refused=refused)) == []


def knocks(count: int, mac: str = ATTACKER_MAC, sources: int = 1) -> list[Unanswered]:
    return [
        note(n * 0.01, bytes([10, 0, n // 256 % sources, n % sources]), b"\2" * 4, n + 53, mac) for n in range(count)
    ]


@pytest.mark.parametrize(
    ("count", "sources", "found"),
    [(48, 1, 0), (57, 1, 50), (95, 95, 0), (112, 112, 50)],
    ids=["48 of one source", "57 of one source", "95 of one MAC under as many addresses", "112 of one MAC"],
)
def test_five_in_a_hundred_under_the_limit_no_draw_of_the_keys_alerts_and_a_little_over_it_each_does(
    count, sources, found
):
    alerts = [FanOut(seed=seed).see(knocks(count, sources=sources)) for seed in range(50)]
    assert sum(map(bool, alerts)) == found
    assert {(one.src, one.src_mac) for some in alerts for one in some} <= {
        ("", ATTACKER_MAC),
        ("10.0.0.0", ATTACKER_MAC),
    }


def test_the_threshold_is_fifty_give_or_take_three_whatever_the_keys():
    counts = []
    for seed in range(40):
        fan = FanOut(seed=seed)
        counts.append(next(n for n in range(1, 200) if fan.see([note(n * 0.01, b"\1" * 4, b"\2" * 4, n)])))
    assert 49 <= np.mean(counts) <= 51
    assert min(counts) >= 49 and max(counts) <= 54


def test_a_sweep_over_hosts_alerts():
    frames = [(T0 + n * 0.01, tcp(PHONE, 40000 + n, f"10.0.{n}.1", 23, SYN)) for n in range(120)]
    assert kinds(watch_fan(frames)) == [SID_FAN_HOSTS]
    assert watch_fan(frames[:80]) == []


def test_a_udp_scan_alerts():
    assert kinds(watch_fan([(T0 + n * 0.01, udp(PHONE, 5000, GATEWAY, 100 + n)) for n in range(60)])) == [SID_FAN_PORTS]


@pytest.mark.parametrize("flags", [0, 1, 0x29])
def test_scans_without_syn_alert_too(flags):
    frames = [(T0 + n * 0.01, tcp(PHONE, 40000, GATEWAY, 1 + n, flags)) for n in range(60)]
    assert kinds(watch_fan(frames)) == [SID_FAN_PORTS]


def test_a_scan_from_source_port_53_alerts():
    frames = [(T0 + n * 0.01, tcp(ATTACKER, 53, GATEWAY, 1 + n, SYN, **FORGED)) for n in range(60)]
    assert [(alert.src, alert.src_mac) for alert in watch_fan(frames)] == [(ATTACKER, ATTACKER_MAC)]


def test_ten_hosts_times_a_thousand_ports_in_turn_alert():
    frames = [(T0 + n * 0.005, tcp(ATTACKER, 40000, f"10.0.0.{n % 10 + 1}", n // 10 + 1, SYN, **FORGED))
              for n in range(10_000)]  # fmt: skip
    found = watch_fan(frames)
    assert kinds(found[:1]) == [SID_FAN_DOORS]
    assert {(alert.src, alert.src_mac) for alert in found} == {(ATTACKER, ATTACKER_MAC)}


def test_forged_sources_between_knocks_do_not_hide_the_scanner():
    fan, found = FanOut(seed=1), []
    attacker, victim, random = b"\x0a\0\0\x66", b"\x0a\0\0\1", np.random.default_rng(1)
    for n in range(60):
        forged = [note(n * 0.1, random.bytes(4), victim, 80, "02:00:00:00:00:77") for _ in range(512)]
        found += fan.see([*forged, note(n * 0.1, attacker, victim, n + 1)])
    assert [(alert.src, alert.src_mac) for alert in found] == [("10.0.0.102", ATTACKER_MAC)]


def test_a_thousand_addresses_of_one_ipv6_network_are_one_source():
    network = bytes.fromhex("20010db8000000aa")
    notes = [note(n * 0.01, network + n.to_bytes(8, "big"), b"\x20" * 16, n + 1) for n in range(1000)]
    found = FanOut(seed=1).see(notes)
    assert found[0].details["network"] == "2001:db8:0:aa::/64" and not found[0].proven
    assert {(alert.src, alert.src_mac) for alert in found} == {("", ATTACKER_MAC)}


def test_a_thousand_addresses_behind_one_mac_are_one_source_and_leave_proven_flows_alone():
    fan = FanOut(seed=1)
    found = fan.see([note(n * 0.01, bytes([10, n % 251, n // 251, 1]), b"\2" * 4, n + 1) for n in range(1000)])
    assert {(alert.src, alert.src_mac, alert.proven) for alert in found} == {("", ATTACKER_MAC, False)}
    assert fan.accuses(flow_of("10.9.9.9", ATTACKER_MAC, 8))
    assert not fan.accuses(flow_of("10.9.9.9", ATTACKER_MAC, 8, proven=True))
    assert not fan.accuses(flow_of("10.9.9.9", PHONE_MAC, 8))


def test_decoys_and_an_idle_scan_name_the_mac_that_sent_them_and_prove_nobody():
    decoys = ["192.168.1.30", PHONE, ATTACKER, "192.168.1.31"]
    frames = [(T0 + n * 0.01, tcp(decoys[n % 4], 40000, GATEWAY, n // 4 + 1, SYN, **FORGED)) for n in range(400)]
    rules = Rules(None, FanOut(seed=1))
    found = watch_fan(frames, rules)
    assert found and {(alert.src_mac, alert.proven) for alert in found} == {(ATTACKER_MAC, False)}
    assert ATTACKER in {alert.src for alert in found}
    assert rules.against(flow_of(PHONE, PHONE_MAC, 5)) == ()


def test_51_forged_syns_of_the_victims_address_do_not_raise_the_victims_own_flows():
    rules = Rules(None, FanOut(seed=1))
    frames = [(T0 + n * 0.01, tcp(PHONE, 40000, GATEWAY, n + 1, SYN, **FORGED)) for n in range(60)]
    found = watch_fan(frames, rules)
    assert [(alert.src, alert.src_mac, alert.proven) for alert in found] == [(PHONE, ATTACKER_MAC, False)]
    assert rules.against(flow_of(PHONE, PHONE_MAC, 5)) == ()
    assert rules.against(flow_of(PHONE, ATTACKER_MAC, 5)) == ("fan-out",)


def test_a_scanner_that_has_taken_part_in_two_way_traffic_is_proven():
    there = {"src_mac": PHONE_MAC, "dst_mac": GATEWAY_MAC}
    back = {"src_mac": GATEWAY_MAC, "dst_mac": PHONE_MAC}
    talk = [
        (T0 - 20, udp(PHONE, 30000, GATEWAY, 53, **there)), (T0 - 19.9, udp(GATEWAY, 53, PHONE, 30000, **back)),
        (T0 - 19.8, udp(PHONE, 30000, GATEWAY, 53, **there)),
    ]  # fmt: skip
    knocks = [(T0 + n * 0.01, tcp(PHONE, 40000, GATEWAY, n + 1, SYN, **there)) for n in range(60)]
    assert [alert.proven for alert in watch_fan([*talk, *knocks])] == [True]
    assert [alert.proven for alert in watch_fan(knocks)] == [False]


def test_a_slow_scan_of_a_port_a_minute_alerts_within_the_hour_and_once():
    found = watch_fan([(T0 + n * 60, tcp(ATTACKER, 40000, GATEWAY, n + 1, SYN, **FORGED)) for n in range(59)])
    assert [(alert.signature_id, alert.src, alert.src_mac) for alert in found] == [
        (SID_FAN_SLOW, ATTACKER, ATTACKER_MAC)
    ]
    assert not watch_fan([(T0 + n * 100, tcp(ATTACKER, 40000, GATEWAY, n + 1, SYN, **FORGED)) for n in range(100)])


def test_late_answers_to_many_ephemeral_ports_are_no_slow_scan():
    assert not watch_fan([(T0 + n * 40, udp(GATEWAY, 1900, PHONE, 40_000 + n)) for n in range(89)])


def test_the_victim_of_a_flood_from_forged_addresses_is_not_accused_of_its_icmp_errors():
    unreachable = bytes([3, 3]) + bytes(34)
    frames = []
    for n in range(300):
        frames.append((T0 + n * 0.01, udp(f"10.{n >> 8}.{n & 255}.9", 1000, PHONE, 53, **FORGED)))
        answer = build.ipv4(unreachable, 1, PHONE, f"10.{n >> 8}.{n & 255}.9")
        frames.append((T0 + n * 0.01 + 0.001, ethernet(answer, src_mac=PHONE_MAC, dst_mac=ATTACKER_MAC)))
    assert PHONE_MAC not in {alert.src_mac for alert in watch_fan(frames)}


def test_a_ping_sweep_alerts():
    sweep = [(T0 + n * 0.01, ethernet(build.ipv4(build.icmp(), 1, ATTACKER, f"10.0.{n}.1"))) for n in range(120)]
    assert kinds(watch_fan(sweep)) == [SID_FAN_HOSTS]


def test_a_scan_raises_the_sources_flows_for_a_minute():
    rules = Rules(None, FanOut(seed=1))
    watch_fan(scan(60), rules)
    assert rules.against(flow_of(PHONE, "02:00:00:00:00:01", 30)) == ("fan-out",)
    assert rules.against(flow_of(PHONE, "02:00:00:00:00:01", 63)) == ()


@pytest.mark.parametrize("connections", [30, 300])
def test_a_browser_that_opens_many_connections_does_not_alert(connections):
    frames = [frame for n in range(connections) for frame in answered(n, f"93.184.{n // 200}.{n % 200 + 1}")]
    assert watch_fan(frames) == []


@pytest.mark.parametrize(
    "frames",
    [
        pytest.param(scan(40, gap=2.0), id="forty ports in eighty seconds"),
        pytest.param([(T0 + n * 0.1, tcp(PHONE, 40000 + n, GATEWAY, 8883, SYN)) for n in range(300)],
                     id="a client that retries one dead broker"),
        pytest.param([frame for n in range(200) for frame in (
            (T0 + n * 0.1, udp(PHONE, 30000 + n, GATEWAY, 53)),
            (T0 + n * 0.1 + 0.01, udp(GATEWAY, 53, PHONE, 30000 + n, **BACK)))],
            id="two hundred answered DNS queries"),
        pytest.param([(T0 + n, udp(PHONE, 5353, "224.0.0.251", 5353)) for n in range(100)]
                     + [(T0 + n, udp(PHONE, 68, "255.255.255.255", 67)) for n in range(100)]
                     + [(T0 + n, udp(PHONE, 7000 + n, "192.168.1.255", 7000 + n)) for n in range(100)],
                     id="multicast and broadcast"),
    ],
)  # fmt: skip
def test_ordinary_traffic_is_no_fan_out(frames):
    assert watch_fan(frames) == []


def test_memory_is_fixed_under_random_sources_and_the_scanner_is_still_found():
    fan, random = FanOut(seed=1), np.random.default_rng(1)
    before = fan.nbytes
    for second in range(5):
        flood = [note(second + n / 4000, random.bytes(4), b"\2" * 4, 80, "02:00:00:00:00:77") for n in range(4000)]
        assert fan.see(flood) == []
    found = fan.see([note(5 + n * 0.01, b"\1" * 4, b"\2" * 4, n + 1) for n in range(60)])
    assert [(alert.src, alert.src_mac) for alert in found] == [("1.1.1.1", ATTACKER_MAC)]
    assert before == fan.nbytes < 6_000_000
    assert len(fan._known) <= 256 and len(fan._told) <= 1024


def test_a_flood_of_random_addresses_and_ports_accuses_its_mac_and_nobody_else():
    fan, random = FanOut(seed=1), np.random.default_rng(2)
    flood = [note(n / 1e4, random.bytes(4), b"\2" * 4, int(random.integers(65536))) for n in range(30_000)]
    assert {(alert.src, alert.src_mac) for alert in fan.see(flood)} == {("", ATTACKER_MAC)}
    assert not fan.blind


def test_when_even_macs_are_random_the_rule_accuses_nobody_and_says_that_it_is_blind():
    fan, random = FanOut(seed=1), np.random.default_rng(2)
    flood = np.zeros(150_000, NOTE)
    flood["first_us"], flood["protocol"], flood["size"] = T0 * 1e6, 6, 4
    for column in ("src", "dst", "src_hw"):
        flood[column][:, 0] = random.integers(1, 2**24, len(flood))
    flood["dst_port"] = random.integers(0, 2**16, len(flood))
    assert fan.see(flood) == []
    assert fan.blind


@pytest.mark.parametrize("count", [5, 60])
def test_either_meters_notes_give_the_same_alerts(count):
    notes = [note(n * 0.01, b"\1" * 4, b"\2" * 4, n + 1) for n in range(count)]
    notes += [note(9 + n * 0.01, b"\x20\1" + bytes(14), b"\x20" * 16, n + 1, protocol=17) for n in range(count)]
    notes.append(note(10, b"\3" * 4, b"\4" * 4, 1)._replace(src_hw=b""))
    compiled = np.zeros(len(notes), rows.NOTE)
    for name in ("src", "dst", "unused_1", "unused_2"):
        compiled[name] = b"\xee" * 3  # what is unused is not looked at
    for row, (first_us, src, dst, port, protocol, mac) in zip(compiled, notes, strict=True):
        row["first_us"], row["src"], row["dst"], row["address_bytes"] = first_us, src, dst, len(src)
        row["dst_port"], row["protocol"], row["src_mac"], row["src_mac_bytes"] = port, protocol, mac, len(mac)
    matrix = as_matrix(notes)
    assert matrix.dtype == NOTE and as_matrix(matrix) is matrix and (as_matrix(compiled) == matrix).all()
    assert as_list(compiled) == as_list(matrix) == as_list(notes) == notes
    alerts = FanOut(seed=1).see(notes)
    assert len(alerts) == (2 if count == 60 else 0) and as_list([]) == [] and len(as_matrix([])) == 0
    assert FanOut(seed=1).see(matrix) == FanOut(seed=1).see(compiled) == alerts
    assert FanOut(seed=1).see([]) == FanOut(seed=1).see(matrix[:0]) == []


def everyday(random, count: int) -> list[Unanswered]:
    """Notes of all kinds: scanners, ICMP there and back, both IP versions, groups, no MAC, a clock that is set."""
    notes, now = [], 0.0
    for _ in range(count):
        now += float(random.choice([0, 0.001, 0.05, 1, 30], p=[0.3, 0.5, 0.18, 0.015, 0.005]))
        now -= float(random.choice([0, 0.5, 5000], p=[0.97, 0.029, 0.001]))
        who, host = int(random.integers(6)), int(random.integers(1, 3 if random.random() < 0.5 else 200))
        port = int(random.choice([53, 80, 40_000, 0])) or int(random.integers(1, 400))
        src, dst = bytes([10, 0, 0, who if who < 4 else random.integers(256)]), bytes([10, 1, 0, host if who else 1])
        protocol = int(random.choice([6, 17, 1], p=[0.6, 0.2, 0.2]))
        if protocol == 1 and random.random() < 0.7:
            src, dst, port = dst, src, 0
        if random.random() < 0.3:
            src, dst = (b"\x20\1" + bytes(5) + one[3:] + random.bytes(8) for one in (src, dst))
            dst, protocol = dst[:8] + bytes(8), {1: 58}.get(protocol, protocol)
        if random.random() < 0.02:
            dst = b"\xe0\0\0\xfb" if len(dst) == 4 else b"\xff\2" + bytes(13) + b"\1"
        mac = bytes([2, 0, 0, 0, 0, who // 3]) if who != 5 else b""
        notes.append(Unanswered(int((T0 + now) * 1e6), src, dst, port, protocol, mac))
    return notes


def left_behind(fan: FanOut) -> tuple:
    """All that a rule remembers."""
    numbers = ("_unit", "_entries", "_unlooked", "_median", "_late")
    spreads = [
        (one._lives.tobytes(), one._filled.tobytes(), *(getattr(one, name) for name in numbers))
        for one in fan._counters.spreads
    ]
    knocked = fan._counters.knocked
    return (
        spreads, bytes(knocked._young), bytes(knocked._old), knocked._generation, list(fan._known.items()),
        fan._allowance, fan._told, fan.suspects._since, fan._pace._reported,
    )  # fmt: skip


@pytest.mark.parametrize("seed", range(6))
def test_few_and_many_notes_at_a_time_are_taken_alike_however_the_stream_is_cut(seed, monkeypatch):
    random = np.random.default_rng(seed)
    notes, sizes = everyday(random, 4000), []
    while sum(sizes) < len(notes):
        sizes.append(int(random.choice([1, 2, 7, 13, 40, 300, 1000])))
    cuts = [0, *np.cumsum(sizes).tolist()]
    found = []
    for few in (0, 12, len(notes)):  # all in numpy, as it comes, all in Python
        monkeypatch.setattr(fan_out, "FEW", few)
        fan = FanOut(ports=12, hosts=40, seed=seed)
        alerts = [fan.see(notes[a:b]) for a, b in itertools.pairwise(cuts)]
        found.append((alerts, left_behind(fan)))
    assert found[0] == found[1] == found[2]
    assert {SID_FAN_PORTS, SID_FAN_HOSTS} <= {alert.signature_id for alerts in found[0][0] for alert in alerts}


def test_the_rule_survives_a_clock_that_steps_back():
    frames = [*scan(30), *((seconds - 86400, frame) for seconds, frame in scan(60))]
    assert kinds(watch_fan(frames)) == [SID_FAN_PORTS]
