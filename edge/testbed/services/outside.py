"""A little of the world outside, on the router's loopback: web sites over HTTP and TLS.

Run as `python -m testbed.services.outside ADDRESS CERTIFICATE`. `GET /N` answers with N bytes, `/N/SECONDS` takes its
time about it.
"""

import contextlib
import ssl
import sys
import threading
import time
from http.server import BaseHTTPRequestHandler
from pathlib import Path

from testbed.services import content
from testbed.services.dashboard import Server

LARGEST = 4 << 20


class Handler(BaseHTTPRequestHandler):
    """Answers with as many bytes as the path says."""

    protocol_version = "HTTP/1.1"
    server_version = "nginx"
    sys_version = ""
    timeout = 30

    def setup(self) -> None:
        """Shake hands in this connection's own thread, so that a slow client holds up nobody."""
        if isinstance(self.request, ssl.SSLSocket):
            self.request.settimeout(self.timeout)
            self.request.do_handshake()
        super().setup()

    def do_GET(self) -> None:
        """So many bytes, after so many seconds."""
        parts = [part for part in self.path.split("?")[0].split("/") if part]
        size, seconds = 500, 0.03
        with contextlib.suppress(ValueError):
            size = min(int(parts[0]), LARGEST) if parts else size
            seconds = min(float(parts[1]), 5.0) if parts[1:] else seconds
        time.sleep(seconds)
        body = content.picture("x", size)
        self.send_response(200)
        self.send_header("Content-Type", "application/octet-stream")
        self.send_header("Content-Length", str(size))
        self.end_headers()
        self.wfile.write(body)

    def do_POST(self) -> None:
        """Take what is sent, as telemetry of apps is."""
        self.rfile.read(min(int(self.headers.get("Content-Length", 0)), LARGEST))
        self.path = "/120"
        self.do_GET()

    def log_message(self, *_: object) -> None:
        """Say nothing; the capture tells it all."""


def main(address: str, certificate: Path) -> None:
    """Serve on ports 80 and 443 until killed."""
    plain, secure = Server((address, 80), Handler), Server((address, 443), Handler)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)
    secure.socket = context.wrap_socket(secure.socket, server_side=True, do_handshake_on_connect=False)
    threading.Thread(target=plain.serve_forever, daemon=True).start()
    secure.serve_forever()


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]))
