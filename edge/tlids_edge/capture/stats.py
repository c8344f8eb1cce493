"""What a capture held and what was left out of it, counted while it is read."""

from dataclasses import dataclass, field
from math import inf
from typing import NamedTuple

from tlids_edge.capture.times import Times

MAX_TINY = 4096  # tiny fragments that are kept until they are taken
REPEATED_SHARE, LEAST_REPEATS = 0.01, 2  # fewer repeats are the network's own


class TinyFragments(NamedTuple):
    """What one sender sent of first TCP fragments with less than a TCP header; time and destination of the newest."""

    time_us: int
    src: bytes
    src_mac: bytes
    dst: bytes
    count: int


@dataclass(slots=True)
class PacketStats:
    """What is asked of a capture, what it held, and what had to be left out; `malformed` counts by reason."""

    dedup: bool = False  # leave exact repeats within a millisecond out
    decap: bool = False  # the packet inside a tunnel stands for the tunnel's
    packets: int = 0
    bytes: int = 0  # on the wire
    truncated: int = 0  # cut by the capture's snap length
    non_ip: int = 0  # whole frames that carry neither IP nor ARP
    malformed: dict[str, int] = field(default_factory=dict)
    times: Times = field(default_factory=Times)
    unreadable: dict[str, int] = field(default_factory=dict)  # whole frames of link types that are not read, by name
    aggregated: int = 0  # beyond the first in a frame that carries several (A-MSDU)
    looked_at: int = 0  # to see whether they are exact repeats
    repeats: int = 0  # among these
    dropped: int = 0  # repeats that were left out: `dedup`
    tunnels: dict[str, int] = field(default_factory=dict)  # packets that carry another, by the tunnel's name
    opened: int = 0  # packets that the one inside them stands for: `decap`
    inner_non_ip: int = 0  # of `non_ip`, those that came out of tunnels
    merged: bool = False  # one of several captures: repeats among their packets are left out once these are merged
    tiny_fragments: int = 0  # first TCP fragments with less than a TCP header
    tiny: list[TinyFragments] = field(default_factory=list)  # not taken yet, each alone

    def note_tiny_fragment(self, time_us: int, src: bytes, src_mac: bytes, dst: bytes) -> None:
        """Count a first TCP fragment with less than a TCP header; of more than MAX_TINY at once only the total."""
        self.tiny_fragments += 1
        if len(self.tiny) < MAX_TINY:
            self.tiny.append(TinyFragments(time_us, src, src_mac, dst, 1))

    def take_tiny_fragments(self, until_us: float = inf) -> list[TinyFragments]:
        """Hand over who sent such fragments since the last call, until a time, in the order of their first.

        Packets are decoded before it is their turn; `until_us` leaves alone whose turn has not come.
        """
        senders: dict[tuple[bytes, bytes], TinyFragments] = {}
        for one in (tiny for tiny in self.tiny if tiny.time_us <= until_us):
            before = senders.get((one.src, one.src_mac))
            senders[one.src, one.src_mac] = one if before is None else one._replace(count=before.count + 1)
        self.tiny = [tiny for tiny in self.tiny if tiny.time_us > until_us] if self.tiny else self.tiny
        return list(senders.values())

    def leave_out(self, link: str) -> None:
        """Count one frame of a link type that is not read."""
        self.unreadable[link] = self.unreadable.get(link, 0) + 1

    def reject(self, reason: str) -> None:
        """Count one record that could not be decoded."""
        self.malformed[reason] = self.malformed.get(reason, 0) + 1

    @property
    def malformed_total(self) -> int:
        """Number of records that could not be decoded."""
        return sum(self.malformed.values())

    def summary(self) -> str:
        """One line for a log."""
        line = f"{self.packets} packets, {self.truncated} truncated, {self.non_ip} not IP"
        line += f" ({self.inner_non_ip} inside tunnels)" * (self.inner_non_ip > 0)
        line += f", {self.malformed_total} malformed"
        reasons = ", ".join(f"{reason}: {count}" for reason, count in sorted(self.malformed.items()))
        line = f"{line} ({reasons})" if reasons else line
        if self.unreadable:
            links = ", ".join(f"{name}: {count}" for name, count in sorted(self.unreadable.items()))
            line += f", {sum(self.unreadable.values())} of other link types ({links})"
        line += f", {self.aggregated} more in A-MSDUs" * (self.aggregated > 0)
        line += f", {self.dropped} repeats left out" * (self.dropped > 0)
        return line + f", {self.opened} out of tunnels" * (self.opened > 0)

    def warnings(self) -> dict[str, str]:
        """What the flows should not be taken for, by kind: a sentence each."""
        found = {}
        if odd := self.times.warning():
            found["times"] = odd
        if not self.dedup and self.repeats >= LEAST_REPEATS and self.repeats >= REPEATED_SHARE * self.looked_at:
            share = 100 * self.repeats / self.looked_at
            of_all = "packets" if self.looked_at == self.packets else "packets that were looked at"
            found["repeats"] = (
                f"{self.repeats} of {self.looked_at} {of_all} ({share:.0f} %) are exact repeats within 1 ms, as from a "
                "mirror port that copies twice: --dedup drops them"
            )
        if self.tunnels:
            names = ", ".join(f"{name} {count}" for name, count in sorted(self.tunnels.items()))
            found["tunnels"] = f"packets inside a tunnel count as the tunnel's ({names}): --decap looks inside"
        return found
