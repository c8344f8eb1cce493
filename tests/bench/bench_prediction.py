"""What judging flows costs: the exported model beside Keras and extra trees, one flow alone and many at once.

    python tests/bench/bench_prediction.py [--quick]

Real flows of the testbed's test session. LiteRT runs on one thread, as on the Pi, in a process without TensorFlow;
Keras takes all cores.
"""

import subprocess
import sys
import tempfile
from functools import partial
from pathlib import Path

import lines
import numpy as np
import testbed_run

from tlids_helpers.audit import baselines
from tlids_helpers.data import prepare
from tlids_helpers.data.prepare import Prepared
from tlids_helpers.export import convert, cost
from tlids_helpers.network.model import predict
from tlids_helpers.network.transfer import load_source

FIRST = Path(__file__).with_name("first_verdict.py")
ALONE = 200  # flows judged one by one; Keras takes tens of milliseconds for each
compare = partial(lines.compare, "prediction")


def main() -> None:
    """Measure and print."""
    quick = lines.is_quick(__doc__)
    prepared, run = testbed_run.trained(quick)
    network = load_source(run.model_path, prepared.features, run.result)
    features, _ = prepare.load(prepared, "test")
    trees = fitted_trees(prepared)
    files = {name: convert.convert(network, name, convert.representative(prepared)) for name in convert.PRECISIONS}
    costs = {name: cost.measure(content, features) for name, content in files.items()}
    one_flow(costs["float32"], network, trees, features[: 10 if quick else ALONE])
    many_flows(costs["float32"], network, trees, features, 1 if quick else 5)
    for name in convert.PRECISIONS[1:]:
        compare(f"one flow alone, {name} file", "the float32 file", costs[name]["p50_us"], costs["float32"]["p50_us"],
                "µs", "median of 1,000")  # fmt: skip
    from_a_cold_start(files["float32"], run.model_path, 1 if quick else 3)


def fitted_trees(prepared: Prepared) -> baselines.Predict:
    """A hundred extra trees on one core, which is quicker than two for one flow."""
    rows = prepare.load(prepared, "train"), prepare.load(prepared, "validation")
    return baselines.fit("extra trees", rows, len(prepared.classes), prepared.features).predict


def one_flow(litert_cost: dict, network, trees, flows: np.ndarray) -> None:
    """The exported file against what a notebook would call on each flow as it comes; medians."""
    others = {
        "Keras, model.predict of one row": lambda row: network.predict(row, verbose=0),
        "Keras, model(row) called directly": lambda row: np.asarray(network(row, training=False)),
        "100 extra trees, predict_proba of one row": trees,
    }
    ours, note = litert_cost["p50_us"], f"medians of 1,000 and of {len(flows):,}"
    for name, judge in others.items():
        judge(flows[:1])
        taken = np.median([lines.seconds(partial(judge, flows[k : k + 1])) for k in range(len(flows))])
        compare("one flow alone, float32 file", name, ours, 1e6 * taken, "µs", note)


def many_flows(litert_cost: dict, network, trees, features: np.ndarray, times: int) -> None:
    """Rates over the whole test session."""
    plain, large, forest = lines.alternately(
        lambda: network.predict(features, verbose=0), lambda: predict(network, features),
        lambda: trees(features), times=times,
    )  # fmt: skip
    rows = len(features)
    ours, what = litert_cost["per_s_64"], "batches of 64, float32 file, one core"
    compare(what, "Keras, model.predict of all rows, all cores", ours, rows / plain, "flows/s", f"{rows:,} flows")
    compare(what, "100 extra trees, all rows at once, one core", ours, rows / forest, "flows/s", f"{rows:,} flows")
    compare("predict, batches of 16,384", "Keras, model.predict with its default batches of 32",
            rows / large, rows / plain, "flows/s", f"the same Keras model on all cores, {rows:,} flows")  # fmt: skip


def from_a_cold_start(content: bytes, keras_file: Path, times: int) -> None:
    """Whole processes, from start to the first verdict."""
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "model.tflite"
        file.write_bytes(content)
        peaks: tuple[list, list] = [], []
        took = lines.alternately(
            lambda: peaks[0].append(first_verdict("litert", file)),
            lambda: peaks[1].append(first_verdict("keras", keras_file)), times=times,
        )  # fmt: skip
    note = "including the start of Python and all imports"
    compare("process from its start to the first verdict, LiteRT", "Keras", *took, "s", note)
    compare("peak memory of that process, LiteRT", "Keras", *map(max, peaks), "MB", note)


def first_verdict(engine: str, file: Path) -> float:
    """Run `first_verdict.py` to its end; returns its peak memory in MB."""
    done = subprocess.run([sys.executable, FIRST, engine, file], stdout=subprocess.PIPE, text=True, check=True)
    return float(done.stdout)


if __name__ == "__main__":
    main()
