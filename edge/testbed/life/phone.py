"""The resident's phone: the dashboard in a browser, an MQTT app for the light, other apps in the background.

Run as `python -m testbed.life.phone SEED SECRETS.json`.
"""

import base64
import json
import random
import sys
import time
from functools import partial
from pathlib import Path
from urllib.parse import urlencode

import paho.mqtt.client as mqtt

from testbed.life import habits
from testbed.life.habits import Browser, Habit, connected, fetch, get_once
from testbed.services.content import PAGES


def view(browser: Browser, draw: random.Random) -> None:
    """Open a page, and watch it for a while: its script asks for the state again and again."""
    browser.open(draw.choice(list(PAGES)), lanes=draw.choice((1, 3, 4, 6)))
    kept, pause = draw.random() < 0.35, draw.choice((1.0, 2.0, 2.0, 5.0))
    asked = draw.randint(2, 9)
    if not kept:
        for _ in range(asked):
            get_once("/api/state")
            time.sleep(pause)
        return
    with connected() as connection:
        for _ in range(asked):
            fetch(connection, "/api/state")
            time.sleep(pause)


def refresh(browser: Browser, draw: random.Random) -> None:
    """Reload an impatient number of times; at the first glance a small flood."""
    for _ in range(draw.randint(5, 14)):
        browser.open("/", lanes=draw.choice((2, 4)))
        time.sleep(draw.uniform(0.05, 0.4))


def log_in(password: str, draw: random.Random) -> None:
    """Log in, after no, one or several mistyped passwords, each time on a new connection."""
    for typed in [password[:-1] + draw.choice("xyz")] * draw.choice((0, 0, 1, 1, 2, 5)) + [password]:
        with connected() as connection:
            form = urlencode({"user": "resident", "password": typed}).encode()
            fetch(connection, "/login", "POST", form, **{"Content-Type": "application/x-www-form-urlencoded"})
        time.sleep(draw.uniform(0.3, 2.5))


def administer(password: str, draw: random.Random) -> None:
    """Open the protected area: refused first, then with the password."""
    with connected() as connection:
        fetch(connection, "/admin/")
        pair = base64.b64encode(f"resident:{password}".encode()).decode()
        fetch(connection, "/admin/", Authorization=f"Basic {pair}")


def switch_by_page(draw: random.Random) -> None:
    """Switch or dim the light by the page's buttons."""
    with connected() as connection:
        for _ in range(draw.randint(1, 3)):
            command = {"level": draw.choice((0, 30, 60, 100))} if draw.random() < 0.8 else {"automatic": True}
            fetch(connection, "/api/light", "POST", json.dumps(command).encode())
            time.sleep(draw.uniform(0.4, 2.0))


def switch_by_app(password: str, draw: random.Random) -> None:
    """Open the MQTT app: log in, once in a while with an old password, drag the dimmer, look on for some seconds."""
    app = mqtt.Client(mqtt.CallbackAPIVersion.VERSION2, client_id=f"phone-{draw.randrange(10**6)}")
    app.username_pw_set("phone", password if draw.random() < 0.85 else "old-" + password)
    app.connect("broker.home", 1883, keepalive=30)
    app.loop_start()
    try:
        app.subscribe("home/#")
        for level in range(0, draw.randint(10, 100), draw.choice((5, 10, 20))):
            app.publish("home/room-light/set", json.dumps({"level": level}))
            time.sleep(draw.uniform(0.05, 0.3))
        if draw.random() < 0.3:
            app.publish("home/fire-alarm/set", json.dumps(draw.choice(("test", "silence"))))
        time.sleep(draw.uniform(0.5, 6))
    finally:
        app.disconnect()
        app.loop_stop()


def main(seed: str, secrets: dict[str, str]) -> None:
    """Live until killed."""
    browser = Browser()
    named = partial(_named, browser, secrets)
    live_at_home = [
        Habit(6, named(view), 2.0), Habit(0.8, named(refresh), 4), Habit(1.2, named(log_in), 2),
        Habit(0.7, named(administer), 2), Habit(2, switch_by_page, 2), Habit(1.5, named(switch_by_app), 2),
        Habit(1.5, habits.idle, 4),
    ]  # fmt: skip
    apps = [
        Habit(4, habits.visit_site, 3), Habit(3, habits.app_telemetry, 2), Habit(5, habits.look_up, 1.5),
        Habit(1, habits.ask_time, 2), Habit(1.5, habits.search_devices, 2), Habit(2, habits.ask_neighbours, 1.5),
        Habit(1, habits.idle, 3),
    ]  # fmt: skip
    habits.live(f"{seed} phone", live_at_home, apps)


def _named(browser: Browser, secrets: dict[str, str], do: object) -> partial:
    """A habit with what it needs to know."""
    first = {view: browser, refresh: browser, switch_by_app: secrets["phone"]}.get(do, secrets["resident"])
    done = partial(do, first)
    done.__name__ = do.__name__
    return done


if __name__ == "__main__":
    main(sys.argv[1], json.loads(Path(sys.argv[2]).read_text()))
