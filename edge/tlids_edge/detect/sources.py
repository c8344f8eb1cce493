"""Which sources are real: an address and a MAC address that have taken part in two-way traffic.

A frame can bear any address. But who gets the answers that are sent to an address, and goes on from them, is
really there: the meter marks such a flow as *proven*. What this cannot tell: frames that bear both the
address and the MAC address of a neighbour who is really there. An access point lets nobody send those, nor
does a switch with port security.
"""

from collections import OrderedDict
from collections.abc import Iterable

from tlids_edge.detect.suspects import remember, within

PROVEN_S = 600  # a proof this old still holds
MAX_MACS, MAX_ADDRESSES = 256, 256  # remembered, and addresses of each: a router's MAC is that of the whole internet


class ProvenSources:
    """The pairs of address and MAC address that two-way traffic has proven of late.

    At most MAX_MACS times MAX_ADDRESSES pairs, the longest silent dropped first; addresses that one MAC takes
    on push out only others of the same MAC.
    """

    def __init__(self) -> None:
        """Nothing is proven yet."""
        self._macs: OrderedDict[bytes, OrderedDict[bytes, int]] = OrderedDict()

    def __len__(self) -> int:
        """Number of pairs that are kept."""
        return sum(map(len, self._macs.values()))

    @property
    def macs(self) -> Iterable[bytes]:
        """The MAC addresses of which something is known."""
        return self._macs.keys()

    def prove(self, address: bytes, mac: bytes, now_us: int) -> None:
        """Take note that a flow from `address` at `mac` was proven at `now_us`."""
        addresses = self._macs.get(mac)
        if addresses is None:
            addresses = OrderedDict()
        remember(self._macs, mac, addresses, MAX_MACS)
        remember(addresses, address, now_us, MAX_ADDRESSES)

    def is_proven(self, address: bytes, mac: bytes, now_us: int) -> bool:
        """Whether the pair was proven within PROVEN_S of `now_us`."""
        return within(now_us, self._macs.get(mac, {}).get(address), PROVEN_S)
