"""graph.py and blocks.py: the head is found in the shipped file, and nothing but it is changed."""

import numpy as np
import pytest
from ai_edge_litert.interpreter import Interpreter
from home_flows import MODEL
from tiny_model import tiny_tflite
from tlids_edge.detect.card import read_card
from tlids_edge.errors import InputError
from tlids_edge.learn import graph, head, rows
from tlids_edge.learn.blocks import block_features


@pytest.fixture(scope="module")
def content() -> bytes:
    return (MODEL / "model.tflite").read_bytes()


@pytest.fixture(scope="module")
def flows() -> np.ndarray:
    return rows.read(MODEL, read_card(MODEL))[0][::5]


def by_litert(content: bytes, rows: np.ndarray) -> np.ndarray:
    interpreter = Interpreter(model_content=content, num_threads=1)
    interpreter.resize_tensor_input(interpreter.get_input_details()[0]["index"], rows.shape)
    interpreter.allocate_tensors()
    interpreter.set_tensor(interpreter.get_input_details()[0]["index"], rows)
    interpreter.invoke()
    return interpreter.get_tensor(interpreter.get_output_details()[0]["index"])


def test_blocks_then_numpy_head_give_what_the_whole_model_gives(content, flows):
    found = graph.find_head(content)
    layers = graph.read_layers(content, found)
    assert [weights.shape for weights, _ in layers][:2] == [(128, 256), (256, 512)]
    through = head.probabilities(block_features(content, found, flows), layers)
    np.testing.assert_allclose(through, by_litert(content, flows), atol=1e-5)


def test_new_weights_are_what_the_model_then_computes_with_and_no_other_byte_differs(content, flows):
    found = graph.find_head(content)
    rng = np.random.default_rng(1)
    layers = [(weights + rng.normal(0, 0.05, weights.shape).astype("f"), bias - np.float32(0.1))
              for weights, bias in graph.read_layers(content, found)]  # fmt: skip
    changed = graph.with_layers(content, found, layers)
    expected = head.probabilities(block_features(content, found, flows), layers)
    assert np.abs(expected - by_litert(content, flows)).max() > 0.01
    np.testing.assert_allclose(by_litert(changed, flows), expected, atol=1e-5)
    differ = np.flatnonzero(np.frombuffer(content, np.uint8) != np.frombuffer(changed, np.uint8))
    blobs = [range(blob.start, blob.start + 4 * int(np.prod(blob.shape))) for pair in found.blobs for blob in pair]
    assert len(changed) == len(content) and all(any(at in blob for blob in blobs) for at in differ.tolist())


def test_weights_of_another_shape_are_not_written(content):
    found = graph.find_head(content)
    layers = graph.read_layers(content, found)
    with pytest.raises(ValueError, match="shape"):
        graph.with_layers(content, found, [(weights[:-1], bias) for weights, bias in layers])


@pytest.mark.parametrize("damaged", [b"", b"\0" * 4, tiny_tflite(), b"\x1c\x00\x00\x00TFL3" + b"\xff" * 200])
def test_a_file_without_such_a_head_is_refused(damaged):
    with pytest.raises(InputError, match="three dense layers"):
        graph.find_head(damaged)


def test_no_damage_to_the_tables_leads_outside_the_file(content):
    rng = np.random.default_rng(2)
    tables = [at for at in range(0, 4096)] + [at for at in range(len(content) - 12_000, len(content))]
    for _ in range(1500):
        broken = bytearray(content)
        for at in rng.choice(tables, 3):
            broken[at] = int(rng.integers(256))
        try:
            found = graph.find_head(bytes(broken))
        except InputError:
            continue
        assert all(
            0 < blob.start <= len(broken) - 4 * int(np.prod(blob.shape)) for pair in found.blobs for blob in pair
        )


def test_a_part_cut_off_is_refused(content):
    for size in range(0, len(content), 40_009):
        with pytest.raises(InputError):
            graph.find_head(content[:size])
