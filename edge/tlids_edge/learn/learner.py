"""Learning beside the watching: keeps flows, says how far it is, adapts in a process of its own, hands over the model.

The watching program calls `see` with verdicts, `tick` once a turn and `close` at its end; nothing in here waits, and a
disk that is full or a state that is damaged stops no watching.
"""

import time
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from tlids_edge.capture.packets import address_text, mac_text
from tlids_edge.detect.card import Card
from tlids_edge.detect.detector import Detector, Verdicts
from tlids_edge.errors import InputError
from tlids_edge.flows.rows import features, services_of, sources_of
from tlids_edge.learn import adapt, codes, models, state
from tlids_edge.learn.adapting import Adaptation
from tlids_edge.learn.choose import MIN_ROWS, choose
from tlids_edge.learn.keep import SEEN, Keeper

SAVE_S, LOOK_S = 600.0, 10.0  # of the monotonic clock, between two writings and two countings
DAY_ZERO_FLOWS = 10  # alarming flows of a source in 60 s that make an incident while the home is being learned
NO_MAC = bytes(6)  # of the loopback interface


@dataclass(frozen=True)
class Plan:
    """What the command line asks for."""

    folder: Path
    given: Path  # the model that the program was given
    learn_s: float = adapt.DEFAULT_LEARN_S
    least: int = MIN_ROWS
    adapts: bool = True  # automatically when enough was learned; not when a recording is replayed
    draw: Callable[[], float] | None = None  # random ranks from 0 to 1; the system's own, which nobody can foresee


class Learner:
    """The learning of one home."""

    def __init__(self, plan: Plan, card: Card, say: Callable[[str], None]) -> None:
        """Continue with what the state's folder holds, or begin.

        Raises:
            InputError: the folder cannot be used, or another program learns there.
        """
        self._plan, self._card, self._say = plan, card, say
        self._folder = state.open_folder(plan.folder)
        self._held = ExitStack()
        self._held.enter_context(state.locked(self._folder, state.LOCK, "learns"))
        self._key = state.read_key(self._folder)
        self._source_hash, self._device_hash = (state.hasher(self._key, kind) for kind in (b"source", b"device"))
        self._adaptation: Adaptation | None = None
        self.target = Path()  # of the adapted model
        self._fault, self._rows, self._told_hour = "", 0, -1
        self._saved_at = self._looked_at = time.monotonic()
        self._full, self._looked_window = False, -1
        self._begin()

    @property
    def learning(self) -> bool:
        """Whether the home is not learned yet; the day-zero rule holds as long."""
        return not self._done

    def see(self, verdicts: Verdicts) -> None:
        """Keep some of the flows that were judged."""
        if self._done or self._full or not len(verdicts.rows):
            return
        seen, names = self._seen(verdicts)
        for source in self._keeper.see(seen):
            address, mac = names[np.flatnonzero(seen["source"] == source)[0]]
            self._say(f"learning leaves {address_text(address)} {mac_text(mac)} out for now: {adapt.WHY_LEFT_OUT}")
        self._look_whether_enough()

    def tick(self) -> Detector | None:
        """Do what is due; the adapted model when it is to take over."""
        now = time.monotonic()
        if self._adaptation is not None:
            return self._taken_over()
        if self._done or now - self._looked_at < LOOK_S:
            return None
        self._looked_at = now
        self._count()
        if now - self._saved_at >= SAVE_S:
            self.save()
        return None

    def line(self) -> str:
        """How far it is, for the status; "" when there is nothing to say."""
        if self._adaptation is not None:
            return "adapting"
        if self._done:
            return ""
        left_out = len(self._keeper.left_out)
        return (
            f"learning: {adapt.hours(self._keeper.elapsed)} of {adapt.hours(self._plan.learn_s)}, {self._rows:,} rows, "
            f"{left_out} sources left out"
        )

    def save(self) -> None:
        """Write what was learned; a full disk is reported once."""
        self._saved_at = time.monotonic()
        try:
            state.save(self._folder, self._key, self._keeper, self._extra())
            fault = ""
        except OSError as error:
            fault = f"expected to write what is learned to {self._folder}, found: {error.strerror}"
        if fault != self._fault:
            self._fault = fault
            self._say(
                f"{fault}: make room; learning continues in memory" if fault else "what is learned is written again"
            )

    def close(self) -> None:
        """Write what was learned and let go of the folder; an adaptation that is under way is begun again next time."""
        if self._adaptation is not None:
            self._adaptation.stop()
            self._adaptation = None
        if not self._done:
            self._count(may_adapt=False)
            self.save()
            self._say(self.line() + self._shortfall())
        self._held.close()

    def _begin(self) -> None:
        """Take over what was saved, if it can be used."""
        self._keeper, self._done = self._new_keeper(), False
        extra, why = state.load(self._folder, self._key, self._keeper)
        if extra is not None and self._fits(extra):
            self._done = bool(extra["adapted"])
            self._count(may_adapt=False)
            self._say(f"adapted already, to {extra['adapted']}" if self._done else f"continuing: {self.line()}")
            return
        if extra is not None:
            why = "what was learned has the features of another model"
        if why:
            self._say(f"{why}: learning starts again")
        self._keeper = self._new_keeper()

    def _new_keeper(self) -> Keeper:
        """A keeper that knows nothing."""
        return Keeper(self._plan.learn_s, self._plan.draw)

    def _fits(self, extra: dict) -> bool:
        """Whether saved rows are of the features that this model takes."""
        return (extra.get("family"), extra.get("dialect")) == (self._card.family, self._card.dialect)

    def _extra(self, adapted: str = "") -> dict:
        """What is kept beside the rows."""
        return {
            "family": self._card.family,
            "dialect": self._card.dialect,
            "least": self._plan.least,
            "adapted": adapted,
        }

    def _seen(self, verdicts: Verdicts) -> tuple[np.ndarray, list[tuple[bytes, bytes]]]:
        """Judged flows without their sources' addresses, a SEEN array; and the addresses and MACs of their sources."""
        rows, card = verdicts.rows, self._card
        names = sources_of(rows)
        seen = np.empty(len(rows), SEEN)
        seen["source"], seen["device"] = self._hashes([(src, b"" if mac == NO_MAC else mac) for src, mac in names])
        seen["service"] = services_of(rows)
        seen["time_us"], seen["alarm"], seen["proven"] = rows["last_us"], verdicts.alerts, rows["proven"] > 0
        seen["features"] = features(rows, card.family, card.dialect)
        seen["owner"], seen["used"] = codes.owners_of(rows), codes.used_services_of(rows)
        seen["network"] = codes.networks_of(rows)
        return seen, names

    def _hashes(self, names: list[tuple[bytes, bytes]]) -> tuple[list[int], list[int]]:
        """What stands for each source, and for its device; each name is hashed once."""
        sources = {name: self._source_hash(*name) for name in set(names)}
        devices = {name: self._device_hash(name) for name in {mac or src for src, mac in names}}
        return [sources[name] for name in names], [devices[mac or src] for src, mac in names]

    def _count(self, may_adapt: bool = True) -> None:
        """Count the rows that would be learned from, and begin to adapt when they are enough."""
        keeper = self._keeper
        self._rows = len(choose(keeper.rows(), keeper.proven, self._plan.least).rows)
        hour = int(keeper.elapsed * 24 // self._plan.learn_s)
        if hour > self._told_hour >= 0:
            self._say(self.line())
        self._told_hour = hour
        if may_adapt and self._plan.adapts and self._is_enough():
            self._adapt()

    def _look_whether_enough(self) -> None:
        """Once in a window, when the learning period is over: are there rows enough to end it?"""
        window = int(self._keeper.elapsed // self._keeper.window_s)
        if self._keeper.elapsed >= self._plan.learn_s and window != self._looked_window:
            self._looked_window = window
            self._count(may_adapt=False)
            self._full = self._is_enough()
            if self._full:
                self._looked_at = -LOOK_S  # the next tick begins to adapt

    def _is_enough(self) -> bool:
        """Whether the learning period is over and gave enough rows."""
        return self._keeper.elapsed >= self._plan.learn_s and self._rows >= self._plan.least

    def _shortfall(self) -> str:
        """What is missing for an adapted model, or how to make one."""
        missing = adapt.missing_words(self._keeper, self._rows, self._plan.least)
        if missing:
            return f"; {missing.partition(', so ')[2]}"
        return "; enough for `tlids-edge adapt`"

    def _adapt(self) -> None:
        """Start the adaptation beside the watching, niced."""
        self.save()
        if self._fault:
            return  # what would be adapted to is an older state
        name = time.strftime("home-%Y%m%d-%H%M%S", time.gmtime())
        self.target = self._folder / models.FOLDER / name
        adapt.clean(self.target.parent, "home-*")
        try:
            with state.locked(self._folder, state.ADAPT_LOCK, "adapts"):
                pass  # somebody may adapt by hand; a process that finds that would fail, and the rows be forgotten
            self._adaptation = Adaptation(self._plan.given, self._folder, self.target, "--quiet")
        except InputError as error:
            self._looked_at += SAVE_S  # not at every look
            self._say(f"not adapted: {error}; tried again in {SAVE_S / 60:.0f} minutes")
            return
        self._say(f"learned enough ({self._rows:,} rows): adapting the model")

    def _taken_over(self) -> Detector | None:
        """The adapted model, once the process that makes it has ended well."""
        if not self._adaptation.has_ended():
            return None
        adaptation, self._adaptation = self._adaptation, None
        try:
            promise = adaptation.outcome()
            detector = Detector(self.target)
            models.use(self._folder, self.target.name)
        except InputError as error:
            self._say(f"not adapted: {error}; learning starts again")
            self._keeper, self._rows, self._told_hour, self._full = self._new_keeper(), 0, -1, False
            self.save()
            return None
        self._done = True
        self._keeper = self._new_keeper()  # the rows have served their purpose
        self._finish()
        self._say(f"adapted to this home: {self.target.name}; {promise}")
        return detector

    def _finish(self) -> None:
        """Note that the home was learned, and forget its rows."""
        try:
            state.save(self._folder, self._key, self._keeper, self._extra(self.target.name))
        except OSError as error:
            self._say(f"expected to write that the home is learned, found: {error.strerror}")
