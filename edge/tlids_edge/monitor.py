"""The loop: packets -> meter -> detector and rules -> EVE lines. Live and replay run the same code.

There is one thread. While it waits for packets, and before every read, the stream calls `Watch.tick`, which
closes what the clock ends, judges the flows that have closed, writes, and reports. Live, the wall clock
ends idle flows even if no packet comes; on replay the packets' own clock does.
"""

import signal
import time
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import BinaryIO

from tlids_edge import status
from tlids_edge.alerts import eve
from tlids_edge.alerts.eve_file import FileSink
from tlids_edge.alerts.eve_stdout import CLOSING_S, StdoutSink
from tlids_edge.alerts.mqtt import MqttSink
from tlids_edge.capture.clock import Clock
from tlids_edge.capture.packets import Packet, PacketStats, read_packets, where
from tlids_edge.capture.tcpdump import Losses
from tlids_edge.detect.arp import ArpWatch
from tlids_edge.detect.detector import Detector, Verdict
from tlids_edge.detect.fan_out import FanOut
from tlids_edge.detect.rules import Rules
from tlids_edge.detect.suspects import RuleAlert
from tlids_edge.errors import InputError
from tlids_edge.flows.labels import LabelRule, label_flow
from tlids_edge.flows.meter import Flow, Meter
from tlids_edge.status import say

TURN_S = 0.05  # between two turns of the loop's duties
DELAY_S = 0.5  # flows end this late by the wall clock, so that packets on their way still count
DELIVERY_S = 5.0  # how long the end of a run waits for acknowledgements
TURN_PACKETS = 1024  # and between two looks whether one is due, while packets come
JUMP_S = 5.0  # a wall clock that gains or loses this much between two turns has been set


@dataclass
class Watch:
    """Everything that one run holds."""

    meter: Meter
    detector: Detector
    sink: FileSink | StdoutSink
    mqtt: MqttSink | None = None
    arp: ArpWatch | None = None
    fan_out: FanOut | None = None
    labels: list[LabelRule] | None = None
    live: bool = False
    all_flows: bool = False
    status_s: float = status.STATUS_S
    origin: dict = field(default_factory=dict)  # merged into every EVE line
    losses: Losses = field(default_factory=Losses)
    packets: PacketStats = field(default_factory=PacketStats)
    tally: status.Tally = field(default_factory=status.Tally)
    stopping: bool = False
    hung_up: bool = False

    def __post_init__(self) -> None:
        """Start the clocks."""
        self._load, self._lifetime = status.Load(), status.Load()
        self.started = time.monotonic()
        self._due, self._status_due = 0.0, self.started + self.status_s
        self._offset = time.time() - self.started
        self._clock = Clock(self.packets.times)
        self.rules = Rules(self.arp, self.fan_out)
        self._packets_seen = 0  # at the last turn
        self._warned: set[str] = set()  # kinds of warnings
        self._ended: list[Flow] = []  # and not yet handed to the detector
        self._told: dict[str, str] = {}  # sink -> its fault, as it was last told
        self._under_rule: dict[int, tuple[str, ...]] = {}  # id of such a flow, or one that is being judged -> its rules

    def catch_signals(self) -> None:
        """SIGTERM and SIGINT end the run in good order; SIGHUP reopens the EVE file."""
        signal.signal(signal.SIGTERM, self._stop)
        signal.signal(signal.SIGINT, self._stop)
        signal.signal(signal.SIGHUP, self._hang_up)

    def run(self, streams: Iterable[BinaryIO]) -> None:
        """Read every stream to its end, then give every open flow its verdict.

        Raises:
            InputError: a stream is no capture.
        """
        for stream in streams:
            try:
                self._read(stream)
            except InputError:
                if not self.stopping:  # a stream that was told to end before it began is no fault
                    raise
        self.meter.close_all("shutdown")
        self._report(self.rules.hear(self.meter, self.packets))
        self._note_ended()
        self._judge(at_once=True)

    def tick(self) -> bool:
        """Do what is due. True when the run is to end."""
        now = time.monotonic()
        if now >= self._due:
            self._due = now + TURN_S
            self._turn(now)
        return self.stopping

    def close(self) -> None:
        """Flush and close the sinks, then print the summary."""
        self._await_delivery()
        for sink in self._sinks():
            sink.close()
        self._tell_faults()
        for line in self.summary():
            say(line)

    def wait(self) -> bool:
        """What goes on while a sink waits for its reader: status lines. True when the run is to end."""
        self._report_status(time.monotonic())
        return self.stopping

    def stats(self) -> dict:
        """The figures of the status line; sizes in MB, CPU in percent of one core since the last line."""
        return {
            "packets": self.packets.packets,
            "drops": self.losses.dropped if self.live else 0,
            "flows": self.tally.flows,
            "open": len(self.meter),
            "alerts": self.tally.anomalies + self.tally.rule_alerts,
            "cpu_percent": round(self._load.cpu_percent(), 1),
            "memory_mb": round(status.memory_mb(), 1),
            "evicted": self.meter.evicted,
            "malformed": self.packets.malformed_total,
            "gaps": self.losses.gaps,
            "unwritten": sum(sink.unwritten for sink in self._sinks()),
            "unjudged": self.detector.unjudged,
        }

    def summary(self) -> list[str]:
        """What is told at exit: packets, losses, flows, verdicts as in Section 5.4, confusion matrix."""
        tally, losses = self.tally, self.losses
        seconds = time.monotonic() - self.started
        drops = "an unknown number" if self.live and losses.dropped is None else losses.dropped or 0
        endings = ", ".join(f"{reason} {count}" for reason, count in sorted(self.meter.closed.items())) or "none"
        classes = ", ".join(f"{name} {count}" for name, count in tally.classes.most_common()) or "none"
        lines = [
            f"{self.packets.summary()}; {drops} dropped by the kernel, {losses.gaps} gaps ({losses.gap_s:.1f} s)",
            f"{tally.flows} flows in {seconds:.1f} s; closed: {endings}; evicted {self.meter.evicted}",
            f"{tally.flows - tally.anomalies} benign, {tally.anomalies} anomaly "
            f"({tally.raised} by a rule alone); {tally.rule_alerts} rule alerts; model's classes: {classes}",
            f"cpu {self._lifetime.cpu_percent():.0f}%, peak memory {status.peak_memory_mb():.0f} MB; "
            f"lines written {sum(sink.written for sink in self._sinks())}, "
            f"unwritten {sum(sink.unwritten for sink in self._sinks())}",
        ]
        if self.mqtt is not None:
            lines.append(f"MQTT: {self.mqtt.written} alerts acknowledged by the broker, {self.mqtt.unwritten} not")
        if self.detector.unjudged:
            lines.append(f"{self.detector.unjudged} flows are unjudged: the model gave no number")
        lines += [f"warning: {sentence}" for sentence in self.packets.warnings().values()]
        return lines + (status.confusion_lines(tally.matrix) if self.labels is not None else [])

    def _read(self, stream: BinaryIO) -> None:
        """Feed the meter and the rules from one stream."""
        try:
            packets = read_packets(stream, self.packets, self.tick)
        except InputError as error:
            raise InputError(error.fault + where(stream), error.remedy) from error
        for count, packet in enumerate(self._clock.as_they_come(packets), 1):
            self._take(packet)
            if count % TURN_PACKETS == 0 and self.tick() and not self.live:  # live, the child hands over what it has
                return

    def _take(self, packet: Packet) -> None:
        """Show one packet to the meter and the rules."""
        self.meter.add(packet)
        self._report(self.rules.hear(self.meter, self.packets, packet.time_us))
        if self.meter.ended:  # now, not at the next turn: what a rule says of a flow must not depend on our speed
            self._note_ended()
        self._report(self.rules.see(packet))

    def _take_waiting(self) -> None:
        """No packet has come since the last turn: those that wait for an older one have waited long enough."""
        if self.packets.packets == self._packets_seen:
            for packet in self._clock.overdue():
                self._take(packet)
        self._packets_seen = self.packets.packets

    def _turn(self, now: float) -> None:
        """One turn: clock, verdicts, sinks, status."""
        if self.hung_up:
            self.hung_up = False
            for sink in self._sinks():
                sink.reopen()
        self._take_waiting()
        if self.live:
            self._follow_clock(now)
        self._note_ended()
        self._judge(now)
        for sink in self._sinks():
            sink.push()
        self.stopping |= isinstance(self.sink, StdoutSink) and self.sink.reader_gone
        self._report_status(now)

    def _follow_clock(self, now: float) -> None:
        """Let the wall clock end flows; tell when somebody set it.

        The meter closes what a jump forward makes old, and starts over at the first packet after a jump back.
        """
        wall = time.time()
        jump = wall - now - self._offset
        self._offset = wall - now
        if abs(jump) > JUMP_S:
            say(f"the clock jumped by {jump:+.0f} s; flows that were open are judged as they stand")
        self.meter.expire((wall - DELAY_S) * 1e6)
        self._report(self.rules.hear(self.meter, self.packets, (wall - DELAY_S) * 1e6))

    def _note_ended(self) -> None:
        """Show the flows that have ended to the rules, and note which of them a rule's alert covers."""
        for flow in self.meter.take():
            self.rules.note_flow(flow)
            if rules := self.rules.against(flow):
                self._under_rule[id(flow)] = rules
            self._ended.append(flow)

    def _judge(self, now: float = 0.0, at_once: bool = False) -> None:
        """Queue flows for the model, a batch at a time to save memory; write the verdicts that are ready."""
        flows, self._ended = self._ended, []
        size = self.detector.batch_size
        for start in range(0, max(len(flows), 1), size):
            self._write(self.detector.add(flows[start : start + size], now))
        if at_once:
            self._write(self.detector.flush())

    def _write(self, verdicts: list[Verdict]) -> None:
        """Write and publish what follows from verdicts."""
        lines, alerts = [], []
        for verdict in verdicts:
            self._conclude(verdict, lines, alerts)
        if lines:
            self.sink.write(lines)
        if alerts and self.mqtt is not None:
            self.mqtt.write(alerts)

    def _conclude(self, verdict: Verdict, lines: list[bytes], alerts: list[bytes]) -> None:
        """Combine the model's verdict with the rules', count it, and add its EVE lines."""
        rules = self._under_rule.pop(id(verdict.flow), ())
        anomaly = verdict.is_alert or bool(rules)
        truth = label_flow(self.labels, verdict.flow) if self.labels is not None else None
        self.tally.add(verdict.label, verdict.is_alert, anomaly, truth)
        if anomaly:
            alerts.append(eve.alert_line(verdict, self.detector.card, rules, self.origin))
            lines.append(alerts[-1])
        if self.all_flows:
            lines.append(eve.flow_line(verdict, anomaly, self.origin))

    def _report(self, found: list[RuleAlert]) -> None:
        """Write the alerts of a rule."""
        if found:
            self.tally.rule_alerts += len(found)
            lines = [eve.rule_line(alert, self.origin) for alert in found]
            self.sink.write(lines)
            if self.mqtt is not None:
                self.mqtt.write(lines)

    def _report_status(self, now: float) -> None:
        """When it is due, print the status line and the sinks' troubles, and publish the figures."""
        if now < self._status_due:
            return
        self._status_due = now + self.status_s
        stats = self.stats()
        say(status.status_line(stats))
        self._warn()
        self._tell_faults()
        if self.mqtt is not None:
            self.mqtt.publish_stats(stats)

    def _warn(self) -> None:
        """Tell once, as soon as it shows, what the packets should not be taken for."""
        for kind, sentence in self.packets.warnings().items():
            if kind not in self._warned:
                self._warned.add(kind)
                say(f"warning: {sentence}")

    def _tell_faults(self) -> None:
        """Tell what keeps a sink from writing, once, and that it writes again."""
        for sink in self._sinks():
            if sink.fault != self._told.get(sink.name, ""):
                self._told[sink.name] = sink.fault
                say(f"not writing: {sink.fault}" if sink.fault else f"writing again: {sink.name}")

    def _await_delivery(self) -> None:
        """Give those who take lines later, a broker or a FIFO's reader, some time at the end of a run."""
        began = time.monotonic()
        while any(sink.pending for sink in self._sinks()):
            self.tick()
            if time.monotonic() - began > (CLOSING_S if self.stopping else DELIVERY_S):
                return
            time.sleep(TURN_S / 5)

    def _sinks(self) -> list:
        """The EVE sink and, if any, MQTT."""
        return [self.sink] if self.mqtt is None else [self.sink, self.mqtt]

    def _stop(self, _number: int, _frame: object) -> None:
        """Note SIGTERM or SIGINT."""
        self.stopping = True

    def _hang_up(self, _number: int, _frame: object) -> None:
        """Note SIGHUP."""
        self.hung_up = True
