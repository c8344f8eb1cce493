"""A learned state and a model in, an adapted model folder out: written whole, or refused with the reason."""

import contextlib
import json
import os
import shutil
import time
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import numpy as np

from tlids_edge.detect.card import CARD_FILE, MODEL_FILE, Card, card_of, read_fields, read_model
from tlids_edge.detect.detector import Detector
from tlids_edge.digests import sha256
from tlids_edge.errors import InputError
from tlids_edge.learn import choose, false_alarms, novelty, profiles, rates, recipe, rows, state
from tlids_edge.learn.graph import with_layers
from tlids_edge.learn.keep import WINDOWS, Keeper
from tlids_edge.learn.promise import CONFIDENCE
from tlids_edge.learn.screen import BURST, BURST_S

DEFAULT_LEARN_S = 86_400.0
LEAST_SHARE = 4  # a model may be adapted after a quarter of the learning period
NOT_INHERITED = ("metrics", "threshold_fpr", "novelty", "rates", "profiles", "false_alarms")  # of the parent's card
NAMED_SOURCES = 100  # left-out sources that the card lists
WHY_LEFT_OUT = f"{BURST} alarming flows within {BURST_S:.0f} s"


@dataclass(frozen=True)
class Learned:
    """What a state folder holds of a home."""

    chosen: choose.Chosen
    keeper: Keeper
    family: str
    dialect: str | None
    least: int  # rows


def read_learned(folder: Path, least: int | None = None) -> Learned:
    """Read a learned state; `least` takes the place of the number of rows that the learning was started with.

    Raises:
        InputError: there is none, it is damaged, or more must be learned first.
    """
    key = state.read_key(folder)
    header = state.peek(folder, key)
    keeper = Keeper(header["learn_s"])
    extra, why = state.load(folder, key, keeper)
    if extra is None:
        raise InputError(why, "learn again with --learn")
    least = least or extra["least"]
    chosen = choose.choose(keeper.rows(), keeper.proven, least)
    if missing := missing_words(keeper, len(chosen.rows), least):
        raise InputError(
            f"expected {hours(keeper.learn_s / LEAST_SHARE)} and {least:,} rows learned at least, found {missing}",
            "continue to learn",
        )
    return Learned(chosen, keeper, extra["family"], extra["dialect"], least)


def missing_words(keeper: Keeper, count: int, least: int) -> str:
    """What was learned, and what is missing for an adapted model; "" when it is enough."""
    short_s = keeper.learn_s / LEAST_SHARE - keeper.elapsed
    if count >= least and short_s <= 0:
        return ""
    missing = [f"{least - count:,} rows"] if count < least else []
    missing += [hours(short_s)] if short_s > 0 else []
    return f"{hours(keeper.elapsed)} and {count:,} rows, so {' and '.join(missing)} are missing"


def hours(seconds: float) -> str:
    """A time in hours, in minutes below one."""
    return f"{seconds / 3600:.3g} h" if seconds >= 3600 else f"{max(seconds, 0) / 60:.3g} min"


def adapt_folder(model: Path, folder: Path, target: Path, least: int | None = None, seed: int = 0) -> str:
    """Adapt the model in `model` to what the state in `folder` holds, leave it at `target`; what was promised.

    Raises:
        InputError: something cannot be read or written, too little was learned, or the new head is not acceptable.
    """
    with state.locked(folder, state.ADAPT_LOCK, "adapts"):
        if os.path.lexists(target):
            raise InputError(f"expected a new folder for the model, found {target}", "give another one with -o")
        fields = read_fields(model)
        card = card_of(fields)
        stored = rows.read(model, card)
        learned = read_learned(folder, least)
        if (learned.family, learned.dialect) != (card.family, card.dialect):
            raise InputError(
                f"expected rows of {card.family} features, found {learned.family} in {folder}", "learn with this model"
            )
        benign = card.classes.index(card.benign)
        known = false_alarms.read(model, fields.get("false_alarms"))
        parent = recipe.Parent(read_model(model, card), benign, card.threshold, card.family, known)
        site, seconds = (learned.chosen.rows[name] for name in ("features", "time"))
        made = recipe.adapt(parent, site, stored, seed, times_us=seconds.astype(np.int64) * 1_000_000)
        if fault := recipe.refusal(made):
            raise InputError(fault, "the model in use stays")
        content = with_layers(parent.content, made.head, made.layers)
        with written_folder(target) as scratch:
            (scratch / MODEL_FILE).write_bytes(content)
            shutil.copyfile(model / rows.FILE, scratch / rows.FILE)
            new = _card(fields, card, learned, made, seed)
            new["novelty"] = novelty.write(novelty.fit(site, seed), scratch) if card.family == "netflow" else None
            new["rates"] = rates.card_of(learned.keeper.rates)
            new["profiles"] = profiles.card_of(learned.keeper.profiles)
            new["false_alarms"] = false_alarms.write(made.false_alarms, scratch)
            new["files"] = {MODEL_FILE: _entry(content), rows.FILE: fields["files"][rows.FILE]}
            (scratch / CARD_FILE).write_text(json.dumps(new, indent=1))
            Detector(scratch)  # what the program would refuse is not left there
    return promise_words(new["adapted"]["promise"])


def promise_words(promise: dict) -> str:
    """The promise of a card as a sentence."""
    return (
        f"{promise['alarms']:d} of {promise['flows']:d} later flows of this home alarmed; "
        f"at most {promise['bound']:.2%} will, with {promise['confidence']:.0%} confidence"
    )


@contextlib.contextmanager
def written_folder(target: Path) -> Iterator[Path]:
    """A folder beside `target` that is flushed to the disk and takes its name when the block ends well.

    Raises:
        InputError: it cannot be written.
    """
    scratch = target.with_name(f".{target.name}.{os.getpid()}.part")
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        clean(target.parent, target.name)
        scratch.mkdir(mode=0o755)
        yield scratch
        for path in scratch.iterdir():
            with open(path, "rb") as stream:
                os.fsync(stream.fileno())
        state.flush_folder(scratch)
        os.rename(scratch, target)
        state.flush_folder(target.parent)
    except OSError as error:
        raise InputError(
            f"expected to write {target}, found: {error.strerror}", "make room, or give another folder with -o"
        ) from error
    finally:
        shutil.rmtree(scratch, ignore_errors=True)


def clean(folder: Path, names: str) -> None:
    """Remove from a folder what killed writers of models have left; `names` is a model's name, or a pattern."""
    for path in folder.glob(f".{names}.*.part"):
        owner = path.name.split(".")[-2]
        if owner.isdecimal() and not Path("/proc", owner).exists():
            shutil.rmtree(path, ignore_errors=True)


def _entry(content: bytes) -> dict:
    """A file as the card describes it."""
    return {"sha256": sha256(content).hexdigest(), "bytes": len(content)}


def _card(fields: dict, card: Card, learned: Learned, made: recipe.Adapted, seed: int) -> dict:
    """The adapted model's card: its parent's, with what was learned; the parent's scores are no longer its own."""
    now = time.time()
    keeper, promise = learned.keeper, made.promise
    adapted = {
        "date": datetime.fromtimestamp(now, UTC).isoformat(timespec="seconds"),
        "parent": {"name": card.name, "sha256": card.sha256, "threshold": card.threshold},
        "hours": round(keeper.elapsed / 3600, 2), "rows": len(learned.chosen.rows), "devices": learned.chosen.devices,
        "rows_a_device": learned.chosen.limit, "left_out": sum(keeper.left_out.values()),
        "known_attacks": made.known_attacks,
        "sources_left_out": [
            {"source": f"{source:016x}", "rows": count, "why": WHY_LEFT_OUT}
            for source, count in keeper.left_out.most_common(NAMED_SOURCES)
        ],
        "promise": {"alarms": promise.alarms, "flows": promise.flows, "bound": promise.bound,
                    "confidence": CONFIDENCE, "parent_alarms": promise.parent_alarms},
        "recall": made.recall, "parent_recall": made.parent_recall, "distance": made.distance, "seed": seed,
        "windows": WINDOWS,
    }  # fmt: skip
    left = {name: value for name, value in fields.items() if name not in NOT_INHERITED}
    origin = fields["adapted"]["shipped"] if isinstance(fields.get("adapted"), dict) else card.sha256
    adapted["shipped"] = origin
    return left | {
        "name": f"{card.name.split('+')[0]}+home-{datetime.fromtimestamp(now, UTC):%Y%m%d-%H%M%S}",
        "threshold": recipe.THRESHOLD, "threshold_basis": promise_words(adapted["promise"]), "adapted": adapted,
    }  # fmt: skip
