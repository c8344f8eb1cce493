"""The two directions of a flow in different VLANs: a mirror port that tags one of them, or a router on one cable.

A flow is of one VLAN, that of its source's packets, and its way back is in the same one. A packet in the opposite
direction that matches no flow and is no bare SYN may also be of a flow that still waits for an answer between these
ends, the newest if there are several, in another VLAN: from then on that is a way back of this flow too. A RST is taken
so only where an answer has passed between these two VLANs before; MAX_WAYS such pairs are remembered, the oldest go
first. So nobody who sits in a VLAN of his own ends the flows of another. No source is turned round into a key that
another flow has.

Nothing of this costs anything before the first tag is seen.
"""

from collections import OrderedDict
from collections.abc import Iterable

from tlids_edge.flows.flow import Flow, FlowKey, turned

MAX_WAYS = 64
SYN, RST, ACK = 0x02, 0x04, 0x10


class WaysBack:
    """The flows that wait for an answer, by the addresses, ports and protocol that an answer bears."""

    def __init__(self, by_key: dict[FlowKey, Flow], by_age: Iterable[Flow]) -> None:
        """Begin with the meter's open flows, the oldest first; `by_key` is the meter's own table."""
        self._by_key = by_key
        self._waiting: dict[tuple, Flow] = {}
        self._pairs: OrderedDict[frozenset[int], None] = OrderedDict()  # of VLANs that answers have passed between
        for flow in by_age:
            self.note(flow)

    def __len__(self) -> int:
        """Number of flows that wait."""
        return len(self._waiting)

    def note(self, flow: Flow) -> None:
        """A flow was opened."""
        if not flow.answered:
            self._waiting[flow.key_back[:5]] = flow

    def forget(self, flow: Flow) -> None:
        """A flow is answered, or has ended."""
        if self._waiting.get(flow.key_back[:5]) is flow:
            del self._waiting[flow.key_back[:5]]

    def find(self, key: FlowKey, flags: int) -> Flow | None:
        """The flow that a packet with this key, which no flow has, is of all the same; the table then says so too."""
        back = turned(key)
        flow = self._by_key.get(back)
        if flow is not None and flow.key == back:  # when it was opened, its way back was another flow's
            self._by_key[key] = flow
            return flow
        flow = self._waiting.get(key[:5])
        if flow is None or flags & (SYN | ACK) == SYN:
            return None
        pair = frozenset((flow.key[5], key[5]))
        if not flags & RST:
            self._remember(pair)
        elif pair not in self._pairs:
            return None
        if flow.key_other is not None:
            del self._by_key[flow.key_other]
        flow.key_other = key
        self._by_key[key] = flow
        return flow

    def _remember(self, pair: frozenset[int]) -> None:
        """An answer passes between two VLANs."""
        self._pairs[pair] = None
        self._pairs.move_to_end(pair)
        if len(self._pairs) > MAX_WAYS:
            self._pairs.popitem(last=False)
