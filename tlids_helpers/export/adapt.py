"""A model learns a home, as the Pi does it: by the Pi's own functions.

Section 4.3 in small: the blocks stay frozen, the head goes on learning, here on the flows of one home taken as benign
together with stored rows of the model's own training split.
"""

import time
from collections.abc import Sequence
from pathlib import Path

from tlids_edge.detect.detector import Detector, Verdict
from tlids_edge.flows.meter import Flow
from tlids_edge.flows.rows import of_flows
from tlids_edge.learn.adapting import Adaptation
from tlids_edge.learn.learner import Learner, Plan

from tlids_helpers.export import card

LOOK_S = 0.05  # between two looks whether an adaptation has ended


def judged(detector: Detector, flows: Sequence[Flow]) -> list[Verdict]:
    """What the Pi's detector says of flows, in their order."""
    size = detector.batch_size
    return [each for start in range(0, len(flows), size) for each in detector.judge(flows[start : start + size])]


def learn(model: str | Path, flows: Sequence[Flow], plan: Plan) -> str:
    """Let the Pi's learner see flows in the order in which they ended; what it says of itself at the end.

    `plan.folder` holds what was learned. Raises InputError as the learner does.
    """
    said: list[str] = []
    detector = Detector(model)
    learner = Learner(plan, detector.card, said.append)
    try:
        for start in range(0, len(flows), detector.batch_size):
            learner.see(detector.judge_rows(of_flows(flows[start : start + detector.batch_size])))
    finally:
        learner.close()
    return said[-1]


def adapt(model: str | Path, state: str | Path, target: str | Path, least: int | None = None, seed: int = 1) -> dict:
    """Leave the adapted model at `target` by `tlids-edge adapt` itself; what its card says of the learning.

    At ordinary priority: there is no capture to give way to, and beside a busy program the lowest would take an hour.
    `least` is the number of rows that suffice, None for that of the learning. Raises InputError as the Pi does.
    """
    rows = () if least is None else ("--learn-rows", str(least))
    adaptation = Adaptation(Path(model), Path(state), Path(target), "--seed", str(seed), "--nice", "0", *rows)
    while not adaptation.has_ended():
        time.sleep(LOOK_S)
    adaptation.outcome()
    return card.read(Path(target))["adapted"]
