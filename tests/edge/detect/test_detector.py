"""detector.py and card.py: what is refused, and what a verdict says."""

import json
import types

import numpy as np
import pytest
from tiny_model import FEATURES, tiny_tflite, write_model
from tlids_edge.detect import card as card_module
from tlids_edge.detect.detector import Detector
from tlids_edge.errors import InputError
from tlids_edge.flows.rows import ROW
from tlids_edge.flows.rows import flow as as_flow


def rows(count: int) -> np.ndarray:
    """Rows of so many flows, no two alike."""
    made = np.zeros(count, ROW)
    made["src_port"], made["dst_port"], made["protocol"], made["address_bytes"] = 1000, 80, 6, 4
    made["in_packets"], made["out_packets"] = 1 + np.arange(count) % 4, np.arange(count) % 3
    made["in_bytes"] = np.arange(count)
    return made


def flow(in_packets: int, out_packets: int):
    """A flow that only has features and a time."""
    row = (1000, 80, 6, 2, 0.0, 40 * in_packets, 40 * out_packets, in_packets, out_packets)
    return types.SimpleNamespace(features=lambda family, dialect: row, last_us=0)


@pytest.mark.parametrize(
    ("changes", "expected", "found"),
    [
        ({"schema": 2}, "schema 1", "2"),
        ({"schema": None}, "schema 1", "None"),
        ({"family": "sflow"}, "family netflow or cicflow", "'sflow'"),
        ({"family": ["netflow"]}, "family netflow or cicflow", "['netflow']"),
        ({"family": "cicflow"}, "features", "['L4_SRC_PORT'"),
        ({"features": list(reversed(FEATURES))}, "in this order", "['OUT_PKTS'"),
        ({"features": list(FEATURES[:8])}, "features", "['L4_SRC_PORT'"),
        ({"features": None}, "features", "None"),
        ({"classes": ["Benign"]}, "2 to", "['Benign']"),
        ({"classes": ["Benign", "DoS", "DoS"]}, "different class names", "one twice"),
        ({"classes": ["Benign", "DoS", 3]}, "class names", "['Benign', 'DoS', 3]"),
        ({"classes": ["Benign", "DoS", "x" * 101]}, "class names", "['Benign', 'DoS', 'xxx"),
        ({"classes": ["Benign", "DoS"]}, "the card's 2 classes", "3 outputs"),
        ({"classes": ["Benign", "DoS", "a", "b"]}, "the card's 4 classes", "3 outputs"),
        ({"benign": "Normal"}, "benign class", "'Normal'"),
        ({"threshold": 0}, "threshold", "0"),
        ({"threshold": 1.5}, "threshold", "1.5"),
        ({"threshold": True}, "threshold", "True"),
        ({"threshold": float("nan")}, "threshold", "nan"),
        ({"threshold": "0.5"}, "threshold", "'0.5'"),
        ({"files": {}}, "SHA-256", "None"),
        ({"files": None}, "SHA-256", "None"),
        ({"files": {"model.tflite": {"sha256": "0" * 64}}}, "SHA-256 000000000000", ""),
        ({"l7": 4.2}, "l7", "4.2"),
        ({"l7": "ndpi\x1b[2J"}, "l7 as at most 100 printable", r"'ndpi\x1b[2J'"),
        ({"name": "x" * 1_000_000}, "a name of at most 100 printable", "'xxx"),
        ({"name": "tiny\r\nadmin logged in"}, "a name of at most 100 printable", r"'tiny\r\nadmin"),
        ({"name": 7}, "a name of", "7"),
        ({"classes": ["Benign", "DoS", "\x1b]0;title\x07"]}, "printable", r"['Benign', 'DoS', '\x1b]0;title\x07']"),
        ({"classes": ["Benign", "DoS", "\u202egnilcric"]}, "printable", r"['Benign', 'DoS', '\u202egnilcric']"),
        ({"classes": ["Benign", "DoS", ""]}, "class names of 1", "['Benign', 'DoS', '']"),
        ({"dialect": "\x1b[2J"}, "dialect", r"'\x1b[2J'"),
        ({"features": ["x" * 1_000_000]}, "features", "['xxx"),
    ],
)
def test_a_card_that_does_not_fit_is_refused_in_one_sentence(tflite, tmp_path, changes, expected, found):
    with pytest.raises(InputError, match="^expected ") as refusal:
        Detector(write_model(tmp_path, tflite, **changes))
    message = str(refusal.value)
    assert expected in message.split(", found ")[0] and f", found {found}" in message and "\n" not in message


def test_a_missing_folder_card_or_model_is_named(tflite, tmp_path):
    with pytest.raises(InputError, match="card.json"):
        Detector(tmp_path / "nowhere")
    folder = write_model(tmp_path / "m", tflite)
    (folder / "model.tflite").unlink()
    with pytest.raises(InputError, match="model.tflite"):
        Detector(folder)
    (folder / "card.json").write_bytes(b"\x80\x04pickle")
    with pytest.raises(InputError, match="JSON"):
        Detector(folder)
    (folder / "card.json").write_text("[" * 100_000)
    with pytest.raises(InputError, match="JSON"):
        Detector(folder)
    (folder / "card.json").write_text("[]")
    with pytest.raises(InputError, match="JSON object"):
        Detector(folder)


def test_one_changed_byte_of_the_model_is_noticed_before_it_is_parsed(tflite, tmp_path, monkeypatch):
    folder = write_model(tmp_path, tflite)
    damaged = bytearray(tflite)
    damaged[len(damaged) // 2] ^= 1
    (folder / "model.tflite").write_bytes(damaged)
    monkeypatch.setattr(
        "tlids_edge.detect.detector.Interpreter", lambda **_: pytest.fail("the damaged file was parsed")
    )
    with pytest.raises(InputError, match="SHA-256"):
        Detector(folder)


@pytest.mark.parametrize("content", [b"", b"no flatbuffer at all" * 20, b"\x1c\x00\x00\x00TFL3" + b"\xff" * 200])
def test_a_corrupt_flatbuffer_with_the_right_digest_is_refused(tmp_path, content):
    with pytest.raises(InputError, match="LiteRT model"):
        Detector(write_model(tmp_path, content))


def test_a_model_with_another_input_is_refused(tmp_path):
    with pytest.raises(InputError, match=r"shape \[batch, 9\]"):
        Detector(write_model(tmp_path, tiny_tflite(3, 8)))


def test_a_file_beyond_the_size_limit_is_not_read(tflite, tmp_path, monkeypatch):
    monkeypatch.setattr(card_module, "MAX_MODEL_BYTES", len(tflite) - 1)
    with pytest.raises(InputError, match="at most"):
        Detector(write_model(tmp_path, tflite))


def test_score_class_and_alert_are_those_of_the_hand_computed_softmax(model):
    detector = Detector(model)
    answered, knock, burst = detector.judge([flow(5, 5), flow(1, 0), flow(9, 0)])
    assert (answered.is_alert, answered.label) == (False, "Benign")
    assert (knock.is_alert, knock.label) == (True, "Reconnaissance")
    assert (burst.is_alert, burst.label) == (True, "DoS")
    logits = np.array([-10.0, 0.0, 1.0])
    expected = np.exp(logits) / np.exp(logits).sum()
    np.testing.assert_allclose(knock.probabilities, expected, rtol=1e-5)
    assert knock.score == pytest.approx(1 - expected[0], abs=1e-6)


def test_the_alert_threshold_is_the_cards_and_is_inclusive(tflite, tmp_path):
    score = Detector(write_model(tmp_path / "a", tflite)).judge([flow(1, 0)])[0].score
    assert Detector(write_model(tmp_path / "b", tflite, threshold=score)).judge([flow(1, 0)])[0].is_alert
    above = float(np.nextafter(score, 2))
    quiet = Detector(write_model(tmp_path / "c", tflite, threshold=above)).judge([flow(1, 0)])[0]
    assert (quiet.is_alert, quiet.label) == (False, "Benign")


def test_an_alert_is_named_after_the_most_probable_attack_even_if_benign_is_more_probable(tmp_path, tflite):
    detector = Detector(write_model(tmp_path, tflite, threshold=0.3))
    detector.predict = lambda rows: np.array([[0.6, 0.1, 0.3]], "f")
    verdict = detector.judge([flow(1, 1)])[0]
    assert (verdict.is_alert, verdict.label) == (True, "Reconnaissance")


def test_a_batch_closes_when_full_or_after_200_ms(model):
    detector = Detector(model, batch_size=10)
    assert detector.add(rows(9), now=0.0) == []
    assert [len(part.rows) for part in detector.add(rows(1), now=0.05)] == [10]
    assert detector.add(rows(1), now=1.0) == []
    assert detector.add(rows(0), now=1.19) == []
    assert [len(part.rows) for part in detector.add(rows(0), now=1.21)] == [1]
    assert detector.add(rows(0), now=9.0) == []


@pytest.mark.parametrize("count", [1, 7, 8, 9, 64, 65, 256, 300, 1000])
def test_padding_changes_no_verdict(model, count):
    flows = rows(count)
    together = Detector(model)
    together.add(flows[:0], 0.0)
    batches = together.add(flows, 0.0) + together.flush()
    assert np.array_equal(np.concatenate([part.rows for part in batches]), flows)
    labels = [label for part in batches for label in part.labels]
    scores = np.concatenate([part.scores for part in batches])
    alone = Detector(model, batch_size=1)
    for index in range(min(count, 50)):
        one = alone.judge([as_flow(flows[index])])[0]
        assert one.label == labels[index] and one.score == pytest.approx(scores[index], abs=1e-6)


def test_a_model_that_gives_no_number_is_counted_and_raises_no_alert(model):
    detector = Detector(model)
    detector.predict = lambda rows: np.full((len(rows), 3), np.nan, "f")
    assert not detector.judge([flow(1, 0)])[0].is_alert
    assert detector.unjudged == 1


def test_a_cicflow_card_names_its_dialect(tflite, tmp_path):
    features = list(card_module.CICFLOW_FEATURES)
    with pytest.raises(InputError, match="dialect"):
        Detector(write_model(tmp_path / "a", tflite, family="cicflow", features=features))
    folder = write_model(tmp_path / "b", tflite, family="cicflow", features=features, dialect=card_module.DIALECTS[0])
    assert Detector(folder).card.features == card_module.CICFLOW_FEATURES
    assert json.loads((folder / "card.json").read_text())["family"] == "cicflow"
