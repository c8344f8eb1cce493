"""The programs that capture an interface: which one is run, and with which arguments. No shell ever sees them.

`tlids-ring` is ours (`ring.c`), built where there is a C compiler. tcpdump captures what it cannot: interfaces that are
not Ethernet, and for users who may not capture but have a tcpdump that may. pyshark is the paper's way.
"""

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

from tlids_edge.errors import InputError

RING = Path(__file__).with_name("tlids-ring")
# A whole Ethernet frame. Segments that the network card merged are cut, which changes no feature; without a
# limit each of them would be given 64 KiB of tcpdump's buffer, which would then hold 500 packets instead of 15,000.
SNAP_LENGTH = 2048
KERNEL_BUFFER_KIB = 32 << 10
SYSTEM_PATH = "/usr/sbin:/usr/bin:/sbin"
INTERFACES = Path("/sys/class/net")
TRIAL_S = 10.0
# what a child is given of our environment, which holds a broker's password
PASSED_ON = ("PATH", "HOME", "LANG", "LC_ALL", "LC_CTYPE", "TMPDIR", "PYTHONPATH", "XDG_RUNTIME_DIR")
DROPPED = re.compile(rb"(\d+) packets? dropped by kernel")  # what a child that `counts_drops` says on standard error
_NAME = re.compile(r"[A-Za-z0-9_.:@][A-Za-z0-9_.:@-]{0,14}")  # IFNAMSIZ is 16 with the closing zero


def is_interface(name: str) -> bool:
    """Whether the kernel knows a network interface of this name; `any` stands for all of them."""
    if not _NAME.fullmatch(name) or name in (".", ".."):
        return False
    return name == "any" or (INTERFACES / name).exists()


def interfaces() -> list[str]:
    """The names of the network interfaces."""
    try:
        return sorted(os.listdir(INTERFACES))
    except OSError:
        return []


def capture_command(interface: str, program: str, say: Callable[[str], None]) -> list[str]:
    """The argument list of the child that captures: `program` is "ring" or "tcpdump", "" for the first that can.

    `say` is told why tcpdump captures, unless it was asked for.

    Raises:
        InputError: there is no such interface, or the program cannot capture it.
    """
    if not is_interface(interface):
        raise InputError(f"expected a network interface, found {interface!r}", f"here are {', '.join(interfaces())}")
    if program not in ("", "ring", "tcpdump"):
        raise InputError(
            f"expected ring or tcpdump as TLIDS_CAPTURE, found {program!r}", "leave it empty to choose automatically"
        )
    if program == "tcpdump":
        return tcpdump_command(interface)
    failure = ring_fails(interface)
    if program == "ring" and failure:
        raise InputError(f"expected {RING.name} to capture {interface}, found: {failure}", "leave --capture out")
    if not failure:
        return [str(RING), interface]
    say(f"capturing with tcpdump, because {RING.name} cannot: {failure}")
    return tcpdump_command(interface)


def ring_fails(interface: str) -> str:
    """Why `tlids-ring` cannot capture an interface, in its words or the system's; "" when it can, as a trial shows."""
    if not RING.exists():
        return "not built, which needs a C compiler at the installation"
    try:
        command, environment = [RING, interface, "--check"], child_environment()
        tried = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, timeout=TRIAL_S, env=environment)
    except (OSError, subprocess.TimeoutExpired) as error:  # for example of another processor
        return getattr(error, "strerror", None) or "no answer"
    said = tried.stderr.decode(errors="replace").strip()
    return (said or f"exit status {tried.returncode}") if tried.returncode else ""


def tcpdump_command(interface: str) -> list[str]:
    """The argument list of the tcpdump child.

    Raises:
        InputError: there is no tcpdump.
    """
    program = shutil.which("tcpdump") or shutil.which("tcpdump", path=SYSTEM_PATH)
    if program is None:
        there = shutil.which("tcpdump", os.F_OK) or shutil.which("tcpdump", os.F_OK, SYSTEM_PATH)
        if there:
            raise InputError(f"expected a tcpdump that can be run, found {there}", "check its permissions")
        raise InputError("expected tcpdump for a live capture, found none", "sudo apt install tcpdump")
    # without immediate mode the kernel hands packets over once a second, and SIGTERM loses those it still
    # holds. Without -U some fifty packets stay in tcpdump until more come, so that the last verdicts would be
    # late, and it takes no less: 100,000 packets over veth took 0.10 to 0.14 s of CPU with -U, 0.13 s without.
    # SIGUSR2 flushes too, but tcpdump 4.99 does so in the signal handler, where it has hung for good on the lock
    # of the stream that it was writing to.
    buffer = ["--immediate-mode", "-B", str(KERNEL_BUFFER_KIB), "-s", str(SNAP_LENGTH)]
    return [program, "-i", interface, "-n", "-U", *buffer, "-w", "-"]


def pyshark_command(source: str) -> list[str]:
    """The argument list of the pyshark child, for an interface or a file."""
    return [sys.executable, str(Path(__file__).with_name("pyshark_child.py")), source]


def child_environment() -> dict[str, str]:
    """The environment of a child that captures."""
    return {name: os.environ[name] for name in PASSED_ON if name in os.environ}


def counts_drops(command: list[str]) -> bool:
    """Whether a child tells how many packets the kernel dropped, on SIGUSR1 and at its end."""
    return Path(command[0]).name in ("tcpdump", RING.name)
