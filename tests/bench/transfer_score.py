"""Scores of the transfer grid from counts alone: what scikit-learn would say, without it."""

import jax.numpy as jnp
import numpy as np
import transfer_net as net

TASKS = ("multiclass", "binary", "heads")


def scores(counts: np.ndarray) -> dict[str, float]:
    """Accuracy, macro-F1 over the classes that occur, weighted F1 and MCC of a confusion matrix (C, C)."""
    counts = np.asarray(counts, float)
    true, said, hit, total = counts.sum(1), counts.sum(0), np.diag(counts), counts.sum()
    f1 = 2 * hit / np.maximum(true + said, 1)
    spread = np.sqrt((total**2 - (said**2).sum()) * (total**2 - (true**2).sum()))
    return {
        "accuracy": hit.sum() / total, "macro_f1": f1[true + said > 0].mean(), "f1": (f1 * true).sum() / total,
        "mcc": (hit.sum() * total - (true * said).sum()) / spread if spread else 0.0,
    }  # fmt: skip


def auc(attack: np.ndarray, suspicion: np.ndarray) -> float:
    """Area under the ROC curve by ranks, ties shared (Mann and Whitney 1947)."""
    _, place, counts = np.unique(suspicion, return_inverse=True, return_counts=True)
    ranks = (np.cumsum(counts) - (counts - 1) / 2)[place]
    n = attack.sum()
    return float((ranks[attack].sum() - n * (n + 1) / 2) / (n * (len(attack) - n)))


def predict(rows, model, chosen: np.ndarray, view: tuple, likeliest: bool) -> np.ndarray:
    """Probabilities (n, C) of the rows numbered `chosen`, or the likeliest classes (n,).

    `model` is `pure.Weights`, `view` mean, scale and the allowed classes (C,).
    """
    same = np.pad(chosen, (0, rows.most - len(chosen)))  # one shape is compiled once
    found = net.probabilities(model, rows.table["x"], same, *map(jnp.asarray, view))
    return np.asarray(found[likeliest])[: len(chosen)]


def of_model(grid, kept: dict, index: int, job: dict, view: tuple) -> np.ndarray:
    """Confusion matrix (C, C) of one model of a stack on its target's test rows."""
    rows = grid.rows
    test = rows.of(job["seed"], 2, [job["target"]])
    said = predict(rows, net.part(kept["weights"], index), test, view, likeliest=True)
    return counted(rows.codes[job["task"], test], said, rows.n)


def counted(truth: np.ndarray, said: np.ndarray, n: int) -> np.ndarray:
    """Confusion matrix (n, n) of codes."""
    return np.bincount(truth * n + said, minlength=n * n).reshape(n, n)


def row(rows, stage: str, job: dict, frozen: bool, kept: list[np.ndarray], curve: np.ndarray, losses: np.ndarray):
    """One result: what was trained, how well it does, and its macro-F1 on validation rows at every look."""
    best = int(losses[:, 0].argmin())
    counts = kept[0]
    f1 = 2 * np.diag(counts) / np.maximum(counts.sum(0) + counts.sum(1), 1)
    present = np.flatnonzero(counts.sum(1))
    names = rows.classes if job["task"] == 0 else ["Benign", "Attack"]
    return {
        "stage": stage, "target": rows.parts[job["target"]], "task": TASKS[job["task"]], "protocol": job["arm"],
        "frozen": "blocks" if frozen else "none", "recipe": job["recipe"], "share": job["share"], "seed": job["seed"],
        "rows": job["rows"], "validation_rows": job["validation_rows"], "updates": job["updates"],
        "unseen": [rows.classes[code] for code in job["unseen"]], **rounded(scores(counts)),
        "full_validation": rounded(scores(kept[1])), "best_update": (best + 1) * net.CHECK,
        "per_class": {names[c]: [round(float(f1[c]), 4), int(counts[c].sum())] for c in present},
        "curve": [round(float(scores(each)["macro_f1"]), 3) for each in curve],
    }  # fmt: skip


def sources(grid) -> None:
    """What the sources are worth on a target as they are: classes where it is among them, benign or not elsewhere."""
    rows = grid.rows
    for (kind, seed, left_out), source in grid.sources.items():
        if kind == "heads":
            continue  # which of its heads is another network's?
        for target in range(len(rows.parts)) if left_out is None else (left_out,):
            test = rows.of(seed, 2, [target])
            view = (*source["scale"], source["allowed"])
            p = predict(rows, source["weights"], test, view, likeliest=False)
            found = {"stage": "zero-shot", "target": rows.parts[target], "source": kind, "seed": seed,
                     "protocol": "paper" if left_out is None else "leave_target_out"}  # fmt: skip
            attack, said = rows.label[test] != rows.benign, p.argmax(1) != rows.benign
            found["binary"] = rounded(scores(counted(attack.astype(int), said.astype(int), 2)))
            area = auc(attack, 1 - p[:, rows.benign].astype(np.float64))
            rates = {"recall": said[attack].mean(), "false_alarms": said[~attack].mean()}
            found["binary"] |= rounded({"auc": area, **rates})
            found["multiclass"] = rounded(scores(counted(rows.label[test], p[:, : rows.n].argmax(1), rows.n)))
            grid.found["results"].append(found)


def rounded(values: dict) -> dict:
    """The values to four places."""
    return {name: round(float(value), 4) for name, value in values.items()}
