"""Whether there is an accelerator to train on, and what trains there."""

import importlib.metadata
import importlib.util
import os
from types import ModuleType


def accelerated() -> bool:
    """Whether JAX is installed and sees an accelerator: then whole epochs run there (network/accelerated.py).

    JAX is not even loaded where no plugin for one is installed.
    """
    if not _plugged():
        return False
    os.environ.setdefault("XLA_PYTHON_CLIENT_PREALLOCATE", "false")  # several processes share it: workers, kernels
    import jax

    return any(found.platform != "cpu" for found in jax.devices())


def trainer() -> ModuleType | None:
    """`together`, which trains on an accelerator, or None where JAX sees none.

    It is imported by name because it needs JAX, which is optional.
    """
    return importlib.import_module("tlids_helpers.network.together") if accelerated() else None


def _plugged() -> bool:
    """Whether JAX and a plugin of it are installed (CUDA, ROCm, Metal), or Google's library for TPUs."""
    if not importlib.util.find_spec("jax"):
        return False
    own = bool(importlib.metadata.entry_points(group="jax_plugins"))
    return own or any(importlib.util.find_spec(name) for name in ("jax_plugins", "libtpu"))
