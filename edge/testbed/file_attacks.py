"""Hostile files for `tlids-edge`: captures, models and cards, each given to the program under the unit's memory limit.

Nothing is sent: whoever can hand over a file needs no network. Files are made in the testbed's tmpfs.
"""

import gzip
import hashlib
import json
import os
import re
import struct
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

from testbed import network as lab
from testbed.program_attacks import MOST_PEAK_MB, Outcome, Place, Trial, problem
from testbed.rule_attacks import NOBODY
from testbed.services.servers import EDGE

LIMITS = ("timeout", "--kill-after=5", "90", "prlimit", "--as=1073741824")  # LimitAS= of the unit
INTERFACES, FLOWS = 2_000_000, 300_000
LEAST_LINES = 3  # status lines, one each tenth of a second: a run takes a second at least
SAID_MOST = 4096  # bytes
PCAP = struct.pack("<IHHiIII", 0xA1B2C3D4, 2, 4, 0, 0, 262_144, 1)
SECTION = struct.pack("<IIIHHqI", 0x0A0D0D0A, 28, 0x1A2B3C4D, 1, 0, -1, 28)
INTERFACE = struct.pack("<IIHHII", 1, 20, 1, 0, 0, 20)
CONTROLS = "\x1b[2J\x1b]0;owned\x07"


class Run(NamedTuple):
    """How a run ended."""

    status: int  # negative or over 128: by a signal
    said: str
    peak_mb: int  # 0 where it was refused


def run(place: Place, source: str, *options: str, model: Path | None = None) -> Run:
    """`tlids-edge` on one file, to its end."""
    eve, log = lab.FOLDER / "file.eve.json", lab.FOLDER / "file.log"
    for old in lab.FOLDER.glob("file.eve.json*"):
        old.unlink()
    argv = [*LIMITS, sys.executable, str(EDGE / "capture_and_infer.py"), "--model", str(model or place.model)]
    with open(log, "wb") as words:
        done = subprocess.run([*argv, "--source", source, "--eve", str(eve), *options], stdout=words, stderr=words)
    said = log.read_text(errors="replace")
    peak = re.search(r"peak memory (\d+) MB", said)
    return Run(done.returncode, said, int(peak[1]) if peak else 0)


def packets(frames: Iterable[tuple[int, bytes]]) -> Iterable[bytes]:
    """A capture's parts: each frame with its time in microseconds since 1970."""
    yield PCAP
    for time_us, frame in frames:
        yield struct.pack("<IIII", time_us // 1_000_000, time_us % 1_000_000, len(frame), len(frame)) + frame


def enhanced(ticks: int, frame: bytes) -> bytes:
    """A packet of a pcapng section."""
    size = 32 + len(frame) + -len(frame) % 4
    head = struct.pack("<IIIIIII", 6, size, 0, ticks >> 32, ticks & 0xFFFFFFFF, len(frame), len(frame))
    return head + frame + bytes(-len(frame) % 4) + struct.pack("<I", size)


def datagram(number: int) -> bytes:
    """A frame of a flow of its own for each number."""
    head = struct.pack("!BBHHHBBH", 0x45, 0, 28, 1, 0, 64, 17, 0) + struct.pack("!I", 0x0A000000 + number)
    ports = struct.pack("!HHHH", 1024 + number % 60_000, 53, 8, 0)
    return bytes.fromhex("020000000001020000000002") + b"\x08\x00" + head + bytes([10, 0, 0, 1]) + ports


def absurd_time(place: Place) -> Outcome:
    """A packet of the year 292,277 in a small pcapng."""
    path = lab.FOLDER / "absurd.pcapng"
    path.write_bytes(
        SECTION + INTERFACE + enhanced(2**63 - 1, datagram(1)) + enhanced(1_700_000_000_000_000, datagram(2))
    )
    done = run(place, str(path))
    return Outcome(
        f"{path.stat().st_size} bytes: reported, and both packets are judged",
        problem(
            (done.status == 0, f"expected the run to end well, found exit status {done.status}"),
            ("1 packets have an impossible time" in done.said, "expected a word about the time, found none"),
            ("tlids-edge: 2 flows" in done.said, "expected a flow of each packet, found other flows"),
        ),
    )


def interface_bomb(place: Place) -> Outcome:
    """Two million interfaces in a compressed pcapng."""
    path = lab.FOLDER / "interfaces.pcapng.gz"
    with gzip.open(path, "wb", 1) as file:
        file.write(SECTION)
        for _ in range(INTERFACES // 1000):
            file.write(INTERFACE * 1000)
        file.write(enhanced(1_700_000_000_000_000, datagram(1)))
    return bomb(place, path, f"{INTERFACES:,} interfaces")


def flow_bomb(place: Place) -> Outcome:
    """Three hundred thousand flows in a small file; status lines go on."""
    path = lab.FOLDER / "flows.pcap.gz"
    with gzip.open(path, "wb", 1) as file:
        for part in packets((1_700_000_000_000_000 + n, datagram(n)) for n in range(FLOWS)):
            file.write(part)
    return bomb(place, path, f"{FLOWS:,} flows")


def bomb(place: Place, path: Path, what: str) -> Outcome:
    """A file that unfolds: memory and status lines."""
    done = run(place, str(path), "--status", "0.1")
    lines = len(re.findall(r"^tlids-edge: packets \d", done.said, re.MULTILINE))
    return Outcome(
        f"{what} in {path.stat().st_size / 1000:,.0f} kB: peak memory {done.peak_mb} MB, {lines} status lines",
        problem(
            (done.status == 0, f"expected the run to end well, found exit status {done.status}"),
            (0 < done.peak_mb < MOST_PEAK_MB, f"expected {MOST_PEAK_MB} MB at most, found {done.peak_mb}"),
            (lines >= LEAST_LINES, f"expected status lines to continue, found {lines}"),
        ),
    )


def copied(place: Place, **changes: object) -> Path:
    """The model's folder again, with other fields in its card."""
    folder = lab.FOLDER / "hostile-model"
    folder.mkdir(exist_ok=True)
    (folder / "model.tflite").write_bytes((place.model / "model.tflite").read_bytes())
    card = json.loads((place.model / "card.json").read_text())
    (folder / "card.json").write_text(json.dumps(card | changes))
    return folder


def hostile_card(place: Place) -> Outcome:
    """Names of a million characters and with control characters in a card."""
    classes = json.loads((place.model / "card.json").read_text())["classes"]
    cards = ({"name": "x" * 1_000_000}, {"name": CONTROLS}, {"classes": [CONTROLS, *classes[1:]]})
    done = [run(place, os.devnull, model=copied(place, **changes)) for changes in cards]
    return Outcome(
        f"{len(done)} cards refused; the messages are short and printable",
        problem(
            (all(one.status == 2 for one in done), f"expected exit status 2, found {[one.status for one in done]}"),
            (all(len(one.said) < SAID_MOST for one in done), "expected a sentence, found more"),
            (all("\x1b" not in one.said and "\x07" not in one.said for one in done), "found control characters said"),
        ),
    )


def changed_model(place: Place) -> Outcome:
    """One byte of the model is another, at several places; its digest is the old one."""
    folder, done = copied(place), []
    whole = (folder / "model.tflite").read_bytes()
    for part in (0.001, 0.3, 0.999):
        changed = bytearray(whole)
        changed[int(part * len(whole))] ^= 1
        (folder / "model.tflite").write_bytes(changed)
        done.append(run(place, os.devnull, model=folder))
    return Outcome(
        "refused by its digest before it is parsed",
        problem(
            (all(one.status == 2 for one in done), f"expected exit status 2, found {[one.status for one in done]}"),
            (all("SHA-256" in one.said for one in done), "expected a word about the digest, found none"),
        ),
    )


def forged_digest(place: Place) -> Outcome:
    """What is no model, with a card that has its digest: whoever may write the folder can do that."""
    folder, done = copied(place), []
    whole = (folder / "model.tflite").read_bytes()
    for content in (whole[:1916], whole[:4] + b"TFL3" + b"\xff" * 3000):
        (folder / "model.tflite").write_bytes(content)
        card = json.loads((folder / "card.json").read_text())
        card["files"]["model.tflite"]["sha256"] = hashlib.sha256(content).hexdigest()
        (folder / "card.json").write_text(json.dumps(card))
        done.append(run(place, os.devnull, model=folder))
    ends = ", ".join("refused" if one.status == 2 else f"exit status {one.status}" for one in done)
    return Outcome(
        f"{ends}, under the unit's limit on memory",
        problem((all(one.status not in (124, 137) for one in done), "expected it to end, found it running after 90 s")),
    )


TRIALS = (
    Trial("a model with one changed byte", "H8", changed_model, NOBODY),
    Trial("a file that is not a model, with its digest", "H8", forged_digest, NOBODY),
    Trial("a packet with an impossible time", "M1", absurd_time, NOBODY),
    Trial("an interface bomb", "M2", interface_bomb, NOBODY),
    Trial("a flow bomb", "M3", flow_bomb, NOBODY),
    Trial("a hostile card", "M4", hostile_card, NOBODY),
)
