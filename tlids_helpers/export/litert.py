"""Run a LiteRT file here exactly as the Pi does, on one thread, and look into it. No TensorFlow in this module."""

import numpy as np
from ai_edge_litert.interpreter import Interpreter, OpResolverType

BATCH = 1024


def open_model(content: bytes, batch: int = 1) -> Interpreter:
    """An interpreter of a file's content, on one thread, ready for `batch` rows at a time."""
    interpreter = Interpreter(model_content=content, num_threads=1)
    resize(interpreter, batch)
    return interpreter


def resize(interpreter: Interpreter, batch: int) -> None:
    """Make room for `batch` rows."""
    inputs = interpreter.get_input_details()[0]
    interpreter.resize_tensor_input(inputs["index"], [batch, int(inputs["shape"][1])])
    interpreter.allocate_tensors()


def infer(interpreter: Interpreter, features: np.ndarray) -> np.ndarray:
    """Class probabilities (batch, C) float32 for exactly as many rows (batch, 9) float32 as there is room for."""
    interpreter.set_tensor(interpreter.get_input_details()[0]["index"], features)
    interpreter.invoke()
    return interpreter.get_tensor(interpreter.get_output_details()[0]["index"])


def predict(content: bytes, features: np.ndarray) -> np.ndarray:
    """Class probabilities (n, C) float32 for raw feature values (n, 9), judged in batches of 1024; n may be 0."""
    features = np.ascontiguousarray(features, dtype=np.float32)
    interpreter = open_model(content, max(1, min(BATCH, len(features))))
    classes = int(interpreter.get_output_details()[0]["shape"][-1])
    judged = [np.empty((0, classes), np.float32)]
    for start in range(0, len(features), BATCH):
        rows = features[start : start + BATCH]
        if start and len(rows) < BATCH:
            resize(interpreter, len(rows))
        judged.append(infer(interpreter, rows))
    return np.concatenate(judged)


def operations(content: bytes) -> list[dict[str, str]]:
    """Every operation of a file in order: op, name (its layer is part of it), and the type of what it puts out."""
    # without a delegate, which would swallow the operations it takes over
    plain = OpResolverType.BUILTIN_WITHOUT_DEFAULT_DELEGATES
    interpreter = Interpreter(model_content=content, experimental_op_resolver_type=plain)
    tensors = {tensor["index"]: tensor for tensor in interpreter.get_tensor_details()}
    rows = []
    for operation in interpreter._get_ops_details():  # LiteRT has no public way to list them
        output = tensors[operation["outputs"][0]]
        rows.append({"op": operation["op_name"], "name": output["name"], "dtype": np.dtype(output["dtype"]).name})
    return rows
