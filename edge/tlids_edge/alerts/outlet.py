"""The one place where lines are handed to sinks: which kind goes where, and which goes first."""

from collections.abc import Iterator
from enum import IntEnum

from tlids_edge.alerts.eve_file import FileSink
from tlids_edge.alerts.eve_stdout import StdoutSink
from tlids_edge.alerts.mqtt import MqttSink


class Kind(IntEnum):
    """What a line tells; the lower the number, the more it matters."""

    INCIDENT = 0
    RULE = 1  # an alert of a rule
    BLIND = 2  # the sensor does not see everything
    ALERT = 3  # one alarming flow
    FLOW = 4  # one flow, alarming or not


class Outlet:
    """The EVE sink, and, if there are any, the file of incidents and the broker; neither gets lines of single flows."""

    def __init__(
        self,
        eve: FileSink | StdoutSink,
        mqtt: MqttSink | None = None,
        incidents: FileSink | StdoutSink | None = None,
    ) -> None:
        """Hand lines to `eve`, and to `incidents` and `mqtt` what matters more; on a full disk `eve` makes room."""
        self.eve, self.mqtt, self.incidents = eve, mqtt, incidents
        if isinstance(incidents, FileSink) and isinstance(eve, FileSink):
            incidents.make_room = eve.drop_oldest
        self._told: dict[str, str] = {}  # sink -> its fault, as it was last told

    def send(self, kind: Kind, lines: list[bytes]) -> None:
        """Hand over lines of one kind."""
        if not lines:
            return
        if kind <= Kind.BLIND and self.incidents is not None:
            self.incidents.write(lines)
        self.eve.write(lines)
        if self.mqtt is None:
            return
        if kind == Kind.INCIDENT:
            self.mqtt.publish_incidents(lines)
        elif kind <= Kind.BLIND:
            self.mqtt.write(lines)

    def publish_stats(self, stats: dict) -> None:
        """Tell the broker the figures of the status line."""
        if self.mqtt is not None:
            self.mqtt.publish_stats(stats)

    def push(self) -> None:
        """Let sinks go on with what they hold."""
        for sink in self._sinks():
            sink.push()

    def reopen(self) -> None:
        """Somebody moved the files away."""
        for sink in self._sinks():
            sink.reopen()

    def close(self) -> None:
        """Flush and close the sinks."""
        for sink in self._sinks():
            sink.close()

    @property
    def reader_gone(self) -> bool:
        """Whether nobody can read any longer what is written."""
        return isinstance(self.eve, StdoutSink) and self.eve.reader_gone

    @property
    def pending(self) -> int:
        """Lines that are neither taken nor given up."""
        return sum(sink.pending for sink in self._sinks())

    @property
    def written(self) -> int:
        """Lines that a file, a reader or the broker has taken; one that three of them take counts three times."""
        return sum(sink.written for sink in self._sinks())

    @property
    def unwritten(self) -> int:
        """Lines that were given up."""
        return sum(sink.unwritten for sink in self._sinks())

    def new_faults(self) -> Iterator[str]:
        """What keeps a sink from writing, told once, and that it writes again."""
        for sink in self._sinks():
            if sink.fault != self._told.get(sink.name, ""):
                self._told[sink.name] = sink.fault
                yield f"not writing: {sink.fault}" if sink.fault else f"writing again: {sink.name}"

    def _sinks(self) -> list:
        """All there are."""
        return [sink for sink in (self.eve, self.incidents, self.mqtt) if sink is not None]
