"""`python -m tlids_helpers.audit DATASET` prints the checks of notebooks 08 and 09 as Markdown (docs/audit.md).

A dataset of `SAMPLES` is the real sample under TLIDS_SHARED (default ../shared); any other is in data/, as always.
`--cross` takes several datasets and prints who was trained where and tested where. `--into` also stores the tables, in
place of those that docs/results/audit.json has of the same rows.
"""

import argparse
import os
import sys
import time
from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path

import pandas as pd

from tlids_helpers import audit, experiment
from tlids_helpers.audit import alarms, baselines, explain, networks, seeds, show, stored
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

SAMPLES = {
    "nf-bot-iot-v2": ("NF-BoT-IoT-v2.sample.csv.gz", "NF-BoT-IoT-v2.csv.gz"),
    "nf-cse-cic-ids2018-v2": ("NF-CSE-CIC-IDS2018-v2.sample.csv", "NF-CSE-CIC-IDS2018-v2.csv"),
}
HOME = Path("build/audit")
TASK, SEED, CORES = "multiclass", 42, 2
CROSSED = "From one network to another"
TITLES = {"nf-bot-iot-v2": "NF-BoT-IoT-v2", "nf-cse-cic-ids2018-v2": "NF-CSE-CIC-IDS2018-v2", "testbed": "The testbed"}
"""Dataset -> the title of its section in docs/results/audit.json."""

Titled = Iterator[tuple[str, Check]]


def main() -> int:
    """The command line; see --help."""
    parser = argparse.ArgumentParser(prog="python -m tlids_helpers.audit", description=__doc__)
    parser.add_argument("datasets", nargs="+", metavar="DATASET", help="slug of the catalog")
    parser.add_argument("--rows", type=int, help="a stratified subsample for whatever is trained; default: all")
    parser.add_argument("--seeds", type=int, default=len(seeds.SEEDS))
    parser.add_argument("--epochs", type=int, default=50, help="of the CNN; 0: no CNN")
    parser.add_argument("--recipes", nargs="+", default=list(RECIPES), metavar="NAME", help="of the CNN; default: all")
    parser.add_argument("--cross", action="store_true", help="train on each, test on each")
    parser.add_argument(
        "--into", type=Path, metavar="FILE", help="store the tables there, in the section of these rows"
    )
    options = parser.parse_args()
    setup = Setup(task=TASK, seed=SEED, runs_dir=str(HOME.resolve() / "runs"), notebook="09_audit_models")
    try:
        folders = {dataset: data_dir_of(dataset) for dataset in options.datasets}
        of = cross_checks(folders, setup, options) if options.cross else checks(options.datasets[0], setup, options)
        shown = []
        for title, check in of:
            print(f"### {title}\n\n{show.markdown(check)}\n", flush=True)
            shown.append((title, check))
        if options.into:
            store(options, shown)
    except InputError as error:
        print(error, file=sys.stderr)
        return 1
    return 0


def store(options: argparse.Namespace, shown: list[tuple[str, Check]]) -> None:
    """Put the checks into the section of these rows, and say so; rows without a section there are not stored."""
    title = CROSSED if options.cross else TITLES.get(options.datasets[0], options.datasets[0])
    put = stored.put(options.into, stored.section(title, command(options), shown))
    told = (
        f"stored in {files.shown(options.into)}: `make docs` renders it"
        if put
        else f"not stored: {title} has no section"
    )
    print(told, file=sys.stderr)


def command(options: argparse.Namespace) -> str:
    """The make command that gives the same tables."""
    backend = os.environ.get("KERAS_BACKEND")
    given = {"DATASET": " ".join(options.datasets), "ROWS": options.rows, "EPOCHS": options.epochs,
             "RECIPES": " ".join(options.recipes), "CROSS": "yes" if options.cross else None}  # fmt: skip
    words = [f'{name}="{value}"' for name, value in given.items() if value is not None]
    return " ".join([*([f"KERAS_BACKEND={backend}"] if backend else []), "make audit", *words])


def data_dir_of(dataset: str) -> Path:
    """The data folder of `dataset`: a sample is linked to where the catalog looks for the file; nothing is copied."""
    if dataset not in SAMPLES:
        return files.resolve("data")
    theirs, ours = SAMPLES[dataset]
    sample = Path(os.environ.get("TLIDS_SHARED") or "../shared").resolve() / "data" / "netflow" / theirs
    if not sample.is_file():
        raise InputError(f"expected real flows at {sample}, found none", "set TLIDS_SHARED to the folder that has them")
    raw = HOME.resolve() / "data" / "raw"
    raw.mkdir(parents=True, exist_ok=True)
    if not (raw / ours).is_symlink():
        (raw / ours).symlink_to(sample)
    return raw.parent


def checks(dataset: str, setup: Setup, options: argparse.Namespace) -> Titled:
    """The checks of one dataset, cheapest first."""
    data_dir = data_dir_of(dataset)

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


def cross_checks(folders: dict[str, Path], setup: Setup, options: argparse.Namespace) -> Titled:
    """Every pair of the datasets, attack or benign, one seed."""
    make = partial(prepare.prepare, split="paper", seed=SEED, rows=options.rows, allowed=SUBSET)
    datasets = [make(dataset, folder) for dataset, folder in folders.items()]
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
