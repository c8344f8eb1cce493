"""A Pi's Debian on an emulated Cortex-A53: started, spoken to, switched off, or cut off from power."""

import json
import os
import select
import shlex
import socket
import subprocess
import time
from pathlib import Path

from system import System

BOOT_S, ANSWER_S, MARGIN_S = 900, 300, 60
CHANNEL_S = 60.0  # until QEMU has made the channel's socket, before it boots anything
# of a device and a unit; 90 s are short for a slow emulation
PATIENT = "systemd.default_device_timeout_sec=900 systemd.default_timeout_start_sec=900"
LIKE_RASPBERRY_PI_OS = "cgroup_disable=memory"


class CheckError(Exception):
    """What a check saw instead of what it expected."""


class GoneError(CheckError):
    """The emulated system does not answer any more; no later check can run."""


class Pi:
    """One QEMU, again and again on the same disk."""

    def __init__(self, system: System, disk: Path, cargo: Path, folder: Path) -> None:
        """`disk` is written to, `cargo` is read; the console's text and the channel's socket are in `folder`."""
        self.system, self.disk, self.cargo, self.folder = system, disk, cargo, folder
        self.console = folder / "console.log"
        self._qemu: subprocess.Popen | None = None
        self._channel: socket.socket | None = None
        self._heard = b""

    def start(self, options: str = LIKE_RASPBERRY_PI_OS) -> float:
        """Boot with these kernel options until the channel answers; seconds it took.

        Raises:
            GoneError: QEMU ended, made no channel within CHANNEL_S, or the channel said nothing within BOOT_S.
        """
        path, began = self.folder / "channel", time.monotonic()
        path.unlink(missing_ok=True)
        with open(self.console, "ab") as console, open(self.folder / "qemu.log", "ab") as said:
            self._qemu = subprocess.Popen(self.command(path, options), stdin=subprocess.DEVNULL, stdout=console,
                                          stderr=said)  # fmt: skip
        while not path.exists():
            if self._qemu.poll() is not None:
                raise GoneError(f"QEMU ended with status {self._qemu.returncode}: {self._last('qemu.log')}")
            if time.monotonic() - began > CHANNEL_S:
                self.end()
                raise GoneError(f"QEMU made no channel within {CHANNEL_S:g} s: {self._last('qemu.log')}")
            time.sleep(0.1)
        self._channel = socket.socket(socket.AF_UNIX)
        self._channel.connect(str(path))
        self._heard = b""
        self._line(BOOT_S)
        return time.monotonic() - began

    def command(self, channel: Path, options: str) -> list[str]:
        """QEMU's command line."""
        drives = []
        for number, (disk, mode) in enumerate(((self.disk, "off"), (self.cargo, "on"))):
            drives += ["-drive", f"if=none,id=d{number},format=raw,file={disk},readonly={mode}"]
            drives += ["-device", f"virtio-blk-pci,drive=d{number}"]
        return [
            "qemu-system-aarch64", "-M", "virt", "-cpu", "cortex-a53", "-smp", "4", "-m", "1024", "-accel",
            "tcg,thread=multi", "-nodefaults", "-display", "none", "-serial", "stdio", "-nic", "none", "-no-reboot",
            "-kernel", str(self.system.kernel), "-initrd", str(self.system.initrd), *drives,
            "-append", f"root=LABEL=pi rw console=ttyAMA0 panic=1 {PATIENT} {options}",
            "-device", "virtio-rng-pci", "-device", "virtio-serial-pci",
            "-chardev", f"socket,id=checks,path={channel},server=on,wait=off",
            "-device", "virtserialport,chardev=checks,name=tlids",
        ]  # fmt: skip

    @property
    def running(self) -> bool:
        """Whether there is a system to ask."""
        return self._channel is not None and self._qemu is not None and self._qemu.poll() is None

    def run(self, text: str, limit: int = ANSWER_S) -> tuple[int, str]:
        """Run a shell command in the emulated system; its status and what it said. 124: it took longer than `limit`."""
        if self._channel is None:
            raise GoneError("the emulated system is switched off")
        try:
            self._channel.sendall(json.dumps({"run": text, "limit": limit}).encode() + b"\n")
        except OSError as error:
            raise GoneError(f"the channel broke: {error}") from error
        done = json.loads(self._line(limit + MARGIN_S))
        return done["rc"], done["out"].strip()

    def must(self, text: str, limit: int = ANSWER_S) -> str:
        """Like `run`, for a command that has to succeed.

        Raises:
            CheckError: it did not.
        """
        status, said = self.run(text, limit)
        if status:
            raise CheckError(f"`{text[:100]}` ended with {status}: {said[-400:]}")
        return said

    def wait(self, condition: str, what: str, limit: int = ANSWER_S) -> None:
        """Ask a shell condition every second until it holds.

        Raises:
            CheckError: it did not within `limit` seconds.
        """
        loop = f"until {condition}; do sleep 1; done"
        if self.run(f"timeout {limit} sh -c {shlex.quote(loop)} >/dev/null 2>&1", limit + MARGIN_S)[0]:
            raise CheckError(f"{what} did not come within {limit} s")

    def switch_off(self, how: str = "poweroff", limit: int = BOOT_S) -> None:
        """End by systemd; a reboot ends QEMU too, and `start` is the rest of it."""
        self._channel.sendall(json.dumps({"run": f"systemctl {how} --no-block", "limit": 60}).encode() + b"\n")
        try:
            self._qemu.wait(limit)
        except subprocess.TimeoutExpired as error:
            raise GoneError(f"{how} took more than {limit} s") from error
        self.end()

    def cut(self) -> None:
        """Take the power away: what the system had not yet written is lost."""
        self.end()

    def end(self) -> None:
        """Kill QEMU if it runs; close the channel."""
        if self._channel is not None:
            self._channel.close()
            self._channel = None
        if self._qemu is not None:
            self._qemu.kill()
            self._qemu.wait()
            self._qemu = None

    def _line(self, limit: float) -> bytes:
        """The next line of the channel."""
        by = time.monotonic() + limit
        while b"\n" not in self._heard:
            readable, _, _ = select.select([self._channel], [], [], max(0, by - time.monotonic()))
            words = os.read(self._channel.fileno(), 65536) if readable else b""
            if not words:
                why = "ended" if readable else f"said nothing for {limit:.0f} s"
                raise GoneError(f"the emulated system {why}: {self._last('console.log')}")
            self._heard += words
        line, self._heard = self._heard.split(b"\n", 1)
        return line

    def _last(self, name: str) -> str:
        """The end of a log, on one line."""
        return " / ".join((self.folder / name).read_text(errors="replace").splitlines()[-4:])
