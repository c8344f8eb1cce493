"""RTSP 1.0 (RFC 2326) and RTP (RFC 3550): a camera's stream, and the player that watches it.

The pictures are random bytes in the sizes and the rhythm of H.264: a large picture once a second, small ones between.
"""

import base64
import contextlib
import os
import random
import re
import socket
import socketserver
import struct
import time
from collections.abc import Callable

from testbed.second_home.services.outside import Threaded

FRAMES_A_SECOND = 15
LARGEST_S = 90  # no session lasts longer
SDP = (
    "v=0\r\no=- 1 1 IN IP4 0.0.0.0\r\ns=camera\r\nt=0 0\r\nm=video 0 RTP/AVP 96\r\na=rtpmap:96 H264/90000\r\n"
    "a=control:track1\r\n"
)


class Camera(socketserver.StreamRequestHandler):
    """One RTSP connection."""

    logins: dict[str, str] = {}  # set by the server's main
    timeout = 30

    def handle(self) -> None:
        """Answer until TEARDOWN."""
        self.session, self.transport, self.refused = f"{random.getrandbits(32):08X}", "", 0
        with contextlib.suppress(OSError, ValueError):
            while request := self.read_request():
                if not self.answer(*request):
                    return

    def read_request(self) -> tuple[str, dict[str, str]] | None:
        """The method and the headers of the next request; None at the end."""
        if not (first := self.rfile.readline(2048).decode(errors="replace").split()):
            return None
        headers = {}
        while line := self.rfile.readline(2048).decode(errors="replace").strip():
            name, _, value = line.partition(":")
            headers[name.lower()] = value.strip()
        return first[0], headers

    def answer(self, method: str, headers: dict[str, str]) -> bool:
        """Answer one request; False when the connection is to end."""
        number = headers.get("cseq", "0")
        if method == "OPTIONS":
            self.reply(number, Public="OPTIONS, DESCRIBE, SETUP, PLAY, TEARDOWN")
        elif not self.allowed(headers):
            time.sleep(random.uniform(0.02, 0.08))
            self.reply(number, "401 Unauthorized", WWW_Authenticate='Basic realm="camera"')
            self.refused += 1
            return self.refused < 3
        elif method == "DESCRIBE":
            self.reply(number, body=SDP, Content_Type="application/sdp")
        elif method == "SETUP":
            self.transport = headers.get("transport", "")
            self.reply(number, Transport=f"{self.transport};server_port=6970-6971", Session=self.session)
        elif method == "PLAY":
            self.reply(number, Session=self.session, RTP_Info="url=track1;seq=1;rtptime=0")
            self.stream()
        else:
            self.reply(number, Session=self.session)
            return False
        return True

    def allowed(self, headers: dict[str, str]) -> bool:
        """Whether the request has the right name and password."""
        pairs = (f"{user}:{password}".encode() for user, password in self.logins.items())
        return headers.get("authorization") in {"Basic " + base64.b64encode(pair).decode() for pair in pairs}

    def reply(self, number: str, status: str = "200 OK", body: str = "", **headers: str) -> None:
        """Send an answer."""
        lines = [f"RTSP/1.0 {status}", f"CSeq: {number}", "Server: camera/5.4"]
        lines += [f"{name.replace('_', '-')}: {value}" for name, value in headers.items()]
        lines += [f"Content-Length: {len(body)}"] if body else []
        self.wfile.write(("\r\n".join(lines) + "\r\n\r\n" + body).encode())

    def stream(self) -> None:
        """Send pictures until the player says something or goes away."""
        found = re.search(r"client_port=(\d+)-(\d+)", self.transport)
        with socket.socket(self.request.family, socket.SOCK_DGRAM) as out:
            out.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            out.bind(("", 6970))
            peer = (self.client_address[0], int(found[1])) if found else None

            def send(packet: bytes) -> None:
                if peer:
                    out.sendto(packet, peer)
                else:
                    self.wfile.write(struct.pack("!cBH", b"$", 0, len(packet)) + packet)

            pictures(send, self.spoken)

    def spoken(self) -> bool:
        """Whether the player has sent a request."""
        self.request.setblocking(False)
        try:
            self.request.recv(1, socket.MSG_PEEK)
            return True
        except BlockingIOError:
            return False
        finally:
            self.request.settimeout(self.timeout)


def pictures(send: Callable[[bytes], None], stopped: Callable[[], bool]) -> None:
    """Send picture after picture as RTP packets until told to stop, LARGEST_S at most."""
    source, number, end, frame = random.getrandbits(32), random.getrandbits(15), time.monotonic() + LARGEST_S, 0
    while time.monotonic() < end and not stopped():
        size = random.randint(6_000, 9_000) if frame % FRAMES_A_SECOND == 0 else random.randint(250, 1300)
        for at in range(0, size, 1380):
            last = at + 1380 >= size
            head = struct.pack("!BBHII", 0x80, 96 | (128 if last else 0), number & 0xFFFF, frame * 6000, source)
            send(head + b"\x7c\x85" + os.urandom(min(1380, size - at)))
            number += 1
        frame += 1
        time.sleep(1 / FRAMES_A_SECOND)


def watch(host: str, login: tuple[str, str], seconds: float, over_tcp: bool) -> int:
    """Play the stream of a camera for some seconds, over UDP or within the RTSP connection; bytes of pictures seen."""
    pair = base64.b64encode(":".join(login).encode()).decode()
    url, seen = f"rtsp://{host}/stream1", 0
    with socket.create_connection((host, 554), timeout=8) as talk, media_socket(talk) as media:
        port = media.getsockname()[1]
        transport = "RTP/AVP/TCP;interleaved=0-1" if over_tcp else f"RTP/AVP/UDP;unicast;client_port={port}-{port + 1}"
        steps = (
            ("OPTIONS", url, ()), ("DESCRIBE", url, ("Accept: application/sdp",)),
            ("SETUP", f"{url}/track1", (f"Transport: {transport}",)),
            ("PLAY", url, ("Range: npt=0-",)),
        )  # fmt: skip
        for number, (method, target, more) in enumerate(steps, 1):
            ask(talk, method, target, (f"CSeq: {number}", f"Authorization: Basic {pair}", *more))
            if method != "PLAY":
                talk.recv(4096)
        end = time.monotonic() + seconds
        source = talk if over_tcp else media
        source.settimeout(3)
        while time.monotonic() < end and (got := source.recv(65536)):
            seen += len(got)
        ask(talk, "TEARDOWN", url, ("CSeq: 9", f"Authorization: Basic {pair}"))
        talk.settimeout(1)
        with contextlib.suppress(OSError):
            talk.recv(65536)
    return seen


def media_socket(talk: socket.socket) -> socket.socket:
    """A socket for the pictures, of the connection's family."""
    media = socket.socket(talk.family, socket.SOCK_DGRAM)
    media.bind(("", 0))
    return media


def ask(talk: socket.socket, method: str, target: str, headers: tuple[str, ...]) -> None:
    """Send one request."""
    talk.sendall("\r\n".join((f"{method} {target} RTSP/1.0", *headers, "User-Agent: player/3.0", "", "")).encode())


def serve(logins: dict[str, str]) -> None:
    """Serve port 554 until killed."""
    Camera.logins = logins
    Threaded(("::", 554), Camera).serve_forever()
