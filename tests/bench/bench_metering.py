"""How fast captures become flows beside nfstream and pyshark, and how that grows; `bench_edge` has the tools.

    python tests/bench/bench_metering.py [--quick]

Rates are per CPU second of all processes. The captures are the testbed's second session, which the repository ships,
and, where TLIDS_SHARED has it, an hour of a home camera; each repeated. pyshark is so slow that it gets their first
2,000 packets.
"""

import contextlib
import importlib.util
import os
import shutil
import sys
import tempfile
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import bench_edge
import lines
import testbed_run
from tlids_edge.capture.packets import PacketStats
from tlids_edge.flows.compiled import new_meter, take_rows
from tlids_edge.flows.ndpi import open_ndpi
from tlids_edge.flows.raw import RawReader

PACKETS = {False: 500_000, True: 5_000}  # quick? Starting nDPI takes as long as 50,000 packets
ATTEMPTS = {False: 50_000, True: 1_000}
GROWTH_PACKETS = {False: (10_000, 100_000, 1_000_000), True: (1_000, 10_000)}
GROWTH_FLOWS = {False: (10, 1_000, 5_000, 10_000, 20_000, 40_000, 80_000), True: (10, 1_000)}
# the table's cap is 20,000: what is offered beyond it must cost no memory
compare = partial(lines.compare, "metering")


def main() -> None:
    """Measure and print."""
    quick = lines.is_quick(__doc__)
    with tempfile.TemporaryDirectory() as folder:
        for name, capture in captures():
            packets_per_second(name, capture, Path(folder), PACKETS[quick])
        flows_per_second(Path(folder), ATTEMPTS[quick])
        growth(Path(folder), quick)


def captures() -> Iterator[tuple[str, Path]]:
    """Title and file of each capture that is here."""
    yield "a smart home under attack", testbed_run.CAPTURE
    camera = Path(os.environ.get("TLIDS_SHARED") or lines.REPOSITORY.parent / "shared") / bench_edge.SHARED_CAPTURE
    if camera.is_file():
        yield "a home camera", camera


def packets_per_second(name: str, capture: Path, folder: Path, packets: int) -> None:
    """The meter with nDPI beside the others, on one capture."""
    long, short = folder / "long.pcap", folder / "short.pcap"
    bench_edge.write_capture(long, bench_edge.repeated(capture, packets))
    few = bench_edge.write_capture(short, bench_edge.repeated(capture, min(packets, bench_edge.PYSHARK_PACKETS)))
    what, unit = f"packets of {name}, meter and nDPI", "packets/s"
    ours = rate("meter + nDPI", packets, lambda: bench_edge.run_meter(long))
    alone = rate("meter alone", packets, lambda: bench_edge.run_meter(long, with_ndpi=False))
    note = f"per CPU second; {packets:,} packets"
    lines.emit(part="metering", what=f"packets of {name}, meter without nDPI", value=alone, unit=unit, note=note)
    if has("nfstream"):
        compare(what, "nfstream", ours, rate("nfstream", packets, lambda: bench_edge.run_nfstream(long)), unit, note)
    if has("pyshark", "tshark"):
        theirs = rate("pyshark", few, lambda: bench_edge.run_pyshark(short))
        compare(what, "pyshark, the paper's way", ours, theirs, unit, f"{note}, pyshark's first {few:,}")


def flows_per_second(folder: Path, attempts: int) -> None:
    """A SYN flood: every packet opens a flow."""
    syns = folder / "syns.pcap"
    bench_edge.write_capture(syns, bench_edge.connection_attempts(attempts))
    ours = rate("meter + nDPI", attempts, lambda: bench_edge.run_meter(syns))
    if has("nfstream"):
        theirs = rate("nfstream", attempts, lambda: bench_edge.run_nfstream(syns))
        compare("new flows of a SYN flood, meter and nDPI", "nfstream", ours, theirs, "flows/s",
                f"per CPU second; {attempts:,} flows")  # fmt: skip


def has(package: str, program: str = "") -> bool:
    """Whether another tool is here; its absence is printed as a line of the protocol."""
    here = importlib.util.find_spec(package) and (not program or shutil.which(program))
    if not here:
        lines.emit(part="metering", what=f"{package} was not measured", value=None, unit="",
                   note=f"{program or package} is not installed")  # fmt: skip
    return bool(here)


def rate(tool: str, count: int, work) -> float:
    """The best of three, per CPU second; what bench_edge says of it goes to standard error."""
    with contextlib.redirect_stdout(sys.stderr):
        return bench_edge.rate(tool, "", count, work)


def growth(folder: Path, quick: bool) -> None:
    """Time against packets, memory against open flows; each in a process of its own."""
    capture = folder / "growth.pcap"
    for packets in GROWTH_PACKETS[quick]:
        bench_edge.write_capture(capture, bench_edge.repeated(testbed_run.CAPTURE, packets))
        took = lines.alone(bench_edge.run_meter, capture)
        lines.emit(growth="metering", packets=packets, seconds=took.seconds, peak_mb=took.peak_mb)
    for flows in GROWTH_FLOWS[quick]:
        bench_edge.write_capture(capture, bench_edge.connection_attempts(flows))
        took = lines.alone(hold_open, capture)
        lines.emit(growth="open_flows", flows=flows, open=took.result, seconds=took.seconds, peak_mb=took.peak_mb)


def hold_open(capture: Path) -> int:
    """Meter connection attempts that never end; returns how many flows are open when all have come."""
    meter = new_meter(l7=open_ndpi())
    with capture.open("rb") as stream:
        for _ in RawReader(meter, PacketStats()).read(stream):
            meter.take_notes()
            take_rows(meter)
    return len(meter)


if __name__ == "__main__":
    main()
