"""What crosses a split: a scaler that saw the test rows, equal rows on both sides, a source that holds the target."""

from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
from sklearn.linear_model import LogisticRegression
from sklearn.preprocessing import StandardScaler
from threadpoolctl import threadpool_limits

from tlids_helpers import experiment
from tlids_helpers.audit import baselines, rows
from tlids_helpers.audit.check import Check, checked, found
from tlids_helpers.common import files
from tlids_helpers.common.errors import InputError
from tlids_helpers.common.style import marked
from tlids_helpers.data import cleaned, prepare, source
from tlids_helpers.data.catalog import DATASETS, PARENTS
from tlids_helpers.data.prepare import ROLES, Prepared
from tlids_helpers.data.raw import AS_PUBLISHED, SESSION_COLUMN, Allowed
from tlids_helpers.results import comparison, metrics
from tlids_helpers.results.runs import Run, Setup

ITERATIONS = 1000
TREE = "extra trees"


# leaks within one dataset


@checked
def scaler_leak(prepared: Prepared, task: str = "multiclass", seed: int = 42) -> Check:
    """Logistic regression on log(1 + x), standardised twice: with the training rows' mean and deviation, and with all.

    Columns: fitted_on, rows (the scaler saw), accuracy, macro_f1, wrong, changed (test rows named otherwise than in the
    first line), test_rows, shift (largest change of a feature's mean, in its deviations), converged. Only the scaler
    differs; weights are learned from training rows either way. Arp et al. 2022, P3: test rows known beforehand.
    """
    logs = {role: (baselines.log1p(x), y) for role, x, y in ((r, *prepare.load(prepared, r, task)) for r in ROLES)}
    seen = {"training rows": ("train",), "all rows, test rows too": ROLES}
    scalers = {name: StandardScaler().fit(np.concatenate([logs[r][0] for r in roles])) for name, roles in seen.items()}
    sound, first, lines = next(iter(scalers.values())), None, []
    for name, scaler in scalers.items():
        model = LogisticRegression(max_iter=ITERATIONS, random_state=seed)
        with threadpool_limits(1):
            model.fit(scaler.transform(logs["train"][0]), logs["train"][1])
        predicted, truth = model.predict(scaler.transform(logs["test"][0])), logs["test"][1]
        first = predicted if first is None else first
        shift = np.abs((scaler.mean_ - sound.mean_) / sound.scale_).max()
        scores = metrics.scores(truth, predicted)
        lines.append(
            {"fitted_on": name, "rows": int(scaler.n_samples_seen_), "accuracy": scores["accuracy"],
             "macro_f1": scores["macro_f1"], "wrong": int((truth != predicted).sum()),
             "changed": int((predicted != first).sum()), "test_rows": len(truth), "shift": float(shift),
             "converged": bool(model.n_iter_.max() < ITERATIONS)}
        )  # fmt: skip
    table = pd.DataFrame(lines)
    sound, leaky = table.iloc[0], table.iloc[1]
    sentence = (
        f"A scaler that also saw the {leaky['rows'] - sound['rows']:,} other rows changes the class of "
        f"{leaky['changed']:,} of {sound['test_rows']:,} test rows and makes {leaky['wrong']:,} instead of "
        f"{sound['wrong']:,} wrong."
    )
    return found(marked(table, prepared.mark), sentence)


@checked
def splits(
    prepared: Prepared,
    dataset: str,
    data_dir: str | Path = "data",
    allowed: Allowed = AS_PUBLISHED,
    task: str = "multiclass",
    n_jobs: int = 1,
) -> Check:
    """Extra trees under each split of `dataset`, on that split's own test rows, with the seed and rows of `prepared`.

    `dataset`, `data_dir` and `allowed` are those that `prepared` was made from. Columns: model, split, train_rows,
    test_rows, twins (test rows that equal a training row), accuracy, macro_f1, wrong. The splits are `paper` (random),
    `grouped` (equal rows stay on one side) and, where recordings are told apart, `session`; a dataset that has a test
    recording of its own has no random split.
    """
    lines = {}
    for name in ("paper", "grouped", "session"):
        if name == "session" and not has_sessions(dataset, data_dir, allowed):
            continue
        one = prepare.prepare(dataset, data_dir, name, prepared.seed, prepared.rows, allowed)
        if one.split not in lines:
            lines[one.split] = _split_line(one, task, n_jobs)
    table = pd.DataFrame(lines.values())
    counts = [
        f"{row.split}: {row.wrong:,} of {row.test_rows:,} test rows wrong, macro-F1 {row.macro_f1:.4f}, "
        f"{row.twins:,} equal to a training row"
        for row in table.itertuples()
    ]
    return found(marked(table, prepared.mark), f"{TREE.capitalize()} by split: {'; '.join(counts)}.")


def has_sessions(dataset: str, data_dir: str | Path = "data", allowed: Allowed = AS_PUBLISHED) -> bool:
    """Whether every file behind `dataset` names for each row which of several recordings it is of."""
    parts = cleaned.clean(dataset, files.resolve(data_dir), allowed.subset)
    return all(_recordings(part.file) > 1 for part in parts)


def _recordings(file: Path) -> int:
    if SESSION_COLUMN not in pq.read_schema(file).names:
        return 0
    return len(set(filter(None, pq.read_table(file, columns=[SESSION_COLUMN])[SESSION_COLUMN].unique().to_pylist())))


def _split_line(prepared: Prepared, task: str, n_jobs: int) -> dict:
    train, validation, test = (prepare.load(prepared, role, task) for role in ROLES)
    n_classes = len(prepare.class_list(prepared, task))
    fitted = baselines.fit(TREE, (train, validation), n_classes, prepared.features, prepared.seed, n_jobs)
    scores = baselines.short_score(fitted, test)
    return {
        "model": TREE, "split": prepared.split, "train_rows": len(train[1]), "test_rows": scores.pop("test_rows"),
        "twins": int(rows.twins(prepared).table["twins"].iloc[-1]), **scores,
    }  # fmt: skip


# overlap: how many test rows of a transfer target the training had already seen, in four arms


SCRATCH = "scratch"
PUBLISHED = "as published"
NO_TARGET = "source without the target"
NO_TEST_ROWS = "source without the target's test rows"
ARMS = (SCRATCH, PUBLISHED, NO_TARGET, NO_TEST_ROWS)
PROTOCOLS = {PUBLISHED: "published", NO_TARGET: "leave_target_out", NO_TEST_ROWS: "paper"}  # as the runs are filed


def arms_for(target: Prepared, slug: str) -> tuple[str, ...]:
    """The arms that differ: only a target that is a part of the source `slug` can be left out of it."""
    return ARMS if target.name in DATASETS[slug].parts else ARMS[:2]


def prepare_arm(
    target: Prepared, slug: str, arm: str, data_dir: str | Path = "data", allowed: Allowed = AS_PUBLISHED
) -> Prepared:
    """The dataset whose training rows the network of an arm learns from first; for "scratch" the target itself.

    "as published": all of the source under a random split of its own (another seed), since the paper does not state
    that its targets' test rows were kept out of NF-UQ-NIDS. The other two are the protocols: "leave_target_out", and
    "paper", whose union is split part by part with the target's own seed. Raises InputError for an unknown arm.
    """
    if arm == SCRATCH:
        return target
    if arm == PUBLISHED:
        return prepare.prepare(slug, data_dir, "paper", target.seed + 1, target.rows, allowed)
    if arm not in ARMS:
        raise InputError(f"expected arm to be one of {', '.join(ARMS)}, found {arm!r}: correct it")
    return source.prepare_source(target, slug, PROTOCOLS[arm], data_dir, allowed)


@checked
def overlap(target: Prepared, slug: str, data_dir: str | Path = "data", allowed: Allowed = AS_PUBLISHED) -> Check:
    """The arms side by side: arm, rows_from, mark, train_rows, test_rows, twins, twins_labelled, new, share.

    `twins` are the target's test rows whose features equal a training row's of the arm, `twins_labelled` those with
    its class too (as the union names it); `new` are twins with no equal among the target's own training rows, which
    every arm goes on to learn from; `share` is twins / test_rows. Counts go by value: the same row drawn twice and
    two equal flows look alike, so what "scratch" has is what chance and the split leave. `slug` is the transfer
    source; not possible with one of other features.
    """
    features, codes = prepare.load(target, "test")
    labels = np.array(target.classes, dtype=object)[codes]
    own, lines = np.zeros(len(codes), dtype=bool), []
    for arm in arms_for(target, slug):
        known = prepare_arm(target, slug, arm, data_dir, allowed)
        if known.features != target.features:
            raise InputError(f"expected the features of {target.title} in {known.title}: choose another source")
        names = labels if arm == SCRATCH or not DATASETS[slug].parts else _merged(labels)
        equal = rows.with_twins(features, names, known)
        seen = equal["features"].to_numpy()
        own = seen if arm == SCRATCH else own
        mark = comparison.full_mark({"mark": target.mark, "source_mark": known.mark})
        lines.append(
            (arm, known.title, mark, known.size("train"), len(codes), seen.sum(), equal["labelled"].sum(),
             (seen & ~own).sum(), seen.mean())
        )  # fmt: skip
    columns = ["arm", "rows_from", "mark", "train_rows", "test_rows", "twins", "twins_labelled", "new", "share"]
    table = pd.DataFrame(lines, columns=columns)
    counts = [f"{row.arm} {row.twins:,} ({row.new:,} of them new)" for row in table.itertuples()]
    sentence = f"Of {len(codes):,} test rows, these equal a training row: {'; '.join(counts)}."
    return found(marked(table, _all_marks(table)), sentence)


@checked
def transfer_arms(
    target: Prepared, slug: str, setup: Setup, data_dir: str | Path = "data", allowed: Allowed = AS_PUBLISHED
) -> Check:
    """What the network of each arm scores on the target's test rows, trained as notebook 03 does; one seed.

    Columns: arm, mark, accuracy, f1 (weighted), macro_f1, wrong, test_rows, epochs. Finished runs are taken as they
    are; each arm but "scratch" needs a source network of its own, which is most of the time.
    """
    lines = []
    for arm in arms_for(target, slug):
        run = _arm_run(target, prepare_arm(target, slug, arm, data_dir, allowed), arm, setup)
        scores, counts = run.result["scores"], np.array(run.result["confusion"])
        lines.append(
            (arm, comparison.full_mark(run.result), *(scores[name] for name in ("accuracy", "f1", "macro_f1")),
             int(counts.sum() - counts.trace()), int(counts.sum()), run.result["epochs"])
        )  # fmt: skip
    columns = ["arm", "mark", "accuracy", "f1", "macro_f1", "wrong", "test_rows", "epochs"]
    table = pd.DataFrame(lines, columns=columns)
    counts = "; ".join(f"{row.arm} {row.wrong:,}" for row in table.itertuples())
    sentence = f"Of {target.size('test'):,} test rows, each arm gets wrong, on one seed: {counts}."
    return found(marked(table, _all_marks(table)), sentence)


def _arm_run(target: Prepared, known: Prepared, arm: str, setup: Setup) -> Run:
    """The finished run of an arm whose first rows are `known`, trained now if it is not there."""
    if arm == SCRATCH:
        return experiment.from_scratch(target, setup)
    return experiment.transferred(target, experiment.source_run(known, setup), PROTOCOLS[arm], setup)


def _merged(labels: np.ndarray) -> np.ndarray:
    """Class names of a part -> of its union."""
    return np.array([PARENTS.get(name, name) for name in labels], dtype=object)


def _all_marks(table: pd.DataFrame) -> str:
    return " / ".join(dict.fromkeys(filter(None, table["mark"])))
