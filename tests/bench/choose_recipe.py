"""`make choose-recipe`: how a head should learn a home, chosen on homes that judge nothing; needs TLIDS_SHARED.

What judges (`make adapt-homes`, notebook 07) is not read here: of the four devices' week only the first day, which is
learned there; of the testbed the first session; of MQTTset the training part. A recipe must keep what it was never
told of, so heads are trained anew on the shipped model's blocks without two classes of attack and without half of the
testbed's devices. Each learns the first sixteen hours of the four devices' day (the last eight are judged), their first
six hours (the other eighteen are judged), and the testbed's devices it has not seen (three fifths of their session, the
rest is judged). The blocks have seen everything in the first session, so the figures are for comparing recipes, and
worth nothing by themselves.

The last recipes train the same head. They withdraw an alarm that is near to a learned row on which that head alarms too
(`learn.false_alarms`), and differ in what is near.

How many flows of one source are too many, and which devices have a profile, is chosen on the same recordings; see
`choose_rates` and `choose_profiles`.

Results go to docs/results/adapt-choice.json, the tables into edge/MEASURED.md.
"""

import argparse
import json
import os
import random
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from itertools import cycle
from pathlib import Path

import choose_profiles
import choose_rates
import kept
import numpy as np
import page
from adapt_homes import DAY_S, DEVICES, MODEL, labelled, merged, metered
from lines import REPOSITORY
from tlids_edge.detect.card import read_card, read_model
from tlids_edge.flows.meter import Flow
from tlids_edge.learn import false_alarms, recipe, rows
from tlids_edge.learn import head as heads
from tlids_edge.learn.blocks import block_features
from tlids_edge.learn.choose import choose
from tlids_edge.learn.graph import Layer, find_head, read_layers, with_layers
from tlids_edge.learn.keep import Keeper, Seen

RESULTS = REPOSITORY / "docs" / "results" / "adapt-choice.json"
PAGE = REPOSITORY / "edge" / "MEASURED.md"
CARD = read_card(MODEL)
LEFT_OUT = (
    ("Intense scan", "SSH brute force"), ("UDP flood", "Slow HTTP"), ("SYN scan", "HTTP flood"),
    ("UDP scan", "MQTT brute force"), ("SYN flood", "ARP MITM"),
)  # fmt: skip
OTHER_TOOLS = ("bruteforce", "slowite", "malformed")  # of MQTTset
PARENT_EPOCHS = 10
LEARNED = {"four devices": 2 / 3, "four devices, six hours": 1 / 4, "testbed's other devices": 3 / 5}
"""Share of the time that is learned; the rest is judged."""


@dataclass(frozen=True)
class Recipe:
    """One way to learn; each adds to the one before, but for the last two numbers."""

    epochs: int = 5
    rehearses: int = 0  # made-up rows at most
    weighs: bool = False
    screens: float = 0.0  # radius of known attacks; 0: all rows are learned
    home: bool = False  # whether the home's rows weigh at least half as much as the made-up ones
    radius: float = 0.0  # of known false alarms; 0: none are known


RECIPES = {
    "stored rows alone": Recipe(),
    "2,000 made-up rows too": Recipe(5, 2_000),
    "twenty epochs": Recipe(20, 2_000),
    "attacks weigh the same": Recipe(20, 2_000, True),
    "known attacks not learned, radius 0.1": Recipe(20, 2_000, True, 0.1),
    "radius 0.2": Recipe(20, 2_000, True, 0.2),
    "8,000 made-up rows": Recipe(20, 8_000, True, 0.2),
    "home weighs at least half": Recipe(20, 8_000, True, 0.2, True),
    **{f"known false alarms, radius {radius}": Recipe(20, 8_000, True, 0.2, True, radius) for radius in
       (0.2, 0.1, 0.05)},
}  # fmt: skip


@dataclass(frozen=True)
class Flows:
    """Flows in the order of their ends."""

    rows: np.ndarray  # (n, 9)
    features: np.ndarray = None  # (n, width) of the blocks
    seconds: np.ndarray = None  # (n,) when they ended
    seen: list = None  # (source, device, service, proven) of each

    def at(self, wanted: np.ndarray) -> "Flows":
        """Those for which `wanted` (n,) is true."""
        places = np.flatnonzero(wanted)
        return Flows(self.rows[places], self.features[places], self.seconds[places], [self.seen[n] for n in places])


def main() -> int:
    """Measure, write the results, and the tables into edge/MEASURED.md."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--table-only", action="store_true", help="render the stored results again")
    parser.add_argument("--rates-only", action="store_true", help="keep the stored results of the heads")
    parser.add_argument("--seeds", type=int, default=1)
    options = parser.parse_args()
    if not options.table_only:
        pcap = Path(os.environ.get("TLIDS_SHARED", "../shared")) / "pcap"
        day = [flow for flow in merged([pcap / "benign-home" / f"{name}.pcap" for name in DEVICES])
               if flow.last_us < DAY_S * 1e6]  # fmt: skip
        session, classes = labelled(REPOSITORY / "data" / "testbed", "session1")
        if options.rates_only:
            found = json.loads(RESULTS.read_text())
        else:
            found = measured(pcap, day, (session, classes), range(1, options.seeds + 1))
        found["rates"] = choose_rates.chosen(day, session, classes)
        found["profiles"] = choose_profiles.chosen(day, session, classes)
        kept.write_whole(RESULTS, json.dumps(found, indent=1) + "\n")
    render(json.loads(RESULTS.read_text()))
    return 0


def measured(pcap: Path, day: list[Flow], session1: tuple[list[Flow], list[str]], seeds: range) -> dict:
    """Home -> recipe -> means over heads and seeds; the heads' own as "before"."""
    session, classes = session1
    hosts = json.loads((REPOSITORY / "data" / "testbed" / "session1.json").read_text())["hosts"]
    names = {host["mac"]: name for name, host in hosts.items()}
    testbed, truth = of(session), np.array([CARD.classes.index(name) for name in classes])
    devices = np.array([names.get(flow.src_mac, "") for flow in session])
    day, other = of(day), [of(metered(next((pcap / "mqttset" / name).glob("*-train.pcap*")))) for name in OTHER_TOOLS]
    found = {}
    for left_out, half in zip(LEFT_OUT, cycle(halves(devices[truth == 0]))):
        gone = (truth == 0) & np.isin(devices, half)
        parent = Head(testbed, truth, left_out, gone)
        for home, share in LEARNED.items():
            flows = testbed.at(gone) if home.startswith("testbed") else day
            for seed in seeds:
                for name, told in compared(parent, flows, share, seed, other):
                    found.setdefault(home, {}).setdefault(name, []).append(told)
                    print(f"{'/'.join(left_out)}, {home}, {name}: {told}", flush=True)
    means = {home: {name: mean(runs) for name, runs in each.items()} for home, each in found.items()}
    return {"sha256": CARD.sha256, "heads": len(LEFT_OUT), "seeds": len(seeds), "homes": means}


def mean(runs: list[dict]) -> dict:
    """The mean of each figure over heads and seeds."""
    return {key: float(np.mean([run[key] for run in runs])) for key in runs[0]}


def of(flows: list) -> Flows:
    """What is needed of metered flows."""
    table = np.array([flow.netflow() for flow in flows], np.float32)
    content = read_model(MODEL, CARD)
    seen = [(hash((flow.key[0], flow.src_hw)) & (1 << 63) - 1, hash(flow.src_hw) & (1 << 63) - 1,
             flow.protocol << 16 | min(flow.src_port, flow.dst_port), flow.proven) for flow in flows]  # fmt: skip
    return Flows(table, block_features(content, find_head(content), table),
                 np.array([flow.last_us / 1e6 for flow in flows]), seen)  # fmt: skip


def halves(devices: np.ndarray) -> Iterator[np.ndarray]:
    """The devices in two halves, each with large and small ones; neither holds all that is benign."""
    names, counts = np.unique(devices, return_counts=True)
    order = names[np.argsort(-counts, kind="stable")]
    yield from (order[::2], order[1::2])


class Head:
    """A head that knows neither two classes nor some devices, and its stored rows."""

    def __init__(self, testbed: Flows, truth: np.ndarray, left_out: tuple[str, str], gone: np.ndarray) -> None:
        """Train it on the shipped blocks; a fifth of its benign rows gives the threshold."""
        rng = np.random.default_rng(0)
        self.testbed, self.truth = testbed, truth
        self.unknown = [CARD.classes.index(name) for name in left_out]
        known = np.flatnonzero(~np.isin(truth, self.unknown) & ~gone)
        benign = rng.permutation(known[truth[known] == 0])
        held_out = benign[: len(benign) // 5]
        train = np.setdiff1d(known, held_out)
        content = read_model(MODEL, CARD)
        layers = read_layers(content, find_head(content))
        lesson = heads.Lesson(testbed.features[train], np.eye(len(CARD.classes), dtype=np.float32)[truth[train]],
                              np.ones(len(train), np.float32))  # fmt: skip
        training = heads.Training(epochs=PARENT_EPOCHS)
        self.layers = heads.train(lesson, fresh(layers, rng), heads.batches(len(train), 0, training), training)
        threshold = max(float(np.quantile(attack_scores(testbed.features[held_out], self.layers), 0.99)), 0.05)
        self.parent = recipe.Parent(with_layers(content, find_head(content), self.layers), 0, threshold)
        self.stored = np.concatenate([rng.permutation(train[truth[train] == code])[:limit] for code in
                                      range(len(CARD.classes))
                                      for limit in [rows.BENIGN_ROWS if code == 0 else rows.ATTACK_ROWS]])  # fmt: skip


def fresh(layers: list[Layer], rng: np.random.Generator) -> list[Layer]:
    """Layers of the same shapes that know nothing (Glorot and Bengio, 2010)."""
    limits = [np.sqrt(6 / sum(weights.shape)) for weights, _ in layers]
    return [(rng.uniform(-limit, limit, weights.shape).astype(np.float32), np.zeros_like(bias))
            for limit, (weights, bias) in zip(limits, layers, strict=True)]  # fmt: skip


def attack_scores(features: np.ndarray, layers: list[Layer]) -> np.ndarray:
    """1 - P(benign) of each row, (n,)."""
    return 1 - heads.probabilities(features, layers)[:, 0].astype(float)


def compared(head: Head, home: Flows, share: float, seed: int, other: list[Flows]) -> Iterator[tuple[str, dict]]:
    """The head before it learns a home, and after, by each recipe."""
    cut = home.seconds[0] + share * (home.seconds[-1] - home.seconds[0])
    early, late = home.at(home.seconds < cut), home.at(home.seconds >= cut)
    alarming = attack_scores(early.features, head.layers) >= head.parent.threshold
    site = sample(early, alarming, seed)
    yield "before", counted(head, late, Found(head.layers, head.parent.threshold), other)
    taught = {}
    for name, each in RECIPES.items():
        alone = replace(each, radius=0.0)
        if alone not in taught:
            taught[alone] = learned(head, site, alone, seed)
        found = Found(taught[alone][0], recipe.THRESHOLD, each.radius, false_alarms_of(head, *taught[alone], each))
        yield name, counted(head, late, found, other)


@dataclass(frozen=True)
class Found:
    """What a head finds that knows some false alarms."""

    layers: list[Layer]
    threshold: float
    radius: float = 0.0
    known: np.ndarray = field(default_factory=lambda: false_alarms.NONE)

    def alarms(self, flows: Flows) -> np.ndarray:
        """Which flows alarm, (n,); none of them came before."""
        alarms = attack_scores(flows.features, self.layers) >= self.threshold
        withdrawal = false_alarms.Withdrawal(self.known, self.radius)
        return alarms & ~withdrawal.of(flows.rows, alarms, (flows.seconds * 1e6).astype(np.int64))


def false_alarms_of(head: Head, layers: list[Layer], rows: np.ndarray, how: Recipe) -> np.ndarray:
    """The false alarms that a head knows which learned `rows` (n, 9)."""
    if not how.radius:
        return false_alarms.NONE
    features = block_features(head.parent.content, find_head(head.parent.content), rows)
    alarming = rows[attack_scores(features, layers) >= recipe.THRESHOLD]
    attacks = head.testbed.rows[head.stored][head.truth[head.stored] != 0]
    return false_alarms.collect(alarming, attacks, how.radius)


def sample(flows: Flows, alarming: np.ndarray, seed: int) -> np.ndarray:
    """The rows that the Pi would learn from, (n, 9)."""
    keeper = Keeper(flows.seconds[-1] - flows.seconds[0], random.Random(seed).random)
    columns = zip(flows.seconds, flows.seen, alarming.tolist(), flows.rows.tolist(), strict=True)
    for second, (source, device, service, proven), alarm, row in columns:
        keeper.see([Seen(int(second * 1e6), source, device, service, alarm, proven, tuple(row))])
    return choose(keeper.rows(), keeper.proven).rows["features"]


def learned(head: Head, site: np.ndarray, how: Recipe, seed: int) -> tuple[list[Layer], np.ndarray]:
    """The head after a home's rows, by one recipe, and the rows that it learned."""
    content, found = head.parent.content, find_head(head.parent.content)
    stored, codes = head.testbed.rows[head.stored], head.truth[head.stored]
    features = block_features(content, found, site)
    if how.screens:
        alarming = attack_scores(features, head.layers) >= head.parent.threshold
        stay = ~(alarming & recipe.like_attacks(head.parent, site, (stored, codes), how.screens))
        site, features = site[stay], features[stay]
    made_up = recipe.rehearsed(head.parent, site, stored, seed, how.rehearses)
    weight = recipe.home_weight(len(site), len(made_up.targets)) if how.home else 1.0
    lesson = recipe.lesson(head.parent, features, head.testbed.features[head.stored], codes, weight)
    if not how.weighs:
        lesson = heads.Lesson(lesson.features, lesson.targets, np.ones_like(lesson.weights))
    lesson += made_up
    training = heads.Training(epochs=how.epochs)
    return heads.train(lesson, head.layers, heads.batches(len(lesson.targets), seed, training), training), site


def counted(head: Head, late: Flows, found: Found, other: list[Flows]) -> dict:
    """The share of benign flows that alarm, and of attacks: unknown classes, known ones, those of other tools."""
    alarms = found.alarms(head.testbed)
    spare = np.ones(len(alarms), bool)
    spare[head.stored] = False
    known = [code for code in range(1, len(CARD.classes)) if code not in head.unknown]
    shares = [alarms[(head.truth == code) & spare] for code in known]
    shares = [each.mean() if len(each) else alarms[head.truth == code].mean()
              for code, each in zip(known, shares, strict=True)]  # fmt: skip
    return {
        "benign": float(found.alarms(late).mean()),
        "unknown": float(np.mean([alarms[head.truth == code].mean() for code in head.unknown])),
        "known": float(np.mean(shares)),
        "other tools": float(np.mean([found.alarms(each).mean() for each in other])),
    }


def tables(found: dict) -> list[str]:
    """The lines of the Markdown tables in edge/MEASURED.md: heads, rules for a number of flows, limits of profiles."""
    columns = ("benign", "unknown", "known", "other tools")
    lines = ["| home | head | benign flows that alarm | attacks it was not trained on | attacks it was | MQTTset's |",
             "|---|---|---|---|---|---|"]  # fmt: skip
    for home, each in found["homes"].items():
        lines += [f"| {home} | {name} | " + " | ".join(f"{told[key]:.1%}" for key in columns) + " |"
                  for name, told in each.items()]  # fmt: skip
    return [*lines, "", *choose_rates.lines(found["rates"]), "", *choose_profiles.lines(found["profiles"])]


def render(found: dict) -> None:
    """Put the tables between their marks in edge/MEASURED.md."""
    made = "\n".join(tables(found)) + "\n"
    kept.write_whole(PAGE, page.between(PAGE.read_text(), "choose-recipe", made))


if __name__ == "__main__":
    sys.exit(main())
