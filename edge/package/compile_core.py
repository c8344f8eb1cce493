"""Compile the meter for Debian trixie, for arm64 or amd64 on either, with zig's C compiler and Debian's C library.

The compiler is the one from PyPI that `make wheels` uses (`make build/zig/bin/python`). Its headers of glibc and its
processor baseline do not depend on the machine it runs on, so the same library comes out everywhere.
"""

import runpy
import subprocess
from pathlib import Path

EDGE = Path(__file__).resolve().parents[1]
ZIG = EDGE.parent / "build/zig/bin/python"  # a Python that has ziglang
GLIBC = "2.41"  # trixie's
STRIPPED = ("-s",)  # debugging data would hold the paths of this machine


def zig(machine: str) -> list[str]:
    """The C compiler's command for `machine` (aarch64 or x86_64).

    Raises:
        FileNotFoundError: zig is not set up.
    """
    if not ZIG.exists():
        target = ZIG.relative_to(EDGE.parent)
        raise FileNotFoundError(f"expected zig in {ZIG.parents[1]}, found none: run `make {target}`")
    return [str(ZIG), "-m", "ziglang", "cc", "-target", f"{machine}-linux-gnu.{GLIBC}"]


def compile_core(machine: str, target: Path) -> Path:
    """Compile core/meter.c as setup.py does, stripped, into the shared library `target`.

    Raises:
        FileNotFoundError: zig is not set up.
        subprocess.CalledProcessError: it does not compile.
    """
    flags = runpy.run_path(str(EDGE / "setup.py"))  # its COMPILE and LINK; it does nothing unless it is the program
    source = EDGE / "tlids_edge/flows/core/meter.c"
    options = [*flags["COMPILE"], "-fPIC", "-shared", *STRIPPED, *flags["LINK"]]
    target.parent.mkdir(parents=True, exist_ok=True)
    subprocess.run([*zig(machine), *options, "-o", str(target), str(source)], check=True)
    target.chmod(0o644)
    return target
