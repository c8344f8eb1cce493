"""A QEMU that counts instructions: bookworm's, which loads plugins; trixie's is linked statically and cannot.

Its packages and their libraries are unpacked, without root, beside the Arm system of machine.py, and run by their own
loader, so any x86-64 Linux will do. QEMU 7.2 runs Python, NumPy and nDPI, and not LiteRT: the model is not counted.
"""

import hashlib
import json
import os
import runpy
import shutil
import tempfile
from pathlib import Path
from typing import NamedTuple

from arm.machine import COMPILE_CORE, PYTHON, Machine, edge_for_arm, run_program, set_up, unpack_packages

HERE = Path(__file__).resolve().parent
REPOSITORY = HERE.parents[2]
SUITE = "bookworm"
CPU = "cortex-a53"  # the Pi 3's
LIMIT_S = 3600


class Count(NamedTuple):
    """What one run did: instructions of the whole process, and packets and flows that it metered."""

    instructions: int
    packets: int
    flows: int


class Counter:
    """An emulated Python with this checkout's tlids_edge and its compiled meter."""

    def __init__(self, folder: Path) -> None:
        """Set up in `folder`, which must be empty, what is of this checkout; the rest is downloaded once.

        Raises:
            InputError: something needed is absent, or a download failed.
        """
        edge_for_arm(REPOSITORY / "edge", folder / "edge")
        work = REPOSITORY / "build" / "arm"
        self._arm = set_up(work, REPOSITORY / "requirements.lock")
        self._qemu = set_up_counter(work)
        shutil.copy(HERE / "meter_capture.py", folder)
        self._script = folder / "meter_capture.py"
        self._machine = self._python(folder)
        self._machine.run(["-c", "import meter_capture"], LIMIT_S)  # so that no later run compiles Python

    def _emulator(self) -> tuple[str, ...]:
        """QEMU, run by the loader and with the libraries that came with it."""
        root = self._qemu / "root"
        libraries = [str(root / path / "x86_64-linux-gnu") for path in ("lib", "usr/lib")]
        loader = str(root / "lib64/ld-linux-x86-64.so.2")
        return loader, "--library-path", ":".join(libraries), str(root / "usr/bin/qemu-aarch64")

    def _python(self, folder: Path) -> Machine:
        """The Arm system's Python under the emulator with the plugin."""
        root = self._arm / "root"
        options = ("-cpu", CPU, "-plugin", str(self._qemu / "count.so"), "-L", str(root))
        environment = {
            "PYTHONPATH": os.pathsep.join((str(self._arm / "site"), str(folder / "edge"), str(folder))),
            "PYTHONPYCACHEPREFIX": str(folder / "pycache"),
            "PYTHONHASHSEED": "0",  # so that dictionaries cost the same every time
            "OPENBLAS_NUM_THREADS": "1",  # threads that wait spin
            "LANG": "C.UTF-8",
        }
        return Machine((*self._emulator(), *options, str(root / f"usr/bin/python{PYTHON}"), "-S"), environment)

    def count(self, capture: Path, kind: str, flows: str = "rows", ndpi: bool = True) -> Count:
        """Meter a capture with the meter of that kind: compiled or Python; `flows` as meter_capture.py has it.

        Raises:
            InputError: the run failed.
        """
        arguments = [str(self._script), str(capture), kind, flows, *(["ndpi"] if ndpi else [])]
        said, told = self._machine.run(arguments, LIMIT_S).rsplit("\ninstructions ", 1)
        found = json.loads(said)
        return Count(int(told), found["packets"], found["flows"])

    def versions(self) -> str:
        """What was emulated, by what."""
        script = (
            "import platform, numpy; from tlids_edge.flows.ndpi import Ndpi; "
            "print(f'Python {platform.python_version()}, NumPy {numpy.__version__}, nDPI {Ndpi().version}')"
        )
        emulator = run_program([*self._emulator(), "--version"], "QEMU to start").split("version ")[1].split()[0]
        return f"QEMU {emulator} (Cortex-A53), {self._machine.run(['-c', script], LIMIT_S).splitlines()[0]}"


def set_up_counter(work: Path) -> Path:
    """The folder with `root`, QEMU and its libraries, and `count.so`: the one made before, or a new one (30 MB).

    Raises:
        InputError: something needed is absent, or a download failed.
    """
    source = HERE / "count.c"
    target = work / f"{SUITE}-{hashlib.sha256(source.read_bytes()).hexdigest()[:12]}"
    if target.is_dir():
        return target
    work.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=work, prefix="unfinished-") as unfinished:
        whole = Path(unfinished) / "whole"
        unpack_packages(Path(unfinished), whole / "root", SUITE, "amd64", ("qemu-user",))
        zig = runpy.run_path(str(COMPILE_CORE))["zig"]("x86_64")
        options = ["-std=c11", "-O2", "-Wall", "-Wextra", "-Werror", "-fvisibility=hidden", "-fPIC", "-shared"]
        run_program([*zig, *options, "-o", str(whole / "count.so"), str(source)], "zig to compile count.c")
        if not target.is_dir():  # another run may have been quicker
            whole.rename(target)
    return target
