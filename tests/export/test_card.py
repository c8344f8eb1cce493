"""The exported folder is whole, and its card says what the model is."""

import dataclasses
import hashlib
import json
import shutil

import numpy as np
import pandas as pd
import pytest
from small_flows import CLASSES, FLOAT32, train_rows
from tlids_edge.detect.card import read_card

from tlids_helpers.common.errors import InputError
from tlids_helpers.data import prepare
from tlids_helpers.data.catalog import CICFLOW_FEATURES
from tlids_helpers.export import card, convert, litert
from tlids_helpers.network import model, recipe
from tlids_helpers.network.recipe import Recipe


@pytest.fixture
def elsewhere(run, tmp_path):
    """The same run under a runs folder of its own."""
    shutil.copytree(run.folder, tmp_path / run.folder.name)
    return dataclasses.replace(run, folder=tmp_path / run.folder.name)


def test_the_card_names_every_file_with_its_size_and_digest(folder):
    fields = json.loads((folder / "card.json").read_text(), parse_constant=pytest.fail)
    assert sorted(file.name for file in folder.iterdir()) == ["card.json", "model.keras", "model.tflite", "rows.npz"]
    assert sorted(fields["files"]) == ["model.keras", "model.tflite", "rows.npz"]
    for name, entry in fields["files"].items():
        content = (folder / name).read_bytes()
        assert entry == {"sha256": hashlib.sha256(content).hexdigest(), "bytes": len(content)}


def test_the_card_says_what_the_model_is_and_what_its_threshold_rests_on(folder, run, prepared, exports, alert):
    fields = card.read(folder)
    assert (fields["schema"], fields["name"], fields["dataset"]) == (1, run.folder.name, "home")
    assert (fields["family"], fields["dialect"], fields["l7"]) == ("netflow", None, "ndpi 4.2")
    assert (fields["features"], fields["classes"]) == (list(prepared.features), list(CLASSES))
    assert (fields["benign"], fields["threshold"], fields["threshold_fpr"]) == ("Benign", alert.value, 0.05)
    assert (fields["simulated"], fields["mark"], fields["precision"]) == (False, "own", "float32")
    assert (fields["seed"], fields["split"], fields["recipe"]) == (42, "paper", "own")  # six epochs are not the paper's
    assert {"keras", "ai-edge-litert", "numpy", "python"} <= set(fields["versions"])
    assert fields["metrics"]["litert"] == pytest.approx(run.result["scores"], abs=0.01)
    assert fields["metrics"]["validation"]["benign_rows"] == alert.rows
    expected = convert.rates_on_test(exports["float32"], prepared, "multiclass", alert.value)
    assert fields["metrics"]["test"] == expected


def test_a_card_made_from_simulated_rows_says_so_and_the_papers_recipe_is_named(run, prepared, exports, alert):
    for changes in ({"mark": "simulated"}, {"source_mark": "simulated"}):
        marked = dataclasses.replace(run, result={**run.result, **changes})
        fields = card.describe(marked, prepared, exports["float32"], alert, None, None)
        assert fields["simulated"] is True and "simulated" in fields["mark"]
    assert recipe.name_of({**dataclasses.asdict(Recipe()), "rows": None}) == "paper"


def test_the_pi_takes_the_folder_and_gives_the_same_probabilities(folder, exports, alert, prepared):
    found = read_card(folder)
    assert (found.threshold, found.classes, found.family) == (alert.value, CLASSES, "netflow")
    features = prepare.load(prepared, "test")[0]
    on_pi = card.predict_as_the_pi(folder, features)
    np.testing.assert_allclose(on_pi, litert.predict(exports["float32"].content, features), atol=FLOAT32)


def test_a_file_that_disagrees_is_not_written_and_nothing_half_written_stays(elsewhere, prepared, exports, alert):
    worse = dataclasses.replace(exports["int8"].agreement, same_class=0.9, same_or_tie=0.96)
    nothing = dataclasses.replace(exports["int8"].agreement, finite=False)
    for agreement, found in ((worse, "found 96.00%"), (nothing, "found values that are not numbers")):
        with pytest.raises(InputError, match=rf"expected .* 97.00% .* {found}"):
            card.write(elsewhere, prepared, dataclasses.replace(exports["int8"], agreement=agreement), alert)
    assert list(elsewhere.folder.parent.iterdir()) == [elsewhere.folder]


def test_a_model_the_pi_would_refuse_leaves_the_older_folder_as_it_was(elsewhere, prepared, exports, alert):
    folder = card.write(elsewhere, prepared, exports["float32"], alert)
    before = (folder / "card.json").read_bytes()
    other = convert.convert(
        model.full_model(model.preprocessing(train_rows()[0]), model.backbone(), model.head(3)), "float32"
    )
    broken = dataclasses.replace(exports["float32"], content=other)
    with pytest.raises(InputError, match="4 classes.* found .*3"):
        card.write(elsewhere, prepared, broken, alert)
    assert (folder / "card.json").read_bytes() == before
    assert [found.name for found in folder.parent.iterdir()] == [folder.name]


def test_a_model_on_other_features_than_the_pi_meters_is_refused(run, prepared, exports, alert):
    other = {**run.result, "features": ["MIN_TTL", *run.result["features"][1:]]}
    with pytest.raises(InputError, match="L4_SRC_PORT.* found one on MIN_TTL"):
        card.write(dataclasses.replace(run, result=other), prepared, exports["float32"], alert)


def cicflow(prepared, folder, window):
    """`prepared` as if CICFlowMeter had written it, with those values as Init_Fwd_Win_Byts of the training rows."""
    table = pd.read_parquet(prepared.folder / "train.parquet").rename(
        columns=dict(zip(prepared.features, CICFLOW_FEATURES, strict=True))
    )
    table["Init_Fwd_Win_Byts"] = np.resize(window, len(table))
    folder.mkdir()
    table.to_parquet(folder / "train.parquet", index=False)
    return dataclasses.replace(prepared, family="cicflow", features=CICFLOW_FEATURES, folder=folder)


def test_the_dialect_is_what_the_training_rows_show_and_none_for_netflow(prepared, tmp_path):
    assert card.dialect_of(prepared) is None
    constant = cicflow(prepared, tmp_path / "a", [-1.0])
    varying = cicflow(prepared, tmp_path / "b", [-1.0, 8192.0])
    assert card.dialect_of(constant) == "constant-window"
    assert card.dialect_of(varying) == "cse-cic-ids2018"
    assert card.dialect_of(varying, "cicflowmeter-2020") == "cicflowmeter-2020"
    for rows_of, dialect, found in (
        (constant, "cse-cic-ids2018", "always -1"),
        (varying, "constant-window", "not always -1"),
        (varying, "unheard-of", "'unheard-of'"),
    ):
        with pytest.raises(InputError, match=f"dialect.* found .*{found}"):
            card.dialect_of(rows_of, dialect)
