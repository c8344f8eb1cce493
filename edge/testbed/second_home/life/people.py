"""The second home's people by their devices: phone, laptop, tablet."""

import base64
import contextlib
import random
import socket
import ssl
import time

from testbed.life import habits
from testbed.life.habits import Habit, fetch
from testbed.life.laptop import ssh
from testbed.second_home.life import common, things
from testbed.second_home.life.common import connected, named
from testbed.second_home.services import rtsp
from testbed.second_home.services.gadgets import CAST_PORT, PLUG_PORT
from testbed.second_home.world import MAINTAINER
from testbed.services.content import PAGES

WATCHED = [("nas.home", 22), ("nas.home", 443), ("nas.home", 8883), ("camera.home", 80), ("camera.home", 554)] + [
    (f"{host}.home", port) for host in ("hub", "speaker", "router") for port in (80, 443)
]


def phone(secrets: dict[str, str]) -> list[list[Habit]]:
    """Names over TLS, pages, apps, the home's devices."""
    common.resolve_over_tls()
    login = ("resident", secrets["resident"])
    return [
        [Habit(3, named(switch_bulbs, secrets["phone"]), 2), Habit(2, named(watch_camera, login), 4),
         Habit(2, switch_plug, 2), Habit(2, cast, 3), Habit(1, named(open_camera, login), 3),
         Habit(1, habits.idle, 3)],
        [Habit(6, common.visit, 1.5), Habit(4, named(common.report, "apps.example", 200, 4000), 1.5),
         Habit(2, common.look_up, 1.5), Habit(1.5, common.ask_neighbours, 2),
         Habit(1, named(common.search, "ssdp:all"), 3), Habit(1, common.call, 5)],
    ]  # fmt: skip


def tablet(_: dict[str, str]) -> list[list[Habit]]:
    """Names over TLS, films, pages, calls."""
    common.resolve_over_tls()
    return [
        [Habit(2, watch_film, 4), Habit(1, common.call, 5), Habit(1, cast, 4)],
        [Habit(5, common.visit, 1.5), Habit(3, named(common.report, "apps.example", 200, 5000), 2),
         Habit(2, common.look_up, 2), Habit(1, common.ask_neighbours, 3), Habit(1, common.ask_time, 3)],
    ]  # fmt: skip


def laptop(secrets: dict[str, str]) -> list[list[Habit]]:
    """Work on the NAS, the web, a look whether all is well."""
    login = ("resident", secrets["resident"])
    return [
        [Habit(2, named(maintain, secrets[MAINTAINER]), 3), Habit(2, open_nas, 2), Habit(1.5, back_up, 3),
         Habit(1.5, monitor, 3), Habit(1, named(open_camera, login), 3), Habit(1, named(watch_camera, login), 4),
         Habit(1.5, things.check_devices, 3)],
        [Habit(7, common.visit, 1.2), Habit(4, common.look_up, 1.2), Habit(1, common.ask_time, 3),
         Habit(2, named(common.report, "mail.example", 300, 9000), 2), Habit(1, named(common.search, "ssdp:all"), 3),
         Habit(1, common.ask_neighbours, 3)],
    ]  # fmt: skip


def switch_bulbs(password: str, draw: random.Random) -> None:
    """Switch bulbs by MQTT over TLS; once in a while with an old password."""

    def talk(client: object) -> None:
        client.subscribe("zigbee/#")
        for _ in range(draw.randint(1, 8)):
            common.publish(client, f"{draw.choice(things.BULBS)}/set", {"level": draw.randint(0, 100)})
            time.sleep(draw.uniform(0.1, 0.7))

    common.mqtt_session("nas.home", "phone", password if draw.random() < 0.9 else "old-" + password, talk)


def watch_camera(login: tuple[str, str], draw: random.Random) -> None:
    """Look what the camera sees, over UDP mostly; sometimes the password is mistyped first."""
    if draw.random() < 0.15:
        with contextlib.suppress(OSError):
            rtsp.watch("camera.home", (login[0], "wrong"), 0.2, over_tcp=True)
    rtsp.watch("camera.home", login, draw.uniform(2, 5), over_tcp=draw.random() < 0.25)


def open_camera(login: tuple[str, str], draw: random.Random) -> None:
    """Open the camera's page, log in, take some snapshots."""
    pair = "Basic " + base64.b64encode(":".join(login).encode()).decode()
    with connected("camera.home") as connection:
        for path in ("/", "/style.css", "/player.js"):
            fetch(connection, path)
        fetch(connection, "/snapshot.jpg")
        for _ in range(draw.randint(1, 5)):
            fetch(connection, "/snapshot.jpg", Authorization=pair)
            time.sleep(draw.uniform(0.2, 1))


def switch_plug(draw: random.Random) -> None:
    """Switch the plug by its own protocol."""
    with socket.create_connection(("plug.home", PLUG_PORT), timeout=5) as talking:
        for _ in range(draw.randint(1, 4)):
            talking.sendall(b"\x00\x00\x55\xaa" + draw.randbytes(draw.randint(60, 140)))
            talking.recv(512)
            time.sleep(draw.uniform(0.1, 0.8))


def cast(draw: random.Random) -> None:
    """Send music to the speaker: find it by multicast DNS, then control it over TLS."""
    common.ask_neighbours(draw)
    context = ssl._create_unverified_context()
    plain = socket.create_connection(("speaker.home", CAST_PORT), timeout=5)
    with context.wrap_socket(plain, server_hostname="speaker.home") as talking:
        for _ in range(draw.randint(2, 8)):
            talking.sendall(draw.randbytes(draw.randint(80, 400)))
            talking.recv(512)
            time.sleep(draw.uniform(0.2, 1.5))


def watch_film(draw: random.Random) -> None:
    """A piece of film every few seconds."""
    with connected("video.example", secure=True) as connection:
        for _ in range(draw.randint(2, 6)):
            fetch(connection, f"/{draw.randint(20_000, 45_000)}/0.05")
            time.sleep(draw.uniform(1, 3))


def open_nas(draw: random.Random) -> None:
    """Open pages of the NAS over TLS, their assets over one to four connections."""
    page = draw.choice(list(PAGES))
    lanes = draw.choice((1, 2, 4))
    paths = [page, *PAGES[page]]
    for lane in range(lanes):
        with connected("nas.home", secure=True) as connection:
            for path in paths[lane::lanes]:
                fetch(connection, path)


def back_up(draw: random.Random) -> None:
    """Upload files to the NAS over TLS, one or several."""
    for number in range(draw.choice((1, 1, 2, 5))):
        with connected("nas.home", secure=True) as connection:
            fetch(connection, f"/{number}", "PUT", draw.randbytes(draw.randint(8000, 45_000)))


def monitor(draw: random.Random) -> None:
    """See whether the home's services are up: one connection each; at the first glance a small scan."""
    for name, port in draw.sample(WATCHED, draw.randint(3, len(WATCHED))):
        with contextlib.suppress(OSError), socket.create_connection((name, port), timeout=2):
            time.sleep(draw.uniform(0, 0.1))


def maintain(password: str, draw: random.Random) -> None:
    """Log in at the NAS and look around; now and then the password is mistyped first."""
    for typed in [password + "x"] * draw.choice((0, 0, 0, 1, 2)) + [password]:
        command = draw.choice(("uptime", "uptime; df -h", "ls -l /etc; cat /etc/services", "sleep 2; uptime"))
        ssh(typed, command, "nas.home")
        time.sleep(draw.uniform(0.3, 1.5))
