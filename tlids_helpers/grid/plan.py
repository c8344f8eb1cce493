"""From a grid to the notebooks to run: each run once, each after the runs it needs. No rows are read here.

A scratch run is notebook 02, and so is the source of a transfer. A transfer is notebook 03 with one protocol: it starts
from the source's run and shows the scratch run beside its own, so both are left before it begins. On a share of the
target's rows notebook 03 trains from scratch as well, and the first transfer on a share leaves that run for the others.
"""

import itertools
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path

from tlids_helpers.common import files
from tlids_helpers.data import cleaned, raw, source
from tlids_helpers.data.catalog import DATASETS
from tlids_helpers.data.raw import Allowed
from tlids_helpers.network.recipe import Recipe
from tlids_helpers.results import runs
from tlids_helpers.results.runs import Setup

TASKS = ("multiclass", "binary")
PROTOCOLS = ("scratch", *source.PROTOCOLS)


@dataclass(frozen=True)
class Grid:
    """Every combination of what is several, and what they have in common."""

    datasets: tuple[str, ...]  # slugs, or absolute paths of the user's own files
    tasks: tuple[str, ...]
    seeds: tuple[int, ...]
    protocols: tuple[str, ...]
    split: str
    rows: int | None
    recipe_name: str
    recipe: Recipe
    allow_subset: bool
    data_dir: Path
    runs_dir: Path
    allow_loss: float = Allowed.loss
    shares: tuple[float, ...] = (1.0,)  # of the target's labelled rows
    frozen: tuple[str, ...] = ("blocks",)  # of the source, in transfer


@dataclass(frozen=True)
class Combination:
    """One combination of the grid."""

    dataset: str
    task: str
    seed: int
    protocol: str
    share: float = 1.0
    frozen: str = "blocks"

    def __str__(self) -> str:
        """For people."""
        share = f" {self.share:.2%} of the rows" if self.share < 1 else ""
        frozen = "" if self.protocol == "scratch" else f" frozen {self.frozen}"
        return f"{cleaned.slug_of(self.dataset)} {self.task} {self.protocol}{frozen}{share} seed {self.seed}"


@dataclass(frozen=True)
class Preparation:
    """The rows of a run, as the notebooks' parameters name them."""

    dataset: str
    data_dir: Path
    split: str
    seed: int
    rows: int | None
    allow_subset: bool
    allow_loss: float = Allowed.loss

    def __str__(self) -> str:
        """For people."""
        return f"{cleaned.slug_of(self.dataset)}, {self.split} split, seed {self.seed}"


@dataclass(frozen=True)
class NotebookRun:
    """One notebook to run."""

    name: str  # of the run it leaves
    notebook: str  # "02" or "03"
    preparation: Preparation
    parameters: dict = field(repr=False, compare=False)
    needs: tuple[str, ...] = ()  # names of the runs that have to be there when it begins
    after: tuple[str, ...] = ()  # names of those that only have to have ended
    brings: str = ""  # name of the scratch run on a share that it leaves besides, unless it is there


def combinations(grid: Grid) -> list[Combination]:
    """Every combination that makes sense (`source.sensible`), seed by seed."""
    return [
        Combination(dataset, task, seed, protocol, share, frozen)
        for seed in grid.seeds
        for dataset in grid.datasets
        for task in grid.tasks
        for protocol in grid.protocols
        if protocol in _sensible(dataset)
        for share, frozen in _ways(grid, protocol)
    ]


def left_out(grid: Grid) -> list[tuple[str, str]]:
    """(dataset, protocol) that were asked for and `combinations` does not have."""
    return [
        (cleaned.slug_of(dataset), protocol)
        for dataset in grid.datasets
        for protocol in grid.protocols
        if protocol not in _sensible(dataset)
    ]


def notebook_runs(wanted: Combination, grid: Grid) -> list[NotebookRun]:
    """The runs that a combination takes, its own last."""
    scratch = _notebook_02(wanted, grid, grid.split)
    if wanted.protocol == "scratch":
        return [scratch]
    recipe = replace(grid.recipe, frozen=wanted.frozen)
    slug = cleaned.slug_of(wanted.dataset)
    start = source.source_dataset(slug, _source(wanted.dataset), wanted.protocol)
    # a source has no recording in common with the target, so it is not split by recordings
    split = "paper" if grid.split in ("session", "time") else grid.split
    pretrained = _notebook_02(Combination(start, "multiclass", wanted.seed, "scratch"), grid, split)
    setup = Setup(wanted.task, recipe, wanted.seed, share=wanted.share)
    rows = slug, scratch.preparation.split, grid.rows
    name = runs.run_name(*rows, wanted.protocol, setup, start)
    changed = "" if wanted.frozen == grid.recipe.frozen else wanted.frozen
    parameters = {**scratch.parameters, "protocol": wanted.protocol, "frozen": changed, "share": [wanted.share]}
    before = [pretrained, scratch] if wanted.share == 1 else [pretrained]
    brings = runs.run_name(*rows, "scratch", setup) if wanted.share < 1 else ""
    needs = tuple(dict.fromkeys(each.name for each in before))
    return [*before, NotebookRun(name, "03", scratch.preparation, parameters, needs, brings=brings)]


def missing(groups: list[list[NotebookRun]], finished: Callable[[NotebookRun], bool]) -> list[NotebookRun]:
    """What is still to be run for `groups` of `notebook_runs`: each run once, each after those it needs."""
    chosen: dict[str, NotebookRun] = {}
    for group in groups:
        if not finished(group[-1]):
            chosen |= {run.name: run for run in group if run.name not in chosen and not finished(run)}
    first: dict[str, str] = {}  # scratch run on a share -> the transfer that leaves it
    for run in chosen.values():
        if run.brings and first.setdefault(run.brings, run.name) != run.name:
            chosen[run.name] = replace(run, after=(first[run.brings],))
    return list(chosen.values())


def parts(dataset: str) -> tuple[str, ...]:
    """The parts of a union, () for any other dataset."""
    return DATASETS[dataset].parts if dataset in DATASETS else ()


def _ways(grid: Grid, protocol: str) -> Iterator[tuple[float, str]]:
    """(share, frozen) of a protocol's runs; from scratch nothing is frozen, and on a share it comes with a transfer."""
    if protocol == "scratch":
        return iter([(1.0, grid.recipe.frozen)] if 1 in grid.shares else [])
    return itertools.product(grid.shares, grid.frozen)


def _notebook_02(wanted: Combination, grid: Grid, split: str) -> NotebookRun:
    """The scratch run on the dataset of `wanted`."""
    split = cleaned.split_of(wanted.dataset, split)
    setup = Setup(wanted.task, grid.recipe, wanted.seed)
    name = runs.run_name(cleaned.slug_of(wanted.dataset), split, grid.rows, "scratch", setup)
    may_lack = grid.allow_subset, grid.allow_loss
    preparation = Preparation(wanted.dataset, grid.data_dir, split, wanted.seed, grid.rows, *may_lack)
    recipe = {name: getattr(grid.recipe, name) for name in ("epochs", "batch_size", "learning_rate", "patience")}
    parameters = {
        **asdict(preparation), "data_dir": str(grid.data_dir), "runs_dir": str(grid.runs_dir),
        "task": wanted.task, "recipe": grid.recipe_name, **recipe,
    }  # fmt: skip
    return NotebookRun(name, "02", preparation, parameters)


def _source(dataset: str) -> str:
    """The slug that transfer to `dataset` starts from; of a user's own file, its header tells the family."""
    if dataset in DATASETS:
        return DATASETS[dataset].source
    return source.FAMILY_SOURCES[raw.inspect(files.resolve(dataset)).family]


def _sensible(dataset: str) -> list[str]:
    return ["scratch", *source.sensible(dataset, _source(dataset))]
