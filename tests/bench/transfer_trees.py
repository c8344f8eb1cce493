"""Trees on the rows of the transfer grid: 100 extra trees, and one decision tree of at most 40, 200 and 900 kB.

    python tests/bench/transfer_trees.py build/transfer/rows.npz -o build/transfer/trees.json [--jobs 12] [--seeds 5]

Needs NumPy, JAX and scikit-learn; runs beside the grid. The same shares of the same rows, and because a tree needs no
validation rows, those are learned from as well: the budget of labels is the network's.
"""

import argparse
import json
import os
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

os.environ["JAX_PLATFORMS"] = "cpu"  # the GPU is the grid's

import numpy as np
import transfer_score as score
from sklearn.ensemble import ExtraTreesClassifier
from sklearn.tree import DecisionTreeClassifier
from transfer_grid import BINARY, MULTICLASS, SHARES, Rows, cells

SIZES = (40, 200, 900)  # kB
NODE = 16  # bytes a node: feature and class 2 + 2, threshold 4, two children 4 each


def main() -> None:
    """Fit and score tree after tree; the JSON is whole after each share."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("rows", type=Path)
    parser.add_argument("-o", "--output", type=Path, default=Path("build/transfer/trees.json"))
    parser.add_argument("--jobs", type=int, default=12)
    parser.add_argument("--seeds", type=int, default=5)
    wanted = parser.parse_args()
    rows, found, began = Rows(wanted.rows), [], time.perf_counter()
    wanted.output.parent.mkdir(parents=True, exist_ok=True)
    with ThreadPoolExecutor(wanted.jobs) as pool:  # scikit-learn lets go of the lock while it grows a tree
        for task in (MULTICLASS, BINARY):
            for share in SHARES:
                jobs = cells(task, (share,), ("target only",), range(wanted.seeds))
                found += [each for some in pool.map(lambda job: fitted(rows, job), jobs) for each in some]
                beside = wanted.output.with_suffix(".part")
                beside.write_text(json.dumps({"results": found}, separators=(",", ":")))
                beside.replace(wanted.output)
                print(f"trees: {score.TASKS[task]} {share:g} at {time.perf_counter() - began:.0f} s", flush=True)


def fitted(rows: Rows, job: dict) -> list[dict]:
    """The scores of every kind of tree on one share of one target."""
    chosen = np.concatenate([rows.share(job, role) for role in (0, 1)])
    test = rows.of(job["seed"], 2, [job["target"]])
    codes = rows.codes[job["task"]]
    models = {"100 extra trees": ExtraTreesClassifier(100, random_state=job["seed"])}
    for size in SIZES:
        leaves = (size * 1000 // NODE + 1) // 2  # a tree of n leaves has 2 n - 1 nodes
        models[f"decision tree, {size} kB"] = DecisionTreeClassifier(max_leaf_nodes=leaves, random_state=job["seed"])
    results = []
    for name, model in models.items():
        said = model.fit(rows.x[chosen], codes[chosen]).predict(rows.x[test])
        nodes = model.tree_.node_count if name.startswith("decision") else sum(t.tree_.node_count for t in model)
        results.append({
            "stage": "trees", "model": name, "target": rows.parts[job["target"]], "task": score.TASKS[job["task"]],
            "share": job["share"], "seed": job["seed"], "rows": len(chosen), "kilobytes": round(nodes * NODE / 1000),
            **score.rounded(score.scores(score.counted(codes[test], said, rows.n))),
        })  # fmt: skip
    return results


if __name__ == "__main__":
    main()
