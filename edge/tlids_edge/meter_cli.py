"""The `tlids-meter` command: a capture in, a CSV with one row a flow out."""

import argparse
import contextlib
import csv
import os
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import BinaryIO, TextIO

from tlids_edge.errors import InputError
from tlids_edge.l7 import open_ndpi
from tlids_edge.meter import (
    CICFLOW_FEATURES,
    DEFAULT_DIALECT,
    DIALECTS,
    ENDINGS,
    FAMILIES,
    Flow,
    Meter,
)
from tlids_edge.packets import PacketStats, read_packets

BENIGN = "Benign"
PROGRESS_PACKETS = 20_000  # between two looks at the clock

DESCRIPTION = """\
Meter a capture: one CSV row for each flow, in the order in which flows end. Columns have the names the public
datasets use, so the file goes straight into notebook 03 as a dataset of your own."""

EPILOG = """\
examples:
  tlids-meter capture.pcap -o flows.csv
  tlids-meter capture.pcap -o flows.csv --labels labels.csv
  tcpdump -i eth0 -w - | tlids-meter - -o flows.csv

dialects of the cicflow family (builds of CICFlowMeter differ on two features):
  cse-cic-ids2018    Init_Fwd_Win_Byts -1 without TCP; Subflow_Fwd_Byts = all forward payload bytes
  constant-window    Init_Fwd_Win_Byts always -1;      Subflow_Fwd_Byts = all forward payload bytes
  cicflowmeter-2020  Init_Fwd_Win_Byts 0 without TCP;  Subflow_Fwd_Byts = forward payload bytes // packets

--endings cicflowmeter ends flows as CICFlowMeter does: at the first FIN, or 120 s after the first packet; it never
ends an idle flow, and leaves out flows of one packet."""

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


def main(arguments: list[str] | None = None) -> int:
    """Run the command; 0 on success, 2 with one sentence on standard error when the input cannot be used."""
    options = _parse(arguments)
    try:
        stats, flows = meter_capture(options)
    except InputError as error:
        print(f"tlids-meter: {error}", file=sys.stderr)
        return 2
    except BrokenPipeError:  # the reader of our output has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    print(f"tlids-meter: {flows} flows; {stats.summary()}", file=sys.stderr)
    return 0


def _parse(arguments: list[str] | None) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(
        "tlids-meter",
        description=DESCRIPTION,
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("capture", metavar="CAPTURE", help="a pcap or pcapng file (.gz too); - for standard input")
    parser.add_argument("-o", "--output", metavar="FILE", default="-", help="the CSV (default: standard output)")
    parser.add_argument("--family", choices=FAMILIES, default="netflow", help="which nine features (default: netflow)")
    parser.add_argument("--dialect", choices=DIALECTS, default=DEFAULT_DIALECT, help="see below (default: %(default)s)")
    parser.add_argument("--endings", choices=ENDINGS, default="tlids", help="see below (default: tlids)")
    parser.add_argument(
        "--idle-timeout",
        type=_positive,
        default=15.0,
        metavar="S",
        help="end a flow silent for S seconds (15)",
    )
    parser.add_argument(
        "--active-timeout", type=_positive, default=60.0, metavar="S", help="end a flow S seconds old (60)"
    )
    parser.add_argument(
        "--max-flows", type=_positive_int, default=20_000, metavar="N", help="open flows at most (20000)"
    )
    parser.add_argument(
        "--labels",
        metavar="FILE",
        help="a CSV of time windows and addresses; adds the columns Label and Attack",
    )
    parser.add_argument("--no-l7", action="store_true", help="do not ask nDPI for applications: L7_PROTO is 0")
    return parser.parse_args(arguments)


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


def meter_capture(options: argparse.Namespace) -> tuple[PacketStats, int]:
    """Meter one capture into one CSV; returns the packet counts and the number of rows.

    Raises:
        InputError: a file cannot be read or written, the capture is none, a label file is wrong.
    """
    columns = flow_columns(options.family, options.dialect)
    if options.labels:
        columns |= _label_columns(options.labels)
    l7 = None if options.no_l7 or options.family == "cicflow" else open_ndpi()
    meter = Meter(
        options.family,
        options.idle_timeout,
        options.active_timeout,
        options.max_flows,
        l7,
        endings=options.endings,
    )
    stats, rows = PacketStats(), 0
    with _open_capture(options.capture) as stream:
        packets = read_packets(stream, stats)
        with _open_output(options.output) as output:
            writer = csv.writer(output, lineterminator="\n")
            writer.writerow(columns)
            for flows in metered(packets, meter):
                rows += len(flows)
                writer.writerows([value(flow) for value in columns.values()] for flow in flows)
    return stats, rows


def flow_columns(family: str, dialect: str = DEFAULT_DIALECT) -> dict[str, Callable[[Flow], object]]:
    """The columns of a family's CSV and how a flow fills them."""
    columns = dict(_NETFLOW) if family != "cicflow" else {}
    if family != "netflow":
        columns |= _CICFLOW
        for index, name in enumerate(CICFLOW_FEATURES):
            columns[name] = lambda flow, index=index: flow.cicflow(dialect)[index]
    return columns | _ALWAYS


def _label_columns(path: str) -> dict[str, Callable[[Flow], object]]:
    """The two label columns of the NetFlow datasets: 0 or 1, and the attack's name."""
    from tlids_edge.labels import label_flow, read_labels

    labels = read_labels(path)
    return {
        "Label": lambda flow: int(label_flow(labels, flow) != BENIGN),
        "Attack": lambda flow: label_flow(labels, flow),
    }


def metered(packets: Iterator, meter: Meter) -> Iterator[list[Flow]]:
    """Yield the flows of a capture as they end; an interrupt ends the capture, not the command."""
    progress = _Progress(sys.stderr)
    try:
        for count, packet in enumerate(packets, 1):
            meter.add(packet)
            if count % PROGRESS_PACKETS == 0:
                progress.show(count, meter.opened)
                yield meter.take()
    except KeyboardInterrupt:
        print("tlids-meter: interrupted; what was read is written", file=sys.stderr)
    progress.clear()
    meter.close_all("shutdown")
    yield meter.take()


class _Progress:
    """One line on a terminal, renewed every second; nothing elsewhere."""

    def __init__(self, stream: TextIO) -> None:
        self.stream, self.shown_at = stream, 0.0 if stream.isatty() else float("inf")

    def show(self, packets: int, flows: int) -> None:
        """Renew the line when a second has passed."""
        if time.monotonic() - self.shown_at > 1:
            self.shown_at = time.monotonic()
            print(f"\r{packets:,} packets, {flows:,} flows", end="", file=self.stream, flush=True)

    def clear(self) -> None:
        """Wipe the line."""
        if 0 < self.shown_at < float("inf"):
            print("\r\033[K", end="", file=self.stream, flush=True)


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
