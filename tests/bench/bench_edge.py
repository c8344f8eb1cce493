"""How fast the meter is beside the tools it replaces: CPU seconds, one core, the same captures; printed as ratios.

    python tests/bench/bench_edge.py [CAPTURE] [--packets N] [--flows N] [--model DIR]

pyshark and nfstream are extras (`pip install pyshark nfstream`), tshark comes with apt; what is absent is left out.
CPU time counts the children (nfstream's meters, pyshark's tshark), so a busy machine changes little.
"""

import argparse
import importlib.util
import platform
import resource
import struct
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

from tlids_edge.capture.packets import PacketStats
from tlids_edge.capture.pcap import Record, read_records
from tlids_edge.detect.detector import Detector
from tlids_edge.detect.rules import Rules
from tlids_edge.flows.compiled import new_meter, take_rows
from tlids_edge.flows.ndpi import open_ndpi
from tlids_edge.flows.raw import RawReader
from tlids_edge.flows.slices import SLICE_US

ETHERNET = 1
START_US = 1_700_000_000_000_000
PYSHARK_PACKETS = 2_000  # it is that slow
SHARED_CAPTURE = "pcap/benign-home/blink-cam-01.pcap"


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    shared = Path(__file__).resolve().parents[3] / "shared" / SHARED_CAPTURE
    parser.add_argument("capture", nargs="?", type=Path, default=shared, help="a pcap or pcapng file")
    parser.add_argument("--packets", type=int, default=200_000, help="repeat the capture until it has so many")
    parser.add_argument("--flows", type=int, default=50_000, help="connections opened in the new-flow comparison")
    parser.add_argument("--model", type=Path, help="judge the new flows with this model too")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        long, short, syns = (Path(folder) / name for name in ("long.pcap", "short.pcap", "syns.pcap"))
        packets = write_capture(long, repeated(options.capture, options.packets))
        few = write_capture(short, repeated(options.capture, PYSHARK_PACKETS))
        write_capture(syns, connection_attempts(options.flows))
        print(f"{machine()}; {options.capture.name}, {packets:,} packets; CPU seconds of all processes")
        ours = rate("meter + nDPI", "packets", packets, lambda: run_meter(long))
        if importlib.util.find_spec("nfstream"):
            compare(ours, rate("nfstream", "packets", packets, lambda: run_nfstream(long)), "nfstream")
        if importlib.util.find_spec("pyshark"):
            compare(ours, rate("pyshark", "packets", few, lambda: run_pyshark(short)), "pyshark")
        tool = "with the model" if options.model else "meter + nDPI"
        ours = rate(tool, "new flows", options.flows, lambda: run_meter(syns, options.model))
        if importlib.util.find_spec("nfstream"):
            compare(ours, rate("nfstream", "new flows", options.flows, lambda: run_nfstream(syns)), "nfstream")


def rate(tool: str, unit: str, count: int, work: Callable[[], None]) -> float:
    """Run three times; print and return the best units per CPU second, children included."""
    seconds = min(timed(work) for _ in range(3))
    print(f"{tool:14} {count / seconds:12,.0f} {unit}/s")
    return count / seconds


def timed(work: Callable[[], None]) -> float:
    """CPU seconds of one run."""
    before = cpu_seconds()
    work()
    return cpu_seconds() - before


def compare(ours: float, theirs: float, tool: str) -> None:
    """Print the ratio, which holds from machine to machine."""
    print(f"{'':14} {ours / theirs:12.1f} times {tool}")


def cpu_seconds() -> float:
    """User and system time of this process and of the children it has waited for."""
    usages = (resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    return sum(usage.ru_utime + usage.ru_stime for usage in usages)


def machine() -> str:
    """The processor and the Python."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        lines = []
    names = [line.split(":", 1)[1].strip() for line in lines if line.startswith(("model name", "Model"))]
    return f"{names[0] if names else platform.machine()}, Python {platform.python_version()}"


def run_meter(capture: Path, model: Path | None = None, with_ndpi: bool = True) -> None:
    """Our meter with nDPI, in tlids-edge's slices of time, but without its rules; with a model flows are judged."""
    meter, judge = new_meter(l7=open_ndpi() if with_ndpi else None), judge_with(model) if model else lambda rows: None
    stats, rules = PacketStats(), Rules(None, None)
    with capture.open("rb") as stream:
        reader = RawReader(meter, stats, True, rules.wants, SLICE_US)
        for _ in reader.read(stream):
            rules.hear(meter, stats, reader.now_us)
            if meter.ended:
                judge(take_rows(meter))
    meter.close_all()
    judge(take_rows(meter))


def judge_with(model: Path) -> Callable[[list], object]:
    """The detector's batches of flows, without waiting for time to pass."""
    detector = Detector(model, max_delay_ms=0)
    return lambda rows: detector.add(rows, 0.0)


def run_nfstream(capture: Path) -> None:
    """nfstream with one meter, its default of 20 packets to nDPI, and our timeouts."""
    from nfstream import NFStreamer

    for _ in NFStreamer(str(capture), n_meters=1, idle_timeout=15, active_timeout=60, accounting_mode=1):
        pass


def run_pyshark(capture: Path) -> None:
    """The paper's way: read every packet, and look at the fields a flow needs."""
    import pyshark

    with pyshark.FileCapture(str(capture), keep_packets=False) as packets:
        for packet in packets:
            if "ip" in packet:
                _ = packet.ip.src, packet.ip.dst, packet.ip.len, packet.transport_layer


def repeated(capture: Path, count: int) -> Iterator[Record]:
    """The records of a capture, over and over with later times, until there are `count`."""
    with capture.open("rb") as stream:
        records = list(read_records(stream, PacketStats()))
    span = records[-1].time_us - records[0].time_us + 60_000_000
    for index in range(count):
        turn, place = divmod(index, len(records))
        record = records[place]
        yield record._replace(time_us=record.time_us + turn * span)


def connection_attempts(count: int) -> Iterator[Record]:
    """One SYN to port 80 from each of `count` addresses, 100 microseconds apart."""
    ethernet = bytes.fromhex("020000000002 020000000001 0800")
    for index in range(count):
        src = 0x0B000000 + index
        ip = struct.pack("!BBHHHBBHI4B", 0x45, 0, 40, 0, 0, 64, 6, 0, src, 10, 0, 0, 2)
        tcp = struct.pack("!HHIIBBHHH", 1024 + index % 60_000, 80, 1, 0, 0x50, 2, 1024, 0, 0)
        yield Record(START_US + index * 100, ETHERNET, ethernet + ip + tcp, 54)


def write_capture(path: Path, records: Iterator[Record]) -> int:
    """Write records as a pcap; returns how many."""
    count = 0
    with path.open("wb") as stream:
        for count, record in enumerate(records, 1):
            if count == 1:
                stream.write(struct.pack("<IHHiIII", 0xA1B2C3D4, 2, 4, 0, 0, 262_144, record.link_type))
            seconds, fraction = divmod(record.time_us, 1_000_000)
            stream.write(struct.pack("<IIII", seconds, fraction, len(record.frame), record.wire_length) + record.frame)
    return count


if __name__ == "__main__":
    sys.exit(main())
