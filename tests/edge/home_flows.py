"""Hand-made flows of a home, and the shipped model to adapt."""

import random
from pathlib import Path
from types import SimpleNamespace

import numpy as np
from tlids_edge.detect.detector import Verdict
from tlids_edge.learn.keep import Seen

REPOSITORY = Path(__file__).resolve().parents[2]
MODEL = REPOSITORY / "edge" / "models" / "testbed"
SECOND = 1_000_000
DAY_S = 86_400


def seen(second: float, source: int = 1, service: int = 80, alarm: bool = False, proven: bool = True, **more) -> Seen:
    """A judged flow; its device is its source unless told otherwise."""
    features = more.get("features", (50_000.0, float(service), 6.0, 27.0, 7.0, 500.0, 900.0, 5.0, 5.0))
    return Seen(int(second * SECOND), source, more.get("device", source), service, alarm, proven, features)


def verdict(second: float, host: int = 1, port: int = 443, alarm: bool = False, proven: bool = True) -> Verdict:
    """A verdict on a flow of host 10.0.0.HOST to an address outside."""
    row = (50_000 + host, port, 6, 27, 91.0, 900 + 10 * host, 4_000 + host, 9, 11)
    flow = SimpleNamespace(
        key=(bytes([10, 0, 0, host]), bytes([1, 1, 1, 1]), row[0], port, 6), src_hw=bytes([2, 0, 0, 0, 0, host]),
        src=f"10.0.0.{host}", src_mac=f"02:00:00:00:00:{host:02x}", src_port=row[0], dst_port=port, protocol=6,
        last_us=int(second * SECOND), proven=proven, features=lambda family, dialect: row, netflow=lambda: row,
    )  # fmt: skip
    return Verdict(flow, np.zeros(11, np.float32), "SYN flood" if alarm else "Benign", alarm, float(alarm))


def home_day(hosts: int = 12, every_s: float = 300.0, begin: float = 0.0, seconds: float = DAY_S) -> list[Verdict]:
    """A day in which each host talks every `every_s` seconds, to two ports in turn."""
    moments = np.arange(begin, begin + seconds, every_s)
    return [verdict(float(when) + host, host, (443, 8883)[turn % 2])
            for turn, when in enumerate(moments) for host in range(1, hosts + 1)]  # fmt: skip


def drawn(seed: int = 1):
    """Random ranks that are the same in every run."""
    return random.Random(seed).random
