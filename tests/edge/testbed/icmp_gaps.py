"""How far apart a plan's attacks are that exchange ICMP with one host: all of it is one flow."""

from collections.abc import Iterable
from itertools import pairwise

from testbed import attacks
from testbed.schedule import GAP_S, WITH_ICMP, Attack, gap_before
from tlids_edge.flows.meter import Meter


def assert_icmp_flows_end(plan: Iterable[Attack]) -> None:
    """Before each attack with ICMP the flow of the one before on that host has been silent for the idle timeout."""
    quiet = {}  # victim -> least seconds since an attack with ICMP ended
    for previous, attack in pairwise([None, *plan]):
        gap = gap_before(attack, previous)
        assert gap >= GAP_S
        quiet = {victim: seconds + gap for victim, seconds in quiet.items()}
        if attack.name in WITH_ICMP:
            assert all(quiet.get(victim, 99) > Meter()._idle_us / 1e6 for victim in attack.victims)
        quiet = {victim: seconds + attacks.SETTLE_S for victim, seconds in quiet.items()}
        if attack.name in WITH_ICMP:
            quiet |= dict.fromkeys(attack.victims, attacks.SETTLE_S)
