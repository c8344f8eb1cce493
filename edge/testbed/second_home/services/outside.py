"""The world outside the second home, on the router's loopback: web sites, DNS over TLS, time, STUN, a game, calls.

Run as `python -m testbed.second_home.services.outside CERTIFICATE`. Two addresses are the attacker's: a command server
and a name server.
"""

import contextlib
import os
import socket
import socketserver
import ssl
import struct
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

from testbed.second_home import dns, world
from testbed.services.dashboard import Server
from testbed.services.outside import Handler

COMMAND_PORT = 4444
MAGIC = 0x2112A442  # of STUN (RFC 5389)
FREEBIND = 15  # IP_FREEBIND of Linux: also addresses that are reached by a route alone
NTP_EPOCH = 2_208_988_800  # 1970, in seconds since 1900


class DualServer(Server):
    """Answers over IPv4 and IPv6."""

    address_family = socket.AF_INET6


class Threaded(socketserver.ThreadingTCPServer):
    """A TCP server over IPv4 and IPv6, a thread for each connection."""

    address_family = socket.AF_INET6
    allow_reuse_address = daemon_threads = True
    request_queue_size = 64

    def handle_error(self, request: object, client_address: object) -> None:
        """A client that went away is no news."""


class Resolver(socketserver.BaseRequestHandler):
    """DNS over TLS: answers question after question of a connection."""

    def handle(self) -> None:
        """Shake hands in this thread; answer until the client has done."""
        self.request.settimeout(20)
        self.request.do_handshake()
        with contextlib.suppress(ConnectionError, OSError, ValueError):
            while True:
                message = dns.framed(self.request)
                time.sleep(0.01)
                answer = dns.reply_with(message, world.addresses(dns.question(message)[1]))
                self.request.sendall(struct.pack("!H", len(answer)) + answer)


class Command(socketserver.BaseRequestHandler):
    """The server that infected devices report to: says back what they say, at times with an order."""

    def handle(self) -> None:
        """Answer until the device hangs up."""
        self.request.settimeout(60)
        with contextlib.suppress(OSError):
            while said := self.request.recv(512):
                self.request.sendall(said[:4] + os.urandom(said[-1] % 32))


def answer_time(message: bytes) -> bytes:
    """An NTP answer (RFC 5905): mode 4, stratum 2, the clock of this machine."""
    now = time.time() + NTP_EPOCH
    stamp = struct.pack("!2I", int(now), int((now % 1) * 2**32))
    return struct.pack("!4B2I4s", 0x24, 2, 6, 0xEC, 100, 50, b"GPS\0") + stamp + message[40:48] + stamp + stamp


def answer_stun(message: bytes, peer: tuple) -> bytes:
    """A STUN binding response with the peer's address, exclusive-or'd as the RFC wants it."""
    transaction = message[8:20]
    packed = socket.inet_pton(socket.AF_INET6 if ":" in peer[0] else socket.AF_INET, peer[0])
    mask = struct.pack("!I", MAGIC) + transaction
    mapped = bytes(a ^ b for a, b in zip(packed, mask, strict=False))
    value = struct.pack("!BBH", 0, 2 if len(packed) == 16 else 1, peer[1] ^ (MAGIC >> 16)) + mapped
    attribute = struct.pack("!2H", 0x0020, len(value)) + value
    return struct.pack("!2HI", 0x0101, len(attribute), MAGIC) + transaction + attribute


def echo(message: bytes, peer: tuple) -> bytes:
    """What a game's or a call's server sends for each datagram: one of about the same size."""
    if message[:2] == b"\x00\x01" and len(message) == 20:
        return answer_stun(message, peer)
    head = 12 if message[:1] == b"\x80" else 4  # an RTP header stays
    return message[:head] + os.urandom(max(20, len(message) - head + message[-1] % 40 - 20))


def take_in(message: bytes, _: tuple) -> bytes:
    """What the attacker's name server answers: a few bytes of text."""
    _, name, _ = dns.question(message)
    return dns.reply(message, [dns.record(name, dns.TXT, b"\x08" + os.urandom(4).hex().encode())])


def serve_datagrams(address: str, port: int, answer: Callable[[bytes, tuple], bytes]) -> None:
    """Answer datagrams to one address for ever, in a thread."""
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    listening = socket.socket(family, socket.SOCK_DGRAM)
    listening.setsockopt(socket.IPPROTO_IP, FREEBIND, 1)  # the router's loopback has whole networks
    listening.bind((address, port))

    def loop() -> None:
        while True:
            message, peer = listening.recvfrom(2048)
            with contextlib.suppress(ValueError, OSError, IndexError, struct.error):
                listening.sendto(answer(message, peer), peer)

    threading.Thread(target=loop, daemon=True).start()


def serve_secure(server: socketserver.BaseServer, context: ssl.SSLContext) -> None:
    """Serve TLS for ever, in a thread; each connection shakes hands in its own."""
    server.socket = context.wrap_socket(server.socket, server_side=True, do_handshake_on_connect=False)
    threading.Thread(target=server.serve_forever, daemon=True).start()


def main(certificate: Path) -> None:
    """Serve until killed."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)
    spoken = {
        (world.TIME, 123): lambda message, _: answer_time(message), (world.STUN, 3478): answer_stun,
        (world.GAME, 3074): echo, (world.MEDIA, 5004): echo,
    }  # fmt: skip
    for (name, port), answer in spoken.items():
        for address in world.addresses(name):
            serve_datagrams(address, port, answer)
    serve_datagrams(world.LAYOUT.server("c2-names"), 53, take_in)
    serve_secure(DualServer(("::", 443), Handler), context)
    serve_secure(Threaded(("::", 853), Resolver), context)
    threading.Thread(target=Threaded(("::", COMMAND_PORT), Command).serve_forever, daemon=True).start()
    DualServer(("::", 80), Handler).serve_forever()


if __name__ == "__main__":
    main(Path(sys.argv[1]))
