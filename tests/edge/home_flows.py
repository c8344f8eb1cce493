"""Hand-made flows of a home, a learned state that is changed, and the shipped model to adapt."""

import json
import random
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
from tlids_edge.detect.detector import Verdict, Verdicts
from tlids_edge.flows.rows import ROW, flow, of_flows
from tlids_edge.learn import state
from tlids_edge.learn.keep import Seen
from tlids_edge.learn.learner import Learner

REPOSITORY = Path(__file__).resolve().parents[2]
MODEL = REPOSITORY / "edge" / "models" / "testbed"
SECOND = 1_000_000
DAY_S = 86_400


def seen(second: float, source: int = 1, service: int = 80, alarm: bool = False, proven: bool = True, **more) -> Seen:
    """A judged flow; its device is its source unless told otherwise."""
    features = more.get("features", (50_000.0, float(service), 6.0, 27.0, 7.0, 500.0, 900.0, 5.0, 5.0))
    device, *places = (more.get(name, other) for name, other in (("device", source), ("owner", 0), ("network", 0)))
    return Seen(int(second * SECOND), source, device, service, alarm, proven, features, *places)


def verdict(second: float, host: int = 1, port: int = 443, alarm: bool = False, proven: bool = True) -> Verdict:
    """A verdict on a flow of host 10.0.0.HOST to an address outside."""
    row = np.zeros((), ROW)
    row["src"], row["dst"], row["address_bytes"] = bytes([10, 0, 0, host]), bytes([1, 1, 1, 1]), 4
    row["src_mac"], row["src_mac_bytes"] = bytes([2, 0, 0, 0, 0, host]), 6
    row["src_port"], row["dst_port"], row["protocol"] = 50_000 + host, port, 6
    row["tcp_flags"], row["l7_app"], row["in_packets"], row["out_packets"] = 27, 91, 9, 11
    row["in_bytes"], row["out_bytes"] = 900 + 10 * host, 4_000 + host
    row["last_us"], row["proven"] = int(second * SECOND), proven
    return Verdict(flow(row), np.zeros(11, np.float32), "SYN flood" if alarm else "Benign", alarm, float(alarm))


def together(verdicts: Sequence[Verdict]) -> Verdicts:
    """Verdicts on single flows as the program has them."""
    flows, probabilities, labels, alerts, scores = zip(*verdicts, strict=True)
    return Verdicts(of_flows(flows), np.array(probabilities), list(labels), np.array(alerts), np.array(scores))


def shown(learner: Learner, verdicts: Sequence[Verdict]) -> None:
    """Let a learner see verdicts, a batch at a time."""
    for start in range(0, len(verdicts), 256):
        learner.see(together(verdicts[start : start + 256]))


def home_day(hosts: int = 12, every_s: float = 300.0, begin: float = 0.0, seconds: float = DAY_S) -> list[Verdict]:
    """A day in which each host talks every `every_s` seconds, to two ports in turn."""
    moments = np.arange(begin, begin + seconds, every_s)
    return [verdict(float(when) + host, host, (443, 8883)[turn % 2])
            for turn, when in enumerate(moments) for host in range(1, hosts + 1)]  # fmt: skip


def drawn(seed: int = 1):
    """Random ranks that are the same in every run."""
    return random.Random(seed).random


def resign(folder: Path, key: bytes, change: Callable[[dict], object]) -> None:
    """Change the header of what was saved and sign it again, as a program of another version would."""
    content = (folder / state.LEARNING).read_bytes()[: -state.TAG_BYTES]
    line, _, packed = content.partition(b"\n")
    header = json.loads(line)
    change(header)
    content = json.dumps(header).encode() + b"\n" + packed
    (folder / state.LEARNING).write_bytes(content + state._tag(key, content))
