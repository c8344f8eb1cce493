"""MicroPython's `network` for the testbed: Wi-Fi that is the namespace's eth0, joined after a moment."""

import socket
import time
from pathlib import Path

STA_IF, AP_IF = 0, 1
JOIN_S = 0.6


class WLAN:
    """The station, or the access point that stays off."""

    def __init__(self, interface: int) -> None:
        """One of STA_IF and AP_IF."""
        self.interface, self.on, self.joined = interface, False, float("inf")

    def active(self, on: bool | None = None) -> bool | None:
        """Read or set whether the radio is on."""
        if on is None:
            return self.on
        self.on = on
        return None

    def connect(self, name: str, password: str) -> None:
        """Begin to join."""
        self.joined = time.monotonic() + JOIN_S

    def isconnected(self) -> bool:
        """Whether it has joined."""
        return self.on and time.monotonic() >= self.joined

    def config(self, name: str) -> bytes:
        """Only `mac` is known.

        Raises:
            ValueError: something else was asked for.
        """
        if name != "mac":
            raise ValueError(f"unknown config param {name}")
        return bytes.fromhex(Path("/sys/class/net/eth0/address").read_text().strip().replace(":", ""))

    def ifconfig(self) -> tuple[str, str, str, str]:
        """Address, netmask, gateway, name server."""
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
            probe.connect(("198.51.100.1", 9))  # sends nothing; the kernel says which address it would use
            address = probe.getsockname()[0]
        prefix = address.rpartition(".")[0]
        return address, "255.255.255.0", f"{prefix}.1", f"{prefix}.1"
