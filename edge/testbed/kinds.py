"""The homes that can be recorded: who lives there, what is done to them, what has to be installed."""

from collections.abc import Callable
from dataclasses import dataclass

from testbed import attacks, home, schedule
from testbed import network as lab
from testbed.schedule import Attack
from testbed.second_home import home as second_home
from testbed.second_home import schedule as second_schedule
from testbed.second_home import world
from testbed.services import servers


@dataclass(frozen=True)
class Kind:
    """A kind of home; `rounds` gives the attacks of a seed, in order, in one round or several."""

    layout: lab.Layout
    subnet: str
    start: Callable[[lab.Network], home.Home]
    rounds: Callable[[int, bool], list[list[Attack]]]
    programs: dict[str, str]


def _one_round(seed: int, small: bool) -> list[list[Attack]]:
    """The first home's attacks."""
    return [schedule.plan_attacks(seed, small)]


KINDS = {
    "first": Kind(
        lab.FIRST, "192.168.7.0/24", home.start_home, _one_round,
        {**lab.PROGRAMS, **servers.PROGRAMS, **attacks.PROGRAMS},
    ),
    "second": Kind(
        world.LAYOUT, world.SUBNET, second_home.start_home, second_schedule.plan_rounds,
        {**lab.PROGRAMS, **second_home.PROGRAMS, **second_schedule.PROGRAMS},
    ),
}  # fmt: skip
"""`--home` -> what it means."""
