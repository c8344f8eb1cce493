"""What the plug, the speaker, the NAS and the router answer in the home.

Run as `python -m testbed.second_home.services.gadgets plug|speaker|nas|router CERTIFICATE`.
"""

import contextlib
import os
import random
import re
import socket
import socketserver
import ssl
import struct
import sys
import threading
import time
from http.server import BaseHTTPRequestHandler
from pathlib import Path

from testbed.life.habits import MDNS, SSDP
from testbed.second_home import dns
from testbed.second_home.services.outside import DualServer, Threaded, serve_secure
from testbed.services import content
from testbed.services.outside import Handler

PLUG_PORT, CAST_PORT, GATEWAY_PORT = 6668, 8009, 5000
GATEWAY = "urn:schemas-upnp-org:device:InternetGatewayDevice:1"
CONNECTION = "urn:schemas-upnp-org:service:WANIPConnection:1"


class Small(socketserver.BaseRequestHandler):
    """A device's own protocol: a short answer to each message."""

    def handle(self) -> None:
        """Answer until the other side hangs up."""
        self.request.settimeout(30)
        with contextlib.suppress(OSError):
            if isinstance(self.request, ssl.SSLSocket):
                self.request.do_handshake()
            while said := self.request.recv(4096):
                time.sleep(random.expovariate(1 / 0.01))
                self.request.sendall(b"\x00\x00\x55\xaa" + os.urandom(20 + said[-1] % 60))


class Gateway(BaseHTTPRequestHandler):
    """The router's UPnP gateway: its description, and port mappings for whoever asks (WANIPConnection:1)."""

    protocol_version, server_version, sys_version, timeout = "HTTP/1.1", "router UPnP/1.0", "", 20
    mapped: dict[tuple[str, str], str] = {}

    def do_GET(self) -> None:
        """The description."""
        self.reply(200, (
            '<?xml version="1.0"?><root xmlns="urn:schemas-upnp-org:device-1-0"><device>'
            f"<deviceType>{GATEWAY}</deviceType><friendlyName>router</friendlyName><serviceList><service>"
            f"<serviceType>{CONNECTION}</serviceType><controlURL>/control</controlURL>"
            "<eventSubURL>/events</eventSubURL></service></serviceList></device></root>"
        ))  # fmt: skip

    def do_POST(self) -> None:
        """An action."""
        body = self.rfile.read(min(int(self.headers.get("Content-Length", 0)), 1 << 16)).decode(errors="replace")
        action = self.headers.get("SOAPAction", "").strip('"').rpartition("#")[2]
        key = tuple((re.findall(f"<{name}>([^<]*)", body) or [""])[0] for name in ("NewExternalPort", "NewProtocol"))
        if action == "AddPortMapping":
            self.mapped[key] = (re.findall("<NewInternalClient>([^<]*)", body) or [""])[0]
        elif action == "DeletePortMapping":
            self.mapped.pop(key, None)
        answer = "<NewExternalIPAddress>192.0.2.1</NewExternalIPAddress>" if "External" in action else ""
        known = action in ("AddPortMapping", "DeletePortMapping", "GetExternalIPAddress", "GetStatusInfo")
        self.reply(200 if known else 500, f"<s:Envelope><s:Body><u:{action}Response>{answer}</u:{action}Response>"
                                          "</s:Body></s:Envelope>")  # fmt: skip

    def do_SUBSCRIBE(self) -> None:
        """A subscription to events; where they are to be sent is not looked at, as in many routers."""
        self.reply(200, "", SID=f"uuid:{random.getrandbits(64):016x}", TIMEOUT="Second-1800")

    def reply(self, status: int, body: str, **headers: str) -> None:
        """Send an answer."""
        self.send_response(status)
        for name, value in {"Content-Type": "text/xml", "Content-Length": str(len(body)), **headers}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body.encode())

    def log_message(self, *_: object) -> None:
        """Say nothing; the capture tells it all."""


class Pages(Handler):
    """The NAS's pages: those of a small file server."""

    def do_GET(self) -> None:  # noqa: N802 - the name http.server asks for
        """A page with its assets, or a file of so many bytes."""
        path = self.path.split("?")[0]
        if path not in content.PAGES and path not in content.ASSETS:
            super().do_GET()
            return
        body, kind = content.asset(path) if path in content.ASSETS else (content.page(path, {}), "text/html")
        time.sleep(random.expovariate(1 / 0.004))
        self.send_response(200)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    do_PUT = Handler.do_POST  # noqa: N815 - the name http.server asks for


def group_socket(group: tuple[str, int]) -> socket.socket:
    """A socket that hears what is sent to a multicast group."""
    listening = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    listening.bind(("", group[1]))
    listening.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_TTL, 255)
    member = struct.pack("4s4si", socket.inet_aton(group[0]), bytes(4), socket.if_nametoindex("eth0"))
    listening.setsockopt(socket.IPPROTO_IP, socket.IP_ADD_MEMBERSHIP, member)
    return listening


def answer_neighbours(name: str, service: str) -> None:
    """Answer multicast DNS (RFC 6762) for one service of a host, for ever."""
    listening = group_socket(MDNS)
    while True:
        message, peer = listening.recvfrom(4096)
        with contextlib.suppress(ValueError):
            if message[2:3] == b"\0" and dns.question(message)[1] == service:
                listening.sendto(announcement(name, service), MDNS if peer[1] == MDNS[1] else peer)


def announcement(name: str, service: str) -> bytes:
    """The records that announce a service: PTR, SRV, TXT and nothing else."""
    instance = f"{name}.{service}"
    records = [
        dns.record(service, dns.PTR, dns.encode(instance)),
        dns.record(instance, dns.SRV, struct.pack("!3H", 0, 0, CAST_PORT) + dns.encode(f"{name}.local")),
        dns.record(instance, dns.TXT, b"\x07md=Home\x05ve=05"),
    ]
    return struct.pack("!6H", 0, dns.AUTHORITY, 0, len(records), 0, 0) + b"".join(records)


def answer_searches(kind: str, location: str) -> None:
    """Answer SSDP searches (UPnP Device Architecture, section 1.3.3) for a kind of device, for ever."""
    listening = group_socket(SSDP)
    head = (
        f"HTTP/1.1 200 OK\r\nCACHE-CONTROL: max-age=1800\r\nEXT:\r\nLOCATION: {location}\r\nSERVER: Linux UPnP/1.0\r\n"
    )
    while True:
        message, peer = listening.recvfrom(4096)
        if message.startswith(b"M-SEARCH") and (b"ssdp:all" in message or kind.encode() in message):
            time.sleep(random.uniform(0.01, 0.2))
            with contextlib.suppress(OSError):
                listening.sendto(f"{head}ST: {kind}\r\nUSN: uuid:home::{kind}\r\n\r\n".encode(), peer)


def beside(function: object, *arguments: object) -> None:
    """Run something in a thread, for ever."""
    threading.Thread(target=function, args=arguments, daemon=True).start()


def main(device: str, certificate: Path) -> None:
    """Serve until killed."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)
    if device == "plug":
        beside(Threaded(("::", PLUG_PORT), Small).serve_forever)
    elif device == "speaker":
        serve_secure(Threaded(("::", CAST_PORT), Small), context)
        beside(answer_neighbours, "speaker", "_googlecast._tcp.local")
        beside(answer_searches, "urn:dial-multiscreen-org:service:dial:1", "http://speaker.home:8008/dd.xml")
    elif device == "nas":
        serve_secure(DualServer(("::", 443), Pages), context)
        beside(answer_neighbours, "nas", "_smb._tcp.local")
    else:
        beside(DualServer(("::", GATEWAY_PORT), Gateway).serve_forever)
        beside(answer_searches, GATEWAY, f"http://router.home:{GATEWAY_PORT}/desc.xml")
    threading.Event().wait()


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]))
