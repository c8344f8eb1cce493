"""rates.py: counts and limits worked out by hand, or by a loop over single flows; from a capture to the incident."""

import json
from collections import Counter

import frames
import numpy as np
import pytest
from edge_process import said
from home_flows import DAY_S, MODEL, SECOND, drawn, resign, seen
from tlids_edge.errors import InputError
from tlids_edge.flows.rows import ROW
from tlids_edge.learn import adapt, rates, state
from tlids_edge.learn.home import Home
from tlids_edge.learn.keep import SEEN, Keeper
from tlids_edge.learn.rates import MAX_PAIRS, MAX_SERVICES, MAX_SOURCES, Peaks, Rates, Rule

WEB, MQTT = 6 << 16 | 80, 6 << 16 | 1883
RULE = Rule(floor=5, factor=2.0, rank=3)


def flows(times: list[float], hosts: list[int] | int = 1, ports: list[int] | int = 80) -> np.ndarray:
    """Ended flows of hosts 10.0.0.0 + HOST to ports, a ROW array."""
    rows = np.zeros(len(times), ROW)
    address = np.zeros((len(times), 16), np.uint8)
    address[:, :4] = (np.broadcast_to(np.asarray(hosts), len(times)) + (10 << 24)).astype(">u4").view(np.uint8).reshape(
        -1, 4
    )  # fmt: skip
    rows["src"], rows["address_bytes"], rows["protocol"] = address.view("V16")[:, 0], 4, 6
    rows["src_port"], rows["dst_port"] = 40_000 + np.arange(len(times)) % 20_000, ports
    rows["last_us"], rows["proven"] = (np.asarray(times) * SECOND).astype(np.int64), True
    return rows


def counted(counts: dict[int, int], window_s: float = 600, rule: Rule = RULE) -> dict[int, int]:
    """What is learned of a source with so many flows in the first minute of each window (number -> flows)."""
    keeper = Keeper(window_s * 144, drawn())
    keeper.rates = Peaks(window_s, rule)
    keeper.see([seen(window * window_s + bool(window) + index / 100, service=WEB, proven=True)
                for window, count in sorted(counts.items()) for index in range(count)])  # fmt: skip
    return keeper.rates.learned()


def test_flows_are_too_many_from_the_one_on_that_exceeds_the_learned_count_times_the_factor():
    known = Rates({WEB: 20}, RULE)
    assert known.are_many(flows([index / 10 for index in range(50)])).tolist() == [False] * 40 + [True] * 10
    assert known.are_many(flows([10] * 7, ports=23)).tolist() == [False] * 5 + [True] * 2  # never learned: the floor
    assert not Rates({WEB: 2}, RULE).are_many(flows([0] * 5)).any()  # 4 is less than the floor


def test_each_source_each_service_and_each_minute_has_its_own_count():
    known = Rates({}, RULE)
    assert not known.are_many(flows([0] * 10, hosts=[1, 2] * 5)).any()
    assert not known.are_many(flows([0] * 10, hosts=3, ports=[22, 23] * 5)).any()
    assert not known.are_many(flows([59] * 5 + [60] * 5, hosts=4)).any()
    assert known.are_many(flows([61], hosts=4)).all()


def test_who_had_too_many_in_a_minute_has_too_many_at_once_in_the_next_while_it_goes_on():
    known = Rates({}, RULE)
    assert known.are_many(flows([0] * 6)).tolist() == [False] * 5 + [True]
    assert known.are_many(flows([60] * 6)).all()  # five are usual, but it goes on
    assert not known.are_many(flows([61] * 5, hosts=2)).any() and not known.are_many(flows([61] * 5, ports=23)).any()
    assert known.are_many(flows([120] * 2)).all()
    assert not known.are_many(flows([180] * 5)).any()  # two a minute are usual again
    known.are_many(flows([240] * 9))
    assert not known.are_many(flows([360] * 5)).any()  # a minute of silence
    known.are_many(flows([361] * 5))
    assert not known.are_many(flows([10] * 5)).any()  # a clock that was set back


def test_what_a_forger_sends_marks_nothing_of_the_next_minute():
    known, forged = Rates({}, RULE), flows([0] * 9)
    forged["proven"] = False
    assert known.are_many(forged).sum() == 4
    assert not known.are_many(flows([60] * 5)).any()


def test_a_late_flow_counts_in_the_minute_that_runs_and_a_clock_that_was_set_back_begins_again():
    known = Rates({}, RULE)
    known.are_many(flows([601] * 5))
    assert known.are_many(flows([599])).all()  # the sixth of this minute
    assert known.are_many(flows([602, 302])).all()  # that is five minutes behind, and no more
    assert not known.are_many(flows([301] * 5)).any()
    assert known.are_many(flows([302])).all()


@pytest.mark.parametrize("batch", [1, 7, 256])
def test_counts_are_those_of_a_loop_over_single_flows(batch):
    chance = np.random.default_rng(3)
    times = 1000 + np.cumsum(chance.choice([0, 0.5, 3, -2, 70, -400], 2000, p=[0.5, 0.4, 0.06, 0.03, 0.008, 0.002]))
    hosts, ports = chance.integers(1, 4, 2000), chance.choice([80, 1883], 2000)
    clock, minute, counts, many, before, expected = None, None, Counter(), set(), set(), []
    for time, host, port in zip(times.tolist(), hosts.tolist(), ports.tolist(), strict=True):
        clock = time if clock is None or time < clock - 300 else max(clock, time)
        if clock // 60 != minute:
            before = many if minute is not None and clock // 60 == minute + 1 else set()
            minute, counts, many = clock // 60, Counter(), set()
        counts[host, port] += 1
        if exceeds := counts[host, port] > {80: 12, 1883: 5}[port]:
            many.add((host, port))
        expected.append(exceeds or (host, port) in before)
    rows, known = flows(times, hosts, ports), Rates({WEB: 6}, RULE)
    found = [known.are_many(rows[start : start + batch]) for start in range(0, len(rows), batch)]
    assert np.concatenate(found).tolist() == expected and 100 < sum(expected) < 1900


def test_a_flood_of_sources_fills_no_memory_hides_no_source_and_accuses_none():
    known, marked = Rates({}, RULE), []
    for turn in range(300):  # 60,000 sources with one flow each, and one that guesses
        rows = flows([30] * 210, hosts=[*range(1000 + 200 * turn, 1200 + 200 * turn), *[7] * 10])
        many = known.are_many(rows)
        assert len(known._counts) <= MAX_PAIRS and not many[:200].any()
        marked += many[200:].tolist()
    assert sum(marked) > 2900  # of 3,000


def test_what_is_learned_is_the_third_highest_count_of_a_source_in_a_minute():
    assert counted({0: 50, 1: 40, 2: 30, 3: 20}) == {WEB: 30}
    assert counted({0: 20, 1: 30, 2: 40, 3: 50}) == {WEB: 30}
    assert counted({0: 50, 1: 40}) == {}  # a burst that crosses from one window to the next teaches nothing
    assert counted({0: 2, 1: 2, 2: 2}) == {}  # the floor counts anyway
    keeper = Keeper(DAY_S, drawn())
    keeper.see([seen(600 * window + bool(window) + index / 10, source=source, service=WEB)
                for window in range(3) for index in range(20) for source in (1, 2)])  # fmt: skip
    assert keeper.rates.learned() == {WEB: 20}  # of one source, not of all


def test_two_bursts_in_one_window_are_one():
    keeper = Keeper(DAY_S, drawn())
    keeper.see([seen(60 * minute + index / 10, service=WEB) for minute in range(9) for index in range(20)])
    assert keeper.rates.learned() == {}


@pytest.mark.parametrize("proven", [True, False])
def test_a_burst_that_the_screen_takes_back_does_not_raise_the_limit(proven):
    def learned(alarms: int) -> dict[int, int]:
        keeper = Keeper(DAY_S, drawn())
        for window in range(5):
            keeper.see([seen(600 * window + index / 4, service=WEB, proven=proven) for index in range(100)]
                       + [seen(600 * window + 26 + index / 9, service=WEB, alarm=True, proven=proven)
                          for index in range(alarms)])  # fmt: skip
            keeper.see([seen(600 * window + 28 + index / 9, service=WEB, proven=proven) for index in range(90)])
        return keeper.rates.learned()

    assert learned(0) == {WEB: 190} and learned(10) == {}


def test_a_patient_attacker_who_never_alarms_raises_the_limit_of_the_service_and_no_other():
    keeper = Keeper(DAY_S, drawn())
    for window in range(3):
        keeper.see([seen(600 * window + index / 9, source=9, service=MQTT) for index in range(200)])
    known = Rates(keeper.rates.learned())
    assert not known.are_many(flows([9000] * 800, ports=1883)).any()
    assert known.are_many(flows([9000] * 31)).sum() == 1


def test_learning_counts_a_bounded_number_of_sources_and_services():
    keeper = Keeper(DAY_S, drawn())
    keeper.see([seen(index / 200, source=index + 1) for index in range(MAX_SOURCES + 900)])
    assert sum(map(len, keeper.rates._open.values())) == MAX_SOURCES
    peaks = Peaks(600, Rule(2, 2.0, 1))
    for part in range(40):
        many = np.array([seen(0, source=part, service=100 * part + index // 2) for index in range(100)], SEEN)
        peaks.add(many, np.full(100, 200.0 * part))
    assert len(peaks.learned()) == MAX_SERVICES


@pytest.fixture
def saved(tmp_path):
    """A state folder with counts, its key, and the keeper that wrote it."""
    folder = state.open_folder(tmp_path / "state")
    key, keeper = state.read_key(folder), Keeper(DAY_S, drawn())
    keeper.see([seen(600 * window + bool(window) + index / 10, service=WEB)
                for window in range(4) for index in range(20 + window)])  # fmt: skip
    state.save(folder, key, keeper, {})
    return folder, key, keeper


def resigned(folder, key, change) -> tuple[dict | None, str, Keeper]:
    """Change the header of what was saved, sign it again, load it."""
    resign(folder, key, change)
    keeper = Keeper(DAY_S, drawn())
    return *state.load(folder, key, keeper), keeper


def test_counts_survive_a_restart_and_go_on(saved):
    again = resigned(*saved[:2], lambda header: None)[2]
    assert again.rates.learned() == saved[2].rates.learned() == {WEB: 21}
    again.see([seen(time + index / 10, service=WEB) for time in (3000, 4000) for index in range(60)])
    assert again.rates.learned() == {WEB: 22}


def test_a_state_of_the_version_before_loads_and_has_no_counts_to_its_end(saved):
    extra, why, keeper = resigned(*saved[:2], lambda header: header.pop("rates"))
    assert (extra, why, keeper.rates) == ({}, "", None)
    keeper.see([seen(3000 + index / 10, service=WEB) for index in range(60)])
    assert rates.card_of(keeper.rates) is None
    state.save(*saved[:2], keeper, {})
    assert "rates" not in state.peek(*saved[:2])


@pytest.mark.parametrize(
    "counts",
    [
        None, {}, 7, [7], [[WEB]], [[WEB, 3]], [[WEB, [[1, 2, 3]]]], [["80", [[1, 2]]]], [[-1, [[1, 2]]]],
        [[1 << 24, [[1, 2]]]], [[WEB, [[1, 1 << 40]]]], [[WEB, [[1, 0]]]], [[WEB, [[True, 2]]]], [[WEB, [[1, 2.5]]]],
        [[WEB, [[window, 2] for window in range(4)]]], [[service, [[1, 2]]] for service in range(MAX_SERVICES + 1)],
    ],
)  # fmt: skip
def test_a_state_with_damaged_counts_is_left_unread_with_one_sentence(saved, counts):
    extra, why, _ = resigned(*saved[:2], lambda header: header.update(rates=counts))
    assert extra is None and why.startswith("expected a learned state in ")


def test_what_a_card_says_comes_back(saved):
    fields = json.loads(json.dumps(rates.card_of(saved[2].rates)))
    assert fields == {"window_s": 60, "services": [[WEB, 21]]}
    assert rates.read(fields).learned == {WEB: 21} and rates.read(None) is None
    assert rates.read({"window_s": 60, "services": []}).are_many(flows([0] * 31)).sum() == 1


@pytest.mark.parametrize(
    "fields",
    [
        [], "60", {}, {"window_s": 60}, {"window_s": 30, "services": []}, {"window_s": 60, "services": {}},
        {"window_s": 60, "services": [[WEB]]}, {"window_s": 60, "services": [[WEB, "9"]]},
        {"window_s": 60, "services": [[WEB, 1 << 32]]}, {"window_s": 60, "services": [[WEB, 0]]},
        {"window_s": 60, "services": [[True, 9]]}, {"window_s": 60, "services": [[1 << 24, 9]]},
        {"window_s": 60, "services": [[WEB, float("nan")]]}, {"window_s": 60, "services": [7]},
        {"window_s": 60, "services": [[service, 9] for service in range(MAX_SERVICES + 1)]},
    ],
)  # fmt: skip
def test_a_damaged_card_is_refused_with_one_sentence(fields):
    with pytest.raises(InputError, match=r"^expected rates of at most 1,024 services .*: adapt again$") as told:
        rates.read(fields)
    assert len(str(told.value)) < 250


def visits(host: int, seconds: np.ndarray) -> list[tuple[float, bytes]]:
    """Packets of short connections of one host to the same port, one begun at each of `seconds`."""
    source = f"192.168.1.{host}"
    return [packet for number, second in enumerate(seconds.tolist()) for packet in
            frames.conversation(source, 20_000 + number, "192.168.1.50", 8080, frames.T0 + second)]  # fmt: skip


def test_more_connections_than_the_home_ever_had_are_an_incident_and_as_many_are_none(tmp_path):
    home = frames.put(tmp_path / "home.pcap", visits(11, np.arange(0, 610, 1.5)), visits(12, np.arange(0.2, 610, 60)))
    later = frames.put(
        tmp_path / "later.pcap", visits(12, np.linspace(41, 99, 240)), visits(13, np.linspace(41, 99, 100))
    )
    folder, model = tmp_path / "state", tmp_path / "model"
    learn = "--learn", "10m", "--learn-rows", 50, "--state", folder
    said("--model", MODEL, "--source", home, "--eve", "/dev/null", *learn)
    adapt.adapt_folder(MODEL, folder, model)
    assert json.loads((model / "card.json").read_text())["rates"]["services"] == [[6 << 16 | 8080, 40]]
    told, eve = tmp_path / "incidents.json", tmp_path / "eve.json"
    words = said("--model", model, "--source", later, "--eve", eve, "--incidents", told)
    assert "novelty: 80 flows" in words and "1 incidents" in words
    opened = json.loads(told.read_text().splitlines()[0])["alert"]
    assert opened["signature"] == "TL-IDS incident: unusual number of flows from 192.168.1.12 (proven)"
    assert opened["severity"] == 4 and opened["metadata"]["tlids_classes"] == ["unusual number of flows=3"]
    alert = json.loads(eve.read_text().splitlines()[0])["alert"]
    assert (alert["signature_id"], alert["severity"]) == (9_180_001, 4)
    switched_off, fields = Home(tells_novelty=False), json.loads((model / "card.json").read_text())
    switched_off.know(model, fields)
    assert switched_off.rates is None and switched_off.novelty is None
