"""Rows of a labels file, found by addresses, port and time instead of one after the other.

Rows with the same source, destination and port stand together, in order of their starts. A flow asks for every
combination that could match it, which are a few dozen, and in each for the rows that overlap its time. 100,000 rows
cost a flow some microseconds this way; one after the other they cost it more than a second.
"""

from collections import defaultdict
from collections.abc import Iterable, Iterator
from functools import lru_cache
from ipaddress import IPv4Network, IPv6Network, ip_address
from typing import NamedTuple

Host = str | IPv4Network | IPv6Network | None  # a MAC address in lower case, a network, or anyone
_Key = str | tuple[int, int, int] | None  # a MAC address, (IP version, prefix length, leading bits), or anyone


class Window(NamedTuple):
    """When a row holds, in microseconds since 1970, both included; `row` is its place in the file."""

    start_us: float
    end_us: float
    row: int
    both_ways: bool


class LabelIndex:
    """Finds the first row that matches a flow."""

    def __init__(self, rows: Iterable[tuple[Host, Host, int | None, Window]]) -> None:
        """`rows` are (source, destination, destination port, window)."""
        self._lengths: set[tuple[int, int]] = set()  # (IP version, prefix length) that occur
        groups: dict[tuple[_Key, _Key, int | None], list[Window]] = defaultdict(list)
        for src, dst, port, window in rows:
            groups[self._key(src), self._key(dst), port].append(window)
        self._groups = {key: _Group(windows) for key, windows in groups.items()}
        self._keys = lru_cache(maxsize=4096)(self._keys_of)

    def first(self, flow) -> int | None:
        """The place of the first row that matches; None when no row does. `flow` is a `flows.flow.Flow`."""
        src, dst = self._keys(flow.src, flow.src_mac), self._keys(flow.dst, flow.dst_mac)
        found = [*self._found(src, dst, flow.dst_port, flow, False), *self._found(dst, src, flow.src_port, flow, True)]
        return min(found, default=None)

    def _found(self, sources: list[_Key], targets: list[_Key], port: int, flow, turned: bool) -> Iterator[int]:
        """The first row of each group that matches in one direction."""
        for src in sources:
            for dst in targets:
                for wanted in (port, None):
                    group = self._groups.get((src, dst, wanted))
                    if group is not None:
                        yield from group.first(flow.first_us, flow.last_us, turned)

    def _key(self, host: Host) -> _Key:
        """A host of a row, as a flow can be asked for it."""
        if host is None or isinstance(host, str):
            return host
        self._lengths.add((host.version, host.prefixlen))
        return host.version, host.prefixlen, int(host.network_address) >> (host.max_prefixlen - host.prefixlen)

    def _keys_of(self, address: str, mac: str) -> list[_Key]:
        """Every host of a row that an address and a MAC address could be."""
        parsed = ip_address(address)
        bits = int(parsed)
        keys: list[_Key] = [None, *([mac] if mac else [])]
        for version, length in self._lengths:
            if version == parsed.version:
                keys.append((version, length, bits >> (parsed.max_prefixlen - length)))
        return keys


class _Group:
    """The windows of rows with the same addresses and port."""

    def __init__(self, windows: list[Window]) -> None:
        self._windows = sorted(windows)
        self._latest = [0.0] * len(windows)  # the latest end in the subtree of which this is the middle
        self._measure(0, len(windows))

    def first(self, from_us: float, to_us: float, turned: bool) -> Iterator[int]:
        """The first row whose window overlaps these times, if there is one; `turned` asks rows that hold both ways."""
        best, spans = None, [(0, len(self._windows))]
        while spans:
            low, high = spans.pop()
            middle = (low + high) // 2
            if low >= high or self._latest[middle] < from_us:
                continue
            window = self._windows[middle]
            spans.append((low, middle))
            if window.start_us > to_us:
                continue
            spans.append((middle + 1, high))
            if window.end_us >= from_us and (window.both_ways or not turned) and (best is None or window.row < best):
                best = window.row
        if best is not None:
            yield best

    def _measure(self, low: int, high: int) -> float:
        """Fill in the latest ends of a balanced tree that lies in the sorted list; its depth is log2 of the length."""
        if low >= high:
            return float("-inf")
        middle = (low + high) // 2
        ends = self._windows[middle].end_us, self._measure(low, middle), self._measure(middle + 1, high)
        self._latest[middle] = max(ends)
        return self._latest[middle]
