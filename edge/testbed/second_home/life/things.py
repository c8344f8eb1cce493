"""The second home's devices: each a list of days, as `habits.live` takes them."""

import random
import socket
import time

from testbed.life import habits
from testbed.life.habits import Habit, fetch
from testbed.second_home import world
from testbed.second_home.life import common
from testbed.second_home.life.common import connected, named
from testbed.second_home.services import rtsp
from testbed.second_home.services.camera import DISCOVERY, discovery_message
from testbed.second_home.services.gadgets import CONNECTION, GATEWAY, GATEWAY_PORT

BULBS = tuple(f"zigbee/{room}/{thing}" for room in ("hall", "kitchen", "attic") for thing in ("bulb", "switch", "door"))


def plug(_: dict[str, str]) -> list[list[Habit]]:
    """The smart plug: readings to its maker, broadcasts; it talks to nobody in the home but router and phone."""
    return [[
        Habit(6, named(common.report, "api.plugs.example", 120, 600), 3), Habit(2, shout, 3),
        Habit(1.5, common.ask_time, 3), Habit(1, common.ask_for_update, 3),
        Habit(2, named(common.wait_for_orders, "api.plugs.example"), 2),
    ]]  # fmt: skip


def shout(draw: random.Random) -> None:
    """Tell everyone that it is there, by broadcast."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as telling:
        telling.setsockopt(socket.SOL_SOCKET, socket.SO_BROADCAST, 1)
        telling.sendto(b"\x00\x00\x55\xaa" + draw.randbytes(draw.randint(150, 190)), ("255.255.255.255", 6667))


def thermostat(secrets: dict[str, str]) -> list[list[Habit]]:
    """Telemetry to a cloud over TLS, the air sensor by CoAP, orders from the NAS by MQTT."""
    cloud = "cloud.thermostat.example"
    return [
        [Habit(4, named(common.report, cloud, 300, 2500), 2.5), Habit(3, named(common.wait_for_orders, cloud), 1.5),
         Habit(1, fetch_forecast, 3), Habit(0.7, common.ask_time, 2)],
        [Habit(4, named(read_sensor, ("air-sensor",)), 3), Habit(2, named(take_orders, secrets["thermostat"]), 3),
         Habit(1, common.ask_neighbours, 3)],
    ]  # fmt: skip


def fetch_forecast(draw: random.Random) -> None:
    """The weather."""
    habits.get_once(f"/{draw.randint(2000, 7000)}/0.05", "weather.example", secure=True)


def read_sensor(hosts: tuple[str, ...], draw: random.Random) -> None:
    """Read a sensor by CoAP: once, by a request that it need not confirm, or watching it for some seconds."""
    host = draw.choice(hosts)
    options = draw.choice(((), (), ("-N",), ("-s", str(draw.randint(3, 8)))))
    common.coap(host, draw.choice(("time", "example_data", ".well-known/core")) if not options else "time", *options)


def take_orders(password: str, draw: random.Random) -> None:
    """Subscribe at the NAS's broker for a while, and tell the temperature."""

    def talk(client: object) -> None:
        client.subscribe("heating/#")
        for _ in range(draw.randint(1, 5)):
            common.publish(client, "heating/hall", {"temperature": round(draw.gauss(20.5, 0.6), 1)})
            time.sleep(draw.uniform(0.3, 2))

    common.mqtt_session("nas.home", "thermostat", password, talk)


def sensor(topic: str, _: dict[str, str]) -> list[list[Habit]]:
    """A battery sensor: puts its reading at the hub by CoAP, and asks for the time."""
    return [[Habit(6, named(put_reading, topic), 2.5), Habit(1, common.ask_time, 3), Habit(1, register, 3)]]


def put_reading(topic: str, draw: random.Random) -> None:
    """Put a reading at the hub, confirmed or not."""
    text = f"%7B%22v%22%3A{draw.gauss(21, 2):.2f}%7D"
    common.coap("hub", topic, "-m", "put", "-e", text, *draw.choice(((), ("-N",))))


def register(_: random.Random) -> None:
    """Look which resources the hub has (RFC 6690)."""
    common.coap("hub", ".well-known/core")


def hub(secrets: dict[str, str]) -> list[list[Habit]]:
    """Speaks for bulbs, switches and door sensors on Zigbee: MQTT over TLS, to the NAS and to its maker."""
    password = secrets["hub"]
    return [
        [Habit(5, named(speak_for_zigbee, "nas.home", password), 2),
         Habit(2, named(speak_for_zigbee, world.BROKER, password), 3)],
        [Habit(5, named(read_sensor, ("air-sensor", "water-meter")), 2.5), Habit(1, common.ask_time, 3),
         Habit(2, named(common.report, "bridge.example", 400, 4000), 3), Habit(1, common.ask_for_update, 3),
         Habit(1.5, common.ask_neighbours, 3)],
    ]  # fmt: skip


def speak_for_zigbee(host: str, password: str, draw: random.Random) -> None:
    """One connection: what bulbs and switches say, and orders for them."""

    def talk(client: object) -> None:
        client.subscribe("zigbee/+/+/set")
        for _ in range(draw.randint(2, 14)):
            common.publish(client, draw.choice(BULBS), {"on": draw.random() < 0.5, "lqi": draw.randint(60, 255)})
            time.sleep(draw.expovariate(1.5))

    common.mqtt_session(host, "hub", password, talk)


def camera(_: dict[str, str]) -> list[list[Habit]]:
    """The camera beside its services: its maker's cloud, clips when something moves, its own announcements."""
    return [[
        Habit(4, named(common.report, "cams.example", 200, 900), 3), Habit(1.5, upload_clip, 3),
        Habit(1, announce_camera, 3), Habit(1.5, common.ask_time, 2), Habit(1, common.ask_for_update, 3),
        Habit(2, named(common.wait_for_orders, "cams.example"), 2),
    ]]  # fmt: skip


def upload_clip(draw: random.Random) -> None:
    """Something moved: a clip goes to the cloud."""
    with connected("cams.example", secure=True) as connection:
        fetch(connection, "/clip", "POST", draw.randbytes(draw.randint(12_000, 45_000)))


def announce_camera(_: random.Random) -> None:
    """Say hello by WS-Discovery."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as telling:
        telling.sendto(discovery_message("Hello", "dn:NetworkVideoTransmitter"), DISCOVERY)


def speaker(_: dict[str, str]) -> list[list[Habit]]:
    """The smart speaker: music, questions to its maker, discovery."""
    return [
        [Habit(2, play_music, 5), Habit(3, ask_assistant, 4)],
        [Habit(3, named(common.report, "voice.speaker.example", 300, 1500), 2.5), Habit(2, common.look_up, 2),
         Habit(1.5, named(common.search, "ssdp:all"), 3), Habit(2, common.ask_neighbours, 2),
         Habit(1, common.ask_time, 3), Habit(0.7, common.ask_for_update, 3)],
    ]  # fmt: skip


def play_music(draw: random.Random) -> None:
    """A piece of music every second or two, over one connection."""
    with connected("music.example", secure=True) as connection:
        for _ in range(draw.randint(3, 9)):
            fetch(connection, f"/{draw.randint(10_000, 22_000)}/0.02")
            time.sleep(draw.uniform(0.8, 2))


def ask_assistant(draw: random.Random) -> None:
    """What was said goes up, an answer and its sound come down."""
    with connected("voice.speaker.example", secure=True) as connection:
        for _ in range(draw.randint(2, 6)):
            fetch(connection, "/speech", "POST", draw.randbytes(draw.randint(3000, 9000)))
        fetch(connection, f"/{draw.randint(8000, 35_000)}/0.2")


def console(_: dict[str, str]) -> list[list[Habit]]:
    """The game console: matches over UDP, a port opened by UPnP, downloads, friends."""
    return [
        [Habit(3, play_match, 4), Habit(1, open_port, 4), Habit(1.5, download_game, 4)],
        [Habit(4, named(common.report, "games.example", 200, 1800), 2.5), Habit(2, common.look_up, 2),
         Habit(1, common.ask_time, 3), Habit(1, named(common.search, GATEWAY), 4),
         Habit(2, named(common.wait_for_orders, "games.example"), 2)],
    ]  # fmt: skip


def play_match(draw: random.Random) -> None:
    """A match: a datagram each way many times a second."""
    match = common.Talk(world.GAME, 3074, draw.choice((15, 20, 30)), (40, draw.choice((90, 160, 260))), b"\x17")
    common.talk_by_datagrams(match, draw.uniform(3, 7), draw)


def open_port(draw: random.Random) -> None:
    """Find the router, ask it for the outside address, and for a port that leads here."""
    common.search(GATEWAY, draw)
    port = draw.randint(3074, 3080)
    with connected(f"router.home:{GATEWAY_PORT}") as connection:
        fetch(connection, "/desc.xml")
        for action in ("GetExternalIPAddress", draw.choice(("AddPortMapping", "DeletePortMapping"))):
            body = (
                f'<s:Envelope><s:Body><u:{action} xmlns:u="{CONNECTION}"><NewExternalPort>{port}</NewExternalPort>'
                f"<NewProtocol>UDP</NewProtocol><NewInternalClient>console</NewInternalClient></u:{action}>"
                "</s:Body></s:Envelope>"
            )
            fetch(connection, "/control", "POST", body.encode(), SOAPAction=f'"{CONNECTION}#{action}"')


def download_game(draw: random.Random) -> None:
    """A piece of an update, large, over TLS."""
    habits.get_once(f"/{draw.randint(30_000, 110_000)}/0.05", "games.example", secure=True)


def nas(secrets: dict[str, str]) -> list[list[Habit]]:
    """The NAS: records the camera, keeps a copy outside, runs the home's rules."""
    login = ("resident", secrets["resident"])
    return [
        [Habit(2, named(record_camera, login), 5), Habit(1, keep_copy, 5), Habit(1, common.ask_for_update, 4)],
        [Habit(3, named(common.report, "apps.example", 300, 1500), 3), Habit(2, check_devices, 3),
         Habit(1, common.ask_time, 3), Habit(2, common.ask_neighbours, 3), Habit(1.5, common.look_up, 3),
         Habit(1, named(common.search, "ssdp:all"), 4)],
    ]  # fmt: skip


def record_camera(login: tuple[str, str], draw: random.Random) -> None:
    """Record some seconds of the camera's stream, within the RTSP connection."""
    rtsp.watch("camera.home", login, draw.uniform(2, 5), over_tcp=True)


def keep_copy(draw: random.Random) -> None:
    """Send photographs to where a copy is kept."""
    with connected("photos.example", secure=True) as connection:
        for _ in range(draw.randint(1, 4)):
            fetch(connection, "/keep", "POST", draw.randbytes(draw.randint(10_000, 40_000)))


def check_devices(draw: random.Random) -> None:
    """See whether a device is there."""
    habits.ping(draw.choice(("camera.home", "hub.home", "router.home")), draw.randint(1, 2))
