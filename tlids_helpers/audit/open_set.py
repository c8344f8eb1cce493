"""Attacks that nobody trained on: one class is left out, and its test rows are asked for (beyond the paper).

An intrusion detector meets tomorrow's attacks. Whether a flow of a class it never saw still raises an alert is
counted for the class that is named (anything but benign) and for thresholds chosen on validation rows.
"""

from collections.abc import Callable, Sequence

import numpy as np
import pandas as pd

from tlids_helpers import tables
from tlids_helpers.audit.baselines import Fitter, Predict, Rows
from tlids_helpers.common.errors import InputError
from tlids_helpers.data import prepare
from tlids_helpers.data.prepare import Prepared
from tlids_helpers.results import metrics, threshold
from tlids_helpers.results.threshold import Threshold


def table(
    prepared: Prepared,
    model: str,
    fit: Fitter,
    left_out: Sequence[str] | None = None,
    rates: Sequence[float] = metrics.RATES,
    seed: int = 42,
    progress: Callable[[int], object] | None = None,
) -> pd.DataFrame:
    """Each attack class of `left_out` (None: all) left out of training and validation; `fit` is `baselines.fitter`'s.

    One row a class, a rule ("argmax", "0.1 % false positives", ...) and whether the class was known: model, left_out,
    known, rule, attacks (its test rows), found (called an attack), recall, benign, false_alarms, rate, enough (False
    where the benign validation rows are too few to choose a threshold for that rate). The rows with known=True come
    from the model that saw every class: what is lost is the difference. A rate that no threshold keeps to, as too
    many benign rows share the highest score, has no row. `progress` is called with 1 after each class. Raises
    InputError for a name that is no attack class, and where there is no benign class or only one attack class.
    """
    classes = prepare.class_list(prepared, "multiclass")
    wanted = _checked(prepared, classes, classes[1:] if left_out is None else left_out)
    data = {role: prepare.load(prepared, role) for role in ("train", "validation", "test")}
    whole = _judge(fit, data["train"], data["validation"], len(classes), rates, seed)
    frames = []
    for name in wanted:
        code = classes.index(name)
        train, validation = (without(data[role], code) for role in ("train", "validation"))
        ignorant = _judge(fit, train, validation, len(classes) - 1, rates, seed)
        if progress:
            progress(1)
        for known, judge in ((True, whole), (False, ignorant)):
            frames.append(_asked(*judge, data["test"], code).assign(model=model, left_out=name, known=known))
    columns = ["model", "left_out", "known", "rule", "attacks", "found", "recall", "benign", "false_alarms", "rate",
               "enough"]  # fmt: skip
    return tables.marked(pd.concat(frames, ignore_index=True)[columns], prepared.mark)


def without(rows: Rows, code: int) -> Rows:
    """`rows` without the class `code`; the codes above it move down by one, so that none is empty."""
    features, codes = rows
    kept = codes != code
    return features[kept], np.where(codes > code, codes - 1, codes)[kept].astype(codes.dtype)


def sentence(frame: pd.DataFrame) -> str:
    """The unseen classes in counts, by argmax."""
    unseen = frame[~frame["known"] & (frame["rule"] == "argmax")]
    said = [f"{row.found:,} of {row.attacks:,} {row.left_out} flows" for row in unseen.itertuples()]
    return f"Without one row of the class in training, {frame['model'].iloc[0]} calls an attack: {', '.join(said)}."


def beside(frame: pd.DataFrame, rule: str = "argmax") -> pd.DataFrame:
    """One rule of `table`, a row a class: left_out, attacks, found_known, found_unseen, lost, false_alarms, enough.

    `found_known` by the model that saw the class, `found_unseen` by the one that did not; `lost` is the difference,
    `false_alarms` are those of the model that did not.
    """
    sides = {known: frame[(frame["rule"] == rule) & (frame["known"] == known)] for known in (True, False)}
    both = sides[False].merge(sides[True][["left_out", "found"]], on="left_out", suffixes=("_unseen", "_known"))
    both["lost"] = both["found_known"] - both["found_unseen"]
    columns = ["left_out", "attacks", "found_known", "found_unseen", "lost", "false_alarms", "enough"]
    return tables.marked(both[columns], frame.columns.name)


def alert_thresholds(
    predict: Predict, validation: Rows, rates: Sequence[float] = metrics.RATES
) -> dict[str, Threshold]:
    """`rule_name` -> the threshold for each of `rates`, chosen on the benign rows (code 0) of `validation`.

    A rate that no threshold keeps to, as too many benign rows share the highest score, is left out.
    """
    benign = threshold.scores(predict(validation[0][validation[1] == 0]), 0)
    found = {}
    for rate in rates:
        try:
            found[rule_name(rate)] = threshold.choose(benign, rate)
        except InputError:
            continue
    return found


def rule_name(rate: float) -> str:
    """0.001 -> "0.1 % false positives"."""
    return f"{100 * rate:g} % false positives"


def _judge(fit: Fitter, train: Rows, validation: Rows, n_classes: int, rates, seed: int) -> tuple[Predict, dict]:
    """A fitted model and its thresholds, chosen on the benign validation rows."""
    predict = fit(train, validation, n_classes, seed)
    return predict, alert_thresholds(predict, validation, rates)


def _asked(predict: Predict, thresholds: dict[str, Threshold], test: Rows, code: int) -> pd.DataFrame:
    """The operating points on the test rows that are benign or of the class `code`."""
    shown = np.isin(test[1], (0, code))
    values = {name: chosen.value for name, chosen in thresholds.items()}
    points = metrics.operating_points(test[1][shown], predict(test[0][shown]), 0, values)
    return points.assign(enough=[True, *(chosen.enough for chosen in thresholds.values())])


def _checked(prepared: Prepared, classes: tuple[str, ...], left_out: Sequence[str]) -> list[str]:
    if classes[0] != prepared.benign or len(classes) < 3:
        raise InputError(
            f"expected a benign class and at least two attack classes in {prepared.title}, found {', '.join(classes)}: "
            "leaving one out leaves nothing to learn"
        )
    if unknown := [name for name in left_out if name not in classes[1:]]:
        raise InputError(f"expected an attack class among {', '.join(classes[1:])}, found {unknown[0]!r}: correct it")
    return list(left_out)
