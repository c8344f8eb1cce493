"""When the sensor does not see, or does not judge, everything: since when, until when, because of what.

An attacker who makes a sensor blind must not do so in silence. A spell begins with the first loss and is over after
CALM_S without another; each gives two lines, so a flood gives no more.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import NamedTuple

CALM_S = 10.0
SECOND_US = 1_000_000
# cause -> what is told, and how long a loss may have gone unnoticed, in seconds
CAUSES = {
    "drops": ("packets dropped by the kernel", 2.0),
    "gaps": ("times the capture had to be started again", 0.0),
    "evicted": ("flows ended early because the table was full", 0.0),
    "unjudged": ("flows for which the model had no time", 1.0),
    "rules": ("seconds in which a flood hid scans from the fan-out rule", 1.0),
}


class Blind(NamedTuple):
    """One line of a spell; times in microseconds since 1970."""

    time_us: int
    cause: str  # a key of CAUSES
    count: int  # lost so far
    since_us: int
    until_us: int | None  # None while it lasts


@dataclass(slots=True)
class _Spell:
    """A time of losses."""

    before: int  # the count before it
    since_us: int
    last_us: int
    last_s: float


class Blindness:
    """Watches counters of losses."""

    def __init__(self) -> None:
        """Nothing is lost yet."""
        self._counts = dict.fromkeys(CAUSES, 0)
        self._spells: dict[str, _Spell] = {}

    def look(self, counts: Mapping[str, int], now_s: float, time_us: int, lasted_s: float = 0.0) -> list[Blind]:
        """What begins or ends with these counts of losses (keys of CAUSES).

        `now_s` is monotonic; `time_us` the wall clock's; `lasted_s` is how long the capture has been away since the
        last look.
        """
        lines = []
        for cause, count in counts.items():
            spell = self._spells.get(cause)
            if count > self._counts[cause]:
                if spell is None:
                    unnoticed_s = CAUSES[cause][1] + (lasted_s if cause == "gaps" else 0)
                    since_us = time_us - round(unnoticed_s * SECOND_US)
                    spell = self._spells[cause] = _Spell(self._counts[cause], since_us, time_us, now_s)
                    lines.append(Blind(time_us, cause, count - spell.before, since_us, None))
                spell.last_us, spell.last_s = time_us, now_s
                self._counts[cause] = count
            elif spell is not None and now_s - spell.last_s > CALM_S:
                lines.append(self._end(cause, time_us))
        return lines

    def finish(self, time_us: int) -> list[Blind]:
        """End what has begun, with the run."""
        return [self._end(cause, time_us) for cause in list(self._spells)]

    def _end(self, cause: str, time_us: int) -> Blind:
        """The line at the end of a spell."""
        spell = self._spells.pop(cause)
        return Blind(time_us, cause, self._counts[cause] - spell.before, spell.since_us, spell.last_us)
