"""As much of a broker as tests of the publisher need."""

import socket
import threading

from edge_process import LIMIT_S


class Broker(threading.Thread):
    """As much of an MQTT 3.1.1 broker as one publisher needs."""

    def __init__(self, server: socket.socket | None = None) -> None:
        super().__init__(daemon=True)
        self.server = server or socket.create_server(("127.0.0.1", 0))
        self.published: list[tuple[str, bytes]] = []
        self.start()

    def all_published(self) -> list[tuple[str, bytes]]:
        """What was published, once the publisher has gone."""
        self.join(LIMIT_S)
        assert not self.is_alive(), "the publisher is still there"
        return self.published

    def run(self) -> None:
        peer, _ = self.server.accept()
        with peer, peer.makefile("rb") as stream:
            while first := stream.read(1):
                kind, body = first[0], stream.read(self.length(stream))
                if kind >> 4 == 1:
                    peer.sendall(b"\x20\x02\x00\x00")
                elif kind >> 4 == 3:
                    size = int.from_bytes(body[:2])
                    topic, rest = body[2 : 2 + size].decode(), body[2 + size :]
                    number, rest = (rest[:2], rest[2:]) if kind & 6 else (b"", rest)
                    self.note(kind, topic)
                    self.published.append((topic, rest))
                    if number:  # last: who has read it may look at what was published
                        peer.sendall(b"\x40\x02" + number)

    def note(self, kind: int, topic: str) -> None:
        """For those who look at flags."""

    @staticmethod
    def length(stream) -> int:
        size = shift = 0
        while (byte := stream.read(1)[0]) & 128:
            size, shift = size | (byte & 127) << shift, shift + 7
        return size | byte << shift
