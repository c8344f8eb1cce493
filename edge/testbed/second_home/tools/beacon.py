"""Report to a command server at nearly even intervals: a few bytes over TCP (--how plain) or a POST over TLS."""

import contextlib
import http.client
import socket
import ssl
from random import Random

from testbed.second_home.services.outside import COMMAND_PORT
from testbed.second_home.tools.bounds import arguments, rounds


def plain(target: str, draw: Random) -> None:
    """Say who one is, and wait for an order."""
    with socket.create_connection((target, COMMAND_PORT), timeout=5) as talking:
        talking.sendall(b"\x00\x00\x00\x01" + draw.randbytes(draw.choice((4, 4, 4, 12))))
        talking.settimeout(3)
        talking.recv(512)
        if draw.random() < 0.2:  # an order came: what was found goes back
            talking.sendall(draw.randbytes(draw.randint(60, 400)))
            talking.recv(512)


def tls(target: str, draw: Random) -> None:
    """A small POST, as malware does that hides among web traffic."""
    context = ssl._create_unverified_context()
    context.set_ciphers("ECDHE+AESGCM")
    connection = http.client.HTTPSConnection(target, timeout=5, context=context)
    try:
        connection.request("POST", "/120", draw.randbytes(draw.randint(90, 180)), {"User-Agent": "Mozilla/4.0"})
        connection.getresponse().read()
    finally:
        connection.close()


def main() -> None:
    """Report."""
    options = arguments(__doc__, "how")
    for draw in rounds(options):
        with contextlib.suppress(OSError, http.client.HTTPException):
            (tls if options.how == "tls" else plain)(options.target, draw)


if __name__ == "__main__":
    main()
