"""How a network is trained, as data: the paper's recipe, and one beside it."""

from dataclasses import asdict, dataclass, fields, replace

from tlids_helpers.common.errors import InputError

OPTIMISERS = ("adagrad", "adamw")
RATE_DECAY = 1e-6  # of Adagrad's rate, per batch: Section 4.2.2
WEIGHT_DECAY = 1e-4  # of AdamW
FROZEN = ("blocks", "none")


@dataclass(frozen=True)
class Recipe:
    """Hyper-parameters, with the paper's choices (Section 4.2); `patience` is ours, the paper is silent."""

    epochs: int = 50
    batch_size: int = 128
    learning_rate: float = 0.01
    patience: int = 10  # epochs without a lower validation loss; from scratch, never fewer than 1,000 batches
    dropout: float = 0.05
    optimiser: str = "adagrad"  # its rate decays by 1e-6 a batch; "adamw": its rate falls to zero on a cosine
    warm_up: float = 0.0  # share of all batches in which the rate climbs from zero
    momentum: float = 0.99  # of batch normalisation's moving averages: Keras's default, the paper is silent
    frozen: str = "blocks"  # in transfer: the convolution blocks, as the paper, or "none"; from scratch nothing is


RECIPES = {
    "paper": Recipe(),
    "improved": Recipe(batch_size=256, learning_rate=0.002, optimiser="adamw", warm_up=0.05, momentum=0.9),
    "transfer": Recipe(frozen="none"),
}
"""name -> recipe.

"paper" is Section 4.2. "improved" is the same network with a larger batch and another optimiser: better on unbalanced
classes (docs/audit.md), and mostly as good as the paper's ever gets in less time (docs/benchmarks.md). "transfer" is
the paper's with nothing frozen: from a source without the target no way that was tried is better throughout
(docs/transfer.md).
"""


def named(name: str, **changes) -> Recipe:
    """The recipe `name` with those of `changes` that are not None.

    Raises InputError for an unknown name, and for something else to freeze.
    """
    if name not in RECIPES:
        raise InputError(f"expected recipe to be one of {', '.join(RECIPES)}, found {name!r}: correct the parameter")
    chosen = replace(RECIPES[name], **{field: value for field, value in changes.items() if value is not None})
    if chosen.frozen not in FROZEN:
        raise InputError(f"expected frozen to be one of {', '.join(FROZEN)}, found {chosen.frozen!r}: correct it")
    return chosen


def name_of(parameters: dict) -> str:
    """The name of the recipe with these parameters (a run's, more than the recipe's are overlooked); else "own"."""
    known = {field.name: parameters.get(field.name, field.default) for field in fields(Recipe)}
    return next((name for name, recipe in RECIPES.items() if asdict(recipe) == known), "own")
