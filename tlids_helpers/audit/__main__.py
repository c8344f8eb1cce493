"""`python -m tlids_helpers.audit DATASET` prints the checks of notebooks 08 and 09 as Markdown (docs/audit.md).

`--cross` takes several datasets and prints who was trained where and tested where.
"""

import argparse
import sys
import time
from collections.abc import Iterator, Mapping
from dataclasses import replace
from functools import partial
from pathlib import Path

import pandas as pd

from tlids_helpers import audit, experiment
from tlids_helpers.audit import alarms, baselines, explain, networks, seeds, show
from tlids_helpers.audit.check import Check
from tlids_helpers.common import files
from tlids_helpers.common.errors import InputError
from tlids_helpers.common.style import marked
from tlids_helpers.data import prepare
from tlids_helpers.data.prepare import Prepared
from tlids_helpers.data.raw import SUBSET
from tlids_helpers.network.recipe import RECIPES, Recipe, named
from tlids_helpers.results import metrics
from tlids_helpers.results.runs import Setup

HOME = Path("build/audit")
TASK, SEED, CORES = "multiclass", 42, 2

Titled = Iterator[tuple[str, Check]]


def main() -> int:
    """The command line; see --help."""
    options = parser().parse_args()
    data_dir = files.resolve("data")
    try:
        for title, check in asked(options, dict.fromkeys(options.datasets, data_dir)):
            print(section(title, check), flush=True)
    except InputError as error:
        print(error, file=sys.stderr)
        return 1
    return 0


def parser() -> argparse.ArgumentParser:
    """The command line's options."""
    made = argparse.ArgumentParser(prog="python -m tlids_helpers.audit", description=__doc__)
    made.add_argument("datasets", nargs="+", metavar="DATASET", help="slug of the catalog")
    made.add_argument("--rows", type=int, help="a stratified subsample for whatever is trained; default: all")
    made.add_argument("--seeds", type=int, default=len(seeds.SEEDS))
    made.add_argument("--epochs", type=int, default=50, help="of the CNN; 0: no CNN")
    made.add_argument("--recipes", nargs="+", default=list(RECIPES), metavar="NAME", help="of the CNN; default: all")
    made.add_argument("--cross", action="store_true", help="train on each, test on each")
    return made


def asked(options: argparse.Namespace, data_dirs: Mapping[str, Path]) -> Titled:
    """The checks that the options mean, each as it is made; `data_dirs` is dataset -> its data folder."""
    setup = Setup(task=TASK, seed=SEED, runs_dir=str(HOME.resolve() / "runs"), notebook="09_audit_models")
    if options.cross:
        return cross_checks(data_dirs, setup, options)
    return checks(options.datasets[0], data_dirs[options.datasets[0]], setup, options)


def section(title: str, check: Check) -> str:
    """A check as a section of Markdown."""
    return f"### {title}\n\n{show.markdown(check)}\n"


def checks(dataset: str, data_dir: Path, setup: Setup, options: argparse.Namespace) -> Titled:
    """The checks of one dataset, cheapest first."""

    def prepared_of(seed: int, rows: int | None = options.rows) -> Prepared:
        return prepare.prepare(dataset, data_dir, seed=seed, rows=rows, allowed=SUBSET)

    yield from row_checks(prepared_of(SEED, None), dataset, data_dir)
    some = prepared_of(SEED)
    on = f", {sum(map(some.size, prepare.ROLES)):,} rows"
    yield f"Feature sets, one seed{on}", audit.ablation(some, TASK, SEED, n_jobs=CORES)
    yield f"Benign or attack by one feature, one seed{on}", audit.one_feature(some, SEED)
    yield f"One feature, one attack learned, the others tried, one seed{on}", audit.one_attack(some, SEED)
    yield f"A scaler that saw the test, one seed{on}", audit.scaler_leak(some, TASK, SEED)
    yield f"Splits, one seed{on}", audit.splits(some, dataset, data_dir, SUBSET, TASK, CORES)
    yield f"Suspect labels, one seed{on}", audit.label_noise(some, TASK, SEED, n_jobs=CORES)
    forest = baselines.fitter("extra trees", some.features, SEED, CORES)
    yield f"Attacks left out of training, one seed{on}", audit.open_set(some, "extra trees", forest)
    recipes = {f"CNN {name}": named(name, epochs=options.epochs) for name in options.recipes if options.epochs}
    for title, check in model_checks(some, setup, recipes):
        yield f"{title}, one seed{on}", check
    yield from seed_checks(prepared_of, range(SEED, SEED + options.seeds), setup, recipes, on)


def row_checks(prepared: Prepared, dataset: str, data_dir: Path) -> Titled:
    """What takes no training, on all rows."""
    yield "Rows, columns, classes", audit.census(prepared, dataset, data_dir)
    yield "Test rows per class", audit.support(prepared)
    yield "Rows that repeat", audit.duplicates(prepared)
    yield "Test rows that equal a training row", audit.twins(prepared)
    for title, roles in (("the test rows", ("test",)), ("all rows", prepare.ROLES)):
        yield f"The best any model could reach on {title}", audit.ceiling(prepared, TASK, roles)
        by_class = audit.ceiling_by_class(prepared, TASK, roles)
        if by_class.table["conflicting"].any():
            yield f"The same by class, {title}", by_class


def model_checks(prepared: Prepared, setup: Setup, recipes: dict[str, Recipe]) -> Titled:
    """What a mean hides: the classes, the false alarms, the calibration, the features used; one forest, the CNNs."""
    train, validation, (features, truth) = (prepare.load(prepared, role, TASK) for role in prepare.ROLES)
    forest = baselines.fit("random forest", (train, validation), len(prepared.classes), prepared.features, SEED, CORES)
    models = [forest]
    for name, recipe in recipes.items():
        models.append(baselines.network(name, experiment.from_scratch(prepared, replace(setup, recipe=recipe))))
    given = {model.name: model.predict(features) for model in models}
    each = f"{len(truth):,} test rows, each given its most probable class."
    yield "F1 by class", Check(show.f1_by_class(given, truth, prepared), each)
    yield "False alarms", audit.false_alarms(models, prepared, TASK, metrics.FLOWS_PER_SECOND)
    for name, probabilities in given.items():
        sentence = alarms.calibration_sentence(alarms.reliability(probabilities, truth))
        yield f"Calibration of {name}", Check(None, sentence)
    lost = [explain.permutation(model.predict, features, truth, prepared.features, seed=SEED) for model in models]
    used = {model.name: table.set_index("feature")["importance"] for model, table in zip(models, lost, strict=True)}
    table = pd.DataFrame(used).sort_values(forest.name, ascending=False).rename_axis("feature").reset_index()
    title = "Macro-F1 lost when a feature is shuffled among the test rows"
    yield title, Check(marked(table, prepared.mark), "Mean of five shuffles.")


def seed_checks(prepared_of, numbers: range, setup: Setup, recipes: dict[str, Recipe], on: str) -> Titled:
    """Baselines and the CNNs over the seeds, each CNN against the best baseline, and against the paper's."""
    began = time.perf_counter()
    runs = seeds.over_seeds(prepared_of, numbers, setup, recipes, n_jobs=CORES)
    mark, summary = runs["mark"].iloc[0], seeds.summary(runs)
    took = f"{len(numbers)} seeds; {time.perf_counter() - began:.0f} s for all of them, or less where a run was there."
    yield f"Mean ± deviation over the seeds{on}", Check(show.spread(summary, mark=mark), took)
    yield f"What they cost{on}", Check(show.costs(summary, mark), "Mean over the seeds, this machine's times.")
    for name in recipes:
        yield f"{name}, against the best baseline{on}", audit.against_best(runs, name, mark=mark)
    for name in [name for name in recipes if "CNN paper" in recipes and name != "CNN paper"]:
        for score in ("macro_f1", "accuracy"):
            pair = seeds.paired(runs, name, "CNN paper", score)
            yield f"{name} against the paper's, {score}", Check(None, pair.sentence())


def cross_checks(data_dirs: Mapping[str, Path], setup: Setup, options: argparse.Namespace) -> Titled:
    """Every pair of the datasets, attack or benign, one seed."""
    make = partial(prepare.prepare, split="paper", seed=SEED, rows=options.rows, allowed=SUBSET)
    datasets = [make(dataset, folder) for dataset, folder in data_dirs.items()]
    cross = audit.cross(datasets, replace(setup, recipe=Recipe(options.epochs)), n_jobs=CORES)
    yield f"Trained here, tested there, one seed, CNN of {options.epochs} epochs", cross
    sentence = "Below 0.1 is a small shift, from 0.25 on a large one; benign training rows."
    yield "How far benign flows shift, PSI of each feature", Check(shifts(datasets), sentence)


def shifts(datasets: list[Prepared]) -> pd.DataFrame:
    """from, to, mark, and the PSI of each feature, a row for each pair of `networks.pairs` of different datasets."""
    rows = []
    for source, target in networks.pairs(datasets):
        check = audit.drift(source, target, benign_only=True)
        if source is not target and check.possible:
            table = check.table
            ends = {"from": source.title, "to": target.title, "mark": table.columns.name or ""}
            rows.append(ends | dict(zip(table["feature"], table["psi"], strict=True)))
    return pd.DataFrame(rows)


if __name__ == "__main__":
    sys.exit(main())
