"""What training costs: rows a second of several ways to run the same epochs, and time to equal quality.

    python tests/bench/bench_training.py [--quick]

Rows a second are of epochs at batch 128, without the first one, which compiles. Quality is validation macro-F1.
"""

import statistics
from functools import partial

import engines
import lines
import quality

SEEDS = (42, 43, 44)
ROUNDS = 3
GROWTH = (10_000, 100_000, 1_000_000, 10_000_000)
compare = partial(lines.compare, "training")


def main() -> None:
    """Measure and print."""
    quick = lines.is_quick(__doc__)
    speed(5_000 if quick else 60_000, 1 if quick else 3)
    on_a_gpu(quick)
    seeds = SEEDS[:1] if quick else SEEDS
    for dataset in quality.datasets():
        curves = [quality.curve_of("paper", seed, dataset, quick, plain=True) for seed in seeds]
        level(f"{dataset}, plain model.fit, tensorflow", curves)
        for backend in ("tensorflow", "jax"):
            curves = [quality.curve_of("paper", seed, dataset, quick, backend) for seed in seeds]
            level(f"{dataset}, training.fit, {backend}", curves)
            to_equal_quality(dataset, dict(zip(seeds, curves, strict=True)), quick, backend)
    for rows in GROWTH[:1] if quick else GROWTH:
        found = engines.run("jax-improved", rows, 1)
        lines.emit(growth="training", rows=rows, seconds=rows / found["rows_per_s"], peak_mb=found["peak_mb"])


def speed(rows: int, epochs: int) -> None:
    """Every way in turn, and the best of its rounds, because what else runs here only takes away."""
    rates = {name: [] for name in engines.ENGINES}
    for _ in range(ROUNDS):
        for name in engines.ENGINES:
            rates[name].append(engines.run(name, rows, epochs)["rows_per_s"])
    top = {name: max(found) for name, found in rates.items()}
    for name in list(engines.ENGINES)[1:]:
        wanted = 2.0 if name == "jax" else None
        note = "batches of 256" if name == "jax-improved" else "batches of 128"
        compare(engines.ENGINES[name], engines.ENGINES["plain"], top[name], top["plain"], "rows/s", note, wanted)


def level(what: str, curves: list[list[dict]]) -> None:
    """What the paper's recipe gets to: faster must not mean worse."""
    tops = [quality.best(curve) for curve in curves]
    note = f"mean of {', '.join(f'{top:.4f}' for top in tops)}"
    lines.emit(
        part="training", what=f"best validation macro-F1, {what}", value=statistics.mean(tops), unit="", note=note
    )


def to_equal_quality(dataset: str, papers: dict[int, list[dict]], quick: bool, backend: str) -> None:
    """Seconds until the recipe `improved` is as good as the paper's ever gets, seed by seed (seed -> its curve)."""
    taken, missed = [], 0
    for seed, paper in papers.items():
        ours, goal = quality.curve_of("improved", seed, dataset, quick, backend), quality.best(paper)
        when = quality.reached(ours, goal)
        missed += when is None
        taken += [(when, quality.reached(paper, goal))] if when is not None else []
    what = f"recipe improved to the paper's best validation macro-F1, {dataset}, {backend}"
    note = f"medians; reached on {len(papers) - missed} of {len(papers)} seeds"
    if taken:
        compare(what, "the paper's recipe", *map(statistics.median, zip(*taken, strict=True)), "s", note)
    else:
        lines.emit(part="training", what=what, value=None, unit="s", note=note)


def on_a_gpu(quick: bool) -> None:
    """The size of the paper's training set, NF-UQ-NIDS's 8.6 million rows to train on, where there is a GPU."""
    import tensorflow as tf

    if not tf.config.list_physical_devices("GPU"):
        return
    rows = 100_000 if quick else 8_636_322  # 9,595,914 less the tenth to validate on
    for name in ("plain", "tensorflow", "jax", "jax-improved"):
        found = engines.run(name, rows, 1, gpu=True)
        minutes = 50 * rows / found["rows_per_s"] / 60
        lines.emit(part="training", device="gpu", what=engines.ENGINES[name], value=found["rows_per_s"],
                   unit="rows/s", note=f"{minutes:.0f} min for 50 epochs of {rows:,} rows")  # fmt: skip


if __name__ == "__main__":
    main()
