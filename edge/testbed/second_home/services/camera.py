"""The camera's services: its stream, its web page, a telnet log-in that its maker forgot, discovery by WS-Discovery.

Run as `python -m testbed.second_home.services.camera CONFIG.json`; the file holds login (user -> password of page and
stream).
"""

import base64
import contextlib
import json
import os
import random
import socketserver
import sys
import threading
import time
from http.server import BaseHTTPRequestHandler
from pathlib import Path

from testbed.second_home import world
from testbed.second_home.services import rtsp
from testbed.second_home.services.gadgets import group_socket
from testbed.second_home.services.outside import DualServer, Threaded
from testbed.services import content

DISCOVERY = ("239.255.255.250", 3702)
WILL_ECHO, DO_SIZE = b"\xff\xfb\x01", b"\xff\xfd\x1f"  # RFC 854, 857, 1073


class Page(BaseHTTPRequestHandler):
    """The web page: a log-in for everything but the front, snapshots, settings."""

    protocol_version, server_version, sys_version, timeout = "HTTP/1.1", "camera-web/1.0", "", 30
    logins: dict[str, str] = {}

    def do_GET(self) -> None:
        """A page, a snapshot, or the demand to log in."""
        path = self.path.split("?")[0]
        time.sleep(random.expovariate(1 / 0.006))
        if path in ("/", "/login.html", "/style.css", "/player.js"):
            self.reply(200, content.text(path, 1500 + 900 * len(path)), "text/html")
        elif not self.allowed():
            self.reply(401, b"<h1>Login needed</h1>", "text/html", WWW_Authenticate='Basic realm="camera"')
        elif path == "/snapshot.jpg":
            self.reply(200, os.urandom(random.randrange(14_000, 36_000)), "image/jpeg")
        else:
            self.reply(200, content.text(path, 2500), "text/html")

    def do_POST(self) -> None:
        """Settings and log-in forms."""
        self.rfile.read(min(int(self.headers.get("Content-Length", 0)), 1 << 16))
        self.do_GET()

    def allowed(self) -> bool:
        """Whether the request has the right name and password."""
        pairs = (f"{user}:{password}".encode() for user, password in self.logins.items())
        return self.headers.get("Authorization") in {"Basic " + base64.b64encode(pair).decode() for pair in pairs}

    def reply(self, status: int, body: bytes, kind: str, **headers: str) -> None:
        """Send an answer; the connection stays open."""
        self.send_response(status)
        for name, value in {"Content-Type": kind, "Content-Length": str(len(body)), **headers}.items():
            self.send_header(name.replace("_", "-"), value)
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Say nothing; the capture tells it all."""


class Telnet(socketserver.StreamRequestHandler):
    """A log-in as BusyBox has it: three tries, then the line is cut."""

    timeout = 20

    def handle(self) -> None:
        """Ask for name and password."""
        with contextlib.suppress(OSError):
            self.wfile.write(WILL_ECHO + DO_SIZE)
            for _ in range(3):
                user, password = self.ask("camera login: "), self.ask("Password: ")
                time.sleep(random.uniform(0.1, 0.3))
                if (user, password) == world.WEAK:
                    self.shell()
                    return
                self.wfile.write(b"\r\nLogin incorrect\r\n")

    def ask(self, prompt: str) -> str:
        """A line, without what the client negotiated."""
        self.wfile.write(prompt.encode())
        line = self.rfile.readline(256)
        if not line:
            raise ConnectionError("the client went away")
        while (at := line.find(b"\xff")) >= 0:
            line = line[:at] + line[at + 3 :]
        return line.decode(errors="replace").strip("\r\n\0 ")

    def shell(self) -> None:
        """Takes a few commands and runs none."""
        for _ in range(12):
            said = self.ask("# ")
            if said in ("exit", "quit"):
                return
            self.wfile.write(f"{said.split(' ')[-1]}: applet not found\r\n".encode())


def answer_discovery() -> None:
    """Answer WS-Discovery probes (OASIS, 2009) as ONVIF cameras do, for ever."""
    listening = group_socket(DISCOVERY)
    while True:
        message, peer = listening.recvfrom(4096)
        if b"Probe" in message and b"ProbeMatches" not in message:
            listening.sendto(discovery_message("ProbeMatches", "dn:NetworkVideoTransmitter"), peer)


def discovery_message(kind: str, types: str) -> bytes:
    """A WS-Discovery message in SOAP."""
    head = f"<a:MessageID>urn:uuid:{random.getrandbits(128):032x}</a:MessageID><a:Action>{kind}</a:Action>"
    return (
        '<?xml version="1.0"?><s:Envelope xmlns:s="http://www.w3.org/2003/05/soap-envelope" '
        'xmlns:a="http://schemas.xmlsoap.org/ws/2004/08/addressing" '
        'xmlns:d="http://schemas.xmlsoap.org/ws/2005/04/discovery">'
        f"<s:Header>{head}</s:Header><s:Body><d:{kind}><d:Types>{types}</d:Types></d:{kind}></s:Body></s:Envelope>"
    ).encode()


def main(path: Path) -> None:
    """Serve until killed."""
    Page.logins = logins = json.loads(path.read_text())["login"]
    for port in (23, 2323):
        threading.Thread(target=Threaded(("::", port), Telnet).serve_forever, daemon=True).start()
    threading.Thread(target=DualServer(("::", 80), Page).serve_forever, daemon=True).start()
    threading.Thread(target=answer_discovery, daemon=True).start()
    rtsp.serve(logins)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
