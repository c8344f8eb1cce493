"""Scores on the test split, all of them scikit-learn's."""

import numpy as np
from sklearn import metrics

from tlids_helpers.network.backend import keras

SCORES = ("accuracy", "precision", "recall", "f1", "macro_f1", "mcc")


def predict(model: keras.Model, features: np.ndarray) -> np.ndarray:
    """Class probabilities (n, C) for raw feature values (n, 9)."""
    return model.predict(features, batch_size=16384, verbose=0)


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
    names = ("precision", "recall", "f1", "support")
    return {
        name: {
            key: (int if key == "support" else float)(column[code]) for key, column in zip(names, columns, strict=True)
        }
        for code, name in enumerate(classes)
    }


def confusion(truth: np.ndarray, predicted: np.ndarray, n_classes: int) -> np.ndarray:
    """Counts (C, C) of codes (n,) each: rows are the true class, columns the predicted one."""
    return metrics.confusion_matrix(truth, predicted, labels=range(n_classes))
