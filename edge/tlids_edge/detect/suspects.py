"""What a verdict on one flow cannot show: forged bindings of addresses, and one source that knocks on many doors.

The paper's man-in-the-middle attack changes who answers for an address, not what its flows look like, and
each knock of a scan is a small flow like many others. Three rules watch for them, `arp`, `neighbours` and
`fan_out`, each with alerts of its own. Here is what all of them need.

Policy of the ensemble: a flow is an anomaly when the model says so OR while its source is under a rule's
alert, which lasts `ACTIVE_S` after the rule last fired. A rule's alert stands alone, whatever the model says;
a rule never silences the model. Flows that only a rule raised are marked as such, so that the model's own
numbers stay readable.

A suspect is a pair of an address and the MAC address that its frames bore: whoever sends frames with a
neighbour's address accuses the pair, not the neighbour. An empty address stands for all addresses of a MAC.
An alert is *proven* when two-way traffic has shown that the pair is real (`sources`), else *claimed*.

Memory is bounded whatever arrives. Times are those of the packets, so a replay gives the alerts of the live
run; when the clock steps back, older entries count as fresh until it catches up.
"""

from collections import OrderedDict
from typing import NamedTuple

ACTIVE_S = 60  # how long a source stays under suspicion, and the least time between two alerts for the same cause
SECOND_US = 1_000_000
MAX_SUSPECTS, MAX_CAUSES = 256, 1024

Pair = tuple[bytes, bytes]  # an address, b"" for every address, and a MAC address, b"" where the link layer has none


class RuleAlert(NamedTuple):
    """What a rule saw. Addresses are text, "" where there is none."""

    time_us: int
    signature_id: int
    signature: str
    category: str
    severity: int  # 1 high, 2 medium, as in Suricata
    src: str
    dst: str
    src_mac: str  # of the frames, whatever they say inside
    details: dict[str, str]
    proven: bool = False  # two-way traffic has shown that `src` is at `src_mac`; else it is claimed
    protocol: str = ""  # as EVE names it, "" when the alert is of no single one


class Suspects:
    """Who is under a rule's alert until when; at most `limit` of them."""

    def __init__(self, limit: int = MAX_SUSPECTS) -> None:
        """Suspect nobody."""
        self._since: OrderedDict[Pair, int] = OrderedDict()
        self._limit = limit

    def __len__(self) -> int:
        """Number of entries, stale ones included."""
        return len(self._since)

    @property
    def macs(self) -> set[bytes]:
        """The MAC addresses of all entries, stale ones included."""
        return {mac for _, mac in self._since}

    def add(self, who: Pair, now_us: int) -> None:
        """Suspect `who` from now on, for ACTIVE_S."""
        remember(self._since, who, now_us, self._limit)

    def __contains__(self, who_when: tuple[Pair, int]) -> bool:
        """Whether (who, time_us) falls under an alert."""
        since = self._since.get(who_when[0])
        return since is not None and abs(who_when[1] - since) <= ACTIVE_S * SECOND_US


class Pace:
    """Lets an alert for one cause pass once in ACTIVE_S."""

    def __init__(self) -> None:
        """Nothing has been reported yet."""
        self._reported: OrderedDict[tuple, int] = OrderedDict()

    def allows(self, cause: tuple, now_us: int) -> bool:
        """Whether `cause` may be reported now; if so, it is taken as reported."""
        last = self._reported.get(cause)
        if last is not None and abs(now_us - last) < ACTIVE_S * SECOND_US:
            return False
        remember(self._reported, cause, now_us, MAX_CAUSES)
        return True


def remember(table: OrderedDict, key: object, value: object, limit: int) -> None:
    """Make `key` the youngest entry of a table of at most `limit`."""
    table[key] = value
    table.move_to_end(key)
    if len(table) > limit:
        table.popitem(last=False)


def within(now_us: int, then_us: int | None, seconds: float) -> bool:
    """Whether two moments lie at most `seconds` apart; False when there is no second moment."""
    return then_us is not None and abs(now_us - then_us) <= seconds * SECOND_US
