"""profiles.py: sets of services and networks by hand, or by a loop over flows; from a capture to the incident."""

import json
from collections.abc import Sequence
from functools import partial
from ipaddress import ip_address
from types import SimpleNamespace

import frames
import numpy as np
import pytest
from edge_process import said
from home_flows import DAY_S, MODEL, SECOND, drawn, resign
from tlids_edge.detect.detector import Verdicts
from tlids_edge.detect.judging import MANY, OUTSIDE, UNLIKE, Batch
from tlids_edge.errors import InputError
from tlids_edge.flows.rows import ROW, mac_numbers, services_of
from tlids_edge.learn import adapt, codes, profiles, state
from tlids_edge.learn.codes import CODES, NETWORKS, SALT_BYTES, SERVICES, Codes
from tlids_edge.learn.home import Home
from tlids_edge.learn.keep import SEEN, Keeper
from tlids_edge.learn.profiles import MAX_DEVICES, REPORTED, Limits, Profiles, Uses

SALT = bytes(range(SALT_BYTES))
FEW = Limits(services=3, networks=3, windows=2)
CLOUD, OTHER = "52.1.2.3", "9.9.9.9"


def flows(*ends: tuple, mac: bool = True) -> np.ndarray:
    """Ended flows, a ROW array, (second, host, destination, port) each, from 10.0.0.HOST or fd00::HOST."""
    rows = np.zeros(len(ends), ROW)
    for row, (second, host, destination, port) in zip(rows, ends, strict=True):
        dst = ip_address(destination).packed
        src = ip_address("10.0.0.0" if len(dst) == 4 else "fd00::") + host
        row["src"], row["dst"], row["address_bytes"] = src.packed.ljust(16, b"\0"), dst.ljust(16, b"\0"), len(dst)
        row["src_port"], row["dst_port"], row["protocol"] = 50_000, port, 6
        row["last_us"], row["proven"] = int(second * SECOND), True
        if mac:
            row["src_mac"], row["src_mac_bytes"] = b"\2\0\0\0" + host.to_bytes(2), 6
    return rows


def seen(rows: np.ndarray, alarm: bool = False, source: int = 1) -> np.ndarray:
    """What the learner makes of flows, a SEEN array."""
    made = np.zeros(len(rows), SEEN)
    made["source"], made["device"] = source, mac_numbers(rows)
    made["service"], made["time_us"], made["proven"] = services_of(rows), rows["last_us"], rows["proven"] > 0
    made["owner"], made["used"] = codes.owners_of(rows), codes.used_services_of(rows)
    made["network"], made["alarm"] = codes.networks_of(rows), alarm
    return made


def keeper_of(*parts: np.ndarray, limits: Limits = FEW) -> Keeper:
    """A keeper that saw SEEN arrays."""
    keeper = Keeper(DAY_S, drawn())
    keeper.profiles = Uses(keeper.window_s, limits, SALT)
    for part in parts:
        keeper.see(part)
    return keeper


def known_of(keeper: Keeper) -> Profiles:
    """What a card says of it, read again."""
    fields = json.loads(json.dumps(profiles.card_of(keeper.profiles)))
    return Profiles(bytes.fromhex(fields["salt"]), fields)


def visits(host: int, ends: Sequence[tuple[str, int]], windows: int = 2, **more) -> np.ndarray:
    """Flows of a host to each of `ends` (address, port), in each of so many windows."""
    return flows(*[(600 * window + 1, host, *end) for window in range(windows) for end in ends], **more)


def are_outside(known: Profiles, host: int, *ends: tuple[str, int], **more) -> list[bool]:
    """Which later flows of a host are outside its profile."""
    return known.are_new(visits(host, ends, 1, **more)).tolist()


def test_a_flow_is_outside_where_its_device_never_used_the_service_or_the_network():
    known = known_of(keeper_of(seen(visits(1, [(CLOUD, 443), (CLOUD, 8883)])), seen(visits(2, [(OTHER, 53)]))))
    ends = (CLOUD, 443), ("52.1.2.200", 8883), ("52.1.3.3", 443), (CLOUD, 53), (OTHER, 443), (OTHER, 53)
    assert are_outside(known, 1, *ends) == [False, False, True, True, True, True]
    assert are_outside(known, 2, *ends) == [True, True, True, True, True, False]
    assert are_outside(known, 3, *ends) == [False] * 6  # a device that has no profile
    assert not len(known.are_new(flows()))


def test_of_ipv6_destinations_the_first_32_bits_count():
    known = known_of(keeper_of(seen(visits(1, [("2a00:1450:4001::1", 443)]))))
    ends = ("2a00:1450:ffff:1::9", 443), ("2a00:1451:4001::1", 443), ("42.0.20.80", 443)
    assert are_outside(known, 1, *ends) == [False, True, True]


@pytest.mark.parametrize("destinations", [(CLOUD, OTHER), ("2a00:1450::1", "2a00:1451::1")])
@pytest.mark.parametrize("zeros", [0, 6])
def test_without_a_mac_the_address_is_the_device(destinations, zeros):
    def told(rows: np.ndarray) -> np.ndarray:
        rows["src_mac_bytes"] = zeros  # of the loopback interface
        return rows

    ends = [(each, 443) for each in destinations]
    known = known_of(keeper_of(seen(told(visits(1, ends[:1], mac=False)))))
    assert known.are_new(told(visits(1, ends, 1, mac=False))).tolist() == [False, True]
    assert not known.are_new(told(visits(2, ends, 1, mac=False))).any()
    assert not are_outside(known, 1, *ends)[1]  # the same address with a MAC is another device
    assert (
        codes.owners_of(told(flows(*[(1, host, destinations[0], 1) for host in range(50)], mac=False))) >> np.uint64(63)
    ).all()


def test_a_device_that_uses_more_than_the_limit_roams_in_that_respect_alone():
    ports = [(CLOUD, 1000 + port) for port in range(4)]
    hosts = [(f"52.1.{net}.3", 443) for net in range(4)]
    known = known_of(keeper_of(seen(visits(1, ports[:3])), seen(visits(2, ports)), seen(visits(3, hosts))))
    assert are_outside(known, 1, (CLOUD, 99)) == [True]
    assert are_outside(known, 2, (CLOUD, 99), (OTHER, 1000)) == [False, True]
    assert are_outside(known, 3, (OTHER, 443), (OTHER, 99)) == [False, True]
    rests = keeper_of(*[seen(visits(1, [(CLOUD, port)], 1)) for port in range(1000, 1004)]).profiles
    assert rests.learned(SERVICES) == []  # for good, also when it used one at a time
    rests.add(seen(flows((9_000, 1, CLOUD, 1000))), np.array([9_000.0]))
    assert rests.learned(SERVICES) == []


@pytest.mark.parametrize(("windows", "has"), [(35, False), (36, True)])
def test_a_device_that_was_on_too_seldom_has_no_profile(windows, has):
    keeper = keeper_of(seen(visits(1, [(CLOUD, 443)] * 3, windows)), limits=profiles.LIMITS)
    assert are_outside(known_of(keeper), 1, (OTHER, 443)) == [has]


def test_a_device_begins_with_its_first_proven_flow_and_forged_macs_fill_nothing():
    forged = flows(*[(1 + host / 10_000, host, CLOUD, 443) for host in range(9_000)])
    forged["proven"] = False
    mixed = visits(1, [(CLOUD, 80), (CLOUD, 443), (OTHER, 22)])
    mixed["proven"] = [False, True, False, False, False, False]
    keeper = keeper_of(seen(forged))
    assert keeper.profiles.saved()["devices"] == [] and keeper.profiles.learned(SERVICES) == []
    known = known_of(keeper_of(seen(mixed[:3]), seen(mixed[4:])))
    assert are_outside(known, 1, (CLOUD, 80), (CLOUD, 443), (CLOUD, 22)) == [True, False, False]


def test_the_first_devices_have_entries_and_a_device_waits_with_few_pairs():
    many = flows(*[(1 + host / 10_000, host, CLOUD, 443) for host in range(2 * MAX_DEVICES)])
    keeper = keeper_of(seen(many), seen(many[::-1]))
    assert len(keeper.profiles.saved()["devices"]) == MAX_DEVICES
    first = Codes(SALT).devices(codes.owners_of(many[:1]))[0]
    assert keeper.profiles.saved()["devices"][0][0] == first
    scan = flows(*[(1 + port / 10_000, 1, CLOUD, port) for port in range(1, 9_000)])
    keeper = keeper_of(*[seen(part) for part in np.split(scan, range(250, 8_999, 250))])
    assert len(keeper.profiles._sets[SERVICES]._waiting) <= 2 * FEW.services + 1


@pytest.mark.parametrize("batch", [1, 256])
@pytest.mark.parametrize("proven", [True, False])
def test_what_is_screened_teaches_nothing_and_a_burst_takes_back_its_minute(proven, batch):
    own = visits(1, [(CLOUD, 443)])
    scan = flows(*[(675 + index, 1, OTHER, 22 + index % 2) for index in range(40)])
    scan["proven"] = proven

    def learned(alarm: bool, *more: np.ndarray) -> Profiles:
        keeper = keeper_of(seen(own))
        parts = np.concatenate([*map(seen, more), seen(scan, alarm)])
        for start in range(0, len(parts), batch):
            keeper.see(parts[start : start + batch])
        return known_of(keeper)

    assert are_outside(learned(False), 1, (OTHER, 22)) == [False]
    assert are_outside(learned(True), 1, (OTHER, 22), (OTHER, 443), (CLOUD, 443)) == [True, True, False]
    before = flows((672, 1, CLOUD, 25))
    assert are_outside(learned(True, before), 1, (CLOUD, 25)) == [proven]  # of another service, and itself proven
    scan["last_us"] += 100 * SECOND
    assert are_outside(learned(True, before), 1, (CLOUD, 25)) == [False]  # more than a minute before


def test_what_a_burst_took_back_is_learned_when_it_comes_again():
    scan = flows(*[(675 + index / 10, 1, OTHER, 22) for index in range(40)])
    keeper = keeper_of(seen(visits(1, [(CLOUD, 443)])), seen(scan, alarm=True))
    assert are_outside(known_of(keeper), 1, (OTHER, 22)) == [True]
    keeper.see(seen(flows((1900, 1, OTHER, 22))))
    assert are_outside(known_of(keeper), 1, (OTHER, 22)) == [False]


def test_a_restart_within_a_burst_keeps_nothing_of_it():
    begun = seen(flows(*[(675 + index, 1, f"9.9.{index}.9", 22) for index in range(9)]), alarm=True)
    first = keeper_of(seen(visits(1, [(CLOUD, 443)])), begun)
    again = keeper_of()
    again.profiles.restore(json.loads(json.dumps(first.profiles.saved())))
    again.see(seen(visits(1, [(CLOUD, 443)])))
    assert are_outside(known_of(again), 1, ("9.9.1.9", 22), (CLOUD, 443)) == [True, False]


def test_a_burst_of_another_source_takes_nothing_back():
    scan = flows(*[(605 + index / 10, 2, OTHER, 23) for index in range(40)])
    keeper = keeper_of(seen(flows((1, 1, CLOUD, 443), (604, 1, CLOUD, 25))), seen(scan, alarm=True, source=2))
    assert are_outside(known_of(keeper), 1, (CLOUD, 443), (CLOUD, 25), (OTHER, 443)) == [False, False, True]


def test_windows_and_services_are_of_learned_time_also_when_a_batch_has_many():
    rows = visits(1, [(CLOUD, 443)], 40)
    uses = Uses(600, profiles.LIMITS, SALT)
    uses.add(seen(rows), rows["last_us"] / 1e6)
    assert len(uses.learned(SERVICES)) == 1


@pytest.mark.parametrize("batch", [1, 7, 256])
def test_what_is_learned_is_that_of_a_loop_over_single_flows(batch):
    chance = np.random.default_rng(4)
    hosts, ports, nets = chance.integers(1, 30, 3000), chance.geometric(0.6, 3000), chance.geometric(0.6, 3000)
    rows = flows(*[(9 * turn, int(host), f"10.1.{net}.1", int(host % 7 * 100 + port)) for turn, (host, port, net) in
                   enumerate(zip(hosts, ports, nets, strict=True))])  # fmt: skip
    rows["proven"] = chance.random(3000) < 0.3
    limits, numbers, used = Limits(6, 5, 38), Codes(SALT), {}
    for row, owner, service, net in zip(rows, codes.owners_of(rows), ports, nets, strict=True):
        if row["proven"] or owner in used:
            sets = used.setdefault(owner, (set(), set(), set()))
            for each, value in zip(sets, (service, net, row["last_us"] // (600 * SECOND)), strict=True):
                each.add(value)
    uses = Uses(600, limits, SALT)
    for start in range(0, len(rows), batch):
        part = rows[start : start + batch]
        uses.add(seen(part), part["last_us"] / 1e6)
    for place, (kind, limit) in enumerate(((SERVICES, 6), (NETWORKS, 5))):
        expected = {int(numbers.devices(np.array([owner]))[0]): len(sets[place]) for owner, sets in used.items()
                    if len(sets[2]) >= 38 and len(sets[place]) <= limit}  # fmt: skip
        found = [pair >> codes.BITS for pair in uses.learned(kind)]
        assert {device: found.count(device) for device in found} == expected
        assert 3 < len(expected) < 28


def test_codes_are_splitmix64_in_a_chain():
    def mixed(*words: int) -> int:
        total = 0
        for word in words:
            total = (total ^ word) + 0x9E3779B97F4A7C15 & (1 << 64) - 1
            total = (total ^ total >> 30) * 0xBF58476D1CE4E5B9 & (1 << 64) - 1
            total = (total ^ total >> 27) * 0x94D049BB133111EB & (1 << 64) - 1
            total ^= total >> 31
        return total

    owners, things = np.array([1, 1 << 63, 77], np.uint64), np.array([5, 6 << 16 | 443, 0], np.uint32)
    salt = int.from_bytes(SALT[:8], "little"), int.from_bytes(SALT[8:], "little")
    numbers, plain = Codes(SALT), list(zip(owners.tolist(), things.tolist(), strict=True))
    devices = numbers.devices(owners)
    assert devices.tolist() == [mixed(mixed(*salt, 0), owner) >> 44 for owner, _ in plain]
    for number, kind in ((1, SERVICES), (2, NETWORKS)):
        found = numbers.pairs(kind, devices, owners, things)
        assert (found >> 20).tolist() == devices.tolist()
        assert (found % CODES).tolist() == [mixed(mixed(*salt, number), *both) >> 44 for both in plain]
    assert mixed(0) == 0xE220A8397B1DCDAF  # the first number of the published generator for the seed 0


def test_of_a_new_use_twenty_flows_a_day_are_reported():
    known, day = known_of(keeper_of(seen(visits(1, [(CLOUD, 443)])))), 86_400

    def reported(*seconds: float, port: int = 443, proven: bool = True) -> list[bool]:
        rows = flows(*[(10 * day + second, 1, OTHER, port) for second in seconds])
        rows["proven"] = proven
        return known.are_new(rows).tolist()

    assert all(reported(*range(REPORTED), proven=False)) and reported(30, proven=False) == [False]
    assert all(reported(*range(REPORTED - 5))), "a forger does not use up what is reported of proven flows"
    assert reported(*[60 * minute for minute in range(30, 36)]) == [True] * 5 + [False]
    assert reported(2000, port=22) == [True]  # another use, on the same network
    assert reported(day - 1, day, day + 1) == [False, True, True]
    assert reported(day - 299, day - 301) == [True, True]  # disorder, and a clock that was set back


def test_many_new_uses_take_bounded_memory_and_hide_none():
    known = known_of(keeper_of(seen(visits(1, [(CLOUD, 443)]))))
    again = flows(*[(5000, 1, OTHER, 443)] * (REPORTED + 1))
    assert known.are_new(again).tolist() == [True] * REPORTED + [False]
    scan = flows(*[(5000, 1, f"9.{net >> 8}.{net % 256}.1", 443) for net in range(3 * profiles.MAX_NEW)])
    assert known.are_new(scan).mean() > 0.999
    assert max(map(len, known._reported.values())) <= profiles.MAX_NEW
    assert known.are_new(again)[0]  # forgotten, so reported again


def test_a_service_is_the_port_that_is_called_whatever_the_callers_own_port():
    rows = flows((1, 1, CLOUD, 9999), (1, 1, CLOUD, 40_000), (1, 1, CLOUD, 60_000))
    rows["src_port"] = 1101, 50_000, 443  # the last one was seen from its middle on, by its answer
    assert (codes.used_services_of(rows) & 0xFFFF).tolist() == [9999, 40_000, 443]
    known = known_of(keeper_of(seen(rows[:1]), seen(visits(1, [(CLOUD, 9999)]))))
    rows["src_port"], rows["dst_port"] = (4200, 700, 33_000), 9999
    assert not known.are_new(rows).any()


def test_equal_codes_accuse_nobody_and_hide_little(monkeypatch):
    uses = [(f"52.1.{net}.3", 443) for net in range(16)]
    known = known_of(keeper_of(seen(visits(1, uses, 36)), limits=profiles.LIMITS))
    probes = flows(*[(1, 1, f"9.{net >> 8}.{net % 256}.1", 443) for net in range(20_000)])
    assert not known.are_new(visits(1, uses)).any()
    assert known.are_new(probes).sum() >= 19_990  # 0.3 are expected to be missed
    monkeypatch.setattr(codes, "_top", lambda mixed: (mixed >> np.uint64(62)).astype(np.int64))
    colliding = known_of(keeper_of(*[seen(visits(host, uses[host : host + 2])) for host in range(9)]))
    for host in range(9):
        assert not colliding.are_new(visits(host, uses[host : host + 2])).any()


@pytest.fixture
def saved(tmp_path):
    """A state folder with profiles, its key, and the keeper that wrote it."""
    folder = state.open_folder(tmp_path / "state")
    roams = [(CLOUD, port) for port in range(1, 30)]
    keeper = keeper_of(seen(visits(1, [(CLOUD, 443)], 40)), seen(visits(2, roams, 40)), limits=profiles.LIMITS)
    state.save(folder, state.read_key(folder), keeper, {})
    return folder, state.read_key(folder), keeper


def resigned(folder, key, change) -> tuple[dict | None, str, Keeper]:
    """Change the header of what was saved, sign it again, load it."""
    resign(folder, key, change)
    keeper = Keeper(DAY_S, drawn())
    return *state.load(folder, key, keeper), keeper


def test_profiles_survive_a_restart_and_go_on(saved):
    folder, key, keeper = saved
    again = resigned(folder, key, lambda header: None)[2]
    assert again.profiles.saved() == keeper.profiles.saved() and again.profiles.card() == keeper.profiles.card()
    assert [entry[3] is None for entry in again.profiles.saved()["devices"]] == [False, True]
    later = flows((30_000, 1, OTHER, 443), (30_001, 2, OTHER, 1))
    later["proven"] = False  # they proved themselves before
    again.see(seen(later))
    again.see(seen(flows((30_002, 3, OTHER, 443))))
    assert are_outside(known_of(again), 1, (OTHER, 443)) == [False]
    assert are_outside(known_of(again), 2, (OTHER, 99)) == [False]  # still roams
    assert len(again.profiles.saved()["devices"]) == 3


def test_a_keeper_draws_its_own_salt_and_the_state_has_no_address(saved):
    assert len({Keeper(DAY_S).profiles.card()["salt"] for _ in range(9)}) == 9
    told = json.dumps(state.peek(*saved[:2])["profiles"])
    assert all(number < CODES for number in json.loads(told)["devices"][0][3])


def test_a_state_of_an_earlier_version_loads_and_has_no_profiles_to_its_end(saved):
    extra, why, keeper = resigned(*saved[:2], lambda header: header.pop("profiles"))
    assert (extra, why, keeper.profiles) == ({}, "", None)
    keeper.see(seen(flows((30_000, 1, OTHER, 443))))
    keeper.see(seen(flows(*[(30_010, 1, OTHER, 443)] * 20), alarm=True))
    assert profiles.card_of(keeper.profiles) is None and profiles.read(None) is None
    state.save(*saved[:2], keeper, {})
    assert "profiles" not in state.peek(*saved[:2])


def entry(*changed: object, salt: object = SALT.hex()) -> dict:
    """A saved state of one device, with the last fields changed."""
    usual = [5, 3, 7, [1, 2], [3]]
    return {"salt": salt, "devices": [[*usual[: len(usual) - len(changed)], *changed]]}


def test_the_entry_that_is_damaged_below_is_sound(saved):
    extra, why, _ = resigned(*saved[:2], lambda header: header.update(profiles=entry()))
    assert (extra, why) == ({}, "")


@pytest.mark.parametrize(
    "told",
    [
        None, [], 7, {}, {"salt": SALT.hex()}, {"devices": []}, {"salt": SALT.hex(), "devices": {}},
        {"salt": SALT.hex(), "devices": [7]}, {"salt": SALT.hex(), "devices": [[5, 3, 7, [1]]]},
        {"salt": SALT.hex(), "devices": [[5, 3, 7, [1], [3], [4]]]},
        {"salt": SALT.hex(), "devices": [[5, 3, 7, [], []]] * 2},
        {"salt": SALT.hex(), "devices": [[device, 1, 1, [], []] for device in range(MAX_DEVICES + 1)]},
        entry(salt=None), entry(salt="00"), entry(salt="0x" + 30 * "0"), entry(salt="g" * 32), entry(salt=5),
        entry(CODES, 3, 7, [], []), entry(-1, 3, 7, [], []), entry("5", 3, 7, [], []), entry(True, 3, 7, [], []),
        entry(-1, 7, [], []), entry(9, 7, [], []), entry(1.5, 7, [], []), entry(3, -2, [], []), entry(1 << 60, [], []),
        entry({}, []), entry("1", []), entry([2, 1], []), entry([1, 1], []), entry([CODES], []), entry([1.0], []),
        entry([True], []), entry(list(range(17)), []), entry([-1]), entry(3), entry(list(range(17))), entry([[1]]),
    ],
)  # fmt: skip
def test_a_state_with_damaged_profiles_is_left_unread_with_one_sentence(saved, told):
    extra, why, _ = resigned(*saved[:2], lambda header: header.update(profiles=told))
    assert extra is None and why.startswith("expected a learned state in ")


def test_what_a_card_says_comes_back(saved):
    fields = json.loads(json.dumps(profiles.card_of(saved[2].profiles)))
    assert fields["salt"] == SALT.hex() and len(fields[SERVICES]) == 1 and len(fields[NETWORKS]) == 2
    assert are_outside(profiles.read(fields), 1, (CLOUD, 443), (OTHER, 443)) == [False, True]
    nobody = profiles.read({"salt": SALT.hex(), SERVICES: [], NETWORKS: []})
    assert are_outside(nobody, 1, (CLOUD, 443)) == [False]


def card(services: object = (), networks: object = (), salt: object = SALT.hex()) -> dict:
    """A card's profiles."""
    return {"salt": salt, SERVICES: [*services] if isinstance(services, tuple) else services,
            NETWORKS: [*networks] if isinstance(networks, tuple) else networks}  # fmt: skip


@pytest.mark.parametrize(
    "fields",
    [
        [], "16", 7, {}, {"salt": SALT.hex()}, {"salt": SALT.hex(), SERVICES: []}, {SERVICES: [], NETWORKS: []},
        card(salt=None), card(salt="00"), card(salt=SALT.hex().upper()), card(salt="-" + SALT.hex()[1:]), card(salt=[]),
        card({}), card("1"), card(None), card((-1,)), card((CODES << 20,)), card((1.0,)), card((True,)), card(("1",)),
        card((2, 1)), card((1, 1)), card((float("nan"),)), card(([1],)), card((), (2, 1)), card((), {}),
        card(tuple(range(17))), card((), tuple(range(17))),
        card(tuple(device << 20 for device in range(MAX_DEVICES + 1))),
    ],
)  # fmt: skip
def test_a_damaged_card_is_refused_with_one_sentence(fields):
    with pytest.raises(InputError, match=r"^expected profiles of at most 256 devices .*: adapt again$") as told:
        profiles.read(fields)
    assert len(str(told.value)) < 250


def test_the_largest_card_is_read():
    pairs = tuple(device << 20 | code for device in range(MAX_DEVICES) for code in range(16))
    assert profiles.read(card(pairs, pairs)) is not None


def test_a_flow_that_is_new_in_several_ways_is_told_of_once_and_an_alarm_in_none():
    rows = np.concatenate([visits(1, [(OTHER, 443)], 8), visits(1, [(CLOUD, 443)], 1)])
    alerts = np.array([True] * 4 + [False] * 5)
    verdicts = Verdicts(rows, np.zeros((9, 2), np.float32), ["Benign"] * 9, alerts, np.zeros(9))
    home = Home(profiles=known_of(keeper_of(seen(visits(1, [(CLOUD, 443)])))))

    def novel() -> list[int]:
        return home.see(Batch(verdicts, np.zeros(9, np.uint8))).novel.tolist()

    assert novel() == [0] * 4 + [OUTSIDE] * 4 + [0]
    home.rates = SimpleNamespace(are_many=lambda some: np.arange(len(some)) >= 3)
    assert novel() == [0] * 4 + [OUTSIDE] * 4 + [MANY]
    home.novelty = SimpleNamespace(is_new=lambda some: np.arange(len(some)) < 1)
    assert novel() == [0] * 4 + [UNLIKE] + [OUTSIDE] * 3 + [MANY]
    home.profiles = None
    assert novel() == [0] * 4 + [UNLIKE, 0, 0, MANY, MANY]


def talks(host: int, networks: Sequence[int], seconds: np.ndarray) -> list[tuple[float, bytes]]:
    """Packets of short connections of one host to servers in networks in turn, one begun at each of `seconds`."""
    begun = partial(frames.conversation, own=f"02:00:00:00:01:{host:02x}")
    return [packet for turn, second in enumerate(seconds.tolist()) for packet in
            begun(f"192.168.1.{host}", 20_000 + turn, f"52.1.{networks[turn % len(networks)]}.9", 8883,
                  frames.T0 + second)]  # fmt: skip


def test_a_device_that_begins_to_talk_to_a_new_network_is_an_incident_and_one_that_roams_is_none(tmp_path):
    always, later_s = np.arange(0, 610, 2.0), np.linspace(1, 40, 9)
    home = frames.put(tmp_path / "home.pcap", talks(11, [1, 2], always), talks(12, range(1, 30), always + 0.7))
    later = frames.put(tmp_path / "later.pcap", talks(11, [77], later_s), talks(12, [88], later_s),
                talks(13, [99], later_s))  # fmt: skip
    folder, model = tmp_path / "state", tmp_path / "model"
    learn = "--learn", "10m", "--learn-rows", 50, "--state", folder
    said("--model", MODEL, "--source", home, "--eve", "/dev/null", *learn)
    adapt.adapt_folder(MODEL, folder, model)
    fields = json.loads((model / "card.json").read_text())
    assert [len(fields["profiles"][kind]) for kind in (SERVICES, NETWORKS)] == [2, 2]
    told, eve = tmp_path / "incidents.json", tmp_path / "eve.json"
    words = said("--model", model, "--source", later, "--eve", eve, "--incidents", told)
    assert "novelty: 9 flows" in words and "1 incidents" in words
    opened = json.loads(told.read_text().splitlines()[0])["alert"]
    assert opened["signature"] == "TL-IDS incident: unusual service or network from 192.168.1.11 (proven)"
    assert opened["severity"] == 4 and opened["metadata"]["tlids_classes"] == ["unusual service or network=3"]
    alert = json.loads(eve.read_text().splitlines()[0])["alert"]
    assert (alert["signature_id"], alert["severity"]) == (9_180_002, 4)
    assert alert["signature"].endswith("a service or network that this device did not use while the home was learned")
    assert "novelty" not in said("--model", model, "--source", later, "--eve", "/dev/null", "--no-novelty")
    again = tmp_path / "again"
    state.wipe(folder)
    said("--model", model, "--source", home, "--eve", "/dev/null", *learn)
    resign(folder, state.read_key(folder), lambda header: header.pop("profiles"))
    adapt.adapt_folder(model, folder, again)
    assert json.loads((again / "card.json").read_text())["profiles"] is None  # not its parent's
    switched_off = Home(tells_novelty=False)
    switched_off.know(model, fields)
    assert switched_off.profiles is None
