"""What people are told on standard error: the status line, the summary at exit, the confusion matrix."""

import os
import resource
import select
import sys
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import TextIO

import numpy as np

from tlids_edge.flows.labels import BENIGN

STATUS_S = 10.0
RENEWED_S = 0.5  # between two progress lines of the meter


def say(text: str, program: str = "tlids-edge") -> None:
    """Print one line for people, on standard error alone.

    That it is closed, full or read by nobody is no reason to stop, or to write the line anywhere else. What is not
    printable shows as Python's escape of it: names in the text may come from a card, a capture or a broker.
    """
    stream, line = sys.stderr, f"{program}: {text}"
    if not line.isprintable():
        line = "".join(one if one.isprintable() else ascii(one)[1:-1] for one in line)
    try:
        if stream is None:  # closed when the program began; print would take standard output
            return
        if stream is not sys.__stderr__:  # a notebook's
            print(line, file=stream, flush=True)
        elif select.select([], [stream], [], 0)[1]:  # a line that cannot go out must not be kept until the exit either
            os.write(stream.fileno(), f"{line}\n".encode(stream.encoding, stream.errors))
    except (OSError, ValueError):
        pass


@dataclass(slots=True)
class Tally:
    """Verdicts so far. An anomaly is a flow that the model or a rule holds for one."""

    flows: int = 0
    anomalies: int = 0
    raised: int = 0  # anomalies by a rule alone
    rule_alerts: int = 0
    novel: int = 0  # flows that the model calls benign and that are novel
    replies: int = 0  # of both, ICMP errors that answer somebody: they accuse nobody
    classes: Counter = field(default_factory=Counter)  # the model's classes
    matrix: Counter = field(default_factory=Counter)  # (labelled attack, verdict is anomaly) -> flows
    incidents: int = 0
    today: str = ""  # the last day on which an incident opened, by the wall clock
    of_today: int = 0

    def add(self, labels: Sequence[str], alerts: np.ndarray, anomalies: np.ndarray) -> None:
        """Count judged flows: the model's classes, whether they alarm, and whether they are anomalies."""
        self.flows += len(labels)
        self.classes.update(labels)
        self.anomalies += int(np.count_nonzero(anomalies))
        self.raised += int(np.count_nonzero(anomalies & ~alerts))

    def note_incident(self) -> None:
        """Count an incident that has opened."""
        self.incidents += 1
        self.of_today = self.incidents_today() + 1
        self.today = time.strftime("%F")

    def incidents_today(self) -> int:
        """Incidents that have opened since midnight, local time."""
        return self.of_today if self.today == time.strftime("%F") else 0


class Load:
    """CPU use since the last question, and memory, of this process."""

    def __init__(self) -> None:
        """Start the clock."""
        self._wall, self._cpu = time.monotonic(), time.process_time()

    def cpu_percent(self) -> float:
        """CPU time over wall time since the last call, 100 being one core."""
        wall, cpu = time.monotonic(), time.process_time()
        share = (cpu - self._cpu) / max(wall - self._wall, 1e-9)
        self._wall, self._cpu = wall, cpu
        return 100 * share


def memory_mb() -> float:
    """Resident memory of this process in MB (10^6 bytes); the peak where /proc does not tell the present."""
    try:
        with open("/proc/self/statm") as file:
            return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 1e6
    except OSError:
        return peak_memory_mb()


def peak_memory_mb() -> float:
    """The largest resident memory of this process in MB.

    Linux tells it in /proc; getrusage would count the process that started us, before it became us.
    """
    try:
        with open("/proc/self/status") as file:
            return next(int(line.split()[1]) for line in file if line.startswith("VmHWM:")) * 1024 / 1e6
    except (OSError, StopIteration):
        unit = 1 if sys.platform == "darwin" else 1024
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / 1e6


def status_line(stats: dict) -> str:
    """The line that is printed every STATUS_S, of `Watch.stats`. What is left out or lost shows when there is any."""
    drops = "unknown" if stats["drops"] is None else stats["drops"]
    line = (
        f"packets {stats['packets']} drops {drops} flows {stats['flows']} open {stats['open']} "
        f"alerts {stats['alerts']} incidents {stats['incidents']} "
        f"cpu {stats['cpu_percent']:.0f}% mem {stats['memory_mb']:.0f} MB"
    )
    line += f" meter {stats['meter'].partition(':')[0]}" if stats.get("meter") else ""
    line += f" {stats['learning']}" if stats.get("learning") else ""
    counts = ("evicted", "malformed", "gaps", "unwritten", "unjudged", "unlisted", "withdrawn")
    line += "".join(f" {name} {stats[name]}" for name in counts if stats[name])
    return line + (" broker away" if stats.get("broker_away") else "")


def confusion_lines(matrix: Counter) -> list[str]:
    """The matrix of Section 5.4, rows as labelled and columns as judged, then each attack's recall."""
    counts = {(benign, anomaly): 0 for benign in (True, False) for anomaly in (False, True)}
    for (truth, anomaly), count in matrix.items():
        counts[truth == BENIGN, anomaly] += count
    lines = [
        "confusion matrix (rows as labelled, columns as judged):",
        f"{'':>10}{'benign':>10}{'anomaly':>10}",
    ]
    for name, benign in (("benign", True), ("anomaly", False)):
        lines.append(f"{name:>10}{counts[benign, False]:>10}{counts[benign, True]:>10}")
    for attack in sorted({truth for truth, _ in matrix} - {BENIGN}):
        found, missed = matrix[attack, True], matrix[attack, False]
        lines.append(f"{attack}: {found} of {found + missed} flows found")
    return lines


class MeterLine:
    """One line on a terminal, renewed twice a second; nothing elsewhere, in a CI's log, or when asked to be quiet."""

    def __init__(self, stream: TextIO | None, quiet: bool = False, clock: Callable[[], float] = time.monotonic) -> None:
        """Start the clock, which counts seconds; without a stream nothing is shown."""
        self.stream, self.clock = stream, clock
        self.shown = stream is not None and not quiet and stream.isatty() and not os.environ.get("CI")
        self.packets, self.at = 0, clock()  # of the last line, or of the beginning
        self.written = False

    def show(self, packets: int, flows: int) -> None:
        """Renew the line when its time has come; the rate is that since the line before."""
        elapsed = self.clock() - self.at
        if not self.shown or elapsed < RENEWED_S:
            return
        rate = (packets - self.packets) / elapsed
        line = f"{packets:,} packets, {flows:,} flows, {rate:,.0f} packets/s"
        print(f"\r{line}\033[K", end="", file=self.stream, flush=True)
        self.packets, self.at, self.written = packets, self.at + elapsed, True

    def clear(self) -> None:
        """Wipe the line."""
        if self.written:
            print("\r\033[K", end="", file=self.stream, flush=True)
