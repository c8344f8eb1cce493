"""Debian's own kernel on QEMU's model of a Raspberry Pi 3 B: to a login on the serial console, or how far it came."""

import subprocess
import time
from pathlib import Path

from emulator import PATIENT, CheckError
from system import System

LOGIN_S = 1800
LOGIN = "pi login:"
CONSOLES = "console=ttyAMA0,115200 console=ttyS1,115200"
ONE_CORE = "maxcpus=1"  # with four cores in threads of their own QEMU 7.2's model of the board stops after a minute


def login(made: System, disk: Path, folder: Path) -> str:
    """The board's device tree and SD card host, one core: a login prompt on one of its two serial ports."""
    # the device tree gives the first, a PL011, to Bluetooth: it shows the kernel's words, a login comes on the second
    consoles = [folder / f"raspi3b-{port}.log" for port in (0, 1)]
    serial = [word for console in consoles for word in ("-serial", f"file:{console}")]
    command = [
        "qemu-system-aarch64", "-M", "raspi3b", "-accel", "tcg,thread=single", "-display", "none", *serial,
        "-no-reboot", "-nic", "none",
        "-kernel", str(made.kernel), "-initrd", str(made.initrd), "-dtb", str(made.board),
        "-drive", f"if=sd,format=raw,file={disk}",
        "-append", f"root=LABEL=pi rw rootwait earlycon=pl011,0x3f201000 {CONSOLES} {ONE_CORE} panic=1 {PATIENT}",
    ]  # fmt: skip
    began = time.monotonic()
    with open(folder / "raspi3b-qemu.log", "wb") as said:
        qemu = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=said, stderr=said)
    try:
        while LOGIN not in (text := heard(consoles)):
            if qemu.poll() is not None or time.monotonic() - began > LOGIN_S:
                last = " / ".join(text.split("\n")[-3:])[-300:]
                raise CheckError(f"no login within {time.monotonic() - began:.0f} s; the last lines: {last}")
            time.sleep(1)
    finally:
        qemu.kill()
        qemu.wait()
    model = [line for line in text.splitlines() if "Machine model:" in line]
    board = model[0].partition("Machine model: ")[2].strip() if model else "no model in its log"
    return f"{board}; `{LOGIN}` after {time.monotonic() - began:.0f} s"


def heard(consoles: list[Path]) -> str:
    """What came from the serial ports, one behind the other."""
    return "\n".join(console.read_text(errors="replace") for console in consoles if console.exists())
