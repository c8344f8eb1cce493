"""Feature rows -> LiteRT -> verdicts.

Flows are judged in batches: a batch closes when it is full or when its oldest flow has waited 200 ms. The
interpreter runs on one thread. Its input has one of three fixed sizes and short batches are padded, because
per flow the paper's CNN costs 33 us alone and 18 to 20 us in batches of 8 to 256 (two-core x86-64), and a
resize costs 70 us.

A model that was adapted to a home may have a list of known false alarms (`learn.false_alarms`). An alarm that is
withdrawn keeps its probabilities and its score; its label is benign.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
from ai_edge_litert.interpreter import Interpreter

from tlids_edge.detect.card import MODEL_FILE, card_of, read_fields, read_model
from tlids_edge.errors import InputError
from tlids_edge.flows.meter import Flow
from tlids_edge.flows.rows import features
from tlids_edge.learn import false_alarms

SMALL_SIZES = (8, 64)
BATCH = 256
MAX_DELAY_MS = 200
_AGAIN = "export the model again with notebook 05"


class Verdict(NamedTuple):
    """What the model says of one flow."""

    flow: Flow
    probabilities: np.ndarray  # one for each class of the card
    label: str  # for an alert the most probable attack, else the benign class
    is_alert: bool
    score: float  # 1 - P(benign)


class Verdicts(NamedTuple):
    """What the model says of n flows."""

    rows: np.ndarray  # of the flows: ROW [n]
    probabilities: np.ndarray  # float32 [n, classes]
    labels: list[str]
    alerts: np.ndarray  # bool [n]
    scores: np.ndarray  # float64 [n]


class Detector:
    """A checked model and the flows that wait for it."""

    def __init__(self, folder: str | Path, batch_size: int = BATCH, max_delay_ms: float = MAX_DELAY_MS) -> None:
        """Load and check the model in `folder`, and judge one row to prove that it runs.

        Raises:
            InputError: model and card are missing, damaged, or do not fit each other.
        """
        fields = read_fields(folder)
        self.card = card_of(fields)
        self.unjudged = 0  # flows for which the model gave no number
        self.withdrawn = 0  # alarms on flows like a known false alarm
        self.batch_size, self._max_delay_s = batch_size, max_delay_ms / 1000
        self._sizes = tuple(size for size in SMALL_SIZES if size < batch_size) + (batch_size,)
        self._size = 0
        self._benign = self.card.classes.index(self.card.benign)
        self._attacks = np.delete(np.arange(len(self.card.classes)), self._benign)
        self._waiting: list[np.ndarray] = []
        self._oldest = 0.0
        known = fields.get("false_alarms") if self.card.family == "netflow" else None
        self._withdrawal = false_alarms.Withdrawal(false_alarms.read(Path(folder), known))
        self._interpreter, self._input, self._output = _open_model(folder, read_model(folder, self.card))
        self._prove(Path(folder) / MODEL_FILE)

    def add(self, rows: np.ndarray, now: float) -> list[Verdicts]:
        """Queue closed flows, judge the batches that are full or old enough; `now` in monotonic seconds."""
        if not self._waiting:
            self._oldest = now
        if len(rows):
            self._waiting.append(rows)
        if sum(map(len, self._waiting)) < self.batch_size and now - self._oldest < self._max_delay_s:
            return []
        return self.flush()

    def flush(self) -> list[Verdicts]:
        """Judge everything that waits, a batch each."""
        if not self._waiting:
            return []
        rows, self._waiting = np.concatenate(self._waiting), []
        parts = (rows[start : start + self.batch_size] for start in range(0, len(rows), self.batch_size))
        return [self.judge_rows(part) for part in parts]

    def judge_rows(self, rows: np.ndarray) -> Verdicts:
        """Judge at most `batch_size` flows, a ROW array, now."""
        return Verdicts(rows, *self._judged(features(rows, self.card.family, self.card.dialect), rows["last_us"]))

    def judge(self, flows: Sequence[Flow]) -> list[Verdict]:
        """Judge at most `batch_size` flows now."""
        rows = np.array([flow.features(self.card.family, self.card.dialect) for flow in flows], dtype=np.float32)
        times_us = np.array([flow.last_us for flow in flows], dtype=np.int64)
        probabilities, labels, alerts, scores = self._judged(rows, times_us)
        return list(map(Verdict, flows, probabilities, labels, alerts.tolist(), scores.tolist()))

    def _judged(self, rows: np.ndarray, times_us: np.ndarray) -> tuple[np.ndarray, list[str], np.ndarray, np.ndarray]:
        """Probabilities, labels, alerts and scores for rows of features of flows that ended at some times."""
        card = self.card
        probabilities = self.predict(rows)
        scores = 1.0 - probabilities[:, self._benign].astype(np.float64)
        alerts = scores >= card.threshold
        withdrawn = self._withdrawal.of(rows, alerts, times_us)
        alerts &= ~withdrawn
        named = np.where(alerts, self._attacks[probabilities[:, self._attacks].argmax(axis=1)], self._benign)
        self.unjudged += int(np.count_nonzero(~np.isfinite(scores)))
        self.withdrawn += int(np.count_nonzero(withdrawn))
        return probabilities, [card.classes[index] for index in named.tolist()], alerts, scores

    def predict(self, rows: np.ndarray) -> np.ndarray:
        """Class probabilities, float32 [n, classes], of n <= batch_size rows of nine raw feature values."""
        size = next(size for size in self._sizes if size >= len(rows))
        if size != self._size:
            self._interpreter.resize_tensor_input(self._input, [size, rows.shape[1]])
            self._interpreter.allocate_tensors()
            self._size = size
        padded = np.zeros((size, rows.shape[1]), dtype=np.float32)
        padded[: len(rows)] = rows
        self._interpreter.set_tensor(self._input, padded)
        self._interpreter.invoke()
        return self._interpreter.get_tensor(self._output)[: len(rows)]

    def _prove(self, path: Path) -> None:
        """Run one row of zeros at every batch size, largest last.

        Raises:
            InputError: the model does not run, or gives something else than one probability for each class.
        """
        classes = len(self.card.classes)
        for size in self._sizes:
            try:
                probabilities = self.predict(np.zeros((size, len(self.card.features)), dtype=np.float32))
            except (ValueError, RuntimeError) as error:
                raise InputError(
                    f"expected a model in {path} that runs, found: {_first_line(error)}", _AGAIN
                ) from error
            if probabilities.shape != (size, classes):
                found = f"{probabilities.shape[-1]} outputs" if probabilities.ndim == 2 else str(probabilities.shape)
                raise InputError(
                    f"expected one output for each of the card's {classes} classes, found {found} in {path}", _AGAIN
                )
            if not np.allclose(probabilities.sum(axis=1), 1.0, atol=0.05) or probabilities.min() < 0:
                raise InputError(f"expected probabilities that add up to 1, found other numbers from {path}", _AGAIN)


def _open_model(folder: str | Path, content: bytes) -> tuple[Interpreter, int, int]:
    """Parse a model file: the interpreter and the indices of its one input and one output.

    Raises:
        InputError: it is no LiteRT model, or not one that takes rows of nine float32 values.
    """
    path = Path(folder) / MODEL_FILE
    try:
        interpreter = Interpreter(model_content=content, num_threads=1)
        inputs, outputs = interpreter.get_input_details(), interpreter.get_output_details()
    except (ValueError, RuntimeError) as error:
        raise InputError(f"expected a LiteRT model in {path}, found: {_first_line(error)}", _AGAIN) from error
    if len(inputs) != 1 or len(outputs) != 1:
        raise InputError(f"expected one input and one output in {path}, found {len(inputs)} and {len(outputs)}", _AGAIN)
    shape = [int(size) for size in inputs[0]["shape_signature"]]
    if len(shape) != 2 or shape[1] != 9 or shape[0] not in (-1, 1):
        raise InputError(f"expected an input of shape [batch, 9] in {path}, found {shape}", _AGAIN)
    for tensor in (inputs[0], outputs[0]):
        if tensor["dtype"] is not np.float32:
            found = np.dtype(tensor["dtype"])
            raise InputError(f"expected float32 input and output in {path}, found {found}", _AGAIN)
    return interpreter, inputs[0]["index"], outputs[0]["index"]


def _first_line(error: Exception) -> str:
    """The first line of LiteRT's message, without its full stop."""
    return (str(error).splitlines() or ["an unknown error"])[0].rstrip(". ")
