"""How the Pi's own program judges a capture: `edge/capture_and_infer.py` is run on it and its EVE lines are read.

Nothing of the detector is repeated here, so that what is scored is what runs on the Pi (Section 5.4).
"""

import json
import struct
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterable
from datetime import datetime
from pathlib import Path
from types import SimpleNamespace
from typing import BinaryIO

import numpy as np
import pandas as pd
from tlids_edge import outputs
from tlids_edge.capture.packets import TCP, Packet, PacketStats, read_packets
from tlids_edge.capture.pcap import Record, read_records
from tlids_edge.flows.labels import label_flow, read_labels

from tlids_helpers.common import files, progress
from tlids_helpers.common.errors import InputError

SCRIPT = files.REPOSITORY / "edge" / "capture_and_infer.py"
RULE_SIDS = range(9_200_000, 9_300_000)  # see edge/DETAILS.md
MULTICAST = 224  # the first byte of the lowest multicast IPv4 address
PCAP, ETHERNET, SNAP_LENGTH = 0xA1B2C3D4, 1, 262_144


def replay(model: str | Path, capture: str | Path, *options: str) -> list[dict]:
    """The EVE events of a replayed capture, every flow included, in the order in which they were written.

    Raises InputError with the program's own sentence when it refuses the model or the capture.
    """
    with tempfile.TemporaryDirectory() as scratch:
        eve = Path(scratch) / "eve.json"
        done = subprocess.run(
            [*_command(model, str(files.resolve(capture)), *options), "--eve", str(eve), "--eve-max-mb", "0"],
            capture_output=True, text=True, check=False,
        )  # fmt: skip
        if done.returncode:
            lines = done.stderr.strip().splitlines() or [f"expected verdicts, found exit status {done.returncode}"]
            raise InputError(lines[-1])
        return [json.loads(line) for line in eve.read_bytes().splitlines()]


def verdicts(events: Iterable[dict], labels: str | Path) -> pd.DataFrame:
    """A row a flow, in the order of judgement: time, src, dst, truth, verdict, score, anomaly, reason.

    `time` is that of the flow's last packet, in seconds since 1970; `verdict` is the class that the alert names, or the
    benign one; `anomaly` is True where the model or a rule raises an alert. `labels` is the recording's labels.csv.
    """
    rules = read_labels(files.resolve(labels))
    rows = [_verdict(event, rules) for event in events if event["event_type"] == "flow"]
    return pd.DataFrame(rows, columns=["time", "src", "dst", "truth", "verdict", "score", "anomaly", "reason"])


def rule_alerts(events: Iterable[dict]) -> pd.DataFrame:
    """The alerts that a rule raised: time in seconds since 1970, and its text."""
    rows = [
        (since_1970(event["timestamp"]), event["alert"]["signature"])
        for event in events
        if event["event_type"] == "alert" and event["alert"]["signature_id"] in RULE_SIDS
    ]
    return pd.DataFrame(rows, columns=["time", "alert"])


def latencies(model: str | Path, capture: str | Path, start: float, seconds: float) -> pd.DataFrame:
    """Play part of a capture in real time: how long after its last packet is a flow judged?

    The part is `seconds` long and begins at `start`, in seconds since 1970. Raises InputError when no packet is in it.

    Columns: reason the flow ended, and milliseconds from its last packet to the line with the verdict. The packets
    come through a pipe, as from tcpdump. Flows that only the end of the playing closed are left out.
    """
    with open(files.resolve(capture), "rb") as stream:
        records = [r for r in read_records(stream, PacketStats()) if start <= r.time_us / 1e6 < start + seconds]
    if not records:
        raise InputError(f"expected packets in {seconds:g} s from {start:.0f} of {Path(capture).name}, found none")
    pipes = dict.fromkeys(("stdin", "stdout", "stderr"), subprocess.PIPE)
    with subprocess.Popen(_command(model, "-"), **pipes) as program, progress.counter("judging", "flows") as count:
        _await_model(program)
        began = time.monotonic() - records[0].time_us / 1e6
        player = threading.Thread(target=_play, args=(records, program.stdin, began), daemon=True)
        player.start()
        rows = []
        for event in map(json.loads, program.stdout):
            if event["event_type"] == "flow" and event["flow"]["reason"] != "shutdown":
                late = time.monotonic() - began - since_1970(event["timestamp"])
                rows.append((event["flow"]["reason"], 1000 * late))
                count.update()
        player.join()
    return pd.DataFrame(rows, columns=["reason", "milliseconds"])


def shuffle_addresses(capture: str | Path, target: str | Path, seed: int) -> int:
    """Copy a capture with its unicast IPv4 addresses permuted, in ARP too; returns how many took part.

    Every flow stays a flow between two hosts that keep their new addresses. TCP's checksums follow, because the meter
    leaves out a RST whose checksum is wrong; it looks at no other. What is neither IP nor ARP is left out.
    """
    with open(files.resolve(capture), "rb") as stream:
        packets = list(read_packets(stream, PacketStats()))
    known = sorted({a for p in packets for a in (p.src, p.dst) if len(a) == 4 and 0 < a[0] < MULTICAST and a[3] < 255})
    order = np.random.default_rng(seed).permutation(len(known))
    shuffled = {address: known[number] for address, number in zip(known, order, strict=True)}
    with outputs.written(target) as stream:
        stream.write(struct.pack("<IHHiIII", PCAP, 2, 4, 0, 0, SNAP_LENGTH, ETHERNET))
        for packet in packets:
            frame = bytearray(packet.frame)
            for offset, address in _address_offsets(packet):
                frame[offset : offset + 4] = shuffled.get(address, address)
            if packet.protocol == TCP and len(packet.src) == 4:
                _follow(frame, packet)
            stream.write(_record(packet.time_us, bytes(frame), packet.frame_length))
    return len(known)


def _follow(frame: bytearray, packet: Packet) -> None:
    """Let the TCP checksum of `frame`, which by now has other addresses than `packet`, be as right as it was.

    RFC 1624. One that the network card has yet to complete is the pseudo header's sum, and moves the other way.
    """
    at = packet.ip_offset
    header = (frame[at] & 15) * 4
    place = at + header + 16
    if len(frame) < place + 2:
        return
    old, new = packet.src + packet.dst, frame[at + 12 : at + 20]
    found = int.from_bytes(frame[place : place + 2])
    partial = (found - int.from_bytes(old) - TCP - (packet.length - header)) % 0xFFFF == 0
    moved = int.from_bytes(new) - int.from_bytes(old)
    frame[place : place + 2] = ((found + moved if partial else found - moved) % 0xFFFF).to_bytes(2)


def _command(model: str | Path, source: str, *options: str) -> list[str]:
    return [
        sys.executable, str(SCRIPT), "--model", str(files.resolve(model)), "--source", source,
        "--all-flows", "--flow-alerts", "all", *options,
    ]  # fmt: skip


def _verdict(event: dict, rules: list) -> tuple:
    flow, ether = event["flow"], event.get("ether", {})
    start, end = since_1970(flow["start"]), since_1970(flow["end"])
    known = SimpleNamespace(
        first_us=start * 1e6, last_us=end * 1e6, src=event["src_ip"], dst=event["dest_ip"],
        src_mac=ether.get("src_mac", ""), dst_mac=ether.get("dest_mac", ""),
        src_port=event.get("src_port", 0), dst_port=event.get("dest_port", 0),
    )  # fmt: skip
    found = {variable["key"]: variable["value"] for variable in event["metadata"]["flowvars"]}
    return (
        end, known.src, known.dst, label_flow(rules, known), found["tlids_class"], float(found["tlids_score"]),
        flow["alerted"], flow["reason"],
    )  # fmt: skip


def _await_model(program: subprocess.Popen) -> None:
    """Wait until the model is loaded, so that its loading is not counted; keep standard error from filling up."""
    for line in program.stderr:
        if b"watching" in line:
            threading.Thread(target=program.stderr.read, daemon=True).start()
            return
    raise InputError("expected the Pi's program to watch, found that it ended first: run it by hand to see the reason")


def _play(records: list[Record], pipe: BinaryIO, began: float) -> None:
    """Write every record when its time has come."""
    with pipe:
        pipe.write(struct.pack("<IHHiIII", PCAP, 2, 4, 0, 0, SNAP_LENGTH, records[0].link_type))
        for record in records:
            time.sleep(max(0.0, began + record.time_us / 1e6 - time.monotonic()))
            pipe.write(_record(record.time_us, record.frame, record.wire_length))
            pipe.flush()


def _record(time_us: int, frame: bytes, wire_length: int) -> bytes:
    """A pcap record."""
    return struct.pack("<IIII", *divmod(time_us, 1_000_000), len(frame), wire_length) + frame


def _address_offsets(packet: Packet) -> list[tuple[int, bytes]]:
    """Where a frame holds IPv4 addresses, and which."""
    at = packet.ip_offset
    if packet.arp is not None:
        return [(at + 14, packet.arp[2]), (at + 24, packet.arp[3])]
    return [(at + 12, packet.src), (at + 16, packet.dst)] if len(packet.src) == 4 else []


def since_1970(timestamp: str) -> float:
    """An EVE timestamp in seconds since 1970."""
    return datetime.fromisoformat(timestamp).timestamp()
