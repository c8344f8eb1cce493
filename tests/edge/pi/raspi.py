"""Debian's own kernel on QEMU's model of a Raspberry Pi 3 B: to a login on the serial console, or how far it came."""

import subprocess
import time
from pathlib import Path

from emulator import CheckError
from system import System

LOGIN_S = 1800
LOGIN = "pi login:"


def login(made: System, disk: Path, folder: Path) -> str:
    """The board's device tree and SD card host instead of virtio: a login prompt on its serial port."""
    console = folder / "raspi3b.log"
    command = [
        "qemu-system-aarch64", "-M", "raspi3b", "-display", "none", "-serial", "stdio", "-no-reboot", "-nic", "none",
        "-kernel", str(made.kernel), "-initrd", str(made.initrd), "-dtb", str(made.board),
        "-drive", f"if=sd,format=raw,file={disk}",
        "-append", "root=LABEL=pi rw rootwait earlycon=pl011,0x3f201000 console=ttyAMA0,115200 panic=1",
    ]  # fmt: skip
    began = time.monotonic()
    with open(console, "wb") as said:
        qemu = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=said, stderr=subprocess.STDOUT)
    try:
        while LOGIN not in console.read_text(errors="replace"):
            if qemu.poll() is not None or time.monotonic() - began > LOGIN_S:
                last = " / ".join(console.read_text(errors="replace").split("\n")[-3:])[-300:]
                raise CheckError(f"no login within {time.monotonic() - began:.0f} s; the last lines: {last}")
            time.sleep(1)
    finally:
        qemu.kill()
        qemu.wait()
    model = [line for line in console.read_text(errors="replace").splitlines() if "Machine model:" in line]
    board = model[0].partition("Machine model: ")[2].strip() if model else "no model in its log"
    return f"{board}; `{LOGIN}` after {time.monotonic() - began:.0f} s"
