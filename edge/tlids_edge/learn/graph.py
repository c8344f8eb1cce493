"""Where the head is in `model.tflite`: read from the file's own tables, so that weights can be overwritten in place.

A LiteRT file is a FlatBuffer. Its tables (schema.fbs of LiteRT) that are needed here, by field number:
    Model     2 subgraphs, 4 buffers
    SubGraph  0 tensors, 2 outputs, 3 operators
    Tensor    0 shape, 1 type, 2 buffer
    Operator  1 inputs, 2 outputs
    Buffer    0 data
Every offset is checked against the file's length before it is followed.
"""

import struct
from dataclasses import dataclass

import numpy as np

from tlids_edge.errors import InputError

HEAD_LAYERS = 3  # dense 256, dense 512, the output layer; a softmax follows
FLOAT32 = 0
_REMEDY = "adapt a model that notebook 05 has exported with precision=float32"

Layer = tuple[np.ndarray, np.ndarray]  # weights (inputs, outputs) and bias (outputs,), float32


class NotOursError(Exception):
    """The file is not laid out as our exporter leaves it; says what was found."""


@dataclass(frozen=True)
class Blob:
    """One array of weights in the file, stored as `shape` in row-major order."""

    start: int
    shape: tuple[int, ...]


@dataclass(frozen=True)
class Head:
    """The last layers of a model: where their weights are, and what feeds them."""

    blobs: tuple[tuple[Blob, Blob], ...]  # weights (outputs, inputs) and bias (outputs,) of each layer
    features: int  # the tensor that the frozen blocks give, which is the first layer's input
    operators_at: int  # where the number of operators is stored
    frozen_operators: int  # how many come before the head
    output_at: int  # where the index of the output tensor is stored


def find_head(content: bytes) -> Head:
    """Find the head of a model.

    Raises:
        InputError: the file has no head of three dense layers in float32.
    """
    try:
        return _find(_Reader(content))
    except (NotOursError, struct.error) as error:
        raise InputError(
            f"expected a model with three dense layers in float32 at its end, found {error}", _REMEDY
        ) from error


def read_layers(content: bytes, head: Head) -> list[Layer]:
    """The head's layers as copies: weights (inputs, outputs) and bias (outputs,), float32."""
    return [(_array(content, weights).T.copy(), _array(content, bias).copy()) for weights, bias in head.blobs]


def with_layers(content: bytes, head: Head, layers: list[Layer]) -> bytes:
    """The same file with other weights in the head; nothing else differs.

    Raises:
        ValueError: the layers have other shapes.
    """
    changed = bytearray(content)
    for (weights_blob, bias_blob), (weights, bias) in zip(head.blobs, layers, strict=True):
        for blob, values in ((weights_blob, weights.T), (bias_blob, bias)):
            if values.shape != blob.shape:
                raise ValueError(f"expected weights of shape {blob.shape}, found {values.shape}")
            stored = np.ascontiguousarray(values, "<f4").tobytes()
            changed[blob.start : blob.start + len(stored)] = stored
    return bytes(changed)


def frozen_part(content: bytes, head: Head) -> bytes:
    """The same file without the head: it gives what the frozen blocks give, (n, features)."""
    changed = bytearray(content)
    struct.pack_into("<I", changed, head.operators_at, head.frozen_operators)
    struct.pack_into("<i", changed, head.output_at, head.features)
    return bytes(changed)


def _array(content: bytes, blob: Blob) -> np.ndarray:
    """The values of a blob."""
    count = int(np.prod(blob.shape))
    return np.frombuffer(content, "<f4", count, blob.start).reshape(blob.shape)


class _Reader:
    """Tables and vectors of a FlatBuffer; struct raises for an offset beyond the end."""

    def __init__(self, content: bytes) -> None:
        self.content = content
        self.root = self.follow(0)

    def number(self, at: int) -> int:
        """An unsigned 32-bit number."""
        if at < 0:
            raise NotOursError("an offset before its beginning")
        return struct.unpack_from("<I", self.content, at)[0]

    def follow(self, at: int) -> int:
        """Where the offset stored at `at` leads."""
        return at + self.number(at)

    def field(self, table: int, number: int) -> int:
        """Where a table's field is stored; 0 when the table leaves it out."""
        vtable = table - struct.unpack_from("<i", self.content, table)[0]
        if vtable < 0:
            raise NotOursError("a table without a description")
        size = struct.unpack_from("<H", self.content, vtable)[0]
        place = 4 + 2 * number
        offset = struct.unpack_from("<H", self.content, vtable + place)[0] if place < size else 0
        return table + offset if offset else 0

    def vector(self, table: int, number: int) -> tuple[int, int]:
        """Where the first element of a vector is, and how many there are."""
        at = self.field(table, number)
        if not at:
            return 0, 0
        start = self.follow(at)
        count = self.number(start)
        if start + 4 + count > len(self.content):  # no element is smaller than a byte
            raise NotOursError("a list longer than the file")
        return start + 4, count

    def tables(self, table: int, number: int) -> list[int]:
        """Where the tables of a vector of tables are."""
        start, count = self.vector(table, number)
        return [self.follow(start + 4 * index) for index in range(count)]

    def numbers(self, table: int, number: int) -> tuple[int, ...]:
        """A vector of signed 32-bit numbers."""
        start, count = self.vector(table, number)
        return struct.unpack_from(f"<{count}i", self.content, start) if count else ()


def _find(reader: _Reader) -> Head:
    """Follow the file from its last operator back to the head's first."""
    graphs = reader.tables(reader.root, 2)
    if len(graphs) != 1:
        raise NotOursError(f"{len(graphs)} graphs")
    graph, buffers = graphs[0], reader.tables(reader.root, 4)
    tensors, operators = reader.tables(graph, 0), reader.tables(graph, 3)
    if len(operators) <= HEAD_LAYERS + 1:
        raise NotOursError(f"{len(operators)} operators")
    dense = operators[-1 - HEAD_LAYERS : -1]
    blobs, users = [], _users(reader, tensors)
    for operator in dense:
        inputs = reader.numbers(operator, 1)
        if len(inputs) != 3:
            raise NotOursError(f"an operator with {len(inputs)} inputs in the head")
        blobs.append(tuple(_blob(reader, tensors, buffers, index, users) for index in inputs[1:]))
    _check_chain(reader, dense, blobs)
    outputs_at, outputs = reader.vector(graph, 2)
    if outputs != 1:
        raise NotOursError(f"{outputs} outputs")
    operators_at = reader.vector(graph, 3)[0] - 4
    first = reader.numbers(dense[0], 1)[0]
    return Head(tuple(blobs), first, operators_at, len(operators) - 1 - HEAD_LAYERS, outputs_at)


def _users(reader: _Reader, tensors: list[int]) -> list[int]:
    """The buffer of each tensor."""
    return [_scalar(reader, tensor, 2) for tensor in tensors]


def _scalar(reader: _Reader, table: int, number: int) -> int:
    """A 32-bit field, 0 when left out."""
    at = reader.field(table, number)
    return reader.number(at) if at else 0


def _blob(reader: _Reader, tensors: list[int], buffers: list[int], index: int, users: list[int]) -> Blob:
    """The weights of one tensor; they must be its own, or writing them would change another part of the model."""
    if not 0 <= index < len(tensors):
        raise NotOursError(f"no tensor {index}")
    tensor = tensors[index]
    kind_at = reader.field(tensor, 1)
    if kind_at and reader.content[kind_at] != FLOAT32:
        raise NotOursError("weights of another type")
    shape = reader.numbers(tensor, 0)
    if users.count(users[index]) != 1 or not 0 < users[index] < len(buffers):
        raise NotOursError("weights that two layers share")
    start, size = reader.vector(buffers[users[index]], 0)
    count = int(np.prod(shape, dtype=np.int64)) if shape and min(shape) > 0 else 0
    if not count or size != 4 * count:
        raise NotOursError(f"{size} bytes for weights of shape {list(shape)}")
    return Blob(start, tuple(shape))


def _check_chain(reader: _Reader, dense: list[int], blobs: list[tuple[Blob, Blob]]) -> None:
    """Each layer takes what the one before gives, and has one bias an output."""
    for layer, (weights, bias) in enumerate(blobs):
        if len(weights.shape) != 2 or bias.shape != weights.shape[:1]:
            raise NotOursError(f"a layer with weights {list(weights.shape)} and bias {list(bias.shape)}")
        if layer and reader.numbers(dense[layer], 1)[0] not in reader.numbers(dense[layer - 1], 2):
            raise NotOursError("dense layers that do not follow one another")
        if layer and weights.shape[1] != blobs[layer - 1][0].shape[0]:
            raise NotOursError("dense layers of sizes that do not fit")
