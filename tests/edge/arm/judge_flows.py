"""`judge_flows.py CAPTURE MODEL OUT`: every flow's verdict, its probabilities in full where EVE lines round them.

Both machines run this. Standard output says what they are, as one JSON object.
"""

import json
import platform
import sys
from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path

from tlids_edge.alerts.eve import flow_id
from tlids_edge.capture.packets import PacketStats, read_packets
from tlids_edge.detect.detector import Detector, Verdict
from tlids_edge.flows.compiled import new_meter
from tlids_edge.flows.meter import Meter
from tlids_edge.flows.ndpi import open_ndpi


def main(capture: str, model: str, output: str) -> None:
    """Write one JSON line a flow: id, classes, alarm, probabilities in the order of the card's classes."""
    detector, ndpi = Detector(model), open_ndpi()
    card = detector.card
    meter = Meter(card.family, l7=ndpi)
    with open(capture, "rb") as stream, Path(output).open("w") as lines:
        for packet in read_packets(stream, PacketStats()):
            meter.add(packet)
        meter.close_all()
        flows = meter.take()
        for start in range(0, len(flows), detector.batch_size):
            for verdict in detector.judge(flows[start : start + detector.batch_size]):
                print(json.dumps(_line(verdict, card.classes)), file=lines)
    print(json.dumps(description(ndpi.version if ndpi else None)))


def _line(verdict: Verdict, classes: Sequence[str]) -> dict:
    """The likeliest class, the class that is reported, which for no alarm is the benign one, and all probabilities."""
    return {
        "flow": flow_id(verdict.flow),
        "likeliest": classes[int(verdict.probabilities.argmax())],
        "class": verdict.label,
        "alarm": bool(verdict.is_alert),
        "probabilities": verdict.probabilities.tolist(),
    }


def description(ndpi: str | None) -> dict:
    """What this machine is, which meter the program takes on it, and which libraries it has."""
    libraries = {name: version(name) for name in ("numpy", "ai-edge-litert")}
    machine = {"machine": platform.machine(), "Python": platform.python_version(), "meter": new_meter().kind}
    return machine | libraries | {"nDPI": ndpi}


if __name__ == "__main__":
    main(*sys.argv[1:])
