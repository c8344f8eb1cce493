"""Transfer learning (Section 4.3, Fig. 4): a new output layer, frozen blocks, dense layers that go on learning.

With `frozen="none"` in the recipe the blocks go on learning as well, from the source's weights.
"""

import time
import zipfile
import zlib
from pathlib import Path

import numpy as np

from tlids_helpers.common.errors import InputError
from tlids_helpers.network import model as network
from tlids_helpers.network.backend import keras, set_seed
from tlids_helpers.network.recipe import Recipe
from tlids_helpers.network.training import Trained, fit, through, trained

UNREADABLE = (ValueError, OSError, KeyError, TypeError, AttributeError, zipfile.BadZipFile, zlib.error)


def load_source(path: str | Path, features: tuple[str, ...], card: dict) -> keras.Model:
    """Load a pre-trained model.keras; `card` is its result, `features` what the target has.

    Raises InputError when the file is missing or broken, is another network, or was trained on another family.
    """
    path = Path(path)
    if not path.is_file():
        raise InputError(f"expected a pre-trained model at {path}, found none: train it with notebook 02")
    if tuple(card.get("features", features)) != tuple(features):
        raise InputError(
            f"expected a source model on the features {', '.join(features)}, found {path} trained on "
            f"{', '.join(card['features'])}: choose a source of the same family"
        )
    try:
        _check_sums(path)
        source = keras.models.load_model(path)
    except UNREADABLE as error:  # what Keras raises for a file cut short, overwritten, or of something else
        reason = (str(error) or type(error).__name__).splitlines()[0][:100]
        raise InputError(
            f"expected a Keras model in {path}, found a file that cannot be loaded ({reason}): make it again"
        ) from None
    if not _is_ours(source):
        raise InputError(f"expected the network of notebook 02 in {path}, found {source.name!r}: choose another source")
    return source


def _check_sums(path: Path) -> None:
    """Raise BadZipFile for a damaged member: Keras seeks in them, and from Python 3.13 on that skips the check."""
    with zipfile.ZipFile(path) as archive:
        if damaged := archive.testzip():
            raise zipfile.BadZipFile(f"{damaged} is damaged")


def new_head(source: keras.Model, n_classes: int) -> keras.Model:
    """The source's head without its output layer: its dense layers as they are, and a new softmax."""
    old = source.get_layer("head")
    fresh = network.head(n_classes)
    for name in ("dense1", "dense2"):
        fresh.get_layer(name).set_weights(old.get_layer(name).get_weights())
    return fresh


def train_transferred(
    source: keras.Model,
    train: tuple[np.ndarray, np.ndarray],
    validation: tuple[np.ndarray, np.ndarray],
    n_classes: int,
    recipe: Recipe = Recipe(),  # noqa: B008 - frozen
    seed: int = 42,
) -> Trained:
    """Train a new head on the blocks of `source`; rows as in `train_from_scratch`. `source` stays as it is.

    Frozen, preprocessing, convolution, normalisation, pooling, dropout and flatten never change, and normalisation goes
    by the source's averages: each row goes through them once, and the head learns on what comes out. With
    `recipe.frozen="none"` only the preprocessing stays, and a copy of the blocks learns with the head.
    """
    set_seed(seed)
    began = time.perf_counter()
    first, blocks = source.get_layer("preprocessing"), source.get_layer("backbone")
    last = new_head(source, n_classes)
    if recipe.frozen == "none":
        blocks = free_blocks(source, recipe)
        fixed, learner = first, network.chain(blocks, last, name="network")
    else:
        blocks.trainable = False
        fixed, learner = network.chain(first, blocks, name="frozen"), last
    inside = [through(fixed, rows) for rows in (train, validation)]
    spent = time.perf_counter() - began
    history, seconds = fit(learner, *inside, recipe, seed)
    return trained(network.full_model(first, blocks, last), history, seconds, spent)


def free_blocks(source: keras.Model, recipe: Recipe) -> keras.Model:
    """A copy of the source's blocks that can learn, with its weights and averages and the recipe's dropout."""
    blocks = network.backbone(recipe.dropout, recipe.momentum)
    blocks.set_weights(source.get_layer("backbone").get_weights())
    return blocks


def _is_ours(source: keras.Model) -> bool:
    """Whether `source` has the three parts of our network, layer by layer, its output layer aside."""
    if [layer.name for layer in source.layers[1:]] != ["preprocessing", "backbone", "head"]:
        return False
    expected = network.chain(network.backbone(), network.head(2), name="expected")
    ours, theirs = (
        [row for row in network.layer_table(model) if row["weights"] and row["layer"] != "output"]
        for model in (expected, source)
    )
    return ours == theirs
