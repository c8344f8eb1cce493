"""The `tlids-meter` command: captures in, a CSV with one row a flow out."""

import argparse
import codecs
import contextlib
import csv
import gc
import itertools
import signal
import sys
import threading
from collections.abc import Callable, Iterator

from tlids_edge import outputs
from tlids_edge.capture.times import moment
from tlids_edge.cli import values
from tlids_edge.cli.start import INTERRUPTED, interruptible
from tlids_edge.errors import InputError
from tlids_edge.flows import table
from tlids_edge.flows.meter import DEFAULT_DIALECT, DIALECTS, ENDINGS, FAMILIES
from tlids_edge.help import command_parser
from tlids_edge.status import say

REMEDY = "give another file with -o"
GARBAGE = 100_000  # objects between two searches for cycles, of which packets and flows have none


def main(arguments: list[str] | None = None) -> int:
    """Run the command; 0 on success, 2 with one sentence on standard error when something cannot be used."""
    outputs.occupy_standard()
    options = _parse(arguments)
    gc.set_threshold(GARBAGE)
    try:
        with interruptible(), _ended_by_sigterm():
            outcome = _write(options)
    except InputError as error:
        _say(str(error))
        return 2
    except BrokenPipeError:  # the reader of our output has seen enough
        return 0
    except KeyboardInterrupt:  # before or after the packets, such as while a FIFO's reader was waited for
        _say("interrupted; nothing is written")
        return INTERRUPTED
    if outcome.interrupted:
        _say("interrupted; what was read is written")
    for line in _summary(outcome):
        if not options.quiet or line.startswith("warning"):
            _say(line)
    return 0


def _parse(arguments: list[str] | None) -> argparse.Namespace:
    """Read the command line."""
    parser = command_parser("tlids-meter", "tlids-meter CAPTURE [CAPTURE ...] [-o FILE] [option ...]")
    _add_files(parser.add_argument_group("input and output").add_argument)
    _add_features(parser.add_argument_group("features").add_argument)
    _add_flows(parser.add_argument_group("flows").add_argument)
    arguments = sys.argv[1:] if arguments is None else arguments
    if "--" in arguments:  # which parse_intermixed_args does not know in Python 3.11
        return parser.parse_args(arguments)
    return parser.parse_intermixed_args(arguments)  # options may stand between captures


def _add_files(option: Callable) -> None:
    """Declare what is read and written."""
    option(
        "captures",
        type=values.filled,
        nargs="+",
        metavar="CAPTURE",
        help="pcap or pcapng files (.gz too), taken in the order of their first packets; - for standard input",
    )
    option("--dedup", action="store_true", help="drop exact repeats within 1 ms, as a mirror port makes them")
    option("--decap", action="store_true", help="look inside tunnels (ERSPAN, VXLAN, GRE, ...), two deep; see below")
    option("-o", "--output", metavar="FILE", default="-", help="the CSV (default: standard output)")
    option(
        "--labels",
        type=values.filled,
        metavar="labels.csv",
        help="time windows and addresses of attacks; adds the columns Label and Attack",
    )
    option("--session", type=values.utf8, metavar="NAME", help="the recording's name; adds the column Session")
    option("--strict-time", action="store_true", help="stop at the first odd time, instead of counting them")
    option("-q", "--quiet", action="store_true", help="no progress, no summary; warnings and errors still show")


def _add_features(option: Callable) -> None:
    """Declare which numbers describe a flow."""
    option("--family", choices=FAMILIES, default="netflow", help="which nine features (default: netflow)")
    option("--dialect", choices=DIALECTS, default=DEFAULT_DIALECT, help="see below (default: %(default)s)")
    option("--no-l7", action="store_true", help="do not ask nDPI for applications: L7_PROTO is 0")


def _add_flows(option: Callable) -> None:
    """Declare when a flow ends."""
    option("--endings", choices=ENDINGS, default="tlids", help="see below (default: tlids)")
    values.add_timeouts(option)
    option(
        "--max-flows",
        type=values.whole,
        default=20_000,
        metavar="N",
        help="most open flows; above it the longest silent one ends (default: 20000)",
    )


def _write(options: argparse.Namespace) -> table.Outcome:
    """Meter the captures into one CSV.

    Raises:
        InputError: a file cannot be read or written, a capture is none, a labels file is wrong.
    """
    chosen = table.Options(
        options.family, options.dialect, options.labels, options.session, options.idle_timeout,
        options.active_timeout, options.max_flows, options.endings, not options.no_l7, options.quiet,
        options.strict_time, options.dedup, options.decap,
    )  # fmt: skip
    place = outputs.find(options.output, REMEDY)
    outputs.refuse_inputs(place, [*options.captures, options.labels])
    outcome = table.Outcome()
    rows = table.flow_rows(options.captures, chosen, outcome)
    with outputs.written(options.output, REMEDY, _say) as output:
        writer = csv.writer(codecs.getwriter("utf-8")(output), lineterminator="\n")
        first = list(itertools.islice(rows, 1))  # before the header: a capture that fails leaves none alone
        writer.writerow(table.columns(chosen))
        writer.writerows(itertools.chain(first, rows))
    return outcome


def _summary(outcome: table.Outcome) -> Iterator[str]:
    """What is told at the end: counts, classes, and classes that no flow has."""
    yield f"{outcome.flows} flows; {outcome.packets.summary()}"
    if outcome.evicted:
        yield (
            f"warning: {outcome.evicted} of {outcome.flows} flows ended early because the table was full: "
            "raise --max-flows, at about 2 kB a flow"
        )
    if outcome.classes is not None:
        yield ", ".join(f"{name} {count}" for name, count in outcome.classes.most_common()) or "no class"
    yield from (f"warning: {sentence}" for sentence in outcome.packets.warnings().values())
    if outcome.absent and outcome.flows:
        yield (
            f"warning: no flow is labelled {', '.join(outcome.absent)}; flows are from {moment(outcome.first_us)} to "
            f"{moment(outcome.last_us)}: check the labels' times, which are UTC, and addresses"
        )


@contextlib.contextmanager
def _ended_by_sigterm() -> Iterator[None]:
    """SIGTERM does what Ctrl-C does, so that nothing half-written is left."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def _say(text: str) -> None:
    """One line for people."""
    say(text, "tlids-meter")


if __name__ == "__main__":
    sys.exit(main())
