"""Two hosts that talk while others are attacked: `python -m testbed.talk serve`, `ask ADDRESS` or `hold ADDRESS KIND`.

`ask` and `hold` write `begun` when the first round is through, go on until SIGTERM, then do what is left and end.
"""

import os
import selectors
import signal
import socket
import sys
import time

from testbed.forge import BEGUN, SESSIONS, TALK_PORT

EXCHANGES, ROUNDS, GAP_S = 20, 4, 0.25  # after SIGTERM
MOST = 400  # exchanges or rounds in all
BYE = b"bye"


class Stop:
    """Whether SIGTERM has come."""

    def __init__(self) -> None:
        """Listen for it."""
        self.has_come = False
        signal.signal(signal.SIGTERM, self._note)

    def _note(self, _number: int, _frame: object) -> None:
        """It has come."""
        self.has_come = True


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
            elif (data := one.recv(2048)) and data != BYE:
                one.sendall(data)
            else:
                ready.unregister(one)
                one.close()


def until_stopped(once: object, more: int, gap_s: float) -> None:
    """Call `once` again and again, `more` times after SIGTERM."""
    stop, left = Stop(), more
    for number in range(MOST):
        once()
        if number == 0:
            print(BEGUN, flush=True)
        left -= stop.has_come
        if left <= 0:
            return
        time.sleep(gap_s)


def ask(server: str) -> None:
    """Exchanges by UDP, each of two questions and answers."""

    def exchange() -> None:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as one:
            one.settimeout(5)
            for _ in range(2):
                one.sendto(b"who is there?", (server, TALK_PORT))
                one.recv(2048)

    until_stopped(exchange, EXCHANGES, GAP_S / 3)


def hold(server: str, kind: str) -> None:
    """Ten sessions by TCP, at once, of questions and answers; `kind` names their ports in SESSIONS."""
    sessions = [socket.create_connection((server, TALK_PORT), 5, ("", port)) for port in SESSIONS[kind]]

    def round_() -> None:
        for one in sessions:
            one.sendall(b"still there?")
            one.recv(2048)

    until_stopped(round_, ROUNDS, GAP_S)
    for one in sessions:  # the server closes first, so that the ports here are free at once
        one.sendall(BYE)
        one.recv(2048)
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
