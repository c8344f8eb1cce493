"""What the watching program holds of a home: the learner while it learns, and what tells the new from the learned."""

from dataclasses import dataclass

import numpy as np

from tlids_edge.detect.card import read_fields
from tlids_edge.detect.detector import Detector
from tlids_edge.detect.judging import Judged
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

    def see(self, judged: list[Judged]) -> list[Judged]:
        """Take note of judged flows; the same, with those marked that the model calls benign and that are new here."""
        if self.learner is not None:
            self.learner.see([one.verdict for one in judged])
        if self.novelty is None or not judged:
            return judged
        new = self.novelty.is_new(np.array([one.verdict.flow.netflow() for one in judged], np.float32))
        return [
            one._replace(novel=True) if each and not one.verdict.is_alert else one
            for one, each in zip(judged, new.tolist(), strict=True)
        ]

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
