"""What several inhabitants of the second home do: sites over TLS, names over TLS, time, discovery, CoAP, MQTT."""

import contextlib
import http.client
import itertools
import json
import random
import socket
import ssl
import struct
import subprocess
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial

import paho.mqtt.client as mqtt

from testbed.life import habits
from testbed.life.habits import MDNS, SSDP, fetch
from testbed.second_home import dns, world

MDNS6 = ("ff02::fb", 5353)
SYSTEM = socket.getaddrinfo


def named(do: Callable, *first: object) -> partial:
    """A habit with what it needs to know, under its own name."""
    done = partial(do, *first)
    done.__name__ = do.__name__
    return done


@contextlib.contextmanager
def connected(name: str, secure: bool = False) -> Iterator[http.client.HTTPConnection]:
    """A connection that is closed at the end; over TLS more than half of the time with a farewell (close_notify)."""
    with habits.connected(name, secure) as connection:
        yield connection
        if secure and connection.sock is not None and random.random() < 0.6:
            connection.sock.settimeout(2)
            with contextlib.suppress(OSError, ValueError):
                connection.sock.unwrap()


def report(site: str, least: int, most: int, draw: random.Random) -> None:
    """Send readings to a cloud over TLS, and take what it answers."""
    with connected(site, secure=True) as connection:
        for _ in range(draw.choice((1, 1, 1, 2))):
            fetch(connection, "/v2/report", "POST", draw.randbytes(draw.randint(least, most)))


def wait_for_orders(site: str, draw: random.Random) -> None:
    """Ask a cloud for orders: it answers when there are some, or after a while."""
    with connected(site, secure=True) as connection:
        fetch(connection, f"/{draw.randint(60, 400)}/{draw.uniform(0.5, 5):.2f}")


def visit(draw: random.Random) -> None:
    """Read a page or two of a site: over TLS, with what it needs from others on connections of their own."""
    sites = [draw.choice(world.PAGES), *draw.sample(world.SITES, draw.choice((0, 1, 1, 2)))]
    for site in sites:
        with connected(site, secure=draw.random() < 0.93) as connection:
            for _ in range(draw.randint(1, 4)):
                fetch(connection, f"/{int(draw.paretovariate(1.1) * 1000) % 40_000}/{draw.uniform(0.005, 0.15):.3f}")
                time.sleep(draw.expovariate(2.5))


def ask_for_update(draw: random.Random) -> None:
    """Ask for an update; some devices still do so over plain HTTP."""
    habits.get_once(f"/{draw.randint(150, 4000)}", "updates.example", secure=draw.random() < 0.5)


def look_up(draw: random.Random) -> None:
    """Look up a few names, as opening an app does; one in five does not exist."""
    for _ in range(draw.randint(1, 4)):
        name = draw.choice((*world.SITES, f"m{draw.randrange(900)}.metrics.example"))
        with contextlib.suppress(socket.gaierror):
            socket.getaddrinfo(name, 443, draw.choice((socket.AF_INET, socket.AF_UNSPEC)), socket.SOCK_STREAM)
        time.sleep(draw.expovariate(6))


def ask_time(_: random.Random) -> None:
    """One NTP request (RFC 5905) to a server outside."""
    family, _, _, _, peer = socket.getaddrinfo(world.TIME, 123, type=socket.SOCK_DGRAM)[0]
    with socket.socket(family, socket.SOCK_DGRAM) as asking:
        asking.settimeout(2)
        asking.sendto(b"\x23" + bytes(47), peer)
        asking.recv(96)


def search(target: str, draw: random.Random) -> list[str]:
    """Search by SSDP, and hear the answers for a moment."""
    text = f'M-SEARCH * HTTP/1.1\r\nHOST: {SSDP[0]}:1900\r\nMAN: "ssdp:discover"\r\nMX: 1\r\nST: {target}\r\n\r\n'
    heard = []
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as asking:
        asking.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_TTL, 4)
        asking.settimeout(draw.uniform(0.5, 1.2))
        for _ in range(draw.randint(1, 3)):
            asking.sendto(text.encode(), SSDP)
        with contextlib.suppress(OSError):
            while True:
                heard.append(asking.recv(2048).decode(errors="replace"))
    return heard


def ask_neighbours(draw: random.Random) -> None:
    """Ask for a service by multicast DNS, over IPv4 or IPv6, from port 5353 or one's own."""
    service = draw.choice(("_googlecast._tcp", "_smb._tcp", "_airplay._tcp", "_hap._tcp", "_ipp._tcp")) + ".local"
    family, peer = draw.choice(((socket.AF_INET, MDNS), (socket.AF_INET, MDNS), (socket.AF_INET6, MDNS6)))
    with socket.socket(family, socket.SOCK_DGRAM) as asking:
        if draw.random() < 0.4:
            asking.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            asking.bind(("", MDNS[1]))
        asking.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_TTL, 255)
        asking.settimeout(0.4)
        with contextlib.suppress(OSError):
            asking.sendto(
                struct.pack("!6H", 0, 0, 1, 0, 0, 0) + dns.encode(service) + struct.pack("!2H", dns.PTR, 1), peer
            )
            asking.recv(2048)


def coap(host: str, path: str, *options: str) -> None:
    """One CoAP exchange with a host of the home by libcoap's client, which looks up the name."""
    argv = ["coap-client-notls", "-v", "2", "-B", "4", *options, f"coap://{host}.home/{path}"]
    subprocess.run(argv, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, timeout=40)


def mqtt_session(host: str, user: str, password: str, talk: Callable[[mqtt.Client], None]) -> None:
    """Connect to a broker over TLS, talk, and leave."""
    client = mqtt.Client(mqtt.CallbackAPIVersion.VERSION2, client_id=f"{user}-{random.randrange(10**6)}")
    client.username_pw_set(user, password)
    client.tls_set(cert_reqs=ssl.CERT_NONE)
    client.tls_insecure_set(True)
    client.connect(host, 8883, keepalive=20)
    client.loop_start()
    try:
        talk(client)
    finally:
        client.disconnect()
        client.loop_stop()


def publish(client: mqtt.Client, topic: str, value: object) -> None:
    """Publish a value as JSON, acknowledged one time in three."""
    client.publish(topic, json.dumps(value), qos=random.choice((0, 0, 1)))


def call(draw: random.Random) -> None:
    """A call: STUN to learn one's address, then voice and picture as RTP both ways for some seconds."""
    talk_by_datagrams(Talk(world.MEDIA, 5004, 25, (90, 700), b"\x80"), draw.uniform(2, 6), draw)


@dataclass(frozen=True)
class Talk:
    """Datagrams both ways: with whom, how many a second, their sizes, and what each begins with."""

    name: str
    port: int
    rate: int
    sizes: tuple[int, int]
    first: bytes


def talk_by_datagrams(talk: Talk, seconds: float, draw: random.Random) -> None:
    """Ask a STUN server for one's address, then exchange datagrams with a server outside for some seconds."""
    family, _, _, _, peer = socket.getaddrinfo(talk.name, talk.port, type=socket.SOCK_DGRAM)[0]
    stun = socket.getaddrinfo(world.STUN, 3478, family, socket.SOCK_DGRAM)[0][4]
    source, end = draw.randbytes(4), time.monotonic() + seconds
    with socket.socket(family, socket.SOCK_DGRAM) as talking:
        talking.sendto(struct.pack("!2HI", 1, 0, 0x2112A442) + draw.randbytes(12), stun)
        for number in itertools.count():
            body = draw.randbytes(draw.randint(*talk.sizes))
            head = struct.pack("!BHI", 111, number & 0xFFFF, number * 960) + source if talk.first == b"\x80" else b""
            talking.sendto(talk.first + head + body, peer)
            talking.settimeout(draw.uniform(0.5, 1.5) / talk.rate)
            with contextlib.suppress(OSError):
                while time.monotonic() < end:
                    talking.recv(2048)
            if time.monotonic() > end:
                return


class NamesOverTls:
    """Resolves the names outside by DNS over TLS, as Android's "private DNS" does; those of the home as before."""

    def __init__(self) -> None:
        """Nothing is known, no connection is open."""
        self.known: dict[tuple[str, int], tuple[float, list[str]]] = {}

    def ask(self, name: str, kinds: list[int]) -> list[str]:
        """The addresses of a name, from a connection for all its questions."""
        now = time.monotonic()
        missing = [kind for kind in kinds if self.known.get((name, kind), (0, []))[0] < now]
        if missing:
            with dns.over_tls(world.address(world.DNS), world.DNS) as connection:
                for number, kind in enumerate(missing, 1):
                    found = dns.ask_over_tls(connection, number, name, kind)
                    self.known[name, kind] = now + dns.TTL_S, found
        return [address for kind in kinds for address in self.known[name, kind][1]]

    def getaddrinfo(
        self, host: str, port: int, family: int = 0, type: int = 0, proto: int = 0, flags: int = 0
    ) -> list[tuple]:  # fmt: skip
        """As socket.getaddrinfo."""
        if not isinstance(host, str) or not host.endswith(".example"):
            return SYSTEM(host, port, family, type, proto, flags)
        kinds = {socket.AF_INET: [dns.A], socket.AF_INET6: [dns.AAAA]}.get(family, [dns.AAAA, dns.A])
        found = [one for address in self.ask(host, kinds) for one in SYSTEM(address, port, 0, type, proto, flags)]
        if not found:
            raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")
        return found


def resolve_over_tls() -> None:
    """From now on this process asks for names over TLS."""
    socket.getaddrinfo = NamesOverTls().getaddrinfo
