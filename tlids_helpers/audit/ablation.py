"""What each set of features is worth: the ports above all (D'hooge et al. 2022).

A model that needs only the destination port has learned which services the testbed attacked.
"""

from collections.abc import Callable, Sequence

import pandas as pd

from tlids_helpers import tables
from tlids_helpers.audit import baselines
from tlids_helpers.data import prepare
from tlids_helpers.data.prepare import Prepared
from tlids_helpers.results import metrics

SOURCE_PORTS = ("L4_SRC_PORT", "Src_Port")
PORTS = (*SOURCE_PORTS, *baselines.PORT_COLUMNS)
CHOSEN = "all features"
LOOKUP = "destination port, looked up"


def feature_sets(features: Sequence[str]) -> dict[str, tuple[str, ...]]:
    """Name -> columns: all, without ports, ports only, destination port only, and each feature dropped.

    A set that would be empty, or that is all the features, is left out.
    """
    sets = {
        CHOSEN: tuple(features),
        "no ports": tuple(name for name in features if name not in PORTS),
        "ports only": tuple(name for name in features if name in PORTS),
        "destination port only": tuple(name for name in features if name in baselines.PORT_COLUMNS),
        **{f"without {name}": tuple(other for other in features if other != name) for name in features},
    }
    return {name: columns for name, columns in sets.items() if columns and (name == CHOSEN or columns != sets[CHOSEN])}


def table(
    prepared: Prepared,
    task: str = "multiclass",
    seed: int = 42,
    model: str = "extra trees",
    n_jobs: int = 1,
    progress: Callable[[int], object] | None = None,
) -> pd.DataFrame:
    """The baseline `model` on each set, trained on the training and scored on the test split, one seed.

    Columns: model, features, columns (how many), accuracy, macro_f1 (fractions), wrong (test rows), test_rows, change
    (of macro-F1 against all features). Extra trees are the classifier of Sarhan et al. The last row names for each
    destination port its most frequent class in training, and for an unseen port the most frequent of all.
    `progress` is called with 1 after each set.
    """
    split = {role: prepare.load(prepared, role, task) for role in ("train", "validation", "test")}
    n_classes = len(prepare.class_list(prepared, task))
    asked = [(name, model, columns) for name, columns in feature_sets(prepared.features).items()]
    if any(name in baselines.PORT_COLUMNS for name in prepared.features):
        asked.append((LOOKUP, "destination port", prepared.features))
    rows = []
    for name, kind, columns in asked:
        places = [prepared.features.index(column) for column in columns]
        parts = {role: (features[:, places], codes) for role, (features, codes) in split.items()}
        fitted = baselines.fit(kind, parts["train"], parts["validation"], n_classes, columns, seed, n_jobs)
        rows.append(
            {"features": name, "columns": 1 if name == LOOKUP else len(columns), **_scored(fitted, parts["test"])}
        )
        if progress:
            progress(1)
    frame = pd.DataFrame(rows)
    frame["change"] = frame["macro_f1"] - frame["macro_f1"].iloc[0]
    frame.insert(0, "model", [kind for _, kind, _ in asked])
    return tables.marked(frame, prepared.mark)


def sentence(frame: pd.DataFrame) -> str:
    """What the ports are worth, in counts of test rows."""
    by_set = frame.set_index("features")
    kept = [name for name in ("no ports", "ports only", "destination port only", LOOKUP) if name in by_set.index]
    said = [f"{by_set.loc[name, 'wrong']:,} with {name}" for name in kept]
    dropped = frame[frame["features"].str.startswith("without ")]
    dearest = dropped.loc[dropped["change"].idxmin()]
    return (
        f"Of {frame['test_rows'].iloc[0]:,} test rows {frame['model'].iloc[0]} gets {frame['wrong'].iloc[0]:,} wrong "
        f"with {CHOSEN}{', '.join(['', *said])}; the feature missed most is "
        f"{dearest['features'].removeprefix('without ')} (macro-F1 {dearest['change']:+.4f})."
    )


def _scored(fitted: baselines.Fitted, test: baselines.Rows) -> dict:
    features, truth = test
    predicted = fitted.predict(features).argmax(axis=1)
    scores = metrics.scores(truth, predicted)
    wrong = int((predicted != truth).sum())
    return {"accuracy": scores["accuracy"], "macro_f1": scores["macro_f1"], "wrong": wrong, "test_rows": len(truth)}
