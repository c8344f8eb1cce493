"""Training on one GPU: Keras's `fit` on JAX beside whole epochs on the device, in under five minutes.

    python tests/bench/on_a_gpu.py [--out FILE] [--only PART ...] [--quick]

Needs JAX with a GPU, Keras and tqdm; no TensorFlow. The rows are made up: nine standard normal values and 21 classes,
as many as NF-UQ-NIDS has for training where the whole set is meant. What they are changes no speed. Every line is on
standard output and, as it comes, in FILE (default: on_a_gpu.json in $OUT or here), which
`python tests/bench/run_all.py --gpu FILE` puts on docs/benchmarks.md. `--quick` runs on any device and means nothing.
"""

import argparse
import json
import os
import subprocess
import sys
import time
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

os.environ["KERAS_BACKEND"] = "jax"
REPOSITORY = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(REPOSITORY), str(REPOSITORY / "edge")]

import jax  # noqa: E402
import numpy as np  # noqa: E402

from tlids_helpers.network import accelerated, stretch  # noqa: E402
from tlids_helpers.network.accelerated import Job, Plan, Table  # noqa: E402
from tlids_helpers.network.recipe import Recipe  # noqa: E402

LIMIT_S = 240  # after which no part is begun
CLASSES = 21
CHECKED = 9  # training rows to one validation row
NIDS = 8_636_323  # training rows of NF-UQ-NIDS: 72 % of 11,994,893
EPOCHS = 50  # of the paper
WANTED = {1: 6, 5: 15, 20: 45}  # networks at once -> times Keras's rows a second
SMALL_MEMORY = 0.02  # of the GPU's, for the networks that do not fit
FLAGS = {
    "XLA's defaults": "",
    "no CUDA graphs": "--xla_gpu_enable_command_buffer=",
    "CUDA graphs of the loop too": "--xla_gpu_enable_command_buffer=FUSION,CUBLAS,CUBLASLT,CUSTOM_CALL,CUDNN,WHILE",
}


@dataclass(frozen=True)
class Sizes:
    """How much is run."""

    keras: int  # rows
    ours: int  # rows
    whole: int  # rows
    whole_seconds: float  # in which as many of the 50 epochs are run as fit
    networks: tuple[int, ...]
    crowd: int  # networks that SMALL_MEMORY does not hold


FULL = Sizes(307_200, 1_024_000, NIDS, 75.0, (1, 5, 20), 1000)
QUICK = Sizes(2_000, 2_000, 3_000, 0.0, (1, 2), 3)


class Lines:
    """The lines of lines.py, printed and kept."""

    def __init__(self, file: Path, quick: bool) -> None:
        """Nothing yet."""
        self.file, self.quick, self.kept = file, quick, []

    def emit(self, **line) -> None:
        """Add one line; the file is whole at any time."""
        device = jax.devices()[0]
        self.kept.append({"part": "training", "device": "gpu", "on": device.device_kind, **line})
        self.kept[-1] = {name: value for name, value in self.kept[-1].items() if value is not None}
        print(json.dumps(self.kept[-1]), flush=True)
        partial = self.file.with_name(f".{self.file.name}.partial")
        versions = {"jax": jax.__version__, "numpy": np.__version__, "Python": sys.version.split()[0]}
        kept = {"quick": self.quick, "versions": versions, "lines": self.kept}
        partial.write_text(json.dumps(kept, indent=1) + "\n", encoding="utf-8")
        partial.replace(self.file)


def main() -> int:
    """Measure and print; returns 1 where there is no GPU."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--quick", action="store_true", help="a smoke run, also without a GPU: its figures mean nothing"
    )
    parser.add_argument("--out", type=Path, default=Path(os.environ.get("OUT", ".")) / "on_a_gpu.json")
    parser.add_argument("--only", nargs="+", choices=PARTS, default=DEFAULT, help="default: " + ", ".join(DEFAULT))
    parser.add_argument("--variant", help=argparse.SUPPRESS)  # one process of `explore`
    options = parser.parse_args()
    if jax.default_backend() == "cpu" and not options.quick:
        print("expected JAX to see a GPU, found a CPU alone: run it on a machine with one", file=sys.stderr)
        return 1
    sizes = QUICK if options.quick else FULL
    if options.variant:
        print(json.dumps(variant(sizes, int(options.variant))))
        return 0
    out, start = Lines(options.out, options.quick), time.perf_counter()
    for name in options.only:
        began = time.perf_counter()
        if began - start > LIMIT_S and options.only == DEFAULT:
            print(f"{name}: left out, {LIMIT_S} s are over; --only {name} runs it", file=sys.stderr, flush=True)
            continue
        try:
            PARTS[name](out, sizes)
        except Exception as error:  # what was measured is kept, and the next part is tried
            out.emit(what=f"{name} failed", value=0, unit="", note=f"{type(error).__name__}: {str(error)[:300]}")
        print(f"{name}: {time.perf_counter() - began:.0f} s", file=sys.stderr, flush=True)
    return 0


def table(rows: int) -> tuple[Table, np.ndarray, np.ndarray]:
    """Made-up rows, and the numbers of those for training and for validation: `rows` and a ninth of it."""
    rng = np.random.default_rng(0)
    total = rows + rows // CHECKED
    inputs = rng.standard_normal((total, 9), dtype=np.float32)
    return Table(inputs, rng.integers(0, CLASSES, total, dtype=np.int32)), np.arange(rows), np.arange(rows, total)


def speed(out: Lines, sizes: Sizes) -> None:
    """Rows a second of Keras's `fit`, and of one, five and twenty networks at once."""
    theirs = with_keras(sizes.keras)
    note = f"{sizes.keras:,} made-up rows, batches of 128, the checks on a ninth as many rows included"
    out.emit(what="model.fit, KERAS_BACKEND=jax", value=theirs, unit="rows/s", note=note)
    for networks in sizes.networks:
        ours, first = with_ours(sizes.ours, networks)
        out.emit(
            what=f"whole epochs on the device, {told(networks)}", against="model.fit, KERAS_BACKEND=jax", value=ours,
            other=theirs, unit="rows/s", ratio=ours / theirs, wanted=WANTED.get(networks),
            note=f"{sizes.ours:,} made-up rows, batches of 128; the first epoch, with compiling, took {first:.1f} s",
        )  # fmt: skip


def whole(out: Lines, sizes: Sizes) -> None:
    """NF-UQ-NIDS's training rows, as many epochs as there is time for."""
    rows, train, validation = table(sizes.whole)
    plan = Plan(Recipe(epochs=2))
    two = accelerated.train_many(rows, [Job(train, validation, CLASSES)], plan)[0].seconds
    epochs = max(1, min(EPOCHS, int((sizes.whole_seconds - sum(two)) / two[1])))
    if epochs > 2:
        seconds = accelerated.train_many(rows, [Job(train, validation, CLASSES)], Plan(Recipe(epochs=epochs)))[
            0
        ].seconds
    else:
        seconds = two[1:]
    took = float(np.median(seconds))
    out.emit(what="an epoch of NF-UQ-NIDS, one network", value=took, unit="s",
             note=f"{sizes.whole:,} made-up rows, batches of 128; the median of {len(seconds)} epochs")  # fmt: skip
    done = "measured" if len(seconds) == EPOCHS else f"{EPOCHS} times the median of {len(seconds)} epochs"
    out.emit(what=f"{EPOCHS} epochs of NF-UQ-NIDS, one network", value=took * EPOCHS / 60, unit="min", note=done)


def bound(out: Lines, sizes: Sizes) -> None:
    """What bounds it: microseconds an update at other batches, and the host's share of an epoch."""
    for networks, batch in ((1, 128), (1, 1024), (max(sizes.networks), 1024)):
        rows = sizes.ours if networks == 1 else sizes.ours // 2
        rate, _ = with_ours(rows, networks, batch)
        out.emit(what=f"an update of {told(networks)}, batch {batch}", value=1e6 * networks * batch / rate, unit="us",
                 note=f"{rate:,.0f} rows/s")  # fmt: skip
    began = time.perf_counter()
    np.random.default_rng(0).permutation(np.arange(sizes.whole))
    out.emit(what="an epoch's order of NF-UQ-NIDS, drawn on the host", value=time.perf_counter() - began, unit="s",
             note="while the device is at the epoch before")  # fmt: skip


def together(out: Lines, sizes: Sizes) -> None:
    """Networks trained together beside each alone, on this device's arithmetic."""
    rows, train, validation = table(min(sizes.ours, 20_000))
    jobs = [Job(train, validation, CLASSES, seed=seed) for seed in range(3)]
    plan = Plan(Recipe(epochs=1))
    many = accelerated.train_many(rows, jobs, plan)
    alone = accelerated.train_many(rows, jobs[1:2], plan)[0]
    apart = jax.tree.map(lambda a, b: float(np.abs(a - b).max()), many[1].weights, alone.weights)
    out.emit(what="largest difference of a weight, together and alone", value=max(jax.tree.leaves(apart)), unit="",
             note=f"after an epoch of {len(train):,} rows")  # fmt: skip


def crowded(out: Lines, sizes: Sizes) -> None:
    """More networks than a fiftieth of the GPU's memory holds: fewer at once, and said."""
    environment = {**os.environ, "XLA_PYTHON_CLIENT_MEM_FRACTION": str(SMALL_MEMORY)}
    quick = ["--quick"] if sizes is QUICK else []
    command = [sys.executable, __file__, "--variant", str(sizes.crowd), *quick]
    done = subprocess.run(command, capture_output=True, text=True, env=environment)
    found = json.loads(done.stdout.splitlines()[-1]) if done.returncode == 0 else {}
    said = "; ".join(found.get("said", [])) or done.stderr[-300:]
    out.emit(what=f"networks at once of {sizes.crowd}, with {SMALL_MEMORY:.0%} of the memory",
             value=found.get("together", 0), unit="", note=said)  # fmt: skip


def explore(out: Lines, sizes: Sizes) -> None:
    """One network under other settings of XLA and of the scan, a process each."""
    quick = ["--quick"] if sizes is QUICK else []
    for name, flags in FLAGS.items():
        for unroll in (1, 4) if not flags else (1,):
            environment = {**os.environ, "XLA_FLAGS": flags, "UNROLL": str(unroll)}
            environment["XLA_PYTHON_CLIENT_PREALLOCATE"] = "false"  # this process holds most of the memory
            command = [sys.executable, __file__, "--variant", "1", *quick]
            done = subprocess.run(command, capture_output=True, text=True, env=environment)
            found = json.loads(done.stdout.splitlines()[-1]) if done.returncode == 0 else {}
            out.emit(what=f"one network, {name}, {unroll} batches a turn", value=found.get("rows_per_s", 0),
                     unit="rows/s", note=str(found or done.stderr[-300:]))  # fmt: skip


def variant(sizes: Sizes, networks: int) -> dict:
    """One process of `explore` or `crowded`: rows a second, networks at once, and what was said."""
    stretch.UNROLL = int(os.environ.get("UNROLL", stretch.UNROLL))
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        rows, train, validation = table(min(sizes.ours, 150_000 if networks == 1 else 2_000))
        jobs = [Job(train, validation, CLASSES, seed=seed) for seed in range(networks)]
        found = accelerated.train_many(rows, jobs, Plan(Recipe(epochs=4 if networks == 1 else 1)))
    last = found[-1]
    told = [str(each.message)[:200] for each in said if "at once" in str(each.message)]
    return {
        "rows_per_s": round(last.together * len(train) / min(last.seconds)), "together": last.together,
        "seconds": [round(each, 3) for each in last.seconds], "said": told,
    }  # fmt: skip


def with_ours(rows: int, networks: int, batch: int = 128) -> tuple[float, float]:
    """Rows a second of all networks without the first epoch, and how many seconds that one took."""
    flows, train, validation = table(rows)
    jobs = [Job(train, validation, CLASSES, seed=seed) for seed in range(networks)]
    plan = Plan(Recipe(epochs=3, batch_size=batch))
    seconds = accelerated.train_many(flows, jobs, plan)[0].seconds
    return rows * networks / float(np.mean(seconds[1:])), seconds[0]


def with_keras(rows: int) -> float:
    """Rows a second of Keras's `fit` on JAX, without the first epoch."""
    from tlids_helpers.network import model, training
    from tlids_helpers.network.backend import set_seed

    flows, train, validation = table(rows)
    set_seed(0)
    network, clock = model.chain(model.backbone(), model.head(CLASSES), name="network"), training.EpochClock()
    network.compile(training.optimiser(Recipe(), 1), "sparse_categorical_crossentropy", metrics=["accuracy"])
    checked = flows.inputs[validation], flows.codes[validation]
    network.fit(flows.inputs[train], flows.codes[train], batch_size=128, epochs=3, validation_data=checked, verbose=0,
                validation_batch_size=training.VALIDATION_BATCH, callbacks=[clock])  # fmt: skip
    return rows / float(np.mean(clock.seconds[1:]))


def told(networks: int) -> str:
    """How many networks, in words a table can have."""
    return "one network" if networks == 1 else f"{networks} networks at once"


PARTS: dict[str, Callable[[Lines, Sizes], None]] = {
    "speed": speed, "whole": whole, "together": together, "crowded": crowded, "bound": bound, "explore": explore,
}  # fmt: skip
DEFAULT = [name for name in PARTS if name != "explore"]

if __name__ == "__main__":
    sys.exit(main())
