"""Later fragments get the protocol and the ports of the first, so that a fragmented packet is of one flow.

The first fragment of a datagram, the one at offset 0 with more to follow, carries the ports; the others are matched to
it by source, destination, identification, the protocol that the IPv4 header or the IPv6 fragment header names, and
VLAN (RFC 791, 3.2; RFC 8200, 4.5). At most MAX_FIRST first fragments are remembered, the oldest go first, each for
LIFE_US. A second first fragment with the same key replaces the one before it, for identifications are used again; the
time of a later fragment may be on either side of the first's. A later fragment whose first one is unknown, or came
after it, has ports 0.
"""

from collections import OrderedDict

MAX_FIRST = 1024
LIFE_US = 30_000_000

DatagramKey = tuple[bytes, bytes, int, int, int]  # source, destination, identification, protocol, VLAN
Ports = tuple[int, int, int]  # protocol, source port, destination port


class Fragments:
    """The ports of first fragments, for those that follow."""

    __slots__ = ("_first",)

    def __init__(self) -> None:
        """Begin with none."""
        self._first: OrderedDict[DatagramKey, tuple[int, Ports]] = OrderedDict()

    def __len__(self) -> int:
        """Number of first fragments that are remembered."""
        return len(self._first)

    def note(self, key: DatagramKey, time_us: int, ports: Ports) -> None:
        """Remember what a first fragment says; nothing where it has no ports and no protocol of its own to say."""
        if not (ports[1] or ports[2] or ports[0] != key[3]):
            return
        self._first.pop(key, None)
        self._first[key] = time_us, ports
        if len(self._first) > MAX_FIRST:
            self._first.popitem(last=False)

    def ports(self, key: DatagramKey, time_us: int) -> Ports:
        """Protocol and ports of a later fragment."""
        known = self._first.get(key)
        if known is None or abs(time_us - known[0]) > LIFE_US:
            return key[3], 0, 0
        return known[1]
