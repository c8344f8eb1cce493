"""`make audit DATASET=slug`: the checks of notebook 07 as Markdown tables, which docs/audit.md keeps.

A dataset of `SAMPLES` is the real sample under TLIDS_SHARED (default ../shared); any other lies in data/, as always.
`--cross` takes several datasets and prints who was trained where and tested where.
"""

import argparse
import os
import sys
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd

from tlids_helpers import tables
from tlids_helpers.audit import (
    ablation,
    baselines,
    calibration,
    ceiling,
    census,
    cross,
    drift,
    duplicates,
    explain,
    leakage,
    metrics,
    noise,
    open_set,
    report,
    spread,
    support,
)
from tlids_helpers.audit.report import Check
from tlids_helpers.common import files
from tlids_helpers.common.errors import InputError
from tlids_helpers.data import prepare
from tlids_helpers.data.prepare import Prepared
from tlids_helpers.network.recipe import RECIPES, Recipe, named

SAMPLES = {
    "nf-bot-iot-v2": ("NF-BoT-IoT-v2.sample.csv.gz", "NF-BoT-IoT-v2.csv.gz"),
    "nf-cse-cic-ids2018-v2": ("NF-CSE-CIC-IDS2018-v2.sample.csv", "NF-CSE-CIC-IDS2018-v2.csv"),
}
HOME = Path("build/audit")
TASK, SEED = "multiclass", 42


def main() -> int:
    """The command line; see --help."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("datasets", nargs="+", metavar="DATASET", help="slug of the catalog")
    parser.add_argument("--rows", type=int, help="a stratified subsample for whatever is trained; default: all")
    parser.add_argument("--seeds", type=int, default=len(spread.SEEDS))
    parser.add_argument("--epochs", type=int, default=50, help="of the CNN; 0: no CNN")
    parser.add_argument("--recipes", nargs="+", default=list(RECIPES), metavar="NAME", help="of the CNN; default: all")
    parser.add_argument("--cross", action="store_true", help="train on each, test on each")
    options = parser.parse_args()
    try:
        places = {dataset: data_dir_of(dataset) for dataset in options.datasets}
        made = cross_tables(places, options) if options.cross else tables_of(*next(iter(places.items())), options)
        for title, one in made:
            print(f"### {title}\n\n{report.markdown(one)}\n", flush=True)
    except InputError as error:
        print(error, file=sys.stderr)
        return 1
    return 0


def data_dir_of(dataset: str) -> Path:
    """Where `dataset` lies: the sample is linked to where the catalog looks for the file; nothing is copied."""
    if dataset not in SAMPLES:
        return files.resolve("data")
    theirs, ours = SAMPLES[dataset]
    sample = Path(os.environ.get("TLIDS_SHARED") or "../shared").resolve() / "data" / "netflow" / theirs
    if not sample.is_file():
        raise InputError(f"expected real flows at {sample}, found none: set TLIDS_SHARED to the folder that has them")
    raw = HOME.resolve() / "data" / "raw"
    raw.mkdir(parents=True, exist_ok=True)
    if not (raw / ours).is_symlink():
        (raw / ours).symlink_to(sample)
    return raw.parent


def tables_of(dataset: str, data_dir: Path, options: argparse.Namespace) -> Iterator[tuple[str, Check]]:
    """The checks of one dataset, cheapest first."""
    whole = prepare.prepare(dataset, data_dir, seed=SEED, allow_subset=True)
    yield from of_the_rows(whole, dataset, data_dir)
    some = prepare.prepare(dataset, data_dir, seed=SEED, rows=options.rows, allow_subset=True)
    on = f", {sum(map(some.size, prepare.ROLES)):,} rows"
    checks: list[tuple[str, Callable, Callable]] = [
        ("Feature sets, one seed", lambda: ablation.table(some, TASK, SEED, n_jobs=2), ablation.sentence),
        ("A scaler that saw the test, one seed", lambda: leakage.scaler(some, TASK, SEED), leakage.scaler_sentence),
        ("Splits, one seed", lambda: leakage.splits(dataset, data_dir, TASK, SEED, options.rows, True, n_jobs=2),
         leakage.splits_sentence),
        ("Suspect labels, one seed", lambda: noise.table(some, TASK, seed=SEED, n_jobs=2), noise.sentence),
    ]  # fmt: skip
    for title, make, say in checks:
        yield title + on, report.check(make, say)
    forest = baselines.fitter("extra trees", some.features, n_jobs=2)
    unseen = report.check(lambda: open_set.table(some, "extra trees", forest, seed=SEED), open_set.sentence)
    shown = None if unseen.table is None else open_set.beside(unseen.table)
    yield "Attacks left out of training, one seed" + on, Check(shown, unseen.sentence)
    yield from of_one_seed(some, options, on)
    yield from of_the_models(dataset, data_dir, options, on)


def of_the_rows(prepared: Prepared, dataset: str, data_dir: Path) -> Iterator[tuple[str, Check]]:
    """What takes no training, on all rows."""
    yield "Rows, columns, classes", report.check(lambda: census.table(prepared, dataset, data_dir), census.sentence)
    yield "Test rows per class", report.check(lambda: support.table(prepared), support.sentence)
    yield "Rows that repeat", report.check(lambda: duplicates.table(prepared), duplicates.sentence)
    yield (
        "Test rows that equal a training row",
        report.check(lambda: duplicates.across(prepared), duplicates.across_sentence),
    )
    for title, roles in (("the test rows", ("test",)), ("all rows", prepare.ROLES)):
        found = ceiling.ceiling(prepared, TASK, roles)
        yield f"The best any model could reach on {title}", Check(found.scores, found.sentence())
        if found.wrong:
            yield f"The same by class, {title}", Check(found.per_class, "Classes that share rows with others.")


def networks_of(options: argparse.Namespace) -> dict[str, Recipe]:
    """Name -> recipe of the CNNs that were asked for."""
    return {f"CNN {name}": named(name, epochs=options.epochs) for name in options.recipes if options.epochs}


def of_one_seed(prepared: Prepared, options: argparse.Namespace, on: str) -> Iterator[tuple[str, Check]]:
    """What a mean hides: the classes, the false alarms, the calibration, the features used; one forest, the CNNs."""
    train, validation, (features, truth) = (prepare.load(prepared, role, TASK) for role in prepare.ROLES)
    forest = baselines.fit("random forest", train, validation, len(prepared.classes), prepared.features, SEED, 2)
    runs_dir = HOME.resolve() / "runs"
    models = [forest] + [
        baselines.fit_network(name, prepared, TASK, recipe, SEED, runs_dir, "07_audit")
        for name, recipe in networks_of(options).items()
    ]
    given = {model.name: model.predict(features) for model in models}
    said = f"{len(truth):,} test rows, each given its most probable class."
    yield "F1 by class, one seed" + on, Check(f1_by_class(given, truth, prepared), said)
    rate = metrics.FLOWS_PER_SECOND
    yield (
        "False alarms, one seed" + on,
        report.check(
            lambda: report.alarms(models, prepared, TASK, rate), lambda frame: report.alarms_sentence(frame, rate)
        ),
    )
    for name, found in given.items():
        trust = calibration.reliability(*calibration.top_label(truth, found))
        yield f"Calibration of {name}, one seed{on}", Check(None, calibration.sentence(trust))
    lost = [explain.permutation(model.predict, features, truth, prepared.features, seed=SEED) for model in models]
    used = pd.DataFrame(
        {m.name: table.set_index("feature")["importance"] for m, table in zip(models, lost, strict=True)}
    )
    used = used.sort_values(forest.name, ascending=False).rename_axis("feature").reset_index()
    yield (
        "Macro-F1 lost when a feature is shuffled among the test rows, one seed" + on,
        Check(tables.marked(used, prepared.mark), "Mean of five shuffles."),
    )


def f1_by_class(given: dict[str, np.ndarray], truth: np.ndarray, prepared: Prepared) -> pd.DataFrame:
    """class, support, and the F1 of each model, from its probabilities (n, C) for the test rows."""
    found = {name: metrics.per_class(truth, each.argmax(axis=1), prepared.classes) for name, each in given.items()}
    shown = next(iter(found.values()))[["class", "support"]].assign(
        **{name: each["f1"] for name, each in found.items()}
    )
    return tables.marked(shown, prepared.mark)


def of_the_models(dataset: str, data_dir: Path, options: argparse.Namespace, on: str) -> Iterator[tuple[str, Check]]:
    """Baselines and the CNNs over the seeds, each CNN against the best baseline, and against the paper's."""
    networks = networks_of(options)

    def rows_of(seed: int) -> Prepared:
        return prepare.prepare(dataset, data_dir, seed=seed, rows=options.rows, allow_subset=True)

    def models_of(prepared: Prepared, seed: int) -> pd.DataFrame:
        names = report.possible(prepared)
        return baselines.table(prepared, TASK, seed, names, networks, HOME.resolve() / "runs", n_jobs=2)

    began = time.perf_counter()
    runs = spread.over_seeds(rows_of, models_of, range(SEED, SEED + options.seeds))
    mark, summary = runs["mark"].iloc[0], spread.summary(runs)
    took = f"{options.seeds} seeds; {time.perf_counter() - began:.0f} s for all of them, or less where a run was there."
    yield "Mean ± deviation over the seeds" + on, Check(report.spread_table(summary, mark=mark), took)
    yield "What they cost" + on, Check(report.cost_table(summary, mark), "Mean over the seeds, this machine's times.")
    for name in networks:
        yield (
            f"{name}, against the best baseline" + on,
            report.check(partial(report.against_best, runs, name, mark=mark), report.against_best_sentence),
        )
    for name in [name for name in networks if "CNN paper" in networks and name != "CNN paper"]:
        for score in ("macro_f1", "accuracy"):
            yield (
                f"{name} against the paper's, {score}",
                Check(None, spread.paired(runs, name, "CNN paper", score).sentence()),
            )


def cross_tables(places: dict[str, Path], options: argparse.Namespace) -> Iterator[tuple[str, Check]]:
    """Every pair of the datasets, attack or benign, one seed."""
    rows = [prepare.prepare(d, place, "paper", SEED, options.rows, True) for d, place in places.items()]
    columns = ["source", "target", "mark", "arm", "target_rows", "attacks", "found", "benign", "false_alarms",
               "balanced_accuracy", "mcc"]  # fmt: skip
    made = report.check(
        lambda: cross.matrix(rows, Recipe(options.epochs), SEED, HOME.resolve() / "runs", n_jobs=2),
        cross.sentence,
        columns,
    )
    yield f"Trained here, tested there, one seed, CNN of {options.epochs} epochs", made
    yield (
        "How far benign flows shift, PSI of each feature",
        Check(shifts(rows), "Below 0.1 is calm, from 0.25 on a large shift; benign training rows."),
    )


def shifts(rows: list[Prepared]) -> pd.DataFrame:
    """from, to, mark, and the PSI of each feature, a row for each pair of `cross.matrix` but a network with itself."""
    found = []
    for source, target in cross.pairs(rows):
        if source is not target:
            moved = drift.table(source, target, benign_only=True)
            ends = {"from": source.title, "to": target.title, "mark": moved.columns.name or ""}
            found.append(ends | dict(zip(moved["feature"], moved["psi"], strict=True)))
    return pd.DataFrame(found)


if __name__ == "__main__":
    sys.exit(main())
