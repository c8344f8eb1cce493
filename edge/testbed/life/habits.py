"""What several of the home's inhabitants do: browse, look names up, ask for the time, call into the local network."""

import contextlib
import http.client
import random
import socket
import ssl
import struct
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from testbed.services.content import PAGES
from testbed.services.servers import SITES

DASHBOARD = "dashboard.home"
MDNS, SSDP = ("224.0.0.251", 5353), ("239.255.255.250", 1900)
LOST = (OSError, http.client.HTTPException, subprocess.SubprocessError)  # what a victim of an attack makes of a request


@dataclass(frozen=True)
class Habit:
    """Something that is done more or less often, with a pause of `pause_s` seconds on average after it."""

    weight: float
    do: Callable[[random.Random], None]
    pause_s: float


def live(seed: str, *days: list[Habit], slower: float = 1.0) -> None:
    """Live until killed; each list of habits is a life of its own beside the others, its pauses so much longer."""
    threads = [
        threading.Thread(target=_live_one, args=(random.Random(f"{seed} {number}"), habits, slower), daemon=True)
        for number, habits in enumerate(days)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


def _live_one(draw: random.Random, habits: list[Habit], slower: float) -> None:
    """Do one thing after the other; what fails, fails, and is tried again another day."""
    time.sleep(draw.uniform(0, 2))
    while True:
        habit = draw.choices(habits, [habit.weight for habit in habits])[0]
        try:
            habit.do(draw)
        except LOST as error:
            print(f"{habit.do.__name__}: {error!r}", file=sys.stderr)
        time.sleep(draw.expovariate(1 / habit.pause_s) * slower)


def fetch(
    connection: http.client.HTTPConnection, path: str, method: str = "GET", body: bytes | None = None, **headers: str
) -> tuple[int, http.client.HTTPMessage]:
    """Make one request on a connection, which stays open; the status and the headers of the answer."""
    connection.request(method, path, body, {"User-Agent": "Mozilla/5.0 (Linux; Android 14)", **headers})
    answer = connection.getresponse()
    answer.read()
    return answer.status, answer.headers


def connect(name: str = DASHBOARD, secure: bool = False) -> http.client.HTTPConnection:
    """A connection to be opened by its first request, closed by the caller."""
    if secure:
        return http.client.HTTPSConnection(name, timeout=8, context=ssl._create_unverified_context())
    return http.client.HTTPConnection(name, timeout=8)


@contextlib.contextmanager
def connected(name: str = DASHBOARD, secure: bool = False):
    """A connection that is closed at the end, whatever happens."""
    connection = connect(name, secure)
    try:
        yield connection
    finally:
        connection.close()


def get_once(path: str, name: str = DASHBOARD, secure: bool = False) -> int:
    """One request on a connection of its own; the status."""
    with connected(name, secure) as connection:
        return fetch(connection, path)[0]


class Browser:
    """Opens pages as a browser does: the assets over a few connections at once, cached ones asked for by their tag."""

    def __init__(self) -> None:
        """Nothing is cached yet."""
        self.tags: dict[str, str] = {}

    def open(self, page: str, lanes: int) -> None:
        """Open a page of the dashboard and its assets over `lanes` connections, the first of them kept alive."""
        with connected() as connection:
            fetch(connection, page)
            assets = list(PAGES[page])
            first, others = assets[::lanes], [assets[lane::lanes] for lane in range(1, lanes)]
            with ThreadPoolExecutor(max_workers=max(1, len(others))) as pool:
                waiting = [pool.submit(self._lane, lane) for lane in others if lane]
                for path in first:
                    self._asset(connection, path)
            for done in waiting:
                done.result()

    def _lane(self, paths: list[str]) -> None:
        """Fetch assets one after the other on a connection."""
        with connected() as connection:
            for path in paths:
                self._asset(connection, path)

    def _asset(self, connection: http.client.HTTPConnection, path: str) -> None:
        """Fetch an asset, unless it is still the one that is known."""
        known = {"If-None-Match": self.tags[path]} if path in self.tags else {}
        _, headers = fetch(connection, path, **known)
        if headers.get("ETag"):
            self.tags[path] = headers["ETag"]


def visit_site(draw: random.Random) -> None:
    """Read a page of a web site outside, over TLS mostly: some requests, over one to three connections."""
    site, secure = draw.choice(SITES), draw.random() < 0.75
    for _ in range(draw.choice((1, 1, 2, 3))):
        with connected(site, secure) as connection:
            for _ in range(draw.randint(1, 4)):
                fetch(connection, f"/{int(draw.paretovariate(1.1) * 900) % 90_000}/{draw.uniform(0.005, 0.2):.3f}")
                time.sleep(draw.expovariate(2.0))


def app_telemetry(draw: random.Random) -> None:
    """What apps send home unasked."""
    with connected(draw.choice(("telemetry.example", "photos.example")), secure=draw.random() < 0.8) as connection:
        fetch(connection, "/v1/events", "POST", draw.randbytes(draw.randint(200, 6000)))


def look_up(draw: random.Random) -> None:
    """Look up a handful of names, as opening a page or an app does; one in four does not exist."""
    for _ in range(draw.randint(1, 5)):
        name = draw.choice((*SITES, "broker.home", f"ads{draw.randrange(900)}.tracker.example"))
        with contextlib.suppress(socket.gaierror):
            socket.getaddrinfo(name, 443, draw.choice((socket.AF_INET, socket.AF_UNSPEC)), socket.SOCK_STREAM)
        time.sleep(draw.expovariate(8))


def ask_time(_: random.Random) -> None:
    """One NTP request, version 4, mode 3 (RFC 5905)."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as asking:
        asking.settimeout(2)
        asking.sendto(b"\x23" + bytes(47), (socket.gethostbyname("time.home"), 123))
        asking.recv(48)


def search_devices(draw: random.Random) -> None:
    """Search the local network by SSDP (UPnP Device Architecture, section 1.3.2), two or three times as it asks for."""
    target = draw.choice(("ssdp:all", "upnp:rootdevice", "urn:dial-multiscreen-org:service:dial:1"))
    text = f'M-SEARCH * HTTP/1.1\r\nHOST: {SSDP[0]}:1900\r\nMAN: "ssdp:discover"\r\nMX: 2\r\nST: {target}\r\n\r\n'
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as asking:
        asking.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_TTL, 4)
        for _ in range(draw.randint(2, 3)):
            asking.sendto(text.encode(), SSDP)
            time.sleep(draw.uniform(0.2, 1.0))


def ask_neighbours(draw: random.Random) -> None:
    """Ask for a service by multicast DNS (RFC 6762), from a port of its own as one-shot queries do."""
    name = draw.choice(("_googlecast._tcp", "_airplay._tcp", "_ipp._tcp", "_http._tcp", "_mqtt._tcp")) + ".local"
    labels = b"".join(bytes([len(label)]) + label.encode() for label in name.split("."))
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as asking:
        asking.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_TTL, 255)
        asking.sendto(struct.pack("!6H", 0, 0, 1, 0, 0, 0) + labels + b"\0" + struct.pack("!2H", 12, 1), MDNS)


def ping(name: str, count: int) -> None:
    """Ping a host a few times."""
    argv = ["ping", "-n", "-c", str(count), "-i", "0.5", "-W", "1", name]
    subprocess.run(argv, stdout=subprocess.DEVNULL, stdin=subprocess.DEVNULL, timeout=30)


def idle(_: random.Random) -> None:
    """Nothing, for a while."""
    time.sleep(4)
