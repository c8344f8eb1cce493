"""Keras, imported once with a quiet TensorFlow and repeatable arithmetic."""

import logging
import os

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "0")  # its rounding differs from processor to processor

import keras

logging.getLogger("tensorflow").setLevel(logging.ERROR)  # after the import, which sets a level of its own

__all__ = ["keras", "set_seed"]


def set_seed(seed: int) -> None:
    """Seed Python, NumPy and the backend: the same seed and thread count give the same weights."""
    keras.utils.set_random_seed(seed)
