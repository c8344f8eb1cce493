"""What transfer saves: time until the from-scratch validation macro-F1, from scratch, transferred plainly, cached.

    python tests/bench/bench_transfer.py [--quick]

Between two real datasets, each the other's source. All three train on the same rows with the paper's recipe. "Plainly"
runs the frozen blocks on every row in every epoch, as `trainable = False` alone would; "cached" runs them once. With
dropout off in the frozen blocks the two learn the same. The source's own training is shown apart: it is paid once.
"""

import argparse
import statistics
import time
from functools import partial

import lines
import quality

from tlids_helpers import experiments, model, prepare, recipe, training, transfer
from tlids_helpers.keras_setup import keras, set_seed

SEEDS = (42, 43, 44)
compare = partial(lines.compare, "transfer")


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="a smoke run: its figures mean nothing")
    quick = parser.parse_args().quick
    found = quality.datasets()
    if len(found) < 2:
        lines.emit(part="transfer", what="two real datasets", value=None, unit="s", note="TLIDS_SHARED has no sample")
        return
    for source, target in (found, found[::-1]):
        one_way(source, target, SEEDS[:1] if quick else SEEDS, quick)


def one_way(source: str, target: str, seeds: tuple[int, ...], quick: bool) -> None:
    """Medians over the seeds of the seconds until the goal; who never reaches it is said to."""
    chosen = recipe.named("paper", epochs=2 if quick else None)
    taken, tops, epochs, paid = {}, {}, {}, []
    for seed in seeds:
        began = time.perf_counter()
        origin = experiments.from_scratch("bench", quality.rows_of(source, seed, quick), "multiclass", chosen, seed,
                                          lines.HOME / "runs", again=True)  # fmt: skip
        paid.append(time.perf_counter() - began)
        curves = curves_of(origin, quality.rows_of(target, seed, quick), chosen, seed)
        goal = quality.best(curves["from scratch"])
        for way, curve in curves.items():
            taken.setdefault(way, []).append(quality.reached(curve, goal))
            tops.setdefault(way, []).append(quality.best(curve))
            epochs.setdefault(way, []).append(curve[-1]["seconds"] / len(curve))
    report(source, target, taken, tops, epochs, len(seeds))
    lines.emit(part="transfer", what=f"training the source once, {source}", value=statistics.median(paid), unit="s",
               note="not counted above")  # fmt: skip


def report(source: str, target: str, taken: dict, tops: dict, epochs: dict, seeds: int) -> None:
    """Time to the goal where it is reached at all, and what an epoch costs."""
    for way in list(taken)[1:]:
        there = [(ours, scratch) for ours, scratch in zip(taken[way], taken["from scratch"], strict=True) if ours]
        note = (
            f"reached on {len(there)} of {seeds} seeds; best macro-F1 {statistics.mean(tops[way]):.3f}, "
            f"from scratch {statistics.mean(tops['from scratch']):.3f}"
        )
        what = f"{source} to {target}, {way}, to the from-scratch macro-F1"
        if there:
            compare(what, "from scratch", *map(statistics.median, zip(*there, strict=True)), "s", note)
        else:
            lines.emit(part="transfer", what=what, value=None, unit="s", note=note)
    cost = {way: statistics.median(each) for way, each in epochs.items()}
    compare(f"{source} to {target}, an epoch, cached", "transferred plainly", cost["cached"],
            cost["transferred plainly"], "s", "blocks run once counted in")  # fmt: skip
    compare(f"{source} to {target}, an epoch, cached", "from scratch", cost["cached"], cost["from scratch"], "s")


def curves_of(origin, target: prepare.Prepared, chosen: recipe.Recipe, seed: int) -> dict[str, list[dict]]:
    """Way -> validation macro-F1 over seconds, preprocessing and frozen blocks counted."""
    train, validation = (prepare.load(target, role) for role in ("train", "validation"))
    n_classes = len(target.classes)
    inside = model.preprocessing(train[0]).predict(validation[0], batch_size=65536, verbose=0)
    scratch = quality.watcher(inside, validation[1])
    training.train_from_scratch(train, validation, n_classes, chosen, seed, (scratch,))
    plain = plainly(load(origin, target), train, validation, n_classes, chosen, seed)
    source = load(origin, target)
    frozen = model.chain(source.get_layer("preprocessing"), source.get_layer("backbone"), name="frozen")
    cached = quality.watcher(frozen.predict(validation[0], batch_size=16384, verbose=0), validation[1])
    done = transfer.train_transferred(source, train, validation, n_classes, chosen, seed, (cached,))
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
    training.fit(learner, *inside, chosen, (watch,))
    return watch.curve


def load(origin, target: prepare.Prepared) -> keras.Model:
    """The source's network, anew."""
    return transfer.load_source(origin.model_path, target.features, origin.result)


if __name__ == "__main__":
    main()
