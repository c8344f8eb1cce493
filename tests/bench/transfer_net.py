"""Many models of the paper's network in one `vmap`, each with rows and a scale of its own: for `transfer_grid.py`.

The network and the optimisers are those of `tlids_helpers.network` (pure.py, stretch.py), which need NumPy and JAX and
nothing else. Here are batches drawn with replacement on the device, classes that a model may not say, rates by layer,
smoothed labels, and two sets of validation rows. A stretch of updates is one `lax.scan`.
"""

import sys
import time
from functools import partial
from pathlib import Path

sys.path[:0] = [str(Path(__file__).resolve().parents[2] / folder) for folder in ("", "edge")]

import jax  # noqa: E402
import jax.numpy as jnp  # noqa: E402
import numpy as np  # noqa: E402

from tlids_helpers.network import pure  # noqa: E402
from tlids_helpers.network.pure import BLOCKS, HEAD, LAYERS, POOLED, Training, Weights  # noqa: E402
from tlids_helpers.network.stretch import adagrad, adamw, first_slots  # noqa: E402

BATCH = 128
CHECK = 250  # updates between two looks at the validation rows
DROPOUT, MOMENTUM = 0.05, 0.99  # of the paper, and Keras's default
AS_IT_IS = Training((), 0.0, 1.0)  # nothing learns
GROUPS = (*BLOCKS, HEAD[:2], HEAD[2:])
"""Layers that can be trained at a rate of their own."""
KEPT = sum(positions * filters for positions, filters in POOLED)  # values of a row that dropout keeps or not


def masks(keep) -> tuple:
    """`pure.masks` from booleans (n, KEPT)."""
    ends = np.cumsum([positions * filters for positions, filters in POOLED])[:-1]
    return tuple(each.reshape(len(keep), *shape) for each, shape in zip(jnp.split(keep, ends, 1), POOLED, strict=True))


def predicted(weights: Weights, x, allowed, how: Training = AS_IT_IS, kept: tuple | None = None):
    """Logarithms of the class probabilities of standardised rows `x` (n, 9), and the new moving averages.

    A class that is not `allowed` has no probability.
    """
    found, averages = pure.logits(weights, x, how, kept)
    return jax.nn.log_softmax(jnp.where(allowed, found, -1e9)), averages


def _loss(params, state, batch, setting, frozen: bool):
    """Mean cross-entropy of a batch, labels smoothed over the allowed classes, and the moving averages."""
    x, codes, allowed, keep = batch
    if frozen:  # as in tlids_helpers: nothing in a frozen block changes or is random
        params = {name: params[name] if name in HEAD else jax.lax.stop_gradient(params[name]) for name in params}
        log_p, moved = predicted(Weights(params, state), x, allowed)
    else:
        how = Training(LAYERS, DROPOUT, setting["momentum"])
        log_p, moved = predicted(Weights(params, state), x, allowed, how, masks(keep))
    hit = (jax.nn.one_hot(codes, log_p.shape[1]) * log_p).sum(1)  # a gather's gradient is a slow scatter
    even = jnp.where(allowed, log_p, 0.0).sum(1) / allowed.sum(1)
    smooth = setting["smooth"]
    return -((1 - smooth) * hit + smooth * even).mean(), moved


def _update(model: dict, batch, setting, step, total, frozen: bool, adaptive: bool) -> dict:
    """One update of one model: Adagrad, or AdamW (`adaptive`) on a cosine after a warm-up."""
    params, state = model["weights"]
    (_, state), slope = jax.value_and_grad(_loss, has_aux=True)(params, state, batch, setting, frozen)
    on = jnp.where(step >= setting["since"], setting["rate"], 0.0)
    if adaptive:
        on = on * jnp.minimum(1.0, (step + 1) / (0.05 * total)) * 0.5 * (1 + jnp.cos(jnp.pi * step / total))
    rates = {layer: on[number] for number, group in enumerate(GROUPS) for layer in group}
    stepped = partial(adamw, step=step + 1) if adaptive else adagrad
    params, slots = stepped(params, model["slots"], slope, rates)
    ema = jax.tree.map(lambda old, new: 0.999 * old + 0.001 * new, model["ema"], params)
    return {"weights": Weights(params, state), "ema": ema, "slots": slots}


def begin(weights: list[Weights], adaptive: bool) -> dict:
    """The stack of models at update 0."""
    stacked = stack(weights)
    slots = first_slots("adamw" if adaptive else "adagrad", jax.tree.map(np.asarray, stacked.params))
    ema = jax.tree.map(jnp.copy, stacked.params)
    return {"weights": stacked, "ema": ema, "slots": jax.tree.map(jnp.asarray, slots)}


def stack(trees: list[Weights]) -> Weights:
    """Models as one with an axis in front."""
    return jax.tree.map(lambda *each: jnp.asarray(np.stack(each)), *trees)


def part(stacked: Weights, index: int) -> Weights:
    """Model `index` of a stack."""
    return jax.tree.map(lambda value: value[index], stacked)


@partial(jax.jit, static_argnames=("frozen", "adaptive"), donate_argnums=(0, 1))
def stretch(models, best, table, rows, setting, key, at, total, *, frozen: bool, adaptive: bool):
    """CHECK updates of all models, then a look at both validation sets; the best weights so far are kept.

    `table`: x (n, 9), codes (tasks, n), part (n,). `rows`: all pools one after the other, where each begins (m,) and
    how long it is (m,), and what is looked at, row numbers and their weights, each (m, v) twice: the share's own
    validation rows, and those that the curve is measured on. Returns models, best, a confusion matrix (m, C, C) of the
    latter, and both losses (2, m).
    """
    count = len(rows["n"])
    draw, drop = jax.random.split(key)
    picks = rows["at"][:, None] + jax.random.randint(draw, (CHECK, count, BATCH), 0, rows["n"][None, :, None])

    def taken(index, mean, scale, task, allowed):
        return (table["x"][index] - mean) / scale, table["codes"][task, index], allowed[table["part"][index]]

    def step(models, inputs):
        number, pick, key = inputs
        width = 1 if frozen else KEPT
        keep = jax.random.bits(key, (count, BATCH, width), jnp.uint16) >= round(DROPOUT * 2**16)

        def one(model, pick, keep, setting):
            x, codes, allowed = taken(pick, *(setting[k] for k in ("mean", "scale", "task", "allowed")))
            return _update(model, (x, codes, allowed, keep), setting, at + number, total, frozen, adaptive)

        return jax.vmap(one)(models, rows["pool"][pick], keep, setting), None

    keys = jax.random.split(drop, CHECK)
    models, _ = jax.lax.scan(step, models, (jnp.arange(CHECK), picks, keys))
    plain, state = models["weights"]
    picked = partial(jax.tree.map, lambda plain, mean: jnp.where(_wide(setting["ema"], plain), mean, plain))
    chosen = Weights(picked(plain, models["ema"]), state)

    def look(weights, index, weight, setting):
        x, codes, allowed = taken(index, *(setting[k] for k in ("mean", "scale", "task", "allowed")))
        log_p, _ = predicted(weights, x, allowed)
        loss = -(jnp.take_along_axis(log_p, codes[:, None], 1)[:, 0] * weight).sum()
        outputs = log_p.shape[1]
        true, said = (jax.nn.one_hot(v, outputs) for v in (codes, log_p.argmax(1)))
        return loss, jnp.einsum("nt,ns->ts", true, said)

    looks = [jax.vmap(look)(chosen, i, w, setting) for i, w in zip(*rows["seen"], strict=True)]
    losses = jnp.stack([loss for loss, _ in looks])
    kept = [_better(old, chosen, loss) for old, loss in zip(best, losses, strict=True)]
    return models, kept, looks[1][1], losses


def _better(old: dict, weights: Weights, loss) -> dict:
    """The weights with the lower loss, model by model."""
    up = loss < old["loss"]
    pick = partial(jax.tree.map, lambda new, was: jnp.where(_wide(up, new), new, was))
    return {"weights": pick(weights, old["weights"]), "loss": jnp.where(up, loss, old["loss"])}


def _wide(flags, like):
    """`flags` (m,) with as many axes as `like` has."""
    return flags.reshape(flags.shape + (1,) * (like.ndim - 1))


def train(models: dict, data: tuple, updates: int, *, early: int = 0, limit=float("inf"), frozen=False, adaptive=False):
    """Train a stack for `updates`; returns the best weights, the curve, the losses and how many updates it came to.

    `data` is `stretch`'s table, rows and setting. Best are those by the share's validation rows, those by the other
    rows, and, for sources, those by the former after `early` updates, where the time came to `limit` seconds at most.
    The curve is (checks, m, C, C), the losses (checks, 2, m), a check every CHECK updates.
    """
    table, rows, setting = data
    first = {"weights": models["weights"], "loss": jnp.full(len(rows["n"]), jnp.inf)}
    best = [jax.tree.map(jnp.copy, first) for _ in range(2)]
    curve, losses, at_first, began = [], [], None, time.perf_counter()
    for check in range(updates // CHECK):
        key = jax.random.fold_in(jax.random.key(updates, impl="rbg"), check)
        models, best, seen, loss = stretch(
            models, best, table, rows, setting, key, check * CHECK, float(updates), frozen=frozen, adaptive=adaptive
        )
        losses.append(np.asarray(loss))
        if not early:
            curve.append(np.asarray(seen, np.int32))
        elif (check + 1) * CHECK == early:
            at_first = jax.tree.map(jnp.copy, best[0])
        if time.perf_counter() - began > limit and (check + 1) * CHECK > early:
            break
    return (*best, at_first), np.asarray(curve), np.asarray(losses), len(losses) * CHECK


@jax.jit
def probabilities(weights: Weights, x, index, mean, scale, allowed):
    """Class probabilities of the rows `index` of the logarithms `x` by one model, and the likeliest class."""
    log_p, _ = predicted(weights, (x[index] - mean) / scale, allowed)
    return jnp.exp(log_p), log_p.argmax(1)
