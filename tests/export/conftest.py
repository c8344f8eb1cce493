"""One trained network for all tests of the export, and what is made of it."""

import pytest
from small_flows import write_csv

from tlids_helpers import experiment
from tlids_helpers.data import prepare
from tlids_helpers.experiment import Setup
from tlids_helpers.export import card, convert
from tlids_helpers.network import transfer
from tlids_helpers.network.recipe import Recipe

RECIPE = Recipe(epochs=6, batch_size=16, learning_rate=0.05)


@pytest.fixture(scope="session")
def prepared(tmp_path_factory):
    folder = tmp_path_factory.mktemp("own")
    return prepare.prepare(str(write_csv(folder / "home.csv", 2000)), folder / "data")


@pytest.fixture(scope="session")
def run(prepared, tmp_path_factory):
    """A run long enough for its network to tell the classes apart."""
    return experiment.from_scratch(prepared, Setup(recipe=RECIPE, runs_dir=tmp_path_factory.mktemp("runs")))


@pytest.fixture(scope="session")
def network(run, prepared):
    return transfer.load_source(run.model_path, prepared.features, run.result)


@pytest.fixture(scope="session")
def exports(network, prepared):
    return convert.convert_all(network, prepared, "multiclass")


@pytest.fixture(scope="session")
def alert(exports, prepared):
    return convert.choose_threshold(exports["float32"], prepared, "multiclass", 0.05)


@pytest.fixture(scope="session")
def folder(run, prepared, exports, alert):
    return card.write(run, prepared, exports["float32"], alert, l7="ndpi 4.2")
