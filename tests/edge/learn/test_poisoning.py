"""An attack while the home is learned, of each class of the testbed: what the caps and the screen keep of it."""

from collections import Counter

import numpy as np
import pyarrow.parquet as pq
import pytest
from home_flows import DAY_S, MODEL, REPOSITORY, drawn, home_day
from tlids_edge.detect.card import read_card, read_model
from tlids_edge.detect.detector import Detector
from tlids_edge.learn import head, recipe, rows
from tlids_edge.learn.blocks import block_features
from tlids_edge.learn.choose import MAX_ROWS, choose
from tlids_edge.learn.keep import FEATURES, Keeper, Seen

CARD = read_card(MODEL)
ATTACKS = [name for name in CARD.classes if name != CARD.benign]
HANDSHAKE = {"HTTP flood", "Slow HTTP", "MQTT brute force", "SSH brute force", "ARP MITM"}  # which prove the source
ATTACKER = 99
IN_A_WINDOW = 60
QUICK = head.Training(epochs=5)  # of the recipe's twenty


@pytest.fixture(scope="module")
def session() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Rows, classes and the shipped model's alarms of the second session."""
    table = pq.read_table(REPOSITORY / "data" / "testbed" / "testbed.parquet").to_pandas()
    table = table[table["Session"] == "session2"]
    features = table[list(CARD.features)].to_numpy(np.float32)
    detector = Detector(MODEL)
    judged = [detector.predict(features[start : start + 256]) for start in range(0, len(features), 256)]
    return features, table["Attack"].to_numpy(), 1 - np.concatenate(judged)[:, 0] >= CARD.threshold


def poisoned(session, attack: str) -> Keeper:
    """A home's day with the attack going on all the time: a minute of sixty flows in each ten."""
    features, classes, alarms = session
    own = np.resize(np.flatnonzero(classes == attack), 144 * IN_A_WINDOW)
    flows = []
    for verdict in home_day(hosts=14):
        flow = verdict.flow
        flows.append(Seen(flow.last_us, flow.key[0][3], flow.key[0][3], 443, False, True, flow.netflow()))
    for turn, index in enumerate(own.tolist()):
        row = features[index]
        service = int(row[2]) << 16 | int(min(row[0], row[1]))
        second = turn // IN_A_WINDOW * 600 + turn % IN_A_WINDOW
        flows.append(Seen(int(second * 1e6), ATTACKER, ATTACKER, service, bool(alarms[index]), attack in HANDSHAKE,
                          tuple(row.tolist())))  # fmt: skip
    keeper = Keeper(DAY_S, drawn())
    keeper.see(flows)
    return keeper


@pytest.mark.parametrize("attack", ATTACKS)
def test_an_attack_that_goes_on_all_day_is_at_most_a_tenth_of_what_is_learned(session, attack):
    keeper = poisoned(session, attack)
    chosen = choose(keeper.rows(), keeper.proven)
    kept = Counter(chosen.rows["source"].tolist())[ATTACKER]
    assert kept <= len(chosen.rows) / 10 <= MAX_ROWS / 10
    if session[2][session[1] == attack].mean() > 0.9:  # the screen sees it nearly whole
        assert kept <= 144 * 10 and keeper.left_out[ATTACKER] > 144 * IN_A_WINDOW * 0.8


@pytest.mark.parametrize("attack", ["HTTP flood", "UDP flood", "MQTT brute force", "ARP MITM"])
def test_after_such_a_day_the_attack_is_still_found(session, attack):
    found, before, _ = adapted_after(session, choose_from(poisoned(session, attack)), attack)
    assert found >= 0.9 * before


@pytest.mark.parametrize("attack", ["SYN scan", "MQTT brute force", "SSH brute force"])
def test_a_known_attack_that_comes_too_slowly_for_a_burst_is_not_learned(session, attack):
    """Past every cap: its rows are a tenth of what is learned, and none of them was left out by the screen."""
    features, classes, _ = session
    home = choose_from(poisoned(session, "UDP scan"))
    patient = np.resize(features[classes == attack], (len(home) // 9, FEATURES))
    order = np.random.default_rng(0).permutation(len(home) + len(patient))
    found, before, known = adapted_after(session, np.concatenate([home, patient])[order], attack)
    assert known >= 0.9 * len(patient) and found >= 0.95 * before


def choose_from(keeper: Keeper) -> np.ndarray:
    return choose(keeper.rows(), keeper.proven).rows["features"]


def adapted_after(session, site: np.ndarray, attack: str) -> tuple[float, float, int]:
    """The share of an attack's flows that alarms after `site` was learned and before, and rows not learned."""
    content = read_model(MODEL, CARD)
    made = recipe.adapt(recipe.Parent(content, 0, CARD.threshold), site, rows.read(MODEL, CARD), 1, QUICK)
    own = session[1] == attack
    scores = head.probabilities(block_features(content, made.head, session[0][own]), made.layers)[:, 0]
    return float((1 - scores >= recipe.THRESHOLD).mean()), float(session[2][own].mean()), made.known_attacks
