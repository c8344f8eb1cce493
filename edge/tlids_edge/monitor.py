"""The loop: packets -> meter -> verdicts and rules -> what is told. Live and replay run the same code.

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
from tlids_edge.alerts.blindness import Blindness
from tlids_edge.alerts.eve_stdout import CLOSING_S
from tlids_edge.alerts.reporter import Reporter
from tlids_edge.capture.live import Losses
from tlids_edge.capture.packets import Packet, PacketStats, where
from tlids_edge.detect.arp import ArpWatch
from tlids_edge.detect.detector import Detector
from tlids_edge.detect.fan_out import FanOut
from tlids_edge.detect.judging import Batch, Judging
from tlids_edge.detect.rules import Rules
from tlids_edge.detect.suspects import RuleAlert
from tlids_edge.errors import InputError
from tlids_edge.figures import Figures
from tlids_edge.flows.compiled import CompiledMeter, take_rows
from tlids_edge.flows.meter import Meter
from tlids_edge.flows.raw import RawReader
from tlids_edge.flows.slices import SLICE_US
from tlids_edge.learn.home import Home
from tlids_edge.notify import Notifier
from tlids_edge.status import say

TURN_S = 0.05  # between two turns of the loop's duties
DELAY_S = 0.5  # flows end this late by the wall clock, so that packets on their way still count
DELIVERY_S = 5.0  # how long the end of a run waits for acknowledgements
JUMP_S = 5.0  # a wall clock that gains or loses this much between two turns has been set


@dataclass
class Watch:
    """Everything that one run holds."""

    meter: CompiledMeter | Meter
    detector: Detector
    reporter: Reporter
    arp: ArpWatch | None = None
    fan_out: FanOut | None = None
    home: Home = field(default_factory=Home)
    live: bool = False
    status_s: float = status.STATUS_S
    losses: Losses = field(default_factory=Losses)
    packets: PacketStats = field(default_factory=PacketStats)
    stopping: bool = False
    hung_up: bool = False
    notifier: Notifier = field(default_factory=Notifier)

    def __post_init__(self) -> None:
        """Start the clocks."""
        self.rules = Rules(self.arp, self.fan_out)
        self.judging = Judging(self.detector, self.live)
        self._load, self._lifetime = status.Load(), status.Load()
        self.started = time.monotonic()
        self._due, self._status_due = 0.0, self.started + self.status_s
        self._offset = time.time() - self.started
        self.reader = RawReader(self.meter, self.packets, True, self.rules.wants, SLICE_US)
        self._blindness, self._away_s = Blindness(), 0.0  # gaps so far, as they were last looked at
        self._rules_due, self._rules_blind_s = 0.0, 0  # how long a flood has kept the rules from seeing
        self._packets_seen = 0  # at the last turn
        self._warned: set[str] = set()  # kinds of warnings

    def catch_signals(self) -> None:
        """SIGTERM and SIGINT end the run in good order; SIGHUP reopens the EVE file."""
        signal.signal(signal.SIGTERM, self._stop)
        signal.signal(signal.SIGINT, self._stop)
        signal.signal(signal.SIGHUP, self._hang_up)

    def run(self, streams: Iterable[BinaryIO]) -> None:
        """Read every stream to its end, then give every open flow its verdict and close every incident.

        Raises:
            InputError: a stream is no capture.
        """
        self.notifier.tell("READY=1")
        for stream in streams:
            try:
                self._read(stream)
            except InputError:
                if not self.stopping:  # a stream that was told to end before it began is no fault
                    raise
        self.notifier.tell("STOPPING=1")
        self.meter.close_all("shutdown")
        self._report(self.rules.hear(self.meter, self.packets))
        self._note_ended()
        self._tell(self.judging.finish())
        self.reporter.close()
        self._look_for_blindness(time.monotonic(), last=True)

    def tick(self) -> bool:
        """Do what is due. True when the run is to end."""
        now = time.monotonic()
        if now >= self._due:
            self._due = now + TURN_S
            self._turn(now)
        return self.stopping

    def close(self) -> None:
        """Write what was learned, flush and close the sinks, which may take seconds, then print the summary."""
        self._await_delivery()
        self.home.close()
        self.reporter.outlet.close()
        self._tell_faults()
        for line in self._figures().summary(time.monotonic() - self.started, self._lifetime):
            say(line)

    def wait(self) -> bool:
        """What goes on while a sink waits for its reader: status lines. True when the run is to end."""
        now = time.monotonic()
        self.notifier.beat(now)
        self._report_status(now)
        return self.stopping

    def _read(self, stream: BinaryIO) -> None:
        """Feed the meter and the rules from one stream."""
        try:
            steps = self.reader.read(stream, self.tick)
        except InputError as error:
            raise InputError(error.fault + where(stream), error.remedy) from error
        at_stop = None
        for packet in steps:
            self._take(packet)
            if self.tick() and not self.live:  # live, the child hands over what it has
                at_stop = self.packets.packets if at_stop is None else at_stop
                if self.packets.packets > at_stop:  # as of a gzip file that unfolds to much; what was read is counted
                    return

    def _take(self, packet: Packet | None) -> None:
        """One step of the reader: show the rules what concerns them, and take note of what has ended.

        On replay this happens in steps alone: what a rule says of a flow must not depend on our speed.
        """
        self._report(self.rules.hear(self.meter, self.packets, self.reader.now_us))
        self._note_ended()
        if packet is not None:
            self._report(self.rules.see(packet))

    def _take_waiting(self) -> None:
        """No packet has come since the last turn: those that wait for an older one have waited long enough."""
        if self.packets.packets == self._packets_seen:
            for packet in self.reader.overdue():
                self._take(packet)
        self._packets_seen = self.packets.packets

    def _turn(self, now: float) -> None:
        """One turn: clock, verdicts, incidents, sinks, status."""
        outlet = self.reporter.outlet
        self.notifier.beat(now)
        if self.hung_up:
            self.hung_up = False
            outlet.reopen()
        self._take_waiting()
        if self.live:
            self._follow_clock(now)
            self.reporter.close_silent(self._now_us())
            self._note_ended()
        self._tell(self.judging.turn(now))
        if (adapted := self.home.tick()) is not None:
            self._take_over(adapted)
        for left_out in self.judging.take_left_out():
            self.reporter.take_unjudged(left_out)
        self._look_for_blindness(now)
        outlet.push()
        if outlet.reader_gone:  # no |=: a signal between its reading and its writing would be lost
            self.stopping = True
        self._report_status(now)

    def _take_over(self, adapted: Detector) -> None:
        """Judge with another model from now on; what waits is judged by the old one."""
        self._tell(self.judging.take_over(adapted))
        self.reporter.take_over(adapted.card)
        self.detector = adapted

    def _now_us(self) -> int | None:
        """The monotonic clock in microseconds when live; on replay the flows' own times say when something was."""
        return round(time.monotonic() * 1e6) if self.live else None

    def _follow_clock(self, now: float) -> None:
        """Let the wall clock end flows; tell when somebody set it.

        The meter closes what a jump forward makes old, and starts over at the first packet after a jump back.
        """
        wall = time.time()
        jump = wall - now - self._offset
        self._offset = wall - now
        if abs(jump) > JUMP_S:
            say(f"the clock jumped by {jump:+.0f} s; open flows are judged now")
        self.meter.expire((wall - DELAY_S) * 1e6)
        self._report(self.rules.hear(self.meter, self.packets, (wall - DELAY_S) * 1e6))

    def _note_ended(self) -> None:
        """Show the flows that have ended to the rules; what those say of them is noted now."""
        if self.meter.ended:
            rows = take_rows(self.meter)
            self.rules.note_rows(rows)
            self.judging.note(rows)

    def _tell(self, judged: Iterable[Batch]) -> None:
        """Report flows that were judged, after the home has taken note of them."""
        for batch in judged:
            self.reporter.take(self.home.see(batch), self._now_us())

    def _report(self, found: list[RuleAlert]) -> None:
        """Report the alerts of a rule; on replay after the flows that ended before, so that speed changes nothing."""
        if found:
            self._tell([] if self.live else self.judging.finish())
            self.reporter.take_rule_alerts(found, self._now_us())

    def _look_for_blindness(self, now: float, last: bool = False) -> None:
        """Live, tell since when and until when not everything was seen or judged."""
        if not self.live:
            return
        if now >= self._rules_due:
            self._rules_due = now + 1
            self._rules_blind_s += self.rules.blind
        counts = {
            "drops": self.losses.dropped or 0, "gaps": self.losses.gaps, "evicted": self.meter.evicted,
            "unjudged": self.judging.no_time, "rules": self._rules_blind_s,
        }  # fmt: skip
        time_us, away_s = round(time.time() * 1e6), self.losses.gap_s - self._away_s
        self._away_s = self.losses.gap_s
        self.reporter.take_blind(self._blindness.look(counts, now, time_us, away_s))
        if last:
            self.reporter.take_blind(self._blindness.finish(time_us))

    def _figures(self) -> Figures:
        """What the parts of this run have counted."""
        return Figures(self.packets, self.losses, self.meter, self.judging, self.reporter, self.live)

    def _report_status(self, now: float) -> None:
        """When it is due, print the status line and the sinks' troubles, and publish the figures."""
        if now < self._status_due:
            return
        self._status_due = now + self.status_s
        stats = self._figures().status(self._load) | {"learning": self.home.line()}
        say(status.status_line(stats))
        self._warn()
        self._tell_faults()
        self.reporter.outlet.publish_stats(stats)

    def _warn(self) -> None:
        """Tell once, as soon as it shows, what the packets should not be taken for."""
        for kind, sentence in self.packets.warnings().items():
            if kind not in self._warned:
                self._warned.add(kind)
                say(f"warning: {sentence}")

    def _tell_faults(self) -> None:
        """Tell what keeps a sink from writing, once, and that it writes again."""
        for fault in self.reporter.outlet.new_faults():
            say(fault)

    def _await_delivery(self) -> None:
        """Give those who take lines later, a broker or a FIFO's reader, some time at the end of a run."""
        began = time.monotonic()
        while self.reporter.outlet.pending:
            self.tick()
            if time.monotonic() - began > (CLOSING_S if self.stopping else DELIVERY_S):
                return
            time.sleep(TURN_S / 5)

    def _stop(self, _number: int, _frame: object) -> None:
        """Note SIGTERM or SIGINT."""
        self.stopping = True

    def _hang_up(self, _number: int, _frame: object) -> None:
        """Note SIGHUP."""
        self.hung_up = True
