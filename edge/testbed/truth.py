"""From what was run when by whom to labels.csv, the file that `tlids-meter --labels` reads.

The rule, in the order in which the rows stand (the first that matches a flow wins):

1. Whatever the attacker's MAC address sends or is sent is the attack of that window. The attacker has no life of its
   own, so this holds its probes, its log-ins, its DNS look-ups, what it sends under forged addresses, and every answer
   to it. A window lasts from just before the tool starts until the next one starts, AFTERMATH_S at most: a stack sends
   again what was not acknowledged.
2. While the ARP caches of a device or the server's entry for it are forged, every flow between the two is "ARP MITM":
   a flow that began before has the victims' MAC addresses in its first packet, so row 1 misses it. Relayed packets are
   seen twice on the bridge, on their way to the attacker and on their way from it, with the victims' addresses both
   times. They fall into one flow, whose counters are therefore doubled. That is what a bridge sees; it is kept. When
   the router is the server, what the device exchanges with the world outside is relayed too.
3. A flood from forged addresses is answered to those addresses, not to the attacker: SYN-ACKs sent again after the
   flow of the SYN has ended, ICMP errors, and the router's "unreachable" to the victim. So for AFTERMATH_S longer than
   the window a flow between the victim and an address that no one here has is the flood's, and so is ICMP (which has
   ports 0) between router and victim. Benign rows stand before it for the addresses that are someone's: the home's
   own, the world's outside, multicast and broadcast.
4. An infected device goes on with its own life. What it exchanges with an address that its commands name is the attack:
   a server that nobody else calls, or a host that this device never calls otherwise. These rows stand before rule 3's.

Everything else is Benign: also what a benign host sends to a victim during an attack, and what the victim answers.
A flow is in a window when any part of it is, as `tlids_edge.flows.labels` has it.
"""

import codecs
import csv
from collections.abc import Iterable, Iterator
from ipaddress import IPv4Network
from itertools import pairwise
from pathlib import Path

from tlids_edge import outputs
from tlids_edge.errors import InputError
from tlids_edge.flows.labels import BENIGN, COLUMNS

from testbed.attacks import ADDRESS, Window
from testbed.network import OUTSIDE_NETWORK, Host
from testbed.schedule import ATTACKER

AFTERMATH_S = 70.0  # Linux gives a half-open connection up after 63 s, and its last SYN-ACK falls 31 s after the first
MARGIN_S = 0.05  # between the clock that the windows were taken from and the capture's time stamps
ROUTER = "router"
ANYONES = ("224.0.0.0/4", "255.255.255.255", "0.0.0.0")

Row = tuple[str, str, str, str, str, str]


def write_labels(
    windows: list[Window], hosts: dict[str, Host], path: str | Path, outside: IPv4Network = OUTSIDE_NETWORK
) -> None:  # fmt: skip
    """Write the labels of a session; the file appears whole. `outside` is the world beyond the router.

    Raises:
        InputError: two windows overlap, or the file cannot be written.
    """
    with outputs.written(path) as file:
        rows = [COLUMNS, *label_rows(windows, hosts, outside)]
        csv.writer(codecs.getwriter("utf-8")(file), lineterminator="\n").writerows(rows)


def label_rows(windows: list[Window], hosts: dict[str, Host], outside: IPv4Network = OUTSIDE_NETWORK) -> list[Row]:
    """The rows of a session's labels in the order of the rule, as text.

    Raises:
        InputError: two windows of the attacker overlap: a flow of its could then be of either.
    """
    windows = sorted(windows, key=lambda window: window.start)
    infected = [window for window in windows if window.attacker != ATTACKER]
    windows = [window for window in windows if window.attacker == ATTACKER]
    for one, other in pairwise(windows):
        if one.end > other.start:
            raise InputError(
                f"expected one attack at a time, found {other.name} at {other.start:.0f} before {one.name} had ended: "
                "record the session again"
            )
    return [
        *_senders(windows, hosts), *_relays(windows, hosts, outside), *_infected(infected, hosts),
        *_forged(windows, hosts, outside),
    ]  # fmt: skip


def _senders(windows: list[Window], hosts: dict[str, Host]) -> Iterator[Row]:
    """Rule 1: what the attacker sends and is sent."""
    for number, window in enumerate(windows):
        end = window.end + AFTERMATH_S
        if number + 1 < len(windows):
            end = min(end, windows[number + 1].start - 2 * MARGIN_S)
        yield _row(window.start - MARGIN_S, end, hosts[window.attacker].mac, "", "", window.name)


def _relays(windows: list[Window], hosts: dict[str, Host], outside: IPv4Network) -> Iterator[Row]:
    """Rule 2: what the victims of a man in the middle send each other."""
    for window in windows:
        for relay in window.relays:
            others = [hosts[relay.server].address, *([str(outside)] if relay.server == ROUTER else [])]
            for other in others:
                pair = hosts[relay.device].address, other
                yield _row(relay.start - MARGIN_S, relay.end + MARGIN_S, *pair, "", window.name)


def _infected(windows: list[Window], hosts: dict[str, Host]) -> Iterator[Row]:
    """Rule 4: what an infected device exchanges with the addresses that its commands name."""
    for window in windows:
        named = dict.fromkeys(address for argv in window.commands for word in argv for address in ADDRESS.findall(word))
        for address in named:
            times = window.start - MARGIN_S, window.end + MARGIN_S
            yield _row(*times, hosts[window.attacker].address, address, "", window.name)


def _forged(windows: list[Window], hosts: dict[str, Host], outside: IPv4Network) -> Iterator[Row]:
    """Rule 3: the answers to addresses that no one has."""
    floods = [(window, hosts[victim].address) for window in windows if window.spoofed for victim in window.victims]
    times = [(window.start - MARGIN_S, window.end + AFTERMATH_S) for window, _ in floods]
    if floods and ROUTER in hosts:
        for (window, victim), (start, end) in zip(floods, times, strict=True):
            yield _row(start, end, hosts[ROUTER].address, victim, "0", window.name)
    for victim in dict.fromkeys(victim for _, victim in floods):
        yield from _benign(victim, hosts.values(), outside)
    for (window, victim), (start, end) in zip(floods, times, strict=True):
        yield _row(start, end, "", victim, "", window.name)


def _benign(victim: str, hosts: Iterable[Host], outside: IPv4Network) -> Iterator[Row]:
    """What a victim says to addresses that are someone's."""
    own = (host.address for host in hosts if host.address != victim)
    for address in (*own, str(outside), *ANYONES):
        yield ("", "", address, victim, "", BENIGN)


def _row(start: float, end: float, src: str, dst: str, port: str, name: str) -> Row:
    """One row of labels.csv; times to the microsecond."""
    return f"{start:.6f}", f"{end:.6f}", src, dst, port, name
