"""MicroPython's `requests` for the testbed: HTTP/1.0, one connection for each request, as the board's module does."""

import json as jsonlib
import socket


class Response:
    """An answer whose body is read from `raw`."""

    def __init__(self, sock: socket.socket, raw: object, status: int) -> None:
        """The body is still in the socket."""
        self.sock, self.raw, self.status_code = sock, raw, status

    def close(self) -> None:
        """Close the connection."""
        self.raw.close()
        self.sock.close()


def request(
    method: str, url: str, data: bytes | None = None, json: object = None, timeout: float | None = None
) -> Response:
    """Send a request, and read the head of the answer.

    Raises:
        ValueError: not HTTP.
        OSError: no connection, or it broke.
    """
    scheme, _, name, path = [*url.split("/", 3), ""][:4]
    if scheme != "http:":
        raise ValueError(f"Unsupported protocol: {scheme}")
    name, _, port = name.partition(":")
    body = jsonlib.dumps(json).encode() if json is not None else data
    # the board asks for an IPv4 address alone
    address = socket.getaddrinfo(name, int(port or 80), socket.AF_INET, socket.SOCK_STREAM)[0][-1]
    sock = socket.socket()
    try:
        sock.settimeout(timeout)
        sock.connect(address)
        sock.sendall(f"{method} /{path} HTTP/1.0\r\nHost: {name}\r\n".encode())
        if json is not None:
            sock.sendall(b"Content-Type: application/json\r\n")
        sock.sendall((f"Content-Length: {len(body)}\r\n\r\n".encode() + body) if body is not None else b"\r\n")
        raw = sock.makefile("rb")
        status = int(raw.readline().split(None, 2)[1])
        while raw.readline() not in (b"\r\n", b""):
            pass
    except IndexError as error:
        sock.close()
        raise ValueError("HTTP error: BadStatusLine") from error
    except OSError:
        sock.close()
        raise
    return Response(sock, raw, status)


def get(url: str, **options: object) -> Response:
    """GET."""
    return request("GET", url, **options)


def post(url: str, **options: object) -> Response:
    """POST."""
    return request("POST", url, **options)
