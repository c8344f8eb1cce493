"""Which single flows are listed: a bounded stream, so that an attack cannot fill the disk or take the processor."""

from tlids_edge.alerts.incident import Incident

ALL, SOME, NONE = "all", "some", "none"
LISTINGS = (ALL, SOME, NONE)
AN_INCIDENT, IN_ALL = 20, 200  # lines a second: of one incident, and altogether
SECOND_US = 1_000_000


class Listing:
    """Lets lines about single flows pass, all, some or none; the rest is counted."""

    def __init__(self, which: str = SOME) -> None:
        """`which` is ALL, SOME (AN_INCIDENT of one incident and IN_ALL a second) or NONE."""
        self.left_out = 0
        self._which, self._second, self._count = which, -1, 0
        self._of_incident: dict[int, int] = {}

    def passes(self, incident: Incident | None, now_us: int, repeats: bool = False) -> bool:
        """Whether a flow is listed; `now_us` is a clock that never goes back. Of some, one that `repeats` is not."""
        if self._which == ALL:
            return True
        if self._which == SOME and not repeats and self._has_room(incident, now_us // SECOND_US):
            return True
        self.left_out += 1
        return False

    def is_full(self, incident: Incident, now_us: int) -> bool:
        """Whether no further flow of an incident is listed within this second."""
        if self._which != SOME:
            return self._which == NONE
        taken = self._of_incident.get(incident.id, 0)
        return now_us // SECOND_US == self._second and (self._count >= IN_ALL or taken >= AN_INCIDENT)

    def _has_room(self, incident: Incident | None, second: int) -> bool:
        """Take one of this second's places, if there is one."""
        if second != self._second:
            self._second, self._count = second, 0
            self._of_incident.clear()
        if self._count >= IN_ALL:
            return False
        if incident is not None:
            taken = self._of_incident.get(incident.id, 0)
            if taken >= AN_INCIDENT:
                return False
            self._of_incident[incident.id] = taken + 1
        self._count += 1
        return True
