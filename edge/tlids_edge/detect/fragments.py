"""First fragments of TCP that end within the TCP header (RFC 1858): no stack makes them, scanners do, to hide.

The alerts, and what they do to the source's flows, are those of `suspects`.
"""

from collections.abc import Iterable

from tlids_edge.capture.packets import address_text, mac_text
from tlids_edge.capture.stats import TinyFragments
from tlids_edge.detect.sources import ProvenSources
from tlids_edge.detect.suspects import Pace, RuleAlert, Suspects
from tlids_edge.flows.flow import Flow

SID_TINY_FRAGMENTS = 9_200_031


class FragmentWatch:
    """Alerts once a minute for each sender of tiny first fragments; one is enough."""

    def __init__(self, sources: ProvenSources) -> None:
        """Suspect nobody."""
        self.suspects = Suspects()
        self._sources = sources
        self._pace = Pace()

    def accuses(self, flow: Flow) -> bool:
        """Whether the source of a flow stood under this rule's alert when the flow ended."""
        return bool(len(self.suspects)) and ((flow.key[0], flow.src_hw), flow.last_us) in self.suspects

    def see(self, senders: Iterable[TinyFragments]) -> list[RuleAlert]:
        """Take note of what was counted since the last call; the alerts it gives rise to."""
        alerts = []
        for now, src, mac, dst, count in senders:
            self.suspects.add((src, mac), now)
            if self._pace.allows((src, mac), now):
                alerts.append(RuleAlert(
                    now, SID_TINY_FRAGMENTS, "TL-IDS fragments: first TCP fragments without a whole TCP header",
                    "Network scan", 2, address_text(src), address_text(dst), mac_text(mac), {"fragments": str(count)},
                    self._sources.is_proven(src, mac, now), "TCP",
                ))  # fmt: skip
        return alerts
