"""What a verdict on one flow cannot show: forged ARP bindings, and one source that knocks on many doors.

The paper's man-in-the-middle attack changes who answers for an address, not what its flows look like, and
each knock of a scan is a small flow like many others. Two rules watch for them, each with alerts of its
own.

Policy of the ensemble: a flow is an anomaly when the model says so OR while its source is under a rule's
alert (the address for the fan-out rule, the MAC address for the ARP watch), which lasts `ACTIVE_S` after
the rule last fired. A rule's alert stands alone, whatever the model says; a rule never silences the model.
Flows that only a rule raised are marked as such, so that the model's own numbers stay readable.

Memory is bounded whatever arrives: tables drop their oldest entry when full. Times are those of the
packets, so a replay gives the alerts of the live run; when the clock steps back, older entries count as
fresh until it catches up.
"""

from collections import OrderedDict
from dataclasses import dataclass, field
from typing import NamedTuple

from tlids_edge.capture.packets import Packet, address_text, mac_text
from tlids_edge.flows.meter import Flow

ACTIVE_S = 60  # how long a source stays under suspicion, and the least time between two alerts for the same cause
SECOND_US = 1_000_000
SYN, ACK, TCP = 0x02, 0x10, 6

ARP_REQUEST, ARP_REPLY = 1, 2
ARP_FRESH_S = 300  # a binding seen this recently is still in use: Linux asks again after 60 s at most when it is
ARP_ANSWER_S = 5  # a reply this long after the request still answers it
ARP_WINDOW_S = 60
UNASKED_REPLIES = 6  # in a window, from one MAC address; booting hosts announce themselves up to five times
FLAPS = 4  # changes of the claimant in a window
MAX_BINDINGS, MAX_CLAIMANTS = 1024, 8

FAN_WINDOW_S = 60
FAN_PORTS = 50  # unanswered ports of one host
FAN_HOSTS = 100  # unanswered hosts
MAX_SOURCES, MAX_TARGETS = 512, 200  # sources watched, and unanswered targets kept for each

SID_ARP_CONFLICT, SID_ARP_UNASKED, SID_ARP_FLAPPING = 9_200_001, 9_200_002, 9_200_003
SID_FAN_PORTS, SID_FAN_HOSTS = 9_200_011, 9_200_012


class RuleAlert(NamedTuple):
    """What a rule saw. Addresses are text, "" where there is none."""

    time_us: int
    signature_id: int
    signature: str
    category: str
    severity: int  # 1 high, 2 medium, as in Suricata
    src: str
    dst: str
    src_mac: str
    details: dict[str, str]


class Suspects:
    """Who is under a rule's alert until when; at most `limit` of them."""

    def __init__(self, limit: int = 256) -> None:
        """Suspect nobody."""
        self._since: OrderedDict[bytes, int] = OrderedDict()
        self._limit = limit

    def __len__(self) -> int:
        """Number of entries, stale ones included."""
        return len(self._since)

    def add(self, who: bytes, now_us: int) -> None:
        """Suspect `who` from now on, for ACTIVE_S."""
        self._since[who] = now_us
        self._since.move_to_end(who)
        if len(self._since) > self._limit:
            self._since.popitem(last=False)

    def __contains__(self, who_when: tuple[bytes, int]) -> bool:
        """Whether (who, time_us) falls under an alert."""
        since = self._since.get(who_when[0])
        return since is not None and abs(who_when[1] - since) <= ACTIVE_S * SECOND_US


class Pace:
    """Lets an alert for one cause pass once in ACTIVE_S."""

    def __init__(self) -> None:
        """Nothing has been said yet."""
        self._said: OrderedDict[tuple, int] = OrderedDict()

    def allows(self, cause: tuple, now_us: int) -> bool:
        """Whether `cause` may be reported now; if so, it is taken as reported."""
        said = self._said.get(cause)
        if said is not None and abs(now_us - said) < ACTIVE_S * SECOND_US:
            return False
        _remember(self._said, cause, now_us, MAX_BINDINGS)
        return True


@dataclass(slots=True)
class Binding:
    """Who has claimed one address: MAC address -> first and last claim; and when the claimant changed."""

    claims: dict[bytes, tuple[int, int]] = field(default_factory=dict)
    holder: bytes = b""
    changes: list[int] = field(default_factory=list)


class ArpWatch:
    """Watches who claims which IPv4 address.

    Three alerts: an address claimed by a new MAC address while the old claim is fresh; replies that nobody
    asked for, again and again; an address that changes hands to and fro. The younger claimant is the
    suspect. A probe for a free address, an announcement at boot, a renewed lease, a host that takes another
    address and an address that a new host takes over after `ARP_FRESH_S` of silence are ordinary life.
    """

    def __init__(self) -> None:
        """Know no bindings."""
        self.suspects = Suspects()
        self._bindings: OrderedDict[bytes, Binding] = OrderedDict()
        self._asked: OrderedDict[bytes, int] = OrderedDict()
        self._unasked: OrderedDict[bytes, list[int]] = OrderedDict()
        self._pace = Pace()

    def see(self, packet: Packet) -> list[RuleAlert]:
        """Take note of one ARP packet; the alerts it gives rise to."""
        operation, mac, address, target = packet.arp
        now = packet.time_us
        if operation == ARP_REQUEST and target != address:
            _remember(self._asked, target, now, MAX_BINDINGS)
        if not any(address) or not any(mac) or mac[0] & 1:  # a probe, or no sender at all
            return []
        alerts = self._claim(address, mac, now)
        if operation == ARP_REPLY and (target == address or not _within(now, self._asked.get(address), ARP_ANSWER_S)):
            alerts += self._unasked_reply(address, mac, now)
        return alerts

    def _claim(self, address: bytes, mac: bytes, now: int) -> list[RuleAlert]:
        """Note that `mac` says it has `address`."""
        binding = self._bindings.get(address) or Binding()
        _remember(self._bindings, address, binding, MAX_BINDINGS)
        claims = binding.claims
        if mac not in claims and len(claims) >= MAX_CLAIMANTS:
            del claims[max(claims, key=lambda who: claims[who][0])]  # the youngest: the oldest must not be crowded out
        rivals = [who for who, seen in claims.items() if who != mac and _within(now, seen[1], ARP_FRESH_S)]
        # a claim that is no longer fresh keeps its age: an owner who was silent for long comes home as the older
        claims[mac] = (claims[mac][0] if mac in claims else now, now)
        if rivals and binding.holder != mac:
            binding.changes = [when for when in binding.changes if _within(now, when, ARP_WINDOW_S)][-FLAPS:] + [now]
        binding.holder = mac
        if not rivals:
            return []
        return self._conflict(address, binding, [*rivals, mac], now)

    def _conflict(self, address: bytes, binding: Binding, claimants: list[bytes], now: int) -> list[RuleAlert]:
        """Two MAC addresses claim one address: suspect the younger."""
        by_age = sorted(claimants, key=lambda mac: binding.claims[mac][0])
        old, new = by_age[0], by_age[-1]
        self.suspects.add(new, now)
        details = {"address": address_text(address), "old_mac": mac_text(old), "new_mac": mac_text(new)}
        alerts = []
        if self._pace.allows(("conflict", address, new), now):
            text = "TL-IDS ARP: address claimed by a second MAC address"
            alerts.append(_arp_alert(now, SID_ARP_CONFLICT, text, 1, address, new, details))
        if len(binding.changes) >= FLAPS and self._pace.allows(("flapping", address), now):
            text = "TL-IDS ARP: address changes hands to and fro"
            alerts.append(_arp_alert(now, SID_ARP_FLAPPING, text, 1, address, new, details))
        return alerts

    def _unasked_reply(self, address: bytes, mac: bytes, now: int) -> list[RuleAlert]:
        """Count a reply that answers no request that was seen."""
        times = [when for when in self._unasked.get(mac, ()) if _within(now, when, ARP_WINDOW_S)]
        times = times[-UNASKED_REPLIES:] + [now]
        _remember(self._unasked, mac, times, MAX_BINDINGS)
        if len(times) < UNASKED_REPLIES:
            return []
        self.suspects.add(mac, now)
        if not self._pace.allows(("unasked", mac), now):
            return []
        text = "TL-IDS ARP: replies that nobody asked for"
        details = {"address": address_text(address), "replies": str(len(times))}
        return [_arp_alert(now, SID_ARP_UNASKED, text, 2, address, mac, details)]


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
        src, dst, _, dst_port, protocol = flow.key
        if protocol == TCP or flow.out_packets or _is_group(dst):
            return []
        return self._knock(src, dst, dst_port, flow.first_us)

    def _knock(self, src: bytes, dst: bytes, port: int, now: int) -> list[RuleAlert]:
        """Note one unanswered target of `src`, the oldest first in its table."""
        tried = self._sources.get(src)
        if tried is None:
            tried = OrderedDict()
        _remember(self._sources, src, tried, MAX_SOURCES)
        known = (dst, port) in tried
        _remember(tried, (dst, port), now, MAX_TARGETS)
        if known or len(tried) < min(self._ports, self._hosts):
            return []
        while not _within(now, next(iter(tried.values())), FAN_WINDOW_S):
            tried.popitem(last=False)
        ports = sum(host == dst for host, _ in tried)
        hosts = len({host for host, _ in tried})
        if ports >= self._ports:
            return self._alert(src, dst, now, SID_FAN_PORTS, "many ports of one host", ports)
        if hosts >= self._hosts:
            return self._alert(src, dst, now, SID_FAN_HOSTS, "many hosts", hosts)
        return []

    def _alert(self, src: bytes, dst: bytes, now: int, sid: int, what: str, count: int) -> list[RuleAlert]:
        """Suspect `src` and start counting anew."""
        self.suspects.add(src, now)
        self._sources[src].clear()
        if not self._pace.allows((sid, src), now):
            return []
        signature = f"TL-IDS fan-out: one source tries {what}"
        details = {"unanswered": str(count), "window_s": str(FAN_WINDOW_S)}
        address = address_text(dst) if sid == SID_FAN_PORTS else ""
        return [RuleAlert(now, sid, signature, "Network scan", 2, address_text(src), address, "", details)]


def rules_against(flow: Flow, arp: ArpWatch | None, fan_out: FanOut | None) -> tuple[str, ...]:
    """The names of the rules under whose alert the source of a flow stood when the flow ended."""
    names = []
    if arp is not None and len(arp.suspects) and (flow.src_hw, flow.last_us) in arp.suspects:
        names.append("arp")
    if fan_out is not None and len(fan_out.suspects) and (flow.key[0], flow.last_us) in fan_out.suspects:
        names.append("fan-out")
    return tuple(names)


def _arp_alert(
    now: int, sid: int, signature: str, severity: int, address: bytes, mac: bytes, details: dict[str, str]
) -> RuleAlert:
    """An alert of the ARP watch; its source address is the one that is claimed."""
    return RuleAlert(now, sid, signature, "ARP spoofing", severity, address_text(address), "", mac_text(mac), details)


def _remember(table: OrderedDict, key: object, value: object, limit: int) -> None:
    """Make `key` the youngest entry of a table of at most `limit`."""
    table[key] = value
    table.move_to_end(key)
    if len(table) > limit:
        table.popitem(last=False)


def _within(now_us: int, then_us: int | None, seconds: float) -> bool:
    """Whether two moments lie at most `seconds` apart; False when there is no second moment."""
    return then_us is not None and abs(now_us - then_us) <= seconds * SECOND_US


def _is_group(address: bytes) -> bool:
    """Multicast, or an IPv4 broadcast address of a network of /24 or larger."""
    if len(address) == 16:
        return address[0] == 0xFF
    return address[0] >= 224 or address[3] == 255
