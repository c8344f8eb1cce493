"""`make transfer` and `make real`: as little of each as goes through every step."""

import importlib
import json
import os
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
from small_flows import rows

from tlids_helpers import notebooks
from tlids_helpers.data.catalog import DATASETS, NETFLOW_FEATURES
from tlids_helpers.results import transfer_tables as tables

REPOSITORY = Path(__file__).parents[2]
BENCH = REPOSITORY / "tests" / "bench"
CLASSES = ("Benign", "DoS", "DDoS", "Reconnaissance")
QUICK = "--xla_backend_optimization_level=0 --xla_llvm_disable_expensive_passes=true"  # compiles in half the time


@pytest.fixture
def made_up(tmp_path, monkeypatch):
    """What TLIDS_SHARED has for both, of made-up rows: 50 of each class of each network."""
    folder = tmp_path / "shared" / "data" / "netflow"
    folder.mkdir(parents=True)
    frames = []
    for number, part in enumerate(DATASETS["nf-uq-nids-v2"].parts):
        features, codes = rows(50 * len(CLASSES), seed=number)
        frame = pd.DataFrame(features.astype(np.int64), columns=NETFLOW_FEATURES)
        frame = frame.assign(CLIENT_TCP_FLAGS=0, Attack=np.take(CLASSES, codes), Dataset=DATASETS[part].title)
        frames.append(frame)
        if part == "nf-bot-iot-v2":
            frame.drop(columns="Dataset").to_csv(folder / "NF-BoT-IoT-v2.sample.csv.gz", index=False)
    pd.concat(frames).to_csv(folder / "NF-UQ-NIDS-v2.sample.csv.gz", index=False)
    monkeypatch.setenv("TLIDS_SHARED", str(tmp_path / "shared"))
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(BENCH))
    return tmp_path


def bench(name: str, *options: object) -> None:
    subprocess.run([sys.executable, str(BENCH / name), *map(str, options)], check=True, capture_output=True)


def test_a_seed_of_make_transfer_goes_from_rows_to_a_page_and_leaves_docs_alone(made_up, monkeypatch):
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(filter(None, [str(REPOSITORY), os.environ.get("PYTHONPATH")])))
    monkeypatch.setenv("XLA_FLAGS", QUICK)
    committed = [(REPOSITORY / name).read_bytes() for name in (tables.RESULTS, "docs/transfer.md")]
    transfer_all = importlib.import_module("transfer_all")
    home = made_up / "build"
    bench("transfer_rows.py", "-o", home / "rows.npz", "--each", 30)
    bench("transfer_trees.py", home / "rows.npz", "-o", home / "trees.json", "--seeds", 1)
    brief = transfer_all.length(SimpleNamespace(scale=0.0, trial=True))
    grid = transfer_all.one_seed(0, home / "rows.npz", (*brief, "--stages", "multiclass"))
    (home / "grid.json").write_text(json.dumps(transfer_all.merged([grid])))
    transfer_all.write_up(home, full=False)

    results = tables.read(home / "transfer.json")
    assert (results["rows"], results["look"], results["seeds"]) == (4 * 4 * 30, 2, [0])
    assert len(results["cells"]) == 4 * 4 * 3 and len(results["trees"]) == 2 * 4 * 4 * 4
    page = (home / "transfer.md").read_text()
    entry = tables.arm(results, tables.FOREST, "NF-ToN-IoT-v2", 1.0, "binary")
    assert 0 < entry["macro_f1"][0] <= 1
    (reached,) = tables.arm(results, "from scratch", "NF-ToN-IoT-v2", 1.0)["updates_to_scratch"]
    assert reached in (2, 4)  # two looks, two updates apart
    assert "1 of five seeds" in page and page.count("Not measured.") >= 2
    assert committed == [(REPOSITORY / name).read_bytes() for name in (tables.RESULTS, "docs/transfer.md")]


def test_make_real_lays_the_samples_out_hands_notebooks_what_they_take_and_shows_runs_beside_trees(
    made_up, monkeypatch, capsys
):
    real = importlib.import_module("real_input")
    monkeypatch.setattr(real, "TREES", 5)
    monkeypatch.setattr(real, "TRIAL", {"rows": 150, "epochs": 1})
    asked = {}
    monkeypatch.setattr(notebooks, "execute", lambda notebook, output, given: asked.update({notebook.stem: given}))
    scores = dict.fromkeys(("accuracy", "macro_f1", "f1", "mcc"), 0.5)
    found = {"dataset": "nf-bot-iot-v2", "protocol": "scratch", "split": "paper", "scores": scores, "epochs": 1,
             "source_mark": "", "mark": "v2 subset", "seconds": {"total": 7.0}}  # fmt: skip
    monkeypatch.setattr(real.runs, "collect", lambda folder: [found] if folder.parent.name == "trial" else [])
    assert real.main(["--trial"]) == 0
    raw = made_up / "build" / "real" / "trial" / "data" / "raw"
    assert sorted(path.name for path in raw.iterdir()) == ["NF-BoT-IoT-v2.csv.gz", "NF-UQ-NIDS-v2.csv.gz"]
    assert [name[:2] for name in asked] == ["01", "02", "03", "04"]
    for name, given in asked.items():
        known = notebooks.papermill.inspect_notebook(str(notebooks.NOTEBOOKS / f"{name}.ipynb"))
        assert set(given) <= set(known) or name[:2] in ("01", "04")
    _, _, *lines = [line for line in capsys.readouterr().out.splitlines() if line.startswith("| ")]
    assert lines[0] == "| 1D CNN from scratch | paper | 0.5000 | 0.5000 | 0.5000 | 0.5000 | 1 | 7 | v2 subset |"
    splits = ("paper", "grouped")
    assert [line.split(" | ")[:2] for line in lines[1:]] == [["| 5 extra trees", split] for split in splits]


def test_make_real_without_the_samples_says_where_they_are_expected(tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("TLIDS_SHARED", str(tmp_path))
    monkeypatch.syspath_prepend(str(BENCH))
    assert importlib.import_module("real_input").main(["--trial"]) == 1
    assert f"expected real flows at {tmp_path}" in capsys.readouterr().out
