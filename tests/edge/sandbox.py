"""Run a command under what a unit file says of system calls and memory, as systemd would, where there is no systemd.

    python sandbox.py UNIT COMMAND [ARGUMENT ...]

Of the unit: SystemCallFilter=, SystemCallErrorNumber=EPERM, LimitAS=, NoNewPrivileges=yes, and no capabilities.
"""

import ctypes
import errno
import os
import re
import resource
import subprocess
import sys
from pathlib import Path

LIBRARY = "libseccomp.so.2"
ALLOW, REFUSE = 0x7FFF0000, 0x00050000 | errno.EPERM  # SCMP_ACT_ALLOW, SCMP_ACT_ERRNO(EPERM)
NO_NEW_PRIVILEGES, DROP_BOUNDING, LAST_CAPABILITY = 38, 24, 40  # PR_SET_NO_NEW_PRIVS, PR_CAPBSET_DROP


def expand(name: str) -> set[str]:
    """The system calls that a name stands for: itself, or a set as systemd has it."""
    if not name.startswith("@"):
        return {name}
    lines = subprocess.run(["systemd-analyze", "syscall-filter", name], capture_output=True, text=True, check=True)
    words = [line.strip() for line in lines.stdout.splitlines()[1:]]
    return {call for word in words if word and word[0] != "#" for call in expand(word)}


def allowed(unit: str) -> set[str]:
    """The system calls that a unit's filter lets through; the lines count in their order."""
    calls = expand("@default")
    for line in re.findall(r"(?m)^SystemCallFilter=(.+)$", unit):
        named = set().union(*(expand(name) for name in line.removeprefix("~").split()))
        calls = calls - named if line.startswith("~") else calls | named
    return calls


def confine(calls: set[str], bytes_mapped: int) -> None:
    """Give up every other system call, capability and address space beyond a limit, for good."""
    libc, seccomp = ctypes.CDLL(None, use_errno=True), ctypes.CDLL(LIBRARY)
    resource.setrlimit(resource.RLIMIT_AS, (bytes_mapped, bytes_mapped))
    for capability in range(LAST_CAPABILITY + 1):
        libc.prctl(DROP_BOUNDING, capability, 0, 0, 0)
    libc.prctl(NO_NEW_PRIVILEGES, 1, 0, 0, 0)
    seccomp.seccomp_init.restype = ctypes.c_void_p
    filter_ = ctypes.c_void_p(seccomp.seccomp_init(REFUSE))
    for name in calls:
        number = seccomp.seccomp_syscall_resolve_name(name.encode())
        if number >= 0:  # of this processor
            seccomp.seccomp_rule_add(filter_, ALLOW, number, 0)
    if seccomp.seccomp_load(filter_):
        raise OSError("expected the kernel to take a filter of system calls, found that it does not")


def main() -> None:
    """Confine this process, then become the command; root's capabilities end with the exec."""
    unit = Path(sys.argv[1]).read_text(encoding="utf-8")
    gigabytes = int(re.search(r"(?m)^LimitAS=(\d+)G$", unit)[1])
    confine(allowed(unit), gigabytes << 30)
    os.execvp(sys.argv[2], sys.argv[2:])


if __name__ == "__main__":
    main()
