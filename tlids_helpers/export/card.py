"""The model's folder for the Pi: model.tflite, model.keras, rows.npz, and card.json, which describes them.

`tlids_edge.detect.card` reads the card on the Pi and decides what its fields must be: a folder that it would refuse is
not written.
"""

import hashlib
import json
import shutil
from pathlib import Path

import numpy as np
from tlids_edge.detect.detector import Detector
from tlids_edge.flows import meter
from tlids_edge.learn import rows

from tlids_helpers.common import files
from tlids_helpers.common.errors import InputError
from tlids_helpers.data import prepare
from tlids_helpers.data.catalog import DATASETS, FEATURES
from tlids_helpers.data.prepare import Prepared
from tlids_helpers.export import convert
from tlids_helpers.export.convert import Export
from tlids_helpers.network import recipe
from tlids_helpers.network.transfer import load_source
from tlids_helpers.results import comparison, runs
from tlids_helpers.results.runs import Run
from tlids_helpers.results.threshold import Threshold

SCHEMA = 1
FOLDER = "models"  # beside the runs
CONSTANT_WINDOW = "constant-window"  # the dialect whose Init_Fwd_Win_Byts is -1 in every row


def export_run(run: Run, prepared: Prepared, false_positive_rate: float) -> tuple[Path, Threshold]:
    """Export a run as notebook 05 does by default, in float32; returns its folder and the alert threshold."""
    task = run.result["task"]
    model = load_source(run.model_path, prepared.features, run.result)
    export = convert.convert_all(model, prepared, task, ("float32",))["float32"]
    alert = convert.choose_threshold(export, prepared, task, false_positive_rate)
    return write(run, prepared, export, alert), alert


def write(
    run: Run, prepared: Prepared, export: Export, alert: Threshold, dialect: str | None = "", l7: str = ""
) -> Path:
    """Leave the folder models/<run>-<precision> beside the run's, whole or not at all, and return it.

    `dialect`: see `dialect_of`; `l7`: the nDPI that numbered L7_PROTO in your own flows, such as "ndpi 4.2". Raises
    InputError when the file disagrees with Keras, when the run is on other features than the Pi meters, and when
    the Pi would refuse the folder.
    """
    _refuse_disagreeing(export)
    _refuse_other_features(run, prepared)
    fields = describe(run, prepared, export, alert, dialect_of(prepared, dialect), l7_of(prepared, l7))
    folder = run.folder.parent / FOLDER / f"{run.folder.name}-{export.precision}"
    with files.written_whole(folder) as scratch:
        (scratch / "model.tflite").write_bytes(export.content)
        shutil.copyfile(run.model_path, scratch / "model.keras")
        task = run.result["task"]
        (scratch / rows.FILE).write_bytes(stored_rows(prepared, task, convert.benign_code(prepared, task)))
        fields["files"] = {name: _fingerprint(scratch / name) for name in ("model.tflite", "model.keras", rows.FILE)}
        (scratch / "card.json").write_text(json.dumps(fields, indent=1))
        _refuse_as_the_pi_would(scratch)
    return folder


def stored_rows(prepared: Prepared, task: str, benign: int) -> bytes:
    """The content of `rows.npz` for a model of `task`, drawn from training rows alone with the dataset's seed.

    With them the Pi adapts the model to a home without forgetting attacks; `tlids_edge.learn.rows` reads them there.
    At most 500 rows of each attack and 1,500 of the class `benign`; where many classes make the file larger than
    64 KiB, half of them, a quarter and so on; one of each at least.
    """
    features, codes = prepare.load(prepared, "train", task)
    order = np.random.default_rng(prepared.seed).permutation(len(codes))
    share = 1.0
    while True:
        chosen = []
        for code in np.unique(codes):
            limit = rows.BENIGN_ROWS if code == benign else rows.ATTACK_ROWS
            chosen.append(order[codes[order] == code][: max(1, int(limit * share))])
        kept = np.concatenate(chosen)
        content = rows.packed(features[kept], codes[kept])
        if len(content) <= rows.MAX_BYTES:
            return content
        share /= 2


def read(folder: Path) -> dict:
    """The fields of a folder's card."""
    return json.loads((folder / "card.json").read_text())


def predict_as_the_pi(folder: Path, features: np.ndarray) -> np.ndarray:
    """Class probabilities (n, C) for raw feature values (n, 9) by the Pi's own detector, batch by batch."""
    detector = Detector(folder)
    starts = range(0, len(features), detector.batch_size)
    return np.concatenate([detector.predict(features[start : start + detector.batch_size]) for start in starts])


def describe(
    run: Run, prepared: Prepared, export: Export, alert: Threshold, dialect: str | None, l7: str | None
) -> dict:
    """All fields of the card but `files`."""
    result = run.result
    return {
        "schema": SCHEMA, "name": run.folder.name, "dataset": result["dataset"], "title": result["title"],
        "task": result["task"], "protocol": result["protocol"], "source": result["source"],
        "family": result["family"], "features": result["features"], "dialect": dialect, "l7": l7,
        "classes": result["classes"], "benign": result["classes"][convert.benign_code(prepared, result["task"])],
        "threshold": alert.value, "threshold_fpr": alert.target, "threshold_basis": alert.sentence(),
        "recipe": recipe.name_of(result["parameters"]), "parameters": result["parameters"],
        "seed": result["seed"], "split": result["split"], "rows": result["rows"],
        "simulated": comparison.is_simulated(result), "mark": comparison.full_mark(result),
        "metrics": metrics(result, prepared, export, alert), "precision": export.precision,
        "versions": runs.versions((*runs.PACKAGES, "ai-edge-litert")), "trained_with": result["versions"],
    }  # fmt: skip


def metrics(result: dict, prepared: Prepared, export: Export, alert: Threshold) -> dict:
    """Scores on the test split, agreement with Keras, and what the threshold does on validation and test rows."""
    agreement = export.agreement
    return {
        "keras": result["scores"],
        "litert": agreement.scores,
        "same_class": agreement.same_class,
        "largest_difference": agreement.largest_difference,
        "validation": {"benign_rows": alert.rows, "alarms": alert.alarms, "false_positive_rate": alert.rate},
        "test": convert.rates_on_test(export, prepared, result["task"], alert.value),
    }


def dialect_of(prepared: Prepared, dialect: str | None = "") -> str | None:
    """Which build of CICFlowMeter the Pi must imitate; None for a NetFlow model.

    Two builds can be told apart by the training rows: one writes -1 for every initial window. "" takes that one
    where the rows show it, else the meter's default. Raises InputError for an unknown name or one the rows contradict.
    """
    if prepared.family != "cicflow":
        return None
    window = prepare.load(prepared, "train")[0][:, prepared.features.index("Init_Fwd_Win_Byts")]
    constant = bool(np.all(window == -1))
    dialect = dialect or (CONSTANT_WINDOW if constant else meter.DEFAULT_DIALECT)
    if dialect not in meter.DIALECTS:
        raise InputError(f"expected dialect to be one of {', '.join(meter.DIALECTS)}, found {dialect!r}: correct it")
    if (dialect == CONSTANT_WINDOW) != constant:
        found = "always -1" if constant else "not always -1"
        raise InputError(
            f"expected training rows of the dialect {dialect}, found Init_Fwd_Win_Byts {found}: leave dialect empty"
        )
    return dialect


def l7_of(prepared: Prepared, l7: str = "") -> str | None:
    """Which nDPI numbered L7_PROTO: the given one, else the catalog's; None where it is not known."""
    entry = DATASETS.get(prepared.name)
    return l7 or (entry.l7 if entry else "") or None


def _refuse_disagreeing(export: Export) -> None:
    if export.agrees:
        return
    found = f"{export.agreement.same_or_tie:.2%}" if export.agreement.finite else "values that are not numbers"
    raise InputError(
        f"expected the {export.precision} file to give the class Keras gives on at least "
        f"{convert.SAME_CLASS[export.precision]:.2%} of {export.agreement.rows:,} test rows, found {found}, so nothing "
        "is written: train longer, or choose precision=float32"
    )


def _refuse_other_features(run: Run, prepared: Prepared) -> None:
    expected = FEATURES[prepared.family]
    if tuple(run.result["features"]) != expected:
        raise InputError(
            f"expected a model on the features that the Pi meters ({', '.join(expected)}), found one on "
            f"{', '.join(run.result['features'])}: train with features=paper"
        )


def _refuse_as_the_pi_would(folder: Path) -> None:
    try:
        Detector(folder)
    except InputError as error:
        raise InputError(f"expected a model that the Pi accepts, found: {error}") from None


def _fingerprint(file: Path) -> dict:
    content = file.read_bytes()
    return {"sha256": hashlib.sha256(content).hexdigest(), "bytes": len(content)}
