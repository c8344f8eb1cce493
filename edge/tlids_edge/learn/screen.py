"""Who is left out of what is learned: a source while the model has it in a burst of alarms.

A source is an address together with its MAC, so that a forged address alone accuses nobody. Both can be forged too, so
a burst counts in two ways (`proven`: the source demonstrably takes part in a two-way exchange, which a forger who
does not receive the victim's packets cannot do):
    10 alarming proven flows in 60 s       nothing of the source is kept from 60 s before until 60 s after
    10 alarming flows in 60 s, any kind    its unproven rows are not kept that alarm themselves, or that are of a
                                           service among those alarms: what a forger can have left out is only what
                                           looks like the forgeries, and nothing that is proven
"""

from collections import OrderedDict, deque
from dataclasses import dataclass, field

import numpy as np

BURST, BURST_S = 10, 60.0
MAX_SOURCES = 4096
MAX_SERVICES = 64  # of one source's alarms that are remembered
NEVER = float("-inf")


@dataclass(slots=True)
class _Source:
    """The recent alarms of a source, (time, service, proven), and until when it is left out."""

    alarms: deque = field(default_factory=lambda: deque(maxlen=MAX_SERVICES))
    until: float = NEVER  # all of it
    unproven_until: float = NEVER  # what looks like its unproven alarms


@dataclass(frozen=True, slots=True)
class Burst:
    """What must be taken back when a burst begins: rows of `source` since `since`."""

    source: int
    since: float
    whole: bool  # else only unproven rows that alarm or are of `services`
    services: frozenset[int]

    def covers(self, alarm: bool, proven: bool, service: int) -> bool:
        """Whether a row of the source is left out."""
        return self.whole or not proven and (alarm or service in self.services)


class Screen:
    """The bursts of at most 4,096 sources; the one that was silent longest gives way."""

    def __init__(self) -> None:
        """Know no alarms."""
        self._sources: OrderedDict[int, _Source] = OrderedDict()

    def see(self, source: int, service: int, alarm: bool, proven: bool, now: float) -> tuple[bool, Burst | None]:
        """Note a flow that ended at `now`, in seconds: is it left out, and what does a new burst take back?"""
        known = self._sources.get(source)
        if known is None:
            if not alarm:
                return False, None
            known = self._remember(source)
        began = None
        if alarm:
            self._sources.move_to_end(source)
            known.alarms.append((now, service, proven))
            began = _burst(source, known, now)
        if now <= known.until:
            return True, began
        looks_alike = not proven and now <= known.unproven_until and (alarm or service in _services(known))
        return looks_alike, began

    def see_many(self, flows: np.ndarray, times: np.ndarray) -> tuple[np.ndarray, list[tuple[int, Burst]]]:
        """As `see`, of flows (`keep.SEEN`) that ended at `times`: bool (n,), and the places where bursts begin.

        Most flows neither alarm nor are of a source that does; they are looked at by column.
        """
        screened, bursts = np.zeros(len(flows), bool), []
        sources = flows["source"].tolist()
        known, alarming = self._sources, set(flows["source"][flows["alarm"]].tolist())
        places = [place for place, source in enumerate(sources) if source in known or source in alarming]
        columns = (flows[name][places].tolist() for name in ("source", "service", "alarm", "proven"))
        for place, *flow, now in zip(places, *columns, times[places].tolist(), strict=True):
            screened[place], burst = self.see(*flow, now)
            if burst is not None:
                bursts.append((place, burst))
        return screened, bursts

    def _remember(self, source: int) -> _Source:
        """Make room for one more source."""
        if len(self._sources) >= MAX_SOURCES:
            self._sources.popitem(last=False)
        known = self._sources[source] = _Source()
        return known


def _services(known: _Source) -> frozenset[int]:
    """The services of a source's recent alarms."""
    return frozenset(service for _, service, _ in known.alarms)


def _burst(source: int, known: _Source, now: float) -> Burst | None:
    """Extend the burst that an alarm belongs to; a Burst when it begins."""
    while known.alarms and now - known.alarms[0][0] > BURST_S:
        known.alarms.popleft()
    proven = sum(1 for _, _, each in known.alarms if each)
    began = None
    if proven >= BURST:
        if now > known.until:
            began = Burst(source, now - BURST_S, True, frozenset())
        known.until = now + BURST_S
    if len(known.alarms) >= BURST:
        if now > known.unproven_until and began is None:
            began = Burst(source, now - BURST_S, False, _services(known))
        known.unproven_until = now + BURST_S
    return began
