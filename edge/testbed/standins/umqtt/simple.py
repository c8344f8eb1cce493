"""MicroPython's `umqtt.simple` for the testbed: MQTT 3.1.1 (OASIS standard) over a plain socket.

As on the board, `check_msg` returns at once and nothing is sent that the program did not ask for, pings included; a
general MQTT client would do that by itself and hide a main.py that forgets it.
"""

import select
import socket
from collections.abc import Callable

CONNECT, CONNACK, PUBLISH, SUBSCRIBE, SUBACK, PINGREQ, DISCONNECT = 0x10, 0x20, 0x30, 0x82, 0x90, 0xC0, 0xE0


class MQTTException(Exception):  # noqa: N818 - its name on the board
    """The broker refused; the argument is its return code."""


class MQTTClient:
    """A client with quality of service 0."""

    def __init__(
        self, client_id: str, server: str, port: int = 0, user: str | None = None, password: str | None = None,
        keepalive: int = 0,
    ) -> None:  # fmt: skip
        """A client, not yet connected."""
        self.client_id, self.server, self.port = client_id, server, port or 1883
        self.user, self.password, self.keepalive = user, password, keepalive
        self.callback: Callable[[bytes, bytes], None] | None = None
        self.will: tuple[str, str, bool] | None = None
        self.sock: socket.socket | None = None
        self.number = 0

    def set_callback(self, callback: Callable[[bytes, bytes], None]) -> None:
        """Have received messages passed to a function of topic and message."""
        self.callback = callback

    def set_last_will(self, topic: str, msg: str, retain: bool = False) -> None:
        """What the broker says when this client is lost."""
        self.will = (topic, msg, retain)

    def connect(self) -> None:
        """Connect and log in.

        Raises:
            OSError: no connection.
            MQTTException: refused.
        """
        address = socket.getaddrinfo(self.server, self.port, socket.AF_INET, socket.SOCK_STREAM)[0][-1]
        self.sock = socket.create_connection(address, timeout=10)
        flags, fields = 0x02, text(self.client_id)  # a clean session
        if self.will:
            flags |= 0x04 | self.will[2] << 5
            fields += text(self.will[0]) + text(self.will[1])
        if self.user:
            flags |= 0xC0
            fields += text(self.user) + text(self.password or "")
        self.send(CONNECT, text("MQTT") + bytes([4, flags]) + self.keepalive.to_bytes(2, "big") + fields)
        kind, body = self.receive()
        if kind != CONNACK or body[1]:
            raise MQTTException(body[1])

    def disconnect(self) -> None:
        """Say goodbye."""
        try:
            self.send(DISCONNECT, b"")
        finally:
            self.sock.close()

    def ping(self) -> None:
        """Keep the connection alive."""
        self.send(PINGREQ, b"")

    def publish(self, topic: str, msg: str, retain: bool = False) -> None:
        """Send a message."""
        self.send(PUBLISH | retain, text(topic) + msg.encode())

    def subscribe(self, topic: str) -> None:
        """Have the messages of a topic sent.

        Raises:
            MQTTException: refused.
        """
        self.number += 1
        self.send(SUBSCRIBE, self.number.to_bytes(2, "big") + text(topic) + b"\0")
        while True:
            kind, body = self.receive()
            if kind == SUBACK:
                if body[2] == 0x80:
                    raise MQTTException(body[2])
                return
            self.dispatch(kind, body)

    def check_msg(self) -> None:
        """Receive one message, if one has come."""
        if select.select([self.sock], [], [], 0)[0]:
            self.dispatch(*self.receive())

    def dispatch(self, kind: int, body: bytes) -> None:
        """Pass a message on; anything else needs no answer."""
        if kind & 0xF0 == PUBLISH:
            length = int.from_bytes(body[:2], "big")
            self.callback(body[2 : 2 + length], body[2 + length :])

    def send(self, kind: int, body: bytes) -> None:
        """Send a control packet."""
        self.sock.sendall(bytes([kind]) + remaining_length(len(body)) + body)

    def receive(self) -> tuple[int, bytes]:
        """The next control packet."""
        kind, length, shift = self.exactly(1)[0], 0, 0
        while True:
            byte = self.exactly(1)[0]
            length |= (byte & 0x7F) << shift
            shift += 7
            if byte < 0x80:
                return kind, self.exactly(length)

    def exactly(self, count: int) -> bytes:
        """So many bytes.

        Raises:
            OSError: -1, as on the board, when the broker has closed the connection.
        """
        found = b""
        while len(found) < count:
            piece = self.sock.recv(count - len(found))
            if not piece:
                raise OSError(-1)
            found += piece
        return found


def text(value: str) -> bytes:
    """A string with its length before it."""
    encoded = value.encode()
    return len(encoded).to_bytes(2, "big") + encoded


def remaining_length(size: int) -> bytes:
    """A packet's length, seven bits a byte."""
    found = bytearray()
    while True:
        size, rest = size >> 7, size & 0x7F
        found.append(rest | (0x80 if size else 0))
        if not size:
            return bytes(found)
