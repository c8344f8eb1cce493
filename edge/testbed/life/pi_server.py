"""What the Pi server does of its own accord: the weather, a copy of the readings kept outside, is everyone there?

Run as `python -m testbed.life.pi_server SEED`.
"""

import random
import sys

from testbed.life import habits
from testbed.life.habits import Habit, connected, fetch


def fetch_weather(draw: random.Random) -> None:
    """The forecast, over TLS."""
    habits.get_once(f"/{draw.randint(2000, 9000)}/0.1", "weather.example", secure=True)


def keep_copy(draw: random.Random) -> None:
    """Send the readings to where they are kept."""
    with connected("cdn.example", secure=True) as connection:
        fetch(connection, "/readings", "POST", draw.randbytes(draw.randint(2000, 30_000)))


def check_devices(draw: random.Random) -> None:
    """Ping the boards, or the router."""
    habits.ping(draw.choice(("fire-alarm.home", "room-light.home", "router.home")), draw.randint(1, 2))


def main(seed: str) -> None:
    """Live until killed."""
    chores = [Habit(2, fetch_weather, 6), Habit(1, keep_copy, 6), Habit(3, check_devices, 4)]
    habits.live(f"{seed} pi-server", chores, [Habit(1, habits.ask_neighbours, 9)])


if __name__ == "__main__":
    main(sys.argv[1])
