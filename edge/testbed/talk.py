"""Two hosts that talk while others are attacked: `python -m testbed.talk serve`, `ask ADDRESS` or `hold ADDRESS`."""

import os
import selectors
import socket
import sys
import time

from testbed.forge import SESSIONS, TALK_PORT

EXCHANGES, ROUNDS, GAP_S = 20, 12, 0.5


def serve() -> None:
    """Send back what comes by TCP or UDP, until it is ended."""
    ready = selectors.DefaultSelector()
    asked = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    asked.bind(("", TALK_PORT))
    door = socket.create_server(("", TALK_PORT))
    for one in (asked, door):
        ready.register(one, selectors.EVENT_READ)
    while True:
        for key, _ in ready.select():
            one = key.fileobj
            if one is asked:
                data, who = asked.recvfrom(2048)
                asked.sendto(data, who)
            elif one is door:
                ready.register(door.accept()[0], selectors.EVENT_READ)
            elif data := one.recv(2048):
                one.sendall(data)
            else:
                ready.unregister(one)
                one.close()


def ask(server: str) -> None:
    """20 exchanges by UDP, each of two questions and answers."""
    for _ in range(EXCHANGES):
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as one:
            one.settimeout(5)
            for _ in range(2):
                one.sendto(b"who is there?", (server, TALK_PORT))
                one.recv(2048)
        time.sleep(GAP_S / 5)


def hold(server: str) -> None:
    """Ten sessions by TCP, at once, of 12 questions and answers each."""
    sessions = [socket.create_connection((server, TALK_PORT), 5, ("", port)) for port in SESSIONS]
    for _ in range(ROUNDS):
        for one in sessions:
            one.sendall(b"still there?")
            one.recv(2048)
        time.sleep(GAP_S)
    for one in sessions:
        one.close()


def main(what: str, *arguments: str) -> int:
    """Do one of the three, in the testbed's namespaces."""
    if "TLIDS_TESTBED_OUTSIDE" not in os.environ:
        print("talk: expected the testbed's namespaces, found none: the testbed starts this", file=sys.stderr)
        return 2
    {"serve": serve, "ask": ask, "hold": hold}[what](*arguments)
    return 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
