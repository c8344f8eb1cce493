"""Compile meter and capture program for Debian trixie, for arm64 or amd64 on either, with zig and Debian's C library.

The compiler is the one from PyPI that `make wheels` uses (`make build/zig/bin/python`). Its headers of glibc and its
processor baseline do not depend on the machine it runs on, so the same library comes out everywhere.
"""

import runpy
import subprocess
from pathlib import Path

EDGE = Path(__file__).resolve().parents[1]
ZIG = EDGE.parent / "build/zig/bin/python"  # a Python that has ziglang
GLIBC = "2.41"  # trixie's
CORE, RING = "tlids_edge/flows/core/meter.so", "tlids_edge/capture/tlids-ring"
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


def compile_core(machine: str, package: Path) -> None:
    """Compile meter and capture program as setup.py does, stripped, to their places in the folder `package`.

    Raises:
        FileNotFoundError: zig is not set up.
        subprocess.CalledProcessError: one does not compile.
    """
    flags = runpy.run_path(str(EDGE / "setup.py"))  # it does nothing more unless it is the program
    (also, also_to_link), common = flags["PROGRAM"], [*flags["COMPILE"], *STRIPPED, *flags["LINK"]]
    for name, source, options, mode in (
        (CORE, flags["CORE_SOURCE"], ["-fPIC", "-shared"], 0o644),
        (RING, flags["RING_SOURCE"], [*also, *also_to_link], 0o755),
    ):
        target = package / name
        target.parent.mkdir(parents=True, exist_ok=True)
        subprocess.run([*zig(machine), *common, *options, "-o", str(target), str(EDGE / source)], check=True)
        target.chmod(mode)
