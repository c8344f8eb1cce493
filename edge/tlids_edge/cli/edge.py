"""The `tlids-edge` command: watch an interface or a capture, judge its flows, print alerts as EVE JSON."""

import argparse
import io
import os
import sys
from collections.abc import Callable, Iterator
from math import ceil
from pathlib import Path
from typing import BinaryIO

from tlids_edge import outputs
from tlids_edge.alerts.eve_file import REMEDY, FileSink, is_rotated
from tlids_edge.alerts.eve_stdout import PathSink, StdoutSink
from tlids_edge.alerts.incidents import Limits
from tlids_edge.alerts.listing import LISTINGS, SOME
from tlids_edge.alerts.mqtt import MqttSink
from tlids_edge.alerts.outlet import Outlet
from tlids_edge.alerts.reporter import Options, Reporter
from tlids_edge.capture import programs
from tlids_edge.capture.live import LiveCapture, buffered
from tlids_edge.capture.service_capture import PREFIX, ServiceCapture
from tlids_edge.capture.stats import PacketStats
from tlids_edge.capture.times import Times
from tlids_edge.cli import adapt, learning, models, values
from tlids_edge.detect.arp import ArpWatch
from tlids_edge.detect.card import CARD_FILE, MODEL_FILE
from tlids_edge.detect.detector import Detector
from tlids_edge.detect.fan_out import FanOut
from tlids_edge.detect.sketches import hash_seed
from tlids_edge.errors import InputError, unreadable
from tlids_edge.flows.compiled import CompiledMeter, new_meter
from tlids_edge.flows.labels import read_labels
from tlids_edge.flows.meter import Meter
from tlids_edge.flows.ndpi import Ndpi, open_ndpi
from tlids_edge.help import command_parser
from tlids_edge.learn.rows import FILE as ROWS_FILE
from tlids_edge.monitor import Watch
from tlids_edge.status import STATUS_S, say

INCIDENTS_FILE = "incidents.json"
INCIDENTS_BYTES = 10_000_000  # of which there are six: some 60,000 lines
_LIMITS = {
    "flows": "flows", "window": "window_s", "slow-flows": "slow_flows", "target-flows": "target_flows",
    "target-sources": "target_sources", "target-window": "target_window_s",
}  # fmt: skip


def main(arguments: list[str] | None = None) -> int:
    """Run the command; 0 when the source ended or a signal came, 2 with a message when the input cannot be used."""
    outputs.occupy_standard()
    arguments = sys.argv[1:] if arguments is None else arguments
    if arguments[:1] == ["adapt"]:
        return adapt.main(arguments[1:])
    if arguments[:1] and arguments[0] in models.COMMANDS:
        return models.main(arguments)
    options = _parse(arguments)
    try:
        watch, streams = _prepare(options)
        card = watch.detector.card
        say(f"watching {options.source}: model {card.name}, {card.family} features, threshold {card.threshold:g}")
        try:
            watch.run(streams)
        finally:
            streams.close()  # ends the capturing child whatever happened
            watch.close()
    except InputError as error:
        say(str(error))
        return 2
    return 0


def _parse(arguments: list[str] | None) -> argparse.Namespace:
    """Read the command line."""
    parser = command_parser("tlids-edge", "tlids-edge --model DIR --source FILE|-|INTERFACE [option ...]")
    _add_input(parser.add_argument_group("input").add_argument)
    _add_output(parser.add_argument_group("output").add_argument)
    _add_flows(parser.add_argument_group("flows").add_argument)
    _add_incidents(parser.add_argument_group("incidents").add_argument)
    learning.add_options(parser.add_argument_group("learning this home").add_argument)
    rules = parser.add_argument_group("rules, which see what flows cannot show")
    rules.add_argument("--no-arp-watch", action="store_true", help="switch the ARP rule off")
    rules.add_argument("--no-fan-out", action="store_true", help="switch the fan-out rule off")
    return parser.parse_args(arguments)


def _add_input(option: Callable) -> None:
    """Declare what is read."""
    option("--model", type=values.filled, required=True, metavar="DIR", help="folder with model.tflite and card.json")
    option(
        "--source",
        required=True,
        metavar="FILE|-|INTERFACE",
        help="a pcap or pcapng file (.gz too), - for standard input, an interface (./eth0 is a file eth0), or "
        "unix:PATH, a socket at which another process captures",
    )
    option(
        "--capture",
        choices=("ring", "tcpdump", "pyshark"),
        default="",
        help="how packets are read; ring is ours, pyshark is the paper's way and far slower "
        "(default: ring, or tcpdump where ring cannot capture)",
    )
    option("--live", action="store_true", help="standard input is a capture in progress: use the system clock")
    option("--strict-time", action="store_true", help="stop at the first odd time, instead of counting them")
    option("--dedup", action="store_true", help="drop exact repeats within 1 ms, as a mirror port makes them")
    option("--decap", action="store_true", help="look inside tunnels (ERSPAN, VXLAN, GRE, ...), two deep; see below")
    option("--labels", type=values.filled, metavar="labels.csv",
           help="when and who attacked; adds a confusion matrix to the summary")  # fmt: skip


def _add_output(option: Callable) -> None:
    """Declare where verdicts go."""
    option("--eve", default="-", metavar="PATH|-", help="where EVE lines go (default: - for standard output)")
    option(
        "--incidents",
        metavar="PATH",
        help="another file with incidents, rule alerts and blindness (default: incidents.json beside an EVE file)",
    )
    option(
        "--eve-max-mb",
        type=values.megabytes,
        default=100,
        metavar="N",
        help="rotate the EVE file at N MB, keeping 5 old ones; 0: never (default: 100)",
    )
    option(
        "--keep-days",
        type=values.days,
        default=7,
        metavar="D",
        help="when live, remove lines in files older than D days; 0: never (default: 7)",
    )
    option(
        "--flow-alerts",
        choices=LISTINGS,
        default=SOME,
        help="alerts of single flows: all; some, 20 a second and incident; none; the rest is counted (default: some)",
    )
    option("--all-flows", action="store_true", help="also write flow events with scores, as many as --flow-alerts says")
    option(
        "--mqtt",
        type=values.filled,
        metavar="HOST",
        help="also publish incidents to an MQTT broker, [mqtts://]HOST[:PORT] (Home Assistant)",
    )
    option("--mqtt-ca", type=values.filled, metavar="FILE",
           help="certificates to trust with mqtts:// (default: the system's)")  # fmt: skip
    option("--name", metavar="NAME", help="this sensor's name at the broker (default: the host's name)")
    option(
        "--status",
        type=values.seconds,
        default=STATUS_S,
        metavar="S",
        help="seconds between status lines (default: 10)",
    )


def _add_flows(option: Callable) -> None:
    """Declare when a flow ends."""
    values.add_timeouts(option)
    option(
        "--max-flows",
        type=values.whole,
        default=20_000,
        metavar="N",
        help="most open flows, about 2 kB each; above it the longest silent one ends (default: 20000)",
    )


def _add_incidents(option: Callable) -> None:
    """Declare when an incident opens."""
    limits = Limits()
    for name, kind, metavar, text in (
        ("flows", values.whole, "N", "alarming flows of one source that open an incident"),
        ("window", values.seconds, "S", "within S seconds"),
        ("slow-flows", values.whole, "N", "or this many within an hour"),
        ("target-flows", values.whole, "N", "alarming flows to one host and port that open one"),
        ("target-sources", values.whole, "N", "from this many sources"),
        ("target-window", values.seconds, "S", "within S seconds"),
    ):
        default = getattr(limits, _LIMITS[name])
        told = f"{text} (default: {default:g})"
        option(f"--incident-{name}", type=kind, default=default, metavar=metavar, help=told)


def _prepare(options: argparse.Namespace) -> tuple[Watch, Iterator[BinaryIO]]:
    """Check everything that can be checked, then start.

    Raises:
        InputError: something given on the command line cannot be used.
    """
    model = learning.model_in_use(options)
    detector = Detector(model)
    live = options.source.startswith(PREFIX) or _is_interface(options.source) or options.live
    if options.live and options.source != "-":
        raise InputError(f"expected --source - with --live, found {options.source!r}", "leave --live out")
    outlet, origin = _outlet(options, live), _origin(options.source, live)
    reporter = Reporter(outlet, detector.card, _told(options), origin)
    watch = Watch(
        _meter(options, detector), detector, reporter,
        arp=None if options.no_arp_watch else ArpWatch(),
        fan_out=None if options.no_fan_out else FanOut(seed=hash_seed(live or options.source == "-")),
        live=live, status_s=options.status,
        packets=PacketStats(options.dedup, options.decap, times=Times(options.strict_time)),
        home=learning.home(options, model, live),
    )  # fmt: skip
    if watch.home.learning:
        reporter.incidents.limits = learning.day_zero(reporter.options.limits)
    for sink in (outlet.eve, outlet.incidents):
        if isinstance(sink, StdoutSink):
            sink.stopped = watch.wait
    streams = _streams(options, watch)
    outlet.mqtt = _broker(options)
    watch.catch_signals()
    return watch, streams


def _told(options: argparse.Namespace) -> Options:
    """What is told of flows and incidents."""
    limits = Limits(
        **{field: getattr(options, "incident_" + name.replace("-", "_")) for name, field in _LIMITS.items()}
    )
    labels = read_labels(options.labels) if options.labels else None
    return Options(options.flow_alerts, options.all_flows, limits, labels, options.idle_timeout)


def _meter(options: argparse.Namespace, detector: Detector) -> CompiledMeter | Meter:
    """The meter that the model's card asks for, with nDPI where the family uses it."""
    card = detector.card
    ndpi = open_ndpi() if card.family == "netflow" else None
    if ndpi is not None and card.l7:
        _compare_ndpi(ndpi, card.l7)
    return new_meter(card.family, options.idle_timeout, options.active_timeout, options.max_flows, ndpi)


def _compare_ndpi(ndpi: Ndpi, trained: str) -> None:
    """Warn when the model was trained with another nDPI release: releases number applications otherwise."""
    release = trained.removeprefix("ndpi").strip()
    if ndpi.version.split(".")[:2] != release.split(".")[:2]:
        say(f"warning: the model was trained with nDPI {release}, this is {ndpi.version}; their ids differ")


def _outlet(options: argparse.Namespace, live: bool) -> Outlet:
    """Where lines go: the EVE file or stream, and a file or stream for incidents.

    Raises:
        InputError: nothing can be written to one of them, or it is what is read, or both are one or come to be one.
    """
    eve = _sink(options.eve, options, live, ceil(options.eve_max_mb * 1e6))
    path = options.incidents
    if path is None and isinstance(eve, FileSink):
        beside = Path(options.eve).with_name(INCIDENTS_FILE)
        path = beside if beside != Path(options.eve) and os.access(beside.parent, os.W_OK) else None
    if path is None:
        return Outlet(eve)
    _keep_apart(path, "/dev/stdout" if options.eve == "-" else options.eve, isinstance(eve, FileSink))
    return Outlet(eve, incidents=_sink(path, options, live, INCIDENTS_BYTES, later=options.incidents is None))


def _keep_apart(incidents: str | Path, eve: str, eve_rotates: bool) -> None:
    """Raise InputError where incidents and EVE lines go to one file, or one is renamed over the other in time."""
    if os.path.realpath(incidents) == os.path.realpath(eve):
        found = f"found {incidents} as both"
        raise InputError(f"expected another file for --incidents than for --eve, {found}", "change one")
    for path, other in ((eve, incidents), (incidents, eve)):
        if is_rotated(path, other) and (other is incidents or eve_rotates):
            raise InputError(
                f"expected --incidents and --eve to be kept apart, found {path}, which {other} becomes when it rotates",
                "change one",
            )


def _sink(
    path: str | Path, options: argparse.Namespace, live: bool, max_bytes: int, later: bool = False
) -> FileSink | StdoutSink:
    """A file, which may be made `later`, or a stream.

    Raises:
        InputError: nothing can be written there, or it is what is read.
    """
    place = outputs.find(path, REMEDY)
    model = [Path(options.model, name) for name in (CARD_FILE, MODEL_FILE, ROWS_FILE)]
    outputs.refuse_inputs(place, [options.source, options.labels, *model])
    if place.descriptor >= 0:
        return StdoutSink(outputs.open_stream(place), patient=not live)
    if place.is_stream:
        return PathSink(path, patient=not live)
    return FileSink(path, max_bytes, max_age_s=options.keep_days * 86_400 if live else 0, later=later)


def _broker(options: argparse.Namespace) -> MqttSink | None:
    """The broker, and a word about a password that others can read on its way.

    Raises:
        InputError: it makes no sense.
    """
    if not options.mqtt:
        if options.mqtt_ca:
            raise InputError("expected --mqtt mqtts://HOST with --mqtt-ca, found no broker", "give one")
        return None
    broker = MqttSink(options.mqtt, options.name, options.mqtt_ca)
    if broker.warning:
        say(f"warning: {broker.warning}")
    return broker


def _is_interface(source: str) -> bool:
    """Whether the source is an interface.

    Raises:
        InputError: it is neither an interface, nor a file, nor -.
    """
    found = source != "-" and "/" not in source and programs.is_interface(source)
    if not found and source != "-" and (not _is_there(source) or os.path.isdir(source)):
        known = ", ".join(programs.interfaces())
        raise InputError(
            f"expected a capture file, - or an interface as --source, found {source!r}", f"interfaces here: {known}"
        )
    return found


def _is_there(source: str) -> bool:
    """Whether there is a file; one in a folder that may not be searched is not said to be absent.

    Raises:
        InputError: it may not be looked for.
    """
    try:
        os.stat(source)
    except PermissionError as error:
        raise unreadable(f"a capture {source}", error) from error
    except OSError:
        return False
    return True


def _origin(source: str, live: bool) -> dict:
    """Where the packets came from, in EVE's words."""
    if source == "-" or source.startswith(PREFIX):
        return {}
    if live:
        return {"in_iface": source}
    return {"pcap_filename": Path(source).name}


def _streams(options: argparse.Namespace, watch: Watch) -> Iterator[BinaryIO]:
    """The source's pcap streams: one of a file or standard input, one for each life of a capturing child."""
    if options.capture != "pyshark" and (options.source == "-" or not watch.live):
        return _one_stream(options.source, _descriptor(options.source), watch)
    service = options.source.startswith(PREFIX)
    if options.capture == "pyshark" and (service or options.source == "-"):
        found = "a socket" if service else "standard input"
        raise InputError(
            f"expected a file or an interface with --capture pyshark, found {found}", "leave --capture out"
        )
    if service:
        capture = ServiceCapture(options.source.removeprefix(PREFIX), watch.tick, say)
        watch.losses = capture.losses
        return capture.streams()
    if options.capture == "pyshark":
        command = programs.pyshark_command(options.source)
    else:
        command = programs.capture_command(options.source, options.capture, say)
    child = LiveCapture(command, watch.tick, say, again=watch.live)
    watch.losses = child.losses
    return child.streams()


def _descriptor(source: str) -> int:
    """Open a file, or take standard input.

    Raises:
        InputError: it cannot be read.
    """
    if source == "-":
        if os.isatty(0):
            raise InputError("expected a capture on standard input, found a terminal", "pipe `tcpdump -w -` into it")
        return 0
    try:
        return os.open(source, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)  # a FIFO must not hold up the start
    except OSError as error:
        raise unreadable(f"a capture {source}", error) from error


def _one_stream(source: str, descriptor: int, watch: Watch) -> Iterator[BinaryIO]:
    """One stream that ends with its file, or when the run is to stop."""
    with io.FileIO(descriptor, closefd=descriptor != 0):
        yield buffered(descriptor, watch.tick, "standard input" if source == "-" else source)


if __name__ == "__main__":
    sys.exit(main())
