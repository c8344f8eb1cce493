"""Ways to run the same training: what a user would write, what this project does, and what lost.

    python tests/bench/engines.py NAME --rows N --epochs N      prints {"rows_per_s", "peak_mb"} of one way

A process of its own each, because Keras chooses its engine once, from KERAS_BACKEND (`run` sets it).
"""

import argparse
import json
import os
import subprocess
import sys
import time
from pathlib import Path

import numpy as np

BATCH = 128
ENGINES = {
    "plain": "plain model.fit on arrays, TensorFlow",
    "compiled": "model.fit with jit_compile=True, TensorFlow",
    "epoch": "a whole epoch in one tf.function, data kept in memory",
    "tensorflow": "training.fit, TensorFlow",
    "jax": "training.fit, KERAS_BACKEND=jax",
    "jax-improved": "training.fit, recipe improved, KERAS_BACKEND=jax",
}


def run(name: str, rows: int, epochs: int, gpu: bool = False) -> dict:
    """Rows a second (without the first epoch, which compiles) and peak memory of one way, in a process of its own."""
    command = [sys.executable, str(Path(__file__)), name, "--rows", str(rows), "--epochs", str(epochs)]
    environment = {**os.environ, "KERAS_BACKEND": "jax" if name.startswith("jax") else "tensorflow"}
    if not gpu:
        environment |= {"CUDA_VISIBLE_DEVICES": "-1", "JAX_PLATFORMS": "cpu"}
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True, env=environment)
    return json.loads(done.stdout.splitlines()[-1])


def main() -> None:
    """Run one way and print what it took."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("name", choices=ENGINES)
    parser.add_argument("--rows", type=int, required=True)
    parser.add_argument("--epochs", type=int, required=True)
    options = parser.parse_args()
    from tlids_edge.status import peak_memory_mb

    train, few = flows(options.rows), flows(256)
    began = time.perf_counter()
    seconds = WAYS[options.name](train, few, options.epochs + 1)[1:]
    found = {"rows_per_s": options.rows * len(seconds) / sum(seconds), "total_s": time.perf_counter() - began}
    print(json.dumps(found | {"peak_mb": peak_memory_mb()}))


def flows(n: int) -> tuple[np.ndarray, np.ndarray]:
    """`n` preprocessed rows (n, 9) and codes of 21 classes: what they are changes no speed."""
    rng = np.random.default_rng(0)
    return rng.normal(size=(n, 9)).astype(np.float32), rng.integers(0, 21, n).astype(np.int32)


def learner():
    """The network between preprocessing and probabilities."""
    from tlids_helpers.network import model
    from tlids_helpers.network.backend import set_seed

    set_seed(0)
    return model.chain(model.backbone(), model.head(21), name="network")


def plain(train, few, epochs: int, **compiled) -> list[float]:
    """Seconds of each epoch of the code in every tutorial."""
    from tlids_helpers.network.backend import keras
    from tlids_helpers.network.training import EpochClock

    network, clock = learner(), EpochClock()
    losses = {"loss": "sparse_categorical_crossentropy", "metrics": ["accuracy"]}
    network.compile(keras.optimizers.Adagrad(0.01), **losses, **compiled)
    network.fit(*train, validation_data=few, batch_size=BATCH, epochs=epochs, verbose=0, callbacks=[clock])
    return clock.seconds


def ours(train, few, epochs: int, name: str = "paper") -> list[float]:
    """Seconds of each epoch of `training.fit`."""
    from tlids_helpers.network import recipe, training

    chosen = recipe.named(name, epochs=epochs, patience=epochs)
    return training.fit(learner(), train, few, chosen)[1]


def whole_epoch(train, few, epochs: int) -> list[float]:
    """Seconds of each epoch when all its batches are one call into TensorFlow; no validation, no callbacks."""
    import tensorflow as tf

    from tlids_helpers.network.backend import keras

    network, optimiser = learner(), keras.optimizers.Adagrad(0.01)
    optimiser.build(network.trainable_variables)
    features, codes = (tf.constant(part) for part in train)
    loss_of = keras.losses.SparseCategoricalCrossentropy()

    @tf.function
    def epoch(order):
        for start in tf.range(0, len(codes) - BATCH + 1, BATCH):
            chosen = order[start : start + BATCH]
            with tf.GradientTape() as tape:
                loss = loss_of(tf.gather(codes, chosen), network(tf.gather(features, chosen), training=True))
            optimiser.apply(tape.gradient(loss, network.trainable_variables), network.trainable_variables)

    taken = []
    for _ in range(epochs):
        began = time.perf_counter()
        epoch(tf.random.shuffle(tf.range(len(codes))))
        taken.append(time.perf_counter() - began)
    return taken


def compiled(train, few, epochs: int) -> list[float]:
    """`plain`, compiled by XLA, 32 batches a call."""
    return plain(train, few, epochs, jit_compile=True, steps_per_execution=32)


def improved(train, few, epochs: int) -> list[float]:
    """`ours` with the recipe `improved`."""
    return ours(train, few, epochs, "improved")


WAYS = {
    "plain": plain, "compiled": compiled, "epoch": whole_epoch, "tensorflow": ours, "jax": ours,
    "jax-improved": improved,
}  # fmt: skip

if __name__ == "__main__":
    main()
