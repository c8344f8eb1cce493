"""The `tlids-meter` command: captures in, a CSV with one row a flow out."""

import argparse
import contextlib
import csv
import os
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import lru_cache, partial
from itertools import chain
from pathlib import Path
from typing import BinaryIO, TextIO

from tlids_edge.capture.packets import Packet, PacketStats, read_packets
from tlids_edge.errors import InputError
from tlids_edge.flows.labels import BENIGN, LabelRule, label_flow, read_labels
from tlids_edge.flows.meter import (
    CICFLOW_FEATURES,
    DEFAULT_DIALECT,
    DIALECTS,
    ENDINGS,
    FAMILIES,
    Flow,
    Meter,
)
from tlids_edge.flows.ndpi import open_ndpi
from tlids_edge.help import manual

BATCH_PACKETS = 20_000  # between two writes of finished flows
LOOK_PACKETS = 100  # between two looks at the clock
RENEWED = 0.5  # seconds between two progress lines

# column -> value of a flow; the datasets' order, with what they lack at the end
_NETFLOW: dict[str, Callable[[Flow], object]] = {
    "IPV4_SRC_ADDR": lambda flow: flow.src,
    "L4_SRC_PORT": lambda flow: flow.src_port,
    "IPV4_DST_ADDR": lambda flow: flow.dst,
    "L4_DST_PORT": lambda flow: flow.dst_port,
    "PROTOCOL": lambda flow: flow.protocol,
    "L7_PROTO": lambda flow: flow.l7,
    "IN_BYTES": lambda flow: flow.in_bytes,
    "OUT_BYTES": lambda flow: flow.out_bytes,
    "IN_PKTS": lambda flow: flow.in_packets,
    "OUT_PKTS": lambda flow: flow.out_packets,
    "TCP_FLAGS": lambda flow: flow.tcp_flags,
    "FLOW_DURATION_MILLISECONDS": lambda flow: flow.duration_ms,
}
_CICFLOW: dict[str, Callable[[Flow], object]] = {
    "Src_IP": lambda flow: flow.src,
    "Dst_IP": lambda flow: flow.dst,
    "Protocol": lambda flow: flow.protocol,
    "Flow_Duration": lambda flow: flow.last_us - flow.first_us,
    "Tot_Fwd_Pkts": lambda flow: flow.in_packets,
    "Tot_Bwd_Pkts": lambda flow: flow.out_packets,
}
_ALWAYS: dict[str, Callable[[Flow], object]] = {
    "FIRST_SWITCHED_MS": lambda flow: flow.first_us // 1000,
    "LAST_SWITCHED_MS": lambda flow: flow.last_us // 1000,
    "SRC_MAC": lambda flow: flow.src_mac,
    "DST_MAC": lambda flow: flow.dst_mac,
    "END_REASON": lambda flow: flow.end_reason,
}


@dataclass
class Outcome:
    """What was read and written."""

    packets: PacketStats = field(default_factory=PacketStats)
    flows: int = 0
    first_us: float = float("inf")  # of all flows, in microseconds since 1970
    last_us: float = float("-inf")
    classes: Counter[str] | None = None  # flows by class; None without labels
    absent: list[str] = field(default_factory=list)  # classes of the labels file that no flow has

    def lines(self) -> Iterator[str]:
        """The summary."""
        yield f"{self.flows} flows; {self.packets.summary()}"
        if self.classes is not None:
            yield ", ".join(f"{name} {count}" for name, count in self.classes.most_common()) or "no class"
        if self.absent and self.flows:
            first, last = (datetime.fromtimestamp(us / 1e6, UTC) for us in (self.first_us, self.last_us))
            yield (
                f"warning: no flow is labelled {', '.join(self.absent)}; flows are from {first:%Y-%m-%dT%H:%M:%SZ} to "
                f"{last:%Y-%m-%dT%H:%M:%SZ}: check the labels' times, which are UTC, and addresses"
            )


def main(arguments: list[str] | None = None, progress: Callable[[int], object] | None = None) -> int:
    """Run the command; 0 on success, 2 with one sentence on standard error when the input cannot be used.

    `progress` is for callers from Python: it is called with the number of packets metered since its last call.
    """
    options = _parse(arguments)
    try:
        outcome = meter_captures(options, progress)
    except InputError as error:
        print(f"tlids-meter: {error}", file=sys.stderr)
        return 2
    except BrokenPipeError:  # the reader of our output has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    for line in outcome.lines():
        if options.quiet and not line.startswith("warning"):
            continue
        print(f"tlids-meter: {line}", file=sys.stderr)
    return 0


def _parse(arguments: list[str] | None) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(
        "tlids-meter",
        usage=manual.METER_USAGE,
        description=manual.METER_DESCRIPTION,
        epilog=manual.METER_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    _add_files(parser.add_argument_group("input and output").add_argument)
    _add_features(parser.add_argument_group("features").add_argument)
    _add_flows(parser.add_argument_group("flows").add_argument)
    return parser.parse_args(arguments)


def _add_files(option: Callable) -> None:
    """Declare what is read and written."""
    option(
        "captures",
        nargs="+",
        metavar="CAPTURE",
        help="pcap or pcapng files (.gz too), the oldest first; - for standard input",
    )
    option("-o", "--output", metavar="FILE", default="-", help="the CSV (default: standard output)")
    option(
        "--labels",
        metavar="labels.csv",
        help="time windows and addresses of attacks; adds the columns Label and Attack",
    )
    option("--session", metavar="NAME", help="the recording's name; adds the column Session")
    option("-q", "--quiet", action="store_true", help="no progress, no summary; warnings and errors still show")


def _add_features(option: Callable) -> None:
    """Declare which numbers describe a flow."""
    option("--family", choices=FAMILIES, default="netflow", help="which nine features (default: netflow)")
    option("--dialect", choices=DIALECTS, default=DEFAULT_DIALECT, help="see below (default: %(default)s)")
    option("--no-l7", action="store_true", help="do not ask nDPI for applications: L7_PROTO is 0")


def _add_flows(option: Callable) -> None:
    """Declare when a flow ends."""
    option("--endings", choices=ENDINGS, default="tlids", help="see below (default: tlids)")
    option(
        "--idle-timeout",
        type=_positive,
        default=15.0,
        metavar="S",
        help="end a flow silent for S seconds (default: 15)",
    )
    option("--active-timeout", type=_positive, default=60.0, metavar="S", help="end a flow S seconds old (default: 60)")
    option(
        "--max-flows",
        type=_positive_int,
        default=20_000,
        metavar="N",
        help="open flows at most; the longest silent gives way (default: 20000)",
    )


def _positive(text: str) -> float:
    """A number above zero."""
    value = float(text)
    if not 0 < value < float("inf"):
        raise argparse.ArgumentTypeError(f"a number above zero expected, found {text}")
    return value


def _positive_int(text: str) -> int:
    """A whole number above zero."""
    value = int(text)
    if value < 1:
        raise argparse.ArgumentTypeError(f"a whole number above zero expected, found {text}")
    return value


def meter_captures(options: argparse.Namespace, progress: Callable[[int], object] | None = None) -> Outcome:
    """Meter captures into one CSV; `progress` as in `main`.

    Raises:
        InputError: a file cannot be read or written, a capture is none, a label file is wrong.
    """
    labels = read_labels(options.labels) if options.labels else None
    columns = flow_columns(options.family, options.dialect)
    columns |= _label_columns(labels) if labels is not None else {}
    columns |= {"Session": lambda flow: options.session} if options.session else {}
    l7 = None if options.no_l7 or options.family == "cicflow" else open_ndpi()
    meter = Meter(
        options.family,
        options.idle_timeout,
        options.active_timeout,
        options.max_flows,
        l7,
        endings=options.endings,
    )
    outcome = Outcome(classes=None if labels is None else Counter())
    with contextlib.ExitStack() as stack:
        packets = _read_captures(options.captures, outcome.packets, stack)
        writer = csv.writer(stack.enter_context(_open_output(options.output)), lineterminator="\n")
        writer.writerow(columns)
        for flows in metered(packets, meter, _Progress(sys.stderr, options.quiet), progress):
            writer.writerows(_rows(flows, columns, outcome))
    named = dict.fromkeys(rule.attack for rule in labels or ())
    outcome.absent = [name for name in named if name != BENIGN and not outcome.classes[name]]
    return outcome


def _rows(flows: list[Flow], columns: dict[str, Callable[[Flow], object]], outcome: Outcome) -> Iterator[list]:
    """The CSV's rows for flows, counted as they go."""
    attack = list(columns).index("Attack") if "Attack" in columns else None
    for flow in flows:
        row = [value(flow) for value in columns.values()]
        outcome.flows += 1
        outcome.first_us = min(outcome.first_us, flow.first_us)
        outcome.last_us = max(outcome.last_us, flow.last_us)
        if attack is not None:
            outcome.classes[row[attack]] += 1
        yield row


def flow_columns(family: str, dialect: str = DEFAULT_DIALECT) -> dict[str, Callable[[Flow], object]]:
    """The columns of a family's CSV and how a flow fills them."""
    columns = dict(_NETFLOW) if family != "cicflow" else {}
    if family != "netflow":
        columns |= _CICFLOW
        for index, name in enumerate(CICFLOW_FEATURES):
            columns[name] = lambda flow, index=index: flow.cicflow(dialect)[index]
    return columns | _ALWAYS


def _label_columns(labels: list[LabelRule]) -> dict[str, Callable[[Flow], object]]:
    """The two label columns of the NetFlow datasets: 0 or 1, and the attack's name."""
    attack = lru_cache(maxsize=1)(partial(label_flow, labels))  # both columns ask for the same flow in turn
    return {"Label": lambda flow: int(attack(flow) != BENIGN), "Attack": attack}


def metered(
    packets: Iterator, meter: Meter, line: "_Progress", progress: Callable[[int], object] | None = None
) -> Iterator[list[Flow]]:
    """Yield the flows of a capture as they end; an interrupt ends the capture, not the command."""
    count = told = 0
    try:
        for count, packet in enumerate(packets, 1):
            meter.add(packet)
            if count % LOOK_PACKETS == 0:
                line.show(count, meter.opened)
                if count % BATCH_PACKETS == 0:
                    if progress:
                        progress(count - told)
                        told = count
                    yield meter.take()
    except KeyboardInterrupt:
        print("tlids-meter: interrupted; what was read is written", file=sys.stderr)
    line.clear()
    if progress:
        progress(count - told)
    meter.close_all("shutdown")
    yield meter.take()


class _Progress:
    """One line on a terminal, renewed twice a second; nothing elsewhere, in a CI's log, or when asked to be quiet."""

    def __init__(self, stream: TextIO, quiet: bool = False, clock: Callable[[], float] = time.monotonic) -> None:
        self.stream, self.clock = stream, clock
        self.shown = not quiet and stream.isatty() and not os.environ.get("CI")
        self.packets, self.at = 0, clock()  # of the last line, or of the beginning
        self.written = False

    def show(self, packets: int, flows: int) -> None:
        """Renew the line when its time has come; the rate is that since the line before."""
        elapsed = self.clock() - self.at
        if not self.shown or elapsed < RENEWED:
            return
        rate = (packets - self.packets) / elapsed
        line = f"{packets:,} packets, {flows:,} flows, {rate:,.0f} packets/s"
        print(f"\r{line}\033[K", end="", file=self.stream, flush=True)
        self.packets, self.at, self.written = packets, self.at + elapsed, True

    def clear(self) -> None:
        """Wipe the line."""
        if self.written:
            print("\r\033[K", end="", file=self.stream, flush=True)


def _read_captures(paths: list[str], stats: PacketStats, stack: contextlib.ExitStack) -> Iterator[Packet]:
    """The packets of all captures; the first is opened at once, so that its faults show before anything is written.

    Raises:
        InputError: a capture cannot be read, or is none.
    """
    first = _packets(stack.enter_context(_open_capture(paths[0])), paths[0], stats)
    return chain(first, _read_later(paths[1:], stats))


def _read_later(paths: list[str], stats: PacketStats) -> Iterator[Packet]:
    """The packets of captures, each opened in its turn: a week of rotated files is too many to hold open."""
    for path in paths:
        with _open_capture(path) as stream:
            yield from _packets(stream, path, stats)


def _packets(stream: BinaryIO, path: str, stats: PacketStats) -> Iterator[Packet]:
    """The packets of one capture; its name is in what is said about it."""
    try:
        return read_packets(stream, stats)
    except InputError as error:
        raise InputError(f"{path}: {error}") from error


@contextlib.contextmanager
def _open_capture(path: str) -> Iterator[BinaryIO]:
    """A capture file, or standard input."""
    if path == "-":
        yield sys.stdin.buffer
        return
    try:
        stream = open(path, "rb")
        stream.peek(1)
    except OSError as error:
        raise InputError(f"Cannot read {path}: {error.strerror}.") from error
    with stream:
        yield stream


@contextlib.contextmanager
def _open_output(path: str) -> Iterator[TextIO]:
    """Standard output, or a file that appears under its name only when it is whole."""
    if path == "-":
        yield sys.stdout
        sys.stdout.flush()
        return
    target = Path(path)
    if target.is_dir():
        raise InputError(f"Cannot write {path}: it is a folder; name a file in it.")
    try:
        handle, partial = tempfile.mkstemp(dir=target.parent, prefix=f".{target.name}.", suffix=".part")
    except OSError as error:
        raise InputError(f"Cannot write {path}: {error.strerror}.") from error
    try:
        with open(handle, "w", newline="", encoding="utf-8") as output:
            yield output
        os.chmod(partial, 0o666 & ~_umask())
        os.replace(partial, target)
    except BaseException as error:
        Path(partial).unlink(missing_ok=True)
        if isinstance(error, OSError) and not isinstance(error, BrokenPipeError):
            raise InputError(f"Cannot write {path}: {error.strerror}.") from error
        raise


def _umask() -> int:
    """The permissions that new files do not get; mkstemp's own would keep the CSV from everyone else."""
    mask = os.umask(0)
    os.umask(mask)
    return mask


if __name__ == "__main__":
    sys.exit(main())
