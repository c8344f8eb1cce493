"""`make count-arm`: instructions of an emulated Cortex-A53 a packet and a flow, into docs/results/count-arm.json.

A figure is the difference between a long and a short capture, divided by the difference of their packets (or flows), so
that starting Python cancels. From it and from what is assumed of the processor comes a rate on paper.
"""

import gzip
import json
import os
import struct
import sys
import tempfile
from collections.abc import Iterator
from datetime import date
from pathlib import Path
from typing import NamedTuple

import build_pcap
from arm.counter import Counter
from tlids_edge.errors import InputError

REPOSITORY = Path(__file__).resolve().parents[3]
RESULT = REPOSITORY / "docs/results/count-arm.json"
TESTBED = REPOSITORY / "data/testbed/session2.pcap.gz"
CAMERA = Path(os.environ.get("TLIDS_SHARED") or REPOSITORY.parent / "shared") / "pcap/benign-home/blink-cam-01.pcap"
HERTZ, PER_CYCLE = 1_200_000_000, (0.6, 0.8)  # of a Pi 3; instructions a cycle of an in-order core, low and high
START_PACKETS, SHORT_PACKETS, MOST_PACKETS = 1_000, 4_000, 200_000
START_FLOWS, MOST_FLOWS = 1_000, 6_000
GLOBAL_HEADER, RECORD_HEADER = 24, 16  # bytes of a pcap file's and of a record's


class Way(NamedTuple):
    """Which meter, how its flows are taken, with nDPI or without."""

    kind: str
    flows: str = "rows"
    ndpi: bool = True


WAYS = {
    "Python's meter and nDPI": Way("Python"),
    "compiled meter and nDPI": Way("compiled"),
    "compiled meter alone": Way("compiled", ndpi=False),
    "compiled meter and nDPI, flows as objects": Way("compiled", "objects"),
}


def main() -> int:
    """Count all ways over all captures, print them, and write the result file."""
    try:
        with tempfile.TemporaryDirectory(prefix="tlids-count-") as scratch:
            counter = Counter(Path(scratch))
            result = {"command": "make count-arm", "machine": counter.versions(), "date": date.today().isoformat()}
            result |= {"hertz": HERTZ, "per_cycle": PER_CYCLE, "lines": list(lines(counter, Path(scratch)))}
            result["short"] = round(short_count(counter, Path(scratch)))
    except InputError as error:
        print(f"count-arm: {error}", file=sys.stderr)
        return 2
    beside = RESULT.with_suffix(".new")
    beside.write_text(json.dumps(result, indent=1) + "\n")
    beside.replace(RESULT)
    print(f"{RESULT.relative_to(REPOSITORY)} written; `make docs` puts it into edge/MEASURED.md")
    return 0


def lines(counter: Counter, scratch: Path) -> Iterator[dict]:
    """One line for each capture and way, printed as it comes."""
    for what, unit, start, whole in captures(scratch):
        for name, way in WAYS.items():
            found, units = difference(counter, way, unit, start, whole)
            rates = [HERTZ * share * units / found for share in PER_CYCLE]
            print(f"{what}, {name}: {found / units:,.0f} instructions a {unit} ({units:,} {unit}s); on paper "
                  f"{rates[0]:,.0f} to {rates[1]:,.0f} a second", flush=True)  # fmt: skip
            yield {"what": what, "unit": unit, "way": name, "units": units, "instructions": round(found / units)}


def captures(scratch: Path) -> Iterator[tuple[str, str, Path, Path]]:
    """Title, unit, a capture of a few units and one of many."""
    for what, source in (("second session of the testbed", TESTBED), ("home camera", CAMERA)):
        if source.is_file():
            yield what, "packet", *(first_packets(source, count, scratch) for count in (START_PACKETS, MOST_PACKETS))
    yield "SYN flood, each packet a flow", "flow", *(flood(count, scratch) for count in (START_FLOWS, MOST_FLOWS))


def difference(counter: Counter, way: Way, unit: str, start: Path, whole: Path) -> tuple[int, int]:
    """Instructions and units by which the whole capture has more than its beginning."""
    first, second = (counter.count(capture, *way) for capture in (start, whole))
    place = {"packet": 1, "flow": 2}[unit]
    return second.instructions - first.instructions, second[place] - first[place]


def short_count(counter: Counter, scratch: Path, way: Way = WAYS["compiled meter and nDPI"]) -> float:
    """Instructions a packet over a few thousand packets of the testbed: what CI compares."""
    found, units = difference(
        counter, way, "packet", *(first_packets(TESTBED, count, scratch) for count in (START_PACKETS, SHORT_PACKETS))
    )
    return found / units


def first_packets(source: Path, count: int, scratch: Path) -> Path:
    """The first records of a pcap file, as a pcap file that is not compressed."""
    content = source.read_bytes()
    if source.suffix == ".gz":
        content = gzip.decompress(content)
    order = {b"\xd4\xc3\xb2\xa1": "<", b"\xa1\xb2\xc3\xd4": ">"}[content[:4]]
    at = GLOBAL_HEADER
    while count and at < len(content):
        at += RECORD_HEADER + struct.unpack_from(f"{order}I", content, at + 8)[0]
        count -= 1
    target = scratch / f"{source.name.split('.')[0]}-{at}.pcap"
    target.write_bytes(content[:at])
    return target


def flood(count: int, scratch: Path) -> Path:
    """One SYN to port 80 from each of `count` addresses, 100 microseconds apart."""
    frames = []
    for number in range(count):
        segment = build_pcap.tcp(1024 + number, 80, build_pcap.SYN)
        source = f"11.0.{number >> 8}.{number & 255}"
        frame = build_pcap.ethernet(build_pcap.ipv4(segment, src=source))
        frames.append((build_pcap.START + 100 * number, frame))
    target = scratch / f"flood-{count}.pcap"
    target.write_bytes(build_pcap.pcap(*frames))
    return target


if __name__ == "__main__":
    sys.exit(main())
