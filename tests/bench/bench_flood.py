"""A SYN flood from random sources through a pipe into the live program: flows a CPU second, and when it is an incident.

    python tests/bench/bench_flood.py --model DIR [--flows N] [--store COMMAND]

The flood bears the times of a line rate, 148,810 packets a second, and comes as fast as the program takes it. CPU time
is the program's, less that of a run without a packet; what is left out unjudged is counted. Capture is not included.
It comes three times: to the program without a home, while it learns one, and with novelty, as after a day of learning;
the last knows the model's own benign rows alone, so that nearly every flow of the flood is told of as new, and the
flood bears the MAC of a device with a profile, which all of its flows are outside of.
"""

import argparse
import json
import os
import re
import shutil
import struct
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import bench_edge
import numpy as np
from tlids_edge.detect.card import read_card
from tlids_edge.flows.rows import mac_number
from tlids_edge.learn import codes, novelty, rates, rows

LINE_RATE = 148_810  # frames of 64 bytes a second at 100 Mbit/s
HEADER = struct.pack("<IHHiIII", 0xA1B2C3D4, 2, 4, 0, 0, 65_535, bench_edge.ETHERNET)
FRAME = 60
OWN, VICTIM = bytes.fromhex("020000000001"), bytes.fromhex("020000000002")
TIMEOUT_S = 580


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", type=Path, required=True, help="folder with model.tflite and card.json")
    parser.add_argument("--flows", type=int, default=1_000_000, help="SYNs, each of which opens a flow")
    parser.add_argument(
        "--store", metavar="COMMAND", help="put the figures into docs/results/edge.json, as its outcome"
    )
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        learning = ["--learn", "24h", "--state", f"{folder}/state"]
        found = {
            "learning": per_second(options.model, options.flows, learning)[0],
            "novelty": per_second(with_novelty(options.model, Path(folder, "model")), options.flows, [])[0],
        }
    rate, said, events = per_second(options.model, options.flows, [])
    unjudged = int((re.search(r"(\d+) flows are unjudged: the model had no time", said) or [0, 0])[1])
    opened = next(event for event in events if event["alert"]["metadata"].get("tlids_state") == ["open"])
    peak = re.search(r"peak memory (\d+) MB", said).group(1)
    meter = re.search(r"meter (\w+)", said).group(1)
    after = int(opened["alert"]["metadata"]["tlids_flows"][0])
    load = os.getloadavg()[0]
    print(f"{bench_edge.machine()}, load {load:.0f}")
    print(f"{rate:12,.0f} new flows a CPU second, pipe to incident, meter {meter}; {unjudged:,} unjudged")
    for state, slower in found.items():
        print(f"{slower:12,.0f} with {state}")
    print(f"{after:12} flows had alarmed when the incident opened; peak memory {peak} MB")
    if options.store:
        import kept

        beside = "" if load < 2 else f", other work on both cores (load {load:.0f})"
        kept.keep_edge("flood", options.store + beside, {
            "flood-flows": f"{options.flows:,}", "flood-rate": f"{rate:,.0f}", "flood-unjudged": f"{unjudged:,}",
            "flood-rate-learning": f"{found['learning']:,.0f}", "flood-rate-novelty": f"{found['novelty']:,.0f}",
            "flood-opened": str(after), "flood-peak": f"{peak} MB",
        })  # fmt: skip


def per_second(model: Path, flows: int, options: list[str]) -> tuple[float, str, list[dict]]:
    """Flows a CPU second, without the program's start; what it said, and its events of incidents."""
    start_s, _, _ = watched(model, 0, options)
    seconds, said, events = watched(model, flows, options)
    return flows / (seconds - start_s), said, events


def with_novelty(model: Path, target: Path) -> Path:
    """A copy of a model that has learned its own benign rows, as far as novelty goes."""
    shutil.copytree(model, target)
    card = read_card(model)
    stored, codes = rows.read(model, card)
    learned = novelty.fit(stored[codes == card.classes.index(card.benign)], seed=1)
    fields = json.loads((model / "card.json").read_text()) | {"novelty": novelty.write(learned, target)}
    fields["rates"] = rates.card_of(rates.Peaks(rates.WINDOW_S))  # every service has the floor
    fields["profiles"] = profile()
    (target / "card.json").write_text(json.dumps(fields))
    return target


def profile() -> dict:
    """A card's profiles: the device whose MAC the flood bears uses the flood's service, in a network of its own."""
    salt = bytes(codes.SALT_BYTES)
    numbers, owner = codes.Codes(salt), np.array([mac_number(OWN)], np.uint64)
    uses = {codes.SERVICES: 6 << 16 | 80, codes.NETWORKS: 1}
    device = numbers.devices(owner)
    pairs = {kind: numbers.pairs(kind, device, owner, np.array([each])).tolist() for kind, each in uses.items()}
    return {"salt": salt.hex()} | pairs


def watched(model: Path, flows: int, options: list[str]) -> tuple[float, str, list[dict]]:
    """CPU seconds of the live program that is fed so many flows, what it said, and its events of incidents."""
    with tempfile.TemporaryDirectory() as folder:
        eve, told = Path(folder) / "eve.json", Path(folder) / "incidents.json"
        argv = [sys.executable, "-m", "tlids_edge.cli.edge", "--model", str(model), "--source", "-", "--live"]
        argv += ["--eve", str(eve), "--incidents", str(told), *options]
        content = HEADER + flood(flows, time.time())
        before = bench_edge.cpu_seconds()
        fed = subprocess.run(argv, input=content, capture_output=True, check=True, timeout=TIMEOUT_S)
        seconds = bench_edge.cpu_seconds() - before
        lines = told.read_text().splitlines() if told.exists() else []
    return seconds, fed.stderr.decode(), [json.loads(line) for line in lines]


def flood(count: int, start_s: float) -> bytes:
    """Records of SYNs from random sources to one port of one host."""
    chance = np.random.default_rng(1)
    records = np.zeros((count, 16 + FRAME), np.uint8)
    ip = struct.pack("!BBHHHBBHI4B", 0x45, 0, 40, 0, 0, 64, 6, 0, 0, 10, 0, 0, 2)
    tcp = struct.pack("!HHIIBBHHH", 0, 80, 1, 0, 0x50, 2, 512, 0, 0)
    frame = VICTIM + OWN + bytes.fromhex("0800") + ip + tcp
    records[:, 16 : 16 + len(frame)] = np.frombuffer(frame, np.uint8)
    records[:, 16 + 26 : 16 + 30] = chance.integers(1, 224, (count, 4))  # source
    records[:, 16 + 34 : 16 + 36] = chance.integers(4, 256, (count, 2))  # and its port
    times_us = int(start_s * 1e6) + np.arange(count) * 1_000_000 // LINE_RATE
    header = np.stack([times_us // 1_000_000, times_us % 1_000_000, *np.full((2, count), FRAME)], axis=1)
    records[:, :16] = header.astype("<u4").view(np.uint8)
    return records.tobytes()


if __name__ == "__main__":
    main()
