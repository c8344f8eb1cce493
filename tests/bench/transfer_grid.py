"""The whole grid of transfer on one GPU: which source, what is frozen, how many rows of the target, five seeds.

    python tests/bench/transfer_grid.py build/transfer/rows.npz -o build/transfer/grid.json [--budget SECONDS]

Needs NumPy and JAX, no more; rows.npz is transfer_rows.py's. Stages in order of weight, each left in the JSON when it
is done: sources, multiclass, frozen, recipes, binary. A stage that would overrun its part of the budget stops, and one
with no time left is left out; every result says its updates. `--scale` shortens all of it, for a trial on a CPU.

A share is drawn from the target's training rows and, in equal measure, from its validation rows, which choose the best
weights: labels are what is scarce. The score under "full_validation" chooses on 3,000 rows instead. The rows of a
source are the training rows of its parts, so no test row of the target is ever among them.
"""

import argparse
import json
import time
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import transfer_net as net
import transfer_score as score

from tlids_helpers.network.pure import Weights, fresh

SHARES = (0.01, 0.05, 0.1, 1.0)
SEEN = 3000  # validation rows of a look
LEAST = 64  # rows of the smallest share
SOURCE_UPDATES, EARLY, UPDATES = 40_000, 10_000, 20_000
TIME = {"sources": 0.27, "multiclass": 0.3, "binary": 0.2, "recipes": 0.12, "AdamW": 0.1}  # of the budget at most
FROZEN = 0.4  # of that, because two thirds of an update are spared
SOURCES = ("plain", "shared", "balanced", "heads")
SHORT = {0.01: 5_000, 0.05: 10_000}  # updates of the recipes, by share
MULTICLASS, BINARY, HEADS = range(3)
FREE = ("scratch", "paper", "leave_target_out")
RECIPES = {
    "scratch": {}, "all free": {}, "source a quarter as long": {"source": "early"},
    "source on shared classes": {"source": "shared"}, "source in balanced batches": {"source": "balanced"},
    "balanced batches": {"balanced": True}, "label smoothing": {"smooth": 0.1},
    "from the top": {"since": (1500, 1000, 500, 0, 0)}, "averaged": {"ema": True}, "scratch, averaged": {"ema": True},
    "several heads": {"source": "heads"},
    "from the top, averaged": {"since": (1500, 1000, 500, 0, 0), "ema": True},
}  # fmt: skip
ADAMW = {"scratch, AdamW": {}, "AdamW": {}, "AdamW, averaged": {"ema": True}}
"""name -> what differs from "all free"; a name that begins with "scratch" starts from nothing."""


class Rows:
    """The rows of the .npz on the device, and which of them are whose."""

    def __init__(self, path: Path) -> None:
        """Read and move them."""
        found = np.load(path)
        x = np.stack([found[f"feature{i}"].astype(np.float32) for i in range(9)], axis=1)
        self.x = np.log1p(np.maximum(x, 0))
        self.label, self.part, self.roles = found["label"].astype(np.int32), found["part"], found["roles"]
        self.classes, self.parts = found["classes"].tolist(), found["parts"].tolist()
        self.most = max(np.bincount(self.part[roles == 2]).max() for roles in self.roles)
        self.known: dict[tuple, np.ndarray] = {}
        self.n, self.benign = len(self.classes), self.classes.index("Benign")
        self.has = np.zeros((len(self.parts), self.n), bool)  # which part has which class
        self.has[self.part, self.label] = True
        codes = [self.label, (self.label != self.benign), self.part * np.int32(self.n) + self.label]
        self.codes = np.stack(codes).astype(np.int32)
        self.table = {name: jnp.asarray(value) for name, value in
                      (("x", self.x), ("codes", self.codes), ("part", self.part.astype(np.int32)))}  # fmt: skip

    def of(self, seed: int, role: int, parts) -> np.ndarray:
        """Row numbers of a role (0 train, 1 validation, 2 test) in some parts."""
        key = seed, role, *parts
        if key not in self.known:
            self.known[key] = np.flatnonzero((self.roles[seed] == role) & np.isin(self.part, list(parts)))
        return self.known[key]

    def share(self, job: dict, role: int) -> np.ndarray:
        """The rows of a target's share, drawn so that a larger share holds the smaller ones."""
        key = "mixed", job["seed"], role, job["target"]
        if key not in self.known:
            rows = self.of(job["seed"], role, [job["target"]])
            self.known[key] = np.random.default_rng(job["seed"]).permutation(rows)
        rows = self.known[key]
        return rows[: max(LEAST, int(job["share"] * len(rows)))]

    def allowed(self, parts, task: int, outputs: int) -> np.ndarray:
        """Which outputs a row of each part may have, (parts, outputs)."""
        mask = np.zeros((len(self.parts), outputs), bool)
        if task == BINARY:
            mask[:, :2] = True
        elif task == MULTICLASS:
            mask[:, : self.n] = self.has[list(parts)].any(0)
        else:
            for part in range(len(self.parts)):
                mask[part, part * self.n : (part + 1) * self.n] = self.has[part]
        return mask


class Grid:
    """What was trained so far, and how fast."""

    def __init__(self, wanted: argparse.Namespace) -> None:
        """Begin the clock."""
        self.began, self.wanted, self.rows = time.perf_counter(), wanted, Rows(wanted.rows)
        self.sources: dict[tuple, dict] = {}
        self.seeds = range(wanted.first_seed, wanted.first_seed + wanted.seeds)
        device = jax.devices()[0]
        self.found = {"device": device.device_kind, "jax": jax.__version__, "rows": len(self.rows.label),
                      "look": net.CHECK, "classes": self.rows.classes, "parts": self.rows.parts,
                      "stages": [], "results": []}  # fmt: skip

    def limit(self, stage: str, part: float) -> float:
        """Seconds that a stage may train: `part` of the budget, or what is left of it; 0 leaves the stage out."""
        left = self.wanted.budget - (time.perf_counter() - self.began) - 10  # for compiling and scoring
        if left < 10:
            self.found["stages"].append({"stage": stage, "left_out": True})
        return min(part * self.wanted.budget, left) if left >= 10 else 0

    def updates(self, wanted: int) -> int:
        """Whole checks, two at least."""
        return max(2, round(wanted * self.wanted.scale / net.CHECK)) * net.CHECK

    def note(self, stage: str, models: int, updates: int, began: float) -> None:
        """Write down what a stage took, and everything so far."""
        took = time.perf_counter() - began
        entry = {"stage": stage, "models": models, "updates": updates, "seconds": round(took, 1),
                 "rows_per_s": round(models * updates * net.BATCH / took)}  # fmt: skip
        self.found["stages"].append(entry)
        print(json.dumps({**entry, "at": round(time.perf_counter() - self.began, 1)}), flush=True)
        beside = self.wanted.output.with_suffix(".part")
        beside.write_text(json.dumps(self.found, separators=(",", ":")))
        beside.replace(self.wanted.output)


def setting_of(jobs: list[dict], scales: list[tuple], masks: list[np.ndarray]) -> dict:
    """What differs from model to model, as arrays with an axis in front."""
    plain = {"smooth": 0.0, "ema": False, "momentum": net.MOMENTUM, "rate": 0.01}
    get = {name: jnp.asarray([job.get(name, value) for job in jobs]) for name, value in plain.items()}
    rates = np.ones((len(jobs), len(net.GROUPS)), np.float32) * np.asarray(get["rate"])[:, None]
    since = [job.get("since", (0,) * len(net.GROUPS)) for job in jobs]
    means, deviations = (jnp.asarray(np.stack(values)) for values in zip(*scales, strict=True))
    return {**get, "rate": jnp.asarray(rates), "since": jnp.asarray(since), "mean": means, "scale": deviations,
            "task": jnp.asarray([job["task"] for job in jobs]), "allowed": jnp.asarray(np.stack(masks))}  # fmt: skip


def scale_of(rows: Rows, chosen: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Mean and deviation of the logarithms of some rows; a constant feature is not scaled."""
    deviation = rows.x[chosen].std(0)
    return rows.x[chosen].mean(0), np.where(deviation > 1e-6, deviation, 1).astype(np.float32)


def packed(pools: list[np.ndarray], seen: list[tuple], width: int) -> dict:
    """Row numbers of every model: pools one after the other in `width` places, looks padded with rows of no weight."""
    pool, numbers = np.zeros(width, np.int32), np.array([len(rows) for rows in pools])
    at = np.cumsum(numbers) - numbers
    most = min(SEEN, max(len(look) for both in seen for look in both))
    looks = np.zeros((2, len(pools), most), np.int32)
    weights = np.zeros((2, len(pools), most), np.float32)
    rng = np.random.default_rng(0)
    for i, (rows, both) in enumerate(zip(pools, seen, strict=True)):
        pool[at[i] : at[i] + len(rows)] = rows
        for k, look in enumerate(both):
            some = rng.permutation(look)[:SEEN]
            looks[k, i, : len(some)], weights[k, i, : len(some)] = some, 1 / len(some)
    both = tuple((jnp.asarray(a[0]), jnp.asarray(a[1])) for a in (looks, weights))
    at, numbers = (jnp.asarray(values, jnp.int32) for values in (at, numbers))
    return {"pool": jnp.asarray(pool), "at": at, "n": numbers, "seen": both}


def balanced(rows: Rows, pool: np.ndarray, seed: int, power: float = 0.5) -> np.ndarray:
    """As many rows as `pool` has, each class as often as the root of its count says."""
    labels = rows.label[pool]
    counts = np.bincount(labels, minlength=rows.n)
    weight = np.where(counts > 0, counts, 1).astype(float) ** (power - 1)
    p = weight[labels] / weight[labels].sum()
    return np.random.default_rng(seed).choice(pool, len(pool), p=p)


def train_sources(grid: Grid) -> None:
    """Every kind of source for every seed, in one stack: all four networks (plain alone), or all but one."""
    rows, began = grid.rows, time.perf_counter()
    jobs = [{"kind": kind, "seed": seed, "left_out": left, "task": HEADS if kind == "heads" else MULTICLASS}
            for kind in SOURCES for seed in grid.seeds
            for left in (None, 0, 1, 2, 3) if left is not None or kind == "plain"]  # fmt: skip
    outputs = rows.n * len(rows.parts)  # what several heads take; the others leave the rest unused
    everywhere = np.flatnonzero(rows.has.sum(0) > 1)
    pools, seen, masks, scales, start = [], [], [], [], []
    for job in jobs:
        parts = [p for p in range(len(rows.parts)) if p != job["left_out"]]
        pool, look = (rows.of(job["seed"], role, parts) for role in (0, 1))
        if job["kind"] == "shared":
            pool, look = (some[np.isin(rows.label[some], everywhere)] for some in (pool, look))
        scales.append(scale_of(rows, pool))
        pools.append(balanced(rows, pool, job["seed"]) if job["kind"] == "balanced" else pool)
        seen.append((look, look))
        masks.append(rows.allowed(parts, job["task"], outputs))
        start.append(fresh(outputs, job["seed"], int(masks[-1].any(0).sum())))
    models, updates = net.begin(start, False), grid.updates(SOURCE_UPDATES)
    data = rows.table, packed(pools, seen, sum(map(len, pools))), setting_of(jobs, scales, masks)
    early = max(net.CHECK, round(updates * EARLY / SOURCE_UPDATES / net.CHECK) * net.CHECK)
    limit = grid.limit("sources", TIME["sources"])
    (best, _, at_first), _, _, updates = net.train(models, data, updates, early=early, limit=limit)
    for i, job in enumerate(jobs):
        for kind, kept in ((job["kind"], best), *([("early", at_first)] if job["kind"] == "plain" else [])):
            model = jax.tree.map(np.asarray, net.part(kept["weights"], i))
            grid.sources[kind, job["seed"], job["left_out"]] = {"weights": model, "scale": scales[i],
                                                                "allowed": masks[i][0]}  # fmt: skip
    grid.note("sources", len(jobs), updates, began)


def begun(grid: Grid, job: dict, pool: np.ndarray, mask: np.ndarray) -> tuple[Weights, tuple]:
    """Where a target's model starts: new weights and the share's scale, or the source's and a new output layer."""
    weights = fresh(grid.rows.n, 1000 + job["seed"], int(mask[0].sum()))
    if job["arm"] == "scratch":
        return weights, scale_of(grid.rows, pool)
    left_out = job["target"] if job["arm"] == "leave_target_out" else None
    source = grid.sources[job.get("source", "plain"), job["seed"], left_out]
    params, state = source["weights"]
    return Weights({**params, "output": weights.params["output"]}, state), source["scale"]


def train_targets(grid: Grid, stage: str, jobs: list[dict], updates: int, *, frozen=False, adaptive=False) -> None:
    """Train a stack of targets' models, and score each on its target's test rows."""
    wanted = not grid.wanted.stages or stage in grid.wanted.stages
    limit = grid.limit(stage, TIME["AdamW" if adaptive else stage.split(",")[0]] * (FROZEN if frozen else 1))
    if not wanted or not limit:
        return
    rows, began = grid.rows, time.perf_counter()
    pools, seen, masks, start, scales = [], [], [], [], []
    for job in jobs:
        pool, look = rows.share(job, 0), rows.share(job, 1)
        masks.append(rows.allowed([job["target"]], job["task"], rows.n))
        weights, scale = begun(grid, job, pool, masks[-1])
        start.append(weights)
        scales.append(scale)
        pools.append(balanced(rows, pool, job["seed"]) if job.get("balanced") else pool)
        seen.append((look, rows.of(job["seed"], 1, [job["target"]])))
        there = np.flatnonzero(rows.has[job["target"]])
        job |= {"rows": len(pool), "validation_rows": min(len(look), SEEN),
                "unseen": np.setdiff1d(there, rows.label[pool])}  # fmt: skip
    width = len(jobs) * int(np.mean([len(rows.of(job["seed"], 0, [job["target"]])) for job in jobs]) + 1)
    models = net.begin(start, adaptive)
    data = rows.table, packed(pools, seen, width), setting_of(jobs, scales, masks)
    best, curve, losses, updates = net.train(
        models, data, grid.updates(updates), limit=limit, frozen=frozen, adaptive=adaptive
    )
    for i, job in enumerate(jobs):
        job["updates"] = updates
        kept = [score.of_model(grid, best[k], i, job, (*scales[i], masks[i][0])) for k in (0, 1)]
        grid.found["results"].append(score.row(rows, stage, job, frozen, kept, curve[:, i], losses[:, :, i]))
    grid.note(stage, len(jobs), updates, began)


def cells(task: int, shares, arms, seeds: range) -> list[dict]:
    """One job for every combination."""
    return [{"task": task, "share": share, "arm": arm, "target": target, "seed": seed, "recipe": "all free"}
            for share in shares for arm in arms for target in range(4) for seed in seeds]  # fmt: skip


def recipe_cells(share: float, recipes: dict, seeds: range) -> list[dict]:
    """One job for every recipe on a source without the target, multiclass."""
    arms = {name: "scratch" if name.startswith("scratch") else "leave_target_out" for name in recipes}
    rate = {"rate": 0.001} if recipes is ADAMW else {}
    return [{**job, **recipes[name], **rate, "recipe": name}
            for name, arm in arms.items() for job in cells(MULTICLASS, (share,), (arm,), seeds)]  # fmt: skip


def main() -> None:
    """Run the stages."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("rows", type=Path)
    parser.add_argument("-o", "--output", type=Path, default=Path("build/transfer/grid.json"))
    parser.add_argument("--budget", type=float, default=380.0, help="seconds for all of it (default: %(default)s)")
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--first-seed", type=int, default=0)
    parser.add_argument("--scale", type=float, default=1.0, help="of all numbers of updates")
    parser.add_argument("--check", type=int, default=net.CHECK, help="updates between two looks at validation rows")
    parser.add_argument("--stages", nargs="+", help="such as multiclass; by default all")
    parser.add_argument("--batch", type=int, default=net.BATCH, help="rows of an update")
    wanted = parser.parse_args()
    net.CHECK, net.BATCH = wanted.check, wanted.batch
    grid = Grid(wanted)
    seeds = grid.seeds
    grid.wanted.output.parent.mkdir(parents=True, exist_ok=True)
    train_sources(grid)
    score.sources(grid)
    for task, name, updates in ((MULTICLASS, "multiclass", UPDATES), (BINARY, "binary", UPDATES // 2)):
        train_targets(grid, name, cells(task, SHARES, FREE, seeds), updates)
        train_targets(grid, f"{name}, frozen", cells(task, SHARES, FREE[1:], seeds), updates, frozen=True)
        if task == MULTICLASS:
            for share, short in SHORT.items():
                train_targets(grid, "recipes", recipe_cells(share, RECIPES, seeds), short)
                train_targets(grid, "recipes", recipe_cells(share, ADAMW, seeds), short, adaptive=True)
    print(f"done in {time.perf_counter() - grid.began:.0f} s")


if __name__ == "__main__":
    main()
