"""Why frozen blocks scored far worse in an earlier measurement: they normalised by the batch while the head learned.

    python tests/bench/transfer_frozen.py build/transfer/rows.npz [--target NF-UNSW-NB15-v2]

One source without the target, trained once. On its blocks, which never change, two heads learn from all of the
target's training rows: one sees the blocks as they are used afterwards, one sees them in training mode, normalised by
each batch's own mean and variance and with dropout. Both are tested with the source's moving averages. What the second
loses is no property of freezing.
"""

import argparse
import json
from pathlib import Path

import numpy as np
from sklearn.metrics import f1_score

from tlids_helpers.network import model as network
from tlids_helpers.network import training
from tlids_helpers.network.backend import keras, set_seed
from tlids_helpers.network.model import predict
from tlids_helpers.network.recipe import Recipe
from tlids_helpers.network.transfer import new_head

TRAIN, VALIDATION, TEST = range(3)


def main() -> None:
    """Train the source, then both heads; one line of JSON each."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("rows", type=Path)
    parser.add_argument("--target", default="NF-UNSW-NB15-v2")
    parser.add_argument("--source-rows", type=int, default=120_000)
    parser.add_argument("--epochs", type=int, default=5)
    parser.add_argument("--seed", type=int, default=0)
    wanted = parser.parse_args()
    found = np.load(wanted.rows)
    x = np.stack([found[f"feature{i}"].astype(np.float32) for i in range(9)], axis=1)
    label, role = found["label"].astype(np.int32), found["roles"][wanted.seed]
    is_target = found["part"] == found["parts"].tolist().index(wanted.target)

    def rows(which: np.ndarray, wanted_role: int, most: int | None = None) -> tuple[np.ndarray, np.ndarray]:
        chosen = np.random.default_rng(0).permutation(np.flatnonzero(which & (role == wanted_role)))[:most]
        return x[chosen], label[chosen]

    recipe, n_classes = Recipe(epochs=wanted.epochs), len(found["classes"])
    learned = rows(~is_target, TRAIN, wanted.source_rows), rows(~is_target, VALIDATION, 10_000)
    source = training.train_from_scratch(*learned, n_classes, recipe, wanted.seed).model
    features, truth = rows(is_target, TEST)
    for batch_statistics in (False, True):
        head = head_on(source, rows(is_target, TRAIN), n_classes, wanted, batch_statistics)
        whole = network.full_model(source.get_layer("preprocessing"), source.get_layer("backbone"), head)
        score = f1_score(truth, predict(whole, features).argmax(axis=1), average="macro", labels=np.unique(truth))
        mode = "training mode" if batch_statistics else "as used afterwards"
        print(json.dumps({"target": wanted.target, "blocks": mode, "macro_f1": round(float(score), 3)}), flush=True)


def head_on(source: keras.Model, rows: tuple, n_classes: int, wanted: argparse.Namespace, batch_statistics: bool):
    """A head trained for some epochs on what the blocks give, in either mode; the blocks end as they began."""
    set_seed(wanted.seed)
    blocks, head = source.get_layer("backbone"), new_head(source, n_classes)
    before = blocks.get_weights()
    head.compile(keras.optimizers.Adagrad(0.01), "sparse_categorical_crossentropy")
    x = source.get_layer("preprocessing").predict(rows[0], batch_size=65536, verbose=0)
    rng = np.random.default_rng(wanted.seed)
    for _ in range(wanted.epochs):
        for batch in np.array_split(rng.permutation(len(x)), len(x) // 128):
            head.train_on_batch(blocks(x[batch], training=batch_statistics), rows[1][batch])
    blocks.set_weights(before)
    return head


if __name__ == "__main__":
    main()
