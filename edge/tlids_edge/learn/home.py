"""What the watching program holds of a home: the learner while it learns, and what tells the new from the learned."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from tlids_edge.detect.card import read_fields
from tlids_edge.detect.detector import Detector
from tlids_edge.detect.judging import MANY, OUTSIDE, UNLIKE, Batch
from tlids_edge.flows.rows import features
from tlids_edge.learn import novelty, profiles, rates
from tlids_edge.learn.learner import Learner
from tlids_edge.learn.novelty import Novelty
from tlids_edge.learn.profiles import Profiles
from tlids_edge.learn.rates import Rates


@dataclass
class Home:
    """Each may be None: nothing is learned, or nothing is told of novelty."""

    learner: Learner | None = None
    novelty: Novelty | None = None
    rates: Rates | None = None
    profiles: Profiles | None = None
    tells_novelty: bool = True  # also of a model that is adapted later

    @property
    def learning(self) -> bool:
        """Whether flows are kept; while they are, an incident takes `learner.DAY_ZERO_FLOWS` alarming flows."""
        return self.learner is not None and self.learner.learning

    def see(self, batch: Batch) -> Batch:
        """Take note of judged flows; the same, with those marked that the model calls benign and that are new here.

        A flow that is new in several ways is told as UNLIKE first, then as OUTSIDE, then as MANY.
        """
        verdicts = batch.verdicts
        if self.learner is not None:
            self.learner.see(verdicts)
        if self.novelty is None and self.rates is None and self.profiles is None:
            return batch
        benign = np.flatnonzero(~verdicts.alerts)
        rows, novel = verdicts.rows[benign], np.zeros(len(verdicts.rows), np.uint8)
        if self.rates is not None:
            novel[benign[self.rates.are_many(rows)]] = MANY
        if self.profiles is not None:
            novel[benign[self.profiles.are_new(rows)]] = OUTSIDE
        if self.novelty is not None and len(benign):
            novel[benign[self.novelty.is_new(features(rows, "netflow"))]] = UNLIKE
        return batch._replace(novel=novel)

    def know(self, folder: Path, fields: dict) -> None:
        """Take over what a model's folder says of the learned home; `fields` are its card's.

        Raises:
            InputError: the card or the store of learned rows is damaged.
        """
        if self.tells_novelty:
            self.novelty = novelty.read(folder, fields.get("novelty"))
            self.rates = rates.read(fields.get("rates"))
            self.profiles = profiles.read(fields.get("profiles"))

    def tick(self) -> Detector | None:
        """Do what is due; the adapted model when it is to take over, with its own novelty."""
        adapted = self.learner.tick() if self.learner is not None else None
        if adapted is not None:
            self.know(self.learner.target, read_fields(self.learner.target))
        return adapted

    def line(self) -> str:
        """How far the learning is, for the status; "" when there is nothing to say."""
        return self.learner.line() if self.learner is not None else ""

    def close(self) -> None:
        """Write what was learned."""
        if self.learner is not None:
            self.learner.close()
