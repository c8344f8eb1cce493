"""Results as runs of notebooks 02 and 03 leave them, made by hand."""

import json
import os
from pathlib import Path

from tlids_helpers.data.catalog import DATASETS

CLASSES = ["Benign", "Attack"]


def run(dataset="nf-ton-iot", task="multiclass", protocol="paper", seed=42, accuracy=0.7, mark="", **other):
    """A result; every score differs from the others, F1 is 0.1 below the accuracy."""
    found, transfer = DATASETS[dataset], protocol != "scratch"
    scores = {"accuracy": accuracy, "precision": accuracy - 0.01, "recall": accuracy - 0.02, "f1": accuracy - 0.1,
              "macro_f1": accuracy - 0.15, "mcc": accuracy - 0.2}  # fmt: skip
    return {
        "schema": 1, "run": f"{dataset}-{task}-{protocol}-s{seed}", "notebook": "03_transfer", "dataset": dataset,
        "title": found.title, "family": found.family, "version": found.version, "paper_slug": found.paper_slug,
        "task": task, "protocol": protocol, "split": "paper", "seed": seed, "mark": mark,
        "source": found.source if transfer else "", "source_mark": mark if transfer else "", "source_run": "",
        "rows": {"train": 70, "validation": 10, "test": 20}, "classes": CLASSES, "scores": scores,
        "per_class": {name: {"precision": 0.5, "recall": 0.25, "f1": 0.3, "support": 10} for name in CLASSES},
        "confusion": [[7, 3], [4, 6]], "epochs": 10, "best_epoch": 2,
        "history": {"loss": [2.0, 1.0], "accuracy": [0.5, 0.6]}, "seconds": {"total": 20.0, "per_epoch": 2.0},
        "parameters": {"epochs": 50, "batch_size": 128, "seed": seed}, "versions": {"python": "3.11.7", "keras": "3.1"},
    } | other  # fmt: skip


def leave(runs_dir: Path, *results: dict) -> Path:
    """The results under `runs_dir` as runs leave them, the first the oldest."""
    for age, result in enumerate(results):
        folder = runs_dir / f"run{age}"
        folder.mkdir(parents=True)
        (folder / "result.json").write_text(json.dumps(result))
        os.utime(folder / "result.json", (1_700_000_000 + age,) * 2)
    return runs_dir
