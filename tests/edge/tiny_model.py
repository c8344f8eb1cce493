"""A model of three classes and three features that anyone can check by hand, with its card.

Unanswered flows are attacks: one packet is Reconnaissance, more are DoS. With OUT_PKTS > 0 a flow is Benign.
"""

import hashlib
import json
from pathlib import Path

import flatbuffers
import numpy as np
from ai_edge_litert import schema_py_generated as schema

CLASSES = ("Benign", "DoS", "Reconnaissance")
FEATURES = (
    "L4_SRC_PORT", "L4_DST_PORT", "PROTOCOL", "TCP_FLAGS", "L7_PROTO",
    "IN_BYTES", "OUT_BYTES", "IN_PKTS", "OUT_PKTS",
)  # fmt: skip


def tiny_tflite(classes: int = 3, inputs: int = 9) -> bytes:
    """softmax(Benign 20 OUT_PKTS - 10, DoS 0, Reconnaissance 3 - 2 IN_PKTS) as LiteRT; else all weights 0.

    Put together from the file format's own tables, so that no TensorFlow is needed.
    """
    weights, bias = np.zeros((classes, inputs), "<f4"), np.zeros(classes, "<f4")
    if (classes, inputs) == (3, 9):
        weights[0, 8], bias[0] = 20, -10
        weights[2, 7], bias[2] = -2, 3
    graph = schema.SubGraphT()
    shapes = ([1, inputs], [classes, inputs], [classes], [1, classes], [1, classes])
    graph.tensors = [_tensor(index, shape, batch=index in (0, 3, 4)) for index, shape in enumerate(shapes)]
    graph.operators = [_operator(0, [0, 1, 2], [3]), _operator(1, [3], [4])]
    graph.operators[0].builtinOptionsType = schema.BuiltinOptions.FullyConnectedOptions
    graph.operators[0].builtinOptions = schema.FullyConnectedOptionsT()
    graph.operators[1].builtinOptionsType = schema.BuiltinOptions.SoftmaxOptions
    graph.operators[1].builtinOptions = schema.SoftmaxOptionsT()
    graph.operators[1].builtinOptions.beta = 1.0
    graph.inputs, graph.outputs = [0], [4]
    model = schema.ModelT()
    model.version, model.subgraphs = 3, [graph]
    model.operatorCodes = [
        _code(schema.BuiltinOperator.FULLY_CONNECTED),
        _code(schema.BuiltinOperator.SOFTMAX),
    ]
    model.buffers = [_buffer(content) for content in (b"", b"", weights.tobytes(), bias.tobytes(), b"", b"")]
    builder = flatbuffers.Builder(4096)
    builder.Finish(model.Pack(builder), file_identifier=b"TFL3")
    return bytes(builder.Output())


def _tensor(index: int, shape: list[int], batch: bool):
    tensor = schema.TensorT()
    tensor.name, tensor.shape, tensor.buffer = f"tensor{index}".encode(), shape, index + 1
    tensor.shapeSignature = [-1, *shape[1:]] if batch else None
    return tensor


def _operator(code: int, inputs: list[int], outputs: list[int]):
    operator = schema.OperatorT()
    operator.opcodeIndex, operator.inputs, operator.outputs = code, inputs, outputs
    return operator


def _code(number: int):
    code = schema.OperatorCodeT()
    code.builtinCode = code.deprecatedBuiltinCode = number
    code.version = 1
    return code


def _buffer(content: bytes):
    buffer = schema.BufferT()
    buffer.data = np.frombuffer(content, np.uint8) if content else None
    return buffer


def write_model(folder: Path, content: bytes, **changes: object) -> Path:
    """A model folder with its card; `changes` replace fields of the card, None included."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "model.tflite").write_bytes(content)
    digest = hashlib.sha256(content).hexdigest()
    card = {
        "schema": 1, "name": "tiny", "dataset": "hand-made", "family": "netflow", "features": list(FEATURES),
        "dialect": None, "classes": list(CLASSES), "benign": "Benign", "threshold": 0.5,
        "threshold_fpr": 0.001, "recipe": "tiny", "seed": 0, "split": "none", "simulated": True,
        "metrics": {}, "l7": None, "versions": {}, "precision": "float32",
        "files": {"model.tflite": {"sha256": digest, "bytes": len(content)}},
    }  # fmt: skip
    (folder / "card.json").write_text(json.dumps(card | changes))
    return folder
