"""Both meters over everything there is: `make equal-core`. Prints what differs, and exits with 1 if anything does.

Captures are all shared ones, both sessions of the testbed, a SYN flood, disorder and clocks that jump. Each is read by
Python's decoder, clock and meter, and by the compiled ones: as a file and as a pipe, whole, in odd pieces and, when it
is small, byte by byte; for both families, with timeouts from 50 ms and tables of 1 to 20,000 flows; with and without
nDPI.
"""

import argparse
import itertools
import sys
import time
from collections.abc import Iterator
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "edge"))
sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "edge" / "flows"))

from build_pcap import START, SYN, ethernet, ipv4, pcap, tcp
from equal_readers import difference
from shared_captures import captures
from test_raw import disordered
from tlids_edge.flows.ndpi import Ndpi, NdpiUnavailable

ROOT = Path(__file__).resolve().parents[2]
TABLES = (1, 2, 7, 100, 20_000)
TIMEOUTS = ((0.05, 0.05), (0.05, 0.5), (1.0, 3.0), (15.0, 60.0))
SMALL, MIDDLING = 20_000, 2_000_000  # bytes of a capture: byte by byte up to here; every setting up to there


def main() -> int:
    """Compare; 0 when nothing differs."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--most", type=int, default=10**9, metavar="N", help="comparisons at most")
    most = parser.parse_args().most
    pair = two_ndpis()
    begun, done, faults = time.monotonic(), 0, 0
    for name, content in contents():
        for settings, kind, as_they_come, l7 in ways(len(content), pair):
            if done >= most:
                break
            found = difference(content, settings, kind, as_they_come, l7)
            done += 1
            if found:
                faults += 1
                print(f"{name} {settings} {kind} pipe={as_they_come} nDPI={l7 is not None}: {found[:500]}", flush=True)
    print(f"{done} comparisons, {faults} differ, {time.monotonic() - begun:.0f} s")
    return 1 if faults or not done else 0


def two_ndpis() -> tuple[Ndpi, Ndpi] | None:
    """An nDPI for each meter; None where there is none."""
    try:
        return Ndpi(), Ndpi()
    except NdpiUnavailable as reason:
        print(f"without nDPI: {reason}")
        return None


def contents() -> Iterator[tuple[str, bytes]]:
    """Every capture and its name."""
    for parameter in captures("."):
        yield parameter.values[0].name, parameter.values[0].read_bytes()
    for path in sorted((ROOT / "data/testbed").glob("*.pcap.gz")):
        yield path.name, path.read_bytes()
    for seed in range(20):
        yield f"disorder {seed}", disordered(seed)
    yield "flood", flood(100_000)


def flood(count: int) -> bytes:
    """SYNs of as many sources, 7 us apart."""
    frame = ethernet(ipv4(tcp(1024, 80, SYN)))
    return pcap(*((START + 7 * n, frame[:26] + n.to_bytes(4, "big") + frame[30:]) for n in range(count)))


def ways(size: int, pair: tuple | None) -> Iterator[tuple]:
    """Settings, cut, pipe or file, nDPI."""
    kinds = ("whole", "odd", "single") if size <= SMALL else ("whole", "odd")
    for (idle, active), table in itertools.product(TIMEOUTS, TABLES if size <= MIDDLING else TABLES[-2:]):
        settings = {"family": "both", "idle_timeout": idle, "active_timeout": active, "max_flows": table}
        for as_they_come in (False, True):
            yield settings, kinds[table % len(kinds)], as_they_come, None
    for family in ("netflow", "cicflow"):
        for kind in kinds:
            yield {"family": family}, kind, False, pair


if __name__ == "__main__":
    sys.exit(main())
