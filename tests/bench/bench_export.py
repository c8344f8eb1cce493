"""What exporting costs and gives: our four precisions beside TFLiteConverter.from_keras_model with the same options.

    python tests/bench/bench_export.py [--quick]

The plain conversion is what TensorFlow's guide shows. Ours does more for int8: weights are rewritten so that one byte
holds them (int8.py), and preprocessing and softmax stay float. And `convert_all` judges every test row with every
file and with Keras, which is how one learns that a file is broken.
"""

import contextlib
import sys
import warnings
from functools import partial

import lines
import numpy as np
import testbed_run

from tlids_helpers.data import prepare
from tlids_helpers.data.prepare import Prepared
from tlids_helpers.export import convert, litert
from tlids_helpers.export.convert import PRECISIONS
from tlids_helpers.network.model import predict
from tlids_helpers.network.transfer import load_source

PLAIN = "TFLiteConverter.from_keras_model"
compare = partial(lines.compare, "export")


def main() -> None:
    """Measure and print."""
    quick = lines.is_quick(__doc__)
    prepared, run = testbed_run.trained(quick)
    network = load_source(run.model_path, prepared.features, run.result)
    spent = [one_precision(name, network, prepared, run.model_path.stat().st_size, quick) for name in PRECISIONS]
    checked = lines.seconds(lambda: convert.convert_all(network, prepared, testbed_run.TASK))
    compare("all four, each compared with Keras on the test flows", f"{PLAIN}, unchecked", checked, sum(spent), "s",
            f"{prepared.size('test'):,} test flows")  # fmt: skip


def one_precision(name: str, network, prepared: Prepared, keras_bytes: int, quick: bool) -> float:
    """Seconds, agreement and bytes of one precision; returns the seconds of the plain way."""
    rows, (features, truth) = convert.representative(prepared), prepare.load(prepared, "test")
    made = {}
    ours, theirs = lines.alternately(
        lambda: made.update(ours=convert.convert(network, name, rows)),
        lambda: made.update(theirs=plain(network, name, rows)),
        times=1 if quick else 2, warm_up=int(not quick),
    )  # fmt: skip
    expected = predict(network, features)
    same = {who: convert.agreement(expected, litert.predict(file, features), truth) for who, file in made.items()}
    compare(f"{name}, time to convert", PLAIN, ours, theirs, "s", does(name))
    compare(f"{name}, flows judged as by Keras", PLAIN, same["ours"].same_class, same["theirs"].same_class, "of 1",
            f"{len(truth):,} test flows")  # fmt: skip
    compare(f"{name}, size of the file", "model.keras", len(made["ours"]), keras_bytes, "bytes",
            f"{PLAIN}: {len(made['theirs']):,}")  # fmt: skip
    return theirs


def does(precision: str) -> str:
    """What ours does more."""
    return "ours rewrites the weights, and leaves preprocessing and softmax float" if precision == "int8" else ""


def plain(network, precision: str, rows: np.ndarray) -> bytes:
    """A LiteRT file as TensorFlow's guide to post-training quantisation makes it; float input and output for int8."""
    import tensorflow as tf

    converter = tf.lite.TFLiteConverter.from_keras_model(network)
    if precision != "float32":
        converter.optimizations = [tf.lite.Optimize.DEFAULT]
    if precision == "float16":
        converter.target_spec.supported_types = [tf.float16]
    if precision == "int8":
        converter.representative_dataset = lambda: ([row[None]] for row in rows)
    with contextlib.redirect_stdout(sys.stderr), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return converter.convert()


if __name__ == "__main__":
    main()
