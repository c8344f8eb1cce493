"""Rows through the frozen blocks: the model without its head, run by LiteRT."""

import numpy as np
from ai_edge_litert.interpreter import Interpreter

from tlids_edge.errors import InputError
from tlids_edge.learn.graph import Head, frozen_part

BATCH = 512  # rows at a time: larger ones are no faster and take memory


def block_features(content: bytes, head: Head, rows: np.ndarray) -> np.ndarray:
    """What the frozen blocks make of raw rows (n, 9): (n, features) float32. `content` is a whole model.tflite.

    Raises:
        InputError: LiteRT cannot run the model without its head.
    """
    rows = np.ascontiguousarray(rows, np.float32)
    width = head.blobs[0][0].shape[1]
    made = np.empty((len(rows), width), np.float32)
    try:
        interpreter = Interpreter(model_content=frozen_part(content, head), num_threads=1)
        taken = interpreter.get_input_details()[0]["index"]
        interpreter.resize_tensor_input(taken, [BATCH, rows.shape[1]])
        interpreter.allocate_tensors()
        for start in range(0, len(rows), BATCH):
            part = rows[start : start + BATCH]
            padded = np.zeros((BATCH, rows.shape[1]), np.float32)
            padded[: len(part)] = part
            interpreter.set_tensor(taken, padded)
            interpreter.invoke()
            made[start : start + BATCH] = interpreter.get_tensor(head.features)[: len(part)]
    except (ValueError, RuntimeError) as error:
        reason = (str(error).splitlines() or ["an unknown error"])[0]
        raise InputError(
            f"expected a model whose blocks run without the head, found: {reason}", "export it again with notebook 05"
        ) from error
    return made
