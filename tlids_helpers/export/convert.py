"""A finished run -> LiteRT (Section 5.3, Fig. 6): float32, float16, dynamic range, int8; checked against Keras.

float32      everything as it was trained
float16      weights stored in two bytes, arithmetic in float32
dynamic      weights in one byte, activations in float32 between layers
int8         weights and activations in one byte from the first convolution to the last dense layer

All take nine raw feature values as float32 and give probabilities as float32. In int8 the preprocessing stays float,
because raw values span nine powers of ten and one byte has 256 steps; so does the softmax, because an alert threshold
for one false alarm in a thousand needs finer steps than 1/256. Its weights are rewritten first (int8.py).
"""

import contextlib
import os
import sys
import tempfile
import warnings
from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np

from tlids_helpers.common.errors import InputError
from tlids_helpers.data import prepare
from tlids_helpers.data.prepare import Prepared
from tlids_helpers.export import litert
from tlids_helpers.export.int8 import equalised
from tlids_helpers.network.backend import keras, require_tensorflow
from tlids_helpers.network.model import predict
from tlids_helpers.results import metrics, threshold
from tlids_helpers.results.threshold import Threshold

SAME_CLASS = {"float32": 0.9999, "float16": 0.999, "dynamic": 0.99, "int8": 0.97}
"""For each precision the share of test rows that must keep the class Keras gives them, ties aside."""

PRECISIONS = tuple(SAME_CLASS)
TIE = 0.01  # classes whose probabilities differ by less are a tie, which rounding may decide either way
REPRESENTATIVE = 100  # training rows of each class that int8 takes its ranges from


@dataclass(frozen=True)
class Agreement:
    """A LiteRT file beside Keras, on the test rows. Changes are LiteRT's score less Keras's."""

    rows: int
    same_class: float  # share of rows
    same_or_tie: float  # share of rows whose LiteRT class is Keras's, or less than TIE behind it for Keras
    largest_difference: float  # between two probabilities of the same row and class
    accuracy_change: float
    macro_f1_change: float
    finite: bool  # no NaN, no infinity
    scores: dict[str, float] = field(repr=False)  # LiteRT's


@dataclass(frozen=True)
class Export:
    """A model in one precision, not yet written."""

    precision: str
    content: bytes = field(repr=False)  # of model.tflite
    agreement: Agreement

    @property
    def agrees(self) -> bool:
        """Whether it may be written: numbers throughout, and the same class as Keras often enough."""
        return self.agreement.finite and self.agreement.same_or_tie >= SAME_CLASS[self.precision]


def check_precision(precision: str) -> None:
    """Raise InputError unless `precision` is one of `PRECISIONS`."""
    if precision not in PRECISIONS:
        raise InputError(f"expected precision to be one of {', '.join(PRECISIONS)}, found {precision!r}: correct it")


def convert_all(
    model: keras.Model, prepared: Prepared, task: str, precisions: tuple[str, ...] = PRECISIONS
) -> dict[str, Export]:
    """Precision -> the model in it, compared with Keras on the test rows. Test rows shape nothing in it.

    Raises InputError for an unknown precision.
    """
    features, truth = prepare.load(prepared, "test", task)
    expected = predict(model, features)
    rows = representative(prepared, task)
    exports = {}
    for precision in precisions:
        content = convert(model, precision, rows)
        with quiet():  # LiteRT announces once that it uses its own kernels
            found = litert.predict(content, features)
        exports[precision] = Export(precision, content, agreement(expected, found, truth))
    return exports


def representative(prepared: Prepared, task: str = "multiclass") -> np.ndarray:
    """Training rows (m, 9) whose activations set int8's ranges: at most 100 of each class, so that rare ones count."""
    features, codes = prepare.load(prepared, "train", task)
    order = np.random.default_rng(prepared.seed).permutation(len(codes))
    kept = [order[codes[order] == code][:REPRESENTATIVE] for code in np.unique(codes)]
    return features[np.concatenate(kept)]


def convert(model: keras.Model, precision: str, rows: np.ndarray | None = None) -> bytes:
    """The content of a LiteRT file with built-in operations alone; `rows` (m, 9), training rows, are for int8.

    Raises InputError for an unknown precision, for int8 without rows, and when Keras runs on JAX.
    """
    check_precision(precision)
    if precision == "int8" and (rows is None or not len(rows)):
        raise InputError("expected training rows to take the ranges of int8 from, found none: raise rows")
    require_tensorflow()
    import tensorflow as tf

    # not from_concrete_functions: under Keras 3 it writes a broken file without a word
    with quiet(), tempfile.TemporaryDirectory(prefix="tlids-") as folder:
        (equalised(model, rows) if precision == "int8" else model).export(folder, verbose=False)
        converter = tf.lite.TFLiteConverter.from_saved_model(folder)
        if precision == "int8":
            return _quantised(converter, rows)
        if precision != "float32":
            converter.optimizations = [tf.lite.Optimize.DEFAULT]
        if precision == "float16":
            converter.target_spec.supported_types = [tf.float16]
        return converter.convert()


def agreement(expected: np.ndarray, found: np.ndarray, truth: np.ndarray) -> Agreement:
    """Compare probabilities (n, C) of Keras (`expected`) and LiteRT (`found`); `truth` are class codes (n,)."""
    by_keras, by_litert = expected.argmax(axis=1), found.argmax(axis=1)
    before, after = metrics.scores(truth, by_keras), metrics.scores(truth, by_litert)
    behind = expected.max(axis=1) - expected[np.arange(len(truth)), by_litert]
    return Agreement(
        rows=len(truth),
        same_class=float(np.mean(by_keras == by_litert)),
        same_or_tie=float(np.mean((by_keras == by_litert) | (behind < TIE))),
        largest_difference=float(np.abs(expected - found).max()),
        accuracy_change=after["accuracy"] - before["accuracy"],
        macro_f1_change=after["macro_f1"] - before["macro_f1"],
        finite=bool(np.isfinite(found).all()),
        scores=after,
    )


def choose_threshold(export: Export, prepared: Prepared, task: str, false_positive_rate: float) -> Threshold:
    """The alert threshold of this very file on the benign validation rows; see `threshold.choose`.

    `false_positive_rate` is a fraction of 1. Raises InputError without a benign class, and as `choose` does.
    """
    benign = benign_code(prepared, task)
    features, codes = prepare.load(prepared, "validation", task)
    probabilities = litert.predict(export.content, features[codes == benign])
    return threshold.choose(threshold.scores(probabilities, benign), false_positive_rate)


def rates_on_test(export: Export, prepared: Prepared, task: str, value: float) -> dict:
    """What the threshold `value` does on the test rows, for the reader alone.

    Keys: benign_rows, alarms (of them), attack_rows, and the shares that alert: false_positive_rate of the benign,
    detection_rate of the attacks (None where there is no such row), fractions of 1. Raises InputError without a benign
    class.
    """
    features, codes = prepare.load(prepared, "test", task)
    alerting = alerts(litert.predict(export.content, features), prepared, task, value)
    attack = codes != benign_code(prepared, task)
    false_alarms, found = alerting[~attack], alerting[attack]
    return {
        "benign_rows": len(false_alarms),
        "alarms": int(false_alarms.sum()),
        "false_positive_rate": float(false_alarms.mean()) if len(false_alarms) else None,
        "attack_rows": len(found),
        "detection_rate": float(found.mean()) if len(found) else None,
    }


def alerts(probabilities: np.ndarray, prepared: Prepared, task: str, value: float) -> np.ndarray:
    """Which of the rows behind `probabilities` (n, C) raise an alert at the threshold `value`: (n,) of bool."""
    return threshold.scores(probabilities, benign_code(prepared, task)) >= value


def benign_code(prepared: Prepared, task: str) -> int:
    """The benign class's column among the probabilities.

    Raises InputError where there is none, so that nothing can alert.
    """
    classes = prepare.class_list(prepared, task)
    name = prepare.BINARY_CLASSES[0] if task == "binary" else prepared.benign
    if name not in classes:
        raise InputError(
            f"expected a benign class in {prepared.title} to set an alert threshold against, found "
            f"{', '.join(classes)}: add flows labelled 'Benign'"
        )
    return classes.index(name)


def _quantised(converter, rows: np.ndarray) -> bytes:
    """int8 with a float preprocessing and softmax, by TensorFlow's tool for selective quantisation."""
    import tensorflow as tf

    # the file's own names of the operations that stay float: each carries the name of its Keras layer
    names = [operation["name"] for operation in litert.operations(converter.convert())]
    options = tf.lite.experimental.QuantizationDebugOptions(
        denylisted_ops=["SOFTMAX"], denylisted_nodes=[name for name in names if "/preprocessing" in name]
    )
    converter.optimizations = [tf.lite.Optimize.DEFAULT]
    converter.representative_dataset = lambda: iter([[rows.astype(np.float32)]])
    tool = tf.lite.experimental.QuantizationDebugger(
        converter=converter, debug_dataset=converter.representative_dataset, debug_options=options
    )
    return tool.get_nondebug_quantized_model()


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """Hold back what TensorFlow's C++ writes to standard error; if the block fails, it is written after all."""
    sys.stderr.flush()
    kept = os.dup(2)
    with tempfile.TemporaryFile() as held, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        os.dup2(held.fileno(), 2)
        try:
            yield
        except BaseException:
            held.seek(0)
            os.write(kept, held.read())
            raise
        finally:
            os.dup2(kept, 2)
            os.close(kept)
