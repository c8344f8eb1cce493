"""One source that knocks on many doors, and gets no answer.

The alerts, and what they do to the source's flows, are those of `suspects`.
"""

from collections import OrderedDict

from tlids_edge.capture.packets import TCP, Packet, address_text
from tlids_edge.detect.suspects import Pace, RuleAlert, Suspects, remember, within
from tlids_edge.flows.meter import ACK, Flow

FAN_WINDOW_S = 60
FAN_PORTS = 50  # unanswered ports of one host
FAN_HOSTS = 100  # unanswered hosts
MAX_SOURCES, MAX_TARGETS = 512, 200  # sources watched, and unanswered targets kept for each
SID_FAN_PORTS, SID_FAN_HOSTS = 9_200_011, 9_200_012


class FanOut:
    """Watches for one source that tries many ports of a host, or many hosts, and gets no answer.

    A TCP knock is a SYN, taken back when the SYN-ACK comes; other protocols count when their flow ended
    without a packet in return. So a browser that opens thirty, or three hundred, connections is no scan.
    Scans that send no SYN (FIN, NULL, Xmas), and those slower than the window, go unseen by this rule.
    """

    def __init__(self, ports: int = FAN_PORTS, hosts: int = FAN_HOSTS) -> None:
        """Alert at `ports` unanswered ports of one host or `hosts` unanswered hosts within FAN_WINDOW_S."""
        self.suspects = Suspects()
        self._ports, self._hosts = ports, hosts
        self._sources: OrderedDict[bytes, OrderedDict[tuple[bytes, int], int]] = OrderedDict()
        self._pace = Pace()

    def __len__(self) -> int:
        """Number of unanswered targets that are kept."""
        return sum(map(len, self._sources.values()))

    def see_packet(self, packet: Packet) -> list[RuleAlert]:
        """Take note of a SYN or a SYN-ACK."""
        if not packet.tcp_flags & ACK:
            return self._knock(packet.src, packet.dst, packet.dst_port, packet.time_us)
        tried = self._sources.get(packet.dst)
        if tried is not None:
            tried.pop((packet.src, packet.src_port), None)
        return []

    def see_flow(self, flow: Flow) -> list[RuleAlert]:
        """Take note of a closed flow; TCP has been seen packet by packet."""
        src, dst, _, dst_port, protocol, _ = flow.key
        if protocol == TCP or flow.out_packets or _is_group(dst):
            return []
        return self._knock(src, dst, dst_port, flow.first_us)

    def _knock(self, src: bytes, dst: bytes, port: int, now: int) -> list[RuleAlert]:
        """Note one unanswered target of `src`, the oldest first in its table."""
        tried = self._sources.get(src)
        if tried is None:
            tried = OrderedDict()
        remember(self._sources, src, tried, MAX_SOURCES)
        known = (dst, port) in tried
        remember(tried, (dst, port), now, MAX_TARGETS)
        if known or len(tried) < min(self._ports, self._hosts):
            return []
        while not within(now, next(iter(tried.values())), FAN_WINDOW_S):
            tried.popitem(last=False)
        ports = sum(host == dst for host, _ in tried)
        hosts = len({host for host, _ in tried})
        if ports >= self._ports:
            return self._alert(src, dst, now, SID_FAN_PORTS, "many ports of one host", ports)
        if hosts >= self._hosts:
            return self._alert(src, dst, now, SID_FAN_HOSTS, "many hosts", hosts)
        return []

    def _alert(self, src: bytes, dst: bytes, now: int, sid: int, what: str, count: int) -> list[RuleAlert]:
        """Suspect `src` and start counting from zero."""
        self.suspects.add(src, now)
        self._sources[src].clear()
        if not self._pace.allows((sid, src), now):
            return []
        signature = f"TL-IDS fan-out: one source tries {what}"
        details = {"unanswered": str(count), "window_s": str(FAN_WINDOW_S)}
        address = address_text(dst) if sid == SID_FAN_PORTS else ""
        return [RuleAlert(now, sid, signature, "Network scan", 2, address_text(src), address, "", details)]


def _is_group(address: bytes) -> bool:
    """Multicast, or an IPv4 broadcast address of a network of /24 or larger."""
    if len(address) == 16:
        return address[0] == 0xFF
    return address[0] >= 224 or address[3] == 255
