"""The capturing half of the packaged service: a capturing child onto a socket, its drop counter into a file.

systemd starts it for each connection (edge/package/tlids-capture@.service), with the right to capture and no other.
It looks at no packet: the child (`programs`) writes straight to the socket that standard output is.
"""

import contextlib
import os
import select
import signal
import subprocess
import sys
from pathlib import Path

from tlids_edge.capture.live import ASK_S, STOP_S
from tlids_edge.capture.programs import DROPPED, capture_command
from tlids_edge.errors import InputError
from tlids_edge.outputs import written
from tlids_edge.status import say

COUNTER = "dropped"  # the file in the service's runtime folder: packets that the kernel dropped, in decimal
ROUTES = Path("/proc/net/route")


def main() -> int:
    """Capture until the reader or systemd ends it; 2 when there is nothing to capture on."""
    try:
        interface = os.environ.get("TLIDS_INTERFACE") or default_interface(ROUTES)
        command = capture_command(interface, os.environ.get("TLIDS_CAPTURE", ""), told)
    except InputError as error:
        told(str(error))
        return 2
    child = subprocess.Popen(command, stdin=subprocess.DEVNULL, stderr=subprocess.PIPE)
    os.close(1)  # so that the reader sees the end when the child ends
    signal.signal(signal.SIGTERM, lambda _number, _frame: child.terminate())
    listen(child, Path(os.environ.get("RUNTIME_DIRECTORY", "."), COUNTER))
    return ended(child)


def told(message: str) -> None:
    """Say something to the journal."""
    say(message, "tlids-capture")


def ended(child: subprocess.Popen) -> int:
    """The exit status of a child that was told to end; after STOP_S it is killed, for there is but one connection."""
    try:
        return child.wait(STOP_S)
    except subprocess.TimeoutExpired:
        child.kill()
        return child.wait()


def default_interface(routes: Path) -> str:
    """The interface of the IPv4 default route with the lowest metric, as the kernel lists routes.

    Raises:
        InputError: there is no default route.
    """
    found = []
    for line in routes.read_text(encoding="ascii").splitlines()[1:]:
        fields = line.split()
        if len(fields) > 7 and fields[1] == fields[7] == "00000000":
            found.append((int(fields[6]), fields[0]))
    if not found:
        raise InputError(
            "expected a default route, found none", "set TLIDS_INTERFACE in /etc/default/tlids-edge, or connect"
        )
    return min(found)[1]


def listen(child: subprocess.Popen, counter: Path, reader: int = 0) -> None:
    """Write down what the kernel dropped, as the child tells it every ASK_S; end the child when `reader` hangs up."""
    heard, ready = b"", False
    while True:
        readable = select.select([child.stderr, reader], [], [], ASK_S)[0]
        if reader in readable:  # who reads the packets has nothing to say to us: this is the end of the connection
            child.terminate()
            return
        if child.stderr in readable:
            words = os.read(child.stderr.fileno(), 65536)
            if not words:
                return
            heard = (heard + words)[-65536:]
            ready = ready or b"listening on" in heard
            if counts := DROPPED.findall(heard):
                with contextlib.suppress(InputError), written(counter) as file:  # the packets matter more
                    file.write(counts[-1])
        elif ready:
            child.send_signal(signal.SIGUSR1)


if __name__ == "__main__":
    sys.exit(main())
