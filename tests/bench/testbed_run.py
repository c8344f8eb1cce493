"""What the repository ships to measure with: the testbed, its capture, its model, a network trained on its flows."""

from lines import HOME, REPOSITORY

TASK = "multiclass"
EPOCHS = 15  # batch normalisation's averages have settled, and the classes can be told apart
CAPTURE = REPOSITORY / "data" / "testbed" / "session2.pcap.gz"
MODEL = REPOSITORY / "edge" / "models" / "testbed"


def trained(quick: bool = False) -> tuple:
    """The testbed's rows (Prepared) and a network trained on them (Run); trained once, then found under build/bench."""
    # here, because Keras takes half a gigabyte, and who meters needs none of it
    from tlids_helpers import experiment
    from tlids_helpers.data import prepare
    from tlids_helpers.network.recipe import Recipe
    from tlids_helpers.results.runs import Setup

    rows = prepare.prepare("testbed", HOME / "data")
    recipe = Recipe(epochs=1 if quick else EPOCHS)
    return rows, experiment.from_scratch(rows, Setup(TASK, recipe, 42, HOME / "runs", "bench"))
