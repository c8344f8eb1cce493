"""What the emulated Pi is given beside its disk: the package, a model, and the testbed's second session to replay."""

import gzip
import hashlib
import json
import shutil
import struct
import subprocess
import sys
from datetime import datetime
from pathlib import Path

from system import image
from tlids_edge.detect.card import CARD_FILE, card_of, read_fields
from tlids_edge.learn import rows

REPOSITORY = Path(__file__).resolve().parents[3]
EDGE = REPOSITORY / "edge"
PROBE = Path(__file__).with_name("probe.py")
SESSION = REPOSITORY / "data/testbed/session2.pcap.gz"
FACTS = SESSION.with_name("session2.json")
HEADER, RECORD = 24, struct.Struct("<IIII")


def load(folder: Path) -> Path:
    """Build the package, lay everything out, and pack it into a disk image; the image's path."""
    cargo = folder / "cargo"
    cargo.mkdir()
    command = [sys.executable, str(EDGE / "package/build_deb.py"), "arm64", "-o", str(cargo)]
    subprocess.run(command, check=True, timeout=900, stdout=subprocess.DEVNULL)
    attacker = bytes.fromhex(json.loads(FACTS.read_text())["hosts"]["attacker"]["mac"].replace(":", ""))
    whole, quiet = padded(gzip.decompress(SESSION.read_bytes()), attacker)
    (cargo / "session2.pcap").write_bytes(whole)
    (cargo / "quiet.pcap").write_bytes(quiet)
    shutil.copy(PROBE, cargo)
    thinned(EDGE / "models/testbed", cargo / "thinned")
    disk = folder / "cargo.img"
    image(cargo, disk, "cargo", 256)
    return disk


def thinned(model: Path, target: Path) -> None:
    """The same model with one stored row in ten: QEMU computes so slowly with floats that all take over an hour."""
    shutil.copytree(model, target)
    fields = read_fields(model)
    features, codes = rows.read(model, card_of(fields))
    content = rows.packed(features[::10], codes[::10])
    (target / rows.FILE).write_bytes(content)
    fields["files"][rows.FILE] = {"sha256": hashlib.sha256(content).hexdigest(), "bytes": len(content)}
    (target / CARD_FILE).write_text(json.dumps(fields))


def padded(capture: bytes, attacker: bytes) -> tuple[bytes, bytes]:
    """A capture with the bytes that the recording left out as zeros, so that it can be sent; and without the attacker.

    Raises:
        ValueError: it is no little-endian pcap file in microseconds.
    """
    if capture[:4] != b"\xd4\xc3\xb2\xa1":
        raise ValueError(f"expected a pcap file, found it to begin with {capture[:4].hex()}")
    whole, quiet = bytearray(capture[:HEADER]), bytearray(capture[:HEADER])
    at = HEADER
    while at < len(capture):
        seconds, microseconds, kept, length = RECORD.unpack_from(capture, at)
        frame = capture[at + RECORD.size : at + RECORD.size + kept].ljust(length, b"\0")
        record = RECORD.pack(seconds, microseconds, length, length) + frame
        whole += record
        if attacker not in (frame[:6], frame[6:12]) and attacker not in frame[14:42]:
            quiet += record
        at += RECORD.size + kept
    return bytes(whole), bytes(quiet)


def judged_here(folder: Path) -> str:
    """The lines of incidents and rule alerts that this machine's program finds in the same session."""
    eve, model = folder / "here" / "eve.json", EDGE / "models/testbed"
    if eve.exists():  # judged before
        return (eve.parent / "incidents.json").read_text()
    eve.parent.mkdir()
    command = [sys.executable, "-m", "tlids_edge.cli.edge", "--model", str(model), "--source",
               str(folder / "cargo/session2.pcap"), "--eve", str(eve)]  # fmt: skip
    subprocess.run(command, check=True, capture_output=True, timeout=900)
    return (eve.parent / "incidents.json").read_text()


def events(text: str) -> list[dict]:
    """EVE lines as objects."""
    return [json.loads(line) for line in text.splitlines()]


def attacks() -> list[tuple[str, float, float]]:
    """Each attack of the session: name, first and last second."""
    return [(attack["name"], attack["start"], attack["end"]) for attack in json.loads(FACTS.read_text())["attacks"]]


def first_second() -> float:
    """When the session's first packet was recorded, in seconds since 1970."""
    with gzip.open(SESSION) as file:
        file.seek(HEADER)
        seconds, microseconds, _, _ = RECORD.unpack(file.read(RECORD.size))
    return seconds + microseconds / 1e6


def seconds(timestamp: str) -> float:
    """An EVE line's time in seconds since 1970."""
    return datetime.fromisoformat(timestamp).timestamp()


def keep(disk: Path, target: Path) -> Path:
    """A copy of a disk image, holes left out; this one is written to."""
    subprocess.run(["cp", "--sparse=always", "--reflink=auto", str(disk), str(target)], check=True)
    return target
