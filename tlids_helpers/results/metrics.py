"""What a model is worth on the test split: the paper's four scores, and those that they hide.

Every function takes class codes (n,) and predicted codes (n,) or probabilities (n, C), so that the CNN and a tree are
scored alike. What scikit-learn can compute, it computes. Averages over classes leave out a class without test rows;
macro-F1 alone counts it, with 0, when it is predicted.
"""

import math

import numpy as np
import pandas as pd
from scipy.stats import beta
from sklearn import metrics

from tlids_helpers.common.errors import InputError
from tlids_helpers.results import threshold

SCORES = ("accuracy", "precision", "recall", "f1", "macro_f1", "mcc")
RATES = (0.001, 0.01)  # false-positive rates at which recall is read: 0.1 % and 1 %
ALL_SCORES = (
    *SCORES, "balanced_accuracy", "pr_auc", "pr_auc_attack",
    *(f"recall_at_{rate:g}" for rate in RATES),
)  # fmt: skip
FLOWS_PER_SECOND = 10.0  # benign flows of a small network
SECONDS_PER_DAY = 86_400
CONFIDENCE = 0.95  # of the upper bound on a rate that was counted on few rows


def scores(truth: np.ndarray, predicted: np.ndarray) -> dict[str, float]:
    """Accuracy, weighted precision, recall and F1 (as the paper), macro-F1 and MCC; fractions of 1, but MCC is -1 to 1.

    Codes `truth` and `predicted`, (n,) each. Tables 4 to 9 hold the first four.
    A class that is never predicted has precision 0. Macro-F1 averages the classes that occur, in the truth or among the
    predictions.
    """
    precision, recall, f1, _ = metrics.precision_recall_fscore_support(
        truth, predicted, average="weighted", zero_division=0
    )
    return {
        "accuracy": float(metrics.accuracy_score(truth, predicted)),
        "precision": float(precision),
        "recall": float(recall),
        "f1": float(f1),
        "macro_f1": float(metrics.f1_score(truth, predicted, average="macro", zero_division=0)),
        "mcc": float(metrics.matthews_corrcoef(truth, predicted)),
    }


def per_class(truth: np.ndarray, predicted: np.ndarray, classes: tuple[str, ...]) -> dict[str, dict[str, float]]:
    """Class -> precision, recall, f1 (fractions of 1) and support (test rows), from codes (n,) each."""
    columns = metrics.precision_recall_fscore_support(truth, predicted, labels=range(len(classes)), zero_division=0)
    return {
        name: {"precision": float(precision), "recall": float(recall), "f1": float(f1), "support": int(support)}
        for name, precision, recall, f1, support in zip(classes, *columns, strict=True)
    }


def confusion(truth: np.ndarray, predicted: np.ndarray, n_classes: int) -> np.ndarray:
    """Counts (C, C) of codes (n,) each: rows are the true class, columns the predicted one."""
    return metrics.confusion_matrix(truth, predicted, labels=range(n_classes))


def all_scores(truth: np.ndarray, probabilities: np.ndarray, benign: int | None = 0) -> dict[str, float]:
    """All of `ALL_SCORES`, fractions of 1, from codes (n,) and probabilities (n, C); `benign` is a column, or None.

    pr_auc is the mean over the classes with test rows of each one's average precision, one against the rest;
    pr_auc_attack is that of 1 - P(benign) for "is an attack". NaN where there is no benign row, or no attack.
    Raises InputError without rows, and for probabilities of other rows or without numbers.
    """
    _check(truth, probabilities)
    predicted = probabilities.argmax(axis=1)
    present = np.unique(truth)
    precisions = [metrics.average_precision_score(truth == code, probabilities[:, code]) for code in present]
    return {
        **scores(truth, predicted),
        # balanced accuracy is macro recall; asked for so, a predicted class without test rows is no warning
        "balanced_accuracy": float(metrics.recall_score(truth, predicted, labels=present, average="macro")),
        "pr_auc": float(np.mean(precisions)),
        **_attack_scores(truth, probabilities, benign),
    }


def recall_at(attack: np.ndarray, score: np.ndarray, rate: float) -> float:
    """The largest share of attacks that any one threshold on `score` finds at a false-positive rate of at most `rate`.

    `attack` (n,) is True for attack rows. Read off the ROC curve of the very rows, so it says what the ranking
    allows; a threshold that was chosen beforehand is `operating_points`'. NaN without benign rows or without attacks.
    `score` (n,) rises with suspicion. Raises InputError for a rate that is not between 0 and 1.
    """
    threshold.check_rate(rate)
    if attack.all() or not attack.any():
        return math.nan
    false_positive, true_positive, _ = metrics.roc_curve(attack, score, drop_intermediate=False)
    return float(true_positive[false_positive <= rate + 1e-12].max())


def operating_points(
    truth: np.ndarray,
    probabilities: np.ndarray,
    benign: int = 0,
    thresholds: dict[str, float] | None = None,
    flows_per_second: float = FLOWS_PER_SECOND,
) -> pd.DataFrame:
    """What each way of raising an alert finds and what it costs, in counts of test rows; one row a rule.

    Rules: "argmax" (the class is not benign), and each of `thresholds` (name -> alert when 1 - P(benign) is at
    least this; choose it on validation rows with `threshold.choose`). Columns: rule, attacks, found, recall, benign,
    false_alarms, rate, per_day, per_day_at_most. `per_day` is the false alarms on `flows_per_second` benign flows a
    second; `per_day_at_most` its one-sided 95 % upper bound (Clopper and Pearson 1934): none in few rows is not none.
    `truth` (n,) are codes, `probabilities` (n, C). Raises InputError as `all_scores` does, and for no flows a second.
    """
    _check(truth, probabilities)
    if not flows_per_second > 0:
        raise InputError(f"expected flows_per_second above 0, found {flows_per_second}: give benign flows a second")
    attack, score = truth != benign, threshold.scores(probabilities, benign)
    alerts = {"argmax": probabilities.argmax(axis=1) != benign}
    alerts |= {name: score >= value for name, value in (thresholds or {}).items()}
    daily = flows_per_second * SECONDS_PER_DAY
    rows = [{"rule": name, **_counted(attack, alert, daily)} for name, alert in alerts.items()]
    return pd.DataFrame(rows)


def benign_or_attack(truth: np.ndarray, probabilities: np.ndarray, benign: int) -> dict[str, float]:
    """roc_auc, mcc, recall and false_alarms (fractions) of a model of other classes, as a detector of attacks.

    `truth` (n,) is 0 for benign, `probabilities` (n, C) the model's, `benign` its benign column. NaN where the rows are
    of one kind only.
    """
    attack, said = truth != 0, probabilities.argmax(axis=1) != benign
    both = bool(attack.any() and not attack.all())
    return {
        "roc_auc": float(metrics.roc_auc_score(attack, 1 - probabilities[:, benign])) if both else math.nan,
        "mcc": float(metrics.matthews_corrcoef(attack, said)),
        "recall": float(said[attack].mean()) if attack.any() else math.nan,
        "false_alarms": float(said[~attack].mean()) if not attack.all() else math.nan,
    }


def rates_sentence(truth: np.ndarray, probabilities: np.ndarray, benign: int = 0, rates=RATES) -> str:
    """Recall at each false-positive rate, and for which of the rates the benign rows are too few.

    Codes `truth` (n,) and `probabilities` (n, C); `benign` is a column; `rates` are fractions of 1.
    """
    attack, score = truth != benign, threshold.scores(probabilities, benign)
    rows, parts = int(np.count_nonzero(~attack)), []
    if not rows or rows == len(truth):
        return f"No recall at a false-positive rate: {rows:,} of {len(truth):,} test rows are benign."
    for rate in rates:
        found = round(recall_at(attack, score, rate) * np.count_nonzero(attack))
        part = f"{found:,} of {np.count_nonzero(attack):,} attack flows are found at {rate:.1%} false positives"
        needed = math.ceil(1 / rate - 1e-9)
        parts.append(part if rows >= needed else f"{part} (too few rows: it takes {needed:,} benign ones)")
    return f"On {rows:,} benign test rows, " + "; ".join(parts) + "."


def rate_at_most(hits: int, rows: int) -> float:
    """The largest rate that `hits` of `rows` do not rule out, one-sided 95 % (Clopper and Pearson 1934)."""
    if not rows:
        return math.nan
    return 1.0 if hits == rows else float(beta.ppf(CONFIDENCE, hits + 1, rows - hits))


def _attack_scores(truth: np.ndarray, probabilities: np.ndarray, benign: int | None) -> dict[str, float]:
    names = [f"recall_at_{rate:g}" for rate in RATES]
    attack = None if benign is None else truth != benign
    if attack is None or attack.all() or not attack.any():
        return dict.fromkeys(["pr_auc_attack", *names], math.nan)
    score = threshold.scores(probabilities, benign)
    recalls = {name: recall_at(attack, score, rate) for name, rate in zip(names, RATES, strict=True)}
    return {"pr_auc_attack": float(metrics.average_precision_score(attack, score)), **recalls}


def _counted(attack: np.ndarray, alert: np.ndarray, daily: float) -> dict:
    attacks, benign = int(attack.sum()), int((~attack).sum())
    found, alarms = int((attack & alert).sum()), int((~attack & alert).sum())
    rate = alarms / benign if benign else math.nan
    return {
        "attacks": attacks, "found": found, "recall": found / attacks if attacks else math.nan,
        "benign": benign, "false_alarms": alarms, "rate": rate,
        "per_day": rate * daily, "per_day_at_most": rate_at_most(alarms, benign) * daily,
    }  # fmt: skip


def _check(truth: np.ndarray, probabilities: np.ndarray) -> None:
    if not len(truth) or len(truth) != len(probabilities):
        raise InputError(
            f"expected a row of probabilities for each test row, found {len(probabilities):,} for {len(truth):,}: "
            "give both from the same split"
        )
    if not np.isfinite(probabilities).all():
        raise InputError("expected numbers from the model for every test row, found NaN: train it again")
