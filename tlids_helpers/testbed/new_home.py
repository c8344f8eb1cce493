"""A home the model has never seen: what the Pi's program makes of it before and after it has learned the home.

Learning, adapting and judging are the Pi's own (`tlids_edge.learn`, `edge/capture_and_infer.py`); here they run on
recordings and are counted against the labels. Section 4.3 in small: the blocks stay frozen, the head goes on learning.
"""

import copy
import random
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pandas as pd
from tlids_edge.capture.packets import PacketStats
from tlids_edge.capture.recording import read_recording
from tlids_edge.detect.card import Card, read_card, read_model
from tlids_edge.detect.detector import Detector, Verdict
from tlids_edge.flows.labels import BENIGN, label_flow, read_labels
from tlids_edge.flows.meter import Flow, Meter
from tlids_edge.flows.ndpi import open_ndpi
from tlids_edge.learn import head, recipe, rows
from tlids_edge.learn.adapt import read_learned
from tlids_edge.learn.blocks import block_features
from tlids_edge.learn.learner import Plan

from tlids_helpers.common import progress
from tlids_helpers.common.errors import InputError
from tlids_helpers.export import adapt
from tlids_helpers.export.convert import quiet
from tlids_helpers.testbed.recordings import Recording

FEWEST = 50  # rows to learn from, where the parts of a home's recording are tried: the default of 1,000 is for a day
PATIENT_S = 8.0  # between two flows of a patient attacker: 8 in 60 s, where 10 that alarm are a burst
MAX_FLOWS = 10**6  # open ones; a recording is metered whole
OTHER = "other"  # a MAC address that no host of the recording has
POISONS = {"at its own speed": 0.0, "patiently": PATIENT_S}


@dataclass(frozen=True)
class Session:
    """The flows of one recording in the order in which they ended, and what is known of each."""

    flows: list[Flow]
    truth: np.ndarray  # (flows,) class by the labels
    devices: np.ndarray  # (flows,) the host whose MAC address opened the flow, or OTHER

    @property
    def benign(self) -> np.ndarray:
        """Which flows are no attack, (flows,)."""
        return self.truth == BENIGN

    @property
    def seconds(self) -> float:
        """From the first packet to the last."""
        return (max(flow.last_us for flow in self.flows) - min(flow.first_us for flow in self.flows)) / 1e6

    def of(self, wanted: np.ndarray) -> list[Flow]:
        """The flows for which `wanted` (flows,) is true."""
        return [flow for flow, each in zip(self.flows, wanted, strict=True) if each]


@dataclass(frozen=True)
class Learned:
    """How a home is learned from a recording."""

    model: Path  # the one that is adapted
    seconds: float  # the learning period
    seed: int  # of the sample that is kept, and of the batches

    def adapt(self, flows: Sequence[Flow], target: Path, least: int | None = None) -> dict:
        """Learn `flows`, leave the adapted model at `target`; what its card says, and the rows learned, `kept` (n, 9).

        `least` is the number of rows that suffice, None for the Pi's default. Raises InputError as the Pi does, with
        the reason: too few rows, or a head that is not accepted.
        """
        with tempfile.TemporaryDirectory() as scratch:
            state, draw = Path(scratch) / "state", random.Random(self.seed).random
            with quiet():
                adapt.learn(self.model, flows, Plan(state, self.model, self.seconds, adapts=False, draw=draw))
            told = adapt.adapt(self.model, state, target, least, self.seed)
            return told | {"kept": self._learned(read_learned(state, least).chosen.rows)}

    def _learned(self, chosen: np.ndarray) -> np.ndarray:
        """The features (n, 9) of kept rows that the head learns: all but those that are like a stored attack."""
        card = read_card(self.model)
        near = recipe.like_attacks(_parent(self.model, card), chosen["features"], rows.read(self.model, card))
        return chosen["features"][~(chosen["alarm"] & near)]


def metered(capture: str | Path) -> list[Flow]:
    """The capture's flows as the Pi sees them, in the order in which they end.

    Raises InputError when the capture cannot be read.
    """
    meter = Meter(l7=open_ndpi(), max_flows=MAX_FLOWS)
    with progress.counter("metering", "packets") as count:
        for packet in read_recording([str(capture)], PacketStats(), meter.begin_again):
            meter.add(packet)
            count.update()
    meter.close_all()
    return meter.take()


def session(folder: Path, recording: Recording) -> Session:
    """Meter one recording and label its flows.

    Raises InputError when the capture or its labels cannot be read.
    """
    rules = read_labels(folder / f"{recording.name}.labels.csv")
    flows = metered(folder / f"{recording.name}.pcap.gz")
    names = {host["mac"]: host["name"] for host in recording.hosts}
    truth = [label_flow(rules, flow) for flow in flows]
    return Session(flows, np.array(truth), np.array([names.get(flow.src_mac, OTHER) for flow in flows]))


def alarms(model: str | Path, flows: Sequence[Flow]) -> np.ndarray:
    """Which flows the model alarms on, (flows,)."""
    return np.array([verdict.is_alert for verdict in _verdicts(model, flows)], dtype=bool)


def scores(model: str | Path, flows: Sequence[Flow]) -> np.ndarray:
    """1 - P(benign) of each flow, (flows,)."""
    return np.array([verdict.score for verdict in _verdicts(model, flows)], dtype=float)


def _verdicts(model: str | Path, flows: Sequence[Flow]) -> list[Verdict]:
    """What a model says of flows, in their order."""
    with quiet():
        return adapt.judged(Detector(model), flows)


def by_device(judged: Session, alarming: dict[str, np.ndarray]) -> pd.DataFrame:
    """Benign flows of each device, and how many of them alarm: `alarming` is a column's name -> (flows,)."""
    return _counted(judged.devices, judged.benign, alarming).sort_values(
        ["flows", *alarming], ascending=False, kind="stable"
    )


def by_class(judged: Session, alarming: dict[str, np.ndarray]) -> pd.DataFrame:
    """Flows of each class, benign first, and how many of them alarm: `alarming` is a column's name -> (flows,)."""
    table = _counted(judged.truth, np.ones(len(judged.flows), bool), alarming)
    order = sorted(table.index, key=lambda name: (name != BENIGN, -table.loc[name, "flows"], name))
    return table.loc[order]


def _counted(names: np.ndarray, wanted: np.ndarray, alarming: dict[str, np.ndarray]) -> pd.DataFrame:
    """Flows that are wanted, and how many of them alarm, by name."""
    frame = pd.DataFrame({"flows": wanted.astype(int)} | {name: each & wanted for name, each in alarming.items()})
    return frame.groupby(names).sum().astype(int).query("flows > 0")


def curve(home: Learned, early: Session, judged: Session, parts: Sequence[float]) -> pd.DataFrame:
    """Learn the first part of a home's recording, adapt, judge another one; a row for each of `parts` (of 1).

    Columns: minutes and rows learned, benign alarms, attack flows found, and the bound that was promised; where the
    model was not taken, `why` says so and the counts are those of the model as it was.
    """
    start, table = min(flow.first_us for flow in early.flows), []
    with progress.counter("learning", "parts") as count:
        for part in parts:
            learned = Learned(home.model, part * early.seconds, home.seed)
            flows = [flow for flow in early.flows if flow.last_us <= start + 1e6 * learned.seconds]
            table.append(_point(learned, flows, judged))
            count.update()
    return pd.DataFrame(table)


def _point(home: Learned, flows: Sequence[Flow], judged: Session) -> dict:
    """One row of the learning curve."""
    with tempfile.TemporaryDirectory() as scratch:
        target = Path(scratch) / "model"
        told, why = tried(home, flows, target)
        alarming = alarms(home.model if why else target, judged.flows)
    bound = told["promise"]["bound"] if told else float("nan")
    return {"minutes": round(home.seconds / 60, 1), "rows": told["rows"] if told else 0,
            "benign alarms": int(alarming[judged.benign].sum()), "attacks found": int(alarming[~judged.benign].sum()),
            "promised at most": bound, "why not": why}  # fmt: skip


def tried(home: Learned, flows: Sequence[Flow], target: Path) -> tuple[dict, str]:
    """Learn and adapt: (what the card says, ""), or ({}, why the model stays as it is)."""
    try:
        return home.adapt(flows, target, FEWEST), ""
    except InputError as error:
        return {}, str(error)


def poisoned(early: Session, poison: Sequence[Flow], gap_s: float) -> list[Flow]:
    """The recording with flows of an attack in it, all in the order of their ends.

    With a `gap_s` of 0 the attack begins in the middle and keeps its own speed; else one of its flows ends every
    `gap_s` seconds, from the recording's beginning on, and what does not fit into it is left out.
    """
    start = min(flow.first_us for flow in early.flows)
    last = start + int(early.seconds * 1e6)
    poison = sorted(poison, key=lambda flow: flow.last_us)
    first = poison[0].last_us if poison else 0
    ends = [
        start + int((number + 1) * gap_s * 1e6) if gap_s else (start + last) // 2 + flow.last_us - first
        for number, flow in enumerate(poison)
    ]
    moved = [_moved(flow, end) for flow, end in zip(poison, ends, strict=True) if end <= last]
    return sorted([*early.flows, *moved], key=lambda flow: flow.last_us)


def _moved(flow: Flow, last_us: int) -> Flow:
    """A copy of a flow that ends at another time."""
    other = copy.copy(flow)
    other.first_us, other.last_us = last_us - (flow.last_us - flow.first_us), last_us
    return other


def without_defences(home: Learned, flows: Sequence[Flow], judged: Sequence[Flow]) -> np.ndarray:
    """Which of `judged` alarm when the head is trained on `flows` as they are, without the Pi's precautions."""
    card = read_card(home.model)
    parent = replace(_parent(home.model, card), family="")  # nothing is rehearsed, and no row left out
    site, later = (np.array([flow.netflow() for flow in each], np.float32) for each in (flows, judged))
    made = recipe.adapt(parent, site, rows.read(home.model, card), home.seed)
    features = block_features(parent.content, made.head, later)
    return 1 - head.probabilities(features, made.layers)[:, parent.benign] >= recipe.THRESHOLD


def _parent(model: Path, card: Card) -> recipe.Parent:
    """The model that is adapted."""
    return recipe.Parent(read_model(model, card), card.classes.index(card.benign), card.threshold, card.family)


def poisoning(home: Learned, early: Session, judged: Session, first: np.ndarray, names: Sequence[str]) -> pd.DataFrame:
    """An attack is there already while the home is learned: how much of it is found later?

    `first` (flows,) is true for the flows of `judged` that are put into what is learned; the others are judged. A row
    for each of `names` (classes) and each speed of `POISONS`: flows of the attack `sent`, those `learned` in spite of
    the defences, flows `later`, and how many of these alarm `defended` and `undefended`.
    """
    table = []
    with progress.counter("poisoning", "attacks") as count:
        for name in names:
            poison, later = (judged.of((judged.truth == name) & each) for each in (first, ~first))
            for how, gap_s in POISONS.items():
                table.append(
                    {"attack": name, "how": how} | _poisoned(home, early, poisoned(early, poison, gap_s), later)
                )
                count.update()
    return pd.DataFrame(table)


def _poisoned(home: Learned, early: Session, flows: Sequence[Flow], later: Sequence[Flow]) -> dict:
    """The counts in one row of `poisoning`."""
    own = {id(flow) for flow in early.flows}
    sent = [tuple(np.array(flow.netflow(), np.float32)) for flow in flows if id(flow) not in own]
    with tempfile.TemporaryDirectory() as scratch:
        target = Path(scratch) / "model"
        told, why = tried(home, flows, target)
        found = alarms(home.model if why else target, later)
    known = set(sent)
    learned = sum(tuple(row) in known for row in told["kept"]) if told else 0
    undefended = without_defences(home, flows, later)
    return {"sent": len(sent), "learned": learned, "later": len(later), "defended": int(found.sum()),
            "undefended": int(undefended.sum())}  # fmt: skip
