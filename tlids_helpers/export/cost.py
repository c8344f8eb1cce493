"""What inferring costs, in a process that does nothing else: Python, NumPy, LiteRT and one model.

`python -m tlids_helpers.export.cost model.tflite rows.npy` prints one JSON object. It loads no
TensorFlow, as on the Pi.
Figures are this machine's: a Pi 3 is slower, so compare columns, not machines.
"""

import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

from tlids_helpers.export import litert

ALONE = 1000  # flows judged one by one
WARM_UP = 50  # the first calls fill caches; they are not counted
BATCHES = {64: 100, 1024: 10}  # flows in a batch -> how many batches
STATUS = Path("/proc/self/status")  # Linux only


def measure(content: bytes, features: np.ndarray) -> dict[str, float | None]:
    """Judge rows (n, 9) of raw feature values in a process of its own, on one thread.

    Returns p50_us and p95_us of one flow alone (microseconds), per_s_64 and per_s_1024 (flows a second in batches),
    memory_mb (resident, megabytes of 10^6 bytes; None where there is no /proc).
    """
    with tempfile.TemporaryDirectory(prefix="tlids-") as folder:
        model, rows = Path(folder) / "model.tflite", Path(folder) / "rows.npy"
        model.write_bytes(content)
        np.save(rows, np.resize(features.astype(np.float32), (max(BATCHES), features.shape[1])))
        command = [sys.executable, "-m", "tlids_helpers.export.cost", str(model), str(rows)]
        done = subprocess.run(command, capture_output=True, text=True, check=True)
    return json.loads(done.stdout)


def measure_here(content: bytes, features: np.ndarray) -> dict[str, float | None]:
    """As `measure`, in this process; `features` (1024, 9) float32."""
    interpreter = litert.open_model(content)
    alone = [_seconds(interpreter, features[k % len(features)][None]) for k in range(WARM_UP + ALONE)][WARM_UP:]
    costs = {"p50_us": 1e6 * np.percentile(alone, 50), "p95_us": 1e6 * np.percentile(alone, 95)}
    for size, times in BATCHES.items():
        litert.resize(interpreter, size)
        # the median: another program that wants the core for a moment is not the model's doing
        costs[f"per_s_{size}"] = size / np.median([_seconds(interpreter, features[:size]) for _ in range(times)])
    return {**{name: float(cost) for name, cost in costs.items()}, "memory_mb": resident_memory()}


def resident_memory() -> float | None:
    """This process's resident memory (VmRSS) in megabytes of 10^6 bytes; None where there is no /proc."""
    if not STATUS.is_file():
        return None
    line = next(line for line in STATUS.read_text().splitlines() if line.startswith("VmRSS"))
    return int(line.split()[1]) * 1024 / 1e6


def _seconds(interpreter, features: np.ndarray) -> float:
    began = time.perf_counter()
    litert.infer(interpreter, features)
    return time.perf_counter() - began


if __name__ == "__main__":
    print(json.dumps(measure_here(Path(sys.argv[1]).read_bytes(), np.load(sys.argv[2]))))
