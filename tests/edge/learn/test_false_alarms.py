"""false_alarms.py: which alarms an adapted model withdraws, what that can hide, and what the promise makes of it."""

import hashlib
import json
import shutil

import numpy as np
import pytest
from home_flows import MODEL, verdict
from sklearn.neighbors import NearestNeighbors
from tlids_edge.detect.card import read_card, read_fields, read_model
from tlids_edge.detect.detector import Detector
from tlids_edge.detect.judging import Batch, Judging
from tlids_edge.errors import InputError
from tlids_edge.flows.rows import features, of_flows
from tlids_edge.learn import false_alarms, graph, head, recipe, rows
from tlids_edge.learn.home import Home
from tlids_edge.learn.novelty import Novelty, described

CARD = read_card(MODEL)
BENIGN = CARD.classes.index(CARD.benign)
HOUR_US = 3_600_000_000
FAR = np.zeros((1, 9), np.float32)  # a stored attack that is near to nothing here


def row(**changes: float) -> list[float]:
    """A flow from port 50,000 to 443."""
    values = {"src": 50_000, "dst": 443, "protocol": 6, "flags": 27, "l7": 91, "sent": 900, "got": 4_000, "out": 9,
              "back": 11}  # fmt: skip
    return list((values | changes).values())


def table(*made: list[float]) -> np.ndarray:
    return np.array(made, np.float32)


def hours(count: int) -> np.ndarray:
    """Times of flows an hour apart."""
    return np.arange(count) * HOUR_US


@pytest.fixture(scope="module")
def stored() -> tuple:
    return rows.read(MODEL, CARD)


@pytest.fixture
def strange() -> np.ndarray:
    """Flows of a device on which the shipped model alarms, ROW."""
    flows = of_flows([verdict(number * 3600.0, port=9999).flow for number in range(12)])
    flows["protocol"], flows["tcp_flags"], flows["l7_app"], flows["out_packets"], flows["out_bytes"] = 17, 0, 0, 0, 0
    flows["in_packets"], flows["in_bytes"] = 2, 150
    flows["in_bytes"][6:] = 190
    return flows


@pytest.fixture
def folder(strange, stored, tmp_path):
    """A copy of the shipped model that knows the first six of the strange flows as false alarms."""
    shutil.copytree(MODEL, tmp_path / "model")
    known = false_alarms.collect(features(strange[:6], "netflow"), stored[0][stored[1] != BENIGN])
    with_card(tmp_path / "model", false_alarms.write(known, tmp_path / "model"))
    return tmp_path / "model"


def with_card(folder, told: object) -> None:
    (folder / "card.json").write_text(json.dumps(read_fields(MODEL) | {"false_alarms": told}))


def test_an_alarm_is_withdrawn_where_the_flow_is_almost_equal_to_a_known_false_alarm():
    known = false_alarms.collect(table(row()), FAR)
    near, far = (900 * np.exp(distance) for distance in (0.04, 0.06))  # the radius is 0.05
    flows = table(row(), row(sent=near), row(sent=far), row(dst=8883), row())
    alarms = np.array([True, True, True, True, False])
    found = false_alarms.Withdrawal(known).of(flows, alarms, hours(5))
    assert found.tolist() == [True, True, False, False, False]


def test_four_are_withdrawn_in_any_ten_minutes_and_no_more_however_they_are_batched():
    minutes = np.array([0, 1, 2, 3, 4, 9.9, 10, 10.5, 11, 12, 13, 14])
    expected = [True] * 4 + [False, False, True, False, True, True, True, False]
    flows, times = np.repeat(table(row()), 12, axis=0), (minutes * 60e6).astype(np.int64)
    for size in (1, 5, 12):
        withdrawal, found = false_alarms.Withdrawal(false_alarms.collect(flows, FAR)), []
        for start in range(0, 12, size):
            part = slice(start, start + size)
            found += withdrawal.of(flows[part], np.ones(len(flows[part]), bool), times[part]).tolist()
        assert found == expected
    back = withdrawal.of(flows[:6], np.ones(6, bool), times[:6] - 24 * HOUR_US)  # the clock is set back by a day
    assert back.tolist() == expected[:6]


def test_without_false_alarms_nothing_is_listed_written_or_withdrawn(stored, tmp_path):
    known = false_alarms.collect(stored[0][:0], stored[0])
    assert known.shape == (0, 9) and false_alarms.write(known, tmp_path) is None and not list(tmp_path.iterdir())
    assert false_alarms.read(tmp_path, None).shape == (0, 9)
    assert not false_alarms.Withdrawal(known).of(stored[0][:9], np.ones(9, bool), hours(9)).any()


def test_no_flow_that_is_like_a_stored_attack_is_withdrawn_whatever_was_learned(stored):
    """What was learned are the attacks themselves, varied more and more."""
    rng = np.random.default_rng(0)
    attacks = stored[0][stored[1] != BENIGN]

    def varied(table: np.ndarray, spread: float) -> np.ndarray:
        made = table.copy()
        made[:, 5:9] = np.round(made[:, 5:9] * np.exp(rng.normal(0, spread, (len(made), 4))))
        return made

    learned = np.concatenate([varied(attacks[::5], spread) for spread in (0.01, 0.1, 0.4)])
    known = false_alarms.collect(learned, attacks)
    flows = np.concatenate([attacks, learned, *(varied(learned, 0.02) for _ in range(3))])
    found = np.array([false_alarms.Withdrawal(known).of(flow[None], np.ones(1, bool), hours(1))[0] for flow in flows])
    distance = NearestNeighbors(n_neighbors=1).fit(described(attacks)).kneighbors(described(flows))[0][:, 0]
    assert found.sum() > 50 and distance[found].min() >= 0.1 - 2e-3  # so much float32 may be off
    assert (distance < 0.1).sum() > 1000


def test_the_list_is_of_at_most_64_distinct_rows_those_learned_most_often():
    often = [row(sent=2.0**power) for power in range(2, 22) for _ in range(3)]
    known = false_alarms.collect(table(*(row(sent=900 + 20 * step) for step in range(300)), *often), FAR)
    assert known.shape == (64, 9) and len(np.unique(known, axis=0)) == 64
    expected = np.round(np.log1p(2.0 ** np.arange(2, 22)), 2)
    assert np.isin(expected.astype(np.float32), known[:, 5]).all()


def test_the_detector_calls_a_withdrawn_alarm_benign_and_keeps_its_score(folder, strange):
    before, after = (Detector(each).judge_rows(strange) for each in (MODEL, folder))
    assert before.alerts.all() and after.alerts.tolist() == [False] * 6 + [True] * 6
    assert after.labels == [CARD.benign] * 6 + before.labels[6:]
    np.testing.assert_array_equal(after.scores, before.scores)
    np.testing.assert_array_equal(after.probabilities, before.probabilities)


def test_a_flood_of_one_false_alarm_still_alarms_and_what_is_withdrawn_is_counted(folder, strange):
    detector, flood = Detector(folder), np.repeat(strange[:1], 200)
    assert detector.judge_rows(flood).alerts.sum() == 196 and detector.withdrawn == 4
    judging = Judging(detector)
    judging.take_over(Detector(folder))
    assert judging.detector is not detector and judging.detector.withdrawn == 4


def test_novelty_sees_a_withdrawn_alarm_as_any_benign_flow(folder, strange):
    verdicts = Detector(folder).judge_rows(strange)
    told = Home(novelty=Novelty(FAR, 0.5)).see(Batch(verdicts, np.zeros(12, bool)))
    assert told.novel.tolist() == [True] * 6 + [False] * 6


@pytest.mark.parametrize("change", [
    {"rows": 0}, {"rows": 65}, {"rows": "1"}, {"rows": True}, {"rows": 10**9}, {"rows": 2}, {"sha256": "0" * 64},
    {"sha256": None},
])  # fmt: skip
def test_a_damaged_card_is_refused(folder, change):
    with_card(folder, read_fields(folder)["false_alarms"] | change)
    with pytest.raises(InputError, match="adapt again"):
        Detector(folder)


@pytest.mark.parametrize("told", [[], "rows", 3, {}])
def test_a_card_that_says_something_else_is_refused(folder, told):
    with_card(folder, told)
    with pytest.raises(InputError, match="adapt again"):
        Detector(folder)


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf, 101, 3e38])
def test_forged_numbers_are_refused_though_the_digest_fits(folder, value):
    forged = np.full((1, 9), value, "<f4").tobytes()
    (folder / false_alarms.FILE).write_bytes(forged)
    with_card(folder, {"rows": 1, "sha256": hashlib.sha256(forged).hexdigest()})
    with pytest.raises(InputError, match="expected numbers of at most 100 .* adapt again"):
        Detector(folder)


def test_another_file_too_large_a_one_and_a_missing_one_are_refused(folder):
    path = folder / false_alarms.FILE
    path.write_bytes(path.read_bytes()[:-1] + b"?")
    with pytest.raises(InputError, match="as its card describes it"):
        Detector(folder)
    path.write_bytes(bytes(64 * 9 * 4 + 1))
    with pytest.raises(InputError, match="at most 2,304 bytes"):
        Detector(folder)
    path.unlink()
    with pytest.raises(InputError, match="found no such file"):
        Detector(folder)


def suspicious(layers: list[graph.Layer]) -> list[graph.Layer]:
    """A head that calls everything an attack."""
    weights, bias = layers[-1]
    sure = bias.copy()
    sure[BENIGN] = -1e4
    return [*layers[:-1], (weights, sure)]


def test_the_promise_counts_what_false_alarms_of_the_rows_before_do_not_explain(stored, monkeypatch):
    """On rows of the last fifth: those of a kind that was there before are withdrawn, new ones are not."""
    monkeypatch.setattr(head, "train", lambda lesson, layers, *_: suspicious(layers))
    old, new = table(row(dst=9999)), table(row(dst=40_000))
    home = np.concatenate([np.repeat(old, 90, axis=0), np.repeat(new, 10, axis=0)])
    parent = recipe.Parent(read_model(MODEL, CARD), BENIGN, 1e-9, false_alarms=false_alarms.collect(old, FAR))
    made = recipe.adapt(parent, home, stored, seed=1, times_us=hours(100))
    assert (made.promise.flows, made.promise.alarms) == (20, 10)
    assert made.promise.parent_alarms == 10  # which alarms on everything too, and knows the old ones
    both = described(np.concatenate([old, new]))
    np.testing.assert_allclose(np.sort(made.false_alarms, axis=0), np.sort(both, axis=0), atol=0.006)
    assert recipe.adapt(parent, home, stored, seed=1).promise.alarms == 16  # all at once: four are withdrawn


def test_rows_that_are_like_an_attack_are_neither_learned_nor_known(stored, monkeypatch):
    monkeypatch.setattr(head, "train", lambda lesson, layers, *_: suspicious(layers))
    attack = stored[0][stored[1] == CARD.classes.index("SYN scan")][:1]
    home = np.concatenate([np.repeat(table(row()), 50, axis=0), np.repeat(attack, 50, axis=0)])
    parent = recipe.Parent(read_model(MODEL, CARD), BENIGN, 1e-9)
    made = recipe.adapt(parent, home, stored, seed=1, times_us=hours(100))
    assert made.known_attacks == 50 and len(made.false_alarms) == 1 and made.promise.alarms == 20
