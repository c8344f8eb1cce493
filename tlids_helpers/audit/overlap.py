"""How many test rows of a transfer target the training had already seen, in four arms."""

from pathlib import Path

import numpy as np
import pandas as pd

from tlids_helpers import experiment, tables
from tlids_helpers.audit import duplicates
from tlids_helpers.common.errors import InputError
from tlids_helpers.data import prepare
from tlids_helpers.data.catalog import DATASETS, PARENTS
from tlids_helpers.data.prepare import Prepared
from tlids_helpers.network.recipe import Recipe
from tlids_helpers.results import comparison

SCRATCH = "scratch"
PUBLISHED = "as published"
NO_TARGET = "source without the target"
NO_TEST_ROWS = "source without the target's test rows"
ARMS = (SCRATCH, PUBLISHED, NO_TARGET, NO_TEST_ROWS)
PROTOCOLS = {PUBLISHED: "published", NO_TARGET: "leave_target_out", NO_TEST_ROWS: "paper"}  # as the runs are filed


def arms_for(target: Prepared, source: str) -> tuple[str, ...]:
    """The arms that differ: only a target that is a part of the source can be left out of it."""
    return ARMS if target.name in DATASETS[source].parts else ARMS[:2]


def prepare_arm(
    target: Prepared, source: str, arm: str, data_dir: str | Path = "data", allow_subset: bool = False
) -> Prepared:
    """The dataset whose training rows the network of an arm learns from first; for "scratch" the target itself.

    "as published": all of the source under a random split of its own (another seed), since the paper does not say that
    its targets' test rows were kept out of NF-UQ-NIDS. The other two are the protocols: "leave_target_out", and
    "paper", whose union is split part by part with the target's own seed. Raises InputError for an unknown arm.
    """
    if arm == SCRATCH:
        return target
    if arm == PUBLISHED:
        return prepare.prepare(source, data_dir, "paper", target.seed + 1, target.rows, allow_subset)
    if arm not in ARMS:
        raise InputError(f"expected arm to be one of {', '.join(ARMS)}, found {arm!r}: correct it")
    protocol = "leave_target_out" if arm == NO_TARGET else "paper"
    return experiment.prepare_source(target, source, protocol, data_dir, allow_subset)


def table(target: Prepared, source: str, data_dir: str | Path = "data", allow_subset: bool = False) -> pd.DataFrame:
    """The arms side by side: arm, rows_from, mark, train_rows, test_rows, twins, twins_labelled, new, share.

    `twins` are the target's test rows whose features equal a training row's of the arm, `twins_labelled` those with
    its class too (as the union names it); `new` are twins with no equal among the target's own training rows, which
    every arm goes on to learn from; `share` is twins / test_rows. Counts go by value: the same row drawn twice and
    two equal flows look alike, so what "scratch" has is what chance and the split leave. Raises InputError for a source
    of other features.
    """
    features, codes = prepare.load(target, "test")
    labels = np.array(target.classes, dtype=object)[codes]
    own, rows = np.zeros(len(codes), dtype=bool), []
    for arm in arms_for(target, source):
        known = prepare_arm(target, source, arm, data_dir, allow_subset)
        if known.features != target.features:
            raise InputError(f"expected the features of {target.title} in {known.title}: choose another source")
        names = labels if arm == SCRATCH or not DATASETS[source].parts else _merged(labels)
        found = duplicates.twins(features, names, known)
        seen = found["features"].to_numpy()
        own = seen if arm == SCRATCH else own
        mark = comparison.full_mark({"mark": target.mark, "source_mark": known.mark})
        rows.append(
            (arm, known.title, mark, known.size("train"), len(codes), seen.sum(), found["labelled"].sum(),
             (seen & ~own).sum(), seen.mean())
        )  # fmt: skip
    names = ["arm", "rows_from", "mark", "train_rows", "test_rows", "twins", "twins_labelled", "new", "share"]
    return tables.marked(
        pd.DataFrame(rows, columns=names), " / ".join(dict.fromkeys(filter(None, (r[2] for r in rows))))
    )


def sentence(frame: pd.DataFrame) -> str:
    """The arms in counts."""
    said = [f"{row.arm} {row.twins:,} ({row.new:,} of them new)" for row in frame.itertuples()]
    return f"Of {frame['test_rows'].iloc[0]:,} test rows, these equal a training row: {'; '.join(said)}."


def trained(
    target: Prepared,
    source: str,
    task: str,
    recipe: Recipe,
    seed: int,
    runs_dir: str | Path = "runs",
    data_dir: str | Path = "data",
    allow_subset: bool = False,
) -> pd.DataFrame:
    """What the network of each arm scores on the target's test rows, trained as notebook 03 does; one seed.

    Columns: arm, mark, accuracy, f1 (weighted), macro_f1, wrong, test_rows, epochs. Finished runs are taken as they
    are; each arm but "scratch" needs a source network of its own, which is most of the time.
    """
    rows = []
    for arm in arms_for(target, source):
        known = prepare_arm(target, source, arm, data_dir, allow_subset)
        first_task = task if arm == SCRATCH else "multiclass"
        run = experiment.from_scratch("07_audit", known, first_task, recipe, seed, runs_dir)
        if arm != SCRATCH:
            run = experiment.transferred("07_audit", target, run, PROTOCOLS[arm], task, recipe, seed, runs_dir)
        scores, counts = run.result["scores"], np.array(run.result["confusion"])
        rows.append(
            (arm, comparison.full_mark(run.result), *(scores[name] for name in ("accuracy", "f1", "macro_f1")),
             int(counts.sum() - counts.trace()), int(counts.sum()), run.result["epochs"])
        )  # fmt: skip
    names = ["arm", "mark", "accuracy", "f1", "macro_f1", "wrong", "test_rows", "epochs"]
    return tables.marked(
        pd.DataFrame(rows, columns=names), " / ".join(dict.fromkeys(filter(None, (r[1] for r in rows))))
    )


def trained_sentence(frame: pd.DataFrame) -> str:
    """`trained` in counts."""
    said = [f"{row.arm} {row.wrong:,}" for row in frame.itertuples()]
    return f"Of {frame['test_rows'].iloc[0]:,} test rows, each arm gets wrong, on one seed: {'; '.join(said)}."


def _merged(labels: np.ndarray) -> np.ndarray:
    """Class names of a part -> of its union."""
    return np.array([PARENTS.get(name, name) for name in labels], dtype=object)
