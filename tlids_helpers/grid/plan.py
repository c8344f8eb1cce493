"""From a grid to the notebooks to run: each run once, each after the runs it needs.

A scratch run is notebook 02. A transfer is notebook 03 with one protocol; it shows the scratch run beside it and starts
from the source's run, so both are left before it begins. The source of `leave_target_out` has no notebook of its own:
the first transfer that starts from it trains it on the way, and the others wait for that one.
"""

from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, replace

from tlids_helpers import chosen_run, experiment
from tlids_helpers.common import files
from tlids_helpers.data import cleaned, prepare, raw
from tlids_helpers.data.catalog import DATASETS
from tlids_helpers.grid.options import Grid
from tlids_helpers.grid.work import Rows, Unit


@dataclass(frozen=True)
class Wish:
    """One combination of the grid."""

    dataset: str
    task: str
    seed: int
    protocol: str

    def __str__(self) -> str:
        """For people."""
        return f"{cleaned.slug_of(self.dataset)} {self.task} {self.protocol} seed {self.seed}"


def wishes(grid: Grid) -> list[Wish]:
    """Every combination that makes sense, seed by seed: a target that is no part of its source cannot be left out."""
    return [
        Wish(dataset, task, seed, protocol)
        for seed in grid.seeds
        for dataset in grid.datasets
        for task in grid.tasks
        for protocol in grid.protocols
        if protocol != "leave_target_out" or _is_part(dataset)
    ]


def not_left_out(grid: Grid) -> list[str]:
    """The datasets that `wishes` has no leave_target_out for."""
    asked = grid.datasets if "leave_target_out" in grid.protocols else ()
    return [cleaned.slug_of(dataset) for dataset in asked if not _is_part(dataset)]


def parts(dataset: str) -> tuple[str, ...]:
    """The parts of a union, () for any other dataset."""
    return DATASETS[dataset].parts if dataset in DATASETS else ()


def rows_of(wish: Wish, split: str) -> list[Rows]:
    """The rows a wish is trained on: the target's, and the source's as `experiment.prepare_source` has them."""
    split = cleaned.split_of(wish.dataset, split)
    target = Rows(wish.dataset, split, wish.seed)
    if wish.protocol == "scratch":
        return [target]
    without = wish.dataset if wish.protocol == "leave_target_out" else ""
    return [target, Rows(_source(wish.dataset), "paper" if split == "session" else split, wish.seed, without)]


def units_of(wish: Wish, grid: Grid) -> list[Unit]:
    """The notebooks that fulfil a wish, the wished run's last; its rows are prepared now if they are not yet.

    Raises InputError for rows that cannot be used.
    """
    target = prepare.prepare(wish.dataset, grid.data_dir, grid.split, wish.seed, grid.rows, grid.allow_subset)
    prepare.class_list(target, wish.task)  # binary needs a benign class
    asked = (target, wish.task, wish.protocol, grid.recipe, wish.seed, "", grid.data_dir, grid.allow_subset)
    choice = chosen_run.choose(*asked)
    scratch = replace(choice, trained="scratch", source=None)
    first = Unit(scratch.name, "02", _parameters(wish, grid))
    if choice.source is None:
        return [first]
    before, trains = [first], choice.source_name
    if choice.source.name in DATASETS:
        of_source = _parameters(Wish(choice.source.name, "multiclass", wish.seed, "scratch"), grid)
        # a target with fewer rows than `rows` is taken whole, and so is its source
        of_source |= {"split": choice.source.split, "rows": target.rows}
        before.insert(0, Unit(choice.source_name, "02", of_source))
        trains = ""
    parameters = {**_parameters(wish, grid), "protocol": wish.protocol}
    return [*before, Unit(choice.name, "03", parameters, (choice.source_name, scratch.name), trains)]


def pending(groups: list[list[Unit]], done: Callable[[str], bool]) -> list[Unit]:
    """The units that are still to be run for `groups` of `units_of`, each once, each after those it waits for."""
    chosen: dict[str, Unit] = {}
    for group in groups:
        if not done(group[-1].name):
            chosen.update({unit.name: unit for unit in group if unit.name not in chosen and not done(unit.name)})
    return list(_linked(chosen, done))


def _linked(chosen: dict[str, Unit], done: Callable[[str], bool]) -> Iterator[Unit]:
    """`chosen` with `after`: for each run that is needed and missing, the first unit that leaves it."""
    leaves: dict[str, str] = {}
    for unit in chosen.values():
        leaves.setdefault(unit.name, unit.name)
        if unit.trains and not done(unit.trains):
            leaves.setdefault(unit.trains, unit.name)
    for unit in chosen.values():
        needs = tuple(run for run in unit.needs if leaves.get(run) != unit.name)
        yield replace(unit, needs=needs, after=tuple(dict.fromkeys(leaves[run] for run in needs if run in leaves)))


def _parameters(wish: Wish, grid: Grid) -> dict:
    """For the notebook; each takes those that it has."""
    recipe = {name: asdict(grid.recipe)[name] for name in ("epochs", "batch_size", "learning_rate", "patience")}
    return {
        "dataset": wish.dataset, "task": wish.task, "seed": wish.seed, "split": grid.split, "rows": grid.rows,
        "recipe": grid.recipe_name, **recipe, "allow_subset": grid.allow_subset,
        "data_dir": str(grid.data_dir), "runs_dir": str(grid.runs_dir),
    }  # fmt: skip


def _source(dataset: str) -> str:
    """The slug transfer to `dataset` starts from, as `experiment.source_of` has it once the rows are prepared."""
    if dataset in DATASETS:
        return DATASETS[dataset].source
    return experiment.FAMILY_SOURCES[raw.inspect(files.resolve(dataset)).family]


def _is_part(dataset: str) -> bool:
    return dataset in DATASETS[_source(dataset)].parts
