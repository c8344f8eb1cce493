"""What simpler models make of the same rows: the split, the features and the scores are the CNN's.

A baseline learns from training rows alone; validation rows only stop the boosting early, as they stop the CNN.
Settings are scikit-learn's defaults, so nothing was tuned, on the test rows least of all.
"""

import pickle
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd
from sklearn.dummy import DummyClassifier
from sklearn.ensemble import ExtraTreesClassifier, HistGradientBoostingClassifier, RandomForestClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, StandardScaler
from sklearn.tree import DecisionTreeClassifier
from threadpoolctl import threadpool_limits

from tlids_helpers import experiment, tables
from tlids_helpers.common.errors import InputError
from tlids_helpers.data import prepare
from tlids_helpers.data.prepare import Prepared
from tlids_helpers.network import training, transfer
from tlids_helpers.network.model import predict
from tlids_helpers.network.recipe import Recipe
from tlids_helpers.results import metrics

BASELINES = (
    "majority class", "destination port", "decision tree", "extra trees", "random forest",
    "histogram boosting", "logistic regression",
)  # fmt: skip
CNN = "CNN"
TREES = 100  # of extra trees (Sarhan et al.'s classifier) and of the random forest
PORT_COLUMNS = ("L4_DST_PORT", "Dst_Port")

Rows = tuple[np.ndarray, np.ndarray]  # raw features (n, F) and class codes (n,)
Predict = Callable[[np.ndarray], np.ndarray]  # raw features (n, F) -> probabilities (n, C)
Fitter = Callable[[Rows, Rows, int, int], Predict]  # train, validation, n_classes, seed


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
        """`column` is the place of the destination port among the features."""
        self.column = column

    def fit(self, features: np.ndarray, codes: np.ndarray) -> "PortTable":
        """Count the rows of each port and class."""
        self.classes_, places = np.unique(codes, return_inverse=True)
        self.ports, rows = np.unique(features[:, self.column], return_inverse=True)
        counts = np.zeros((len(self.ports), len(self.classes_)))
        np.add.at(counts, (rows, places), 1)
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
    name: str, train: Rows, validation: Rows, n_classes: int, features: Sequence[str], seed: int = 42, n_jobs: int = 1
) -> Fitted:
    """Fit the baseline `name` on `n_jobs` cores.

    `train` and `validation` are (raw features (n, F), class codes (n,)). Its probabilities (n, n_classes) are 0 for a
    class it had no training row of. Raises InputError as `make` does, and where boosting has nothing to stop on.
    """
    model, extra = make(name, features, seed, n_jobs), {}
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


def fitter(name: str, features: Sequence[str], recipe: Recipe = Recipe(), n_jobs: int = 1) -> Fitter:  # noqa: B008
    """The model `name` (`CNN` or a baseline) as one function of (train, validation, n_classes, seed)."""

    def learn(train: Rows, validation: Rows, n_classes: int, seed: int) -> Predict:
        if name == CNN:
            fitted = training.train_from_scratch(train, validation, n_classes, recipe, seed)
            return partial(predict, fitted.model)
        return fit(name, train, validation, n_classes, features, seed, n_jobs).predict

    return learn


def fit_network(
    name: str,
    prepared: Prepared,
    task: str,
    recipe: Recipe,
    seed: int,
    runs_dir: str | Path,
    notebook: str,
    callbacks: tuple = (),
) -> Fitted:
    """The CNN from scratch, a run like any other: a finished one is taken as it is, with the seconds it took then."""
    run = experiment.from_scratch(notebook, prepared, task, recipe, seed, runs_dir, callbacks)
    model = transfer.load_source(run.model_path, prepared.features, run.result)
    seconds, size = run.result["seconds"]["total"], run.model_path.stat().st_size
    return Fitted(name, partial(predict, model), seconds, size)


def score(fitted: Fitted, prepared: Prepared, task: str, seed: int) -> dict:
    """One row of the table: what the model scores on the test split, and what it costs."""
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


def table(
    prepared: Prepared,
    task: str = "multiclass",
    seed: int = 42,
    names: Sequence[str] = BASELINES,
    networks: Mapping[str, Recipe] | None = None,
    runs_dir: str | Path = "runs",
    n_jobs: int = 1,
    notebook: str = "07_audit",
    progress: Callable[[int], object] | None = None,
) -> pd.DataFrame:
    """Each baseline of `names` and each network (name -> recipe; None for the paper's alone) on one split, one seed.

    One row a model: model, dataset, mark, task, split, seed, train_rows, test_rows, all of `metrics.ALL_SCORES`
    (fractions), fit_seconds, predict_seconds (the whole test split), bytes. One seed is no result: see spread.py.
    `progress` is called with 1 after each model.
    """
    networks = {CNN: Recipe()} if networks is None else networks
    n_classes = len(prepare.class_list(prepared, task))
    train, validation = (prepare.load(prepared, role, task) for role in ("train", "validation"))
    rows = []
    for name in (*names, *networks):
        if name in networks:
            fitted = fit_network(name, prepared, task, networks[name], seed, runs_dir, notebook)
        else:
            fitted = fit(name, train, validation, n_classes, prepared.features, seed, n_jobs)
        rows.append(score(fitted, prepared, task, seed))
        if progress:
            progress(1)
    return tables.marked(pd.DataFrame(rows), prepared.mark)


def _aligned(model, n_classes: int, features: np.ndarray) -> np.ndarray:
    """Probabilities (n, n_classes), in the order of the class list."""
    found = np.zeros((len(features), n_classes))
    found[:, model.classes_] = model.predict_proba(features)
    return found


def _pickled_bytes(model) -> int:
    with tempfile.TemporaryFile() as file:  # a forest need not fit into memory twice
        pickle.dump(model, file, protocol=pickle.HIGHEST_PROTOCOL)
        return file.tell()


def _port_column(features: Sequence[str]) -> int:
    found = [place for place, name in enumerate(features) if name in PORT_COLUMNS]
    if not found:
        raise InputError(
            f"expected a destination port ({' or '.join(PORT_COLUMNS)}) among the features, found "
            f"{', '.join(features)}: leave 'destination port' out"
        )
    return found[0]
