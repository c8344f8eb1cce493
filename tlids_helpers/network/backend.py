"""Keras, imported once with a quiet TensorFlow and repeatable arithmetic.

KERAS_BACKEND=jax trains the same networks faster on processors (docs/benchmarks.md). What it saves loads under
TensorFlow, which alone exports to LiteRT and gives gradients.
"""

import logging
import os

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "0")  # its rounding differs from processor to processor

import keras

from tlids_helpers.common.errors import InputError

logging.getLogger("tensorflow").setLevel(logging.ERROR)  # after the import, which sets a level of its own

__all__ = ["keras", "require_tensorflow", "set_seed"]


def set_seed(seed: int) -> None:
    """Seed Python, NumPy and the backend: the same seed and thread count give the same weights."""
    keras.utils.set_random_seed(seed)


def require_tensorflow() -> None:
    """Raise InputError unless Keras runs on TensorFlow."""
    if keras.backend.backend() != "tensorflow":
        raise InputError(f"expected KERAS_BACKEND=tensorflow here, found {keras.backend.backend()}: unset it")
