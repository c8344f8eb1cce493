"""What systemd wants to hear of a service: that it is ready, that it still works, that it is about to end.

The protocol of sd_notify(3): datagrams of NAME=VALUE to the socket that NOTIFY_SOCKET names. A service that is silent
for WATCHDOG_USEC microseconds is killed and started again. Without a NOTIFY_SOCKET nothing is sent.
"""

import contextlib
import os
import socket
from collections.abc import Mapping

PATIENCE_S = 1.0  # for systemd to take a state: its queue may be full, and without READY=1 it ends the service
BEATS = 4  # in the time after which systemd would give the service up; sd_watchdog_enabled(3) advises 2


class Notifier:
    """Tells systemd how a service fares."""

    def __init__(self, environment: Mapping[str, str] = os.environ) -> None:
        """Look for a socket, and whether this process is the one that systemd watches."""
        address = environment.get("NOTIFY_SOCKET", "")
        self._address = f"\0{address[1:]}" if address.startswith("@") else address
        watched = environment.get("WATCHDOG_PID", str(os.getpid())) == str(os.getpid())
        limit = environment.get("WATCHDOG_USEC", "")
        self._every = int(limit) / 1e6 / BEATS if watched and limit.isdecimal() else 0.0
        self._due = 0.0

    def tell(self, state: str) -> None:
        """Send a state such as READY=1; that nobody takes it within PATIENCE_S is no reason to stop."""
        self._send(state, PATIENCE_S)

    def beat(self, now: float) -> None:
        """Say that the service works, if that is due at `now`, which is monotonic and in seconds."""
        if self._every and now >= self._due:
            self._due = now + self._every
            self._send("WATCHDOG=1", 0.0)  # packets do not wait for one beat of four

    def _send(self, state: str, patience_s: float) -> None:
        """Send a datagram, if there is somebody to send it to; it waits so long for room."""
        if self._address:
            with contextlib.suppress(OSError), socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sender:
                sender.settimeout(patience_s)
                sender.sendto(state.encode(), self._address)
