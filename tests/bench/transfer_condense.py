"""The transfer grid's results in few numbers: docs/results/transfer.json from what a GPU left.

    python tests/bench/transfer_condense.py build/transfer/grid.json build/transfer/trees.json --date 2026-11-28

One entry for each (task, target, protocol, frozen, share) with a list of values, one a seed; trees, zero-shot and
recipes likewise. `updates_to_scratch` is the first look (every `look` updates, 250 at full length) at which validation
macro-F1 is at least that of the weights that training from scratch keeps, same rows and seed; null where it never is.
"""

import argparse
import json
from collections import defaultdict
from pathlib import Path

OUTPUT = Path("docs/results/transfer.json")
SCORES = ("accuracy", "macro_f1")
COMMANDS = (
    "python tests/bench/transfer_rows.py -o build/transfer/rows.npz",
    "python tests/bench/transfer_trees.py build/transfer/rows.npz -o build/transfer/trees.json --jobs 12",
    "python tests/bench/transfer_grid.py build/transfer/rows.npz -o build/transfer/grid.json --budget 370",
)


def main() -> None:
    """Read both files, write one."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("grid", type=Path)
    parser.add_argument("trees", type=Path)
    parser.add_argument("-o", "--output", type=Path, default=OUTPUT)
    parser.add_argument("--date", required=True, help="when it was measured")
    parser.add_argument("--frozen-check", type=Path, help="what transfer_frozen.py printed; else what is there stays")
    wanted = parser.parse_args()
    found = condensed(json.loads(wanted.grid.read_text()), json.loads(wanted.trees.read_text()), wanted.date)
    found["frozen_check"] = frozen_check(wanted)
    wanted.output.parent.mkdir(parents=True, exist_ok=True)
    beside = wanted.output.with_suffix(".part")
    beside.write_text(as_lines(found))
    beside.replace(wanted.output)


def frozen_check(wanted: argparse.Namespace) -> list[dict]:
    """The lines of transfer_frozen.py, or those of the document as it is."""
    if wanted.frozen_check:
        return [json.loads(line) for line in wanted.frozen_check.read_text().splitlines() if line.startswith("{")]
    return json.loads(wanted.output.read_text())["frozen_check"] if wanted.output.is_file() else []


def condensed(grid: dict, trees: dict, date: str) -> dict:
    """The document, from the two raw ones."""
    by_stage = defaultdict(list)
    for result in grid["results"]:
        by_stage[result["stage"].split(",")[0]].append(result)
    networks = by_stage["multiclass"] + by_stage["binary"]
    seconds = sum(stage.get("seconds", 0) for stage in grid["stages"])  # a stage left out has none
    return {
        "commands": list(COMMANDS), "machine": f"one {grid['device']}, JAX {grid['jax']}", "date": date,
        "training_seconds": round(seconds), "rows": grid["rows"], "targets": grid["parts"],
        "models": sum(stage.get("models", 0) for stage in grid["stages"]), "look": grid["look"],
        "seeds": sorted({result["seed"] for result in networks}),
        "test_rows": rows_of_the_test(networks),
        "cells": cells(networks, grid["look"], ("task", "target", "protocol", "frozen", "share")),
        "recipes": cells(by_stage["recipes"], grid["look"], ("target", "share", "recipe")),
        "trees": trees_of(trees["results"]), "zero_shot": zero_shot(by_stage["zero-shot"]),
    }  # fmt: skip


def groups(results: list[dict], names: tuple[str, ...]) -> dict[tuple, list[dict]]:
    """Results that agree on `names`, seed by seed."""
    found = defaultdict(list)
    for result in sorted(results, key=lambda result: result["seed"]):
        found[tuple(result[name] for name in names)].append(result)
    return found


def cells(results: list[dict], look: int, names: tuple[str, ...]) -> list[dict]:
    """One entry a group: scores, the update of the kept weights and the updates until the from-scratch score."""
    scratch = {id_of(result): result for result in results if result.get("recipe") in ("all free", "scratch")
               and result["protocol"] == "scratch"}  # fmt: skip
    entries = []
    for key, group in groups(results, names).items():
        entry = dict(zip(names, key, strict=True)) | {"rows": group[0]["rows"], "updates": group[0]["updates"]}
        entry |= {name: [result[name] for result in group] for name in (*SCORES, "best_update")}
        entry["macro_f1_full_validation"] = [result["full_validation"]["macro_f1"] for result in group]
        entry["updates_to_scratch"] = [reached(result, scratch[id_of(result)], look) for result in group]
        entry["unseen"] = sorted({name for result in group for name in result["unseen"]})
        entries.append(entry)
    return entries


def id_of(result: dict) -> tuple:
    """What a result has in common with the one from scratch that it is compared to."""
    return result["stage"].split(",")[0], result["task"], result["target"], result["share"], result["seed"]


def reached(result: dict, scratch: dict, look: int) -> int | None:
    """Updates until the validation macro-F1 that the kept from-scratch weights have, a look every `look`."""
    goal = scratch["curve"][scratch["best_update"] // look - 1]
    return next(((at + 1) * look for at, value in enumerate(result["curve"]) if value >= goal), None)


def rows_of_the_test(results: list[dict]) -> dict[str, dict[str, int]]:
    """Test rows of each class of each target."""
    found = {}
    for result in results:
        if result["task"] == "multiclass":
            found[result["target"]] = {name: rows for name, (_, rows) in result["per_class"].items()}
    return found


def trees_of(results: list[dict]) -> list[dict]:
    """One entry for each kind of tree on each share."""
    names = ("task", "target", "share", "model")
    return [dict(zip(names, key, strict=True)) | {name: [result[name] for result in group]
            for name in (*SCORES, "kilobytes")} for key, group in groups(results, names).items()]  # fmt: skip


def zero_shot(results: list[dict]) -> list[dict]:
    """One entry for each kind of source on each target."""
    names = ("target", "source", "protocol")
    return [dict(zip(names, key, strict=True))
            | {name: [result["binary"][name] for result in group] for name in ("auc", "mcc", "recall", "false_alarms")}
            | {"macro_f1": [result["multiclass"]["macro_f1"] for result in group]}
            for key, group in groups(results, names).items()]  # fmt: skip


def as_lines(document: dict) -> str:
    """JSON with one entry a line, so that a change shows as a change of lines."""
    parts = []
    for name, value in document.items():
        if isinstance(value, list) and value and isinstance(value[0], dict):
            inside = ",\n  ".join(json.dumps(each) for each in value)
            parts.append(f' "{name}": [\n  {inside}\n ]')
        else:
            parts.append(f' "{name}": {json.dumps(value)}')
    return "{\n" + ",\n".join(parts) + "\n}\n"


if __name__ == "__main__":
    main()
