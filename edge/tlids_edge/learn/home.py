"""What the watching program holds of a home: the learner while it learns, and what tells the new from the learned."""

from dataclasses import dataclass

import numpy as np

from tlids_edge.detect.card import read_fields
from tlids_edge.detect.detector import Detector
from tlids_edge.detect.judging import Batch
from tlids_edge.flows.rows import features
from tlids_edge.learn import novelty
from tlids_edge.learn.learner import Learner
from tlids_edge.learn.novelty import Novelty


@dataclass
class Home:
    """Both may be None: nothing is learned, or nothing is told of novelty."""

    learner: Learner | None = None
    novelty: Novelty | None = None
    tells_novelty: bool = True  # also of a model that is adapted later

    @property
    def learning(self) -> bool:
        """Whether flows are kept; while they are, an incident takes `learner.DAY_ZERO_FLOWS` alarming flows."""
        return self.learner is not None and self.learner.learning

    def see(self, batch: Batch) -> Batch:
        """Take note of judged flows; the same, with those marked that the model calls benign and that are new here."""
        verdicts = batch.verdicts
        if self.learner is not None:
            self.learner.see(verdicts)
        benign = np.flatnonzero(~verdicts.alerts)
        if self.novelty is None or not len(benign):
            return batch
        novel = np.zeros(len(verdicts.rows), bool)
        novel[benign] = self.novelty.is_new(features(verdicts.rows[benign], "netflow"))
        return batch._replace(novel=novel)

    def tick(self) -> Detector | None:
        """Do what is due; the adapted model when it is to take over, with its own novelty."""
        adapted = self.learner.tick() if self.learner is not None else None
        if adapted is not None and self.tells_novelty:
            folder = self.learner.target
            self.novelty = novelty.read(folder, read_fields(folder).get("novelty"))
        return adapted

    def line(self) -> str:
        """How far the learning is, for the status; "" when there is nothing to say."""
        return self.learner.line() if self.learner is not None else ""

    def close(self) -> None:
        """Write what was learned."""
        if self.learner is not None:
            self.learner.close()
