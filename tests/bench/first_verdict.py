"""A process that loads a model, judges one flow of zeros and says so: what starting costs.

    python tests/bench/first_verdict.py litert model.tflite
    python tests/bench/first_verdict.py keras model.keras

Prints its peak memory in MB when the verdict is there. Imports lie in the functions, because they are the cost.
"""

import sys
from pathlib import Path


def by_litert(path: str) -> None:
    """As the Pi does."""
    import numpy as np

    from tlids_helpers.export import litert

    litert.infer(litert.open_model(Path(path).read_bytes()), np.zeros((1, 9), np.float32))


def by_keras(path: str) -> None:
    """As a notebook does."""
    import numpy as np

    from tlids_helpers.network.backend import keras

    keras.models.load_model(path).predict(np.zeros((1, 9), np.float32), verbose=0)


if __name__ == "__main__":
    {"litert": by_litert, "keras": by_keras}[sys.argv[1]](sys.argv[2])
    from tlids_edge.status import peak_memory_mb

    print(peak_memory_mb(), flush=True)
