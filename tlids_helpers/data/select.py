"""Nine of CICFlowMeter's columns by random-forest Gini importance (Section 5.1.2), on training rows alone."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
from sklearn.ensemble import RandomForestClassifier

from tlids_helpers.data.catalog import FEATURES
from tlids_helpers.data.prepare import Prepared

SELECTION_ROWS = 50_000  # training rows the forest sees at most
TREES = 100


def gini_importance(prepared: Prepared, rows: int = SELECTION_ROWS) -> pd.DataFrame:
    """Mean decrease in Gini impurity of every numeric column: columns feature, importance, in_paper.

    Sorted, largest first; the importances add up to 1. A column that holds anything but finite numbers in
    the training rows is left out. The forest is scikit-learn's, seeded with the preparation's seed.
    """
    table = pq.read_table(prepared.folder / "train.parquet")
    picked = np.random.default_rng(prepared.seed).permutation(len(table))[:rows]
    table = table.take(np.sort(picked))
    names = [name for name in table.column_names if name != "Attack" and table[name].null_count == 0]
    values = np.stack([table[name].to_numpy() for name in names], axis=1)
    forest = RandomForestClassifier(TREES, random_state=prepared.seed, n_jobs=-1)
    forest.fit(values, table["Attack"].to_numpy(zero_copy_only=False))
    found = pd.DataFrame({"feature": names, "importance": forest.feature_importances_})
    found["in_paper"] = found["feature"].isin(FEATURES[prepared.family])
    return found.sort_values("importance", ascending=False, ignore_index=True)


def with_selected(prepared: Prepared, importance: pd.DataFrame) -> Prepared:
    """The same rows and split with the nine most important columns in place of the paper's.

    A `grouped` split stays grouped by the paper's nine.
    """
    return replace(prepared, features=tuple(importance["feature"].head(9)))
