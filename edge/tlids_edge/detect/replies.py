"""ICMP errors that answer somebody's packet: no attack of who sends them, whatever the model says.

Under a flood of closed UDP ports the victim sends an ICMP error to each source (RFC 792, RFC 4443), each a flow of its
own. Meters do not tell errors from other ICMP, so a flow of ICMP counts as a reply when it has no answer itself, its
destination has knocked at its source in the last minute, and it is as small as errors must be: a few packets and then
one a second, each cut to what the standards allow.

**What a forger can hide** is as little: whoever sends itself a packet in another's name may then send that host one
ICMP flow of this size. One knock covers one flow, so a sweep needs a forged knock for each host, and a flood is too
large. Only the model's alarms are left out: rules count as before.

**Memory**: a number of eight bytes for each pair of addresses, in two sets: the younger becomes the older after a
minute, or once it has MOST. Under a flood of more the oldest are forgotten, and what replies to them alarms.
"""

import numpy as np

from tlids_edge.capture.packets import ICMP, ICMPV6
from tlids_edge.detect.notes import Notes
from tlids_edge.flows.rows import are_among, groups

WINDOW_US = 60_000_000  # a knock counts for so long, or up to twice as long
MOST = 19_000  # with ICMP beside it, as many as a full table of flows
BURST = 6  # packets, and one a second: Linux sends no more errors to one host (icmp_ratelimit)
ENDS = np.dtype([("src", "V16"), ("dst", "V16"), ("protocol", "u1"), ("first_us", "i8")])  # of a note
LARGEST = {4: 576, 16: 1280}  # bytes of an error, by those of an address: RFC 1812, 4.3.2.3; RFC 4443, 2.4


class Replies:
    """Who has knocked where, and which ICMP flows answer that."""

    def __init__(self) -> None:
        """Nobody has knocked."""
        # numbers for who was knocked at and who knocked, in order, each once
        self._young = self._old = np.empty(0, np.uint64)
        self._since_us = 0  # of the young

    def note(self, notes: Notes) -> None:
        """Take in the meter's notes of unanswered flows; those of ICMP are no knocks."""
        rows = notes if isinstance(notes, np.ndarray) else _ends(notes)
        are_knocks = (rows["protocol"] != ICMP) & (rows["protocol"] != ICMPV6)
        rows = rows if are_knocks.all() else rows[are_knocks]
        if len(rows):
            newest = int(rows["first_us"].max())
            self._roll(newest, newest <= self._since_us - WINDOW_US)  # the clock was set back
            pairs = np.sort(groups(rows, ("dst", "src")))  # np.unique would load numpy.ma
            pairs = pairs[np.append(True, pairs[1:] != pairs[:-1]) & ~are_among(pairs, self._young)]
            self._young = np.insert(self._young, self._young.searchsorted(pairs), pairs)

    def mark(self, rows: np.ndarray) -> None:
        """Mark those of the flows that have ended, a ROW array, that answer a knock; each knock is used up by one."""
        protocols = rows["protocol"].tobytes()
        if ICMP not in protocols and ICMPV6 not in protocols or not (len(self._young) or len(self._old)):
            return
        self._roll(int(rows["last_us"].max()))
        places = np.flatnonzero(_may_be_errors(rows))
        pairs, first = np.unique(groups(rows[places], ("src", "dst")), return_index=True)
        answers = are_among(pairs, self._young) | are_among(pairs, self._old)
        rows["is_reply"][places[first[answers]]] = 1
        used = pairs[answers]
        self._young = self._young[~are_among(self._young, used)]
        self._old = self._old[~are_among(self._old, used)]

    def _roll(self, now_us: int, is_over: bool = False) -> None:
        """Let the window move on to `now_us`."""
        passed = now_us - self._since_us
        if passed >= WINDOW_US or len(self._young) >= MOST or is_over:
            self._old = self._young if passed < 2 * WINDOW_US and not is_over else np.empty(0, np.uint64)
            self._young, self._since_us = np.empty(0, np.uint64), now_us


def _may_be_errors(rows: np.ndarray) -> np.ndarray:
    """Which flows are unanswered ICMP of the number and size that errors to one host have: bool [rows]."""
    protocol, size = rows["protocol"], rows["address_bytes"]
    packets = rows["in_packets"].astype(np.int64)
    largest = np.where(size == 16, LARGEST[16], LARGEST[4])
    return (
        ((protocol == ICMP) & (size == 4) | (protocol == ICMPV6) & (size == 16))
        & (rows["answered"] == 0)
        & (packets <= BURST + (rows["last_us"] - rows["first_us"]) // 1_000_000)
        & (rows["in_bytes"].astype(np.int64) <= packets * largest)
    )


def _ends(notes: Notes) -> np.ndarray:
    """What counts of the Python meter's notes, as an array."""
    rows = np.zeros(len(notes), ENDS)
    for name in ("src", "dst"):
        rows[name] = np.array([getattr(note, name) for note in notes], "S16").view("V16")
    for name in ("protocol", "first_us"):
        rows[name] = [getattr(note, name) for note in notes]
    return rows
