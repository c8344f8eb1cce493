"""The paper's network in plain JAX, many models at once: for a machine with a GPU, NumPy and JAX, and nothing else.

Model i of a stack has weights of its own, rows of its own and a scale of its own. All train in one `vmap`, a stretch of
updates in one `lax.scan`. Convolutions are matrix products, which a GPU runs for many models in one call; grouped
convolutions, which `vmap` makes of them, are several times slower. `tests/test_transfer_grid.py` holds it to Keras.
"""

import time
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np

BATCH = 128
CHECK = 250  # updates between two looks at the validation rows
FILTERS, KERNELS = (32, 64, 128), (2, 1, 1)
WIDTHS = (128, 256, 512)
DROPOUT, MOMENTUM, EPSILON = 0.05, 0.99, 1e-3  # Keras's names and defaults for batch normalisation
GROUPS = ("block1", "block2", "block3", "dense", "output")  # what can be trained at a rate of its own
DECAY = 1e-4  # AdamW's


def fresh(seed: int, outputs: int, used: int) -> tuple[dict, dict]:
    """New weights and moving averages as Keras draws them: uniform +-0.05 in convolutions, Glorot in dense layers.

    `outputs` is how wide the last layer is, `used` how many of its classes the task has: the rest are masked, and the
    width of the draw is that of a layer of `used` outputs.
    """
    rng = np.random.default_rng(seed)
    weights, averages, depth = {}, {}, 1
    for block, (filters, kernel) in enumerate(zip(FILTERS, KERNELS, strict=True), start=1):
        for half in "ab":
            weights[f"block{block}/conv{half}/w"] = rng.uniform(-0.05, 0.05, (kernel * depth, filters))
            weights[f"block{block}/conv{half}/b"] = np.zeros(filters)
            depth = filters
        weights[f"block{block}/norm/scale"], weights[f"block{block}/norm/shift"] = np.ones(filters), np.zeros(filters)
        averages[f"block{block}/mean"], averages[f"block{block}/variance"] = np.zeros(filters), np.ones(filters)
    for name, into, out, width in (
        ("dense/1", WIDTHS[0], WIDTHS[1], WIDTHS[1]), ("dense/2", WIDTHS[1], WIDTHS[2], WIDTHS[2]),
        ("output/0", WIDTHS[2], outputs, used),
    ):  # fmt: skip
        limit = np.sqrt(6 / (into + width))
        weights[f"{name}/w"], weights[f"{name}/b"] = rng.uniform(-limit, limit, (into, out)), np.zeros(out)
    as32 = partial(jax.tree.map, lambda value: np.asarray(value, np.float32))
    return as32(weights), as32(averages)


def blocks(weights: dict, averages: dict, x, keep=None, momentum=MOMENTUM):
    """The three convolution blocks: (n, 9) -> (n, 128), and the new moving averages.

    Training where `keep` is given: 384 booleans a row, which values dropout keeps; the batch's own mean and variance.
    """
    h, moved, used = x[:, :, None], dict(averages), 0
    for block, kernel in enumerate(KERNELS, start=1):
        name = f"block{block}"
        for half in "ab":
            if kernel == 2:
                h = jnp.concatenate([h, jnp.pad(h[:, 1:], ((0, 0), (0, 1), (0, 0)))], axis=2)
            h = jax.nn.relu(h @ weights[f"{name}/conv{half}/w"] + weights[f"{name}/conv{half}/b"])
        mean, variance = averages[f"{name}/mean"], averages[f"{name}/variance"]
        if keep is not None:
            mean = h.mean((0, 1))
            variance = jnp.maximum((h * h).mean((0, 1)) - mean * mean, 0.0)
            for what, value in (("mean", mean), ("variance", variance)):
                moved[f"{name}/{what}"] = momentum * averages[f"{name}/{what}"] + (1 - momentum) * value
        h = (h - mean) * (weights[f"{name}/norm/scale"] * jax.lax.rsqrt(variance + EPSILON))
        h = h + weights[f"{name}/norm/shift"]
        half_length = h.shape[1] // 2
        h = (h[:, 0 : 2 * half_length : 2] + h[:, 1 : 2 * half_length : 2]) / 2
        if keep is not None:
            size = h.shape[1] * h.shape[2]
            h = jnp.where(keep[:, used : used + size].reshape(h.shape), h / (1 - DROPOUT), 0.0)
            used += size
    return h.reshape(len(x), -1), moved


def head(weights: dict, flat, allowed):
    """The dense layers: (n, 128) -> logarithms of the class probabilities; a class not in `allowed` has none."""
    for name in ("dense/1", "dense/2"):
        flat = jax.nn.relu(flat @ weights[f"{name}/w"] + weights[f"{name}/b"])
    logits = flat @ weights["output/0/w"] + weights["output/0/b"]
    return jax.nn.log_softmax(jnp.where(allowed, logits, -1e9))


def predicted(weights: dict, averages: dict, x, allowed):
    """Logarithms of the class probabilities of standardised rows `x` (n, 9)."""
    return head(weights, blocks(weights, averages, x)[0], allowed)


def _loss(weights, averages, batch, setting, frozen: bool):
    """Mean cross-entropy of a batch, labels smoothed over the allowed classes, and the moving averages."""
    x, codes, allowed, keep = batch
    if frozen:  # as in tlids_helpers: nothing in a frozen block changes or is random
        flat, moved = jax.lax.stop_gradient(blocks(weights, averages, x)[0]), averages
    else:
        flat, moved = blocks(weights, averages, x, keep, setting["momentum"])
    log_p = head(weights, flat, allowed)
    hit = (jax.nn.one_hot(codes, log_p.shape[1]) * log_p).sum(1)  # a gather's gradient is a slow scatter
    even = jnp.where(allowed, log_p, 0.0).sum(1) / allowed.sum(1)
    smooth = setting["smooth"]
    return -((1 - smooth) * hit + smooth * even).mean(), moved


def _update(model: dict, batch, setting, step, total, frozen: bool, adamw: bool) -> dict:
    """One update of one model: Adagrad as Keras has it, or AdamW on a cosine after a warm-up."""
    (_, averages), slope = jax.value_and_grad(_loss, has_aux=True)(
        model["weights"], model["averages"], batch, setting, frozen
    )
    on = jnp.where(step >= setting["since"], setting["rate"], 0.0)
    new = {"averages": averages, "weights": {}, "ema": {}, "first": {}, "second": {}}
    warm = jnp.minimum(1.0, (step + 1) / (0.05 * total)) * 0.5 * (1 + jnp.cos(jnp.pi * step / total))
    for name, value in model["weights"].items():
        rate, g = on[GROUPS.index(name.split("/")[0])], slope[name]
        if adamw:
            first = 0.9 * model["first"][name] + 0.1 * g
            second = 0.999 * model["second"][name] + 0.001 * g * g
            whole = first / (1 - 0.9 ** (step + 1)) / (jnp.sqrt(second / (1 - 0.999 ** (step + 1))) + 1e-7)
            after = value - rate * warm * (whole + DECAY * value)
            new["first"][name], new["second"][name] = first, second
        else:
            second = model["second"][name] + g * g
            after = value - rate * g * jax.lax.rsqrt(second + 1e-7)
            new["second"][name] = second
        new["weights"][name] = after
        new["ema"][name] = 0.999 * model["ema"][name] + 0.001 * after
    return new


def begin(weights: list[dict], averages: list[dict], adamw: bool) -> dict:
    """The stack of models at update 0, from one dict of weights and of moving averages each."""
    stacked = stack(weights)
    second = jax.tree.map(lambda value: jnp.full_like(value, 0.0 if adamw else 0.1), stacked)
    first = jax.tree.map(jnp.zeros_like, stacked) if adamw else {}
    return {
        "weights": stacked, "averages": stack(averages), "ema": jax.tree.map(jnp.copy, stacked),
        "first": first, "second": second,
    }  # fmt: skip


def stack(trees: list[dict]) -> dict:
    """Dicts of arrays as one dict of arrays with an axis in front."""
    return {name: jnp.asarray(np.stack([np.asarray(tree[name]) for tree in trees])) for name in trees[0]}


def part(tree: dict, index: int) -> dict:
    """Model `index` of a stack."""
    return {name: value[index] for name, value in tree.items()}


@partial(jax.jit, static_argnames=("frozen", "adamw"), donate_argnums=(0, 1))
def stretch(models, best, table, rows, setting, key, at, total, *, frozen: bool, adamw: bool):
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
        width = 1 if frozen else 3 * WIDTHS[0]
        keep = jax.random.bits(key, (count, BATCH, width), jnp.uint16) >= round(DROPOUT * 2**16)

        def one(model, pick, keep, setting):
            x, codes, allowed = taken(pick, *(setting[k] for k in ("mean", "scale", "task", "allowed")))
            return _update(model, (x, codes, allowed, keep), setting, at + number, total, frozen, adamw)

        return jax.vmap(one)(models, rows["pool"][pick], keep, setting), None

    keys = jax.random.split(drop, CHECK)
    models, _ = jax.lax.scan(step, models, (jnp.arange(CHECK), picks, keys))
    chosen = jax.tree.map(
        lambda plain, mean: jnp.where(_wide(setting["ema"], plain), mean, plain), models["weights"], models["ema"]
    )

    def look(weights, averages, index, weight, setting):
        x, codes, allowed = taken(index, *(setting[k] for k in ("mean", "scale", "task", "allowed")))
        log_p = predicted(weights, averages, x, allowed)
        loss = -(jnp.take_along_axis(log_p, codes[:, None], 1)[:, 0] * weight).sum()
        outputs = log_p.shape[1]
        true, said = (jax.nn.one_hot(v, outputs) for v in (codes, log_p.argmax(1)))
        return loss, jnp.einsum("nt,ns->ts", true, said)

    looks = [jax.vmap(look)(chosen, models["averages"], i, w, setting) for i, w in zip(*rows["seen"], strict=True)]
    losses = jnp.stack([loss for loss, _ in looks])
    kept = [_better(old, chosen, models["averages"], loss) for old, loss in zip(best, losses, strict=True)]
    return models, kept, looks[1][1], losses


def _better(old: dict, weights, averages, loss) -> dict:
    """The weights with the lower loss, model by model."""
    up = loss < old["loss"]
    pick = partial(jax.tree.map, lambda new, was: jnp.where(_wide(up, new), new, was))
    return {
        "weights": pick(weights, old["weights"]), "averages": pick(averages, old["averages"]),
        "loss": jnp.where(up, loss, old["loss"]),
    }  # fmt: skip


def _wide(flags, like):
    """`flags` (m,) with as many axes as `like` has."""
    return flags.reshape(flags.shape + (1,) * (like.ndim - 1))


def train(models: dict, data: tuple, updates: int, *, early: int = 0, limit=float("inf"), frozen=False, adamw=False):
    """Train a stack for `updates`; returns the best weights, the curve, the losses and how many updates it came to.

    `data` is `stretch`'s table, rows and setting. Best are those by the share's validation rows, those by the other
    rows, and, for sources, those by the former after `early` updates, where the time came to `limit` seconds at most.
    The curve is (checks, m, C, C), the losses (checks, 2, m), a check every CHECK updates.
    """
    table, rows, setting = data
    first = {"weights": models["weights"], "averages": models["averages"], "loss": jnp.full(len(rows["n"]), jnp.inf)}
    best = [jax.tree.map(jnp.copy, first) for _ in range(2)]
    curve, losses, at_first, began = [], [], None, time.perf_counter()
    for check in range(updates // CHECK):
        key = jax.random.fold_in(jax.random.key(updates, impl="rbg"), check)
        models, best, seen, loss = stretch(
            models, best, table, rows, setting, key, check * CHECK, float(updates), frozen=frozen, adamw=adamw
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
def probabilities(weights, averages, x, index, mean, scale, allowed):
    """Class probabilities of the rows `index` of the logarithms `x` by one model, and the likeliest class."""
    log_p = predicted(weights, averages, (x[index] - mean) / scale, allowed)
    return jnp.exp(log_p), log_p.argmax(1)
