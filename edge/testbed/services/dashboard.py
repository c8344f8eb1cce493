"""The Pi server's dashboard: pages, a JSON API, a login form, a protected area, backups and firmware, over HTTP/1.1.

Run as `python -m testbed.services.dashboard CONFIG.json`; the file holds port, broker, user, password (of the broker),
login (user -> password of the dashboard) and firmware (path -> file).
"""

import base64
import hashlib
import json
import random
import sys
import threading
import time
from functools import partial
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import paho.mqtt.client as mqtt

from testbed.services import content

LARGEST_BODY = 8 << 20
READINGS_KEPT = 300


class State:
    """What the devices last said, and the broker to command them by."""

    def __init__(self, config: dict) -> None:
        """Nothing is known yet."""
        self.now: dict[str, object] = {}
        self.readings: list[dict] = []
        self.lock = threading.Lock()
        self.broker = mqtt.Client(mqtt.CallbackAPIVersion.VERSION2, client_id="dashboard")
        self.broker.username_pw_set(config["user"], config["password"])
        self.broker.on_connect = lambda client, *_: client.subscribe("home/#")
        self.broker.on_message = self.remember
        self.broker.connect_async(config["broker"], 1883, keepalive=60)
        self.broker.loop_start()

    def remember(self, client: mqtt.Client, _: object, message: mqtt.MQTTMessage) -> None:
        """Keep a device's reading."""
        try:
            value = json.loads(message.payload)
        except ValueError:
            value = message.payload.decode(errors="replace")
        with self.lock:
            self.now[message.topic] = value
            self.readings = [*self.readings[1 - READINGS_KEPT :], {"t": time.time(), message.topic: value}]

    def json(self, history: bool) -> bytes:
        """The last readings, or the history of them."""
        with self.lock:
            return json.dumps(self.readings if history else self.now).encode()


class Handler(BaseHTTPRequestHandler):
    """One connection, kept alive for as long as the client likes."""

    protocol_version = "HTTP/1.1"
    server_version = "home-dashboard/2.3"
    timeout = 30

    def __init__(self, state: State, config: dict, *arguments: object) -> None:
        """Answer requests from a state."""
        self.state, self.config = state, config
        super().__init__(*arguments)

    def do_GET(self) -> None:
        """Pages, assets, JSON and downloads."""
        path = urlsplit(self.path).path
        time.sleep(random.expovariate(1 / 0.004))  # a Pi is no fast server
        if path in content.PAGES:
            self.reply(200, content.page(path, self.state.now), "text/html")
        elif path in content.ASSETS:
            self.reply_cached(*content.asset(path))
        elif path in ("/api/state", "/api/history"):
            self.reply(200, self.state.json(path.endswith("history")), "application/json")
        elif path == "/camera/hall.jpg":
            self.reply(200, content.picture(str(time.time()), random.randrange(18_000, 42_000)), "image/jpeg")
        elif path in self.config["firmware"]:
            self.reply(200, Path(self.config["firmware"][path]).read_bytes(), "application/octet-stream")
        elif path.startswith("/admin"):
            self.reply_admin()
        else:
            self.reply(404, b"<h1>Not found</h1>", "text/html")

    do_HEAD = do_GET  # noqa: N815 - the name http.server asks for

    def do_POST(self) -> None:
        """The login form, switches, and what the devices report."""
        body = self.body()
        path = urlsplit(self.path).path
        if path == "/login":
            self.reply_login({name: values[0] for name, values in parse_qs(body.decode(errors="replace")).items()})
        elif path == "/api/light":
            self.state.broker.publish("home/room-light/set", body)
            self.reply(202, b'{"accepted": true}', "application/json")
        elif path == "/api/report":
            self.reply(204, b"", "application/json")
        else:
            self.reply(404, b"", "text/html")

    def do_PUT(self) -> None:
        """Take a backup, and forget it."""
        kept = urlsplit(self.path).path.startswith("/backup/")
        digest = hashlib.sha256(self.body()).hexdigest()
        self.reply(201 if kept else 404, digest.encode(), "text/plain")

    def body(self) -> bytes:
        """What the client sent, as far as it sent it."""
        length = self.headers.get("Content-Length", "0")
        if not (length.isascii() and length.isdigit() and int(length) <= LARGEST_BODY):
            self.close_connection = True
            return b""
        return self.rfile.read(int(length))

    def reply(self, status: int, body: bytes, kind: str, **headers: str) -> None:
        """Send an answer; the connection stays open."""
        self.send_response(HTTPStatus(status))
        for name, value in {"Content-Type": kind, "Content-Length": str(len(body)), **headers}.items():
            self.send_header(name.replace("_", "-"), value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def reply_cached(self, body: bytes, kind: str) -> None:
        """A file that a browser may keep: 304 when it has it already (RFC 9110, section 13.1.2)."""
        tag = f'"{hashlib.sha256(body).hexdigest()[:16]}"'
        if self.headers.get("If-None-Match") == tag:
            self.reply(304, b"", kind, ETag=tag)
        else:
            self.reply(200, body, kind, ETag=tag, Cache_Control="max-age=600")

    def reply_login(self, form: dict[str, str]) -> None:
        """A cookie for the right password, the form again for a wrong one."""
        if form.get("password") and self.config["login"].get(form.get("user")) == form["password"]:
            self.reply(303, b"", "text/html", Location="/", Set_Cookie="session=open; HttpOnly")
        else:
            self.reply(401, b"<h1>Wrong name or password</h1>" + content.page("/settings", {}), "text/html")

    def reply_admin(self) -> None:
        """The protected area (HTTP basic authentication, RFC 7617)."""
        pairs = [f"{user}:{password}" for user, password in self.config["login"].items()]
        allowed = {"Basic " + base64.b64encode(pair.encode()).decode() for pair in pairs}
        if self.headers.get("Authorization") in allowed:
            self.reply(200, content.page("/settings", self.state.now), "text/html")
        else:
            self.reply(401, b"<h1>Login needed</h1>", "text/html", WWW_Authenticate='Basic realm="home"')

    def log_message(self, *_: object) -> None:
        """Say nothing; the capture tells it all."""


class Server(ThreadingHTTPServer):
    """A server whose clients may leave as they like."""

    daemon_threads = True
    request_queue_size = 64

    def handle_error(self, request: object, client_address: object) -> None:
        """A client that went away is no news, least of all during a flood."""


def main(path: str) -> None:
    """Serve until killed."""
    config = json.loads(Path(path).read_text())
    handler = partial(Handler, State(config), config)
    Server(("0.0.0.0", config["port"]), handler).serve_forever()


if __name__ == "__main__":
    main(sys.argv[1])
