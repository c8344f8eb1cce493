"""The television: streams at times, looks up names of advertisers, announces itself, asks for updates.

Run as `python -m testbed.life.television SEED`.
"""

import random
import socket
import sys
import time

from testbed.life import habits
from testbed.life.habits import SSDP, Habit, connected, fetch


def stream(draw: random.Random) -> None:
    """Watch something: a piece of video every few seconds, over one connection or one for each."""
    size, kept = draw.randint(60_000, 180_000), draw.random() < 0.5
    if not kept:
        for _ in range(draw.randint(2, 5)):
            habits.get_once(f"/{size}/0.05", "video.example", secure=True)
            time.sleep(draw.uniform(2, 4))
        return
    with connected("video.example", secure=True) as connection:
        for _ in range(draw.randint(2, 6)):
            fetch(connection, f"/{size}/0.05")
            time.sleep(draw.uniform(2, 4))


def announce(draw: random.Random) -> None:
    """Announce its services by SSDP (UPnP Device Architecture, section 1.2.2)."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as telling:
        telling.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_TTL, 4)
        for kind in ("upnp:rootdevice", "urn:schemas-upnp-org:device:MediaRenderer:1", "uuid:tv")[: draw.randint(1, 3)]:
            head = f"NOTIFY * HTTP/1.1\r\nHOST: {SSDP[0]}:1900\r\nCACHE-CONTROL: max-age=1800\r\n"
            telling.sendto(f"{head}NT: {kind}\r\nNTS: ssdp:alive\r\nUSN: uuid:tv::{kind}\r\n\r\n".encode(), SSDP)
            time.sleep(0.1)


def ask_for_update(draw: random.Random) -> None:
    """Ask for an update, over plain HTTP."""
    habits.get_once(f"/{draw.randint(150, 3000)}", "updates.example")


def main(seed: str) -> None:
    """Live until killed."""
    watching = [Habit(1, stream, 6), Habit(1, habits.idle, 5)]
    standby = [
        Habit(5, habits.look_up, 3), Habit(3, announce, 3), Habit(1.5, ask_for_update, 3), Habit(1, habits.ask_time, 3),
        Habit(2, habits.app_telemetry, 3), Habit(1, habits.search_devices, 3), Habit(1, habits.ask_neighbours, 3),
    ]  # fmt: skip
    habits.live(f"{seed} television", watching, standby)


if __name__ == "__main__":
    main(sys.argv[1])
