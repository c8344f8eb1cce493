"""A model learns a home, as the Pi does it: the Pi's own functions, and Keras on the same batches to compare with.

Section 4.3 in small: the blocks stay frozen, the head goes on learning, here on the flows of one home taken as benign
together with stored rows of the model's own training split.
"""

import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from tlids_edge.detect.detector import Detector, Verdict
from tlids_edge.flows.meter import Flow
from tlids_edge.flows.rows import of_flows
from tlids_edge.learn.adapting import Adaptation
from tlids_edge.learn.head import Lesson, Training
from tlids_edge.learn.learner import Learner, Plan

from tlids_helpers.export import card
from tlids_helpers.network.backend import keras

LOOK_S = 0.05  # between two looks whether an adaptation has ended
Layers = list[tuple[np.ndarray, np.ndarray]]


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


def train_in_keras(lesson: Lesson, layers: Layers, order: Sequence[np.ndarray], training: Training) -> Layers:
    """What `tlids_edge.learn.head.train` does, by Keras: the same batches in the same order, Adagrad, cross-entropy.

    In the precision of Keras's configuration, which the lesson and the layers should have too.
    """
    widths = [len(bias) for _, bias in layers]
    stack = [keras.Input((lesson.features.shape[1],))]
    stack += [keras.layers.Dense(width, activation="relu") for width in widths[:-1]]
    network = keras.Sequential([*stack, keras.layers.Dense(widths[-1], activation="softmax")])
    network.set_weights([values for layer in layers for values in layer])
    rate = keras.optimizers.schedules.InverseTimeDecay(training.rate, decay_steps=1, decay_rate=training.decay)
    optimiser = keras.optimizers.Adagrad(rate, training.accumulator, epsilon=training.epsilon)
    network.compile(optimizer=optimiser, loss="categorical_crossentropy", jit_compile=False)
    for rows in order:
        network.train_on_batch(lesson.features[rows], lesson.targets[rows], sample_weight=lesson.weights[rows])
    values = network.get_weights()
    return list(zip(values[::2], values[1::2], strict=True))
