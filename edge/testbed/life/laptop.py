"""The resident's laptop: the web, backups, maintenance of the Pi server, new firmware, a monitor of the home.

Run as `python -m testbed.life.laptop SEED SECRETS.json`.
"""

import contextlib
import hashlib
import json
import os
import random
import socket
import subprocess
import sys
import time
from functools import partial
from pathlib import Path

import paho.mqtt.client as mqtt

from testbed.life import habits
from testbed.life.habits import DASHBOARD, Browser, Habit, connected, fetch
from testbed.services.content import PAGES
from testbed.services.servers import EDGE, MAINTAINER

WATCHED = [("pi-server.home", port) for port in (22, 53, 80, 1883)] + [
    (name, port) for name in ("fire-alarm.home", "room-light.home", "television.home") for port in (80, 8080)
]


def maintain(password: str, draw: random.Random) -> None:
    """Log in at the Pi server and look around; every third time the password is mistyped, once or more often."""
    commands = ("uptime", "uptime; df -h", "ls -l /etc; cat /etc/passwd", "for n in 1 2 3; do uptime; sleep 1; done")
    tries = [password + "x"] * draw.choice((0, 0, 1, 2)) + [password]
    for typed in tries:
        ssh(typed, draw.choice(commands))
        time.sleep(draw.uniform(0.5, 2))


def ssh(password: str, command: str, host: str = "pi-server.home") -> None:
    """Run one command on a server; the password is asked for by a program, as there is no terminal."""
    ask = Path.cwd() / f"askpass-{os.getpid()}"
    ask.touch(0o700)
    ask.write_text(f"#!/bin/sh\necho {password}\n")
    options = [
        "StrictHostKeyChecking=no", "UserKnownHostsFile=/dev/null", "NumberOfPasswordPrompts=1", "ConnectTimeout=8",
        "PreferredAuthentications=password",
    ]  # fmt: skip
    argv = ["ssh", *(word for option in options for word in ("-o", option)), f"{MAINTAINER}@{host}", command]
    environment = {**os.environ, "SSH_ASKPASS": str(ask), "SSH_ASKPASS_REQUIRE": "force"}
    quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL, "stdin": subprocess.DEVNULL}
    subprocess.run(argv, env=environment, timeout=30, **quiet)


def back_up(draw: random.Random) -> None:
    """Upload a backup, in one piece or in several files on connections of their own."""
    for number in range(draw.choice((1, 1, 3, 8))):
        with connected() as connection:
            fetch(connection, f"/backup/{number}", "PUT", draw.randbytes(int(draw.uniform(20_000, 400_000))))


def fetch_image(_: random.Random) -> None:
    """Download MicroPython's image, to flash a board."""
    habits.get_once("/firmware/esp8266.bin")


def update_board(password: str, draw: random.Random) -> None:
    """Announce a new main.py to a board, which fetches it over HTTP."""
    board = draw.choice(("fire-alarm", "room-light"))
    body = (EDGE / "testbed" / "firmware" / board.replace("-", "_") / "main.py").read_bytes()
    wanted = {
        "url": f"http://{DASHBOARD}/firmware/{board}/main.py",
        "size": len(body),
        "sha256": hashlib.sha256(body).hexdigest(),
    }
    app = mqtt.Client(mqtt.CallbackAPIVersion.VERSION2, client_id=f"laptop-{draw.randrange(10**6)}")
    app.username_pw_set("phone", password)
    app.connect("broker.home", 1883, keepalive=30)
    app.loop_start()
    try:
        app.publish(f"home/{board}/set", json.dumps({"update": wanted}), qos=1).wait_for_publish(5)
    finally:
        app.disconnect()
        app.loop_stop()


def monitor(draw: random.Random) -> None:
    """See whether the home's services are up: one connection each; at the first glance a small scan."""
    for name, port in draw.sample(WATCHED, draw.randint(4, len(WATCHED))):
        with contextlib.suppress(OSError), socket.create_connection((name, port), timeout=2):
            time.sleep(draw.uniform(0, 0.1))


def ping_home(draw: random.Random) -> None:
    """Ping a host or two."""
    for name in draw.sample(("pi-server.home", "router.home", "room-light.home", "news.example"), draw.randint(1, 2)):
        habits.ping(name, draw.randint(1, 4))


def read_dashboard(browser: Browser, draw: random.Random) -> None:
    """Look at a page or two of the dashboard."""
    for page in draw.sample(list(PAGES), draw.randint(1, 2)):
        browser.open(page, lanes=draw.choice((1, 2, 6)))
        time.sleep(draw.uniform(1, 4))


def main(seed: str, secrets: dict[str, str]) -> None:
    """Live until killed."""
    work = [
        Habit(1.6, named(maintain, secrets[MAINTAINER]), 2), Habit(0.7, back_up, 3), Habit(0.5, fetch_image, 3),
        Habit(0.7, named(update_board, secrets["phone"]), 2), Habit(2, monitor, 3), Habit(1.5, ping_home, 2),
        Habit(2, named(read_dashboard, Browser()), 2), Habit(1.5, habits.idle, 4),
    ]  # fmt: skip
    leisure = [
        Habit(6, habits.visit_site, 2), Habit(5, habits.look_up, 1.5), Habit(1, habits.ask_time, 2),
        Habit(1.5, habits.app_telemetry, 2), Habit(1, habits.search_devices, 2), Habit(1.5, habits.ask_neighbours, 2),
    ]  # fmt: skip
    habits.live(f"{seed} laptop", work, leisure)


def named(do: object, first: object) -> partial:
    """A habit with what it needs to know, under its own name."""
    done = partial(do, first)
    done.__name__ = do.__name__
    return done


if __name__ == "__main__":
    main(sys.argv[1], json.loads(Path(sys.argv[2]).read_text()))
