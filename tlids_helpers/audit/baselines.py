"""What simpler models make of the same rows: the split, the features and the scores are the CNN's.

A baseline learns from training rows alone; validation rows only stop the boosting early, as they stop the CNN.
Settings are scikit-learn's defaults, so nothing was tuned, on the test rows least of all.
"""

import pickle
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial

import numpy as np
import pandas as pd
from sklearn.dummy import DummyClassifier
from sklearn.ensemble import ExtraTreesClassifier, HistGradientBoostingClassifier, RandomForestClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, StandardScaler
from sklearn.tree import DecisionTreeClassifier
from threadpoolctl import threadpool_limits

from tlids_helpers import experiment
from tlids_helpers.audit.check import Check, checked, found
from tlids_helpers.common import progress
from tlids_helpers.common.errors import InputError
from tlids_helpers.common.style import marked
from tlids_helpers.data import prepare, share
from tlids_helpers.data.prepare import ROLES, Prepared
from tlids_helpers.network import transfer
from tlids_helpers.network.model import predict
from tlids_helpers.network.recipe import Recipe
from tlids_helpers.results import metrics
from tlids_helpers.results.runs import Run, Setup

BASELINES = (
    "majority class", "destination port", "decision tree", "extra trees", "random forest",
    "histogram boosting", "logistic regression",
)  # fmt: skip
TREES = 100  # of extra trees (Sarhan et al.'s classifier) and of the random forest
PORT_COLUMNS = ("L4_DST_PORT", "Dst_Port")
SOURCE_PORTS = ("L4_SRC_PORT", "Src_Port")

Rows = tuple[np.ndarray, np.ndarray]  # raw features (n, F) and class codes (n,)
Predict = Callable[[np.ndarray], np.ndarray]  # raw features (n, F) -> probabilities (n, C)
Fitter = Callable[[Rows, Rows, int], Predict]  # train, validation, n_classes


@dataclass(frozen=True)
class Fitted:
    """A model that is ready to predict, and what it cost."""

    name: str
    predict: Predict = field(repr=False)
    seconds: float  # of fitting
    size: int  # bytes on disk: the pickle of a scikit-learn model, the .keras file of a network


class PortTable:
    """How often each class had each destination port in training; a port that had no row gets the overall shares.

    D'hooge et al. 2022: the destination port alone separates ten of these datasets.
    """

    def __init__(self, column: int) -> None:
        """`column` is the index of the destination port among the features."""
        self.column = column

    def fit(self, features: np.ndarray, codes: np.ndarray) -> "PortTable":
        """Count the rows of each port and class."""
        self.classes_, columns = np.unique(codes, return_inverse=True)
        self.ports, rows = np.unique(features[:, self.column], return_inverse=True)
        counts = np.zeros((len(self.ports), len(self.classes_)))
        np.add.at(counts, (rows, columns), 1)
        self.shares = np.vstack([counts, counts.sum(axis=0)])  # the last row is for ports never seen
        self.shares /= self.shares.sum(axis=1, keepdims=True)
        return self

    def predict_proba(self, features: np.ndarray) -> np.ndarray:
        """Probabilities (n, classes seen)."""
        asked = features[:, self.column]
        row = np.minimum(np.searchsorted(self.ports, asked), len(self.ports) - 1)
        return self.shares[np.where(self.ports[row] == asked, row, len(self.ports))]


def make(name: str, features: Sequence[str], seed: int, n_jobs: int = 1):
    """An untrained baseline with scikit-learn's methods fit and predict_proba; `features` are the column names.

    Raises InputError for an unknown name, and for "destination port" where no feature is one.
    """
    makers = {
        "majority class": lambda: DummyClassifier(strategy="prior"),
        "destination port": lambda: PortTable(_port_column(features)),
        "decision tree": lambda: DecisionTreeClassifier(random_state=seed),
        "extra trees": lambda: ExtraTreesClassifier(TREES, random_state=seed, n_jobs=n_jobs),
        "random forest": lambda: RandomForestClassifier(TREES, random_state=seed, n_jobs=n_jobs),
        "histogram boosting": lambda: HistGradientBoostingClassifier(random_state=seed, early_stopping=True),
        "logistic regression": lambda: make_pipeline(
            FunctionTransformer(log1p), StandardScaler(), LogisticRegression(max_iter=1000, random_state=seed)
        ),
    }
    if name not in makers:
        raise InputError(f"expected a baseline among {', '.join(BASELINES)}, found {name!r}: correct it")
    return makers[name]()


def log1p(features: np.ndarray) -> np.ndarray:
    """log(1 + x), negative sentinels taken as 0: the CNN's own first layer."""
    return np.log1p(np.maximum(features, 0).astype(np.float64))


def fit(
    name: str, rows: tuple[Rows, Rows], n_classes: int, features: Sequence[str], seed: int = 42, n_jobs: int = 1
) -> Fitted:
    """Fit the baseline `name` on `n_jobs` cores.

    `rows` are training and validation: raw features (n, F), class codes (n,) each. Its probabilities (n, n_classes)
    are 0 for a class it had no training row of. Raises InputError as `make` does, and where boosting has nothing to
    stop on.
    """
    (train, validation), extra = rows, {}
    model = make(name, features, seed, n_jobs)
    if name == "histogram boosting":
        # else scikit-learn would cut its own validation rows out of the training rows, which the CNN keeps
        seen = np.isin(validation[1], train[1])
        if not seen.any():
            raise InputError("expected validation rows of a class in training, found none: raise rows")
        extra = {"X_val": validation[0][seen], "y_val": validation[1][seen]}
    began = time.perf_counter()
    # OpenMP and BLAS take every core else, and wait for each other in vain where one is busy
    with threadpool_limits(n_jobs if n_jobs > 0 else None):
        model.fit(*train, **extra)
    seconds = time.perf_counter() - began
    return Fitted(name, partial(_aligned, model, n_classes), seconds, _pickled_bytes(model))


def fitter(name: str, features: Sequence[str], seed: int = 42, n_jobs: int = 1) -> Fitter:
    """The baseline `name` as one function of (train, validation, n_classes)."""

    def learn(train: Rows, validation: Rows, n_classes: int) -> Predict:
        return fit(name, (train, validation), n_classes, features, seed, n_jobs).predict

    return learn


def network(name: str, run: Run) -> Fitted:
    """The CNN of a finished run, under `name`, with the seconds its training took."""
    model = transfer.load_source(run.model_path, tuple(run.result["features"]), run.result)
    return Fitted(name, partial(predict, model), run.result["seconds"]["total"], run.model_path.stat().st_size)


def score(fitted: Fitted, prepared: Prepared, task: str, seed: int) -> dict:
    """One row of `scored`: what the model scores on the test split, and what it costs."""
    features, truth = prepare.load(prepared, "test", task)
    fitted.predict(features[:1])  # a network is compiled at its first call
    began = time.perf_counter()
    probabilities = fitted.predict(features)
    seconds = time.perf_counter() - began
    benign = 0 if prepared.classes[0] == prepared.benign else None
    return {
        "model": fitted.name, "dataset": prepared.name, "mark": prepared.mark, "task": task, "split": prepared.split,
        "seed": seed, "train_rows": prepared.size("train"), "test_rows": len(truth),
        **metrics.all_scores(truth, probabilities, benign),
        "fit_seconds": fitted.seconds, "predict_seconds": seconds, "bytes": fitted.size,
    }  # fmt: skip


def on_share(prepared: Prepared, setup: Setup, names: Sequence[str] = ("decision tree", "extra trees")) -> pd.DataFrame:
    """What trees make of the rows that `setup.share` leaves a network: the control at the same budget of labels.

    One row a model: model, rows (training and validation together, as a tree stops on none), accuracy, macro_f1
    (fractions), wrong and test_rows (counts).
    """
    drawn = [share.load(prepared, role, setup.task, setup.share, setup.seed) for role in ("train", "validation")]
    learned = tuple(np.concatenate(both) for both in zip(*drawn, strict=True))
    n_classes, test = len(prepare.class_list(prepared, setup.task)), prepare.load(prepared, "test", setup.task)
    rows = []
    for name in names:
        fitted = fit(name, (learned, drawn[1]), n_classes, prepared.features, setup.seed)
        rows.append({"model": name, "rows": len(learned[1]), **short_score(fitted, test)})
    return marked(pd.DataFrame(rows).set_index("model"), prepared.mark)


def possible(prepared: Prepared) -> tuple[str, ...]:
    """The baselines that these rows allow: a table of ports needs a destination port."""
    has_port = any(name in PORT_COLUMNS for name in prepared.features)
    return tuple(name for name in BASELINES if name != "destination port" or has_port)


def scored(
    prepared: Prepared,
    setup: Setup,
    networks: Mapping[str, Recipe],
    names: Sequence[str] | None = None,
    n_jobs: int = 1,
) -> pd.DataFrame:
    """Each baseline of `names` (None: all that are possible) and each network (name -> recipe), one split, one seed.

    One row a model: model, dataset, mark, task, split, seed, train_rows, test_rows, all of `metrics.ALL_SCORES`
    (fractions), fit_seconds, predict_seconds (the whole test split), bytes. A network is a run like any other: a
    finished one is taken as it is. One seed is no result: see seeds.py.
    """
    task, seed, n_classes = setup.task, setup.seed, len(prepare.class_list(prepared, setup.task))
    learned = tuple(prepare.load(prepared, role, task) for role in ("train", "validation"))
    names = possible(prepared) if names is None else names
    rows = []
    for name in names:
        rows.append(score(fit(name, learned, n_classes, prepared.features, seed, n_jobs), prepared, task, seed))
    for name, recipe in networks.items():
        run = experiment.from_scratch(prepared, replace(setup, recipe=recipe))
        rows.append(score(network(name, run), prepared, task, seed))
    return marked(pd.DataFrame(rows), prepared.mark)


# ablation: the score of each set of features, the ports above all (D'hooge et al. 2022). A model that needs only the
# destination port has learned which services the testbed attacked.


CHOSEN = "all features"
LOOKUP = "destination port, looked up"


def feature_sets(features: Sequence[str]) -> dict[str, tuple[str, ...]]:
    """Name -> columns: all, without ports, ports only, destination port only, and each feature dropped.

    A set that would be empty, or that is all the features, is left out.
    """
    ports = (*SOURCE_PORTS, *PORT_COLUMNS)
    sets = {
        CHOSEN: tuple(features),
        "no ports": tuple(name for name in features if name not in ports),
        "ports only": tuple(name for name in features if name in ports),
        "destination port only": tuple(name for name in features if name in PORT_COLUMNS),
        **{f"without {name}": tuple(other for other in features if other != name) for name in features},
    }
    return {name: columns for name, columns in sets.items() if columns and (name == CHOSEN or columns != sets[CHOSEN])}


@checked
def ablation(
    prepared: Prepared, task: str = "multiclass", seed: int = 42, model: str = "extra trees", n_jobs: int = 1
) -> Check:
    """The baseline `model` on each set, trained on the training and scored on the test split, one seed.

    Columns: model, features, columns (how many), accuracy, macro_f1 (fractions), wrong (test rows), test_rows, change
    (of macro-F1 against all features). Extra trees are the classifier of Sarhan et al. The last row names for each
    destination port its most frequent class in training, and for an unseen port the most frequent of all.
    """
    split = {role: prepare.load(prepared, role, task) for role in ROLES}
    n_classes = len(prepare.class_list(prepared, task))
    asked = [(name, model, columns) for name, columns in feature_sets(prepared.features).items()]
    if any(name in PORT_COLUMNS for name in prepared.features):
        asked.append((LOOKUP, "destination port", prepared.features))
    rows = []
    with progress.steps("fitting", "sets", len(asked)) as bar:
        for name, kind, columns in asked:
            indices = [prepared.features.index(column) for column in columns]
            train, validation, test = ((features[:, indices], codes) for features, codes in split.values())
            fitted = fit(kind, (train, validation), n_classes, columns, seed, n_jobs)
            used = 1 if name == LOOKUP else len(columns)
            rows.append({"model": kind, "features": name, "columns": used, **short_score(fitted, test)})
            bar.update()
    table = pd.DataFrame(rows)
    table["change"] = table["macro_f1"] - table["macro_f1"].iloc[0]
    return found(marked(table, prepared.mark), _ablation_sentence(table))


def short_score(fitted: Fitted, test: Rows) -> dict:
    """accuracy, macro_f1 (fractions), wrong and test_rows (counts) of the classes named for the rows of `test`."""
    features, truth = test
    predicted = fitted.predict(features).argmax(axis=1)
    scores = metrics.scores(truth, predicted)
    wrong = int((predicted != truth).sum())
    return {"accuracy": scores["accuracy"], "macro_f1": scores["macro_f1"], "wrong": wrong, "test_rows": len(truth)}


def _ablation_sentence(table: pd.DataFrame) -> str:
    """What the ports are worth, in counts of test rows."""
    wrong = table.set_index("features")["wrong"]
    kept = [name for name in ("no ports", "ports only", "destination port only", LOOKUP) if name in wrong.index]
    counts = [f"{wrong[name]:,} with {name}" for name in kept]
    dropped = table[table["features"].str.startswith("without ")]
    dearest = dropped.loc[dropped["change"].idxmin()]
    return (
        f"Of {table['test_rows'].iloc[0]:,} test rows {table['model'].iloc[0]} gets {table['wrong'].iloc[0]:,} wrong "
        f"with {CHOSEN}{', '.join(['', *counts])}; the feature missed most is "
        f"{dearest['features'].removeprefix('without ')} (macro-F1 {dearest['change']:+.4f})."
    )


def _aligned(model, n_classes: int, features: np.ndarray) -> np.ndarray:
    """Probabilities (n, n_classes), in the order of the class list."""
    probabilities = np.zeros((len(features), n_classes))
    probabilities[:, model.classes_] = model.predict_proba(features)
    return probabilities


def _pickled_bytes(model) -> int:
    with tempfile.TemporaryFile() as file:  # a forest need not fit into memory twice
        pickle.dump(model, file, protocol=pickle.HIGHEST_PROTOCOL)
        return file.tell()


def _port_column(features: Sequence[str]) -> int:
    columns = [index for index, name in enumerate(features) if name in PORT_COLUMNS]
    if not columns:
        raise InputError(
            f"expected a destination port ({' or '.join(PORT_COLUMNS)}) among the features, found "
            f"{', '.join(features)}: leave 'destination port' out"
        )
    return columns[0]
