"""The run whose model goes to the Pi: found under `runs_dir`, or trained now exactly as notebook 02 or 03 would."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from tlids_helpers import experiment
from tlids_helpers.common.errors import InputError
from tlids_helpers.data.prepare import Prepared
from tlids_helpers.network.recipe import Recipe
from tlids_helpers.results import runs
from tlids_helpers.results.runs import Run

TRAINED = ("scratch", *experiment.PROTOCOLS)


@dataclass(frozen=True)
class Choice:
    """What is asked for; `source` are the rows of the transfer source, None for a network trained from scratch."""

    prepared: Prepared
    task: str
    trained: str  # "scratch", "paper" or "leave_target_out"
    recipe: Recipe
    seed: int
    source: Prepared | None = None

    @property
    def source_name(self) -> str:
        """The name of the source's run; "" from scratch."""
        if self.source is None:
            return ""
        return runs.run_name(self.source, "multiclass", "scratch", self.recipe, self.seed)

    @property
    def name(self) -> str:
        """The name of the run."""
        return runs.run_name(self.prepared, self.task, self.trained, self.recipe, self.seed, self.source_name)


def choose(
    prepared: Prepared,
    task: str,
    trained: str,
    recipe: Recipe,
    seed: int,
    source: str,
    data_dir: str | Path,
    allow_subset: bool,
    progress: Callable[[int], object] | None = None,
) -> Choice:
    """Prepare what the run needs; `source` is a slug, or "" for the catalog's (Section 4.3). `progress` counts rows.

    Raises InputError for an unknown way of training, and as `experiment.source_of` and `prepare_source` do.
    """
    if trained not in TRAINED:
        raise InputError(f"expected trained to be one of {', '.join(TRAINED)}, found {trained!r}: correct it")
    if trained == "scratch":
        return Choice(prepared, task, trained, recipe, seed)
    slug = experiment.source_of(prepared, source)
    rows = experiment.prepare_source(prepared, slug, trained, data_dir, allow_subset, progress)
    return Choice(prepared, task, trained, recipe, seed, rows)


def sentence(choice: Choice, runs_dir: str | Path) -> str:
    """Whether the model is there; if not, that it is trained now, and how long that takes at most."""
    if runs.find(runs_dir, choice.name):
        return f"the model is there ({choice.name})"
    wanted = [choice.prepared]
    if choice.source and not runs.find(runs_dir, choice.source_name):
        wanted.insert(0, choice.source)
    rows, epochs = sum(prepared.size("train") for prepared in wanted), choice.recipe.epochs
    minutes = max(1, round(rows * epochs / experiment.ROWS_PER_SECOND / 60))
    what = "the model and its source are" if len(wanted) > 1 else "the model is"
    return (
        f"{what} missing under runs_dir, so training comes first, on {rows:,} rows for at most {epochs} epochs: "
        f"up to {minutes:,} min on two cores"
    )


def obtain(choice: Choice, notebook: str, runs_dir: str | Path, callbacks: tuple = ()) -> Run:
    """The finished run, trained now if it is not there; its source too."""
    if done := runs.find(runs_dir, choice.name):
        return done
    settings = (choice.recipe, choice.seed, runs_dir, callbacks)
    if choice.source is None:
        return experiment.from_scratch(notebook, choice.prepared, choice.task, *settings)
    source = experiment.from_scratch(notebook, choice.source, "multiclass", *settings)
    return experiment.transferred(notebook, choice.prepared, source, choice.trained, choice.task, *settings)
