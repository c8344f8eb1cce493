"""Which features a model uses: permutation importance over the test split, integrated gradients for one flow."""

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import pandas as pd
from sklearn.inspection import permutation_importance
from sklearn.metrics import f1_score

from tlids_helpers.audit.baselines import Predict
from tlids_helpers.common import progress
from tlids_helpers.common.errors import InputError
from tlids_helpers.data import prepare
from tlids_helpers.data.prepare import Prepared
from tlids_helpers.network.backend import keras, require_tensorflow

REPEATS = 5
TOLERANCE = 0.002  # of the probability: what the attributions of a flow may miss of what they have to add up to
STEPS, MOST_STEPS = 64, 8192  # points on the path; doubled until the tolerance is kept


def permutation(
    predict: Predict,
    features: np.ndarray,
    truth: np.ndarray,
    names: Sequence[str],
    repeats: int = REPEATS,
    seed: int = 42,
) -> pd.DataFrame:
    """Macro-F1 lost when a feature's values are shuffled among the rows: feature, importance, deviation.

    `features` (n, F) and codes `truth` (n,) of the test split; `predict` gives probabilities (any model's). Mean and
    deviation over `repeats`, largest first, by scikit-learn (Breiman 2001). Of two features that tell the same each may
    seem unused: the model reads the other. Raises InputError without rows, and for other than a name for each feature.
    """
    if not len(truth) or len(names) != features.shape[1]:
        raise InputError(f"expected rows with {len(names)} features, found {features.shape}: give the test split")
    with progress.steps("shuffling", "predictions", 1 + repeats * len(names)) as bar:

        def counted(rows: np.ndarray) -> np.ndarray:
            bar.update()
            return predict(rows)

        lost = permutation_importance(
            _Estimator(counted), features, truth, scoring=_macro_f1, n_repeats=repeats, random_state=seed
        )
    frame = pd.DataFrame(
        {"feature": list(names), "importance": lost.importances_mean, "deviation": lost.importances_std}
    )
    return frame.sort_values("importance", ascending=False, ignore_index=True)


def flow_to_explain(prepared: Prepared, truth: np.ndarray, wanted: str, task: str) -> tuple[int, int]:
    """(test row, class code) of the first test row of the class `wanted`; "": of the rarest attack in the test.

    `truth` (n,) are the codes of the test rows. Raises InputError when there is no such class, or no row of it.
    """
    classes, rows = prepare.class_list(prepared, task), np.bincount(truth)
    if wanted and wanted not in classes:
        raise InputError(f"expected the class of a flow among {', '.join(classes)}, found {wanted!r}: correct it")
    attacks = np.flatnonzero(rows[1:]) + 1
    if not wanted and not len(attacks):
        raise InputError(f"expected attacks in the test split of {prepared.title}, found none: use another split")
    code = classes.index(wanted) if wanted else int(attacks[rows[attacks].argmin()])
    if code >= len(rows) or not rows[code]:
        raise InputError(f"expected a test row of {wanted!r}, found none: choose another class")
    return int(np.flatnonzero(truth == code)[0]), code


@dataclass(frozen=True)
class Attribution:
    """What each feature of one flow adds to its probability."""

    table: pd.DataFrame = field(repr=False)  # feature, value, baseline, attribution; the largest amount first
    output: float  # P(class) of the flow
    baseline_output: float  # P(class) of the baseline
    gap: float  # what the attributions miss of output - baseline_output
    steps: int

    def sentence(self) -> str:
        """The attribution and its check."""
        first, total = self.table.iloc[0], self.table["attribution"].sum()
        kept = "" if abs(self.gap) <= TOLERANCE else " That is too much: do not read the attributions."
        return (
            f"From {self.baseline_output:.3f} for the baseline to {self.output:.3f}; {first['feature']} accounts for "
            f"{first['attribution']:+.3f}. The {len(self.table)} attributions add up to {total:+.4f}, "
            f"{abs(self.gap):.1g} off.{kept}"
        )


def integrated_gradients(
    model: keras.Model, flow: np.ndarray, baseline: np.ndarray, column: int, names: Sequence[str]
) -> Attribution:
    """Integrated gradients (Sundararajan et al., ICML 2017) of P(class `column`) for one raw `flow` (9,).

    The path runs straight from `baseline` (9,), raw too (`median_benign`), in what the model's preprocessing makes:
    standardised logarithms, where equal steps are equal ratios of bytes. Each feature goes through it alone, so the
    attributions are the raw features'. They add up to P(flow) - P(baseline): the path is cut finer until they do within
    0.002, or to 8,192 points. A feature that equals the baseline's gets exactly 0. Raises InputError for a flow or a
    baseline of other lengths, and under KERAS_BACKEND=jax.
    """
    require_tensorflow()
    if len(flow) != len(names) or len(baseline) != len(names):
        raise InputError(f"expected a flow and a baseline of {len(names)} values, found {len(flow)}, {len(baseline)}")
    raw = np.stack([baseline, flow]).astype(np.float32)
    start, end = np.asarray(model.get_layer("preprocessing")(raw))
    before, after = (float(v) for v in _after_preprocessing(model, np.stack([start, end]))[:, column])
    steps = STEPS
    while True:
        attributions = ((end - start) * _mean_gradient(model, start, end, column, steps)).reshape(len(names))
        gap = float(after - before - attributions.sum(dtype=np.float64))
        if abs(gap) <= TOLERANCE or steps >= MOST_STEPS:
            break
        steps *= 2
    frame = pd.DataFrame({"feature": list(names), "value": flow, "baseline": baseline, "attribution": attributions})
    frame = frame.sort_values("attribution", key=np.abs, ascending=False, ignore_index=True)
    return Attribution(frame, after, before, gap, steps)


def median_benign(features: np.ndarray, codes: np.ndarray, benign: int = 0) -> np.ndarray:
    """The median of each feature (9,) over the benign rows; give the training split. Raises InputError without any."""
    shown = features[codes == benign]
    if not len(shown):
        raise InputError("expected benign training rows to take the median of, found none: raise rows")
    return np.median(shown, axis=0)


class _Estimator:
    """A model as scikit-learn's inspection asks for one."""

    def __init__(self, predict: Predict) -> None:
        self.predict = predict

    def fit(self, features, truth):  # looked for, never called
        return self


def _macro_f1(model: _Estimator, features: np.ndarray, truth: np.ndarray) -> float:
    predicted = model.predict(features).argmax(axis=1)
    return f1_score(truth, predicted, average="macro", zero_division=0)


def _after_preprocessing(model: keras.Model, values):
    """The model from its second part on, as it predicts: dropout off, moving averages in the normalisation."""
    for part in model.layers[model.layers.index(model.get_layer("preprocessing")) + 1 :]:
        values = part(values, training=False)
    return values


def _mean_gradient(model: keras.Model, start: np.ndarray, end: np.ndarray, column: int, steps: int) -> np.ndarray:
    """The mean over `steps` midpoints of the path of dP/dz, for each value the preprocessing makes."""
    import tensorflow as tf  # quiet by now: network.backend was imported first

    middle = ((np.arange(steps) + 0.5) / steps)[:, None]
    points = tf.constant(start + middle * (end - start), tf.float32)
    with tf.GradientTape() as tape:
        tape.watch(points)
        outputs = _after_preprocessing(model, points)[:, column]
    return tape.gradient(outputs, points).numpy().mean(axis=0, dtype=np.float64)
