"""What transfer saves: time until the from-scratch validation macro-F1, from scratch, transferred plainly, cached.

    python tests/bench/bench_transfer.py [--quick]

Between two real datasets, each the other's source. All three train on the same rows with the paper's recipe. "Plainly"
runs the frozen blocks on every row in every epoch, as `trainable = False` alone would; "cached" runs them once. With
dropout off in the frozen blocks the two learn the same. The source's own training is shown apart: it is paid once.
"""

import statistics
import time
from functools import partial

import lines
import quality

from tlids_helpers import experiment
from tlids_helpers.data import prepare
from tlids_helpers.network import model, recipe, training, transfer
from tlids_helpers.network.backend import keras, set_seed
from tlids_helpers.results.runs import Setup

SEEDS = (42, 43, 44)
compare = partial(lines.compare, "transfer")


def main() -> None:
    """Measure and print."""
    quick = lines.is_quick(__doc__)
    found = quality.datasets()
    if len(found) < 2:
        lines.emit(part="transfer", what="two real datasets", value=None, unit="s", note="TLIDS_SHARED has no sample")
        return
    for source, target in (found, found[::-1]):
        one_way(source, target, SEEDS[:1] if quick else SEEDS, quick)


def one_way(source: str, target: str, seeds: tuple[int, ...], quick: bool) -> None:
    """Medians over the seeds of the seconds until a goal; who never reaches it is said to."""
    chosen = recipe.named("paper", epochs=2 if quick else None)
    curves, paid = [], []
    for seed in seeds:
        began = time.perf_counter()
        setup = Setup("multiclass", chosen, seed, lines.HOME / "runs", "bench")
        origin = experiment.from_scratch(quality.rows_of(source, seed, quick), setup, again=True)
        paid.append(time.perf_counter() - began)
        curves.append(curves_of(origin, quality.rows_of(target, seed, quick), chosen, seed))
    goals = [quality.best(each["from scratch"]) for each in curves]
    figure(f"{target} from scratch, to its best macro-F1", [quality.reached(each["from scratch"], goal) for each, goal
           in zip(curves, goals, strict=True)], f"macro-F1 {statistics.mean(goals):.3f}")  # fmt: skip
    for way in ("transferred plainly", "cached"):
        best = statistics.mean(quality.best(each[way]) for each in curves)
        against_scratch(f"{source} to {target}, {way}, to the from-scratch macro-F1", way, curves, goals,
                        f"best macro-F1 {best:.3f}, from scratch {statistics.mean(goals):.3f}")  # fmt: skip
        both = [min(quality.best(each[way]), goal) for each, goal in zip(curves, goals, strict=True)]
        against_scratch(f"{source} to {target}, {way}, to the best macro-F1 that both reach", way, curves, both,
                        f"macro-F1 {statistics.mean(both):.3f}")  # fmt: skip
    cost = {way: statistics.median(each[way][-1]["seconds"] / len(each[way]) for each in curves) for way in curves[0]}
    what = f"{source} to {target}, an epoch, cached"
    note = "with the one pass through the blocks"
    compare(what, "transferred plainly", cost["cached"], cost["transferred plainly"], "s", note)
    compare(what, "from scratch", cost["cached"], cost["from scratch"], "s")
    figure(f"training the source once, {source}", paid, "not counted above")


def against_scratch(what: str, way: str, curves: list[dict], goals: list[float], note: str) -> None:
    """Time to each seed's goal, where `way` reaches it at all, beside the time from scratch."""
    pairs = [
        (quality.reached(each[way], goal), quality.reached(each["from scratch"], goal))
        for each, goal in zip(curves, goals, strict=True)
    ]
    there = [pair for pair in pairs if pair[0] is not None]
    note = f"reached on {len(there)} of {len(pairs)} seeds; {note}"
    if there:
        compare(what, "from scratch", *map(statistics.median, zip(*there, strict=True)), "s", note)
    else:
        lines.emit(part="transfer", what=what, value=None, unit="s", note=note)


def figure(what: str, seconds: list[float], note: str) -> None:
    """A median that stands alone."""
    lines.emit(part="transfer", what=what, value=statistics.median(seconds), unit="s", note=note)


def curves_of(origin, target: prepare.Prepared, chosen: recipe.Recipe, seed: int) -> dict[str, list[dict]]:
    """Way -> validation macro-F1 over seconds, preprocessing and frozen blocks counted."""
    train, validation = (prepare.load(target, role) for role in ("train", "validation"))
    n_classes = len(target.classes)
    inside = model.preprocessing(train[0]).predict(validation[0], batch_size=65536, verbose=0)
    scratch = quality.watcher(inside, validation[1])
    with quality.watched_by(scratch):
        training.train_from_scratch(train, validation, n_classes, chosen, seed)
    plain = plainly(load(origin, target), train, validation, n_classes, chosen, seed)
    source = load(origin, target)
    frozen = model.chain(source.get_layer("preprocessing"), source.get_layer("backbone"), name="frozen")
    cached = quality.watcher(frozen.predict(validation[0], batch_size=16384, verbose=0), validation[1])
    with quality.watched_by(cached):
        done = transfer.train_transferred(source, train, validation, n_classes, chosen, seed)
    once = done.seconds["total"] - cached.curve[-1]["seconds"] - cached.noting  # the blocks, run once
    curve = [{**point, "seconds": point["seconds"] + max(once, 0.0)} for point in cached.curve]
    return {"from scratch": scratch.curve, "transferred plainly": plain, "cached": curve}


def plainly(source, train, validation, n_classes: int, chosen: recipe.Recipe, seed: int) -> list[dict]:
    """The curve of the same training with the frozen blocks inside the model that is fitted."""
    set_seed(seed)
    blocks = source.get_layer("backbone")
    still = model.backbone(dropout=0.0)
    still.set_weights(blocks.get_weights())
    still.trainable = False
    first = source.get_layer("preprocessing")
    inside = [(first.predict(x, batch_size=65536, verbose=0), y) for x, y in (train, validation)]
    learner = model.chain(still, transfer.new_head(source, n_classes), name="plain")
    watch = quality.watcher(inside[1][0], validation[1])
    with quality.watched_by(watch):
        training.fit(learner, *inside, chosen)
    return watch.curve


def load(origin, target: prepare.Prepared) -> keras.Model:
    """The source's network, anew."""
    return transfer.load_source(origin.model_path, target.features, origin.result)


if __name__ == "__main__":
    main()
