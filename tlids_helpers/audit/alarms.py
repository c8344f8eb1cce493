"""What an alert costs, what it misses, and how far a probability can be believed (beyond the paper).

An intrusion detector meets tomorrow's attacks. Whether a flow of a class it never saw still raises an alert is
counted for the class that is named (anything but benign) and for thresholds chosen on validation rows.
"""

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd

from tlids_helpers.audit.baselines import Fitted, Fitter, Predict, Rows
from tlids_helpers.audit.check import Check, checked, found
from tlids_helpers.common import progress
from tlids_helpers.common.errors import InputError
from tlids_helpers.common.style import marked
from tlids_helpers.data import prepare
from tlids_helpers.data.prepare import Prepared
from tlids_helpers.results import metrics, threshold
from tlids_helpers.results.threshold import Threshold

BINS = 15  # as Guo et al., "On calibration of modern neural networks", ICML 2017
ROUNDING = 1e-6  # by how much a float32 probability may exceed 1


@checked
def false_alarms(models: Sequence[Fitted], prepared: Prepared, task: str, flows_per_second: float) -> Check:
    """`metrics.operating_points` of each model on the test split; thresholds are chosen on validation rows.

    Adds model, and enough: False where the benign validation rows are too few to choose a threshold for the rate.
    Not possible without a benign class.
    """
    prepare.class_list(prepared, "binary")  # raises when there is no benign class
    validation, (features, truth) = (prepare.load(prepared, role, task) for role in ("validation", "test"))
    frames = []
    for model in models:
        chosen = alert_thresholds(model.predict, validation)
        values = {name: one.value for name, one in chosen.items()}
        points = metrics.operating_points(truth, model.predict(features), 0, values, flows_per_second)
        points.insert(0, "model", model.name)
        points["enough"] = [True, *(one.enough for one in chosen.values())]
        frames.append(points)
    table = pd.concat(frames, ignore_index=True)
    counts = [
        f"{row.model} finds {row.found:,} of {row.attacks:,} attack flows and alarms on {row.false_alarms:,} of "
        f"{row.benign:,} benign ones, {row.per_day:,.0f} a day"
        for row in table[table["rule"] == "argmax"].itertuples()
    ]
    sentence = f"At {flows_per_second:g} benign flows a second, by the class that is named: {'; '.join(counts)}."
    return found(marked(table, prepared.mark), sentence)


def alert_thresholds(predict: Predict, validation: Rows) -> dict[str, Threshold]:
    """Rule -> the threshold for each of `metrics.RATES`, chosen on the benign rows (code 0) of `validation`.

    A rate that no threshold keeps to, as too many benign rows share the highest score, is left out.
    """
    benign = threshold.scores(predict(validation[0][validation[1] == 0]), 0)
    chosen = {}
    for rate in metrics.RATES:
        try:
            chosen[f"{100 * rate:g} % false positives"] = threshold.choose(benign, rate)
        except InputError:
            continue
    return chosen


# open set: one attack class is left out of training, and its test rows are asked for


@checked
def open_set(prepared: Prepared, model: str, fit: Fitter) -> Check:
    """Each attack class left out of training and validation: which of its test rows are called an attack all the same.

    `model` is the name of what `fit` learns (`baselines.fitter`). A row a class: left_out, attacks (its test rows),
    found_known by the model that saw the class, found_unseen by the one that did not, lost (the difference),
    false_alarms of the model that did not, and enough (True: the class that is named needs no threshold). Not possible
    without a benign class and two others.
    """
    classes = prepare.class_list(prepared, "multiclass")
    if classes[0] != prepared.benign or len(classes) < 3:
        raise InputError(
            f"expected a benign class and at least two attack classes in {prepared.title}, found {', '.join(classes)}: "
            "leaving one out leaves nothing to learn"
        )
    train, validation, (features, truth) = (prepare.load(prepared, role) for role in prepare.ROLES)
    whole, rows = fit(train, validation, len(classes)), []
    with progress.steps("leaving out", "classes", len(classes) - 1) as bar:
        for code, name in enumerate(classes[1:], start=1):
            ignorant = fit(without(train, code), without(validation, code), len(classes) - 1)
            shown = np.isin(truth, (0, code))
            known, unseen = (
                metrics.operating_points(truth[shown], judge(features[shown])).iloc[0] for judge in (whole, ignorant)
            )
            lost = known["found"] - unseen["found"]
            rows.append((name, unseen["attacks"], known["found"], unseen["found"], lost, unseen["false_alarms"], True))
            bar.update()
    columns = ["left_out", "attacks", "found_known", "found_unseen", "lost", "false_alarms", "enough"]
    table = pd.DataFrame(rows, columns=columns)
    counts = [f"{row.found_unseen:,} of {row.attacks:,} {row.left_out} flows" for row in table.itertuples()]
    sentence = f"Without one row of the class in training, {model} calls an attack: {', '.join(counts)}."
    return found(marked(table, prepared.mark), sentence)


def without(rows: Rows, code: int) -> Rows:
    """`rows` without the class `code`; the codes above it are one lower, so that none is empty."""
    features, codes = rows
    kept = codes != code
    return features[kept], np.where(codes > code, codes - 1, codes)[kept].astype(codes.dtype)


# calibration: is a model that gives 90 % right nine times in ten?


@checked
def calibration(given: Mapping[str, np.ndarray], truth: np.ndarray, mark: str = "") -> Check:
    """How far each model's confidence is from its share of right answers: model, rows, confidence, accuracy, gap, ece.

    `given` is model -> probabilities (n, C) and `truth` the codes (n,) of the test rows; `mark` is that of the rows.
    `confidence` is the mean probability of the class that was named, `accuracy` the share that was right, `gap` their
    difference (below 0: overconfident) and `ece` that of `ece`.
    """
    tables = {name: reliability(probabilities, truth) for name, probabilities in given.items()}
    lines = [
        (name, len(truth), *_means(bins), _means(bins)[1] - _means(bins)[0], ece(bins)) for name, bins in tables.items()
    ]
    table = pd.DataFrame(lines, columns=["model", "rows", "confidence", "accuracy", "gap", "ece"])
    sentences = [f"{name}: {calibration_sentence(bins)}" for name, bins in tables.items()]
    return found(marked(table, mark), " ".join(sentences))


def calibration_sentence(bins: pd.DataFrame) -> str:
    """`reliability`'s table in counts."""
    rows, (confidence, accuracy) = int(bins["count"].sum()), _means(bins)
    verdict = "overconfident" if confidence > accuracy else "underconfident"
    return (
        f"Over {rows:,} test rows mean confidence {confidence:.1%}, accuracy {accuracy:.1%} "
        f"({round(accuracy * rows):,} right): {verdict} by {100 * abs(confidence - accuracy):.1f} points; "
        f"ECE {ece(bins):.4f} over {int((bins['count'] > 0).sum())} bins with rows."
    )


def _means(bins: pd.DataFrame) -> tuple[float, float]:
    """Mean confidence and accuracy over all rows of `reliability`'s table."""
    rows = bins["count"].sum()
    return tuple(float((bins[name] * bins["count"]).sum() / rows) for name in ("confidence", "accuracy"))


def reliability(probabilities: np.ndarray, truth: np.ndarray, bins: int = BINS) -> pd.DataFrame:
    """Columns low, high, count, confidence, accuracy (means of the bin, NaN when empty), gap (accuracy - confidence).

    From `probabilities` (n, C) and the codes `truth` (n,): the probability of the class that is named, and whether it
    is right, in `bins` equal parts of 0 to 1 (Guo et al. 2017). A bin holds its upper edge and not its lower one; the
    first holds both, as scikit-learn's do. Raises InputError for no bin, no row, sides of different lengths, and what
    is no probability.
    """
    if bins < 1:
        raise InputError(f"expected 1 bin or more, found {bins}: correct it")
    if not len(truth) or len(probabilities) != len(truth):
        raise InputError(
            f"expected as many rows of probabilities as answers, found {len(probabilities)} and {len(truth)}: "
            "give both from the same split"
        )
    most, right = probabilities.max(axis=1), probabilities.argmax(axis=1) == truth
    values = np.clip(most.astype(np.float64), 0, 1)
    if not (np.abs(values - most) < ROUNDING).all():  # NaN too
        raise InputError("expected confidences between 0 and 1, found others: give probabilities")
    high = np.arange(1, bins + 1) / bins
    bin_of = np.searchsorted(high, values, side="left")
    count = np.bincount(bin_of, minlength=bins)
    empty = np.where(count > 0, count, np.nan)
    confidence = np.bincount(bin_of, weights=values, minlength=bins) / empty
    accuracy = np.bincount(bin_of, weights=right.astype(np.float64), minlength=bins) / empty
    table = {
        "low": np.arange(bins) / bins,
        "high": high,
        "count": count,
        "confidence": confidence,
        "accuracy": accuracy,
    }
    return pd.DataFrame(table).assign(gap=accuracy - confidence)


def ece(bins: pd.DataFrame) -> float:
    """Expected calibration error of `reliability`'s table: the mean |accuracy - confidence|, weighted by rows."""
    return float((bins["gap"].abs() * bins["count"]).sum() / bins["count"].sum())
