"""The figures of a run: those of the status line, and the summary at its end."""

from dataclasses import dataclass

from tlids_edge.alerts.reporter import Reporter
from tlids_edge.capture.live import Losses
from tlids_edge.capture.packets import PacketStats
from tlids_edge.detect.judging import Judging
from tlids_edge.flows.compiled import CompiledMeter
from tlids_edge.flows.meter import Meter
from tlids_edge.status import Load, confusion_lines, memory_mb, peak_memory_mb


@dataclass(frozen=True)
class Figures:
    """The parts of a run that count."""

    packets: PacketStats
    losses: Losses
    meter: CompiledMeter | Meter
    judging: Judging
    reporter: Reporter
    live: bool

    def status(self, load: Load) -> dict:
        """The figures of the status line; sizes in MB, CPU in percent of one core since the last line."""
        reporter, tally = self.reporter, self.reporter.tally
        return {
            "packets": self.packets.packets,
            "drops": self.losses.dropped if self.live else 0,
            "flows": tally.flows + self.judging.no_time,
            "open": len(self.meter),
            "meter": self.meter.kind,
            "alerts": tally.anomalies + tally.rule_alerts + tally.novel - tally.replies,
            "incidents": tally.incidents,
            "open_incidents": len(reporter.incidents),
            "incidents_today": tally.incidents_today(),
            "cpu_percent": round(load.cpu_percent(), 1),
            "memory_mb": round(memory_mb(), 1),
            "evicted": self.meter.evicted,
            "malformed": self.packets.malformed_total,
            "gaps": self.losses.gaps,
            "unwritten": reporter.outlet.unwritten,
            "unjudged": self.judging.unjudged,
            "unlisted": reporter.not_listed,
            "withdrawn": self.judging.detector.withdrawn,
            "broker_away": reporter.outlet.mqtt is not None and bool(reporter.outlet.mqtt.fault),
        }

    def summary(self, seconds: float, lifetime: Load) -> list[str]:
        """What is told at exit: packets, losses, flows, verdicts as in Section 5.4, incidents, confusion matrix."""
        tally, outlet = self.reporter.tally, self.reporter.outlet
        classes = ", ".join(f"{name} {count}" for name, count in tally.classes.most_common()) or "none"
        lines = [
            *self._traffic(seconds),
            f"{tally.flows - tally.anomalies} benign, {tally.anomalies} anomaly "
            f"({tally.raised} by a rule alone); {tally.rule_alerts} rule alerts; model's classes: {classes}",
            self._incidents(),
            f"meter {self.meter.kind}; cpu {lifetime.cpu_percent():.0f}%, peak memory {peak_memory_mb():.0f} MB; "
            f"lines written {outlet.written}, unwritten {outlet.unwritten}",
        ]
        if outlet.mqtt is not None:
            lines.append(f"MQTT: {outlet.mqtt.written} alerts acknowledged by the broker, {outlet.mqtt.unwritten} not")
        if tally.replies:
            lines.append(f"{tally.replies} anomalies accuse nobody: ICMP errors that answer their destination")
        if tally.novel:
            lines.append(
                f"novelty: {tally.novel} flows are unlike all that was learned, more of a service than was, or to a "
                "service or network that their device did not use"
            )
        if self.judging.detector.withdrawn:
            lines.append(
                f"{self.judging.detector.withdrawn} alarms withdrawn: flows like known false alarms of this home"
            )
        if self.judging.detector.unjudged:
            lines.append(f"{self.judging.detector.unjudged} flows are unjudged: the model gave no number")
        if self.judging.no_time:
            lines.append(f"{self.judging.no_time} flows are unjudged: the model had no time for them")
        lines += [f"warning: {sentence}" for sentence in self.packets.warnings().values()]
        return lines + (confusion_lines(tally.matrix) if self.reporter.options.labels is not None else [])

    def _traffic(self, seconds: float) -> list[str]:
        """What was captured, and which flows it made."""
        losses, closed = self.losses, sorted(self.meter.closed.items())
        drops = "an unknown number" if self.live and losses.dropped is None else losses.dropped or 0
        endings = ", ".join(f"{reason} {count}" for reason, count in closed) or "none"
        flows = self.reporter.tally.flows + self.judging.no_time
        return [
            f"{self.packets.summary()}; {drops} dropped by the kernel, {losses.gaps} gaps ({losses.gap_s:.1f} s)",
            f"{flows} flows in {seconds:.1f} s; closed: {endings}; evicted {self.meter.evicted}",
        ]

    def _incidents(self) -> str:
        """How many incidents there were, and what was not told of single flows."""
        incidents, unlisted = self.reporter.incidents, self.reporter.not_listed
        line = f"{self.reporter.tally.incidents} incidents"
        if incidents.evicted or incidents.refused:
            line += f", {incidents.evicted} closed and {incidents.refused} not opened for lack of room"
        return line + (f"; {unlisted} lines about single flows left out" if unlisted else "")
